#include "database/driver.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static const database_driver_t *driver_of(const char *location)
{
    bool is_uri =
        strncmp(location, "postgresql://", 13) == 0 || strncmp(location, "postgres://", 11) == 0;
    return is_uri ? &postgres_driver : &sqlite_driver;
}

status_t database_open(const char *location, bool read_only, database_t **out_database)
{
    return driver_of(location)->open(location, read_only, out_database);
}

static void statement_destroy(statement_t *statement)
{
    free(statement->sql);
    statement->database->driver->finalize(statement);
}

void database_close(database_t **database)
{
    if (!*database)
        return;
    for (size_t i = 0; i < (*database)->statement_count; i++)
        statement_destroy((*database)->statements[i]);
    (*database)->driver->close(*database);
    *database = NULL;
}

status_t database_execute(database_t *database, const char *sql)
{
    AUTO_FREE char *text = dialect_apply(sql, database->driver->dialect);
    return database->driver->execute(database, text);
}

bool database_is_connected(database_t *database)
{
    return database->driver->is_connected(database);
}

uint64_t database_session(database_t *database)
{
    return database->driver->session(database);
}

status_t database_begin(database_t *database)
{
    return database->driver->begin(database);
}

status_t database_commit(database_t *database)
{
    status_t status = database->driver->commit(database);
    if (status != STATUS_OK)
        database->driver->rollback(database);
    return status;
}

void database_rollback(database_t *database)
{
    database->driver->rollback(database);
}

void database_set_deadline(database_t *database, int64_t deadline_ms)
{
    database->driver->set_deadline(database, deadline_ms);
}

status_t database_lock(database_t *database, const int64_t *keys, size_t count)
{
    if (count > DATABASE_LOCKS_MAX)
        return fail(STATUS_INVALID, "database: %zu locks, limit %d", count, DATABASE_LOCKS_MAX);
    return count ? database->driver->lock(database, keys, count) : STATUS_OK;
}

status_t database_try_lock(database_t *database, int64_t key, bool *out_locked)
{
    return database->driver->try_lock(database, key, out_locked);
}

void database_unlock(database_t *database, int64_t key)
{
    database->driver->unlock(database, key);
}

int64_t database_changed_rows(database_t *database)
{
    return database->driver->changed_rows(database);
}

void database_checkpoint(database_t *database)
{
    database->driver->checkpoint(database);
}

/* ---- statements -------------------------------------------------------------------------------- */

/* The slot for a new statement: a free one, or that of the one unused for longest. */
static status_t slot_find(database_t *database, size_t *out_slot)
{
    if (database->statement_count < DATABASE_STATEMENTS_MAX) {
        *out_slot = database->statement_count;
        return STATUS_OK;
    }
    size_t oldest = DATABASE_STATEMENTS_MAX;
    for (size_t i = 0; i < DATABASE_STATEMENTS_MAX; i++)
        if (!database->statements[i]->in_use &&
            (oldest == DATABASE_STATEMENTS_MAX ||
             database->statements[i]->last_used < database->statements[oldest]->last_used))
            oldest = i;
    if (oldest == DATABASE_STATEMENTS_MAX)
        return fail(STATUS_INTERNAL, "database: %d statements in use", DATABASE_STATEMENTS_MAX);
    *out_slot = oldest;
    return STATUS_OK;
}

static status_t statement_create(database_t *database, const char *sql, statement_t **out_statement)
{
    size_t slot = 0;
    statement_t *statement = NULL;
    TRY(slot_find(database, &slot));
    AUTO_FREE char *text = dialect_apply(sql, database->driver->dialect);
    TRY(database->driver->prepare(database, text, &statement));
    statement->database = database;
    statement->sql = memory_copy_text(sql);
    if (slot < database->statement_count)
        statement_destroy(database->statements[slot]);
    else
        database->statement_count++;
    database->statements[slot] = statement;
    *out_statement = statement;
    return STATUS_OK;
}

status_t database_prepare(database_t *database, const char *sql, statement_t **out_statement)
{
    statement_t *statement = NULL;
    for (size_t i = 0; i < database->statement_count && !statement; i++)
        if (strcmp(database->statements[i]->sql, sql) == 0)
            statement = database->statements[i];
    if (!statement)
        TRY(statement_create(database, sql, &statement));
    if (statement->in_use)
        return fail(STATUS_INTERNAL, "database: statement is in use: %.80s", sql);
    statement->in_use = true;
    statement->last_used = ++database->uses;
    *out_statement = statement;
    return STATUS_OK;
}

/* Whether a value may be bound; one that may not is told at the next step. */
static bool length_check(statement_t *statement, size_t length)
{
    bool fits = length <= DATABASE_VALUE_MAX;
    if (!fits)
        statement->too_large = true;
    return fits;
}

void statement_bind_text(statement_t *statement, int number, const char *text)
{
    statement_bind_text_n(statement, number, text, strlen(text));
}

void statement_bind_text_n(statement_t *statement, int number, const char *text, size_t length)
{
    if (length_check(statement, length))
        statement->database->driver->bind_text(statement, number, length ? text : "", length);
}

void statement_bind_int64(statement_t *statement, int number, int64_t value)
{
    statement->database->driver->bind_int64(statement, number, value);
}

void statement_bind_blob(statement_t *statement, int number, const void *bytes, size_t length)
{
    /* A NULL pointer would be a NULL value. */
    if (length_check(statement, length))
        statement->database->driver->bind_blob(statement, number, length ? bytes : "", length);
}

void statement_bind_null(statement_t *statement, int number)
{
    statement->database->driver->bind_null(statement, number);
}

status_t statement_step(statement_t *statement, bool *out_row)
{
    if (statement->too_large)
        return fail(STATUS_TOO_LARGE, "database: a value has more than %d bytes",
                    DATABASE_VALUE_MAX);
    return statement->database->driver->step(statement, out_row);
}

status_t statement_run(statement_t *statement)
{
    bool row = true;
    status_t status = STATUS_OK;
    while (row && status == STATUS_OK)
        status = statement_step(statement, &row);
    statement_reset(statement);
    return status;
}

static status_t post(statement_t *statement, bool must_change_one)
{
    database_t *database = statement->database;
    if (!database->driver->post || statement->too_large) {
        TRY(statement_run(statement));
        return must_change_one && database->driver->changed_rows(database) != 1
                   ? fail(STATUS_CONFLICT, "database: not one row was changed")
                   : STATUS_OK;
    }
    status_t status = database->driver->post(statement, must_change_one);
    statement_reset(statement);
    return status;
}

status_t statement_post(statement_t *statement)
{
    return post(statement, false);
}

status_t statement_post_one(statement_t *statement)
{
    return post(statement, true);
}

void statement_reset(statement_t *statement)
{
    if (!statement)
        return;
    statement->database->driver->reset(statement);
    statement->in_use = false;
    statement->too_large = false;
}

void statement_reset_cleanup(statement_t **statement)
{
    statement_reset(*statement);
}

int64_t statement_int64(statement_t *statement, int column)
{
    return statement->database->driver->int64(statement, column);
}

const char *statement_text(statement_t *statement, int column)
{
    return statement->database->driver->text(statement, column);
}

const void *statement_blob(statement_t *statement, int column, size_t *out_length)
{
    return statement->database->driver->blob(statement, column, out_length);
}

bool statement_is_null(statement_t *statement, int column)
{
    return statement->database->driver->is_null(statement, column);
}
