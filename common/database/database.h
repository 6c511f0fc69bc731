#ifndef ZPACS_DATABASE_DATABASE_H
#define ZPACS_DATABASE_DATABASE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A SQL database: SQLite now; PostgreSQL joins behind the same functions, chosen by the location.
 *
 * SQL is written in PostgreSQL's way and SQLite takes it as it is: parameters are $1, $2 ...,
 * types are TEXT, BIGINT and BYTEA, upserts are ON CONFLICT, LIKE is case-sensitive. What cannot be
 * said in both ways is a word in braces that the implementation replaces (see sqlite.c):
 * {ROWKEY} is a 64-bit primary key that the database assigns.
 *
 * A connection belongs to one thread at a time. Exactly one connection of a SQLite file may write
 * (SQLite before 3.51.3 can damage a WAL that two connections write or checkpoint at once); all
 * others are opened read-only.
 */
typedef struct database database_t;
typedef struct statement statement_t;

enum {
    DATABASE_STATEMENTS_MAX = 128, /* prepared and kept per connection */
    DATABASE_PARAMETERS_MAX = 512, /* of one statement */
    DATABASE_BUSY_MS = 5000,
    DATABASE_VALUE_MAX = 16 * 1024 * 1024 /* bytes of a value or a row */
};

/*
 * location   path of the file, made when missing (not when read_only)
 * Fails: UNAVAILABLE (cannot be opened), INTERNAL (a file that is not, or no longer, a database).
 */
status_t database_open(const char *location, bool read_only, database_t **out_database);
void database_close(database_t **database);

/* Runs statements that give no rows; several separated by ';'. Fails as statement_step(). */
status_t database_execute(database_t *database, const char *sql);

status_t database_begin(database_t *database);
status_t database_commit(database_t *database);
void database_rollback(database_t *database); /* harmless when there is no transaction */

/* Statements run after this instant (clock_monotonic_ms) fail with EXPIRED; 0: no limit. */
void database_set_deadline(database_t *database, int64_t deadline_ms);

/* Rows that the last INSERT, UPDATE or DELETE changed. */
int64_t database_changed_rows(database_t *database);

/* Writes the log back into the file: at the end of a clean run. */
void database_checkpoint(database_t *database);

/*
 * A statement by its text, from the connection's cache or prepared now; without bound values. It is
 * borrowed until statement_reset(), and must not be asked for again before that.
 * Fails: INTERNAL (the SQL is wrong), UNAVAILABLE.
 */
status_t database_prepare(database_t *database, const char *sql, statement_t **out_statement);

/* number: 1 for $1. Texts and blobs must live until the statement is reset. */
void statement_bind_text(statement_t *statement, int number, const char *text);
void statement_bind_text_n(statement_t *statement, int number, const char *text, size_t length);
void statement_bind_int64(statement_t *statement, int number, int64_t value);
void statement_bind_blob(statement_t *statement, int number, const void *bytes, size_t length);
void statement_bind_null(statement_t *statement, int number);

/*
 * The next row. *out_row is false at the end.
 * Fails: CONFLICT (a constraint), UNAVAILABLE (busy, disk), EXPIRED (deadline), INTERNAL.
 */
status_t statement_step(statement_t *statement, bool *out_row);

/* Runs to the end, ignores rows, resets. */
status_t statement_run(statement_t *statement);

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

/* Migrations: the texts of versions 1, 2, 3 ...; NULL ends the table. */
typedef struct {
    const char *sql;
} migration_t;

/*
 * Brings the schema to the newest version, each step in a transaction that also notes its number
 * (table schema_version).
 * Fails: UNSUPPORTED (the schema is newer than this program), and as statement_step().
 */
status_t database_migrate(database_t *database, const migration_t *migrations);

#endif
