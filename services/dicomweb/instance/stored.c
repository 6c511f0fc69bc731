#include "dicomweb/instance/stored.h"

#include "dicomweb/location/location_cache.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static bool is_within(const location_t *location, uint64_t size)
{
    uint64_t end;
    return !__builtin_add_overflow(location->dataset_offset, location->dataset_length, &end) &&
           end <= size;
}

static status_t open_file(dicomweb_t *dicomweb, const location_t *location, int *out_fd,
                          uint64_t *out_size)
{
    uint64_t size = 0;
    int fd = -1;
    TRY(pack_store_file(dicomweb->store, &location->pack, &fd, &size));
    if (!is_within(location, size)) {
        close(fd);
        log_error("pack.cut", LOG_TEXT("pack", location->pack.text)); /* an alarm, too */
        return fail(STATUS_INTERNAL, "pack %s ends before the instance does", location->pack.text);
    }
    *out_fd = fd;
    *out_size = size;
    return STATUS_OK;
}

status_t stored_open(dicomweb_t *dicomweb, const location_t *location, stored_t *out_stored)
{
    location_t where = *location;
    uint64_t size = 0;
    int fd = -1;
    status_t status = open_file(dicomweb, &where, &fd, &size);
    if (status == STATUS_NOT_FOUND) {
        location_cache_clear(dicomweb->locations);
        target_t target = {location->study, location->series, location->instance};
        TRY(locate_instance(dicomweb, &target, &where));
        status = open_file(dicomweb, &where, &fd, &size);
        if (status == STATUS_NOT_FOUND) { /* the index knows it, the disk does not: an alarm */
            log_error("pack.missing", LOG_TEXT("pack", where.pack.text));
            status = fail(STATUS_UNAVAILABLE, "pack %s is not there", where.pack.text);
        }
    }
    TRY(status);
    *out_stored = (stored_t){where, dicom_transfer_syntax_find(where.transfer_syntax), fd, size};
    return STATUS_OK;
}

void stored_close(stored_t *stored)
{
    if (stored->fd >= 0)
        close(stored->fd);
    stored->fd = -1;
}

status_t stored_open_next(dicomweb_t *dicomweb, const location_t *location, stored_t *stored)
{
    bool is_open = stored->fd >= 0 && is_within(location, stored->size) &&
                   strcmp(stored->location.pack.text, location->pack.text) == 0;
    if (!is_open) {
        stored_close(stored);
        return stored_open(dicomweb, location, stored);
    }
    stored->location = *location;
    stored->syntax = dicom_transfer_syntax_find(location->transfer_syntax);
    return STATUS_OK;
}

void stored_will_read(const stored_t *stored, uint64_t offset, uint64_t length)
{
    (void)posix_fadvise(stored->fd, (off_t)(stored->location.dataset_offset + offset),
                        (off_t)length, POSIX_FADV_WILLNEED);
}

status_t stored_read(const stored_t *stored, uint64_t offset, void *out_bytes, size_t length)
{
    uint64_t end;
    if (__builtin_add_overflow(offset, length, &end) || end > stored->location.dataset_length)
        return fail(STATUS_INVALID, "the instance ends before its pixel data does");
    uint8_t *bytes = out_bytes;
    uint64_t at = stored->location.dataset_offset + offset;
    while (length > 0) {
        ssize_t got = pread(stored->fd, bytes, length, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(STATUS_UNAVAILABLE, "reading pack %s: %s", stored->location.pack.text,
                        strerror(errno));
        if (got == 0)
            return fail(STATUS_INTERNAL, "pack %s is cut short", stored->location.pack.text);
        bytes += got;
        at += (uint64_t)got;
        length -= (size_t)got;
    }
    return STATUS_OK;
}

status_t dataset_open(dicomweb_t *dicomweb, const stored_t *stored, dataset_t *out_dataset)
{
    dataset_t dataset = {0};
    const location_t *where = &stored->location;
    TRY(pack_store_view(dicomweb->store, &where->pack, where->dataset_offset,
                        (size_t)where->dataset_length, &dataset.view_));
    dataset.bytes = dataset.view_.bytes;
    dataset.length = dataset.view_.length;
    if (stored->syntax->deflated) {
        dataset.cache_ = dicomweb->inflated;
        status_t status = inflated_get(dataset.cache_, &where->pack, where->record_offset,
                                       dataset.bytes, dataset.length, &dataset.inflated_);
        pack_view_release(&dataset.view_);
        dataset.view_ = (pack_view_t){0};
        TRY(status);
        dataset.bytes = dataset.inflated_->bytes;
        dataset.length = dataset.inflated_->length;
        dataset.is_inflated = true;
    }
    *out_dataset = dataset;
    return STATUS_OK;
}

void dataset_will_skip_pixels(const dataset_t *dataset, const stored_t *stored)
{
    const location_t *where = &stored->location;
    uint64_t end;
    if (dataset->is_inflated || stored->syntax->encapsulated || stored->syntax->big_endian ||
        !where->pixel_value_offset ||
        __builtin_add_overflow(where->pixel_value_offset, where->pixel_value_length, &end) ||
        end > where->dataset_length)
        return;
    stored_will_read(stored, 0, where->pixel_value_offset);
    if (end < where->dataset_length)
        stored_will_read(stored, end, where->dataset_length - end);
    pack_view_at_random(&dataset->view_);
}

void dataset_close(dataset_t *dataset)
{
    pack_view_release(&dataset->view_);
    inflated_release(dataset->cache_, &dataset->inflated_);
    *dataset = (dataset_t){0};
}
