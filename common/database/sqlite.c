#include "database/driver.h"

#include "base/clock.h"
#include "base/memory.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { PROGRESS_STEPS = 20000 /* virtual machine steps between looks at the clock */ };

typedef struct {
    statement_t base;
    sqlite3_stmt *handle;
    int *index_of; /* parameter number -> SQLite's index; 0: not in the text */
    int parameters;
} sqlite_statement_t;

/* Prepared once: one that had to be prepared could fail for want of memory, and a reader whose
 * transaction does not end sees the rows of that moment for ever. */
enum { BEGIN, COMMIT, ROLLBACK, TRANSACTION_STATEMENTS };

typedef struct {
    database_t base;
    sqlite3 *handle;
    sqlite3_stmt *transaction[TRANSACTION_STATEMENTS];
    int64_t deadline_ms;
} sqlite_t;

static sqlite3 *handle_of(database_t *database)
{
    return ((sqlite_t *)database)->handle;
}

static sqlite3_stmt *statement_of(statement_t *statement)
{
    return ((sqlite_statement_t *)statement)->handle;
}

/* synchronous=NORMAL: a power loss may take back the last transactions, never half of one. The
 * index is a view of the packs and reads them again from the offset that came with the same
 * transaction, so nothing is lost. */
static const char settings_all[] = "PRAGMA case_sensitive_like = ON;" /* as PostgreSQL's LIKE */
                                   "PRAGMA foreign_keys = OFF;"
                                   "PRAGMA trusted_schema = OFF;"
                                   "PRAGMA temp_store = MEMORY;"
                                   "PRAGMA cache_size = -16384;";
static const char settings_writer[] = "PRAGMA journal_mode = WAL;"
                                      "PRAGMA synchronous = NORMAL;"
                                      "PRAGMA wal_autocheckpoint = 4000;"
                                      "PRAGMA journal_size_limit = 67108864;";

static status_t status_of(sqlite3 *handle, int code, const char *what)
{
    status_t status = STATUS_INTERNAL;
    switch (code & 0xFF) {
    case SQLITE_CONSTRAINT:
        status = STATUS_CONFLICT;
        break;
    case SQLITE_INTERRUPT:
        status = STATUS_EXPIRED;
        break;
    case SQLITE_TOOBIG:
        status = STATUS_TOO_LARGE;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PROTOCOL:
    case SQLITE_PERM:
    case SQLITE_NOMEM:
        status = STATUS_UNAVAILABLE;
        break;
    default:
        break;
    }
    /* SQLite's sentence names tables and columns, never a value. */
    return fail(status, "database: %s: %s", what, handle ? sqlite3_errmsg(handle) : "no memory");
}

static int progress(void *context)
{
    const sqlite_t *sqlite = context;
    return sqlite->deadline_ms && clock_monotonic_ms() > sqlite->deadline_ms;
}

static void limits_set(sqlite3 *handle)
{
    sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, DATABASE_VALUE_MAX);
    sqlite3_limit(handle, SQLITE_LIMIT_VARIABLE_NUMBER, DATABASE_PARAMETERS_MAX);
    sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(handle, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1024);
    sqlite3_limit(handle, SQLITE_LIMIT_TRIGGER_DEPTH, 0);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
}

static status_t sqlite_execute(database_t *database, const char *sql)
{
    int code = sqlite3_exec(handle_of(database), sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STATUS_OK : status_of(handle_of(database), code, "execute");
}

static status_t settings_apply(database_t *database, bool read_only)
{
    TRY(sqlite_execute(database, settings_all));
    if (!read_only)
        return sqlite_execute(database, settings_writer);
    /* A reader never checkpoints, not even when it is the last to close. */
    sqlite3_db_config(handle_of(database), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return sqlite_execute(database, "PRAGMA query_only = ON;");
}

static status_t transactions_prepare(sqlite_t *sqlite, bool read_only)
{
    const char *const texts[TRANSACTION_STATEMENTS] = {read_only ? "BEGIN" : "BEGIN IMMEDIATE",
                                                       "COMMIT", "ROLLBACK"};
    for (size_t i = 0; i < TRANSACTION_STATEMENTS; i++) {
        int code = sqlite3_prepare_v3(sqlite->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &sqlite->transaction[i], NULL);
        if (code != SQLITE_OK)
            return status_of(sqlite->handle, code, "prepare");
    }
    return STATUS_OK;
}

static status_t transaction_run(database_t *database, size_t which)
{
    sqlite3_stmt *statement = ((sqlite_t *)database)->transaction[which];
    int code = sqlite3_step(statement);
    status_t status = code == SQLITE_DONE
                          ? STATUS_OK
                          : status_of(handle_of(database), code, sqlite3_sql(statement));
    sqlite3_reset(statement);
    return status;
}

static void sqlite_close(database_t *database)
{
    for (size_t i = 0; i < TRANSACTION_STATEMENTS; i++)
        sqlite3_finalize(((sqlite_t *)database)->transaction[i]);
    sqlite3_close_v2(handle_of(database));
    free(database);
}

static status_t sqlite_open(const char *location, bool read_only, database_t **out_database)
{
    sqlite_t *sqlite = memory_allocate(sizeof *sqlite);
    sqlite->base.driver = &sqlite_driver;
    int flags = SQLITE_OPEN_NOMUTEX |
                (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    int code = sqlite3_open_v2(location, &sqlite->handle, flags, NULL);
    status_t status = STATUS_OK;
    if (code != SQLITE_OK) {
        status = status_of(sqlite->handle, code, "open");
    } else {
        limits_set(sqlite->handle);
        sqlite3_busy_timeout(sqlite->handle, DATABASE_BUSY_MS);
        sqlite3_progress_handler(sqlite->handle, PROGRESS_STEPS, progress, sqlite);
        status = settings_apply(&sqlite->base, read_only);
        if (status == STATUS_OK)
            status = transactions_prepare(sqlite, read_only);
    }
    if (status == STATUS_OK)
        *out_database = &sqlite->base;
    else
        sqlite_close(&sqlite->base);
    return status;
}

static bool sqlite_is_connected(database_t *database)
{
    (void)database;
    return true;
}

static uint64_t sqlite_session(database_t *database)
{
    (void)database;
    return 1;
}

/* The write transaction is also the lock of migrations: of two processes the second finds the work
 * done. */
static status_t sqlite_begin(database_t *database)
{
    return transaction_run(database, BEGIN);
}

static status_t sqlite_commit(database_t *database)
{
    return transaction_run(database, COMMIT);
}

static void sqlite_rollback(database_t *database)
{
    if (!sqlite3_get_autocommit(handle_of(database)))
        (void)transaction_run(database, ROLLBACK);
}

static void sqlite_set_deadline(database_t *database, int64_t deadline_ms)
{
    ((sqlite_t *)database)->deadline_ms = deadline_ms;
}

static int64_t sqlite_changed_rows(database_t *database)
{
    return sqlite3_changes64(handle_of(database));
}

static void sqlite_checkpoint(database_t *database)
{
    (void)sqlite3_wal_checkpoint_v2(handle_of(database), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                    NULL);
}

/* One connection writes, so there is nobody to lock out. */
static status_t sqlite_lock(database_t *database, const int64_t *keys, size_t count)
{
    (void)database, (void)keys, (void)count;
    return STATUS_OK;
}

static status_t sqlite_try_lock(database_t *database, int64_t key, bool *out_locked)
{
    (void)database, (void)key;
    *out_locked = true;
    return STATUS_OK;
}

static void sqlite_unlock(database_t *database, int64_t key)
{
    (void)database, (void)key;
}

/* ---- statements -------------------------------------------------------------------------------- */

/* $7 is a name to SQLite and gets an index of its own; the table leads from 7 to that index. */
static status_t parameters_number(sqlite_statement_t *statement)
{
    int count = sqlite3_bind_parameter_count(statement->handle), highest = 0;
    for (int index = 1; index <= count; index++) {
        const char *name = sqlite3_bind_parameter_name(statement->handle, index);
        int number = name && *name == '$' ? atoi(name + 1) : 0;
        if (number < 1 || number > DATABASE_PARAMETERS_MAX)
            return fail(STATUS_INTERNAL, "database: parameters are $1 to $%d",
                        DATABASE_PARAMETERS_MAX);
        if (number > highest)
            highest = number;
    }
    statement->index_of = memory_allocate(((size_t)highest + 1) * sizeof *statement->index_of);
    statement->parameters = highest;
    for (int index = 1; index <= count; index++)
        statement->index_of[atoi(sqlite3_bind_parameter_name(statement->handle, index) + 1)] =
            index;
    return STATUS_OK;
}

static void sqlite_finalize(statement_t *base)
{
    sqlite_statement_t *statement = (sqlite_statement_t *)base;
    sqlite3_finalize(statement->handle);
    free(statement->index_of);
    free(statement);
}

static status_t sqlite_prepare(database_t *database, const char *sql, statement_t **out_statement)
{
    sqlite_statement_t *statement = memory_allocate(sizeof *statement);
    int code = sqlite3_prepare_v3(handle_of(database), sql, -1, SQLITE_PREPARE_PERSISTENT,
                                  &statement->handle, NULL);
    status_t status = code == SQLITE_OK ? parameters_number(statement)
                                        : status_of(handle_of(database), code, "prepare");
    if (status == STATUS_OK)
        *out_statement = &statement->base;
    else
        sqlite_finalize(&statement->base);
    return status;
}

static int index_of(statement_t *base, int number)
{
    const sqlite_statement_t *statement = (const sqlite_statement_t *)base;
    return number >= 1 && number <= statement->parameters ? statement->index_of[number] : 0;
}

static void sqlite_bind_text(statement_t *statement, int number, const char *text, size_t length)
{
    sqlite3_bind_text64(statement_of(statement), index_of(statement, number), text, length,
                        SQLITE_STATIC, SQLITE_UTF8);
}

static void sqlite_bind_int64(statement_t *statement, int number, int64_t value)
{
    sqlite3_bind_int64(statement_of(statement), index_of(statement, number), value);
}

static void sqlite_bind_blob(statement_t *statement, int number, const void *bytes, size_t length)
{
    sqlite3_bind_blob64(statement_of(statement), index_of(statement, number), bytes, length,
                        SQLITE_STATIC);
}

static void sqlite_bind_null(statement_t *statement, int number)
{
    sqlite3_bind_null(statement_of(statement), index_of(statement, number));
}

static status_t sqlite_step(statement_t *statement, bool *out_row)
{
    int code = sqlite3_step(statement_of(statement));
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
        *out_row = code == SQLITE_ROW;
        return STATUS_OK;
    }
    return status_of(handle_of(statement->database), code, "step");
}

static void sqlite_reset(statement_t *statement)
{
    sqlite3_reset(statement_of(statement));
    sqlite3_clear_bindings(statement_of(statement));
}

static int64_t sqlite_int64_of(statement_t *statement, int column)
{
    return sqlite3_column_int64(statement_of(statement), column);
}

static const char *sqlite_text(statement_t *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement_of(statement), column);
    return text ? (const char *)text : "";
}

static const void *sqlite_blob(statement_t *statement, int column, size_t *out_length)
{
    const void *bytes = sqlite3_column_blob(statement_of(statement), column);
    *out_length = (size_t)sqlite3_column_bytes(statement_of(statement), column);
    return bytes ? bytes : "";
}

static bool sqlite_is_null(statement_t *statement, int column)
{
    return sqlite3_column_type(statement_of(statement), column) == SQLITE_NULL;
}

const database_driver_t sqlite_driver = {
    .dialect = DIALECT_SQLITE,
    .open = sqlite_open,
    .close = sqlite_close,
    .execute = sqlite_execute,
    .is_connected = sqlite_is_connected,
    .session = sqlite_session,
    .begin = sqlite_begin,
    .begin_migration = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .set_deadline = sqlite_set_deadline,
    .changed_rows = sqlite_changed_rows,
    .checkpoint = sqlite_checkpoint,
    .lock = sqlite_lock,
    .try_lock = sqlite_try_lock,
    .unlock = sqlite_unlock,
    .prepare = sqlite_prepare,
    .finalize = sqlite_finalize,
    .bind_text = sqlite_bind_text,
    .bind_int64 = sqlite_bind_int64,
    .bind_blob = sqlite_bind_blob,
    .bind_null = sqlite_bind_null,
    .step = sqlite_step,
    .reset = sqlite_reset,
    .int64 = sqlite_int64_of,
    .text = sqlite_text,
    .blob = sqlite_blob,
    .is_null = sqlite_is_null,
};
