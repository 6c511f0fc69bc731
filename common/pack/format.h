#ifndef ZPACS_PACK_FORMAT_H
#define ZPACS_PACK_FORMAT_H

#include "crypto/crypto.h"
#include "pack/record.h"

#include <stdbool.h>

/*
 * The bytes of a pack. Used inside common/pack and by its tests only.  docs/pack-format.md
 *
 *     0          4096                                              multiple of 4096
 *     ┌──────────┬────────┬────────────┬─────────┬───────┬─────────┬────────┬───
 *     │ file     │ record │ provenance │ dataset │ table │ zeros   │ record │ ...
 *     │ header   │ header │ and room   │         │       │         │ header │
 *     └──────────┴────────┴────────────┴─────────┴───────┴─────────┴────────┴───
 *
 * All numbers are little-endian. Text is padded with NUL.
 */
enum {
    PACK_FILE_VERSION = 1,
    PACK_RECORD_VERSION = 2,
    PACK_RECORD_VERSION_SHA256 = 1, /* the same, with other digests: of before, and their copies */
    PACK_KEY_SIZE = 16,
    PACK_FILE_HEADER_SIZE = 128,  /* one copy; the rest of the block is zero */
    PACK_FILE_HEADER_COPY = 2048, /* where the second copy lies: another sector of the block */
    PACK_RECORD_HEADER_SIZE = 320,
    PACK_TABLE_ALIGNMENT = 32,
};

/* Whose records these are, and the key of their MACs: a dataset that holds the image of a pack
 * cannot pass for records of this one. */
typedef struct {
    ulid_t pack;
    uint8_t key[PACK_KEY_SIZE];
} pack_identity_t;

void pack_put_file_header(const pack_identity_t *identity, uint8_t out_block[PACK_BLOCK_SIZE]);

/* Fails: INVALID (neither copy holds, or another format version). */
status_t pack_get_file_header(const uint8_t block[PACK_BLOCK_SIZE], pack_identity_t *out_identity);

void pack_put_record_header(const pack_identity_t *identity, const pack_record_t *record,
                            uint8_t out_bytes[PACK_RECORD_HEADER_SIZE]);

/* Checks magic, MAC, pack, own offset and that the parts lie in order. Fails: INVALID. */
status_t pack_get_record_header(const pack_identity_t *identity, uint64_t offset,
                                const uint8_t bytes[PACK_RECORD_HEADER_SIZE],
                                pack_record_t *out_record);

bool pack_has_record_magic(const uint8_t *bytes); /* 8 bytes: worth the MAC? */

uint64_t pack_align(uint64_t offset, uint64_t alignment); /* up; alignment is a power of two */
uint64_t pack_chunks(uint64_t dataset_length);            /* digests in its table; 0: no table */

#endif
