#include "dicomweb/instance/inflated.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "dicom/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IDLE_SHARE = 8 }; /* what nobody reads may take this part of the limit */

/*
 *   INFLATING ──▶ READY ──last reader, no room to stay──▶ freed
 *       └───────▶ FAILED ──last who waited for it──▶ freed (whoever comes later tries anew)
 */
typedef enum { INFLATING, READY, FAILED } state_t;

typedef struct entry {
    inflated_t shown; /* first: what readers get */
    struct entry *next;
    ulid_t pack;
    uint64_t offset, last_used;
    buffer_t bytes;
    state_t state;
    status_t status; /* FAILED: why, and in words */
    char *detail;
    size_t users;
} entry_t;

struct inflated_cache {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* an entry left INFLATING, or bytes were given back */
    size_t bytes_max, bytes, idle_bytes;
    int wait_ms;
    uint64_t clock;
    entry_t *entries; /* INFLATING and READY */
};

inflated_cache_t *inflated_cache_create(size_t bytes_max, int wait_ms)
{
    pthread_condattr_t monotonic;
    inflated_cache_t *cache = memory_allocate(sizeof *cache);
    cache->bytes_max = bytes_max;
    cache->wait_ms = wait_ms;
    pthread_mutex_init(&cache->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&cache->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return cache;
}

static void free_entry(entry_t *entry)
{
    buffer_destroy(&entry->bytes);
    free(entry->detail);
    free(entry);
}

void inflated_cache_destroy(inflated_cache_t **cache)
{
    inflated_cache_t *it = *cache;
    if (!it)
        return;
    for (entry_t *entry = it->entries, *next; entry; entry = next) {
        next = entry->next;
        free_entry(entry);
    }
    pthread_cond_destroy(&it->changed);
    pthread_mutex_destroy(&it->lock);
    free(it);
    *cache = NULL;
}

/* ---- under the lock ---------------------------------------------------------------------------- */

static entry_t *find(const inflated_cache_t *cache, const ulid_t *pack, uint64_t offset)
{
    for (entry_t *entry = cache->entries; entry; entry = entry->next)
        if (entry->offset == offset && strcmp(entry->pack.text, pack->text) == 0)
            return entry;
    return NULL;
}

static void unlist(inflated_cache_t *cache, const entry_t *entry)
{
    for (entry_t **at = &cache->entries; *at; at = &(*at)->next) {
        if (*at == entry) {
            *at = entry->next;
            return;
        }
    }
}

/* Frees what nobody has read for the longest time; false: everything is being read. */
static bool free_idle(inflated_cache_t *cache)
{
    entry_t *oldest = NULL;
    for (entry_t *entry = cache->entries; entry; entry = entry->next)
        if (entry->users == 0 && (!oldest || entry->last_used < oldest->last_used))
            oldest = entry;
    if (!oldest)
        return false;
    unlist(cache, oldest);
    cache->bytes -= oldest->bytes.length;
    cache->idle_bytes -= oldest->bytes.length;
    free_entry(oldest);
    return true;
}

static status_t reserve(inflated_cache_t *cache, size_t size)
{
    int64_t end_ms = clock_monotonic_ms() + cache->wait_ms;
    struct timespec end = {end_ms / 1000, end_ms % 1000 * 1000000};
    bool is_late = false;
    if (size > cache->bytes_max)
        return fail(STATUS_TOO_LARGE, "inflates to %zu bytes, limit %zu", size, cache->bytes_max);
    while (size > cache->bytes_max - cache->bytes) {
        if (free_idle(cache))
            continue;
        if (is_late)
            return fail(STATUS_BUSY, "too many deflated instances are being read; try again");
        is_late = pthread_cond_timedwait(&cache->changed, &cache->lock, &end) == ETIMEDOUT;
    }
    cache->bytes += size;
    return STATUS_OK;
}

static void drop(inflated_cache_t *cache, entry_t *entry)
{
    if (--entry->users > 0)
        return;
    if (entry->state == FAILED) {
        free_entry(entry);
        return;
    }
    entry->last_used = ++cache->clock;
    cache->idle_bytes += entry->bytes.length;
    while (cache->idle_bytes > cache->bytes_max / IDLE_SHARE)
        free_idle(cache);
    pthread_cond_broadcast(&cache->changed);
}

/* ---- inflating --------------------------------------------------------------------------------- */

static status_t inflate_entry(inflated_cache_t *cache, entry_t *entry, const uint8_t *deflated,
                              size_t length)
{
    size_t size = 0;
    TRY(dicom_inflated_size(deflated, length, DICOM_INFLATE_MAX, DICOM_INFLATE_RATIO_MAX, &size));
    pthread_mutex_lock(&cache->lock);
    status_t status = reserve(cache, size);
    pthread_mutex_unlock(&cache->lock);
    TRY(status);
    status = dicom_inflate_sized(deflated, length, size, &entry->bytes);
    if (status == STATUS_OK)
        return STATUS_OK;
    pthread_mutex_lock(&cache->lock);
    cache->bytes -= size;
    pthread_mutex_unlock(&cache->lock);
    return status;
}

static entry_t *add(inflated_cache_t *cache, const ulid_t *pack, uint64_t offset)
{
    entry_t *entry = memory_allocate(sizeof *entry);
    entry->pack = *pack;
    entry->offset = offset;
    entry->state = INFLATING;
    entry->next = cache->entries;
    cache->entries = entry;
    return entry;
}

static void settle(inflated_cache_t *cache, entry_t *entry, status_t status)
{
    if (status == STATUS_OK) {
        entry->shown = (inflated_t){entry->bytes.data, entry->bytes.length};
        entry->state = READY;
    } else {
        entry->detail = memory_copy_text(fail_detail());
        entry->status = status;
        entry->state = FAILED;
        unlist(cache, entry);
    }
    pthread_cond_broadcast(&cache->changed);
}

status_t inflated_get(inflated_cache_t *cache, const ulid_t *pack, uint64_t offset,
                      const uint8_t *deflated, size_t length, const inflated_t **out_inflated)
{
    pthread_mutex_lock(&cache->lock);
    entry_t *entry = find(cache, pack, offset);
    bool is_mine = !entry;
    if (is_mine)
        entry = add(cache, pack, offset);
    else if (entry->users == 0)
        cache->idle_bytes -= entry->bytes.length;
    entry->users++;
    if (is_mine) {
        pthread_mutex_unlock(&cache->lock);
        status_t status = inflate_entry(cache, entry, deflated, length);
        pthread_mutex_lock(&cache->lock);
        settle(cache, entry, status);
    }
    while (entry->state == INFLATING)
        pthread_cond_wait(&cache->changed, &cache->lock);
    status_t status = STATUS_OK;
    if (entry->state == FAILED) {
        status = fail(entry->status, "%s", entry->detail);
        drop(cache, entry);
    } else {
        *out_inflated = &entry->shown;
    }
    pthread_mutex_unlock(&cache->lock);
    return status;
}

void inflated_release(inflated_cache_t *cache, const inflated_t **inflated)
{
    if (!*inflated)
        return;
    pthread_mutex_lock(&cache->lock);
    drop(cache, (entry_t *)(uintptr_t)*inflated);
    pthread_mutex_unlock(&cache->lock);
    *inflated = NULL;
}
