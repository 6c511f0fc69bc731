#include "index/rows/rows.h"

/* Who decided: of two decisions about one thing the later one counts, and with equal times the
 * larger origin. */
#define IS_LATER(table, time)                                                                      \
    "(" table "." time ", " table ".event_pack, " table ".event_sequence) < (excluded." time       \
    ", excluded.event_pack, excluded.event_sequence)"

/* ---- holds ------------------------------------------------------------------------------------- */

status_t rows_hold(rows_t *rows, const pack_record_t *record, const Pack__Hold *hold)
{
    statement_t *put = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO holds (study_instance_uid, changed_us, event_pack,"
                         " event_sequence, released, user_name, reason)"
                         " VALUES ($1, $2, $3, $4, $5, $6, $7)"
                         " ON CONFLICT (study_instance_uid) DO UPDATE SET"
                         " changed_us = excluded.changed_us, event_pack = excluded.event_pack,"
                         " event_sequence = excluded.event_sequence, released = excluded.released,"
                         " user_name = excluded.user_name, reason = excluded.reason"
                         " WHERE " IS_LATER("holds", "changed_us"),
                         &put));
    statement_bind_text(put, 1, hold->study_instance_uid);
    statement_bind_int64(put, 2, (int64_t)hold->changed_us);
    statement_bind_text(put, 3, record->origin_pack.text);
    statement_bind_int64(put, 4, (int64_t)record->origin_sequence);
    statement_bind_int64(put, 5, hold->released);
    statement_bind_text(put, 6, hold->user);
    statement_bind_text(put, 7, hold->reason);
    TRY(statement_post(put));
    return rows_change(rows, hold->released ? "study.released" : "study.held",
                       hold->study_instance_uid, "", "", hold->user);
}

/* ---- conflicts --------------------------------------------------------------------------------- */

static status_t preference_put(rows_t *rows, const pack_record_t *record,
                               const Pack__Resolve *resolve)
{
    statement_t *put = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO resolves (sop_instance_uid, resolved_us, event_pack,"
                         " event_sequence, kept_pack, kept_sequence, settles_up_to_us)"
                         " VALUES ($1, $2, $3, $4, $5, $6, $7)"
                         " ON CONFLICT (sop_instance_uid) DO UPDATE SET"
                         " resolved_us = excluded.resolved_us, event_pack = excluded.event_pack,"
                         " event_sequence = excluded.event_sequence,"
                         " kept_pack = excluded.kept_pack, kept_sequence = excluded.kept_sequence,"
                         " settles_up_to_us = excluded.settles_up_to_us"
                         " WHERE " IS_LATER("resolves", "resolved_us"),
                         &put));
    /* SERVE leaves the others aside without a word about them: they are settled by its time. */
    bool serves_only = resolve->outcome == PACK__RESOLVE__OUTCOME__SERVE;
    statement_bind_text(put, 1, resolve->sop_instance_uid);
    statement_bind_int64(put, 2, (int64_t)resolve->resolved_us);
    statement_bind_text(put, 3, record->origin_pack.text);
    statement_bind_int64(put, 4, (int64_t)record->origin_sequence);
    statement_bind_text(put, 5, resolve->kept_pack);
    statement_bind_int64(put, 6, (int64_t)resolve->kept_sequence);
    statement_bind_int64(put, 7, serves_only ? (int64_t)resolve->resolved_us : 0);
    return statement_post(put);
}

static status_t verdict_put(rows_t *rows, const pack_record_t *record, int64_t decided_us,
                            const char *pack, uint64_t sequence, bool is_rejected)
{
    statement_t *put = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO verdicts (pack, sequence, decided_us, event_pack,"
                         " event_sequence, is_rejected) VALUES ($1, $2, $3, $4, $5, $6)"
                         " ON CONFLICT (pack, sequence) DO UPDATE SET"
                         " decided_us = excluded.decided_us, event_pack = excluded.event_pack,"
                         " event_sequence = excluded.event_sequence,"
                         " is_rejected = excluded.is_rejected"
                         " WHERE " IS_LATER("verdicts", "decided_us"),
                         &put));
    statement_bind_text(put, 1, pack);
    statement_bind_int64(put, 2, (int64_t)sequence);
    statement_bind_int64(put, 3, decided_us);
    statement_bind_text(put, 4, record->origin_pack.text);
    statement_bind_int64(put, 5, (int64_t)record->origin_sequence);
    statement_bind_int64(put, 6, is_rejected);
    return statement_post(put);
}

static status_t verdicts_put(rows_t *rows, const pack_record_t *record,
                             const Pack__Resolve *resolve)
{
    int64_t at_us = (int64_t)resolve->resolved_us;
    rows->judged_pack.text[0] = 0;
    TRY(verdict_put(rows, record, at_us, resolve->kept_pack, resolve->kept_sequence, false));
    for (size_t i = 0; i < resolve->n_others; i++)
        TRY(verdict_put(rows, record, at_us, resolve->others[i]->pack, resolve->others[i]->sequence,
                        true));
    return STATUS_OK;
}

status_t rows_resolve(rows_t *rows, const pack_record_t *record, const Pack__Resolve *resolve)
{
    bool decides = resolve->outcome != PACK__RESOLVE__OUTCOME__SERVE;
    for (size_t i = 0; i < resolve->n_study_instance_uids; i++)
        TRY(rows_lock_study(rows, resolve->study_instance_uids[i]));
    TRY(preference_put(rows, record, resolve));
    if (decides) {
        TRY(verdicts_put(rows, record, resolve));
        TRY(rows_change(rows, "conflict.resolved", "", "", resolve->sop_instance_uid,
                        resolve->user));
        TRY(rows_bury_rejected(rows, resolve->sop_instance_uid, (int64_t)resolve->resolved_us));
        TRY(rows_exhume_record(rows, resolve->kept_pack, (int64_t)resolve->kept_sequence));
    }
    return rows_elect(rows, resolve->sop_instance_uid);
}
