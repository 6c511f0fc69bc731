/* Inflated datasets: one for all readers, never more bytes than agreed. */
#include "dicomweb/instance/inflated.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { SIZE = 1000000, ROOM = 8 * SIZE, NO_WAIT_MS = 20, LONG_MS = 20000, THREADS = 16 };

static const ulid_t pack = {"01HZZZZZZZZZZZZZZZZZZZZZZZ"};
static uint8_t deflated[SIZE];
static size_t deflated_length;

/* Not so even that it would be taken for a bomb. */
static int set_up(void **state)
{
    (void)state;
    z_stream stream = {0};
    AUTO_FREE uint8_t *bytes = memory_allocate(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * i / 4096);
    deflateInit2(&stream, 1, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = bytes;
    stream.avail_in = SIZE;
    stream.next_out = deflated;
    stream.avail_out = SIZE;
    int result = deflate(&stream, Z_FINISH);
    deflated_length = stream.total_out;
    deflateEnd(&stream);
    return result == Z_STREAM_END ? 0 : -1;
}

static status_t get(inflated_cache_t *cache, uint64_t offset, const inflated_t **out)
{
    return inflated_get(cache, &pack, offset, deflated, deflated_length, out);
}

static void readers_share(void **state)
{
    (void)state;
    inflated_cache_t *cache = inflated_cache_create(SIZE, NO_WAIT_MS);
    const inflated_t *one = NULL, *two = NULL, *other = NULL;
    assert_int_equal(get(cache, 4096, &one), STATUS_OK);
    assert_int_equal(one->length, SIZE);
    assert_int_equal(one->bytes[5000], (uint8_t)(5000 * 5000 / 4096));
    assert_int_equal(get(cache, 4096, &two), STATUS_OK);
    assert_ptr_equal(one, two);
    assert_int_equal(get(cache, 8192, &other), STATUS_BUSY);
    inflated_release(cache, &one);
    assert_null(one);
    assert_int_equal(get(cache, 8192, &other), STATUS_BUSY); /* the second reader is there still */
    inflated_release(cache, &two);
    assert_int_equal(get(cache, 8192, &other), STATUS_OK);
    inflated_release(cache, &other);
    inflated_release(cache, &other);
    inflated_cache_destroy(&cache);
}

/* An eighth of the room holds one of them: it is found again, and makes room when that is needed. */
static void a_small_one_stays(void **state)
{
    (void)state;
    inflated_cache_t *cache = inflated_cache_create(ROOM, NO_WAIT_MS);
    const inflated_t *held[ROOM / SIZE] = {NULL}, *again = NULL;
    assert_int_equal(get(cache, 0, &held[0]), STATUS_OK);
    inflated_release(cache, &held[0]);
    /* Nothing is read of what is no deflate stream, so it must come from memory. */
    assert_int_equal(inflated_get(cache, &pack, 0, (const uint8_t *)"", 0, &again), STATUS_OK);
    inflated_release(cache, &again);
    for (size_t i = 0; i < ROOM / SIZE; i++)
        assert_int_equal(get(cache, 4096 * (i + 1), &held[i]), STATUS_OK);
    assert_int_equal(get(cache, 0, &again), STATUS_BUSY);
    for (size_t i = 0; i < ROOM / SIZE; i++)
        inflated_release(cache, &held[i]);
    inflated_cache_destroy(&cache);
}

static void failures_are_not_kept(void **state)
{
    (void)state;
    inflated_cache_t *cache = inflated_cache_create(SIZE, NO_WAIT_MS);
    const inflated_t *one = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(inflated_get(cache, &pack, 0, deflated, deflated_length / 2, &one),
                         STATUS_INVALID);
        assert_null(one);
    }
    assert_int_equal(get(cache, 0, &one), STATUS_OK);
    inflated_release(cache, &one);
    inflated_cache_destroy(&cache);
    cache = inflated_cache_create(SIZE - 1, NO_WAIT_MS);
    assert_int_equal(get(cache, 0, &one), STATUS_TOO_LARGE);
    inflated_cache_destroy(&cache);
}

static inflated_cache_t *crowded;
static atomic_int failures;

/* Three datasets by turns where two have room: everybody gets theirs in the end. */
static void *read_by_turns(void *context)
{
    uintptr_t number = (uintptr_t)context;
    for (uint64_t i = 0; i < 10; i++) {
        const inflated_t *one = NULL;
        if (get(crowded, (i + number) % 3, &one) != STATUS_OK || one->length != SIZE ||
            one->bytes[5000] != (uint8_t)(5000 * 5000 / 4096))
            failures++;
        usleep(100);
        inflated_release(crowded, &one);
    }
    return NULL;
}

static void a_crowd_is_served(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    crowded = inflated_cache_create(2 * SIZE, LONG_MS);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_by_turns, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(failures, 0);
    inflated_cache_destroy(&crowded);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_share),
        cmocka_unit_test(a_small_one_stays),
        cmocka_unit_test(failures_are_not_kept),
        cmocka_unit_test(a_crowd_is_served),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
