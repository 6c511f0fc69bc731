#include "volume.h"

#include "pack/reserve.h"

#define MIB (UINT64_C(1) << 20)

/* A record of the index itself: 8 KiB with the header of its pack. */
static status_t write_event(void)
{
    pack_writer_t *writer = NULL;
    pack_record_t record = {0};
    TRY(pack_writer_create(data_folder, &writer));
    status_t status = pack_writer_begin(writer, PACK_RECORD_TOMBSTONE, 100);
    if (status == STATUS_OK)
        status = pack_writer_commit(writer, "gone", 4, &record);
    pack_writer_close(&writer);
    return status;
}

static void a_full_disk_takes_an_event_once_the_reserve_is_released(void **state)
{
    (void)state;
    pack_reserve_t *reserve;
    mount_volume();
    uint64_t all = free_bytes();
    assert_ok(pack_folder_make(data_folder, PACK_FOLDER_OPEN));
    assert_ok(pack_reserve_open(data_folder, PACK_RESERVE_SIZE, &reserve));
    assert_true(pack_reserve_is_filled(reserve));
    assert_true(all - free_bytes() > VOLUME_MIB * MIB / 100 && /* it is bounded by the volume */
                all - free_bytes() <= VOLUME_MIB * MIB / PACK_RESERVE_SHARE_MAX + 8192);
    leave_free(0);
    assert_status(write_event(), STATUS_UNAVAILABLE);
    assert_ok(pack_reserve_release(reserve));
    assert_false(pack_reserve_is_filled(reserve));
    assert_ok(write_event());
    assert_ok(pack_reserve_release(reserve));

    leave_free(MIB / 2); /* its size is free, but not much more */
    assert_status(pack_reserve_refill(reserve), STATUS_BUSY);
    assert_false(pack_reserve_is_filled(reserve));
    assert_int_equal(free_bytes(), MIB / 2);
    leave_free(2 * MIB);
    assert_ok(pack_reserve_refill(reserve));
    assert_ok(pack_reserve_refill(reserve));
    assert_true(pack_reserve_is_filled(reserve));
    assert_true(free_bytes() < 2 * MIB);
    pack_reserve_close(&reserve);
    assert_null(reserve);
}

static void opens_on_a_full_disk_and_fills_later(void **state)
{
    (void)state;
    pack_reserve_t *reserve;
    mount_volume();
    leave_free(0);
    assert_ok(pack_reserve_open(data_folder, MIB / 4, &reserve));
    assert_false(pack_reserve_is_filled(reserve));
    leave_free(MIB);
    assert_ok(pack_reserve_refill(reserve));
    assert_int_equal(free_bytes(), MIB - MIB / 4);
    pack_reserve_close(&reserve);
    uint64_t before = free_bytes();
    assert_ok(pack_reserve_open(data_folder, MIB / 4, &reserve)); /* the next process finds it */
    assert_true(pack_reserve_is_filled(reserve));
    assert_int_equal(free_bytes(), before);
    pack_reserve_close(&reserve);
}

/* One whose blocks are not all there, or of another size, is made anew. */
static void a_broken_reserve_is_made_anew(void **state)
{
    (void)state;
    pack_reserve_t *reserve;
    struct stat info;
    AUTO_FREE char *path = memory_format("%s/reserve", data_folder);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    assert_int_equal(truncate(path, (off_t)MIB), 0); /* a hole */
    assert_ok(pack_reserve_open(data_folder, MIB, &reserve));
    assert_true(pack_reserve_is_filled(reserve));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, MIB);
    assert_true((uint64_t)info.st_blocks * 512 >= MIB);
    pack_reserve_t *other = NULL;
    assert_status(pack_reserve_open(data_folder, MIB, &other), STATUS_BUSY);
    assert_null(other);
    pack_reserve_close(&reserve);
    assert_status(pack_reserve_open("/nowhere/at/all", MIB, &reserve), STATUS_UNAVAILABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_data_folder, unmount_volume)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_disk_takes_an_event_once_the_reserve_is_released),
        TEST(opens_on_a_full_disk_and_fills_later),
        TEST(a_broken_reserve_is_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
