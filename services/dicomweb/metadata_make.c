#include "dicomweb/metadata_make.h"

#include "base/memory.h"
#include "dicomweb/index_access.h"
#include "dicomweb/metadata_build.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    BYTES_PER_INSTANCE = 8 * 1024, /* a CT's header as JSON */
    WHY_SIZE = 256
};

/* A run of the series: all of it, or one half that is made beside the other. */
typedef struct {
    dicomweb_t *dicomweb;
    metadata_entry_t *entry; /* whose room it takes */
    const location_t *locations;
    metadata_slice_t *slices; /* offsets from the beginning of json */
    buffer_t *json;
    size_t count;
    size_t reserved; /* of the capacity of json */
    bool fits;
    status_t status;
    char why[WHY_SIZE];
    const char *trace; /* of the request */
} run_t;

size_t metadata_entry_cost(const metadata_entry_t *entry, size_t json)
{
    return sizeof *entry + strlen(entry->base) + entry->count * sizeof *entry->slices + json;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- one run --------------------------------------------------------------------------------- */

/* The first batch tells about how much all of the series will be. */
static bool is_hopeless(const run_t *run, size_t made)
{
    return run->json->length / made >
           metadata_cache_share(run->dicomweb->metadata) / run->entry->count;
}

static bool has_room(run_t *run)
{
    size_t more = run->json->capacity - run->reserved;
    if (more > 0 && !metadata_cache_reserve(run->dicomweb->metadata, run->entry, more))
        return false;
    run->reserved += more;
    return true;
}

static status_t make_batches(run_t *run, metadata_build_t *build)
{
    size_t count = 0;
    for (size_t made = 0; made < run->count; made += count) {
        TRY(metadata_build_next(build, run->json, run->slices + made, &count));
        if ((made == 0 && is_hopeless(run, count)) || !has_room(run))
            return STATUS_OK;
    }
    run->fits = true;
    return STATUS_OK;
}

static void make(run_t *run)
{
    metadata_build_t build;
    metadata_build_begin(&build, run->dicomweb, run->locations, run->count, run->entry->base);
    run->status = make_batches(run, &build);
    metadata_build_end(&build);
}

/* ---- two halves ------------------------------------------------------------------------------ */

/* One series at a time gets a second thread: whoever waits for a first answer mostly waits alone. */
static atomic_flag is_halved = ATOMIC_FLAG_INIT;

static void *make_beside(void *argument)
{
    run_t *run = argument;
    dicomweb_index_set_trace(run->trace);
    make(run);
    if (run->status != STATUS_OK)
        snprintf(run->why, sizeof run->why, "%s", fail_detail());
    return NULL;
}

static void append(run_t *first, const run_t *second)
{
    buffer_t *json = first->json;
    first->fits = first->fits && second->fits;
    if (!first->fits)
        return;
    size_t needed = json->length + 1 + second->json->length;
    if (needed > json->capacity) {
        json->data = memory_resize(json->data, needed);
        json->capacity = needed;
    }
    first->fits = has_room(first);
    buffer_append_byte(json, ',');
    for (size_t i = 0; i < second->count; i++)
        second->slices[i].offset += json->length;
    buffer_append(json, second->json->data, second->json->length);
}

/* false: it was not done. */
static bool make_halves(run_t *all)
{
    AUTO_BUFFER json = {0};
    run_t first = *all, second = *all;
    pthread_t thread;
    first.count = all->count / 2;
    second.count = all->count - first.count;
    second.locations += first.count;
    second.slices += first.count;
    second.json = &json;
    second.reserved = 0;
    if (pthread_create(&thread, NULL, make_beside, &second) != 0)
        return false;
    make(&first);
    pthread_join(thread, NULL);
    if (first.status == STATUS_OK && second.status != STATUS_OK)
        first.status = fail(second.status, "%s", second.why);
    if (first.status == STATUS_OK)
        append(&first, &second);
    all->status = first.status;
    all->fits = first.fits;
    return true;
}

static void make_all(run_t *all)
{
    bool is_long = all->count >= 2 * METADATA_BATCH;
    bool may_halve = is_long && !atomic_flag_test_and_set(&is_halved);
    bool is_done = may_halve && make_halves(all);
    if (may_halve)
        atomic_flag_clear(&is_halved);
    if (!is_done)
        make(all);
}

/* ---- an entry -------------------------------------------------------------------------------- */

/* Room for about as much as it will be: what is more than that is asked for as it comes. */
static bool begin(metadata_cache_t *cache, metadata_entry_t *entry)
{
    size_t size = least(entry->count * BYTES_PER_INSTANCE, metadata_cache_share(cache) / 4);
    if (!metadata_cache_reserve(cache, entry, metadata_entry_cost(entry, size)))
        return false;
    entry->json.data = memory_resize(NULL, size);
    entry->json.capacity = size;
    entry->slices = memory_allocate(entry->count * sizeof *entry->slices);
    return true;
}

status_t metadata_make(dicomweb_t *dicomweb, const location_t *locations, size_t count,
                       metadata_entry_t *entry, bool *out_fits)
{
    entry->count = count;
    *out_fits = false;
    if (!begin(dicomweb->metadata, entry))
        return STATUS_OK;
    run_t all = {.dicomweb = dicomweb,
                 .entry = entry,
                 .locations = locations,
                 .slices = entry->slices,
                 .json = &entry->json,
                 .count = count,
                 .reserved = entry->json.capacity,
                 .trace = dicomweb_index_trace()};
    make_all(&all);
    *out_fits = all.fits;
    return all.status;
}
