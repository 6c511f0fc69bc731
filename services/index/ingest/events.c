#include "base/text.h"
#include "index/ingest/batch.h"
#include "index/index.h"
#include "pack/message.h"

#include <stdlib.h>

/* ---- reading ----------------------------------------------------------------------------------- */

/* Words of people: whoever gave them may not have known of UTF-8. */
static void words_clean(char *user, char *reason)
{
    text_make_utf8(user);
    text_make_utf8(reason);
}

static bool uid_or_empty(const char *uid)
{
    return !*uid || uid_is_valid(uid);
}

static status_t tombstone_check(const Pack__Tombstone *tombstone)
{
    words_clean(tombstone->user, tombstone->reason);
    if (!uid_is_valid(tombstone->study_instance_uid) ||
        !uid_or_empty(tombstone->series_instance_uid) || !uid_or_empty(tombstone->sop_instance_uid))
        return fail(STATUS_INVALID, "a TOMBSTONE has no valid UIDs");
    for (size_t i = 0; i < tombstone->n_last_records; i++)
        if (!ulid_is_valid(tombstone->last_records[i]->pack))
            return fail(STATUS_INVALID, "a TOMBSTONE names no record");
    return STATUS_OK;
}

static status_t resolve_check(const Pack__Resolve *resolve)
{
    words_clean(resolve->user, resolve->reason);
    if (!uid_is_valid(resolve->sop_instance_uid) || !ulid_is_valid(resolve->kept_pack))
        return fail(STATUS_INVALID, "a RESOLVE names no record");
    for (size_t i = 0; i < resolve->n_others; i++)
        if (!ulid_is_valid(resolve->others[i]->pack))
            return fail(STATUS_INVALID, "a RESOLVE names no record");
    return STATUS_OK;
}

static status_t restore_check(const Pack__Restore *restore)
{
    words_clean(restore->user, restore->reason);
    return restore->tombstone && ulid_is_valid(restore->tombstone->pack) &&
                   uid_is_valid(restore->study_instance_uid)
               ? STATUS_OK
               : fail(STATUS_INVALID, "a RESTORE names no TOMBSTONE");
}

static status_t hold_check_names(const Pack__Hold *hold)
{
    words_clean(hold->user, hold->reason);
    return uid_is_valid(hold->study_instance_uid) ? STATUS_OK
                                                  : fail(STATUS_INVALID, "a HOLD names no study");
}

static status_t unpack(item_t *item, const uint8_t *bytes, size_t length)
{
    switch (item->record.type) {
    case PACK_RECORD_TOMBSTONE:
        item->tombstone = pack__tombstone__unpack(&pack_memory, length, bytes);
        return item->tombstone ? tombstone_check(item->tombstone) : STATUS_INVALID;
    case PACK_RECORD_RESOLVE:
        item->resolve = pack__resolve__unpack(&pack_memory, length, bytes);
        return item->resolve ? resolve_check(item->resolve) : STATUS_INVALID;
    case PACK_RECORD_RESTORE:
        item->restore = pack__restore__unpack(&pack_memory, length, bytes);
        return item->restore ? restore_check(item->restore) : STATUS_INVALID;
    case PACK_RECORD_HOLD:
        item->hold = pack__hold__unpack(&pack_memory, length, bytes);
        return item->hold ? hold_check_names(item->hold) : STATUS_INVALID;
    default:
        return STATUS_OK; /* of a later version: nothing here depends on it */
    }
}

status_t event_read(index_t *index, item_t *item)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    TRY(pack_store_provenance(index->store, &item->record, &bytes, &length));
    (void)fail(STATUS_INVALID, "an event is not readable");
    status_t status = unpack(item, bytes, length);
    free(bytes);
    return status;
}

void event_clear(item_t *item)
{
    if (item->tombstone)
        pack__tombstone__free_unpacked(item->tombstone, &pack_memory);
    if (item->resolve)
        pack__resolve__free_unpacked(item->resolve, &pack_memory);
    if (item->restore)
        pack__restore__free_unpacked(item->restore, &pack_memory);
    if (item->hold)
        pack__hold__free_unpacked(item->hold, &pack_memory);
    item->tombstone = NULL;
    item->resolve = NULL;
    item->restore = NULL;
    item->hold = NULL;
}

/* ---- where they lie ---------------------------------------------------------------------------- */

status_t rows_put_event(rows_t *rows, const pack_record_t *record, bool *out_is_new)
{
    static const char *const texts[] = {
        "INSERT INTO events (origin_pack, origin_sequence, pack, record_offset)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT (origin_pack, origin_sequence) DO NOTHING",
        "UPDATE events SET pack = $3, record_offset = $4"
        " WHERE origin_pack = $1 AND origin_sequence = $2"};
    *out_is_new = false;
    for (int i = 0; i < 2 && !*out_is_new; i++) {
        statement_t *put = NULL;
        TRY(database_prepare(rows->database, texts[i], &put));
        statement_bind_text(put, 1, record->origin_pack.text);
        statement_bind_int64(put, 2, (int64_t)record->origin_sequence);
        statement_bind_text(put, 3, record->pack.text);
        statement_bind_int64(put, 4, (int64_t)record->offset);
        TRY(statement_run(put));
        *out_is_new = i == 0 && database_changed_rows(rows->database) == 1;
    }
    return STATUS_OK;
}
