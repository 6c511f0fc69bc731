#include "dicomweb/location/location.h"

#include "base/memory.h"
#include "dicomweb/location/index_access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An absent path parameter is fine when the level above ends the path. */
static status_t read_uid(const http_request_t *request, const char *name, const char **out_uid)
{
    const char *uid = http_path_parameter(request, name);
    if (uid && !uid_is_valid(uid))
        return fail(STATUS_INVALID, "the %s in the path is not a UID", name);
    *out_uid = uid;
    return STATUS_OK;
}

status_t target_read(const http_request_t *request, target_t *out_target)
{
    target_t target = {NULL, NULL, NULL};
    TRY(read_uid(request, "study", &target.study));
    TRY(read_uid(request, "series", &target.series));
    TRY(read_uid(request, "instance", &target.instance));
    *out_target = target;
    return STATUS_OK;
}

static char *borrow(const char *text)
{
    return (char *)(uintptr_t)(text ? text : "");
}

static status_t copy_uid(uid_text_t out, const char *uid)
{
    if (!uid || !uid_copy(out, uid, strlen(uid)))
        return fail(STATUS_INTERNAL, "index sent a UID over %d bytes", UID_LENGTH_MAX);
    return STATUS_OK;
}

static status_t copy_location(const Index__Location *from, location_t *to)
{
    TRY(copy_uid(to->study, from->study_instance_uid));
    TRY(copy_uid(to->series, from->series_instance_uid));
    TRY(copy_uid(to->instance, from->sop_instance_uid));
    TRY(copy_uid(to->sop_class, from->sop_class_uid));
    TRY(copy_uid(to->transfer_syntax, from->transfer_syntax_uid));
    if (!from->pack || !ulid_is_valid(from->pack))
        return fail(STATUS_INTERNAL, "index sent a location without a pack");
    memcpy(to->pack.text, from->pack, sizeof to->pack.text);
    snprintf(to->source_ae_title, sizeof to->source_ae_title, "%s",
             from->source_ae_title ? from->source_ae_title : "");
    to->record_offset = from->record_offset;
    to->dataset_offset = from->dataset_offset;
    to->dataset_length = from->dataset_length;
    to->pixel_data_offset = from->pixel_data_offset;
    to->pixel_value_offset = from->pixel_value_offset;
    to->pixel_value_length = from->pixel_value_length;
    return STATUS_OK;
}

static status_t copy_page(const Index__Located *reply, uint64_t known_version, locations_t *out)
{
    locations_t page = {.count = reply->n_locations, .version = reply->version};
    page.is_known = known_version && reply->version == known_version;
    if (page.count == 0 && !page.is_known)
        return fail(STATUS_NOT_FOUND, "nothing of that name is stored here");
    page.items = memory_allocate((page.count + 1) * sizeof *page.items);
    for (size_t i = 0; i < page.count; i++) {
        status_t status = copy_location(reply->locations[i], &page.items[i]);
        if (status != STATUS_OK) {
            locations_destroy(&page);
            return status;
        }
    }
    if (reply->next && reply->next[0])
        page.next = memory_copy_text(reply->next);
    *out = page;
    return STATUS_OK;
}

status_t locate_page(dicomweb_t *dicomweb, const target_t *target, const char *after,
                     uint64_t known_version, locations_t *out_page)
{
    Index__Scope scope = INDEX__SCOPE__INIT;
    scope.kind = INDEX__SCOPE__KIND__ALL;
    Index__Locate query = INDEX__LOCATE__INIT;
    query.scope = &scope;
    query.study_instance_uid = borrow(target->study);
    query.series_instance_uid = borrow(target->series);
    query.sop_instance_uid = borrow(target->instance);
    query.after = borrow(after);
    query.known_version = known_version;
    index_client_t *client = NULL;
    Index__Located *reply = NULL;
    TRY(dicomweb_index_take(dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_locate(client, &query, &reply));
    dicomweb_index_give(dicomweb, &client);
    TRY(status);
    status = copy_page(reply, known_version, out_page);
    index__located__free_unpacked(reply, NULL);
    return status;
}

static void append(locations_t *all, locations_t *page)
{
    all->items = memory_resize(all->items, (all->count + page->count + 1) * sizeof *all->items);
    memcpy(all->items + all->count, page->items, page->count * sizeof *page->items);
    all->count += page->count;
    free(all->next);
    all->next = page->next;
    page->next = NULL;
    locations_destroy(page);
}

status_t locate_all(dicomweb_t *dicomweb, const target_t *target, uint64_t known_version,
                    locations_t *out_all)
{
    locations_t all = {0};
    TRY(locate_page(dicomweb, target, NULL, known_version, &all));
    while (all.next && !all.is_known) {
        locations_t page = {0};
        status_t status = locate_page(dicomweb, target, all.next, 0, &page);
        if (status == STATUS_NOT_FOUND) /* the rest went while we were reading */
            break;
        if (status == STATUS_OK && all.count + page.count > LOCATIONS_MAX) {
            locations_destroy(&page);
            status = fail(STATUS_TOO_LARGE, "over %d instances in one answer", LOCATIONS_MAX);
        }
        if (status != STATUS_OK) {
            locations_destroy(&all);
            return status;
        }
        append(&all, &page);
    }
    *out_all = all;
    return STATUS_OK;
}

status_t locate_instance(dicomweb_t *dicomweb, const target_t *target, location_t *out_location)
{
    locations_t page = {0};
    TRY(locate_page(dicomweb, target, NULL, 0, &page));
    *out_location = page.items[0];
    locations_destroy(&page);
    return STATUS_OK;
}

void locations_destroy(locations_t *locations)
{
    free(locations->items);
    free(locations->next);
    *locations = (locations_t){0};
}
