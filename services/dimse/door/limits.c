#include "dimse/door/limits.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct limits {
    pthread_mutex_t lock;
    size_t total, per_address;
    size_t count;
    address_t taken[]; /* one entry per association; total of them at most */
};

limits_t *limits_create(size_t total, size_t per_address)
{
    limits_t *limits = memory_allocate(sizeof *limits + total * sizeof *limits->taken);
    pthread_mutex_init(&limits->lock, NULL);
    limits->total = total;
    limits->per_address = per_address;
    return limits;
}

void limits_destroy(limits_t **limits)
{
    if (!*limits)
        return;
    pthread_mutex_destroy(&(*limits)->lock);
    free(*limits);
    *limits = NULL;
}

static bool equal(const address_t *a, const address_t *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static limits_answer_t take(limits_t *limits, const address_t *address)
{
    if (limits->count == limits->total)
        return LIMITS_TOTAL;
    size_t same = 0;
    for (size_t i = 0; i < limits->count; i++)
        same += equal(&limits->taken[i], address);
    if (same >= limits->per_address)
        return LIMITS_ADDRESS;
    limits->taken[limits->count++] = *address;
    return LIMITS_OK;
}

limits_answer_t limits_take(limits_t *limits, const address_t *address)
{
    pthread_mutex_lock(&limits->lock);
    limits_answer_t answer = take(limits, address);
    pthread_mutex_unlock(&limits->lock);
    return answer;
}

void limits_give(limits_t *limits, const address_t *address)
{
    pthread_mutex_lock(&limits->lock);
    for (size_t i = 0; i < limits->count; i++) {
        if (equal(&limits->taken[i], address)) {
            limits->taken[i] = limits->taken[--limits->count];
            break;
        }
    }
    pthread_mutex_unlock(&limits->lock);
}

size_t limits_in_use(limits_t *limits)
{
    pthread_mutex_lock(&limits->lock);
    size_t count = limits->count;
    pthread_mutex_unlock(&limits->lock);
    return count;
}
