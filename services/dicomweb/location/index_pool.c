#include "dicomweb/location/index_pool.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct index_pool {
    char *endpoint, *keys_folder;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    size_t max, open_count; /* those lent and those idle */
    size_t idle_count;
    index_client_t **idle; /* max places; the last was given back last, so it is the warmest */
};

index_pool_t *index_pool_create(const char *endpoint, const char *keys_folder, size_t max)
{
    pthread_condattr_t monotonic;
    index_pool_t *pool = memory_allocate(sizeof *pool);
    pool->endpoint = memory_copy_text(endpoint);
    pool->keys_folder = memory_copy_text(keys_folder);
    pool->max = max;
    pool->idle = memory_allocate(max * sizeof *pool->idle);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->freed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return pool;
}

void index_pool_destroy(index_pool_t **pool)
{
    index_pool_t *it = *pool;
    if (!it)
        return;
    for (size_t i = 0; i < it->idle_count; i++)
        index_client_close(&it->idle[i]);
    pthread_cond_destroy(&it->freed);
    pthread_mutex_destroy(&it->lock);
    free(it->idle);
    free(it->endpoint);
    free(it->keys_folder);
    free(it);
    *pool = NULL;
}

/* Under the lock: an idle one, or the right to make one (*out_client NULL). */
static status_t wait_for_one(index_pool_t *pool, int wait_ms, index_client_t **out_client)
{
    int64_t end_ms = clock_monotonic_ms() + wait_ms;
    struct timespec end = {end_ms / 1000, end_ms % 1000 * 1000000};
    while (pool->idle_count == 0 && pool->open_count == pool->max)
        if (pthread_cond_timedwait(&pool->freed, &pool->lock, &end) == ETIMEDOUT &&
            pool->idle_count == 0 && pool->open_count == pool->max)
            return fail(STATUS_UNAVAILABLE, "all %zu connections to the index are taken; try again",
                        pool->max);
    if (pool->idle_count > 0)
        *out_client = pool->idle[--pool->idle_count];
    else
        pool->open_count++;
    return STATUS_OK;
}

static void forget_one(index_pool_t *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->open_count--;
    pthread_cond_signal(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
}

status_t index_pool_take(index_pool_t *pool, int wait_ms, index_client_t **out_client)
{
    index_client_t *client = NULL;
    pthread_mutex_lock(&pool->lock);
    status_t status = wait_for_one(pool, wait_ms, &client);
    pthread_mutex_unlock(&pool->lock);
    TRY(status);
    if (!client) {
        status = index_client_open(pool->endpoint, pool->keys_folder, "dicomweb", &client);
        if (status != STATUS_OK) {
            forget_one(pool);
            return STATUS_UNAVAILABLE;
        }
    }
    *out_client = client;
    return STATUS_OK;
}

void index_pool_give(index_pool_t *pool, index_client_t **client)
{
    if (!*client)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->idle[pool->idle_count++] = *client;
    pthread_cond_signal(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
    *client = NULL;
}
