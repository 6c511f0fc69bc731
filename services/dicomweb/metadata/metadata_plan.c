#include "dicomweb/metadata/metadata_plan.h"

#include "base/memory.h"
#include "dicomweb/metadata/metadata_build.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uid_text_t study, series; /* series "": of the study */
    metadata_plan_t plan;     /* version 0: the slot is free */
} slot_t;

struct metadata_plans {
    pthread_mutex_t lock;
    slot_t slots[METADATA_PLAN_SLOTS];
};

/* ---- one plan -------------------------------------------------------------------------------- */

static size_t run_length(const locations_t *all, size_t from)
{
    size_t end = from + 1;
    while (end < all->count && strcmp(all->items[end].series, all->items[from].series) == 0)
        end++;
    return end - from;
}

void metadata_plan_make(const locations_t *all, metadata_plan_t *out_plan)
{
    metadata_plan_t plan = {.version = all->version};
    metadata_fingerprint(all->items, all->count, plan.fingerprint);
    for (size_t i = 0; i < all->count; i += run_length(all, i))
        plan.count++;
    plan.parts = memory_allocate((plan.count + 1) * sizeof *plan.parts);
    metadata_part_t *part = plan.parts;
    for (size_t i = 0; i < all->count; i += part->count, part++) {
        part->count = run_length(all, i);
        memcpy(part->series, all->items[i].series, sizeof part->series);
        metadata_fingerprint(all->items + i, part->count, part->fingerprint);
    }
    *out_plan = plan;
}

void metadata_plan_destroy(metadata_plan_t *plan)
{
    free(plan->parts);
    *plan = (metadata_plan_t){0};
}

static metadata_plan_t copy(const metadata_plan_t *plan)
{
    metadata_plan_t to = *plan;
    to.parts = memory_copy(plan->parts, plan->count * sizeof *plan->parts);
    return to;
}

/* ---- those that are kept --------------------------------------------------------------------- */

metadata_plans_t *metadata_plans_create(void)
{
    metadata_plans_t *plans = memory_allocate(sizeof *plans);
    pthread_mutex_init(&plans->lock, NULL);
    return plans;
}

void metadata_plans_destroy(metadata_plans_t **plans)
{
    if (!*plans)
        return;
    for (size_t i = 0; i < METADATA_PLAN_SLOTS; i++)
        metadata_plan_destroy(&(*plans)->slots[i].plan);
    pthread_mutex_destroy(&(*plans)->lock);
    free(*plans);
    *plans = NULL;
}

static const char *series_of(const target_t *target)
{
    return target->series ? target->series : "";
}

/* FNV-1a, as in location_cache.c: a collision costs one question. */
static slot_t *slot_of(metadata_plans_t *plans, const target_t *target)
{
    const char *const texts[] = {target->study, series_of(target)};
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (const char *c = texts[i]; *c; c++)
            hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
    return &plans->slots[(size_t)(hash >> 32) % METADATA_PLAN_SLOTS];
}

bool metadata_plans_get(metadata_plans_t *plans, const target_t *target, metadata_plan_t *out_plan)
{
    const slot_t *slot = slot_of(plans, target);
    pthread_mutex_lock(&plans->lock);
    bool found = slot->plan.version && strcmp(slot->study, target->study) == 0 &&
                 strcmp(slot->series, series_of(target)) == 0;
    if (found)
        *out_plan = copy(&slot->plan);
    pthread_mutex_unlock(&plans->lock);
    return found;
}

void metadata_plans_put(metadata_plans_t *plans, const target_t *target,
                        const metadata_plan_t *plan)
{
    if (!plan->version || plan->count > METADATA_PLAN_PARTS_MAX)
        return;
    slot_t *slot = slot_of(plans, target);
    metadata_plan_t kept = copy(plan);
    pthread_mutex_lock(&plans->lock);
    metadata_plan_t old = slot->plan;
    slot->plan = kept;
    uid_copy(slot->study, target->study, strlen(target->study));
    uid_copy(slot->series, series_of(target), strlen(series_of(target)));
    pthread_mutex_unlock(&plans->lock);
    metadata_plan_destroy(&old);
}
