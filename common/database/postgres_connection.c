#include "database/postgres.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum {
    RETRY_MS = 1000,     /* between attempts to connect */
    LIMIT_STEP_MS = 250, /* deadlines are rounded up to it, so that the limit seldom changes */
    NOTHING_SENT = -1,
    ANSWER_GRACE_MS = 10000, /* behind the server's own limit: then it is frozen or gone */
    SILENCE_MS = 5000        /* without an answer, before it is looked whether anybody is there */
};

/* A row without a text says the URI's own words; those before it are defaults that it overrides. */
static const struct {
    const char *name, *value;
} options[] = {
    {"fallback_application_name", "zpacs"},
    {"connect_timeout", "5"},
    {"keepalives_idle", "10"},
    {"keepalives_interval", "5"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "15000"},
    {"dbname", NULL},
    {"client_encoding", "UTF8"},
};

enum { OPTIONS = sizeof options / sizeof *options };

/* synchronous_commit=off: docs/decisions.md. */
static const char settings[] = "SET standard_conforming_strings = on;"
                               "SET bytea_output = hex;"
                               "SET client_min_messages = warning;"
                               "SET synchronous_commit = off;"
                               "SET idle_in_transaction_session_timeout = 60000;";

static void notice_ignore(void *context, const PGresult *notice)
{
    (void)context, (void)notice;
}

/*
 * libpq quotes pieces of a URI that it misreads, and with a '@' or '/' left as it is inside a
 * password those are pieces of the password. So such a URI does not get that far: there is at
 * most one '@', and what stands before it has no '/' and no '?'.
 */
static status_t location_check(const char *location)
{
    const char *authority = strstr(location, "://") + 3, *at = strchr(authority, '@');
    PQconninfoOption *parsed = NULL;
    bool is_fine =
        !at || (strcspn(authority, "/?#") > (size_t)(at - authority) && !strchr(at + 1, '@'));
    if (is_fine)
        is_fine = (parsed = PQconninfoParse(location, NULL)) != NULL;
    PQconninfoFree(parsed);
    if (!is_fine)
        return fail(STATUS_INVALID, "database: the location is no connection URI of PostgreSQL"
                                    " (in user and password @ is %%40, / is %%2F)");
    return STATUS_OK;
}

void postgres_disconnect(postgres_t *postgres)
{
    PQfinish(postgres->handle);
    postgres->handle = NULL;
    postgres->election_count = 0;
    postgres->posted = 0;
    postgres->is_expecting = false;
}

static status_t session_start(postgres_t *postgres)
{
    char more[160];
    const char *encoding = PQparameterStatus(postgres->handle, "server_encoding");
    if (!encoding || strcmp(encoding, "UTF8") != 0)
        return fail(STATUS_UNSUPPORTED, "database: its encoding is %s, not UTF8",
                    encoding ? encoding : "unknown");
    postgres->session++;
    postgres->limit_ms = DATABASE_STATEMENT_MS;
    snprintf(more, sizeof more,
             "SET statement_timeout = %d; SET lock_timeout = %d;"
             "SET default_transaction_read_only = %s",
             DATABASE_STATEMENT_MS, DATABASE_BUSY_MS, postgres->read_only ? "on" : "off");
    TRY(postgres_command(postgres, settings, "connect"));
    return postgres_command(postgres, more, "connect");
}

status_t postgres_connect(postgres_t *postgres)
{
    const char *names[OPTIONS + 1] = {NULL}, *values[OPTIONS + 1] = {NULL};
    int64_t now = clock_monotonic_ms();
    if (now < postgres->retry_at_ms)
        return fail(STATUS_UNAVAILABLE, "database: not connected");
    TRY(location_check(postgres->location));
    for (size_t i = 0; i < OPTIONS; i++) {
        names[i] = options[i].name;
        values[i] = options[i].value ? options[i].value : postgres->location;
    }
    postgres->handle = PQconnectdbParams(names, values, 1);
    postgres->retry_at_ms = clock_monotonic_ms() + RETRY_MS;
    status_t status = STATUS_OK;
    if (PQstatus(postgres->handle) == CONNECTION_OK) {
        PQsetNoticeReceiver(postgres->handle, notice_ignore, NULL);
        (void)PQsetnonblocking(postgres->handle, 1); /* a frozen server may take nothing, either */
        status = session_start(postgres);
    } else {
        const char *message = PQerrorMessage(postgres->handle);
        status = fail(STATUS_UNAVAILABLE, "database: %.*s", (int)strcspn(message, "\n"), message);
    }
    if (status != STATUS_OK)
        postgres_disconnect(postgres);
    return status;
}

bool postgres_is_alive(postgres_t *postgres)
{
    /* The server's farewell may come in pieces before the end of the stream shows. */
    for (int i = 0; i < 16 && postgres->handle; i++) {
        struct pollfd wait = {.fd = PQsocket(postgres->handle), .events = POLLIN};
        if (wait.fd >= 0 && poll(&wait, 1, 0) <= 0)
            return true;
        bool is_open = wait.fd >= 0 && PQconsumeInput(postgres->handle);
        if (is_open)
            (void)PQisBusy(postgres->handle); /* reads what came */
        if (!is_open || PQstatus(postgres->handle) != CONNECTION_OK)
            postgres_disconnect(postgres);
    }
    return postgres->handle != NULL;
}

/* The limit that the server is to keep for the next statement; 0: none. */
static status_t limit_find(const postgres_t *postgres, int64_t *out_limit_ms)
{
    *out_limit_ms = postgres->unlimited ? 0 : DATABASE_STATEMENT_MS;
    if (!postgres->deadline_ms || postgres->unlimited)
        return STATUS_OK;
    int64_t left = postgres->deadline_ms - clock_monotonic_ms();
    if (left <= 0)
        return fail(STATUS_EXPIRED, "database: the deadline has passed");
    left = (left + LIMIT_STEP_MS - 1) / LIMIT_STEP_MS * LIMIT_STEP_MS;
    if (left < DATABASE_STATEMENT_MS)
        *out_limit_ms = left;
    return STATUS_OK;
}

static status_t limit_apply(postgres_t *postgres)
{
    int64_t limit_ms = 0;
    char sql[64];
    TRY(limit_find(postgres, &limit_ms));
    if (limit_ms == postgres->limit_ms)
        return STATUS_OK;
    snprintf(sql, sizeof sql, "SET statement_timeout = %lld", (long long)limit_ms);
    TRY(postgres_command(postgres, sql, "limit"));
    postgres->limit_ms = limit_ms;
    return STATUS_OK;
}

static status_t failure_note(postgres_t *postgres, status_t status)
{
    if (status != STATUS_OK && postgres->in_transaction && postgres->failure == STATUS_OK)
        postgres->failure = status;
    return status;
}

status_t postgres_ready(postgres_t *postgres)
{
    if (postgres->in_transaction && postgres->failure != STATUS_OK)
        return fail(postgres->failure, "database: the transaction has failed before");
    if (!postgres->in_transaction && !postgres_is_alive(postgres))
        TRY(postgres_connect(postgres));
    return failure_note(postgres, limit_apply(postgres));
}

/*
 * Whether the server that we are connected to greets a new connection: one that works at a long
 * statement does, one that is frozen or behind a broken network does not, though the kernel of its
 * machine may still acknowledge what we send. It greets before it asks who we are.
 */
static bool server_greets(const postgres_t *postgres)
{
    const PGconn *handle = postgres->handle;
    const char *const names[] = {"dbname", "host", "hostaddr", "port", "connect_timeout", NULL};
    const char *const values[] = {
        postgres->location, PQhost(handle), PQhostaddr(handle), PQport(handle), "5", NULL};
    return PQpingParams(names, values, 1) != PQPING_NO_RESPONSE;
}

/*
 * Waits until a result can be taken without waiting, and sends meanwhile what is still to be sent.
 * False: the server does not answer.
 */
static bool answer_wait(postgres_t *postgres)
{
    int64_t end_ms = clock_monotonic_ms() + postgres->limit_ms + ANSWER_GRACE_MS;
    while (PQisBusy(postgres->handle)) {
        bool is_unsent = PQflush(postgres->handle) > 0;
        struct pollfd wait = {.fd = PQsocket(postgres->handle),
                              .events = is_unsent ? POLLIN | POLLOUT : POLLIN};
        int64_t left = end_ms - clock_monotonic_ms();
        if (postgres->limit_ms && left <= 0)
            return false;
        if (!postgres->limit_ms || left > SILENCE_MS)
            left = SILENCE_MS;
        int ready = poll(&wait, 1, (int)left);
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready == 0 && left == SILENCE_MS && !server_greets(postgres))
            return false;
        if ((wait.revents & ~POLLOUT) && !PQconsumeInput(postgres->handle))
            return true; /* the broken connection is a result, too */
    }
    return true;
}

static bool is_failure(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY;
}

/* All results up to the end; *out_kept is the first failure, or else the last. */
static bool results_take(postgres_t *postgres, PGresult **out_kept)
{
    while (answer_wait(postgres)) {
        PGresult *next = PQgetResult(postgres->handle);
        if (!next)
            return true;
        if (*out_kept && is_failure(*out_kept)) {
            PQclear(next);
        } else {
            PQclear(*out_kept);
            *out_kept = next;
        }
    }
    return false;
}

/* A connection found broken is closed, and whatever the server said on the way is UNAVAILABLE. */
static status_t loss_check(postgres_t *postgres, bool answered, const char *what, status_t status)
{
    if (answered && PQstatus(postgres->handle) == CONNECTION_OK)
        return status;
    postgres_disconnect(postgres);
    if (!answered)
        return fail(STATUS_UNAVAILABLE, "database: %s: the server does not answer", what);
    return status == STATUS_UNAVAILABLE
               ? status
               : fail(STATUS_UNAVAILABLE, "database: %s: the connection is lost", what);
}

status_t postgres_answer(postgres_t *postgres, int sent, const char *what, PGresult **out_result)
{
    PGresult *result = NULL;
    bool answered = !sent || results_take(postgres, &result);
    status_t status = STATUS_OK;
    if (!sent)
        status = fail(STATUS_INTERNAL, "database: %s: it cannot be sent", what);
    else if (result && is_failure(result))
        status = postgres_error(result, what);
    status = failure_note(postgres, loss_check(postgres, answered, what, status));
    if (status == STATUS_OK && out_result)
        *out_result = result;
    else
        PQclear(result);
    return status;
}

/* ---- posted statements -------------------------------------------------------------------------- */

/* The answers of `count` statements: the first failure of them, or else the last. */
static bool answers_take(postgres_t *postgres, size_t count, PGresult **out_kept, bool *out_met)
{
    bool answered = PQpipelineSync(postgres->handle) == 1;
    for (size_t i = 0; i < count && answered; i++) {
        PGresult *result = NULL;
        answered = results_take(postgres, &result);
        if (i < postgres->posted && postgres->must_change_one[i] && result)
            *out_met &= strcmp(PQcmdTuples(result), "1") == 0;
        if (*out_kept && is_failure(*out_kept)) {
            PQclear(result);
        } else {
            PQclear(*out_kept);
            *out_kept = result;
        }
    }
    if (answered && (answered = answer_wait(postgres)))
        PQclear(PQgetResult(postgres->handle)); /* that of the sync */
    return answered;
}

status_t postgres_answer_posted(postgres_t *postgres, int sent, const char *what,
                                PGresult **out_result)
{
    PGresult *result = NULL;
    bool met = true; /* what was expected of those posted */
    bool answered = answers_take(postgres, postgres->posted + (sent == 1), &result, &met);
    status_t status = STATUS_OK;
    postgres->posted = 0;
    postgres->is_expecting = false;
    if (answered && PQexitPipelineMode(postgres->handle) != 1)
        answered = false;
    if (!sent)
        status = fail(STATUS_INTERNAL, "database: %s: it cannot be sent", what);
    else if (result && is_failure(result))
        status = postgres_error(result, what);
    else if (!met)
        status = fail(STATUS_CONFLICT, "database: not one row was changed");
    status = failure_note(postgres, loss_check(postgres, answered, what, status));
    if (status == STATUS_OK && out_result)
        *out_result = result;
    else
        PQclear(result);
    return status;
}

status_t postgres_send_ahead(postgres_t *postgres, const char *sql)
{
    if (!postgres->posted && PQenterPipelineMode(postgres->handle) != 1)
        return fail(STATUS_INTERNAL, "database: no pipeline");
    if (PQsendQueryParams(postgres->handle, sql, 0, NULL, NULL, NULL, NULL, 0) != 1)
        return postgres_answer_posted(postgres, 0, "send", NULL);
    postgres->must_change_one[postgres->posted++] = false;
    return STATUS_OK;
}

status_t postgres_settle(postgres_t *postgres)
{
    if (!postgres->posted)
        return STATUS_OK;
    return postgres_answer_posted(postgres, NOTHING_SENT, "post", NULL);
}

status_t postgres_command(postgres_t *postgres, const char *sql, const char *what)
{
    TRY(postgres_settle(postgres));
    return postgres_answer(postgres, PQsendQuery(postgres->handle, sql), what, NULL);
}
