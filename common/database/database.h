#ifndef ZPACS_DATABASE_DATABASE_H
#define ZPACS_DATABASE_DATABASE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A SQL database, SQLite or PostgreSQL: the location chooses. README.md tells how they differ.
 *
 * SQL is written in PostgreSQL's way and SQLite takes it as it is: parameters are $1, $2 ...,
 * types are TEXT, BIGINT and BYTEA, upserts are ON CONFLICT, LIKE is case-sensitive. What cannot be
 * said in both ways is a word in braces that is replaced (dialect.c): {ROWKEY} is a 64-bit primary
 * key that the database assigns, {TEXT} the type of a column
 * whose texts compare byte by byte, {TRUNCATE} the fast way to empty a table.
 *
 * A connection belongs to one thread at a time. Exactly one connection of a SQLite file may write
 * (SQLite before 3.51.3 can damage a WAL that two connections write or checkpoint at once); all
 * others are opened read-only. On PostgreSQL any number may write.
 *
 * A transaction in which a statement failed can only be rolled back. BUSY means: roll back and do
 * the whole transaction again. A lost connection is UNAVAILABLE, and so is all that follows in its
 * transaction; outside of one the next call connects again, at most once a second. Whether a
 * COMMIT that met a lost connection took place is not known, so what is written must bear a repeat.
 */
typedef struct database database_t;
typedef struct statement statement_t;

enum {
    DATABASE_STATEMENTS_MAX = 128, /* prepared and kept per connection */
    DATABASE_PARAMETERS_MAX = 512, /* of one statement */
    DATABASE_LOCKS_MAX = 1024,     /* of one database_lock() */
    DATABASE_ELECTIONS_MAX = 8,    /* held by one connection through database_try_lock() */
    DATABASE_BUSY_MS = 5000,
    DATABASE_STATEMENT_MS = 600000,       /* without a deadline; PostgreSQL only */
    DATABASE_VALUE_MAX = 16 * 1024 * 1024 /* bytes of a value or a row */
};

/* The lock of migrations; no other use may take it. */
#define DATABASE_MIGRATION_KEY INT64_MIN

/*
 * location   postgresql://... or postgres://...: a connection URI of libpq, whose password is in no
 *            sentence that this folder writes; anything else: path of a SQLite file, made when
 *            missing (not when read_only)
 * Fails: UNAVAILABLE (cannot be opened), INTERNAL (a file that is not, or no longer, a database),
 * INVALID (no well-formed URI), UNSUPPORTED (a database whose encoding is not UTF8).
 */
status_t database_open(const char *location, bool read_only, database_t **out_database);
void database_close(database_t **database);

/* Runs statements that give no rows; several separated by ';'. Fails as statement_step(). */
status_t database_execute(database_t *database, const char *sql);

/* Whether the connection stands, as far as can be told without asking the server. */
bool database_is_connected(database_t *database);

/*
 * Counts the connections made so far. Another number than before: the server may have been started
 * anew or replaced, and may have lost the last of what was committed (docs/decisions.md 10). What
 * the caller remembers of it is to be read again.
 */
uint64_t database_session(database_t *database);

/* A read-only connection sees one snapshot from its first statement to the end. */
status_t database_begin(database_t *database);  /* PostgreSQL hears of it with what follows */
status_t database_commit(database_t *database); /* a commit that fails has rolled back */
void database_rollback(database_t *database);   /* harmless when there is no transaction */

/*
 * Statements run after this instant (clock_monotonic_ms) fail with EXPIRED; 0: no limit.
 * PostgreSQL may be 250 ms late.
 */
void database_set_deadline(database_t *database, int64_t deadline_ms);

/*
 * Takes exclusive locks until the transaction ends, one after the other. Sorted keys without
 * exception keep two transactions from waiting for each other. Nothing on SQLite: one writes.
 * Fails: INVALID (more than DATABASE_LOCKS_MAX), BUSY (not free in DATABASE_BUSY_MS).
 */
status_t database_lock(database_t *database, const int64_t *keys, size_t count);

/*
 * Takes, or finds that it still holds, a lock that lasts until database_unlock() or until the
 * connection is lost: for the election of one among several processes. The keys are those of
 * database_lock(). Always true on SQLite. The holder asks again before it relies on it.
 */
status_t database_try_lock(database_t *database, int64_t key, bool *out_locked);
void database_unlock(database_t *database, int64_t key);

/* Rows that the last INSERT, UPDATE or DELETE changed. */
int64_t database_changed_rows(database_t *database);

/* Writes SQLite's log back into the file: at the end of a clean run. */
void database_checkpoint(database_t *database);

/*
 * A statement by its text, from the connection's cache or prepared now; without bound values. It is
 * borrowed until statement_reset(), and must not be asked for again before that.
 * Fails: INTERNAL (the SQL is wrong; PostgreSQL says so at the first step), UNAVAILABLE.
 */
status_t database_prepare(database_t *database, const char *sql, statement_t **out_statement);

/* number: 1 for $1. Texts and blobs must live until the statement is reset. Unbound is NULL. */
void statement_bind_text(statement_t *statement, int number, const char *text);
void statement_bind_text_n(statement_t *statement, int number, const char *text, size_t length);
void statement_bind_int64(statement_t *statement, int number, int64_t value);
void statement_bind_blob(statement_t *statement, int number, const void *bytes, size_t length);
void statement_bind_null(statement_t *statement, int number);

/*
 * The next row. *out_row is false at the end.
 * Fails: CONFLICT (a constraint), BUSY (again, from the transaction's begin), UNAVAILABLE (busy,
 * disk, no connection), EXPIRED (deadline), TOO_LARGE (DATABASE_VALUE_MAX), INVALID (a text that
 * PostgreSQL does not take: not UTF-8, or with a NUL), INTERNAL.
 */
status_t statement_step(statement_t *statement, bool *out_row);

/* Runs to the end, ignores rows, resets. */
status_t statement_run(statement_t *statement);

/*
 * As statement_run(), when nobody wants rows or the number of changed ones: within a transaction
 * PostgreSQL is not waited for, and a failure may show at a later statement only, at the latest at
 * the commit.
 */
status_t statement_post(statement_t *statement);

/* The same for one that must change exactly one row; CONFLICT if it does not. */
status_t statement_post_one(statement_t *statement);

/* Ends the statement's use: releases its snapshot and forgets its values. NULL is fine. */
void statement_reset(statement_t *statement);
void statement_reset_cleanup(statement_t **statement);

/* Released at the end of the scope: AUTO_STATEMENT *find = NULL; */
#define AUTO_STATEMENT __attribute__((cleanup(statement_reset_cleanup))) statement_t

/* Columns from 0; valid until the next step. A NULL is 0, "" or an empty blob. */
int64_t statement_int64(statement_t *statement, int column);
const char *statement_text(statement_t *statement, int column);
const void *statement_blob(statement_t *statement, int column, size_t *out_length);
bool statement_is_null(statement_t *statement, int column);

/* Migrations: the texts of versions 1, 2, 3 ...; a NULL sql ends the table. */
typedef struct {
    const char *sql;
    const char *postgres_sql; /* after sql, on PostgreSQL only; NULL: nothing */
} migration_t;

/*
 * Brings the schema to the newest version in a transaction that also notes the number
 * (table schema_version). Programs that start together do it once; there is no time limit.
 * Fails: UNSUPPORTED (the schema is newer than this program), and as statement_step().
 */
status_t database_migrate(database_t *database, const migration_t *migrations);

/*
 * Runs, at each start, what makes PostgreSQL faster and may be refused to this role or missing on
 * this server, as an extension and its index: each text in a transaction of its own, written so
 * that a repeat does nothing. Nothing on SQLite.
 *
 * postgres_sql   ended by NULL
 * out_all        false: one was refused, fail_detail() says why; the caller logs it and goes on
 * Fails: UNAVAILABLE.
 */
status_t database_migrate_optional(database_t *database, const char *const *postgres_sql,
                                   bool *out_all);

#endif
