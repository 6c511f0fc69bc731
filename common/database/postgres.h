#ifndef ZPACS_DATABASE_POSTGRES_H
#define ZPACS_DATABASE_POSTGRES_H

#include "database/driver.h"

#include <libpq-fe.h>

enum { POSTGRES_POSTED_MAX = 256 }; /* their answers fit a socket's buffers: nobody gets stuck */

/*
 * What the files postgres_*.c share.
 *
 *     postgres.c             the driver's table, transactions, locks
 *     postgres_connection.c  connects, and again; sends and waits for answers
 *     postgres_statement.c   prepared statements: values in, rows out
 *     postgres_error.c       SQLSTATE to status and sentence
 */
typedef struct {
    database_t base;
    char *location; /* with its password: never in a sentence */
    bool read_only;

    PGconn *handle;      /* NULL while there is no connection */
    uint64_t session;    /* counts connections: statements and locks of older ones are gone */
    uint64_t names;      /* of prepared statements, counted */
    int64_t retry_at_ms; /* no attempt to connect before this instant */

    bool in_transaction; /* from begin to commit or rollback, whatever becomes of the connection */
    status_t failure;    /* the first in this transaction: all that follows fails with it */
    bool unlimited;      /* this transaction migrates: no limits of time */

    int64_t deadline_ms;       /* the caller's; 0: none */
    int64_t limit_ms;          /* statement_timeout as it stands in the session */
    int64_t limit_at_begin_ms; /* what a rollback makes of it */
    int64_t changed_rows;

    /* Statements whose answers are still to come; any: libpq is in pipeline mode. */
    size_t posted;
    bool must_change_one[POSTGRES_POSTED_MAX]; /* of them, which */
    bool is_expecting;                         /* one of them does */

    int64_t elections[DATABASE_ELECTIONS_MAX]; /* keys held by this session */
    size_t election_count;
} postgres_t;

/* ---- postgres_connection.c --------------------------------------------------------------------- */

/* Fails: UNAVAILABLE, INVALID, UNSUPPORTED. */
status_t postgres_connect(postgres_t *postgres);
void postgres_disconnect(postgres_t *postgres);

/* Looks whether the server has closed the idle connection, without asking it. */
bool postgres_is_alive(postgres_t *postgres);

/*
 * What precedes every statement: a transaction that has failed stays failed, a lost connection is
 * made anew outside of one, the time limit stands.
 */
status_t postgres_ready(postgres_t *postgres);

/*
 * Waits for the answer to what was sent (sent: 1 as libpq's send functions say). Of several results
 * the last is kept, or the first failure. The caller clears out_result; NULL: not wanted.
 */
status_t postgres_answer(postgres_t *postgres, int sent, const char *what, PGresult **out_result);

/*
 * The same for what was sent (-1: nothing was) behind posted statements: takes their answers, too, and leaves
 * pipeline mode. The first failure of all is the status.
 */
status_t postgres_answer_posted(postgres_t *postgres, int sent, const char *what,
                                PGresult **out_result);

/* Posts a command without parameters: its answer comes with that of the next that is waited for. */
status_t postgres_send_ahead(postgres_t *postgres, const char *sql);

/* Takes the answers of posted statements, if there are any: before anything else is sent. */
status_t postgres_settle(postgres_t *postgres);

/* One or several commands without parameters or rows. */
status_t postgres_command(postgres_t *postgres, const char *sql, const char *what);

/* ---- postgres_error.c -------------------------------------------------------------------------- */

/* The status of a failed result, with a sentence that holds no value. */
status_t postgres_error(const PGresult *result, const char *what);

/* ---- postgres_statement.c ---------------------------------------------------------------------- */

status_t postgres_prepare(database_t *database, const char *sql, statement_t **out_statement);
void postgres_finalize(statement_t *statement);
void postgres_bind_text(statement_t *statement, int number, const char *text, size_t length);
void postgres_bind_int64(statement_t *statement, int number, int64_t value);
void postgres_bind_blob(statement_t *statement, int number, const void *bytes, size_t length);
void postgres_bind_null(statement_t *statement, int number);
status_t postgres_step(statement_t *statement, bool *out_row);
status_t postgres_post(statement_t *statement, bool must_change_one);
void postgres_reset(statement_t *statement);
int64_t postgres_int64(statement_t *statement, int column);
const char *postgres_text(statement_t *statement, int column);
const void *postgres_blob(statement_t *statement, int column, size_t *out_length);
bool postgres_is_null(statement_t *statement, int column);

#endif
