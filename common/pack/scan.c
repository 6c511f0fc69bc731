#include "pack/scan.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "pack/file.h"

#include <string.h>

enum { WINDOW_SIZE = PACK_CHUNK_SIZE };

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Whether the block at offset, of which length bytes are in memory, starts a record. */
static bool starts_record(const pack_identity_t *identity, uint64_t offset, const uint8_t *bytes,
                          size_t length, uint64_t size, pack_record_t *out_record)
{
    return length >= PACK_RECORD_HEADER_SIZE && pack_has_record_magic(bytes) &&
           pack_get_record_header(identity, offset, bytes, out_record) == STATUS_OK &&
           out_record->next_offset <= size;
}

status_t pack_scan_next(int fd, const pack_identity_t *identity, uint64_t from, uint64_t size,
                        pack_record_t *out_record)
{
    AUTO_FREE uint8_t *window = memory_allocate(WINDOW_SIZE);
    pack_record_t record;
    if (from < PACK_BLOCK_SIZE)
        from = PACK_BLOCK_SIZE;
    for (uint64_t at = from < size ? pack_align(from, PACK_BLOCK_SIZE) : size; at < size;) {
        size_t length = (size_t)smaller(WINDOW_SIZE, size - at);
        TRY(pack_file_read(fd, window, length, at));
        for (size_t i = 0; i < length; i += PACK_BLOCK_SIZE) {
            if (!starts_record(identity, at + i, window + i, length - i, size, &record))
                continue;
            *out_record = record;
            return STATUS_OK;
        }
        at += length;
    }
    return fail(STATUS_NOT_FOUND, "no record behind %llu", (unsigned long long)from);
}

static status_t check_provenance(int fd, const pack_record_t *record)
{
    AUTO_FREE uint8_t *bytes = memory_allocate(record->provenance_length);
    TRY(pack_file_read(fd, bytes, record->provenance_length, record->provenance_offset));
    if (crypto_crc32(bytes, record->provenance_length) != record->provenance_crc32)
        return fail(STATUS_INVALID, "provenance of the record at %llu is damaged",
                    (unsigned long long)record->offset);
    return STATUS_OK;
}

static status_t check_table(int fd, const pack_record_t *record, const buffer_t *digests)
{
    if (!record->table_offset)
        return STATUS_OK;
    AUTO_FREE uint8_t *table = memory_allocate(digests->length);
    TRY(pack_file_read(fd, table, digests->length, record->table_offset));
    if (crypto_crc32(table, digests->length) != record->table_crc32 ||
        (digests->length > 0 && memcmp(table, digests->data, digests->length) != 0))
        return fail(STATUS_INVALID, "digest table of the record at %llu is damaged",
                    (unsigned long long)record->offset);
    return STATUS_OK;
}

/* Hashes the dataset as a whole and, when it has a table, each chunk of it. */
static status_t hash_dataset(int fd, const pack_record_t *record, digest_t *digest,
                             buffer_t *out_digests)
{
    AUTO_FREE uint8_t *chunk = memory_allocate(smaller(PACK_CHUNK_SIZE, record->dataset_length));
    for (uint64_t done = 0; done < record->dataset_length;) {
        size_t length = (size_t)smaller(PACK_CHUNK_SIZE, record->dataset_length - done);
        TRY(pack_file_read(fd, chunk, length, record->dataset_offset + done));
        digest_update(digest, chunk, length);
        if (record->table_offset) {
            uint8_t of_chunk[DIGEST_SIZE];
            digest_of(record->digest_kind, chunk, length, of_chunk);
            buffer_append(out_digests, of_chunk, sizeof of_chunk);
        }
        done += length;
    }
    return STATUS_OK;
}

status_t pack_scan_check(int fd, const pack_record_t *record)
{
    TRY(check_provenance(fd, record));
    AUTO_BUFFER digests = {0};
    uint8_t found[DIGEST_SIZE];
    digest_t *digest = digest_create(record->digest_kind);
    status_t status = hash_dataset(fd, record, digest, &digests);
    digest_read(digest, found);
    digest_destroy(&digest);
    TRY(status);
    if (!crypto_equal(found, record->dataset_digest, DIGEST_SIZE))
        return fail(STATUS_INVALID, "dataset of the record at %llu is damaged",
                    (unsigned long long)record->offset);
    return check_table(fd, record, &digests);
}
