/*
 * Metadata of a study or a series.
 *
 *     plan_take     what it is made of: as remembered if the index says so, else by the locations
 *     collect       its series, from the cache or made now, as long as there is room for them
 *     send          those in hand from where they lie; if there was no room, all else as it is made
 */
#include "base/memory.h"
#include "dicomweb/metadata/metadata_plan.h"
#include "dicomweb/metadata/metadata_writer.h"
#include "log/log.h"

#include <stdlib.h>

typedef struct {
    const metadata_ask_t *ask;
    uint64_t generation; /* of the cache, before the index was asked */
    metadata_plan_t plan;
    locations_t locations; /* empty while the plan is one that was remembered */
    metadata_run_t *runs;  /* one for each part of the plan */
    size_t collected;      /* of the parts; the rest has no room */
} many_t;

/* ---- what it is made of ---------------------------------------------------------------------- */

static status_t plan_by_locations(many_t *many, uint64_t known_version)
{
    dicomweb_t *dicomweb = many->ask->dicomweb;
    many->generation = metadata_cache_generation(dicomweb->metadata);
    locations_destroy(&many->locations);
    TRY(locate_all(dicomweb, &many->ask->target, known_version, &many->locations));
    if (many->locations.is_known)
        return STATUS_OK;
    metadata_plan_destroy(&many->plan);
    metadata_plan_make(&many->locations, &many->plan);
    metadata_plans_put(dicomweb->plans, &many->ask->target, &many->plan);
    return STATUS_OK;
}

static status_t plan_take(many_t *many)
{
    bool is_remembered =
        metadata_plans_get(many->ask->dicomweb->plans, &many->ask->target, &many->plan);
    return plan_by_locations(many, is_remembered ? many->plan.version : 0);
}

/* ---- its series ------------------------------------------------------------------------------ */

static void release(many_t *many)
{
    for (size_t i = 0; many->runs && i < many->plan.count; i++)
        metadata_cache_release(many->ask->dicomweb->metadata, &many->runs[i].entry);
    free(many->runs);
    many->runs = NULL;
}

static bool collect_kept(many_t *many)
{
    const metadata_ask_t *ask = many->ask;
    bool has_all = true;
    many->runs = memory_allocate((many->plan.count + 1) * sizeof *many->runs);
    for (size_t i = 0; i < many->plan.count; i++) {
        const metadata_part_t *part = &many->plan.parts[i];
        many->runs[i].entry = metadata_cache_look_up(ask->dicomweb->metadata, ask->target.study,
                                                     part->series, ask->base, part->fingerprint);
        has_all = has_all && many->runs[i].entry;
    }
    return has_all;
}

/* The entry stays NULL when there is no room for it. */
static status_t get(const many_t *many, size_t part, const location_t *locations)
{
    const metadata_ask_t *ask = many->ask;
    metadata_run_t *run = &many->runs[part];
    if (!run->entry)
        TRY(metadata_cache_get(ask->dicomweb, locations, many->plan.parts[part].count,
                               many->generation, ask->base, &run->entry));
    if (run->entry && ask->gzip)
        run->is_packed = metadata_cache_pack(ask->dicomweb->metadata, run->entry);
    return STATUS_OK;
}

static status_t collect(many_t *many)
{
    bool has_all = collect_kept(many);
    if (!has_all && many->locations.count == 0) {
        release(many);
        TRY(plan_by_locations(many, 0));
        collect_kept(many);
    }
    const location_t *next = many->locations.items;
    for (; many->collected < many->plan.count; many->collected++) {
        TRY(get(many, many->collected, next));
        if (!many->runs[many->collected].entry)
            break;
        next += next ? many->plan.parts[many->collected].count : 0;
    }
    return STATUS_OK;
}

/* ---- sending --------------------------------------------------------------------------------- */

static status_t stream_run(metadata_writer_t *writer, const location_t *locations, size_t count)
{
    AUTO_BUFFER json = {0};
    metadata_slice_t slices[METADATA_BATCH];
    metadata_build_t build;
    metadata_build_begin(&build, writer->ask->dicomweb, locations, count, writer->ask->base);
    status_t status = STATUS_OK;
    for (size_t made = 1; status == STATUS_OK && made > 0;) {
        buffer_clear(&json);
        status = metadata_build_next(&build, &json, slices, &made);
        if (status == STATUS_OK && made > 0)
            status = metadata_write_objects(writer, &json, slices, made);
    }
    metadata_build_end(&build);
    return status;
}

/* A series that is beyond what was collected is tried once more: the one before it may be gone. */
static status_t send_part(many_t *many, metadata_writer_t *writer, size_t part,
                          const location_t *locations)
{
    metadata_run_t *run = &many->runs[part];
    if (part > many->collected)
        TRY(get(many, part, locations));
    if (!run->entry)
        return stream_run(writer, locations, many->plan.parts[part].count);
    TRY(metadata_write_run(writer, run));
    if (many->collected < many->plan.count)
        metadata_cache_release(many->ask->dicomweb->metadata, &run->entry);
    return STATUS_OK;
}

/* What has moved while it is sent cannot be told as a part of this version any more. */
static status_t said_of_moved(status_t status)
{
    if (status != STATUS_CONFLICT)
        return status;
    log_warning("metadata.moved", LOG_TEXT("why", fail_detail()));
    return fail(STATUS_UNAVAILABLE, "it has changed while it was sent; try again");
}

static void send(many_t *many)
{
    metadata_writer_t writer;
    const metadata_plan_t *plan = &many->plan;
    bool has_all = many->collected == plan->count;
    status_t status = STATUS_OK;
    metadata_add_validators(many->ask, plan->fingerprint);
    metadata_write_begin(&writer, many->ask,
                         has_all ? metadata_length(many->ask, many->runs, plan->count) : -1);
    const location_t *next = many->locations.items;
    for (size_t i = 0; status == STATUS_OK && i < plan->count; i++) {
        status = send_part(many, &writer, i, next);
        next += next ? plan->parts[i].count : 0;
    }
    metadata_write_end(&writer, said_of_moved(status));
}

status_t metadata_many(const metadata_ask_t *ask)
{
    many_t many = {.ask = ask};
    status_t status = plan_take(&many);
    if (status == STATUS_OK && !metadata_answer_unchanged(ask, many.plan.fingerprint)) {
        status = collect(&many);
        if (status == STATUS_OK)
            send(&many);
    }
    release(&many);
    metadata_plan_destroy(&many.plan);
    locations_destroy(&many.locations);
    return status;
}
