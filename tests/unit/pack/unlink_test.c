#include "fixture.h"

static pack_record_t make_pack(void)
{
    pack_writer_t *writer;
    assert_ok(pack_writer_create(data_folder, &writer));
    pack_record_t record = put_record(writer, 100, 1, 100);
    assert_ok(pack_writer_seal(data_folder, &writer));
    return record;
}

static char *quarantined(const ulid_t *pack, const char *suffix)
{
    return memory_format("%s/quarantine/%s%s", data_folder, pack->text, suffix);
}

static void touch(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
}

static void removes_a_pack_and_what_quarantine_holds_of_it(void **state)
{
    (void)state;
    pack_store_t *store;
    pack_record_t record;
    pack_record_t gone = make_pack(), kept = make_pack();
    assert_ok(pack_folder_make(data_folder, PACK_FOLDER_QUARANTINE));
    AUTO_FREE char *note = quarantined(&gone.pack, "-4096");
    AUTO_FREE char *copy = quarantined(&gone.pack, ".pack");
    AUTO_FREE char *other = quarantined(&kept.pack, "-4096");
    touch(note);
    touch(copy);
    touch(other);
    assert_ok(pack_store_open(data_folder, &store));
    check_record(store, &gone, 100, 1);
    for (int again = 0; again < 2; again++) {
        assert_ok(pack_store_unlink(store, &gone.pack));
        assert_status(pack_store_record(store, &gone.pack, gone.offset, &record), STATUS_NOT_FOUND);
    }
    AUTO_FREE char *path = pack_path_sealed(data_folder, &gone.pack);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(note, F_OK), 0);
    assert_int_not_equal(access(copy, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
    check_record(store, &kept, 100, 1);
    pack_store_close(&store);
}

static void refuses_what_is_not_sealed(void **state)
{
    (void)state;
    pack_store_t *store;
    pack_writer_t *writer;
    ulid_t never = ulid_make(), odd = {"../../etc/passwd"};
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_writer_create(data_folder, &writer));
    pack_record_t record = put_record(writer, 100, 1, 100);
    assert_status(pack_store_unlink(store, &record.pack), STATUS_BUSY);
    assert_status(pack_store_unlink(store, &odd), STATUS_NOT_FOUND);
    assert_ok(pack_store_unlink(store, &never)); /* gone it is */
    check_record(store, &record, 100, 1);
    pack_writer_close(&writer);
    pack_store_close(&store);
}

/* The bytes are still on the disk: whoever deletes for good must hear of it. */
static void tells_of_another_name(void **state)
{
    (void)state;
    pack_store_t *store;
    pack_record_t record = make_pack();
    AUTO_FREE char *path = pack_path_sealed(data_folder, &record.pack);
    AUTO_FREE char *link_path = memory_format("%s/backup", data_folder);
    assert_int_equal(link(path, link_path), 0);
    assert_ok(pack_store_open(data_folder, &store));
    assert_status(pack_store_unlink(store, &record.pack), STATUS_CONFLICT);
    assert_int_not_equal(access(path, F_OK), 0);
    pack_store_close(&store);
}

/* A reader that has long forgotten the pack does not keep its bytes on the disk; one that is still
 * looking at them may go on. */
static void other_stores_let_go(void **state)
{
    (void)state;
    pack_store_t *index, *reader;
    pack_record_t gone = make_pack(), kept = make_pack();
    pack_view_t view = {0};
    AUTO_FREE uint8_t *bytes = make_bytes(100, 1);
    assert_ok(pack_store_open(data_folder, &index));
    assert_ok(pack_store_open(data_folder, &reader));
    size_t before = open_descriptors();
    check_record(reader, &gone, 100, 1);
    check_record(reader, &kept, 100, 1);
    assert_ok(pack_store_view(reader, &gone.pack, gone.dataset_offset, 100, &view));
    assert_int_equal(open_descriptors() - before, 2);
    pack_store_tick(reader);
    assert_int_equal(open_descriptors() - before, 2);
    assert_ok(pack_store_unlink(index, &gone.pack));
    pack_store_tick(reader);
    assert_int_equal(open_descriptors() - before, 1);
    assert_memory_equal(view.bytes, bytes, 100);
    pack_view_release(&view);
    check_record(reader, &kept, 100, 1);
    pack_store_close(&reader);
    pack_store_close(&index);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_data_folder, remove_data_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(removes_a_pack_and_what_quarantine_holds_of_it),
        TEST(refuses_what_is_not_sealed),
        TEST(tells_of_another_name),
        TEST(other_stores_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
