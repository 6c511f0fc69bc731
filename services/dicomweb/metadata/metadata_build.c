#include "dicomweb/metadata/metadata_build.h"

#include "dicomweb/instance/header_json.h"

#include <stdlib.h>
#include <string.h>

void metadata_build_begin(metadata_build_t *build, dicomweb_t *dicomweb,
                          const location_t *locations, size_t count, const char *base)
{
    *build = (metadata_build_t){.dicomweb = dicomweb,
                                .base = base,
                                .locations = locations,
                                .count = count,
                                .repeat = dicom_json_repeat_create()};
    for (size_t i = 0; i < METADATA_PACKS; i++)
        build->stored[i].fd = -1;
}

void metadata_build_end(metadata_build_t *build)
{
    for (size_t i = 0; i < METADATA_PACKS; i++)
        stored_close(&build->stored[i]);
    dicom_json_repeat_destroy(&build->repeat);
}

/* Records of one time lie by turns in the packs of all who sent. */
static status_t open_one(metadata_build_t *build, const location_t *location, stored_t **out_stored)
{
    stored_t *stored = NULL;
    for (size_t i = 0; i < METADATA_PACKS && !stored; i++)
        if (build->stored[i].fd >= 0 &&
            strcmp(build->stored[i].location.pack.text, location->pack.text) == 0)
            stored = &build->stored[i];
    if (!stored)
        stored = &build->stored[build->oldest++ % METADATA_PACKS];
    *out_stored = stored;
    return stored_open_next(build->dicomweb, location, stored);
}

/* ---- reading ahead --------------------------------------------------------------------------- */

static int compare_places(const void *a, const void *b)
{
    const location_t *left = *(const location_t *const *)a, *right = *(const location_t *const *)b;
    int packs = strcmp(left->pack.text, right->pack.text);
    if (packs != 0)
        return packs;
    return left->record_offset < right->record_offset ? -1
                                                      : left->record_offset > right->record_offset;
}

/* What cannot be opened now shows when it is its turn. */
static void advise(metadata_build_t *build)
{
    const location_t *places[METADATA_BATCH] = {NULL};
    size_t count = 0;
    while (count < METADATA_BATCH && build->advised < build->count)
        places[count++] = &build->locations[build->advised++];
    qsort(places, count, sizeof *places, compare_places);
    for (size_t i = 0; i < count; i++) {
        stored_t *stored;
        if (open_one(build, places[i], &stored) != STATUS_OK)
            continue;
        uint64_t length = header_json_size(stored);
        if (length > 0)
            stored_will_read(stored, 0, length);
    }
}

/* ---- making ---------------------------------------------------------------------------------- */

static bool is_same_record(const location_t *a, const location_t *b)
{
    return a->record_offset == b->record_offset && strcmp(a->pack.text, b->pack.text) == 0;
}

static status_t append_one(metadata_build_t *build, const location_t *location, buffer_t *json)
{
    stored_t *stored;
    status_t status = open_one(build, location, &stored);
    if (status == STATUS_NOT_FOUND ||
        (status == STATUS_OK && !is_same_record(&stored->location, location)))
        return fail(STATUS_CONFLICT, "an instance has moved since it was located");
    TRY(status);
    return header_json_append(build->dicomweb, stored, build->base, build->repeat, json);
}

status_t metadata_build_next(metadata_build_t *build, buffer_t *json, metadata_slice_t *out_slices,
                             size_t *out_count)
{
    size_t count = 0;
    while (build->advised < build->count && build->advised <= build->next + METADATA_BATCH)
        advise(build);
    for (; count < METADATA_BATCH && build->next < build->count; count++, build->next++) {
        const location_t *location = &build->locations[build->next];
        if (json->length > 0)
            buffer_append_byte(json, ',');
        size_t start = json->length;
        TRY(append_one(build, location, json));
        out_slices[count] = (metadata_slice_t){location->pack, location->record_offset, start,
                                               json->length - start};
    }
    *out_count = count;
    return STATUS_OK;
}

void metadata_fingerprint(const location_t *locations, size_t count,
                          uint8_t out_fingerprint[SHA256_SIZE])
{
    AUTO_BUFFER text = {0};
    for (size_t i = 0; i < count; i++) {
        buffer_append(&text, locations[i].pack.text, ULID_LENGTH);
        buffer_append(&text, &locations[i].record_offset, sizeof locations[i].record_offset);
    }
    crypto_sha256(text.data, text.length, out_fingerprint);
}
