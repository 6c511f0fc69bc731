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

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64], path[96];

static int setup(void **state)
{
    database_t *database = NULL;
    snprintf(folder, sizeof folder, "/tmp/zpacs-database-test.XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/test.db", folder);
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
    for (size_t i = 0; i < 3; i++) {
        char name[112];
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
    static const migration_t one[] = {{"CREATE TABLE a (x BIGINT)"}, {NULL}};
    static const migration_t broken[] = {
        {"CREATE TABLE a (x BIGINT)"}, {"CREATE TABLE b (x BIGINT); NONSENSE"}, {NULL}};
    static const migration_t two[] = {
        {"CREATE TABLE a (x BIGINT)"}, {"CREATE TABLE b (x BIGINT)"}, {NULL}};
    database_t *database = *state;
    assert_int_equal(database_migrate(database, one), STATUS_OK);
    assert_int_equal(database_migrate(database, one), STATUS_OK);
    assert_int_equal(database_migrate(database, broken), STATUS_INTERNAL);
    assert_int_equal(number_of(database, "SELECT MAX(version) FROM schema_version"), 1);
    assert_int_equal(database_migrate(database, two), STATUS_OK);
    assert_int_equal(number_of(database, "SELECT COUNT(*) FROM b"), 0);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_values),
        TEST(test_constraint_is_a_conflict),
        TEST(test_rollback),
        TEST(test_statement_cache),
        TEST(test_reader_cannot_write),
        TEST(test_settings),
        TEST(test_deadline),
        TEST(test_migrations),
        TEST(test_not_a_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
