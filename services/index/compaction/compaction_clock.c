#include "index/compaction/compaction.h"

#include "base/clock.h"
#include "log/log.h"

/*
 * What is dead, retired or held is so since, or until, a time of the calendar, since that outlives
 * this process. A calendar that is put right, or wrong, must neither let bytes go before their time
 * nor keep them for as long as it was wrong:
 *
 *     it jumps ahead     what was noted before jumps along: the time that is over stays what it was
 *     it jumps back      what lies ahead of it begins now
 *
 * Between two looks the time goes on with the monotonic clock. What happens to the calendar while no
 * index runs, nobody can tell.
 */
enum { JUMP_US = 1000 * 1000 }; /* less is a clock that is being slewed, or read twice */

int64_t compaction_now_us(const index_t *index)
{
    return clock_monotonic_ms() * 1000 + index->calendar_us;
}

static int64_t calendar_us(void)
{
    return clock_wall_us() - clock_monotonic_ms() * 1000;
}

void compaction_clock_start(index_t *index)
{
    index->calendar_us = calendar_us();
}

static status_t run_with_time(index_t *index, const char *const *texts, size_t count, int64_t us)
{
    for (size_t i = 0; i < count; i++) {
        statement_t *statement = NULL;
        TRY(database_prepare(index->writer, texts[i], &statement));
        statement_bind_int64(statement, 1, us);
        TRY(statement_run(statement));
    }
    return STATUS_OK;
}

static status_t jump_along(index_t *index, int64_t jump_us)
{
    static const char *const texts[] = {
        "UPDATE buried SET since_us = since_us + $1",
        "UPDATE waste SET since_us = since_us + $1 WHERE since_us > 0",
        "UPDATE packs SET retired_us = retired_us + $1 WHERE retired_us > 0"};
    return run_with_time(index, texts, sizeof texts / sizeof *texts, jump_us);
}

static status_t begin_now(index_t *index, int64_t now_us)
{
    static const char *const texts[] = {"UPDATE buried SET since_us = $1 WHERE since_us > $1",
                                        "UPDATE waste SET since_us = $1 WHERE since_us > $1",
                                        "UPDATE packs SET retired_us = $1 WHERE retired_us > $1"};
    return run_with_time(index, texts, sizeof texts / sizeof *texts, now_us);
}

static status_t follow(index_t *index, int64_t jump_us, int64_t now_us)
{
    TRY(database_begin(index->writer));
    status_t status = jump_us > JUMP_US ? jump_along(index, jump_us) : STATUS_OK;
    if (status == STATUS_OK)
        status = begin_now(index, now_us);
    if (status == STATUS_OK)
        status = database_commit(index->writer);
    if (status != STATUS_OK)
        database_rollback(index->writer);
    return status;
}

status_t compaction_clock_look(index_t *index)
{
    int64_t calendar = calendar_us(), jump_us = calendar - index->calendar_us;
    TRY(follow(index, jump_us, clock_monotonic_ms() * 1000 + calendar));
    if (jump_us > JUMP_US || jump_us < -JUMP_US)
        log_warning("compaction.clock_jumped", LOG_NUMBER("seconds", jump_us / 1000000));
    index->calendar_us = calendar; /* if not: once more in the next round */
    return STATUS_OK;
}
