/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#undef fail /* ours is in base/status.h */

#include "base/clock.h"
#include "base/memory.h"
#include "database/database.h"
#include "postgres_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Each test runs on both, in an empty database of its own. */
typedef enum { ON_SQLITE, ON_POSTGRES } kind_t;
static kind_t kind;
static char folder[64], path[192];
static postgres_fixture_t postgres;

static int cluster_start(void **state)
{
    (void)state;
    if (postgres_fixture_start(&postgres))
        return 0;
    fprintf(stderr, "the cluster does not start: %s\n", fail_detail());
    postgres_fixture_stop(&postgres);
    return 1;
}

static int cluster_stop(void **state)
{
    (void)state;
    postgres_fixture_stop(&postgres);
    return 0;
}

static int setup(void **state)
{
    database_t *database = NULL;
    kind = *(const kind_t *)*state;
    snprintf(folder, sizeof folder, "/tmp/zpacs-database-test.XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/test.db", folder);
    if (kind == ON_POSTGRES && !postgres_fixture_database(&postgres, "test", path, sizeof path))
        return 1;
    if (database_open(path, false, &database) != STATUS_OK)
        return 1;
    *state = database;
    return database_execute(database, "CREATE TABLE things (id {ROWKEY}, name TEXT UNIQUE,"
                                      " number BIGINT, bytes BYTEA)") != STATUS_OK;
}

static int teardown(void **state)
{
    database_close((database_t **)state);
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; kind == ON_SQLITE && i < 3; i++) {
        char name[224];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
    return rmdir(folder);
}

static int64_t number_of(database_t *database, const char *sql)
{
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    assert_int_equal(database_prepare(database, sql, &find), STATUS_OK);
    assert_int_equal(statement_step(find, &row), STATUS_OK);
    assert_true(row);
    return statement_int64(find, 0);
}

static status_t thing_add(database_t *database, const char *name, int64_t number)
{
    statement_t *insert = NULL;
    TRY(database_prepare(database, "INSERT INTO things (bytes, number, name) VALUES ($3, $2, $1)",
                         &insert));
    statement_bind_text(insert, 1, name);
    statement_bind_int64(insert, 2, number);
    statement_bind_blob(insert, 3, "\0\1", 2);
    return statement_run(insert);
}

/* Parameters go by their number, wherever they stand. */
static void test_values(void **state)
{
    database_t *database = *state;
    assert_int_equal(thing_add(database, "O'Neill; DROP TABLE things", INT64_MIN), STATUS_OK);
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    size_t length = 0;
    assert_int_equal(database_prepare(database,
                                      "SELECT name, number, bytes, NULL FROM things"
                                      " WHERE name = $1 OR name = $1",
                                      &find),
                     STATUS_OK);
    statement_bind_text(find, 1, "O'Neill; DROP TABLE things");
    assert_int_equal(statement_step(find, &row), STATUS_OK);
    assert_true(row);
    assert_string_equal(statement_text(find, 0), "O'Neill; DROP TABLE things");
    assert_true(statement_int64(find, 1) == INT64_MIN);
    assert_memory_equal(statement_blob(find, 2, &length), "\0\1", 2);
    assert_int_equal(length, 2);
    assert_true(statement_is_null(find, 3));
    assert_string_equal(statement_text(find, 3), "");
}

/* Blobs come back byte for byte: none, zeros, and more than a message of the protocol. */
static void test_blobs(void **state)
{
    database_t *database = *state;
    static const size_t lengths[] = {0, 1, 256, 3 * 1024 * 1024};
    AUTO_FREE uint8_t *bytes = memory_allocate(lengths[3]);
    for (size_t i = 0; i < lengths[3]; i++)
        bytes[i] = (uint8_t)(i ^ i >> 8);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        statement_t *insert = NULL;
        assert_int_equal(database_prepare(database,
                                          "INSERT INTO things (number, bytes) VALUES ($1, $2)",
                                          &insert),
                         STATUS_OK);
        statement_bind_int64(insert, 1, (int64_t)i);
        statement_bind_blob(insert, 2, lengths[i] ? bytes : NULL, lengths[i]);
        assert_int_equal(statement_run(insert), STATUS_OK);
        AUTO_STATEMENT *find = NULL;
        bool row = false;
        size_t length = 1;
        assert_int_equal(
            database_prepare(database, "SELECT bytes, bytes FROM things WHERE number = $1", &find),
            STATUS_OK);
        statement_bind_int64(find, 1, (int64_t)i);
        assert_int_equal(statement_step(find, &row), STATUS_OK);
        assert_false(statement_is_null(find, 0));
        const void *first = statement_blob(find, 0, &length);
        assert_int_equal(length, lengths[i]);
        assert_memory_equal(first, bytes, length);
        assert_memory_equal(statement_blob(find, 1, &length), first, length);
        assert_int_equal(statement_step(find, &row), STATUS_OK);
        assert_false(row);
    }
}

static status_t blob_add(database_t *database, const void *bytes, size_t length)
{
    statement_t *insert = NULL;
    TRY(database_prepare(database, "INSERT INTO things (bytes) VALUES ($1)", &insert));
    statement_bind_blob(insert, 1, bytes, length);
    return statement_run(insert);
}

/* A value over the limit is refused, not stored as NULL. */
static void test_too_large(void **state)
{
    database_t *database = *state;
    AUTO_FREE uint8_t *bytes = memory_allocate((size_t)DATABASE_VALUE_MAX + 1);
    assert_int_equal(blob_add(database, bytes, (size_t)DATABASE_VALUE_MAX + 1), STATUS_TOO_LARGE);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 0);
    assert_int_equal(blob_add(database, bytes, 5), STATUS_OK);
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    const char *sql =
        kind == ON_SQLITE ? "SELECT zeroblob(20000000)" : "SELECT repeat('x', 20000000)";
    assert_int_equal(database_prepare(database, sql, &find), STATUS_OK);
    assert_int_equal(statement_step(find, &row), STATUS_TOO_LARGE);
}

/* One text, NULL first and then values of this type and that; none bound is NULL. */
static void test_types_come_with_the_values(void **state)
{
    database_t *database = *state;
    static const char sql[] = "SELECT COALESCE($1, $2), '$9 is no parameter'";
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(database_prepare(database, sql, &find), STATUS_OK);
        if (i == 1) {
            statement_bind_text(find, 1, "word");
        } else if (i == 2) {
            statement_bind_null(find, 1);
            statement_bind_text(find, 2, "other");
        }
        assert_int_equal(statement_step(find, &row), STATUS_OK);
        assert_string_equal(statement_text(find, 0), i == 0 ? "" : i == 1 ? "word" : "other");
        assert_true(statement_is_null(find, 0) == (i == 0));
        statement_reset(find);
    }
    assert_int_equal(database_prepare(database, sql, &find), STATUS_OK);
    statement_bind_int64(find, 1, -7);
    statement_bind_int64(find, 2, 5);
    assert_int_equal(statement_step(find, &row), STATUS_OK);
    assert_true(statement_int64(find, 0) == -7);
}

static void test_numbers(void **state)
{
    database_t *database = *state;
    assert_int_equal(thing_add(database, "a", 5000000000), STATUS_OK);
    assert_int_equal(thing_add(database, "b", -1), STATUS_OK);
    assert_true(number_of(database, "SELECT SUM(number) FROM things") == 4999999999);
    assert_int_equal(number_of(database, "SELECT MAX(number) > 4 FROM things"), 1);
    assert_int_equal(number_of(database, "SELECT MAX(number) < 4 FROM things"), 0);
    assert_int_equal(number_of(database, "SELECT SUM(number) FROM things WHERE number = 3"), 0);
}

static void test_upsert_and_returning(void **state)
{
    database_t *database = *state;
    for (int i = 1; i <= 2; i++) {
        AUTO_STATEMENT *upsert = NULL;
        bool row = false;
        assert_int_equal(
            database_prepare(database,
                             "INSERT INTO things (name, number) VALUES ($1, 1) ON CONFLICT (name)"
                             " DO UPDATE SET number = things.number + 1 RETURNING id, number",
                             &upsert),
            STATUS_OK);
        statement_bind_text(upsert, 1, "one");
        assert_int_equal(statement_step(upsert, &row), STATUS_OK);
        assert_int_equal(statement_int64(upsert, 0), 1);
        assert_int_equal(statement_int64(upsert, 1), i);
        assert_int_equal(statement_step(upsert, &row), STATUS_OK);
        assert_false(row);
    }
}

static status_t run(database_t *database, const char *sql)
{
    statement_t *statement = NULL;
    TRY(database_prepare(database, sql, &statement));
    return statement_run(statement);
}

static void test_changed_rows(void **state)
{
    database_t *database = *state;
    assert_int_equal(thing_add(database, "a", 1), STATUS_OK);
    assert_int_equal(database_changed_rows(database), 1);
    assert_int_equal(thing_add(database, "b", 2), STATUS_OK);
    assert_int_equal(run(database, "UPDATE things SET number = 3"), STATUS_OK);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 2);
    assert_int_equal(database_changed_rows(database), 2);
    assert_int_equal(run(database, "DELETE FROM things WHERE name = 'c'"), STATUS_OK);
    assert_int_equal(database_changed_rows(database), 0);
}

/* {TEXT} sorts alike everywhere; braces that are no word of ours stay. */
static void test_dialect(void **state)
{
    database_t *database = *state;
    assert_int_equal(database_execute(database, "CREATE TABLE words (word {TEXT});"
                                                "INSERT INTO words VALUES ('b');"
                                                "INSERT INTO words VALUES ('B');"
                                                "INSERT INTO words VALUES ('a')"),
                     STATUS_OK);
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    assert_int_equal(
        database_prepare(database, "SELECT word, '{ROW}{' FROM words ORDER BY word", &find),
        STATUS_OK);
    static const char *const sorted[] = {"B", "a", "b"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(statement_step(find, &row), STATUS_OK);
        assert_true(row);
        assert_string_equal(statement_text(find, 0), sorted[i]);
        assert_string_equal(statement_text(find, 1), "{ROW}{");
    }
}

static void test_constraint_is_a_conflict(void **state)
{
    assert_int_equal(thing_add(*state, "one", 1), STATUS_OK);
    assert_int_equal(thing_add(*state, "one", 2), STATUS_CONFLICT);
    assert_int_equal(thing_add(*state, "two", 2), STATUS_OK);
}

static void test_rollback(void **state)
{
    database_t *database = *state;
    assert_int_equal(database_begin(database), STATUS_OK);
    assert_int_equal(thing_add(database, "one", 1), STATUS_OK);
    database_rollback(database);
    database_rollback(database);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 0);
}

static status_t thing_post(database_t *database, const char *name, int64_t number)
{
    statement_t *insert = NULL;
    TRY(database_prepare(database, "INSERT INTO things (name, number) VALUES ($1, $2) RETURNING id",
                         &insert));
    statement_bind_text(insert, 1, name);
    statement_bind_int64(insert, 2, number);
    return statement_post(insert);
}

/* What is posted takes its turn: before what is asked behind it, within the transaction or outside. */
static void test_posted(void **state)
{
    database_t *database = *state;
    assert_int_equal(thing_post(database, "before", 1), STATUS_OK);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 1);
    assert_int_equal(database_begin(database), STATUS_OK);
    for (int i = 0; i < 1000; i++) {
        char name[24];
        snprintf(name, sizeof name, "thing %d", i);
        assert_int_equal(thing_post(database, name, i), STATUS_OK);
        if (i % 300 == 0)
            assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), i + 2);
        if (i % 400 == 0)
            assert_int_equal(database_execute(database, "UPDATE things SET number = number + 1"),
                             STATUS_OK);
    }
    assert_int_equal(database_commit(database), STATUS_OK);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 1001);
    assert_int_equal(database_begin(database), STATUS_OK);
    assert_int_equal(thing_post(database, "not to be", 1), STATUS_OK);
    database_rollback(database);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 1001);
}

/* At once, or at the latest with the commit; nothing of the transaction stays. */
static void test_posted_failure(void **state)
{
    database_t *database = *state;
    for (int behind = 0; behind < 3; behind++) {
        assert_int_equal(database_begin(database), STATUS_OK);
        assert_int_equal(thing_post(database, "one", 1), STATUS_OK);
        status_t status = thing_post(database, "one", 2);
        if (status == STATUS_OK && behind == 1)
            status = thing_post(database, "two", 2);
        if (status == STATUS_OK && behind == 2)
            status = thing_add(database, "two", 2);
        if (status == STATUS_OK)
            status = database_commit(database);
        assert_int_equal(status, STATUS_CONFLICT);
        database_rollback(database);
        assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 0);
    }
}

static status_t thing_post_new(database_t *database, const char *name)
{
    statement_t *insert = NULL;
    TRY(database_prepare(
        database, "INSERT INTO things (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", &insert));
    statement_bind_text(insert, 1, name);
    return statement_post_one(insert);
}

/* What must change one row and does not fails the transaction, whatever follows it. */
static void test_posted_must_change_one(void **state)
{
    database_t *database = *state;
    assert_int_equal(thing_post_new(database, "one"), STATUS_OK);
    assert_int_equal(thing_post_new(database, "one"), STATUS_CONFLICT);
    for (int behind = 0; behind < 2; behind++) {
        assert_int_equal(database_begin(database), STATUS_OK);
        assert_int_equal(thing_post_new(database, "two"), STATUS_OK);
        status_t status = thing_post_new(database, "one");
        if (status == STATUS_OK && behind)
            status = thing_post(database, "three", 3);
        if (status == STATUS_OK)
            status = database_commit(database);
        assert_int_equal(status, STATUS_CONFLICT);
        database_rollback(database);
        assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 1);
    }
    assert_int_equal(database_begin(database), STATUS_OK);
    assert_int_equal(thing_post_new(database, "two"), STATUS_OK);
    assert_int_equal(database_commit(database), STATUS_OK);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 2);
}

/* More texts than are kept, some of them in use. */
static void test_statement_cache(void **state)
{
    database_t *database = *state;
    statement_t *held = NULL, *again = NULL;
    assert_int_equal(database_prepare(database, "SELECT 'held'", &held), STATUS_OK);
    for (int i = 0; i < 3 * DATABASE_STATEMENTS_MAX; i++) {
        char sql[32];
        snprintf(sql, sizeof sql, "SELECT %d", i);
        assert_int_equal(number_of(database, sql), i);
    }
    assert_int_equal(database_prepare(database, "SELECT 'held'", &again), STATUS_INTERNAL);
    statement_reset(held);
    assert_int_equal(database_prepare(database, "SELECT 'held'", &again), STATUS_OK);
    assert_ptr_equal(held, again);
    statement_reset(again);
}

static void test_reader_cannot_write(void **state)
{
    database_t *reader = NULL;
    assert_int_equal(thing_add(*state, "one", 1), STATUS_OK);
    assert_int_equal(database_open(path, true, &reader), STATUS_OK);
    assert_int_equal(number_of(reader, "SELECT COUNT(*) FROM things"), 1);
    assert_int_equal(thing_add(reader, "two", 2), STATUS_UNAVAILABLE);
    assert_int_equal(thing_add(*state, "two", 2), STATUS_OK);
    assert_int_equal(number_of(reader, "SELECT COUNT(*) FROM things"), 2);
    database_close(&reader);
}

/* What is committed meanwhile is not seen before the transaction's end. */
static void test_reader_sees_one_snapshot(void **state)
{
    database_t *reader = NULL;
    assert_int_equal(database_open(path, true, &reader), STATUS_OK);
    assert_int_equal(database_begin(reader), STATUS_OK);
    assert_int_equal(number_of(reader, "SELECT COUNT(*) FROM things"), 0);
    assert_int_equal(thing_add(*state, "one", 1), STATUS_OK);
    assert_int_equal(number_of(reader, "SELECT COUNT(*) FROM things"), 0);
    database_rollback(reader);
    assert_int_equal(number_of(reader, "SELECT COUNT(*) FROM things"), 1);
    database_close(&reader);
}

static void test_transactions_do_not_nest(void **state)
{
    database_t *database = *state;
    assert_int_equal(database_commit(database), STATUS_INTERNAL);
    assert_int_equal(database_begin(database), STATUS_OK);
    assert_int_equal(database_begin(database), STATUS_INTERNAL);
    assert_int_equal(thing_add(database, "one", 1), STATUS_OK);
    assert_int_equal(database_commit(database), STATUS_OK);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 1);
}

/* What the rules for this version of SQLite ask for stands in every connection. */
static void test_settings(void **state)
{
    assert_int_equal(number_of(*state, "PRAGMA synchronous"), 1);
    assert_int_equal(number_of(*state, "PRAGMA wal_autocheckpoint"), 4000);
    AUTO_STATEMENT *mode = NULL;
    bool row = false;
    assert_int_equal(database_prepare(*state, "PRAGMA journal_mode", &mode), STATUS_OK);
    assert_int_equal(statement_step(mode, &row), STATUS_OK);
    assert_string_equal(statement_text(mode, 0), "wal");
    assert_int_equal(number_of(*state, "SELECT 'ABC' LIKE 'abc'"), 0);
    assert_int_equal(number_of(*state, "SELECT 'a%c' LIKE 'a\\%c' ESCAPE '\\'"), 1);
}

static void test_deadline(void **state)
{
    static const char endless[] = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
                                  " SELECT COUNT(*) FROM n";
    database_t *database = *state;
    AUTO_STATEMENT *run = NULL;
    bool row = false;
    database_set_deadline(database, clock_monotonic_ms() + 20);
    assert_int_equal(database_prepare(database, endless, &run), STATUS_OK);
    assert_int_equal(statement_step(run, &row), STATUS_EXPIRED);
    database_set_deadline(database, 0);
    assert_int_equal(number_of(database, "SELECT 7"), 7);
}

static void test_migrations(void **state)
{
    static const migration_t one[] = {{"CREATE TABLE a (x BIGINT)", NULL}, {NULL, NULL}};
    static const migration_t broken[] = {{"CREATE TABLE a (x BIGINT)", NULL},
                                         {"CREATE TABLE b (x BIGINT); NONSENSE", NULL},
                                         {NULL, NULL}};
    static const migration_t two[] = {
        {"CREATE TABLE a (x BIGINT)", NULL},
        {"CREATE TABLE b (x BIGINT)", "CREATE TABLE only_there (x BIGINT)"},
        {NULL, NULL}};
    database_t *database = *state;
    assert_int_equal(database_migrate(database, one), STATUS_OK);
    assert_int_equal(database_migrate(database, one), STATUS_OK);
    assert_int_equal(database_migrate(database, broken), STATUS_INTERNAL);
    assert_int_equal(number_of(database, "SELECT MAX(version) FROM schema_version"), 1);
    assert_int_equal(database_migrate(database, two), STATUS_OK);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM b"), 0);
    assert_int_equal(run(database, "SELECT x FROM only_there"),
                     kind == ON_POSTGRES ? STATUS_OK : STATUS_INTERNAL);
    assert_int_equal(database_migrate(database, one), STATUS_UNSUPPORTED);
}

static void test_not_a_database(void **state)
{
    (void)state;
    char name[112];
    database_t *database = NULL;
    snprintf(name, sizeof name, "%s/other", folder);
    int fd = open(name, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "this is no database, whatever it was", 36), 36);
    close(fd);
    assert_int_equal(database_open(name, false, &database), STATUS_INTERNAL);
    assert_null(database);
    (void)unlink(name);
    assert_int_equal(database_open("/no/such/folder/x.db", false, &database), STATUS_UNAVAILABLE);
}

static void test_locks_of_one_connection(void **state)
{
    database_t *database = *state;
    static const int64_t keys[] = {INT64_MIN + 1, -5, 0, INT64_MAX};
    bool locked = false;
    assert_int_equal(database_begin(database), STATUS_OK);
    assert_int_equal(database_lock(database, keys, 0), STATUS_OK);
    assert_int_equal(database_lock(database, keys, 4), STATUS_OK);
    assert_int_equal(database_lock(database, keys, DATABASE_LOCKS_MAX + 1), STATUS_INVALID);
    assert_int_equal(database_commit(database), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(database_try_lock(database, 7, &locked), STATUS_OK);
        assert_true(locked);
    }
    database_unlock(database, 7);
    assert_true(database_is_connected(database));
}

/* ---- PostgreSQL only --------------------------------------------------------------------------- */

static database_t *another(void)
{
    database_t *database = NULL;
    assert_int_equal(database_open(path, false, &database), STATUS_OK);
    return database;
}

/* Until the connection is there again: attempts are a second apart. */
static void wait_connected(database_t *database)
{
    int64_t end_ms = clock_monotonic_ms() + 30000;
    while (database_begin(database) != STATUS_OK) {
        assert_true(clock_monotonic_ms() < end_ms);
        usleep(50000);
    }
    database_rollback(database);
}

static void text_check(database_t *database, const char *sql, const char *expected)
{
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    assert_int_equal(database_prepare(database, sql, &find), STATUS_OK);
    assert_int_equal(statement_step(find, &row), STATUS_OK);
    assert_string_equal(statement_text(find, 0), expected);
}

static void test_settings_of_the_session(void **state)
{
    static const char *const rows[][2] = {
        {"SHOW client_encoding", "UTF8"},   {"SHOW standard_conforming_strings", "on"},
        {"SHOW synchronous_commit", "off"}, {"SHOW statement_timeout", "10min"},
        {"SHOW lock_timeout", "5s"},        {"SHOW idle_in_transaction_session_timeout", "1min"},
        {"SHOW application_name", "zpacs"}, {"SHOW default_transaction_read_only", "off"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        text_check(*state, rows[i][0], rows[i][1]);
    database_t *reader = NULL;
    assert_int_equal(database_open(path, true, &reader), STATUS_OK);
    text_check(reader, "SHOW default_transaction_read_only", "on");
    assert_int_equal(database_begin(reader), STATUS_OK);
    text_check(reader, "SHOW transaction_isolation", "repeatable read");
    database_close(&reader);
}

static int64_t limit_of(database_t *database)
{
    return number_of(database, "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'");
}

/* The server's limit follows the deadline, also through rollbacks, which take a SET back. */
static void test_limit_follows_the_deadline(void **state)
{
    database_t *database = *state;
    database_set_deadline(database, clock_monotonic_ms() + 100000);
    assert_int_equal(database_begin(database), STATUS_OK);
    assert_in_range(limit_of(database), 250, 100000);
    database_set_deadline(database, clock_monotonic_ms() + 40000);
    assert_in_range(limit_of(database), 250, 40000);
    database_rollback(database);
    assert_in_range(limit_of(database), 250, 40000);
    database_set_deadline(database, 0);
    assert_int_equal(limit_of(database), DATABASE_STATEMENT_MS);
    assert_int_equal(database_begin(database), STATUS_OK);
    database_set_deadline(database, clock_monotonic_ms() - 1);
    assert_int_equal(thing_add(database, "late", 1), STATUS_EXPIRED);
    assert_int_equal(database_commit(database), STATUS_EXPIRED);
    database_set_deadline(database, 0);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 0);
}

/* A COMMIT behind a failure is no success, and what follows fails alike. */
static void test_failed_transaction_stays_failed(void **state)
{
    database_t *database = *state;
    assert_int_equal(thing_add(database, "one", 1), STATUS_OK);
    assert_int_equal(database_begin(database), STATUS_OK);
    assert_int_equal(thing_add(database, "two", 1), STATUS_OK);
    assert_int_equal(thing_add(database, "one", 1), STATUS_CONFLICT);
    assert_int_equal(thing_add(database, "three", 1), STATUS_CONFLICT);
    assert_int_equal(run(database, "SELECT 'not yet prepared'"), STATUS_CONFLICT);
    assert_int_equal(database_commit(database), STATUS_CONFLICT);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 1);
}

static void test_bad_text_is_invalid(void **state)
{
    static const char *const texts[] = {"\xFF\xFE", "a\0b", "\xC3"};
    static const size_t lengths[] = {2, 3, 1};
    for (size_t i = 0; i < 3; i++) {
        statement_t *insert = NULL;
        assert_int_equal(database_prepare(*state, "INSERT INTO things (name) VALUES ($1)", &insert),
                         STATUS_OK);
        statement_bind_text_n(insert, 1, texts[i], lengths[i]);
        assert_int_equal(statement_run(insert), STATUS_INVALID);
    }
}

static status_t run_with(database_t *database, const char *sql, const char *text)
{
    statement_t *statement = NULL;
    TRY(database_prepare(database, sql, &statement));
    statement_bind_text(statement, 1, text);
    return statement_run(statement);
}

static void test_no_values_in_sentences(void **state)
{
    database_t *database = *state;
    static const struct {
        const char *sql;
        status_t status;
        const char *state;
    } cases[] = {
        {"INSERT INTO things (name) VALUES ($1)", STATUS_CONFLICT, "23505"},
        {"SELECT CAST($1 AS BIGINT)", STATUS_INTERNAL, "22P02"},
        {"SELECT CAST($1 AS DATE)", STATUS_INTERNAL, "22007"},
        {"INSERT INTO checked VALUES ($1)", STATUS_CONFLICT, "23514"},
        {"SELECT nothing FROM things WHERE name = $1", STATUS_INTERNAL, "42703"},
    };
    assert_int_equal(thing_add(database, "MUSTERMANN", 1), STATUS_OK);
    assert_int_equal(
        database_execute(database, "CREATE TABLE checked (name TEXT CHECK (length(name) < 3))"),
        STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(run_with(database, cases[i].sql, "MUSTERMANN"), cases[i].status);
        assert_non_null(strstr(fail_detail(), cases[i].state));
        assert_null(strstr(fail_detail(), "MUSTERMANN"));
    }
    assert_non_null(strstr(fail_detail(), "nothing")); /* what is wrong with the SQL is told */
}

/* Wrong passwords, hosts and URIs; the password also where libpq takes it for something else. */
static void test_no_password_in_sentences(void **state)
{
    static const struct {
        const char *format;
        status_t status;
    } cases[] = {
        {"postgresql://zpacs:SeCrEt@/test?host=%s", STATUS_UNAVAILABLE},
        {"postgresql://nobody:SeCrEt@/test?host=%s", STATUS_UNAVAILABLE},
        {"postgresql://zpacs:SeCrEt@/test?host=%s/nowhere", STATUS_UNAVAILABLE},
        {"postgresql://zpacs:SeCrEt@127.0.0.1:1/test?application_name=%s", STATUS_UNAVAILABLE},
        {"postgres://zpacs:SeCr/SeCrEt@127.0.0.1/test?host=%s", STATUS_INVALID},
        {"postgres://zpacs:SeCr@SeCrEt@127.0.0.1/test?host=%s", STATUS_INVALID},
        {"postgres://zpacs:SeCr?SeCrEt@127.0.0.1/test?host=%s", STATUS_INVALID},
        {"postgres://zpacs:SeCr#SeCrEt@127.0.0.1/test?host=%s", STATUS_INVALID},
        {"postgresql://zpacs:SeCrEt%%@/test?host=%s", STATUS_INVALID},
        {"postgresql://zpacs:SeCrEt@/test?no_such_word=%s", STATUS_INVALID},
        {"postgresql://zpacs:SeCrEt@/test?password=SeCrEt&host=%s", STATUS_UNAVAILABLE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char location[256];
        database_t *database = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(location, sizeof location, cases[i].format, postgres.folder);
#pragma GCC diagnostic pop
        assert_int_equal(database_open(location, false, &database), cases[i].status);
        assert_null(database);
        assert_null(strstr(fail_detail(), "SeCr"));
    }
}

static void test_evicted_statements_are_forgotten(void **state)
{
    for (int i = 0; i < 2 * DATABASE_STATEMENTS_MAX; i++) {
        char sql[32];
        snprintf(sql, sizeof sql, "SELECT %d", i);
        assert_int_equal(number_of(*state, sql), i);
    }
    assert_int_equal(number_of(*state, "SELECT COUNT(*) FROM pg_prepared_statements"),
                     DATABASE_STATEMENTS_MAX);
}

/* Returns when the server's side is gone. */
static void terminate(database_t *database)
{
    database_t *other = another();
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%lld, 30000)",
             (long long)number_of(database, "SELECT pg_backend_pid()"));
    assert_int_equal(number_of(other, sql), 1);
    database_close(&other);
}

/* Idle it is connected anew; within a transaction all fails until its end. */
static void test_terminated_connection(void **state)
{
    database_t *database = *state;
    assert_int_equal(thing_add(database, "one", 1), STATUS_OK);
    terminate(database);
    assert_false(database_is_connected(database));
    assert_int_equal(database_session(database), 1);
    wait_connected(database);
    assert_int_equal(database_session(database), 2);
    assert_int_equal(thing_add(database, "two", 1), STATUS_OK);

    assert_int_equal(database_begin(database), STATUS_OK);
    assert_int_equal(thing_add(database, "three", 1), STATUS_OK);
    terminate(database);
    assert_int_equal(thing_add(database, "four", 1), STATUS_UNAVAILABLE);
    assert_int_equal(thing_add(database, "four", 1), STATUS_UNAVAILABLE);
    assert_int_equal(database_begin(database), STATUS_INTERNAL);
    assert_int_equal(database_commit(database), STATUS_UNAVAILABLE);
    wait_connected(database);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 2);
    text_check(database, "SHOW synchronous_commit", "off");
}

/* A server's processes live a little longer than the first of them, which was killed. */
static status_t until_it_fails(database_t *database,
                               status_t (*add)(database_t *, const char *, int64_t))
{
    status_t status = STATUS_OK;
    int64_t end_ms = clock_monotonic_ms() + 30000;
    for (int i = 0; status == STATUS_OK && clock_monotonic_ms() < end_ms; i++) {
        char name[24];
        snprintf(name, sizeof name, "more %d", i);
        status = add(database, name, 1);
    }
    return status;
}

static void test_server_dies_before_posted(void **state)
{
    database_t *database = *state;
    assert_int_equal(thing_post(database, "one", 1), STATUS_OK);
    assert_int_equal(database_execute(database, "CHECKPOINT"), STATUS_OK);
    assert_int_equal(database_begin(database), STATUS_OK);
    assert_int_equal(thing_post(database, "two", 1), STATUS_OK);
    postgres_fixture_kill(&postgres, SIGKILL);
    assert_int_equal(until_it_fails(database, thing_post), STATUS_UNAVAILABLE);
    assert_int_equal(database_commit(database), STATUS_UNAVAILABLE);
    database_rollback(database);
    assert_true(postgres_fixture_resume(&postgres));
    wait_connected(database);
    assert_int_equal(thing_add(database, "four", 1), STATUS_OK);
}

static void test_server_dies_and_returns(void **state)
{
    database_t *database = *state;
    assert_int_equal(thing_add(database, "one", 1), STATUS_OK);
    assert_int_equal(database_execute(database, "CHECKPOINT"), STATUS_OK);
    postgres_fixture_kill(&postgres, SIGKILL);
    assert_int_equal(until_it_fails(database, thing_add), STATUS_UNAVAILABLE);
    assert_int_equal(database_begin(database), STATUS_UNAVAILABLE);
    assert_false(database_is_connected(database));
    assert_true(postgres_fixture_resume(&postgres));
    wait_connected(database);
    assert_true(database_is_connected(database));
    assert_int_equal(thing_add(database, "two", 1), STATUS_OK);
    assert_true(number_of(database, "SELECT COUNT(*) FROM things") >= 2);
}

/* One that neither answers nor closes is given up some seconds after its own limit. */
static void test_frozen_server(void **state)
{
    database_t *database = *state;
    pid_t backend = (pid_t)number_of(database, "SELECT pg_backend_pid()");
    database_set_deadline(database, clock_monotonic_ms() + 200);
    assert_int_equal(database_begin(database), STATUS_OK);
    assert_int_equal(kill(backend, SIGSTOP), 0);
    status_t status = thing_add(database, "one", 1);
    assert_int_equal(kill(backend, SIGCONT), 0);
    assert_int_equal(status, STATUS_UNAVAILABLE);
    database_rollback(database);
    database_set_deadline(database, 0);
    wait_connected(database);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 0);
}

/* Nor is its limit waited for when it does not even greet: without a deadline that is ten minutes. */
static void test_frozen_server_without_a_deadline(void **state)
{
    database_t *database = *state;
    pid_t frozen[] = {(pid_t)number_of(database, "SELECT pg_backend_pid()"), postgres.server};
    assert_int_equal(kill(frozen[0], SIGSTOP), 0);
    assert_int_equal(kill(frozen[1], SIGSTOP), 0);
    status_t status = thing_add(database, "one", 1);
    assert_int_equal(kill(frozen[0], SIGCONT), 0);
    assert_int_equal(kill(frozen[1], SIGCONT), 0);
    assert_int_equal(status, STATUS_UNAVAILABLE);
    wait_connected(database);
    assert_int_equal(thing_add(database, "two", 1), STATUS_OK);
}

static status_t large_add(database_t *database, const void *bytes, size_t length)
{
    statement_t *insert = NULL;
    TRY(database_prepare(database, "INSERT INTO things (bytes) VALUES ($1)", &insert));
    statement_bind_blob(insert, 1, bytes, length);
    return statement_run(insert);
}

/* It may be frozen before it has taken all that it is sent. */
static void test_frozen_server_takes_nothing(void **state)
{
    enum { LENGTH = 8 * 1024 * 1024 };
    database_t *database = *state;
    AUTO_FREE char *bytes = memory_allocate(LENGTH);
    assert_int_equal(large_add(database, bytes, LENGTH), STATUS_OK);
    pid_t frozen[] = {(pid_t)number_of(database, "SELECT pg_backend_pid()"), postgres.server};
    assert_int_equal(kill(frozen[0], SIGSTOP), 0);
    assert_int_equal(kill(frozen[1], SIGSTOP), 0);
    status_t status = large_add(database, bytes, LENGTH);
    assert_int_equal(kill(frozen[0], SIGCONT), 0);
    assert_int_equal(kill(frozen[1], SIGCONT), 0);
    assert_int_equal(status, STATUS_UNAVAILABLE);
    wait_connected(database);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM things"), 1);
}

/* A statement that takes long is waited for: the server greets. */
static void test_silent_server_that_works(void **state)
{
    database_t *database = *state;
    assert_int_equal(number_of(database, "SELECT 7 FROM pg_sleep(6)"), 7);
    assert_true(database_is_connected(database));
}

/* ---- several connections ----------------------------------------------------------------------- */

typedef struct {
    int first, second;
    pthread_barrier_t *both;
    status_t status;
} crossing_t;

/* Takes two keys, one after the other, in its own transaction. */
static void *crossing_run(void *argument)
{
    crossing_t *crossing = argument;
    database_t *database = NULL;
    const int64_t first = crossing->first, second = crossing->second;
    status_t status = database_open(path, false, &database);
    if (status == STATUS_OK)
        status = database_begin(database);
    if (status == STATUS_OK)
        status = database_lock(database, &first, 1);
    pthread_barrier_wait(crossing->both);
    if (status == STATUS_OK)
        status = database_lock(database, &second, 1);
    if (status == STATUS_OK)
        status = database_commit(database);
    else if (database)
        database_rollback(database);
    database_close(&database);
    crossing->status = status;
    return NULL;
}

static void test_deadlock_says_again(void **state)
{
    (void)state;
    pthread_barrier_t both;
    pthread_t threads[2];
    crossing_t crossings[2] = {{1, 2, &both, STATUS_OK}, {2, 1, &both, STATUS_OK}};
    pthread_barrier_init(&both, NULL, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crossing_run, &crossings[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&both);
    status_t one = crossings[0].status, other = crossings[1].status;
    assert_true((one == STATUS_OK && other == STATUS_BUSY) ||
                (one == STATUS_BUSY && other == STATUS_OK));
}

static void *lock_run(void *argument)
{
    static const int64_t keys[] = {30, 10, 20}; /* as given, not as sorted */
    database_t *database = argument;
    if (database_begin(database) != STATUS_OK)
        return NULL;
    return database_lock(database, keys, 3) == STATUS_OK ? database : NULL;
}

/* Waiting for the second key, a transaction holds the first and not yet the third. */
static void test_locks_in_order(void **state)
{
    static const int64_t second = 10;
    database_t *holder = *state, *waiter = another(), *observer = another();
    pthread_t thread;
    void *result = NULL;
    assert_int_equal(database_begin(holder), STATUS_OK);
    assert_int_equal(database_lock(holder, &second, 1), STATUS_OK);
    assert_int_equal(pthread_create(&thread, NULL, lock_run, waiter), 0);
    static const char waits[] =
        "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while (number_of(observer, waits) == 0)
        usleep(10000);
    bool is_free = true;
    assert_int_equal(database_try_lock(observer, 30, &is_free), STATUS_OK);
    assert_false(is_free);
    assert_int_equal(database_try_lock(observer, 20, &is_free), STATUS_OK);
    assert_true(is_free);
    database_unlock(observer, 20);
    assert_int_equal(database_commit(holder), STATUS_OK);
    pthread_join(thread, &result);
    assert_ptr_equal(result, waiter);
    assert_int_equal(database_try_lock(observer, 20, &is_free), STATUS_OK);
    assert_false(is_free);
    assert_int_equal(database_commit(waiter), STATUS_OK);
    assert_int_equal(database_try_lock(observer, 20, &is_free), STATUS_OK);
    assert_true(is_free);
    database_close(&waiter);
    database_close(&observer);
}

static void test_lock_not_free(void **state)
{
    static const int64_t key = 4;
    database_t *other = another();
    assert_int_equal(database_lock(*state, &key, 1), STATUS_INTERNAL); /* outside of one */
    assert_int_equal(database_begin(*state), STATUS_OK);
    assert_int_equal(database_lock(*state, &key, 1), STATUS_OK);
    assert_int_equal(database_begin(other), STATUS_OK);
    assert_int_equal(database_lock(other, &key, 1), STATUS_BUSY);
    assert_int_equal(database_commit(other), STATUS_BUSY);
    database_close(&other);
    database_rollback(*state);
}

/* One holds it; with its connection the lock goes to the next, and the loser learns of it. */
static void test_election(void **state)
{
    database_t *first = *state, *second = another();
    bool locked = false;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(database_try_lock(first, 99, &locked), STATUS_OK);
        assert_true(locked);
        assert_int_equal(database_try_lock(second, 99, &locked), STATUS_OK);
        assert_false(locked);
    }
    database_unlock(first, 99);
    assert_int_equal(database_try_lock(second, 99, &locked), STATUS_OK);
    assert_true(locked);
    terminate(second);
    assert_int_equal(database_try_lock(first, 99, &locked), STATUS_OK);
    assert_true(locked);
    wait_connected(second);
    assert_int_equal(database_try_lock(second, 99, &locked), STATUS_OK);
    assert_false(locked);
    database_close(&second);
}

static void *migrate_run(void *argument)
{
    static const migration_t migrations[] = {
        {"CREATE TABLE once (x BIGINT); INSERT INTO once VALUES (1)", "SELECT pg_sleep(0.2)"},
        {"INSERT INTO once VALUES (2)", NULL},
        {NULL, NULL}};
    return database_migrate(argument, migrations) == STATUS_OK ? argument : NULL;
}

static void test_migration_runs_once(void **state)
{
    enum { PROGRAMS = 4 };
    database_t *databases[PROGRAMS];
    pthread_t threads[PROGRAMS];
    for (size_t i = 0; i < PROGRAMS; i++)
        databases[i] = another();
    for (size_t i = 0; i < PROGRAMS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, migrate_run, databases[i]), 0);
    for (size_t i = 0; i < PROGRAMS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, databases[i]);
        text_check(databases[i], "SHOW statement_timeout", "10min"); /* again limited */
        database_close(&databases[i]);
    }
    assert_int_equal(number_of(*state, "SELECT COUNT(*) FROM once"), 2);
    assert_int_equal(number_of(*state, "SELECT COUNT(*) FROM schema_version"), 2);
}

/* What is refused does not keep the rest from running, nor the program from starting. */
static void test_optional_migration(void **state)
{
    static const char *const texts[] = {
        "CREATE EXTENSION IF NOT EXISTS pg_trgm;"
        "CREATE INDEX IF NOT EXISTS things_words ON things USING gin (name gin_trgm_ops)",
        "CREATE TABLE IF NOT EXISTS bonus (x BIGINT)", NULL};
    database_t *plain = NULL;
    bool all = true;
    assert_int_equal(database_execute(*state, "DROP ROLE IF EXISTS plain;"
                                              "CREATE ROLE plain LOGIN PASSWORD 'plain';"
                                              "GRANT ALL ON SCHEMA public TO plain"),
                     STATUS_OK);
    char location[192];
    snprintf(location, sizeof location, "postgresql://plain:plain@/test?host=%s", postgres.folder);
    assert_int_equal(database_open(location, false, &plain), STATUS_OK);
    assert_int_equal(database_migrate_optional(plain, texts, &all), STATUS_OK);
    assert_false(all);
    assert_non_null(strstr(fail_detail(), "42501"));
    assert_int_equal(number_of(plain, "SELECT COUNT(*) FROM bonus"), 0);
    database_close(&plain);
    assert_int_equal(database_execute(*state, "DROP OWNED BY plain; DROP ROLE plain"), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(database_migrate_optional(*state, texts, &all), STATUS_OK);
        assert_true(all);
    }
}

static kind_t on_sqlite = ON_SQLITE, on_postgres = ON_POSTGRES;

#define ONE(name, kind)                                                                            \
    {                                                                                              \
#name "/" #kind, name, setup, teardown, &on_##kind                                         \
    }
#define SQLITE(name)   ONE(name, sqlite)
#define POSTGRES(name) ONE(name, postgres)
#define BOTH(name)     SQLITE(name), POSTGRES(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_values),
        BOTH(test_blobs),
        BOTH(test_too_large),
        BOTH(test_types_come_with_the_values),
        BOTH(test_numbers),
        BOTH(test_upsert_and_returning),
        BOTH(test_changed_rows),
        BOTH(test_dialect),
        BOTH(test_constraint_is_a_conflict),
        BOTH(test_rollback),
        BOTH(test_posted),
        BOTH(test_posted_failure),
        BOTH(test_posted_must_change_one),
        BOTH(test_statement_cache),
        BOTH(test_reader_cannot_write),
        BOTH(test_reader_sees_one_snapshot),
        BOTH(test_transactions_do_not_nest),
        BOTH(test_deadline),
        BOTH(test_migrations),
        BOTH(test_locks_of_one_connection),
        SQLITE(test_settings),
        SQLITE(test_not_a_database),
        POSTGRES(test_settings_of_the_session),
        POSTGRES(test_limit_follows_the_deadline),
        POSTGRES(test_failed_transaction_stays_failed),
        POSTGRES(test_bad_text_is_invalid),
        POSTGRES(test_no_values_in_sentences),
        POSTGRES(test_no_password_in_sentences),
        POSTGRES(test_evicted_statements_are_forgotten),
        POSTGRES(test_terminated_connection),
        POSTGRES(test_server_dies_and_returns),
        POSTGRES(test_server_dies_before_posted),
        POSTGRES(test_frozen_server),
        POSTGRES(test_frozen_server_without_a_deadline),
        POSTGRES(test_frozen_server_takes_nothing),
        POSTGRES(test_silent_server_that_works),
        POSTGRES(test_deadlock_says_again),
        POSTGRES(test_locks_in_order),
        POSTGRES(test_lock_not_free),
        POSTGRES(test_election),
        POSTGRES(test_migration_runs_once),
        POSTGRES(test_optional_migration),
    };
    return cmocka_run_group_tests(tests, cluster_start, cluster_stop);
}
