#include "index/compaction/judge.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where a record lies, as some row says. */
typedef struct {
    ulid_t pack;
    int64_t offset;
} place_t;

static bool is_here(const place_t *place, const pack_record_t *record)
{
    return place->offset == (int64_t)record->offset &&
           strcmp(place->pack.text, record->pack.text) == 0;
}

/* The same bytes at another place, as far as a header can tell. */
static status_t is_there(index_t *index, const place_t *place, const pack_record_t *record,
                         bool *out_there)
{
    pack_record_t other = {0};
    status_t status =
        pack_store_record(index->store, &place->pack, (uint64_t)place->offset, &other);
    *out_there = status == STATUS_OK && other.dataset_length == record->dataset_length &&
                 memcmp(other.dataset_digest, record->dataset_digest, DIGEST_SIZE) == 0;
    return status == STATUS_NOT_FOUND || status == STATUS_INVALID ? STATUS_OK : status;
}

static void place_read(statement_t *find, place_t *out_place)
{
    snprintf(out_place->pack.text, sizeof out_place->pack.text, "%s", statement_text(find, 0));
    out_place->offset = statement_int64(find, 1);
}

/* A row that tells where the record of this origin lies. */
static status_t place_find(index_t *index, const char *sql, const pack_record_t *record,
                           bool *out_found, place_t *out_place, int64_t *out_since_us)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer, sql, &find));
    statement_bind_text(find, 1, record->origin_pack.text);
    statement_bind_int64(find, 2, (int64_t)record->origin_sequence);
    TRY(statement_step(find, out_found));
    if (*out_found) {
        place_read(find, out_place);
        *out_since_us = statement_int64(find, 2);
    }
    return STATUS_OK;
}

static status_t lives_unless_elsewhere(index_t *index, const place_t *place,
                                       const pack_record_t *record, bool *out_lives)
{
    bool there = false;
    if (!is_here(place, record))
        TRY(is_there(index, place, record, &there));
    *out_lives = !there;
    return STATUS_OK;
}

static status_t judge_event(index_t *index, const pack_record_t *record, bool *out_lives)
{
    bool found = false;
    place_t place = {0};
    int64_t ignored = 0;
    TRY(place_find(index,
                   "SELECT pack, record_offset, 0 FROM events WHERE origin_pack = $1"
                   " AND origin_sequence = $2",
                   record, &found, &place, &ignored));
    *out_lives = true;
    return found ? lives_unless_elsewhere(index, &place, record, out_lives) : STATUS_OK;
}

/* The served record of this SOP Instance UID is another one: is this a copy, and needed? */
static status_t judge_copy(index_t *index, const entry_t *entry, const instance_row_t *served,
                           bool *out_found, bool *out_lives)
{
    AUTO_STATEMENT *find = NULL;
    place_t place = {0}, other = {served->pack, served->record_offset};
    bool there = false;
    TRY(database_prepare(index->writer,
                         "SELECT pack, record_offset FROM copies WHERE sop_instance_uid = $3"
                         " AND origin_pack = $1 AND origin_sequence = $2",
                         &find));
    statement_bind_text(find, 1, entry->origin.pack.text);
    statement_bind_int64(find, 2, entry->origin.sequence);
    statement_bind_text(find, 3, entry->sop_instance_uid);
    TRY(statement_step(find, out_found));
    if (!*out_found)
        return STATUS_OK;
    place_read(find, &place);
    if (!is_here(&place, &entry->record))
        return lives_unless_elsewhere(index, &place, &entry->record, out_lives);
    /* A duplicate: what is served has the same bytes in the same place of the same study. */
    if (strcmp(served->study_instance_uid, entry->study_instance_uid) == 0 &&
        strcmp(served->series_instance_uid, entry->series_instance_uid) == 0)
        TRY(is_there(index, &other, &entry->record, &there));
    *out_lives = !there;
    return STATUS_OK;
}

static status_t judge_buried(index_t *index, const pack_record_t *record, int64_t dead_before_us,
                             bool *out_lives)
{
    bool found = false;
    place_t place = {0};
    int64_t since_us = 0;
    *out_lives = true;
    TRY(place_find(index,
                   "SELECT pack, record_offset, since_us FROM buried WHERE origin_pack = $1"
                   " AND origin_sequence = $2",
                   record, &found, &place, &since_us));
    if (!found)
        return STATUS_OK; /* nobody knows of it: then nobody has said that it may go */
    if (!is_here(&place, record))
        return lives_unless_elsewhere(index, &place, record, out_lives);
    *out_lives = since_us > dead_before_us;
    return STATUS_OK;
}

static status_t judge_instance(index_t *index, const pack_record_t *record, int64_t dead_before_us,
                               bool *out_lives)
{
    bool found = false;
    instance_row_t served;
    entry_t *entry = &index->entry;
    *out_lives = true;
    status_t status = entry_read(index->store, record, true, entry);
    if (status != STATUS_OK)
        return status == STATUS_INVALID ? STATUS_OK : status; /* acknowledged all the same */
    TRY(rows_find_instance(&index->rows, entry->sop_instance_uid, &found, &served));
    if (found && origin_compare(&served.origin, &entry->origin) == 0) {
        place_t place = {served.pack, served.record_offset};
        return lives_unless_elsewhere(index, &place, record, out_lives);
    }
    if (found)
        TRY(judge_copy(index, entry, &served, &found, out_lives));
    return found ? STATUS_OK : judge_buried(index, record, dead_before_us, out_lives);
}

status_t judge(index_t *index, const pack_record_t *record, int64_t dead_before_us, bool *out_lives)
{
    return record->type == PACK_RECORD_INSTANCE
               ? judge_instance(index, record, dead_before_us, out_lives)
               : judge_event(index, record, out_lives);
}

/* ---- a pack ------------------------------------------------------------------------------------ */

/* Rows are whole only when all packs are read; and one replica is enough. */
bool judge_may_work(index_t *index)
{
    return !atomic_load(&index->stopping) && !atomic_load(&index->rebuilding) &&
           !atomic_load(&index->replay_runs) && changes_elect(&index->rows) == STATUS_OK &&
           index->rows.is_numbering;
}

status_t judge_size(index_t *index, const ulid_t *pack, uint64_t *out_size)
{
    int fd = -1;
    TRY(pack_store_file(index->store, pack, &fd, out_size));
    close(fd);
    return STATUS_OK;
}

static void living_add(living_t *living, uint64_t offset)
{
    if (living->count == living->capacity) {
        living->capacity = living->capacity ? 2 * living->capacity : 256;
        living->offsets = memory_resize(living->offsets, living->capacity * sizeof(uint64_t));
    }
    living->offsets[living->count++] = offset;
}

static status_t judge_portion(index_t *index, const ulid_t *pack, uint64_t size,
                              int64_t dead_before_us, uint64_t *offset, living_t *living)
{
    enum { PORTION = 128 };
    for (int i = 0; i < PORTION && *offset < size; i++) {
        pack_record_t record;
        bool lives = true;
        status_t status = pack_store_record(index->store, pack, *offset, &record);
        if (status == STATUS_NOT_FOUND || (status == STATUS_OK && record.next_offset > size))
            status = fail(STATUS_INVALID, "no record at %llu", (unsigned long long)*offset);
        TRY(status);
        TRY(judge(index, &record, dead_before_us, &lives));
        if (lives)
            living_add(living, *offset);
        else
            living->dead++;
        *offset = record.next_offset;
    }
    return STATUS_OK;
}

/* Has the index read all of it? What it has not read has no rows. */
static status_t check_read(index_t *index, const ulid_t *pack, uint64_t size)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer, "SELECT committed_offset FROM packs WHERE pack = $1",
                         &find));
    statement_bind_text(find, 1, pack->text);
    bool row = false;
    TRY(statement_step(find, &row));
    return row && (uint64_t)statement_int64(find, 0) == size
               ? STATUS_OK
               : fail(STATUS_INVALID, "the pack was not read to its end");
}

status_t judge_pack(index_t *index, const ulid_t *pack, int64_t dead_before_us, living_t *living)
{
    uint64_t size = 0, offset = PACK_BLOCK_SIZE;
    TRY(judge_size(index, pack, &size));
    while (offset < size) {
        (void)index_lock(index, INT64_MAX);
        status_t status = judge_may_work(index) ? check_read(index, pack, size)
                                                : fail(STATUS_EXPIRED, "compaction has to wait");
        if (status == STATUS_OK)
            status = judge_portion(index, pack, size, dead_before_us, &offset, living);
        index_unlock(index);
        TRY(status);
        usleep(100); /* a mutex is not fair */
    }
    return STATUS_OK;
}
