#include "index/find/find.h"
#include "index/index.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"
#include "pack.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Deciding a conflict: which of the records of a SOP Instance UID live on. */
enum { RIVALS_MAX = 512, OTHERS_MAX = 64 };

/* A record of the instance; the first one is served. */
typedef struct {
    ulid_t origin_pack, pack;
    int64_t origin_sequence, record_offset;
    uid_text_t study, series;
    uint8_t digest[DIGEST_SIZE];
    bool is_aside; /* in conflict with what is served, and not a duplicate of it */
} rival_t;

typedef struct {
    rival_t *rivals; /* RIVALS_MAX */
    size_t count;
    const rival_t *chosen; /* of those aside; NULL: all of them */
    const rival_t *kept;
    const rival_t *losers[OTHERS_MAX];
    size_t loser_count;
} decision_t;

/* ---- who is there ------------------------------------------------------------------------------ */

static void rival_read(statement_t *find, rival_t *rival)
{
    snprintf(rival->origin_pack.text, sizeof(ulid_t), "%s", statement_text(find, 0));
    rival->origin_sequence = statement_int64(find, 1);
    snprintf(rival->pack.text, sizeof(ulid_t), "%s", statement_text(find, 2));
    rival->record_offset = statement_int64(find, 3);
    snprintf(rival->study, sizeof(uid_text_t), "%s", statement_text(find, 4));
    snprintf(rival->series, sizeof(uid_text_t), "%s", statement_text(find, 5));
    size_t length = 0;
    const void *digest = statement_blob(find, 6, &length);
    memcpy(rival->digest, digest, length < DIGEST_SIZE ? length : DIGEST_SIZE);
    rival->is_aside = statement_int64(find, 7) != 0;
}

static const char rivals_sql[] =
    "SELECT i.origin_pack, i.origin_sequence, i.pack, i.record_offset, s.study_instance_uid,"
    " e.series_instance_uid, i.digest, 0, 0 FROM instances i JOIN studies s ON s.id = i.study"
    " JOIN series e ON e.id = i.series WHERE i.sop_instance_uid = $1"
    " UNION ALL SELECT origin_pack, origin_sequence, pack, record_offset, study_instance_uid,"
    " series_instance_uid, digest, conflict, 1 FROM copies WHERE sop_instance_uid = $1"
    " ORDER BY 9, 1, 2";

static status_t rivals_find(index_t *index, const char *sop, decision_t *decision)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer, rivals_sql, &find));
    statement_bind_text(find, 1, sop);
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        if (decision->count == RIVALS_MAX)
            return fail(STATUS_TOO_LARGE, "more than %d records of this instance", RIVALS_MAX);
        rival_read(find, &decision->rivals[decision->count++]);
    }
}

static bool same_content(const rival_t *a, const rival_t *b)
{
    return memcmp(a->digest, b->digest, DIGEST_SIZE) == 0 && strcmp(a->study, b->study) == 0 &&
           strcmp(a->series, b->series) == 0;
}

/* ---- who wins ---------------------------------------------------------------------------------- */

static status_t choose(const Index__Resolve *what, decision_t *decision)
{
    const rival_t *only = NULL;
    size_t aside = 0;
    for (size_t i = 0; i < decision->count; i++) {
        const rival_t *rival = &decision->rivals[i];
        if (!rival->is_aside)
            continue;
        if (*what->origin_pack && strcmp(rival->origin_pack.text, what->origin_pack) == 0 &&
            (uint64_t)rival->origin_sequence == what->origin_sequence)
            decision->chosen = rival;
        if (!only || !same_content(only, rival))
            aside++;
        only = only ? only : rival;
    }
    if (aside == 0 || (*what->origin_pack && !decision->chosen))
        return fail(STATUS_NOT_FOUND, "there is no such conflict");
    if (!decision->chosen && aside == 1)
        decision->chosen = only;
    if (!decision->chosen && what->outcome != INDEX__RESOLVE__OUTCOME__KEEP)
        return fail(STATUS_INVALID, "several records are aside: say which is meant");
    return STATUS_OK;
}

static bool loses(const Index__Resolve *what, const decision_t *decision, const rival_t *rival)
{
    if (same_content(rival, decision->kept))
        return false;
    if (what->outcome == INDEX__RESOLVE__OUTCOME__REPLACE)
        return true;
    return !decision->chosen || same_content(rival, decision->chosen);
}

static status_t decide(index_t *index, const Index__Resolve *what, decision_t *decision)
{
    TRY(choose(what, decision));
    bool replaces = what->outcome == INDEX__RESOLVE__OUTCOME__REPLACE;
    decision->kept = replaces ? decision->chosen : &decision->rivals[0];
    for (size_t i = 0; i < decision->count; i++) {
        if (!loses(what, decision, &decision->rivals[i]))
            continue;
        if (decision->loser_count == OTHERS_MAX)
            return fail(STATUS_TOO_LARGE, "more than %d records lose: decide one by one",
                        OTHERS_MAX);
        TRY(hold_check(index->writer, decision->rivals[i].study));
        decision->losers[decision->loser_count++] = &decision->rivals[i];
    }
    return STATUS_OK;
}

/* ---- what is written --------------------------------------------------------------------------- */

/* The one that lives on under a UID of its own. */
static status_t remake(index_t *index, const decision_t *decision, Pack__Origin *made,
                       uid_text_t out_uid)
{
    pack_record_t old, new_record;
    TRY(pack_store_record(index->store, &decision->chosen->pack,
                          (uint64_t)decision->chosen->record_offset, &old));
    TRY(remake_run(index, &old, out_uid, &new_record));
    made->pack = memory_copy_text(new_record.origin_pack.text);
    made->sequence = new_record.origin_sequence;
    return event_take_in(index, &new_record);
}

static status_t resolve_write(index_t *index, const Index__Resolve *what,
                              const decision_t *decision, Pack__Origin *made, const char *made_uid)
{
    static const Pack__Resolve__Outcome outcomes[] = {PACK__RESOLVE__OUTCOME__KEEP,
                                                      PACK__RESOLVE__OUTCOME__REPLACE,
                                                      PACK__RESOLVE__OUTCOME__KEEP_BOTH};
    Pack__Origin origins[OTHERS_MAX], *others[OTHERS_MAX];
    char *studies[OTHERS_MAX + 1];
    pack_record_t record;
    Pack__Resolve resolve = PACK__RESOLVE__INIT;
    for (size_t i = 0; i < decision->loser_count; i++) {
        others[i] = &origins[i];
        pack__origin__init(others[i]);
        others[i]->pack = (char *)(uintptr_t)decision->losers[i]->origin_pack.text;
        others[i]->sequence = (uint64_t)decision->losers[i]->origin_sequence;
        studies[i] = (char *)(uintptr_t)decision->losers[i]->study;
    }
    studies[decision->loser_count] = (char *)(uintptr_t)decision->kept->study;
    resolve.resolved_us = (uint64_t)clock_wall_us();
    resolve.user = what->user;
    resolve.reason = what->reason;
    resolve.sop_instance_uid = what->sop_instance_uid;
    resolve.kept_pack = (char *)(uintptr_t)decision->kept->origin_pack.text;
    resolve.kept_sequence = (uint64_t)decision->kept->origin_sequence;
    resolve.outcome = outcomes[what->outcome];
    resolve.others = others;
    resolve.n_others = decision->loser_count;
    resolve.study_instance_uids = studies;
    resolve.n_study_instance_uids = decision->loser_count + 1;
    if (*made->pack)
        resolve.made = made;
    resolve.made_sop_instance_uid = (char *)(uintptr_t)made_uid;
    TRY(event_write(index, PACK_RECORD_RESOLVE, &resolve.base, &record));
    return event_take_in(index, &record);
}

static status_t resolve_decided(index_t *index, const Index__Resolve *what, decision_t *decision,
                                Index__Resolved *reply)
{
    Pack__Origin made = PACK__ORIGIN__INIT;
    char *const none = made.pack;
    uid_text_t made_uid = "";
    TRY(rivals_find(index, what->sop_instance_uid, decision));
    TRY(decide(index, what, decision));
    status_t status = what->outcome == INDEX__RESOLVE__OUTCOME__KEEP_BOTH
                          ? remake(index, decision, &made, made_uid)
                          : STATUS_OK;
    if (status == STATUS_OK)
        status = resolve_write(index, what, decision, &made, made_uid);
    if (made.pack != none)
        free(made.pack);
    TRY(status);
    reply->dead = decision->loser_count;
    if (*made_uid)
        reply->made_sop_instance_uid = memory_copy_text(made_uid);
    return STATUS_OK;
}

status_t resolve_run(index_t *index, const Index__Resolve *what, Index__Resolved *reply)
{
    if (!uid_is_valid(what->sop_instance_uid))
        return fail(STATUS_INVALID, "a SOP Instance UID is needed");
    TRY(decider_check(what->user, what->reason));
    if ((unsigned)what->outcome > INDEX__RESOLVE__OUTCOME__KEEP_BOTH)
        return fail(STATUS_INVALID, "no such outcome");
    if (!scope_sees_all(what->scope))
        return fail(STATUS_NOT_FOUND, "there is no such conflict");
    decision_t decision = {.rivals = memory_allocate(RIVALS_MAX * sizeof(rival_t))};
    status_t status = resolve_decided(index, what, &decision, reply);
    free(decision.rivals);
    if (status == STATUS_OK)
        log_info("conflict.resolved", LOG_TEXT("sop_instance_uid", what->sop_instance_uid),
                 LOG_NUMBER("dead", reply->dead));
    return status;
}
