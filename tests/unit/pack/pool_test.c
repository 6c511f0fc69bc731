#include "fixture.h"

#include "pack/pool.h"

#include <sys/wait.h>

typedef struct {
    size_t packs, alarms;
    uint64_t durable;
    ulid_t pack;
} told_t;

static void remember(void *context, const ulid_t *pack, uint64_t durable)
{
    told_t *told = context;
    *(durable ? &told->packs : &told->alarms) += 1;
    told->durable = durable;
    told->pack = *pack;
}

static void a_series_stays_together(void **state)
{
    (void)state;
    pack_pool_t *pool;
    pack_writer_t *a, *b, *again;
    assert_ok(pack_pool_open(data_folder, &pool, NULL, NULL));
    assert_ok(pack_pool_lease(pool, "192.0.2.1", &a));
    assert_ok(pack_pool_lease(pool, "192.0.2.1", &b));
    ulid_t pack_a = pack_writer_pack(a), pack_b = pack_writer_pack(b);
    assert_string_not_equal(pack_a.text, pack_b.text);
    put_record(a, 100, 1, 100);
    put_record(b, 100, 1, 100);
    pack_pool_return(pool, "192.0.2.1", &a);
    assert_null(a);
    pack_pool_return(pool, "192.0.2.2", &b);
    pack_pool_tick(pool); /* nothing has been idle for long */
    assert_ok(pack_pool_lease(pool, "192.0.2.2", &again));
    assert_string_equal(pack_writer_pack(again).text, pack_b.text);
    pack_pool_return(pool, "192.0.2.2", &again);
    assert_ok(pack_pool_lease(pool, "192.0.2.1", &again));
    assert_string_equal(pack_writer_pack(again).text, pack_a.text);
    pack_pool_return(pool, "192.0.2.1", &again);
    pack_pool_close(&pool);
    assert_null(pool);

    AUTO_FREE char *sealed = pack_path_sealed(data_folder, &pack_a);
    assert_int_equal(access(sealed, F_OK), 0);
}

/* A record in progress is cut; what a child wrote through the descriptor counts. */
static void a_lease_comes_back_with_what_a_child_wrote(void **state)
{
    (void)state;
    pack_pool_t *pool;
    pack_writer_t *writer, *adopted;
    assert_ok(pack_pool_open(data_folder, &pool, NULL, NULL));
    assert_ok(pack_pool_lease(pool, "a", &writer));
    pid_t child = fork();
    if (child == 0) {
        uint8_t *bytes = make_bytes(5000000, 3);
        pack_end_t end = pack_writer_end(writer);
        if (pack_writer_adopt(dup(pack_writer_fd(writer)), &end, &adopted) != STATUS_OK)
            _exit(1);
        put_record(adopted, 5000, 1, 5000);
        put_record(adopted, 5000, 2, 5000);
        if (pack_writer_begin(adopted, PACK_RECORD_INSTANCE, 100) != STATUS_OK ||
            pack_writer_append(adopted, bytes, 5000000) != STATUS_OK)
            _exit(2);
        _exit(0); /* as if killed: part of the third record is in the file */
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_true(size_of(pack_writer_fd(writer)) > 1000000);
    pack_pool_return(pool, "a", &writer);
    assert_ok(pack_pool_lease(pool, "a", &writer));
    pack_record_t third = put_record(writer, 10, 3, 10);
    assert_int_equal(third.sequence, 3);
    assert_int_equal(third.offset, 4096 + 2 * 8192);
    pack_pool_return(pool, "a", &writer);
    pack_pool_close(&pool);
}

static void takes_over_what_the_dead_left(void **state)
{
    (void)state;
    pack_pool_t *pool, *other;
    pack_writer_t *held, *left, *empty, *broken;
    told_t told = {0};
    assert_ok(pack_pool_open(data_folder, &pool, NULL, NULL));
    assert_ok(pack_pool_lease(pool, "a", &held));
    put_record(held, 100, 1, 100);
    assert_ok(pack_writer_create(data_folder, &left));
    pack_record_t record = put_record(left, 100, 1, 100);
    overwrite(pack_writer_fd(left), record.next_offset, "torn", 4);
    pack_writer_close(&left);
    assert_ok(pack_writer_create(data_folder, &empty));
    pack_writer_close(&empty);
    assert_ok(pack_writer_create(data_folder, &broken));
    ulid_t broken_pack = pack_writer_pack(broken);
    assert_ok(pack_file_cut(pack_writer_fd(broken), 100));
    pack_writer_close(&broken);
    AUTO_FREE char *unborn =
        memory_format("%s/packs/open/01ARZ3NDEKTSV4RRFFQ69G5FAV.new", data_folder);
    close(open(unborn, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));

    assert_ok(pack_pool_open(data_folder, &other, remember, &told));
    assert_int_equal(told.packs, 1);
    assert_int_equal(told.alarms, 1);
    assert_int_not_equal(access(unborn, F_OK), 0);
    AUTO_FREE char *sealed = pack_path_sealed(data_folder, &record.pack);
    struct stat info;
    assert_int_equal(stat(sealed, &info), 0);
    assert_int_equal(info.st_size, record.next_offset);
    AUTO_FREE char *quarantined =
        memory_format("%s/quarantine/%s.pack", data_folder, broken_pack.text);
    assert_int_equal(access(quarantined, F_OK), 0);
    put_record(held, 100, 2, 100); /* nobody touched what is held */
    pack_pool_return(pool, "a", &held);
    pack_pool_close(&other);
    pack_pool_close(&pool);
}

/* An association that stores nothing makes no pack, and keeps none from being sealed. */
static void an_unused_lease_changes_nothing(void **state)
{
    (void)state;
    enum { ADDRESSES = 64 };
    pack_pool_t *pool;
    pack_writer_t *writer;
    int64_t since_ms = 0;
    assert_ok(pack_pool_open(data_folder, &pool, NULL, NULL));
    assert_status(pack_pool_lease_waiting(pool, "0", &writer, &since_ms), STATUS_NOT_FOUND);
    ulid_t packs[ADDRESSES + 1];
    for (int i = 0; i <= ADDRESSES; i++) {
        AUTO_FREE char *address = memory_format("%d", i);
        if (i == ADDRESSES) { /* all places are taken; the first that came is looked at again */
            assert_ok(pack_pool_lease_waiting(pool, "0", &writer, &since_ms));
            pack_pool_return_unused(pool, "0", &writer, since_ms);
        }
        assert_ok(pack_pool_lease_new(pool, &writer));
        put_record(writer, 100, (uint32_t)i, 100);
        packs[i] = pack_writer_pack(writer);
        pack_pool_return(pool, address, &writer);
        usleep(i == 0 ? 2000 : 0); /* so that the first has waited longer than any other */
    }
    AUTO_FREE char *first = pack_path_sealed(data_folder, &packs[0]);
    AUTO_FREE char *second = pack_path_open(data_folder, &packs[1]);
    assert_int_equal(access(first, F_OK), 0);
    assert_int_equal(access(second, F_OK), 0);
    pack_pool_close(&pool);
}

static void many_addresses_do_not_keep_many_packs_open(void **state)
{
    (void)state;
    enum { ADDRESSES = 70 };
    pack_pool_t *pool;
    pack_store_t *store;
    ulid_t first = {""};
    assert_ok(pack_pool_open(data_folder, &pool, NULL, NULL));
    for (uint32_t i = 0; i < ADDRESSES; i++) {
        pack_writer_t *writer;
        AUTO_FREE char *address = memory_format("192.0.2.%u", i);
        assert_ok(pack_pool_lease(pool, address, &writer));
        put_record(writer, 100, i, 100);
        if (i == 0)
            first = pack_writer_pack(writer);
        pack_pool_return(pool, address, &writer);
    }
    AUTO_FREE char *sealed = pack_path_sealed(data_folder, &first);
    assert_int_equal(access(sealed, F_OK), 0);
    assert_ok(pack_store_open(data_folder, &store));
    pack_store_close(&store);
    pack_pool_close(&pool);
}

/* A write has failed in the process that had the pack: nobody writes to it again; what it holds is
 * taken over, an empty one leaves nothing. */
static void a_failed_pack_is_not_leased_again(void **state)
{
    (void)state;
    pack_pool_t *pool;
    pack_writer_t *full, *empty, *next;
    told_t told = {0};
    assert_ok(pack_pool_open(data_folder, &pool, NULL, NULL));
    assert_ok(pack_pool_lease(pool, "a", &full));
    assert_ok(pack_pool_lease(pool, "a", &empty));
    pack_record_t record = put_record(full, 100, 1, 100);
    ulid_t empty_pack = pack_writer_pack(empty);
    pack_pool_discard(pool, &full);
    pack_pool_discard(pool, &empty);
    assert_null(full);
    assert_null(empty);
    AUTO_FREE char *empty_path = pack_path_open(data_folder, &empty_pack);
    AUTO_FREE char *open_path = pack_path_open(data_folder, &record.pack);
    assert_int_not_equal(access(empty_path, F_OK), 0);
    assert_int_equal(access(open_path, F_OK), 0);

    assert_ok(pack_pool_lease(pool, "a", &next));
    assert_string_not_equal(pack_writer_pack(next).text, record.pack.text);
    put_record(next, 100, 2, 100);
    assert_ok(pack_pool_sweep(pool, remember, &told)); /* not that one: it is held */
    assert_int_equal(told.packs, 1);
    assert_int_equal(told.alarms, 0);
    assert_string_equal(told.pack.text, record.pack.text);
    assert_int_equal(told.durable, record.next_offset);
    AUTO_FREE char *sealed = pack_path_sealed(data_folder, &record.pack);
    assert_int_equal(access(sealed, F_OK), 0);

    told = (told_t){0};
    pack_pool_return(pool, "a", &next);
    pack_pool_visit(pool, remember, &told);
    assert_int_equal(told.packs, 1);
    pack_pool_close(&pool);
}

static bool is_sealed(const ulid_t *pack)
{
    AUTO_FREE char *path = pack_path_sealed(data_folder, pack);
    return access(path, F_OK) == 0;
}

static ulid_t lease_and_write(pack_pool_t *pool, pack_writer_t **out_writer)
{
    if (!*out_writer)
        assert_ok(pack_pool_lease_new(pool, out_writer));
    put_record(*out_writer, 100, 1, 100);
    return pack_writer_pack(*out_writer);
}

/* However busy its sender: what is deleted in it must go within a known time. */
static void a_pack_is_sealed_when_it_has_been_open_for_long(void **state)
{
    (void)state;
    pack_pool_t *pool;
    pack_writer_t *young = NULL, *leased = NULL, *again = NULL, *returned = NULL, *looked_at = NULL;
    int64_t since_ms;
    assert_ok(pack_pool_open(data_folder, &pool, NULL, NULL));
    ulid_t young_pack = lease_and_write(pool, &young);
    assert_false(pack_writer_is_due(young));
    pack_pool_return(pool, "young", &young);
    pack_pool_seal_after(pool, 50);
    ulid_t returned_pack = lease_and_write(pool, &returned);
    ulid_t looked_at_pack = lease_and_write(pool, &looked_at);
    ulid_t leased_pack = lease_and_write(pool, &leased);
    ulid_t again_pack = lease_and_write(pool, &again);
    pack_pool_return(pool, "a", &again);
    usleep(60 * 1000); /* now all but the young one are due */

    /* One that waits is not leased again. */
    assert_status(pack_pool_lease_waiting(pool, "a", &again, &since_ms), STATUS_NOT_FOUND);
    assert_true(is_sealed(&again_pack));
    /* One that is leased takes records until it comes back. */
    assert_true(pack_writer_is_due(leased) && !pack_writer_is_full(leased));
    lease_and_write(pool, &leased);
    pack_pool_tick(pool);
    assert_false(is_sealed(&leased_pack));
    pack_pool_return(pool, "a", &leased);
    assert_null(leased);
    assert_true(is_sealed(&leased_pack));
    pack_pool_return_unused(pool, "a", &looked_at, 1);
    assert_null(looked_at);
    assert_true(is_sealed(&looked_at_pack));
    pack_pool_return(pool, "a", &returned);
    assert_true(is_sealed(&returned_pack));
    assert_false(is_sealed(&young_pack));
    pack_pool_close(&pool);
}

/* Nobody asks for a pack, and its sender has only just written to it. */
static void a_tick_seals_what_is_due(void **state)
{
    (void)state;
    pack_pool_t *pool;
    pack_writer_t *writers[3] = {NULL};
    ulid_t packs[3];
    assert_ok(pack_pool_open(data_folder, &pool, NULL, NULL));
    for (int i = 0; i < 3; i++) {
        pack_pool_seal_after(pool, i == 1 ? PACK_SEAL_OPEN_MS : 50);
        packs[i] = lease_and_write(pool, &writers[i]);
        pack_pool_return(pool, "a", &writers[i]);
    }
    usleep(60 * 1000);
    pack_pool_tick(pool);
    for (int i = 0; i < 3; i++)
        assert_int_equal(is_sealed(&packs[i]), i != 1);
    pack_pool_close(&pool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_data_folder, remove_data_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_series_stays_together),
        TEST(a_lease_comes_back_with_what_a_child_wrote),
        TEST(takes_over_what_the_dead_left),
        TEST(a_failed_pack_is_not_leased_again),
        TEST(an_unused_lease_changes_nothing),
        TEST(many_addresses_do_not_keep_many_packs_open),
        TEST(a_pack_is_sealed_when_it_has_been_open_for_long),
        TEST(a_tick_seals_what_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
