#include "index/find/find.h"
#include "index/index.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"
#include "pack.pb-c.h"

/* Studies that must not be deleted. */

static status_t state_find(database_t *database, const char *study, Index__HoldState *state)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(database,
                         "SELECT changed_us, user_name, reason FROM holds"
                         " WHERE study_instance_uid = $1 AND released = 0",
                         &find));
    statement_bind_text(find, 1, study);
    bool row = false;
    TRY(statement_step(find, &row));
    if (!row)
        return STATUS_OK;
    state->held = true;
    state->since_us = (uint64_t)statement_int64(find, 0);
    state->user = memory_copy_text(statement_text(find, 1));
    state->reason = memory_copy_text(statement_text(find, 2));
    return STATUS_OK;
}

static Index__HoldState *state_make(void)
{
    Index__HoldState *state = memory_allocate(sizeof *state);
    index__hold_state__init(state);
    return state;
}

static status_t study_check(database_t *database, const char *study)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(database, "SELECT 1 FROM studies WHERE study_instance_uid = $1", &find));
    statement_bind_text(find, 1, study);
    bool row = false;
    TRY(statement_step(find, &row));
    return row ? STATUS_OK : fail(STATUS_NOT_FOUND, "there is no such study");
}

status_t hold_check(database_t *database, const char *study)
{
    Index__HoldState *state = state_make();
    status_t status = state_find(database, study, state);
    if (status == STATUS_OK && state->held)
        status = fail(STATUS_CONFLICT, "the study is held from deletion: %s", state->reason);
    index__hold_state__free_unpacked(state, NULL);
    return status;
}

static status_t is_held(database_t *database, const char *study, bool *out_held)
{
    Index__HoldState *state = state_make();
    status_t status = state_find(database, study, state);
    *out_held = status == STATUS_OK && state->held;
    index__hold_state__free_unpacked(state, NULL);
    return status;
}

static status_t hold_write(index_t *index, const char *study, const char *user, const char *reason,
                           bool released)
{
    pack_record_t record;
    Pack__Hold hold = PACK__HOLD__INIT;
    hold.changed_us = (uint64_t)clock_wall_us();
    hold.user = (char *)(uintptr_t)user;
    hold.study_instance_uid = (char *)(uintptr_t)study;
    hold.reason = (char *)(uintptr_t)reason;
    hold.released = released;
    TRY(event_write(index, PACK_RECORD_HOLD, &hold.base, &record));
    TRY(event_take_in(index, &record));
    log_info(released ? "study.released" : "study.held", LOG_TEXT("study_instance_uid", study));
    return STATUS_OK;
}

status_t hold_run(index_t *index, const Index__Hold *what)
{
    TRY(object_check(what->study_instance_uid, "", ""));
    TRY(decider_check(what->user, what->reason));
    if (!*what->reason)
        return fail(STATUS_INVALID, "a hold needs a reason");
    if (!scope_sees_all(what->scope))
        return fail(STATUS_NOT_FOUND, "there is no such study");
    TRY(study_check(index->writer, what->study_instance_uid));
    return hold_write(index, what->study_instance_uid, what->user, what->reason, false);
}

status_t release_run(index_t *index, const Index__Release *what)
{
    bool held = false;
    TRY(object_check(what->study_instance_uid, "", ""));
    TRY(decider_check(what->user, what->reason));
    if (scope_sees_all(what->scope))
        TRY(is_held(index->writer, what->study_instance_uid, &held));
    if (!held)
        return fail(STATUS_NOT_FOUND, "the study is not held");
    return hold_write(index, what->study_instance_uid, what->user, what->reason, true);
}

status_t hold_read(database_t *reader, const Index__GetHold *query, Index__HoldState *reply)
{
    TRY(object_check(query->study_instance_uid, "", ""));
    if (!scope_sees_all(query->scope))
        return fail(STATUS_NOT_FOUND, "there is no such study");
    TRY(state_find(reader, query->study_instance_uid, reply));
    return reply->held ? STATUS_OK : study_check(reader, query->study_instance_uid);
}
