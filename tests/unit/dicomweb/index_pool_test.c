/* Connections to the index: never more than agreed, handed on as soon as one is free. */
#include "dicomweb/location/index_pool.h"

#include "base/memory.h"
#include "wire/wire.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { MAX = 2, THREADS = 8, TURNS = 200, NO_WAIT_MS = 20, LONG_MS = 20000 };

static char folder[] = "/tmp/zpacs-pool-XXXXXX";
static index_pool_t *pool;
static atomic_int lent, most, failures;

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || wire_keys_make(folder, "index") != STATUS_OK ||
        wire_keys_make(folder, "dicomweb") != STATUS_OK)
        return -1;
    AUTO_FREE char *endpoint = memory_format("ipc://%s/nobody", folder);
    pool = index_pool_create(endpoint, folder, MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    AUTO_FREE char *remove_all = memory_format("rm -rf %s", folder);
    index_pool_destroy(&pool);
    return pool || system(remove_all) ? -1 : 0;
}

static void who_finds_none_is_told(void **state)
{
    (void)state;
    index_client_t *one = NULL, *two = NULL, *three = NULL;
    assert_int_equal(index_pool_take(pool, NO_WAIT_MS, &one), STATUS_OK);
    assert_int_equal(index_pool_take(pool, NO_WAIT_MS, &two), STATUS_OK);
    assert_ptr_not_equal(one, two);
    assert_int_equal(index_pool_take(pool, NO_WAIT_MS, &three), STATUS_UNAVAILABLE);
    assert_null(three);
    index_client_t *warm = one;
    index_pool_give(pool, &one);
    assert_null(one);
    assert_int_equal(index_pool_take(pool, NO_WAIT_MS, &three), STATUS_OK);
    assert_ptr_equal(three, warm);
    index_pool_give(pool, &two);
    index_pool_give(pool, &three);
    index_pool_give(pool, &three); /* of none: nothing happens */
}

static void *take_turns(void *context)
{
    (void)context;
    for (int i = 0; i < TURNS; i++) {
        index_client_t *client = NULL;
        if (index_pool_take(pool, LONG_MS, &client) != STATUS_OK) {
            failures++;
            continue;
        }
        int now = ++lent, before = most;
        while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
            ;
        usleep(50);
        lent--;
        index_pool_give(pool, &client);
    }
    return NULL;
}

static void who_waits_gets_one(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(failures, 0);
    assert_true(most >= 1 && most <= MAX);
}

/* One that cannot be made takes no place. */
static void a_failure_leaves_no_gap(void **state)
{
    (void)state;
    index_client_t *client = NULL;
    index_pool_t *broken = index_pool_create("ipc:///nowhere/nobody", "/nowhere", 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(index_pool_take(broken, NO_WAIT_MS, &client), STATUS_UNAVAILABLE);
    assert_null(strstr(fail_detail(), "taken"));
    index_pool_destroy(&broken);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_finds_none_is_told),
        cmocka_unit_test(who_waits_gets_one),
        cmocka_unit_test(a_failure_leaves_no_gap),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
