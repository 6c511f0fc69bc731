#include "database/postgres.h"

#include "base/memory.h"

#include <ctype.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Types by their OID in pg_type, which never change. */
enum { TYPE_UNKNOWN = 0, TYPE_BYTEA = 17, TYPE_INT8 = 20, TYPE_TEXT = 25 };

/* A parameter's type is that of the last value that was no NULL. Values travel in binary form,
 * which for texts and blobs is the bytes as they are. */
typedef struct {
    Oid type;
    const char *value; /* NULL: NULL */
    size_t length;
    uint64_t number; /* big endian */
} parameter_t;

typedef struct {
    statement_t base;
    char *text;
    char name[24];    /* in the server */
    uint64_t session; /* in which it is prepared; 0: in none */
    bool stale;       /* prepared there, with other types than those that are now bound */
    parameter_t *parameters;
    int parameter_count;

    PGresult *result; /* NULL: not yet run. All rows; in text form */
    int row;
    char **blobs; /* of this row, by column; decoded when asked for */
} postgres_statement_t;

static postgres_t *postgres_of(const postgres_statement_t *statement)
{
    return (postgres_t *)statement->base.database;
}

/* ---- prepare ----------------------------------------------------------------------------------- */

/* The highest $n outside of quotes; -1: too high. */
static int parameters_count(const char *sql)
{
    int highest = 0;
    char quote = '\0';
    for (; *sql; sql++) {
        if (quote || *sql == '\'' || *sql == '"') {
            if (!quote)
                quote = *sql;
            else if (*sql == quote)
                quote = '\0';
        } else if (*sql == '$' && isdigit((unsigned char)sql[1])) {
            long number = strtol(sql + 1, NULL, 10);
            if (number < 1 || number > DATABASE_PARAMETERS_MAX)
                return -1;
            if (number > highest)
                highest = (int)number;
        }
    }
    return highest;
}

/* The server hears of it at the first step, when the types of the values are known. */
status_t postgres_prepare(database_t *database, const char *sql, statement_t **out_statement)
{
    postgres_t *postgres = (postgres_t *)database;
    int count = parameters_count(sql);
    if (count < 0)
        return fail(STATUS_INTERNAL, "database: parameters are $1 to $%d", DATABASE_PARAMETERS_MAX);
    TRY(postgres_ready(postgres));
    postgres_statement_t *statement = memory_allocate(sizeof *statement);
    statement->text = memory_copy_text(sql);
    snprintf(statement->name, sizeof statement->name, "s%llu",
             (unsigned long long)postgres->names++);
    statement->parameters = memory_allocate(((size_t)count + 1) * sizeof *statement->parameters);
    statement->parameter_count = count;
    *out_statement = &statement->base;
    return STATUS_OK;
}

static status_t server_forget(postgres_statement_t *statement)
{
    postgres_t *postgres = postgres_of(statement);
    char sql[48];
    if (!postgres->handle || statement->session != postgres->session)
        return STATUS_OK;
    statement->session = 0;
    snprintf(sql, sizeof sql, "DEALLOCATE %s", statement->name);
    return postgres_command(postgres, sql, "forget");
}

static status_t server_prepare(postgres_statement_t *statement)
{
    postgres_t *postgres = postgres_of(statement);
    Oid types[DATABASE_PARAMETERS_MAX];
    if (statement->stale)
        TRY(server_forget(statement));
    statement->stale = false;
    if (statement->session == postgres->session)
        return STATUS_OK;
    TRY(postgres_settle(postgres));
    for (int i = 0; i < statement->parameter_count; i++)
        types[i] = statement->parameters[i].type;
    int sent = PQsendPrepare(postgres->handle, statement->name, statement->text,
                             statement->parameter_count, types);
    TRY(postgres_answer(postgres, sent, "prepare", NULL));
    statement->session = postgres->session;
    return STATUS_OK;
}

/* ---- values in --------------------------------------------------------------------------------- */

static void bind(statement_t *base, int number, Oid type, const void *value, size_t length)
{
    postgres_statement_t *statement = (postgres_statement_t *)base;
    if (number < 1 || number > statement->parameter_count)
        return;
    parameter_t *parameter = &statement->parameters[number - 1];
    if (type != TYPE_UNKNOWN && type != parameter->type) {
        parameter->type = type;
        statement->stale = true;
    }
    parameter->value = value;
    parameter->length = length;
}

void postgres_bind_text(statement_t *statement, int number, const char *text, size_t length)
{
    bind(statement, number, TYPE_TEXT, text, length);
}

void postgres_bind_int64(statement_t *base, int number, int64_t value)
{
    postgres_statement_t *statement = (postgres_statement_t *)base;
    if (number < 1 || number > statement->parameter_count)
        return;
    uint64_t *place = &statement->parameters[number - 1].number;
    *place = htobe64((uint64_t)value);
    bind(base, number, TYPE_INT8, place, sizeof *place);
}

void postgres_bind_blob(statement_t *statement, int number, const void *bytes, size_t length)
{
    bind(statement, number, TYPE_BYTEA, bytes, length);
}

void postgres_bind_null(statement_t *statement, int number)
{
    bind(statement, number, TYPE_UNKNOWN, NULL, 0);
}

/* ---- run --------------------------------------------------------------------------------------- */

static void changed_rows_note(postgres_t *postgres, PGresult *result)
{
    static const char *const changes[] = {"INSERT ", "UPDATE ", "DELETE "};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        if (strncmp(PQcmdStatus(result), changes[i], 7) == 0)
            postgres->changed_rows = strtoll(PQcmdTuples(result), NULL, 10);
}

static int send(const postgres_statement_t *statement)
{
    const char *values[DATABASE_PARAMETERS_MAX];
    int lengths[DATABASE_PARAMETERS_MAX], formats[DATABASE_PARAMETERS_MAX];
    for (int i = 0; i < statement->parameter_count; i++) {
        values[i] = statement->parameters[i].value;
        lengths[i] = (int)statement->parameters[i].length; /* at most DATABASE_VALUE_MAX */
        formats[i] = 1;
    }
    return PQsendQueryPrepared(postgres_of(statement)->handle, statement->name,
                               statement->parameter_count, values, lengths, formats, 0);
}

static status_t run(postgres_statement_t *statement)
{
    postgres_t *postgres = postgres_of(statement);
    TRY(postgres_ready(postgres));
    TRY(server_prepare(statement));
    int sent = send(statement);
    TRY(postgres->posted ? postgres_answer_posted(postgres, sent, "step", &statement->result)
                         : postgres_answer(postgres, sent, "step", &statement->result));
    changed_rows_note(postgres, statement->result);
    statement->row = -1;
    return STATUS_OK;
}

/* Outside of a transaction, where nothing could be taken back, it is waited for. */
static status_t run_one(postgres_statement_t *statement, bool must_change_one)
{
    TRY(run(statement));
    return must_change_one && postgres_of(statement)->changed_rows != 1
               ? fail(STATUS_CONFLICT, "database: not one row was changed")
               : STATUS_OK;
}

status_t postgres_post(statement_t *base, bool must_change_one)
{
    postgres_statement_t *statement = (postgres_statement_t *)base;
    postgres_t *postgres = postgres_of(statement);
    if (!postgres->in_transaction)
        return run_one(statement, must_change_one);
    TRY(postgres_ready(postgres));
    TRY(server_prepare(statement));
    if (postgres->posted == POSTGRES_POSTED_MAX)
        TRY(postgres_settle(postgres));
    if (!postgres->posted && PQenterPipelineMode(postgres->handle) != 1)
        return fail(STATUS_INTERNAL, "database: post: no pipeline");
    if (send(statement) != 1)
        return postgres_answer_posted(postgres, 0, "post", NULL);
    postgres->must_change_one[postgres->posted++] = must_change_one;
    postgres->is_expecting |= must_change_one;
    return STATUS_OK;
}

static void blobs_free(postgres_statement_t *statement)
{
    for (int i = 0; statement->blobs && i < PQnfields(statement->result); i++)
        free(statement->blobs[i]);
    free(statement->blobs);
    statement->blobs = NULL;
}

/* A blob's text form is \x and two digits a byte. */
static size_t length_of(const postgres_statement_t *statement, int column)
{
    int length = PQgetlength(statement->result, statement->row, column);
    bool is_blob = PQftype(statement->result, column) == TYPE_BYTEA && length >= 2;
    return (size_t)(is_blob ? (length - 2) / 2 : length);
}

static status_t row_check(const postgres_statement_t *statement)
{
    size_t total = 0;
    for (int i = 0; i < PQnfields(statement->result); i++)
        total += length_of(statement, i);
    if (total > DATABASE_VALUE_MAX)
        return fail(STATUS_TOO_LARGE, "database: a row has more than %d bytes", DATABASE_VALUE_MAX);
    return STATUS_OK;
}

status_t postgres_step(statement_t *base, bool *out_row)
{
    postgres_statement_t *statement = (postgres_statement_t *)base;
    if (!statement->result)
        TRY(run(statement));
    blobs_free(statement);
    bool has_row = statement->row + 1 < PQntuples(statement->result);
    if (has_row) {
        statement->row++;
        TRY(row_check(statement));
    }
    *out_row = has_row;
    return STATUS_OK;
}

void postgres_reset(statement_t *base)
{
    postgres_statement_t *statement = (postgres_statement_t *)base;
    blobs_free(statement);
    PQclear(statement->result);
    statement->result = NULL;
    for (int i = 0; i < statement->parameter_count; i++)
        statement->parameters[i].value = NULL;
}

void postgres_finalize(statement_t *base)
{
    postgres_statement_t *statement = (postgres_statement_t *)base;
    postgres_reset(base);
    (void)server_forget(statement);
    free(statement->parameters);
    free(statement->text);
    free(statement);
}

/* ---- rows out ---------------------------------------------------------------------------------- */

bool postgres_is_null(statement_t *base, int column)
{
    const postgres_statement_t *statement = (const postgres_statement_t *)base;
    return PQgetisnull(statement->result, statement->row, column) != 0;
}

static unsigned hex_digit(char digit)
{
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* The bytes, with a NUL behind them; they live until the next step. */
static const char *blob_decode(postgres_statement_t *statement, int column, size_t length)
{
    const char *hex = PQgetvalue(statement->result, statement->row, column) + 2;
    if (!statement->blobs)
        statement->blobs =
            memory_allocate((size_t)PQnfields(statement->result) * sizeof *statement->blobs);
    if (!statement->blobs[column]) {
        char *bytes = memory_allocate(length + 1);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (char)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
        statement->blobs[column] = bytes;
    }
    return statement->blobs[column];
}

const void *postgres_blob(statement_t *base, int column, size_t *out_length)
{
    postgres_statement_t *statement = (postgres_statement_t *)base;
    size_t length = length_of(statement, column);
    *out_length = length;
    if (length == 0)
        return "";
    if (PQftype(statement->result, column) == TYPE_BYTEA)
        return blob_decode(statement, column, length);
    return PQgetvalue(statement->result, statement->row, column);
}

const char *postgres_text(statement_t *statement, int column)
{
    size_t length = 0;
    return postgres_blob(statement, column, &length);
}

/* A NUMERIC, as SUM gives, loses what stands behind its point; a BOOLEAN is 1 or 0. */
int64_t postgres_int64(statement_t *base, int column)
{
    const postgres_statement_t *statement = (const postgres_statement_t *)base;
    const char *text = PQgetvalue(statement->result, statement->row, column);
    return *text == 't' ? 1 : strtoll(text, NULL, 10);
}
