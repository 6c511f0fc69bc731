#ifndef ZPACS_PACK_RECORD_H
#define ZPACS_PACK_RECORD_H

#include "base/status.h"
#include "base/text.h"
#include "base/ulid.h"
#include "crypto/digest.h"

#include <stddef.h>
#include <stdint.h>

/* docs/pack-format.md has the picture of a pack and the table of all states on disk. */
enum {
    PACK_BLOCK_SIZE = 4096,           /* file header, and the boundary each record starts on */
    PACK_PROVENANCE_MAX = 128 * 1024, /* bytes of provenance in a record */
    PACK_CHUNK_SIZE = 1 << 20, /* a larger dataset has a table with the digest of each chunk */
};
#define PACK_SEAL_SIZE    (UINT64_C(1) << 30) /* sealed when it has grown beyond this */
#define PACK_DATASET_MAX  (UINT64_C(1) << 40)
#define PACK_SEAL_IDLE_MS (10 * 60 * 1000)
#define PACK_SEAL_OPEN_MS (30 * 60 * 1000) /* since it was made, however busy */

typedef enum {
    PACK_RECORD_INSTANCE = 1,
    PACK_RECORD_TOMBSTONE = 2,
    PACK_RECORD_RESOLVE = 3,
    PACK_RECORD_LABEL = 4,
    PACK_RECORD_HOLD = 5,
    PACK_RECORD_OVERLAY = 6,
    PACK_RECORD_RESTORE = 7
} pack_record_type_t;

/* A record's header as read from, or to be written to, a pack. Offsets and lengths in bytes. */
typedef struct {
    pack_record_type_t type;
    ulid_t pack;
    uint64_t offset; /* of the record from the start of the pack; a multiple of PACK_BLOCK_SIZE */
    uint64_t next_offset; /* where the next record starts */
    uint64_t sequence;    /* 1, 2, 3 ... within the pack */
    ulid_t origin_pack;   /* where it was first written: stays when compaction copies the record */
    uint64_t origin_sequence;
    uint64_t provenance_offset; /* from the start of the pack */
    uint32_t provenance_length;
    uint32_t provenance_crc32;
    uint64_t dataset_offset; /* from the start of the pack */
    uint64_t dataset_length;
    digest_kind_t digest_kind;
    uint8_t dataset_digest[DIGEST_SIZE];
    uint64_t table_offset; /* of the digests per PACK_CHUNK_SIZE, from the start; 0: no table */
    uint32_t table_crc32;
    uid_text_t transfer_syntax_uid;
    /* From the start of the (inflated) dataset; 0 when there is no pixel data: */
    uint64_t pixel_data_offset, pixel_value_offset, pixel_value_length;
} pack_record_t;

#endif
