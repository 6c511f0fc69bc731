#include "pack/store.h"

#include "base/memory.h"
#include "pack/file.h"
#include "pack/scan.h"
#include "pack/store_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

status_t pack_store_record(pack_store_t *store, const ulid_t *pack, uint64_t offset,
                           pack_record_t *out_record)
{
    AUTO_RELEASE store_file_t file = {0};
    TRY(store_take(store, pack, &file));
    return pack_file_record(file.fd, &file.identity, offset, file.size, out_record);
}

status_t pack_store_read(pack_store_t *store, const ulid_t *pack, uint64_t offset, void *out_bytes,
                         size_t length)
{
    AUTO_RELEASE store_file_t file = {0};
    TRY(store_take(store, pack, &file));
    if (offset > INT64_MAX)
        return fail(STATUS_INVALID, "offset %llu", (unsigned long long)offset);
    return pack_file_read(file.fd, out_bytes, length, offset);
}

status_t pack_store_provenance(pack_store_t *store, const pack_record_t *record,
                               uint8_t **out_bytes, size_t *out_length)
{
    if (record->provenance_length > PACK_PROVENANCE_MAX)
        return fail(STATUS_INVALID, "provenance of %u bytes", record->provenance_length);
    AUTO_FREE uint8_t *bytes = memory_allocate(record->provenance_length);
    TRY(pack_store_read(store, &record->pack, record->provenance_offset, bytes,
                        record->provenance_length));
    if (crypto_crc32(bytes, record->provenance_length) != record->provenance_crc32)
        return fail(STATUS_INVALID, "provenance of the record at %llu is damaged",
                    (unsigned long long)record->offset);
    *out_bytes = bytes;
    *out_length = record->provenance_length;
    bytes = NULL;
    return STATUS_OK;
}

status_t pack_store_view(pack_store_t *store, const ulid_t *pack, uint64_t offset, size_t length,
                         pack_view_t *out_view)
{
    AUTO_RELEASE store_file_t file = {0};
    TRY(store_take(store, pack, &file));
    uint64_t end;
    if (__builtin_add_overflow(offset, length, &end) || end > file.size)
        return fail(STATUS_INVALID, "pack %s ends at %llu", pack->text,
                    (unsigned long long)file.size);
    if (length == 0) {
        *out_view = (pack_view_t){.bytes = (const uint8_t *)""};
        return STATUS_OK;
    }
    size_t before = (size_t)(offset % PACK_BLOCK_SIZE);
    void *base =
        mmap(NULL, before + length, PROT_READ, MAP_SHARED, file.fd, (off_t)(offset - before));
    if (base == MAP_FAILED)
        return fail(STATUS_UNAVAILABLE, "cannot map pack %s: %s", pack->text, strerror(errno));
    *out_view = (pack_view_t){(const uint8_t *)base + before, length, base, before + length};
    return STATUS_OK;
}

void pack_view_at_random(const pack_view_t *view)
{
    if (view->base_)
        (void)madvise(view->base_, view->base_length_, MADV_RANDOM);
}

void pack_view_release(pack_view_t *view)
{
    if (view->base_)
        munmap(view->base_, view->base_length_);
    *view = (pack_view_t){0};
}

status_t pack_store_file(pack_store_t *store, const ulid_t *pack, int *out_fd, uint64_t *out_size)
{
    AUTO_RELEASE store_file_t file = {0};
    TRY(store_take(store, pack, &file));
    int fd = fcntl(file.fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fail(STATUS_UNAVAILABLE, "cannot duplicate descriptor: %s", strerror(errno));
    *out_fd = fd;
    *out_size = file.size;
    return STATUS_OK;
}

status_t pack_store_resume(pack_store_t *store, const ulid_t *pack, uint64_t from,
                           uint64_t *out_offset)
{
    AUTO_RELEASE store_file_t file = {0};
    pack_record_t record;
    TRY(store_take(store, pack, &file));
    TRY(pack_scan_next(file.fd, &file.identity, from, file.size, &record));
    *out_offset = record.offset;
    return STATUS_OK;
}

status_t pack_store_verify(pack_store_t *store, const pack_record_t *record)
{
    AUTO_RELEASE store_file_t file = {0};
    TRY(store_take(store, &record->pack, &file));
    return pack_scan_check(file.fd, record);
}
