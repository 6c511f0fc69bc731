#include "dicomweb/metadata/metadata_make.h"

#include "base/memory.h"
#include "dicomweb/location/index_access.h"
#include "dicomweb/metadata/metadata_build.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BYTES_PER_INSTANCE = 8 * 1024, /* a CT's header as JSON */
    WHY_SIZE = 256
};

/* A run of the series: all of it, or one half that is made beside the other. */
typedef struct {
    dicomweb_t *dicomweb;
    metadata_entry_t *entry; /* whose room it takes */
    metadata_half_t *half;
    const location_t *locations;
    size_t count;
    size_t reserved; /* for the capacity of its JSON */
    bool fits;
    status_t status;
    char why[WHY_SIZE];
    const char *trace; /* of the request */
} run_t;

void metadata_half_destroy(metadata_half_t *half)
{
    buffer_destroy(&half->json);
    free(half->slices);
    gzip_piece_destroy(&half->gzip);
    *half = (metadata_half_t){.count = 0};
}

size_t metadata_entry_cost(const metadata_entry_t *entry, size_t json)
{
    return sizeof *entry + strlen(entry->base) + entry->count * sizeof *entry->halves->slices +
           json;
}

/* ---- one run --------------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The first batch tells about how much all of the series will be. */
static bool is_hopeless(const run_t *run, size_t made)
{
    return run->half->json.length / made >
           metadata_cache_share(run->dicomweb->metadata) / run->entry->count;
}

static bool has_room(run_t *run, size_t capacity)
{
    if (capacity <= run->reserved)
        return true;
    if (!metadata_cache_reserve(run->dicomweb->metadata, run->entry, capacity - run->reserved))
        return false;
    run->reserved = capacity;
    return true;
}

static bool grow(run_t *run, size_t capacity)
{
    buffer_t *json = &run->half->json;
    if (capacity <= json->capacity)
        return true;
    if (!has_room(run, capacity))
        return false;
    json->data = memory_resize(json->data, capacity);
    json->capacity = capacity;
    return true;
}

/* About as much as it will be, but no large part of what there is. */
static bool begin(run_t *run)
{
    run->half->count = run->count;
    run->half->slices = memory_allocate(run->count * sizeof *run->half->slices);
    return grow(run, least(run->count * BYTES_PER_INSTANCE,
                           metadata_cache_share(run->dicomweb->metadata) / 4));
}

/* By half at a time, for a quarter more than the batch will take; what is more than that shows behind it. */
static bool grow_for_batch(run_t *run, size_t made)
{
    const buffer_t *json = &run->half->json;
    size_t each = made ? json->length / made : BYTES_PER_INSTANCE;
    size_t needed = json->length + (each + each / 4) * least(METADATA_BATCH, run->count - made);
    size_t half_more = json->capacity + json->capacity / 2;
    return needed <= json->capacity || grow(run, needed > half_more ? needed : half_more);
}

static status_t make_batches(run_t *run, metadata_build_t *build)
{
    size_t count = 0;
    for (size_t made = 0; made < run->count; made += count) {
        if (made > 0 && !grow_for_batch(run, made))
            return STATUS_OK;
        TRY(metadata_build_next(build, &run->half->json, run->half->slices + made, &count));
        if ((made == 0 && is_hopeless(run, count)) || !has_room(run, run->half->json.capacity))
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

/* false: it was not done. */
static bool make_halves(run_t *all)
{
    run_t first = *all, second = *all;
    pthread_t thread;
    first.count = all->count / 2;
    second.count = all->count - first.count;
    second.locations += first.count;
    second.half++;
    if (!begin(&first) || !begin(&second) ||
        pthread_create(&thread, NULL, make_beside, &second) != 0) {
        metadata_half_destroy(first.half);
        metadata_half_destroy(second.half);
        return false;
    }
    make(&first);
    pthread_join(thread, NULL);
    if (first.status == STATUS_OK && second.status != STATUS_OK)
        first.status = fail(second.status, "%s", second.why);
    all->status = first.status;
    all->fits = first.fits && second.fits;
    return true;
}

static void make_all(run_t *all)
{
    bool is_long = all->count >= 2 * METADATA_BATCH;
    bool may_halve = is_long && !atomic_flag_test_and_set(&is_halved);
    bool is_done = may_halve && make_halves(all);
    if (may_halve)
        atomic_flag_clear(&is_halved);
    if (!is_done && begin(all))
        make(all);
}

/* ---- an entry -------------------------------------------------------------------------------- */

status_t metadata_make(dicomweb_t *dicomweb, const location_t *locations, size_t count,
                       metadata_entry_t *entry, bool *out_fits)
{
    entry->count = count;
    *out_fits = false;
    run_t all = {.dicomweb = dicomweb,
                 .entry = entry,
                 .half = entry->halves,
                 .locations = locations,
                 .count = count,
                 .trace = dicomweb_index_trace()};
    if (!metadata_cache_reserve(dicomweb->metadata, entry, metadata_entry_cost(entry, 0)))
        return STATUS_OK;
    make_all(&all);
    *out_fits = all.fits;
    return all.status;
}
