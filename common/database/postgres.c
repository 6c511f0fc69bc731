#include "database/postgres.h"

#include "base/buffer.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static postgres_t *postgres_of(database_t *database)
{
    return (postgres_t *)database;
}

static void postgres_close(database_t *database)
{
    postgres_t *postgres = postgres_of(database);
    postgres_disconnect(postgres);
    free(postgres->location);
    free(postgres);
}

static status_t postgres_open(const char *location, bool read_only, database_t **out_database)
{
    postgres_t *postgres = memory_allocate(sizeof *postgres);
    postgres->base.driver = &postgres_driver;
    postgres->location = memory_copy_text(location);
    postgres->read_only = read_only;
    status_t status = postgres_connect(postgres);
    if (status == STATUS_OK)
        *out_database = &postgres->base;
    else
        postgres_close(&postgres->base);
    return status;
}

static status_t postgres_execute(database_t *database, const char *sql)
{
    postgres_t *postgres = postgres_of(database);
    TRY(postgres_ready(postgres));
    return postgres_command(postgres, sql, "execute");
}

static bool postgres_is_connected(database_t *database)
{
    return postgres_is_alive(postgres_of(database));
}

static uint64_t postgres_session(database_t *database)
{
    return postgres_of(database)->session;
}

/* ---- transactions ------------------------------------------------------------------------------ */

static status_t postgres_begin(database_t *database)
{
    postgres_t *postgres = postgres_of(database);
    if (postgres->in_transaction)
        return fail(STATUS_INTERNAL, "database: a transaction within a transaction");
    TRY(postgres_ready(postgres));
    TRY(postgres_send_ahead(postgres, postgres->read_only
                                          ? "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
                                          : "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE"));
    postgres->in_transaction = true;
    postgres->failure = STATUS_OK;
    postgres->limit_at_begin_ms = postgres->limit_ms;
    return STATUS_OK;
}

/* Forgets the transaction; kept: what it set in the session stays. */
static void transaction_end(postgres_t *postgres, bool kept)
{
    if (!kept)
        postgres->limit_ms = postgres->limit_at_begin_ms;
    postgres->in_transaction = false;
    postgres->unlimited = false;
    postgres->failure = STATUS_OK;
}

static void postgres_rollback(database_t *database)
{
    postgres_t *postgres = postgres_of(database);
    if (!postgres->in_transaction)
        return;
    transaction_end(postgres, false);
    (void)postgres_settle(postgres); /* whatever has failed */
    /* One that cannot be rolled back ends with its connection. */
    if (postgres->handle && postgres_command(postgres, "ROLLBACK", "rollback") != STATUS_OK)
        postgres_disconnect(postgres);
}

/* Behind what is posted, so that there is one wait for all of it: a failure there ends the pipeline
 * before the COMMIT. What the server does not know of, an expectation, has to be looked at first. */
static status_t commit_send(postgres_t *postgres)
{
    if (!postgres->posted || postgres->is_expecting)
        return postgres_command(postgres, "COMMIT", "commit");
    TRY(postgres_ready(postgres));
    int sent = PQsendQueryParams(postgres->handle, "COMMIT", 0, NULL, NULL, NULL, NULL, 0);
    return postgres_answer_posted(postgres, sent, "commit", NULL);
}

static status_t postgres_commit(database_t *database)
{
    postgres_t *postgres = postgres_of(database);
    if (!postgres->in_transaction)
        return fail(STATUS_INTERNAL, "database: commit without a transaction");
    /* The server would answer a COMMIT here with a rollback that looks like success. */
    if (postgres->failure != STATUS_OK)
        return fail(postgres->failure, "database: commit: the transaction has failed before");
    status_t status = commit_send(postgres);
    if (status == STATUS_OK)
        transaction_end(postgres, true);
    return status;
}

static void postgres_set_deadline(database_t *database, int64_t deadline_ms)
{
    postgres_of(database)->deadline_ms = deadline_ms;
}

static int64_t postgres_changed_rows(database_t *database)
{
    return postgres_of(database)->changed_rows;
}

static void postgres_checkpoint(database_t *database)
{
    (void)database;
}

/* ---- locks ------------------------------------------------------------------------------------- */

/* A query with one parameter whose type the server knows from the text. */
static status_t ask(postgres_t *postgres, const char *sql, const char *parameter,
                    PGresult **out_result)
{
    TRY(postgres_ready(postgres));
    TRY(postgres_settle(postgres));
    return postgres_answer(
        postgres, PQsendQueryParams(postgres->handle, sql, 1, NULL, &parameter, NULL, NULL, 0),
        "lock", out_result);
}

static status_t postgres_lock(database_t *database, const int64_t *keys, size_t count)
{
    postgres_t *postgres = postgres_of(database);
    AUTO_BUFFER list = {0};
    if (!postgres->in_transaction)
        return fail(STATUS_INTERNAL, "database: locks belong to a transaction");
    for (size_t i = 0; i < count; i++)
        buffer_printf(&list, "%s%lld", i ? "," : "{", (long long)keys[i]);
    buffer_append_byte(&list, '}');
    return ask(postgres,
               "SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) WITH ORDINALITY"
               " AS keys (key, place) ORDER BY place",
               buffer_text(&list), NULL);
}

static size_t election_find(const postgres_t *postgres, int64_t key)
{
    size_t i = 0;
    while (i < postgres->election_count && postgres->elections[i] != key)
        i++;
    return i;
}

static status_t postgres_try_lock(database_t *database, int64_t key, bool *out_locked)
{
    postgres_t *postgres = postgres_of(database);
    PGresult *result = NULL;
    char text[24];
    TRY(postgres_ready(postgres)); /* before the look: a new connection holds nothing */
    bool is_held = election_find(postgres, key) < postgres->election_count;
    if (!is_held && postgres->election_count == DATABASE_ELECTIONS_MAX)
        return fail(STATUS_INTERNAL, "database: more than %d elections", DATABASE_ELECTIONS_MAX);
    snprintf(text, sizeof text, "%lld", (long long)key);
    /* A lock taken twice would have to be given back twice; asking shows that the session lives. */
    uint64_t session = postgres->session;
    status_t status =
        ask(postgres, is_held ? "SELECT $1::bigint IS NOT NULL" : "SELECT pg_try_advisory_lock($1)",
            text, &result);
    if (status == STATUS_OK) {
        bool is_kept = !is_held || session == postgres->session;
        *out_locked = is_kept && *PQgetvalue(result, 0, 0) == 't';
        if (*out_locked && !is_held)
            postgres->elections[postgres->election_count++] = key;
    }
    PQclear(result);
    return status;
}

static void postgres_unlock(database_t *database, int64_t key)
{
    postgres_t *postgres = postgres_of(database);
    size_t place = election_find(postgres, key);
    char text[24];
    if (place == postgres->election_count)
        return;
    snprintf(text, sizeof text, "%lld", (long long)key);
    /* A lock that cannot be given back ends with its connection. */
    if (ask(postgres, "SELECT pg_advisory_unlock($1)", text, NULL) != STATUS_OK)
        postgres_disconnect(postgres);
    else
        postgres->elections[place] = postgres->elections[--postgres->election_count];
}

/* Of programs that start together one migrates; the others wait for as long as it takes. */
static status_t postgres_begin_migration(database_t *database)
{
    static const int64_t key = DATABASE_MIGRATION_KEY;
    TRY(postgres_begin(database));
    postgres_of(database)->unlimited = true;
    status_t status =
        postgres_execute(database, "SET LOCAL lock_timeout = 0;"
                                   "SET LOCAL idle_in_transaction_session_timeout = 0");
    if (status == STATUS_OK)
        status = postgres_lock(database, &key, 1);
    if (status != STATUS_OK)
        postgres_rollback(database);
    return status;
}

const database_driver_t postgres_driver = {
    .dialect = DIALECT_POSTGRES,
    .open = postgres_open,
    .close = postgres_close,
    .execute = postgres_execute,
    .is_connected = postgres_is_connected,
    .session = postgres_session,
    .begin = postgres_begin,
    .begin_migration = postgres_begin_migration,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
    .set_deadline = postgres_set_deadline,
    .changed_rows = postgres_changed_rows,
    .checkpoint = postgres_checkpoint,
    .lock = postgres_lock,
    .try_lock = postgres_try_lock,
    .unlock = postgres_unlock,
    .prepare = postgres_prepare,
    .finalize = postgres_finalize,
    .bind_text = postgres_bind_text,
    .bind_int64 = postgres_bind_int64,
    .bind_blob = postgres_bind_blob,
    .bind_null = postgres_bind_null,
    .step = postgres_step,
    .post = postgres_post,
    .reset = postgres_reset,
    .int64 = postgres_int64,
    .text = postgres_text,
    .blob = postgres_blob,
    .is_null = postgres_is_null,
};
