#include "index/index.h"

#include "base/memory.h"

enum { OUTCOMES_MAX = 16384 };

/* What became of one record, looked up, so that a repeated message gets the same answer. */
static status_t outcome_find(index_t *index, const entry_t *entry, Index__Outcome__Kind *out_kind)
{
    bool found = false, row = false;
    instance_row_t served;
    TRY(rows_find_instance(&index->rows, entry->sop_instance_uid, &found, &served));
    *out_kind = INDEX__OUTCOME__KIND__STORED;
    if (found && origin_compare(&served.origin, &entry->origin) == 0) {
        if (served.unreadable)
            *out_kind = INDEX__OUTCOME__KIND__UNREADABLE;
        return STATUS_OK;
    }
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer,
                         "SELECT conflict FROM copies WHERE sop_instance_uid = $1"
                         " AND origin_pack = $2 AND origin_sequence = $3",
                         &find));
    statement_bind_text(find, 1, entry->sop_instance_uid);
    statement_bind_text(find, 2, entry->origin.pack.text);
    statement_bind_int64(find, 3, entry->origin.sequence);
    TRY(statement_step(find, &row));
    if (row)
        *out_kind = statement_int64(find, 0) ? INDEX__OUTCOME__KIND__CONFLICT
                                             : INDEX__OUTCOME__KIND__DUPLICATE;
    return STATUS_OK;
}

static status_t outcome_add(index_t *index, const pack_record_t *record, Index__PackIndexed *reply)
{
    Index__Outcome__Kind kind = INDEX__OUTCOME__KIND__UNREADABLE;
    status_t status = entry_read(index->store, record, true, &index->entry);
    if (status == STATUS_OK)
        status = outcome_find(index, &index->entry, &kind);
    if (status != STATUS_OK && status != STATUS_INVALID)
        return status;
    Index__Outcome *outcome = memory_allocate(sizeof *outcome);
    index__outcome__init(outcome);
    outcome->offset = record->offset;
    outcome->kind = kind;
    reply->outcomes =
        memory_resize(reply->outcomes, (reply->n_outcomes + 1) * sizeof(Index__Outcome *));
    reply->outcomes[reply->n_outcomes++] = outcome;
    return STATUS_OK;
}

status_t ingest_outcomes(index_t *index, const ulid_t *pack, uint64_t from, uint64_t committed,
                         Index__PackIndexed *reply)
{
    pack_record_t record;
    while (from < committed && reply->n_outcomes < OUTCOMES_MAX) {
        status_t status = batch_find_record(index, pack, committed, &from, &record);
        if (status == STATUS_NOT_FOUND)
            break;
        TRY(status);
        if (record.type == PACK_RECORD_INSTANCE)
            TRY(outcome_add(index, &record, reply));
        from = record.next_offset;
    }
    return STATUS_OK;
}
