#include "fixture.h"

#include <pthread.h>
#include <sys/mman.h>

static void tells_what_is_not_there(void **state)
{
    (void)state;
    pack_writer_t *writer;
    pack_store_t *store = NULL;
    pack_record_t record;
    uint8_t byte;
    uint64_t offset;
    pack_view_t view = {0};
    assert_status(pack_store_open("/nowhere/at/all", &store), STATUS_UNAVAILABLE);
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_writer_create(data_folder, &writer));
    ulid_t pack = pack_writer_pack(writer), other = ulid_make(), odd = {"../../etc/passwd"};
    pack_record_t first = put_record(writer, 9000, 1, 9000);
    const struct {
        const char *name;
        const ulid_t *pack;
        uint64_t offset;
        status_t expected;
    } cases[] = {
        {"no such pack", &other, 4096, STATUS_NOT_FOUND},
        {"not a name", &odd, 4096, STATUS_NOT_FOUND},
        {"the first record", &pack, 4096, STATUS_OK},
        {"the file header", &pack, 0, STATUS_INVALID},
        {"not on a boundary", &pack, 4097, STATUS_INVALID},
        {"inside a dataset", &pack, 8192, STATUS_INVALID},
        {"the end", &pack, first.next_offset, STATUS_NOT_FOUND},
        {"far behind the end", &pack, UINT64_MAX - 4095, STATUS_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        assert_status(pack_store_record(store, cases[i].pack, cases[i].offset, &record),
                      cases[i].expected);
    }
    assert_status(pack_store_read(store, &pack, first.next_offset, &byte, 1), STATUS_INVALID);
    assert_status(pack_store_read(store, &pack, UINT64_MAX, &byte, 1), STATUS_INVALID);
    assert_ok(pack_store_read(store, &pack, first.next_offset - 1, &byte, 1));
    assert_status(pack_store_view(store, &pack, first.next_offset, 1, &view), STATUS_INVALID);
    assert_status(pack_store_view(store, &pack, UINT64_MAX, 2, &view), STATUS_INVALID);
    assert_ok(pack_store_view(store, &pack, first.next_offset, 0, &view));
    pack_view_release(&view);
    assert_status(pack_store_resume(store, &pack, first.next_offset, &offset), STATUS_NOT_FOUND);
    assert_status(pack_store_resume(store, &pack, 4097, &offset), STATUS_NOT_FOUND);
    assert_ok(pack_store_resume(store, &pack, 1, &offset));
    assert_int_equal(offset, first.offset);
    pack_writer_close(&writer);
    pack_store_close(&store);
}

enum { PACKS = 140 }; /* more than a store keeps open */

static status_t count_packs(void *context, const ulid_t *pack, uint64_t size, bool is_open)
{
    ulid_t *last = context;
    (void)is_open;
    assert_true(strcmp(last->text, pack->text) < 0);
    assert_true(size > PACK_BLOCK_SIZE);
    *last = *pack;
    return STATUS_OK;
}

static status_t stop_at_once(void *context, const ulid_t *pack, uint64_t size, bool is_open)
{
    (void)context, (void)pack, (void)size, (void)is_open;
    return STATUS_EXPIRED;
}

static void keeps_a_bounded_number_of_files_open(void **state)
{
    (void)state;
    pack_store_t *store;
    static pack_record_t records[PACKS];
    size_t before = open_descriptors();
    assert_ok(pack_store_open(data_folder, &store));
    for (uint32_t i = 0; i < PACKS; i++) {
        pack_writer_t *writer;
        assert_ok(pack_writer_create(data_folder, &writer));
        records[i] = put_record(writer, 100, i, 100);
        assert_ok(pack_writer_seal(data_folder, &writer));
    }
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < PACKS; i++)
            check_record(store, &records[i], 100, i);
    assert_int_equal(open_descriptors() - before, 128);
    ulid_t last = {""};
    assert_ok(pack_store_list(store, false, count_packs, &last));
    assert_string_equal(last.text, "");
    assert_status(pack_store_list(store, true, stop_at_once, NULL), STATUS_EXPIRED);
    pack_store_close(&store);
    assert_int_equal(open_descriptors(), before);
}

/* Seen in open/ first, then in its day: as when it was sealed between the two looks. */
static void lists_a_moving_pack_once(void **state)
{
    (void)state;
    pack_store_t *store;
    pack_writer_t *writer;
    pack_listing_t listing;
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_writer_create(data_folder, &writer));
    put_record(writer, 100, 1, 100);
    ulid_t pack = pack_writer_pack(writer);
    AUTO_FREE char *open_path = pack_path_open(data_folder, &pack);
    AUTO_FREE char *sealed_path = pack_path_sealed(data_folder, &pack);
    assert_ok(pack_writer_seal(data_folder, &writer));
    assert_int_equal(link(sealed_path, open_path), 0);
    assert_ok(pack_store_listing(store, true, &listing));
    assert_int_equal(listing.count, 1);
    assert_false(listing.packs[0].is_open);
    pack_listing_add(&listing, &(pack_listed_t){pack, 1, true});
    assert_int_equal(listing.count, 2);
    assert_int_equal(listing.packs[1].size_bytes, 1);
    pack_listing_destroy(&listing);
    assert_null(listing.packs);
    pack_store_close(&store);
}

static void lists_packs_in_order(void **state)
{
    (void)state;
    pack_store_t *store;
    pack_writer_t *writers[6];
    assert_ok(pack_store_open(data_folder, &store));
    for (uint32_t i = 0; i < 6; i++) {
        struct timespec tick = {0, 2000000};
        nanosleep(&tick, NULL);
        assert_ok(pack_writer_create(data_folder, &writers[i]));
        put_record(writers[i], 100, i, 100);
    }
    ulid_t newest = pack_writer_pack(writers[5]), newest_open = pack_writer_pack(writers[4]);
    for (uint32_t i = 1; i < 6; i += 2)
        assert_ok(pack_writer_seal(data_folder, &writers[i]));
    ulid_t last = {""};
    assert_ok(pack_store_list(store, true, count_packs, &last));
    assert_string_equal(last.text, newest.text);
    last.text[0] = 0;
    assert_ok(pack_store_list(store, false, count_packs, &last));
    assert_string_equal(last.text, newest_open.text);
    for (uint32_t i = 0; i < 6; i += 2)
        pack_writer_close(&writers[i]);
    pack_store_close(&store);
}

static void a_pack_that_was_unlinked_is_not_found(void **state)
{
    (void)state;
    pack_store_t *store;
    pack_writer_t *writer;
    pack_record_t record;
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_writer_create(data_folder, &writer));
    pack_record_t first = put_record(writer, 100, 1, 100);
    assert_ok(pack_writer_seal(data_folder, &writer));
    check_record(store, &first, 100, 1);
    size_t before = open_descriptors();
    AUTO_FREE char *path = pack_path_sealed(data_folder, &first.pack);
    assert_int_equal(unlink(path), 0);
    for (int again = 0; again < 2; again++)
        assert_status(pack_store_record(store, &first.pack, first.offset, &record),
                      STATUS_NOT_FOUND);
    assert_int_equal(open_descriptors(), before - 1); /* its bytes are free */
    pack_store_close(&store);
}

static void finds_damage(void **state)
{
    (void)state;
    enum { LENGTH = 3 * 1024 * 1024 + 5 };
    pack_store_t *store;
    pack_writer_t *writer;
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_writer_create(data_folder, &writer));
    pack_record_t record = put_record(writer, LENGTH, 1, LENGTH);
    const struct {
        const char *name;
        uint64_t offset;
    } cases[] = {
        {"provenance", record.provenance_offset},
        {"first byte of the dataset", record.dataset_offset},
        {"last byte of the dataset", record.dataset_offset + LENGTH - 1},
        {"digest table", record.table_offset + 33},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        uint8_t byte, flipped;
        assert_ok(pack_store_read(store, &record.pack, cases[i].offset, &byte, 1));
        flipped = (uint8_t)(byte ^ 0x10);
        assert_ok(pack_store_verify(store, &record));
        overwrite(pack_writer_fd(writer), cases[i].offset, &flipped, 1);
        assert_status(pack_store_verify(store, &record), STATUS_INVALID);
        overwrite(pack_writer_fd(writer), cases[i].offset, &byte, 1);
    }
    pack_writer_close(&writer);
    pack_store_close(&store);
}

/* ---- readers while packs are written and sealed -------------------------------------------------- */

enum { ROUNDS = 200, READERS = 3 };

typedef struct {
    pack_store_t *store;
    pthread_mutex_t lock;
    pack_record_t records[ROUNDS];
    size_t count;
    bool done;
} shared_t;

static void *read_all_the_time(void *argument)
{
    shared_t *shared = argument;
    for (bool done = false; !done;) {
        pthread_mutex_lock(&shared->lock);
        size_t count = shared->count;
        done = shared->done;
        pthread_mutex_unlock(&shared->lock);
        for (size_t i = count > 5 ? count - 5 : 0; i < count; i++) {
            pack_record_t record;
            const pack_record_t *wanted = &shared->records[i];
            if (pack_store_record(shared->store, &wanted->pack, wanted->offset, &record) !=
                    STATUS_OK ||
                pack_store_verify(shared->store, &record) != STATUS_OK)
                return memory_format("record %zu: %s", i, fail_detail());
        }
    }
    return NULL;
}

static void reading_goes_on_while_packs_are_sealed(void **state)
{
    (void)state;
    static shared_t shared = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t readers[READERS];
    pack_writer_t *writer = NULL;
    assert_ok(pack_store_open(data_folder, &shared.store));
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_all_the_time, &shared), 0);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (!writer)
            assert_ok(pack_writer_create(data_folder, &writer));
        pack_record_t record = put_record(writer, 2000, i, 2000);
        pthread_mutex_lock(&shared.lock);
        shared.records[shared.count++] = record;
        pthread_mutex_unlock(&shared.lock);
        if (i % 3 == 0)
            assert_ok(pack_writer_seal(data_folder, &writer));
    }
    pack_writer_close(&writer);
    pthread_mutex_lock(&shared.lock);
    shared.done = true;
    pthread_mutex_unlock(&shared.lock);
    for (int i = 0; i < READERS; i++) {
        void *complaint = NULL;
        pthread_join(readers[i], &complaint);
        if (complaint)
            fail_msg("%s", (char *)complaint);
    }
    pack_store_close(&shared.store);
}

/* ---- a view of which little is read ---------------------------------------------------------- */

static size_t pages_in_memory(const pack_view_t *view)
{
    enum { PAGE = 4096 };
    size_t count = (view->base_length_ + PAGE - 1) / PAGE, resident = 0;
    AUTO_FREE unsigned char *pages = memory_allocate(count);
    assert_int_equal(mincore(view->base_, view->base_length_, pages), 0);
    for (size_t i = 0; i < count; i++)
        resident += pages[i] & 1;
    return resident;
}

static void a_view_at_random_reads_nothing_around(void **state)
{
    enum { LENGTH = 8 * 1024 * 1024, PLACES = 3, FEW = 8 };
    (void)state;
    pack_writer_t *writer;
    pack_store_t *store;
    pack_view_t view = {0};
    int fd = -1;
    uint64_t size;
    pack_view_at_random(&view);
    assert_ok(pack_writer_create(data_folder, &writer));
    pack_record_t record = put_record(writer, LENGTH, 1, LENGTH);
    pack_writer_close(&writer);
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_store_file(store, &record.pack, &fd, &size));
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
    assert_ok(pack_store_view(store, &record.pack, record.dataset_offset, LENGTH, &view));
    if (pages_in_memory(&view) == 0) { /* else the file system keeps its files in memory */
        AUTO_FREE uint8_t *bytes = make_bytes(LENGTH, 1);
        pack_view_at_random(&view);
        for (size_t i = 0; i < PLACES; i++)
            assert_int_equal(view.bytes[i * LENGTH / PLACES], bytes[i * LENGTH / PLACES]);
        assert_in_range(pages_in_memory(&view), PLACES, FEW);
    }
    pack_view_release(&view);
    pack_store_close(&store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_data_folder, remove_data_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tells_what_is_not_there),
        TEST(keeps_a_bounded_number_of_files_open),
        TEST(lists_packs_in_order),
        TEST(lists_a_moving_pack_once),
        TEST(a_pack_that_was_unlinked_is_not_found),
        TEST(finds_damage),
        TEST(reading_goes_on_while_packs_are_sealed),
        TEST(a_view_at_random_reads_nothing_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
