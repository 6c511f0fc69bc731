#include "fixture.h"

#include "pack/format.h"

enum { RECORDS = 4, LENGTH = 10000 };

typedef struct {
    pack_writer_t *writer;
    pack_store_t *store;
    ulid_t pack;
    pack_record_t records[RECORDS];
    uint64_t end;
    int fd; /* a second descriptor, to damage the pack with */
} packed_t;

static packed_t make_packed(void)
{
    packed_t packed;
    assert_ok(pack_store_open(data_folder, &packed.store));
    assert_ok(pack_writer_create(data_folder, &packed.writer));
    packed.pack = pack_writer_pack(packed.writer);
    for (uint32_t i = 0; i < RECORDS; i++)
        packed.records[i] = put_record(packed.writer, LENGTH, i, LENGTH);
    packed.end = packed.records[RECORDS - 1].next_offset;
    AUTO_FREE char *path = pack_path_open(data_folder, &packed.pack);
    packed.fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(packed.fd >= 0);
    pack_writer_close(&packed.writer);
    return packed;
}

static void drop_packed(packed_t *packed)
{
    pack_store_close(&packed->store);
    close(packed->fd);
}

static pack_recovery_t recover(const packed_t *packed)
{
    pack_recovery_t found;
    assert_ok(pack_recover(packed->fd, data_folder, &found));
    return found;
}

static bool has_note(const packed_t *packed, uint64_t offset)
{
    AUTO_FREE char *path = memory_format("%s/quarantine/%s-%llu", data_folder, packed->pack.text,
                                         (unsigned long long)offset);
    return access(path, F_OK) == 0;
}

static void finds_a_whole_pack_whole(void **state)
{
    (void)state;
    packed_t packed = make_packed();
    pack_recovery_t found = recover(&packed);
    assert_int_equal(found.records, RECORDS);
    assert_int_equal(found.last_sequence, RECORDS);
    assert_int_equal(found.durable_offset, packed.end);
    assert_int_equal(found.torn_bytes, 0);
    assert_int_equal(found.quarantined, 0);
    drop_packed(&packed);
}

/* What may be at the end of a pack after a crash, by how the tail is made. */
static void cuts_a_torn_tail(void **state)
{
    (void)state;
    AUTO_FREE uint8_t *noise = make_bytes(3 * PACK_BLOCK_SIZE, 9);
    static const struct {
        const char *name;
        uint64_t back;  /* start this far before the end of the last record */
        size_t bytes;   /* overwrite or append so much noise */
        size_t records; /* that survive */
    } cases[] = {
        {"one byte more", 0, 1, RECORDS},
        {"a block more", 0, PACK_BLOCK_SIZE, RECORDS},
        {"blocks and a bit more", 0, 2 * PACK_BLOCK_SIZE + 17, RECORDS},
        {"the last header is noise", 3 * PACK_BLOCK_SIZE, 320, RECORDS - 1},
        {"one byte of the last header", 3 * PACK_BLOCK_SIZE - 40, 1, RECORDS - 1},
        {"one byte of the last provenance", 3 * PACK_BLOCK_SIZE - 325, 1, RECORDS - 1},
        {"one byte of the last dataset", PACK_BLOCK_SIZE, 1, RECORDS - 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        packed_t packed = make_packed();
        assert_int_equal(packed.end - packed.records[RECORDS - 1].offset, 3 * PACK_BLOCK_SIZE);
        overwrite(packed.fd, packed.end - cases[i].back, noise, cases[i].bytes);
        uint64_t size = size_of(packed.fd);
        uint64_t durable =
            cases[i].records == RECORDS ? packed.end : packed.records[RECORDS - 1].offset;
        pack_recovery_t found = recover(&packed);
        assert_int_equal(found.records, cases[i].records);
        assert_int_equal(found.last_sequence, cases[i].records);
        assert_int_equal(found.durable_offset, durable);
        assert_int_equal(found.torn_bytes, size - durable);
        assert_int_equal(found.quarantined, 0);
        assert_int_equal(size_of(packed.fd), durable);
        for (uint32_t k = 0; k < cases[i].records; k++)
            check_record(packed.store, &packed.records[k], LENGTH, k);
        drop_packed(&packed);
    }
}

static void cuts_a_shortened_record(void **state)
{
    (void)state;
    packed_t packed = make_packed();
    assert_ok(pack_file_cut(packed.fd, packed.end - 1));
    pack_recovery_t found = recover(&packed);
    assert_int_equal(found.records, RECORDS - 1);
    assert_int_equal(size_of(packed.fd), packed.records[RECORDS - 1].offset);
    drop_packed(&packed);
}

static void leaves_damage_between_records_in_place(void **state)
{
    (void)state;
    packed_t packed = make_packed();
    AUTO_FREE uint8_t *noise = make_bytes(64, 9);
    overwrite(packed.fd, packed.records[1].offset + 100, noise, 64);
    for (int again = 0; again < 2; again++) {
        pack_recovery_t found = recover(&packed);
        assert_int_equal(found.records, RECORDS - 1);
        assert_int_equal(found.last_sequence, RECORDS);
        assert_int_equal(found.quarantined, 1);
        assert_int_equal(found.torn_bytes, 0);
        assert_int_equal(found.durable_offset, packed.end);
        assert_true(has_note(&packed, packed.records[1].offset));
    }
    pack_record_t record;
    uint64_t offset = 0;
    assert_status(pack_store_record(packed.store, &packed.pack, packed.records[1].offset, &record),
                  STATUS_INVALID);
    assert_ok(pack_store_resume(packed.store, &packed.pack, packed.records[1].offset, &offset));
    assert_int_equal(offset, packed.records[2].offset);
    check_record(packed.store, &packed.records[2], LENGTH, 2);

    pack_writer_t *writer;
    assert_ok(pack_writer_open(data_folder, &packed.pack, &writer));
    pack_record_t next = put_record(writer, 50, 50, 50);
    assert_int_equal(next.offset, packed.end);
    assert_int_equal(next.sequence, RECORDS + 1);
    pack_writer_close(&writer);
    drop_packed(&packed);
}

/* A damaged dataset of a record that others follow was acknowledged: it stays, verify tells. */
static void leaves_rot_to_verify(void **state)
{
    (void)state;
    packed_t packed = make_packed();
    overwrite(packed.fd, packed.records[1].dataset_offset + 5, "x", 1);
    pack_recovery_t found = recover(&packed);
    assert_int_equal(found.records, RECORDS);
    assert_int_equal(found.quarantined, 0);
    assert_status(pack_store_verify(packed.store, &packed.records[1]), STATUS_INVALID);
    assert_ok(pack_store_verify(packed.store, &packed.records[2]));
    drop_packed(&packed);
}

/* A peer may send a dataset that is a copy of a pack: its records must never count. */
static void is_not_fooled_by_a_pack_inside_a_dataset(void **state)
{
    (void)state;
    packed_t packed = make_packed();
    AUTO_FREE uint8_t *image = memory_allocate(packed.end);
    assert_ok(pack_file_read(packed.fd, image, packed.end, 0));
    pack_writer_t *writer;
    pack_record_t record = {.transfer_syntax_uid = "1.2"};
    assert_ok(pack_writer_open(data_folder, &packed.pack, &writer));
    assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, PACK_BLOCK_SIZE - 320));
    assert_ok(pack_writer_append(writer, image, packed.end));
    assert_ok(pack_writer_commit(writer, "", 0, &record));
    assert_int_equal(record.dataset_offset % PACK_BLOCK_SIZE, 0);
    pack_writer_close(&writer);
    overwrite(packed.fd, record.offset, "x", 1); /* so that its inside is searched */
    pack_recovery_t found = recover(&packed);
    assert_int_equal(found.records, RECORDS);
    assert_int_equal(found.durable_offset, packed.end);
    drop_packed(&packed);
}

static void one_copy_of_the_file_header_suffices(void **state)
{
    (void)state;
    for (int copy = 0; copy < 2; copy++) {
        packed_t packed = make_packed();
        uint8_t zeros[PACK_FILE_HEADER_SIZE] = {0};
        overwrite(packed.fd, copy ? PACK_FILE_HEADER_COPY : 0, zeros, sizeof zeros);
        assert_int_equal(recover(&packed).records, RECORDS);
        check_record(packed.store, &packed.records[0], LENGTH, 0);
        drop_packed(&packed);
    }
}

static void a_file_without_header_goes_to_quarantine(void **state)
{
    (void)state;
    packed_t packed = make_packed();
    uint8_t zeros[PACK_BLOCK_SIZE] = {0};
    pack_recovery_t found;
    pack_writer_t *writer = NULL;
    overwrite(packed.fd, 0, zeros, sizeof zeros);
    assert_status(pack_recover(packed.fd, data_folder, &found), STATUS_INVALID);
    assert_status(pack_writer_open(data_folder, &packed.pack, &writer), STATUS_INVALID);
    AUTO_FREE char *path = memory_format("%s/quarantine/%s.pack", data_folder, packed.pack.text);
    assert_int_equal(access(path, F_OK), 0);
    assert_status(pack_writer_open(data_folder, &packed.pack, &writer), STATUS_NOT_FOUND);
    drop_packed(&packed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_data_folder, remove_data_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(finds_a_whole_pack_whole),
        TEST(cuts_a_torn_tail),
        TEST(cuts_a_shortened_record),
        TEST(leaves_damage_between_records_in_place),
        TEST(leaves_rot_to_verify),
        TEST(is_not_fooled_by_a_pack_inside_a_dataset),
        TEST(one_copy_of_the_file_header_suffices),
        TEST(a_file_without_header_goes_to_quarantine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
