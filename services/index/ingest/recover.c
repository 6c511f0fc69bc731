#include "index/index.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"
#include "service/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/*
 * Finds what no message told of: the gap between the committed offset and what is durable, at every
 * start in all packs, every second in those that are open or were when last seen.
 *
 * What lies behind the durable end of a pack that somebody holds may be half a record, or a whole one
 * that was acknowledged: only its holder knows, and after a crash it may take the pack over, seal it
 * and never say a word. So such a pack is kept in mind until it is sealed, and counted as behind.
 */
static metric_t unreadable_total =
    METRIC_COUNTER("zpacs_index_packs_unreadable_total",
                   "Packs met that are damaged at the beginning or the end.");

/* ---- what living writers said ------------------------------------------------------------------ */

static announced_t *announced_find(index_t *index, const ulid_t *pack)
{
    for (size_t i = 0; i < index->announced_count; i++)
        if (strcmp(index->announced[i].pack.text, pack->text) == 0)
            return &index->announced[i];
    return NULL;
}

/* Full: then the gap is read when the pack's lock is free. */
void recover_announce(index_t *index, const ulid_t *pack, uint64_t durable)
{
    announced_t *known = announced_find(index, pack);
    if (known)
        known->durable = durable > known->durable ? durable : known->durable;
    else if (index->announced_count < ANNOUNCED_MAX)
        index->announced[index->announced_count++] = (announced_t){*pack, durable};
}

status_t recover_remember(index_t *index)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer, "SELECT pack, committed_offset FROM packs WHERE sealed = 0",
                         &find));
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        ulid_t pack = {0};
        memcpy(pack.text, statement_text(find, 0), ULID_LENGTH);
        recover_announce(index, &pack, (uint64_t)statement_int64(find, 1));
    }
}

static void announced_forget(index_t *index, const ulid_t *pack)
{
    announced_t *known = announced_find(index, pack);
    if (known)
        *known = index->announced[--index->announced_count];
}

/*
 * Up to where an open pack may be read. When nobody holds its lock the writer is dead: what is there
 * is made durable first, then a torn tail is all that can be missing.
 */
static uint64_t open_limit(index_t *index, const pack_listed_t *listed)
{
    const announced_t *known = announced_find(index, &listed->pack);
    uint64_t limit = known ? known->durable : 0, size = 0;
    int fd = -1;
    if (pack_store_file(index->store, &listed->pack, &fd, &size) != STATUS_OK)
        return limit;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
        if (fdatasync(fd) == 0)
            limit = size;
        flock(fd, LOCK_UN);
    }
    close(fd);
    return limit;
}

/* ---- packs ------------------------------------------------------------------------------------- */

static status_t pack_state(index_t *index, const ulid_t *pack, uint64_t *out_committed,
                           bool *out_sealed)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer,
                         "SELECT committed_offset, sealed FROM packs WHERE pack = $1", &find));
    statement_bind_text(find, 1, pack->text);
    bool row = false;
    TRY(statement_step(find, &row));
    *out_committed = row ? (uint64_t)statement_int64(find, 0) : PACK_BLOCK_SIZE;
    *out_sealed = row && statement_int64(find, 1);
    return STATUS_OK;
}

/* Read to its end, and nothing will come any more. */
static status_t pack_finish(index_t *index, const ulid_t *pack, uint64_t committed)
{
    statement_t *upsert = NULL;
    announced_forget(index, pack);
    TRY(database_prepare(index->writer,
                         "INSERT INTO packs (pack, committed_offset, sealed) VALUES ($1, $2, 1)"
                         " ON CONFLICT (pack) DO UPDATE SET sealed = 1",
                         &upsert));
    statement_bind_text(upsert, 1, pack->text);
    statement_bind_int64(upsert, 2, (int64_t)committed);
    return statement_run(upsert);
}

/* A sealed pack ends with its last record: anything else is damage, which nothing else may tell. */
static void end_check(const pack_listed_t *listed, uint64_t reached)
{
    if (reached == listed->size_bytes)
        return;
    metric_add(&unreadable_total, 1);
    log_error(reached < listed->size_bytes ? "pack.damaged" : "pack.offset_beyond_end",
              LOG_TEXT("pack", listed->pack.text), LOG_NUMBER("offset", reached),
              LOG_NUMBER("size_bytes", listed->size_bytes));
}

/* Adds to lag what is left of a pack that somebody holds. */
static status_t pack_catch_up(index_t *index, const pack_listed_t *listed, uint64_t *lag)
{
    uint64_t committed = 0, reached = 0;
    bool sealed = false;
    TRY(pack_state(index, &listed->pack, &committed, &sealed));
    if (sealed)
        announced_forget(index, &listed->pack); /* another replica has read it to its end */
    if (sealed || (listed->is_open && listed->size_bytes <= committed))
        return STATUS_OK;
    uint64_t limit = listed->is_open ? open_limit(index, listed) : listed->size_bytes;
    reached = committed;
    if (listed->is_open && limit < listed->size_bytes) {
        *lag += listed->size_bytes - (limit > committed ? limit : committed);
        recover_announce(index, &listed->pack, committed);
    }
    if (limit > committed) {
        atomic_store(&index->lag_bytes, (int64_t)(*lag + limit - committed));
        TRY(ingest_pack(index, &listed->pack, limit, &reached));
        if (reached > committed)
            log_info("pack.caught_up", LOG_TEXT("pack", listed->pack.text),
                     LOG_NUMBER("from", committed), LOG_NUMBER("to", reached));
    }
    /* What was announced and is not there will not be asked for every second. */
    if (listed->is_open && reached < limit)
        announced_forget(index, &listed->pack);
    if (listed->is_open || atomic_load(&index->stopping))
        return STATUS_OK;
    end_check(listed, reached);
    return pack_finish(index, &listed->pack, reached);
}

static bool listing_has(const pack_listing_t *listing, const ulid_t *pack)
{
    for (size_t i = 0; i < listing->count; i++)
        if (strcmp(listing->packs[i].pack.text, pack->text) == 0)
            return true;
    return false;
}

/* false: there is no such pack any more. */
static bool listing_add_sealed(index_t *index, pack_listing_t *listing, const ulid_t *pack)
{
    uint64_t size = 0;
    int fd = -1;
    status_t status = pack_store_file(index->store, pack, &fd, &size);
    if (status == STATUS_OK) {
        close(fd);
        pack_listing_add(listing, &(pack_listed_t){*pack, size, false});
    }
    return status != STATUS_NOT_FOUND;
}

/* Packs that nothing has been read of yet: the database does not know them. */
static void listing_add_announced(index_t *index, pack_listing_t *listing)
{
    for (size_t i = 0; i < index->announced_count;) {
        ulid_t pack = index->announced[i].pack;
        if (listing_has(listing, &pack) || listing_add_sealed(index, listing, &pack))
            i++;
        else
            announced_forget(index, &pack);
    }
}

/* Packs that were open when last seen and are not now: sealed since. */
static status_t listing_add_closed(index_t *index, pack_listing_t *listing)
{
    AUTO_STATEMENT *find = NULL;
    listing_add_announced(index, listing);
    TRY(database_prepare(index->writer, "SELECT pack FROM packs WHERE sealed = 0", &find));
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        ulid_t pack = {0};
        memcpy(pack.text, statement_text(find, 0), ULID_LENGTH);
        if (!listing_has(listing, &pack))
            (void)listing_add_sealed(index, listing, &pack);
    }
}

/*
 * Between packs, and between the transactions of one, messages are answered. A pack that cannot be
 * read keeps none of the others: a damaged one is an alarm at each look, any other failure (of the
 * disk, of the database) is the scan's, which will be made again.
 */
static status_t listing_read(index_t *index, const pack_listing_t *listing, uint64_t *lag)
{
    status_t worst = STATUS_OK;
    bool busy = false;
    AUTO_FREE char *detail = NULL;
    for (size_t i = 0; i < listing->count && !atomic_load(&index->stopping); i++) {
        status_t status = pack_catch_up(index, &listing->packs[i], lag);
        bool was_empty = status == STATUS_NOT_FOUND && listing->packs[i].is_open; /* and removed */
        busy |= status == STATUS_BUSY;
        if (status == STATUS_INVALID || (status == STATUS_NOT_FOUND && !was_empty)) {
            metric_add(&unreadable_total, 1);
            log_error("pack.unreadable", LOG_TEXT("pack", listing->packs[i].pack.text),
                      LOG_TEXT("reason", fail_detail()));
        } else if (status != STATUS_OK && status != STATUS_BUSY && !was_empty &&
                   worst == STATUS_OK) {
            worst = status;
            detail = memory_format("pack %s: %s", listing->packs[i].pack.text, fail_detail());
        }
        index_yield(index);
    }
    if (worst != STATUS_OK)
        return fail(worst, "%s", detail);
    return busy ? fail(STATUS_BUSY, "another replica reads some pack") : STATUS_OK;
}

status_t recover_scan(index_t *index, bool sealed_too)
{
    pack_listing_t listing = {0};
    uint64_t lag = 0;
    status_t status = pack_store_listing(index->store, sealed_too, &listing);
    if (status == STATUS_OK && !sealed_too)
        status = listing_add_closed(index, &listing);
    if (status == STATUS_OK)
        status = listing_read(index, &listing, &lag);
    pack_listing_destroy(&listing);
    if (status == STATUS_OK)
        atomic_store(&index->lag_bytes, (int64_t)lag);
    return status;
}

/* ---- the thread of start and rebuild ----------------------------------------------------------- */

static void *replay_main(void *context)
{
    index_t *index = context;
    int64_t begin_ms = clock_monotonic_ms();
    (void)index_lock(index, INT64_MAX);
    status_t status = STATUS_BUSY;
    while (status == STATUS_BUSY && !atomic_load(&index->stopping)) {
        status = recover_scan(index, true);
        if (status == STATUS_BUSY)
            index_pause(index);
    }
    if (status == STATUS_OK && !atomic_load(&index->stopping))
        status = rebuild_finish(index);
    if (status != STATUS_OK)
        index->next_full_scan_ms = 0; /* the idle lane makes up for it */
    index_unlock(index);
    atomic_store(&index->replay_runs, false);
    if (status == STATUS_OK)
        log_info("replay.done", LOG_NUMBER("duration_ms", clock_monotonic_ms() - begin_ms));
    else
        log_error("replay.failed", LOG_TEXT("reason", fail_detail()));
    return NULL;
}

status_t recover_start(index_t *index)
{
    if (index->replay)
        pthread_join(index->replay, NULL); /* it has ended: replay_runs is false */
    index->replay = 0;
    atomic_store(&index->lag_bytes, 1); /* at least, for all that is known before the first look */
    atomic_store(&index->replay_runs, true);
    if (pthread_create(&index->replay, NULL, replay_main, index) == 0)
        return STATUS_OK;
    atomic_store(&index->replay_runs, false);
    return fail(STATUS_UNAVAILABLE, "no thread for the replay");
}
