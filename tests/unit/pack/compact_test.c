#include "fixture.h"

#include "pack/compact.h"
#include "pack/pool.h"
#include "pack/writer_state.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/wait.h>

enum { MIB = 1024 * 1024 };
static const size_t lengths[] = {0, 100, 5000, MIB, 2 * MIB + 7, 300};
enum { RECORDS = sizeof lengths / sizeof *lengths };

/* A sealed pack with a record of each length; seeds from first_seed on. */
static void make_pack(uint32_t first_seed, pack_record_t out_records[RECORDS])
{
    pack_writer_t *writer;
    assert_ok(pack_writer_create(data_folder, &writer));
    for (uint32_t i = 0; i < RECORDS; i++)
        out_records[i] = put_record(writer, lengths[i], first_seed + i, 100000);
    assert_ok(pack_writer_seal(data_folder, &writer));
}

static pack_compact_t *begin(pack_compact_options_t options)
{
    pack_compact_t *compact = NULL;
    assert_ok(pack_compact_begin(data_folder, &options, &compact));
    return compact;
}

static size_t files_in_open(void)
{
    size_t count = 0;
    AUTO_FREE char *path = memory_format("%s/packs/open", data_folder);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* The record at offset of the new pack is that one, but for its place. */
static uint64_t check_copy(pack_store_t *store, const ulid_t *pack, uint64_t offset,
                           const pack_record_t *original, uint64_t sequence, size_t length,
                           uint32_t seed)
{
    pack_record_t copy, expected = *original;
    assert_ok(pack_store_record(store, pack, offset, &copy));
    assert_string_equal(copy.pack.text, pack->text);
    assert_int_equal(copy.sequence, sequence);
    check_record(store, &copy, length, seed);
    expected.pack = copy.pack;
    expected.offset = copy.offset;
    expected.next_offset = copy.next_offset;
    expected.sequence = copy.sequence;
    expected.provenance_offset = copy.provenance_offset;
    expected.dataset_offset = copy.dataset_offset;
    expected.table_offset = copy.table_offset;
    assert_memory_equal(&copy, &expected, sizeof copy);
    return copy.next_offset;
}

static void copies_live_records_of_several_packs(void **state)
{
    (void)state;
    pack_store_t *store;
    pack_record_t a[RECORDS], b[RECORDS], record;
    pack_compacted_t done;
    make_pack(10, a);
    make_pack(20, b);
    pack_compact_t *compact = begin((pack_compact_options_t){0});
    assert_int_equal(files_in_open(), 1);
    const uint64_t live_a[] = {a[1].offset, a[4].offset}, live_b[] = {b[0].offset, b[5].offset};
    assert_ok(pack_compact_copy(compact, &a[0].pack, live_a, 2));
    assert_ok(pack_compact_copy(compact, &b[0].pack, live_b, 2));
    assert_false(pack_compact_is_full(compact));
    assert_ok(pack_compact_finish(&compact, &done));
    assert_null(compact);
    assert_int_equal(done.records, 4);
    assert_int_equal(done.dataset_bytes, 100 + 2 * MIB + 7 + 0 + 300);
    assert_int_equal(files_in_open(), 0);

    assert_ok(pack_store_open(data_folder, &store));
    uint64_t at = PACK_BLOCK_SIZE;
    at = check_copy(store, &done.pack, at, &a[1], 1, lengths[1], 11);
    at = check_copy(store, &done.pack, at, &a[4], 2, lengths[4], 14);
    at = check_copy(store, &done.pack, at, &b[0], 3, lengths[0], 20);
    at = check_copy(store, &done.pack, at, &b[5], 4, lengths[5], 25);
    assert_status(pack_store_record(store, &done.pack, at, &record), STATUS_NOT_FOUND);
    pack_store_close(&store);
}

/* The origin is where a record was first written, however often it is copied. */
static void a_copy_of_a_copy_keeps_its_origin(void **state)
{
    (void)state;
    pack_store_t *store;
    pack_record_t first[RECORDS];
    pack_compacted_t once, twice;
    make_pack(1, first);
    const uint64_t live[] = {first[2].offset}, start[] = {PACK_BLOCK_SIZE};
    pack_compact_t *compact = begin((pack_compact_options_t){0});
    assert_ok(pack_compact_copy(compact, &first[0].pack, live, 1));
    assert_ok(pack_compact_finish(&compact, &once));
    compact = begin((pack_compact_options_t){0});
    assert_ok(pack_compact_copy(compact, &once.pack, start, 1));
    assert_ok(pack_compact_finish(&compact, &twice));
    assert_string_not_equal(once.pack.text, twice.pack.text);
    assert_ok(pack_store_open(data_folder, &store));
    check_copy(store, &twice.pack, PACK_BLOCK_SIZE, &first[2], 1, lengths[2], 3);
    pack_store_close(&store);
}

/* What was written before version 2 of the record header is read, and copied as it is. */
static void a_copy_keeps_the_kind_of_its_digest(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, 2 * MIB + 7};
    pack_store_t *store;
    pack_writer_t *writer;
    pack_compacted_t done;
    pack_record_t old[2], new_one;
    uint64_t live[3];
    assert_ok(pack_writer_create(data_folder, &writer));
    for (uint32_t i = 0; i < 2; i++) {
        AUTO_FREE uint8_t *bytes = make_bytes(sizes[i], i);
        uint8_t sha256[SHA256_SIZE];
        old[i] = (pack_record_t){.transfer_syntax_uid = "1.2.840.10008.1.2.1"};
        assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 512));
        writer_use_digest(writer, DIGEST_SHA256);
        assert_ok(pack_writer_append(writer, bytes, sizes[i]));
        assert_ok(pack_writer_commit(writer, test_provenance, sizeof test_provenance, &old[i]));
        crypto_sha256(bytes, sizes[i], sha256);
        assert_memory_equal(old[i].dataset_digest, sha256, SHA256_SIZE);
        live[i] = old[i].offset;
    }
    new_one = put_record(writer, 300, 2, 300); /* an old pack goes on with new records */
    assert_int_equal(new_one.digest_kind, DIGEST_BLAKE3);
    live[2] = new_one.offset;
    assert_ok(pack_writer_seal(data_folder, &writer));
    pack_compact_t *compact = begin((pack_compact_options_t){0});
    assert_ok(pack_compact_copy(compact, &old[0].pack, live, 3));
    assert_ok(pack_compact_finish(&compact, &done));
    assert_ok(pack_store_open(data_folder, &store));
    uint64_t at = PACK_BLOCK_SIZE;
    at = check_copy(store, &done.pack, at, &old[0], 1, sizes[0], 0);
    at = check_copy(store, &done.pack, at, &old[1], 2, sizes[1], 1);
    check_copy(store, &done.pack, at, &new_one, 3, 300, 2);
    pack_store_close(&store);
}

static void without_live_records_there_is_no_new_pack(void **state)
{
    (void)state;
    pack_record_t records[RECORDS];
    pack_compacted_t done;
    make_pack(1, records);
    pack_compact_t *compact = begin((pack_compact_options_t){0});
    assert_ok(pack_compact_copy(compact, &records[0].pack, NULL, 0));
    assert_ok(pack_compact_finish(&compact, &done));
    assert_string_equal(done.pack.text, "");
    assert_int_equal(files_in_open(), 0);
    compact = begin((pack_compact_options_t){0});
    pack_compact_cancel(&compact);
    pack_compact_cancel(&compact);
    assert_int_equal(files_in_open(), 0);
}

static void flip(const pack_record_t *record, uint64_t offset)
{
    uint8_t byte;
    AUTO_FREE char *path = pack_path_sealed(data_folder, &record->pack);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_ok(pack_file_read(fd, &byte, 1, offset));
    byte ^= 0x10;
    overwrite(fd, offset, &byte, 1);
}

/* What does not hold is not copied, nor is anything of its pack; the others are. */
static void damage_stops_the_copy_of_its_pack(void **state)
{
    (void)state;
    enum { HEADER = 0, PROVENANCE, FIRST_BYTE, LAST_BYTE, PLACES };
    pack_record_t good[RECORDS];
    pack_store_t *store;
    make_pack(50, good);
    assert_ok(pack_store_open(data_folder, &store));
    for (int place = 0; place < PLACES; place++) {
        pack_record_t bad[RECORDS];
        pack_compacted_t done;
        make_pack(10, bad);
        const uint64_t places[PLACES] = {
            [HEADER] = bad[4].offset + 20,
            [PROVENANCE] = bad[4].provenance_offset,
            [FIRST_BYTE] = bad[4].dataset_offset,
            [LAST_BYTE] = bad[4].dataset_offset + lengths[4] - 1,
        };
        flip(&bad[4], places[place]);
        AUTO_FREE char *offset = memory_format("offset %llu", (unsigned long long)bad[4].offset);
        const uint64_t live[] = {bad[1].offset, bad[4].offset, bad[5].offset};
        const uint64_t live_good[] = {good[0].offset, good[5].offset};
        pack_compact_t *compact = begin((pack_compact_options_t){0});
        assert_ok(pack_compact_copy(compact, &good[0].pack, live_good, 1));
        assert_status(pack_compact_copy(compact, &bad[0].pack, live, 3), STATUS_INVALID);
        assert_non_null(strstr(fail_detail(), offset));
        assert_ok(pack_compact_copy(compact, &good[0].pack, live_good + 1, 1));
        assert_ok(pack_compact_finish(&compact, &done));
        assert_int_equal(done.records, 2);
        uint64_t at = check_copy(store, &done.pack, PACK_BLOCK_SIZE, &good[0], 1, lengths[0], 50);
        check_copy(store, &done.pack, at, &good[5], 2, lengths[5], 55);
    }
    pack_store_close(&store);
}

/* A header that does not hold may hide a live record; the operator may let it go. */
static void a_damaged_range_keeps_its_pack(void **state)
{
    (void)state;
    pack_record_t records[RECORDS];
    pack_compacted_t done;
    make_pack(10, records);
    flip(&records[2], records[2].offset + 20);
    const uint64_t live[] = {records[1].offset, records[5].offset};
    pack_compact_t *compact = begin((pack_compact_options_t){0});
    assert_status(pack_compact_copy(compact, &records[0].pack, live, 2), STATUS_INVALID);
    pack_compact_cancel(&compact);
    compact = begin((pack_compact_options_t){.despite_damage = true});
    assert_ok(pack_compact_copy(compact, &records[0].pack, live, 2));
    assert_ok(pack_compact_finish(&compact, &done));
    assert_int_equal(done.records, 2);
}

static void refuses_what_it_cannot_copy_from(void **state)
{
    (void)state;
    pack_record_t records[RECORDS];
    pack_writer_t *writer;
    make_pack(1, records);
    assert_ok(pack_writer_create(data_folder, &writer));
    pack_record_t open_record = put_record(writer, 10, 1, 10);
    ulid_t other = ulid_make(), odd = {"../../etc/passwd"};
    const uint64_t twice[] = {records[1].offset, records[1].offset};
    const uint64_t between[] = {records[4].offset + PACK_BLOCK_SIZE};
    const uint64_t behind[] = {records[5].next_offset};
    const struct {
        const char *name;
        const ulid_t *pack;
        const uint64_t *offsets;
        size_t count;
        status_t expected;
    } cases[] = {
        {"no such pack", &other, twice, 1, STATUS_NOT_FOUND},
        {"not a name", &odd, twice, 1, STATUS_NOT_FOUND},
        {"not sealed", &open_record.pack, &open_record.offset, 1, STATUS_NOT_FOUND},
        {"the same record twice", &records[0].pack, twice, 2, STATUS_INVALID},
        {"not the start of a record", &records[0].pack, between, 1, STATUS_INVALID},
        {"behind the last record", &records[0].pack, behind, 1, STATUS_INVALID},
    };
    pack_compact_t *compact = begin((pack_compact_options_t){0});
    pack_compacted_t done;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        assert_status(pack_compact_copy(compact, cases[i].pack, cases[i].offsets, cases[i].count),
                      cases[i].expected);
    }
    assert_ok(pack_compact_finish(&compact, &done));
    assert_string_equal(done.pack.text, "");
    pack_writer_close(&writer);
}

static void can_be_stopped(void **state)
{
    (void)state;
    pack_record_t records[RECORDS];
    pack_compacted_t done;
    atomic_bool stop = false;
    make_pack(1, records);
    const uint64_t live[] = {records[1].offset, records[4].offset};
    pack_compact_t *compact =
        begin((pack_compact_options_t){.bytes_per_second = 100 * MIB, .stop = &stop});
    assert_ok(pack_compact_copy(compact, &records[0].pack, live, 1));
    stop = true;
    assert_status(pack_compact_copy(compact, &records[0].pack, live, 2), STATUS_EXPIRED);
    stop = false; /* what was copied before is whole */
    assert_ok(pack_compact_copy(compact, &records[0].pack, live + 1, 1));
    assert_ok(pack_compact_finish(&compact, &done));
    assert_int_equal(done.records, 2);
}

static void *stop_soon(void *stop)
{
    struct timespec pause = {0, 50000000};
    nanosleep(&pause, NULL);
    *(atomic_bool *)stop = true;
    return NULL;
}

/* At a byte per second the copy would take days: it ends only if it is stopped in its sleep. */
static void a_slow_copy_can_be_stopped(void **state)
{
    (void)state;
    pack_record_t records[RECORDS];
    pthread_t thread;
    atomic_bool stop = false;
    make_pack(1, records);
    pack_compact_t *compact = begin((pack_compact_options_t){.bytes_per_second = 1, .stop = &stop});
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stop), 0);
    assert_status(pack_compact_copy(compact, &records[0].pack, &records[4].offset, 1),
                  STATUS_EXPIRED);
    assert_true(stop);
    pthread_join(thread, NULL);
    pack_compact_cancel(&compact);
    assert_int_equal(files_in_open(), 0);
}

/* A process that starts meanwhile leaves the half-made pack alone; one that starts after a crash
 * removes it. No listing shows it. */
static status_t count_packs(void *context, const ulid_t *pack, uint64_t size, bool is_open)
{
    (void)pack, (void)size, (void)is_open;
    *(size_t *)context += 1;
    return STATUS_OK;
}

static size_t packs_listed(void)
{
    pack_store_t *store;
    size_t count = 0;
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_store_list(store, true, count_packs, &count));
    pack_store_close(&store);
    return count;
}

static void start_a_process(void)
{
    pack_pool_t *pool;
    assert_ok(pack_pool_open(data_folder, &pool, NULL, NULL));
    pack_pool_close(&pool);
}

static void a_half_made_pack_is_nobodys(void **state)
{
    (void)state;
    pack_record_t records[RECORDS];
    make_pack(1, records);
    pid_t child = fork();
    if (child == 0) {
        const uint64_t live[] = {records[1].offset, records[4].offset};
        pack_compact_t *compact = begin((pack_compact_options_t){0});
        assert_ok(pack_compact_copy(compact, &records[0].pack, live, 2));
        start_a_process();
        _exit(files_in_open() == 1 && packs_listed() == 1 ? 0 : 1); /* as if killed */
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(files_in_open(), 1);
    assert_int_equal(packs_listed(), 1);
    start_a_process();
    assert_int_equal(files_in_open(), 0);
    assert_int_equal(packs_listed(), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_data_folder, remove_data_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(copies_live_records_of_several_packs), TEST(a_copy_of_a_copy_keeps_its_origin),
        TEST(a_copy_keeps_the_kind_of_its_digest),  TEST(without_live_records_there_is_no_new_pack),
        TEST(damage_stops_the_copy_of_its_pack),    TEST(a_damaged_range_keeps_its_pack),
        TEST(refuses_what_it_cannot_copy_from),     TEST(can_be_stopped),
        TEST(a_slow_copy_can_be_stopped),           TEST(a_half_made_pack_is_nobodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
