#ifndef ZPACS_DICOMWEB_METADATA_PLAN_H
#define ZPACS_DICOMWEB_METADATA_PLAN_H

#include "crypto/crypto.h"
#include "dicomweb/location/location.h"

#include <stdbool.h>

/*
 * What the metadata of a study or series is put together of: its series in their order, each named by
 * the records that it has. Kept with the version that the index gave for them: while the index says
 * that this is still the version, nobody need be told where the instances lie.
 */
typedef struct {
    uid_text_t series;
    size_t count;                     /* of its instances */
    uint8_t fingerprint[SHA256_SIZE]; /* of their records: metadata_build.h */
} metadata_part_t;

typedef struct {
    uint64_t version; /* of the index; 0: not known */
    uint8_t fingerprint[SHA256_SIZE];
    metadata_part_t *parts;
    size_t count;
} metadata_plan_t;

void metadata_plan_make(const locations_t *all, metadata_plan_t *out_plan);
void metadata_plan_destroy(metadata_plan_t *plan); /* `{0}` is fine */

enum {
    METADATA_PLAN_SLOTS = 1024,
    METADATA_PLAN_PARTS_MAX = 64 /* of one that is kept */
};

/* Those that were made last: a target has one slot, the newer wins. For all threads. */
typedef struct metadata_plans metadata_plans_t;
metadata_plans_t *metadata_plans_create(void);
void metadata_plans_destroy(metadata_plans_t **plans);

/* A copy; false: none is kept. The study of a target is there; series may be NULL. */
bool metadata_plans_get(metadata_plans_t *plans, const target_t *target, metadata_plan_t *out_plan);
void metadata_plans_put(metadata_plans_t *plans, const target_t *target,
                        const metadata_plan_t *plan);

#endif
