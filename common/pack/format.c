#include "pack/format.h"

#include <string.h>

/* ---- file header --------------------------------------------------------------------------------
 *   offset size
 *        0    8  magic "ZPACSPAK"
 *        8    4  format version
 *       12    4  zero
 *       16   32  ULID, 26 characters
 *       48   16  key of the MACs
 *       64   60  zero
 *      124    4  CRC-32 of the bytes before it
 */
enum {
    FILE_MAGIC = 0,
    FILE_VERSION = 8,
    FILE_ULID = 16,
    FILE_KEY = 48,
    FILE_CRC = 124,
};

/* ---- record header ------------------------------------------------------------------------------
 *   offset size
 *        0    8  magic "ZPACSREC"
 *        8    4  header version
 *       12    4  record type
 *       16    8  own offset
 *       24    8  offset of the next record
 *       32    8  sequence
 *       40   32  pack ULID
 *       72   32  origin: pack ULID
 *      104    8  origin: sequence
 *      112    4  length of the provenance
 *      116    4  CRC-32 of the provenance
 *      120    8  offset of the dataset
 *      128    8  length of the dataset
 *      136   32  digest of the dataset: BLAKE3, in version 1 SHA-256
 *      168   64  transfer syntax UID
 *      232    8  PixelData: offset of the element in the dataset
 *      240    8  PixelData: offset of its value
 *      248    8  PixelData: length of its value
 *      256    8  offset of the digest table
 *      264    4  CRC-32 of the digest table
 *      268   36  zero
 *      304   16  MAC of the bytes before it
 */
enum {
    RECORD_MAGIC = 0,
    RECORD_VERSION = 8,
    RECORD_TYPE = 12,
    RECORD_OFFSET = 16,
    RECORD_NEXT = 24,
    RECORD_SEQUENCE = 32,
    RECORD_PACK = 40,
    RECORD_ORIGIN_PACK = 72,
    RECORD_ORIGIN_SEQUENCE = 104,
    RECORD_PROVENANCE_LENGTH = 112,
    RECORD_PROVENANCE_CRC = 116,
    RECORD_DATASET_OFFSET = 120,
    RECORD_DATASET_LENGTH = 128,
    RECORD_DIGEST = 136,
    RECORD_TRANSFER_SYNTAX = 168,
    RECORD_PIXEL_DATA = 232,
    RECORD_PIXEL_VALUE = 240,
    RECORD_PIXEL_LENGTH = 248,
    RECORD_TABLE_OFFSET = 256,
    RECORD_TABLE_CRC = 264,
    RECORD_MAC = 304,
};

enum { MAGIC_SIZE = 8 };
static const uint8_t file_magic[MAGIC_SIZE] = {'Z', 'P', 'A', 'C', 'S', 'P', 'A', 'K'};
static const uint8_t record_magic[MAGIC_SIZE] = {'Z', 'P', 'A', 'C', 'S', 'R', 'E', 'C'};

static void put_u32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static void put_u64(uint8_t *bytes, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *bytes)
{
    uint32_t value = 0;
    for (int i = 3; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static uint64_t get_u64(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static void put_ulid(uint8_t *bytes, const ulid_t *ulid)
{
    memcpy(bytes, ulid->text, ULID_LENGTH);
}

static bool get_ulid(const uint8_t *bytes, ulid_t *out_ulid)
{
    ulid_t ulid = {{0}};
    memcpy(ulid.text, bytes, ULID_LENGTH);
    if (!ulid_is_valid(ulid.text))
        return false;
    *out_ulid = ulid;
    return true;
}

void pack_put_file_header(const pack_identity_t *identity, uint8_t out_block[PACK_BLOCK_SIZE])
{
    memset(out_block, 0, PACK_BLOCK_SIZE);
    memcpy(out_block + FILE_MAGIC, file_magic, MAGIC_SIZE);
    put_u32(out_block + FILE_VERSION, PACK_FILE_VERSION);
    put_ulid(out_block + FILE_ULID, &identity->pack);
    memcpy(out_block + FILE_KEY, identity->key, PACK_KEY_SIZE);
    put_u32(out_block + FILE_CRC, crypto_crc32(out_block, FILE_CRC));
    memcpy(out_block + PACK_FILE_HEADER_COPY, out_block, PACK_FILE_HEADER_SIZE);
}

static status_t get_file_header_copy(const uint8_t *bytes, pack_identity_t *out_identity)
{
    if (memcmp(bytes + FILE_MAGIC, file_magic, MAGIC_SIZE) != 0)
        return fail(STATUS_INVALID, "not a pack: no magic");
    if (get_u32(bytes + FILE_CRC) != crypto_crc32(bytes, FILE_CRC))
        return fail(STATUS_INVALID, "pack header is damaged");
    if (get_u32(bytes + FILE_VERSION) != PACK_FILE_VERSION)
        return fail(STATUS_INVALID, "pack has format version %u, known is %d",
                    get_u32(bytes + FILE_VERSION), PACK_FILE_VERSION);
    pack_identity_t identity = {0};
    if (!get_ulid(bytes + FILE_ULID, &identity.pack))
        return fail(STATUS_INVALID, "pack header has no ULID");
    memcpy(identity.key, bytes + FILE_KEY, PACK_KEY_SIZE);
    *out_identity = identity;
    return STATUS_OK;
}

status_t pack_get_file_header(const uint8_t block[PACK_BLOCK_SIZE], pack_identity_t *out_identity)
{
    if (get_file_header_copy(block, out_identity) == STATUS_OK)
        return STATUS_OK;
    return get_file_header_copy(block + PACK_FILE_HEADER_COPY, out_identity);
}

void pack_put_record_header(const pack_identity_t *identity, const pack_record_t *record,
                            uint8_t out_bytes[PACK_RECORD_HEADER_SIZE])
{
    uint8_t *out = out_bytes;
    memset(out, 0, PACK_RECORD_HEADER_SIZE);
    memcpy(out + RECORD_MAGIC, record_magic, MAGIC_SIZE);
    put_u32(out + RECORD_VERSION, record->digest_kind == DIGEST_SHA256 ? PACK_RECORD_VERSION_SHA256
                                                                       : PACK_RECORD_VERSION);
    put_u32(out + RECORD_TYPE, (uint32_t)record->type);
    put_u64(out + RECORD_OFFSET, record->offset);
    put_u64(out + RECORD_NEXT, record->next_offset);
    put_u64(out + RECORD_SEQUENCE, record->sequence);
    put_ulid(out + RECORD_PACK, &record->pack);
    put_ulid(out + RECORD_ORIGIN_PACK, &record->origin_pack);
    put_u64(out + RECORD_ORIGIN_SEQUENCE, record->origin_sequence);
    put_u32(out + RECORD_PROVENANCE_LENGTH, record->provenance_length);
    put_u32(out + RECORD_PROVENANCE_CRC, record->provenance_crc32);
    put_u64(out + RECORD_DATASET_OFFSET, record->dataset_offset);
    put_u64(out + RECORD_DATASET_LENGTH, record->dataset_length);
    memcpy(out + RECORD_DIGEST, record->dataset_digest, DIGEST_SIZE);
    memcpy(out + RECORD_TRANSFER_SYNTAX, record->transfer_syntax_uid,
           strnlen(record->transfer_syntax_uid, UID_LENGTH_MAX));
    put_u64(out + RECORD_PIXEL_DATA, record->pixel_data_offset);
    put_u64(out + RECORD_PIXEL_VALUE, record->pixel_value_offset);
    put_u64(out + RECORD_PIXEL_LENGTH, record->pixel_value_length);
    put_u64(out + RECORD_TABLE_OFFSET, record->table_offset);
    put_u32(out + RECORD_TABLE_CRC, record->table_crc32);
    crypto_mac(identity->key, PACK_KEY_SIZE, out, RECORD_MAC, out + RECORD_MAC);
}

/* Whether header, provenance, dataset and table follow each other and end before the next record:
 * holds for all we write; checked so that no reader needs to think about odd headers. */
static bool parts_in_order(const pack_record_t *record)
{
    uint64_t data_end, end;
    if (record->provenance_length > PACK_PROVENANCE_MAX ||
        record->dataset_length > PACK_DATASET_MAX ||
        record->dataset_offset < record->provenance_offset + record->provenance_length ||
        __builtin_add_overflow(record->dataset_offset, record->dataset_length, &data_end))
        return false;
    uint64_t chunks = pack_chunks(record->dataset_length);
    if ((chunks != 0) != (record->table_offset != 0) ||
        (chunks && record->table_offset < data_end) ||
        __builtin_add_overflow(chunks ? record->table_offset : data_end, chunks * DIGEST_SIZE,
                               &end))
        return false;
    return record->next_offset >= end && record->next_offset % PACK_BLOCK_SIZE == 0 &&
           record->next_offset <= INT64_MAX;
}

status_t pack_get_record_header(const pack_identity_t *identity, uint64_t offset,
                                const uint8_t bytes[PACK_RECORD_HEADER_SIZE],
                                pack_record_t *out_record)
{
    uint8_t mac[MAC_SIZE];
    if (!pack_has_record_magic(bytes))
        return fail(STATUS_INVALID, "no record header at this offset");
    crypto_mac(identity->key, PACK_KEY_SIZE, bytes, RECORD_MAC, mac);
    if (!crypto_equal(mac, bytes + RECORD_MAC, MAC_SIZE))
        return fail(STATUS_INVALID, "record header is damaged or not of this pack");
    uint32_t version = get_u32(bytes + RECORD_VERSION);
    if (version != PACK_RECORD_VERSION && version != PACK_RECORD_VERSION_SHA256)
        return fail(STATUS_INVALID, "record header has version %u, known are %d and %d", version,
                    PACK_RECORD_VERSION_SHA256, PACK_RECORD_VERSION);
    pack_record_t record = {
        .type = (pack_record_type_t)get_u32(bytes + RECORD_TYPE),
        .offset = get_u64(bytes + RECORD_OFFSET),
        .next_offset = get_u64(bytes + RECORD_NEXT),
        .sequence = get_u64(bytes + RECORD_SEQUENCE),
        .origin_sequence = get_u64(bytes + RECORD_ORIGIN_SEQUENCE),
        .provenance_offset = offset + PACK_RECORD_HEADER_SIZE,
        .provenance_length = get_u32(bytes + RECORD_PROVENANCE_LENGTH),
        .provenance_crc32 = get_u32(bytes + RECORD_PROVENANCE_CRC),
        .dataset_offset = get_u64(bytes + RECORD_DATASET_OFFSET),
        .dataset_length = get_u64(bytes + RECORD_DATASET_LENGTH),
        .table_offset = get_u64(bytes + RECORD_TABLE_OFFSET),
        .table_crc32 = get_u32(bytes + RECORD_TABLE_CRC),
        .digest_kind = version == PACK_RECORD_VERSION_SHA256 ? DIGEST_SHA256 : DIGEST_BLAKE3,
        .pixel_data_offset = get_u64(bytes + RECORD_PIXEL_DATA),
        .pixel_value_offset = get_u64(bytes + RECORD_PIXEL_VALUE),
        .pixel_value_length = get_u64(bytes + RECORD_PIXEL_LENGTH),
    };
    memcpy(record.dataset_digest, bytes + RECORD_DIGEST, DIGEST_SIZE);
    memcpy(record.transfer_syntax_uid, bytes + RECORD_TRANSFER_SYNTAX, UID_LENGTH_MAX);
    if (record.offset != offset || !get_ulid(bytes + RECORD_PACK, &record.pack) ||
        strcmp(record.pack.text, identity->pack.text) != 0)
        return fail(STATUS_INVALID, "record header belongs elsewhere");
    if (!get_ulid(bytes + RECORD_ORIGIN_PACK, &record.origin_pack) || !parts_in_order(&record))
        return fail(STATUS_INVALID, "record header makes no sense");
    *out_record = record;
    return STATUS_OK;
}

bool pack_has_record_magic(const uint8_t *bytes)
{
    return memcmp(bytes, record_magic, MAGIC_SIZE) == 0;
}

uint64_t pack_align(uint64_t offset, uint64_t alignment)
{
    return (offset + alignment - 1) & ~(alignment - 1);
}

uint64_t pack_chunks(uint64_t dataset_length)
{
    if (dataset_length <= PACK_CHUNK_SIZE)
        return 0;
    return (dataset_length + PACK_CHUNK_SIZE - 1) / PACK_CHUNK_SIZE;
}
