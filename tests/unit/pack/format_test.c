#include "fixture.h"

#include "pack/format.h"

static const pack_identity_t identity = {{"01ARZ3NDEKTSV4RRFFQ69G5FAV"}, "0123456789abcde"};

static pack_record_t make_record(void)
{
    pack_record_t record = {
        .type = PACK_RECORD_INSTANCE,
        .pack = identity.pack,
        .offset = 0x3000,
        .next_offset = 0x204000,
        .sequence = 0x0102030405060708,
        .origin_pack = {"01BX5ZZKBKACTAV9WEVGEMMVRZ"},
        .origin_sequence = 9,
        .provenance_offset = 0x3000 + 320,
        .provenance_length = 0x101,
        .provenance_crc32 = 0xA1B2C3D4,
        .dataset_offset = 0x3300,
        .dataset_length = 0x200000,
        .table_offset = 0x203300,
        .table_crc32 = 0x11223344,
        .transfer_syntax_uid = "1.2.840.10008.1.2.1",
        .pixel_data_offset = 0x10,
        .pixel_value_offset = 0x1C,
        .pixel_value_length = 0x20,
    };
    memset(record.dataset_digest, 0x5A, DIGEST_SIZE);
    return record;
}

/* The offsets of docs/pack-format.md: a change here is another format version. */
static void a_record_header_lies_as_documented(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t offset, size;
        const char *bytes;
    } fields[] = {
        {"magic", 0, 8, "ZPACSREC"},
        {"header version", 8, 4, "\x02\0\0\0"},
        {"type", 12, 4, "\x01\0\0\0"},
        {"own offset", 16, 8, "\0\x30\0\0\0\0\0\0"},
        {"next record", 24, 8, "\0\x40\x20\0\0\0\0\0"},
        {"sequence", 32, 8, "\x08\x07\x06\x05\x04\x03\x02\x01"},
        {"pack", 40, 32, "01ARZ3NDEKTSV4RRFFQ69G5FAV\0\0\0\0\0\0"},
        {"origin pack", 72, 32, "01BX5ZZKBKACTAV9WEVGEMMVRZ\0\0\0\0\0\0"},
        {"origin sequence", 104, 8, "\x09\0\0\0\0\0\0\0"},
        {"provenance length", 112, 4, "\x01\x01\0\0"},
        {"provenance CRC", 116, 4, "\xD4\xC3\xB2\xA1"},
        {"dataset offset", 120, 8, "\0\x33\0\0\0\0\0\0"},
        {"dataset length", 128, 8, "\0\0\x20\0\0\0\0\0"},
        {"digest", 136, 32, "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ"},
        {"transfer syntax", 168, 20, "1.2.840.10008.1.2.1\0"},
        {"pixel element", 232, 8, "\x10\0\0\0\0\0\0\0"},
        {"pixel value", 240, 8, "\x1C\0\0\0\0\0\0\0"},
        {"pixel length", 248, 8, "\x20\0\0\0\0\0\0\0"},
        {"table offset", 256, 8, "\0\x33\x20\0\0\0\0\0"},
        {"table CRC", 264, 4, "\x44\x33\x22\x11"},
        {"zero", 268, 4, "\0\0\0\0"},
    };
    uint8_t bytes[PACK_RECORD_HEADER_SIZE], mac[MAC_SIZE];
    pack_record_t record = make_record(), read;
    pack_put_record_header(&identity, &record, bytes);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        print_message("%s\n", fields[i].name);
        assert_memory_equal(bytes + fields[i].offset, fields[i].bytes, fields[i].size);
    }
    crypto_mac(identity.key, PACK_KEY_SIZE, bytes, 304, mac);
    assert_memory_equal(bytes + 304, mac, MAC_SIZE);
    assert_ok(pack_get_record_header(&identity, record.offset, bytes, &read));
    assert_memory_equal(&read, &record, sizeof read);
}

static void no_bit_of_a_record_header_may_flip(void **state)
{
    (void)state;
    uint8_t bytes[PACK_RECORD_HEADER_SIZE];
    pack_record_t record = make_record(), read;
    pack_put_record_header(&identity, &record, bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_status(pack_get_record_header(&identity, record.offset, bytes, &read),
                      STATUS_INVALID);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_ok(pack_get_record_header(&identity, record.offset, bytes, &read));
}

/* Headers that are rightly signed, but not for this place or this pack, or that make no sense. */
static void refuses_headers_that_belong_elsewhere(void **state)
{
    (void)state;
    pack_identity_t other_key = identity, other_pack = identity;
    other_key.key[3] ^= 1;
    other_pack.pack = ulid_make();
    pack_record_t whole = make_record(), moved = whole, before = whole, overlong = whole,
                  endless = whole, no_table = whole, short_of = whole;
    moved.offset += PACK_BLOCK_SIZE;
    before.dataset_offset = whole.provenance_offset;
    overlong.provenance_length = PACK_PROVENANCE_MAX + 1;
    endless.dataset_offset = UINT64_MAX - 5;
    no_table.table_offset = 0;
    short_of.next_offset -= PACK_BLOCK_SIZE;
    const struct {
        const char *name;
        const pack_record_t *record;
        const pack_identity_t *written_as;
        status_t expected;
    } cases[] = {
        {"whole", &whole, &identity, STATUS_OK},
        {"another key", &whole, &other_key, STATUS_INVALID},
        {"another offset", &moved, &identity, STATUS_INVALID},
        {"dataset within the provenance", &before, &identity, STATUS_INVALID},
        {"provenance over its limit", &overlong, &identity, STATUS_INVALID},
        {"dataset at the end of numbers", &endless, &identity, STATUS_INVALID},
        {"large dataset without a table", &no_table, &identity, STATUS_INVALID},
        {"next record within this one", &short_of, &identity, STATUS_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        uint8_t bytes[PACK_RECORD_HEADER_SIZE];
        pack_record_t read;
        pack_put_record_header(cases[i].written_as, cases[i].record, bytes);
        assert_status(pack_get_record_header(&identity, whole.offset, bytes, &read),
                      cases[i].expected);
    }
    uint8_t bytes[PACK_RECORD_HEADER_SIZE];
    pack_record_t read;
    pack_put_record_header(&identity, &whole, bytes);
    assert_status(pack_get_record_header(&other_pack, whole.offset, bytes, &read), STATUS_INVALID);
}

static void a_file_header_lies_as_documented(void **state)
{
    (void)state;
    uint8_t block[PACK_BLOCK_SIZE];
    pack_identity_t read;
    pack_put_file_header(&identity, block);
    assert_memory_equal(block, "ZPACSPAK\x01\0\0\0\0\0\0\0", 16);
    assert_memory_equal(block + 16, "01ARZ3NDEKTSV4RRFFQ69G5FAV\0\0\0\0\0\0", 32);
    assert_memory_equal(block + 48, identity.key, PACK_KEY_SIZE);
    assert_memory_equal(block, block + 2048, 128);
    assert_ok(pack_get_file_header(block, &read));
    assert_memory_equal(&read, &identity, sizeof read);
    block[8] ^= 2, block[2048 + 50] ^= 1;
    assert_status(pack_get_file_header(block, &read), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_header_lies_as_documented),
        cmocka_unit_test(no_bit_of_a_record_header_may_flip),
        cmocka_unit_test(refuses_headers_that_belong_elsewhere),
        cmocka_unit_test(a_file_header_lies_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
