/* SQLite without memory: whichever allocation fails, the connection goes on, and sees what is new. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#undef fail /* ours is in base/status.h */

#include "database/database.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ALLOCATIONS_MAX = 10000 };

static sqlite3_mem_methods real;
static int countdown; /* the allocation that fails; 0: none */

static bool fails(void)
{
    return countdown > 0 && --countdown == 0;
}

static void *failing_allocate(int size)
{
    return fails() ? NULL : real.xMalloc(size);
}

static void *failing_reallocate(void *block, int size)
{
    return fails() ? NULL : real.xRealloc(block, size);
}

static int set_up(void **state)
{
    (void)state;
    sqlite3_mem_methods methods;
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real) != SQLITE_OK)
        return 1;
    methods = real;
    methods.xMalloc = failing_allocate;
    methods.xRealloc = failing_reallocate;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) ||
           sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0); /* each allocation is one of ours */
}

static status_t count_things(database_t *database, int64_t *out_count)
{
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    TRY(database_prepare(database, "SELECT COUNT(*) FROM things", &find));
    TRY(statement_step(find, &row));
    *out_count = statement_int64(find, 0);
    return STATUS_OK;
}

static status_t insert_thing(database_t *database)
{
    statement_t *insert = NULL;
    TRY(database_prepare(database, "INSERT INTO things (number) VALUES (1)", &insert));
    return statement_run(insert);
}

static void read_in_transaction(database_t *reader)
{
    int64_t count;
    if (database_begin(reader) != STATUS_OK)
        return;
    (void)count_things(reader, &count);
    database_rollback(reader);
}

static void write_in_transaction(database_t *writer, int64_t *in_out_things)
{
    if (database_begin(writer) != STATUS_OK)
        return;
    if (insert_thing(writer) != STATUS_OK)
        database_rollback(writer);
    else if (database_commit(writer) == STATUS_OK)
        ++*in_out_things;
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    char folder[] = "/tmp/zpacs-sqlite-memory.XXXXXX", path[64];
    database_t *writer = NULL, *reader = NULL;
    int64_t things = 0, seen = 0;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/test.db", folder);
    assert_int_equal(database_open(path, false, &writer), STATUS_OK);
    assert_int_equal(database_execute(writer, "CREATE TABLE things (id {ROWKEY}, number BIGINT)"),
                     STATUS_OK);
    bool all = false;
    for (int number = 1; number < ALLOCATIONS_MAX && !all; number++) {
        assert_int_equal(database_open(path, true, &reader), STATUS_OK); /* knows no statement */
        countdown = number;
        read_in_transaction(reader);
        write_in_transaction(writer, &things);
        all = countdown > 0;
        countdown = 0;
        write_in_transaction(writer, &things);
        assert_int_equal(count_things(reader, &seen), STATUS_OK);
        assert_int_equal(seen, things);
        database_close(&reader);
    }
    assert_true(all && things > 10);
    database_close(&writer);
    unlink(path);
    assert_int_equal(rmdir(folder), 0); /* -wal and -shm went with the last connection */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_fails_once)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
