/* What the owner of a pack makes of what another process has written through its descriptor. */
#include "fixture.h"

enum { LENGTH = 5000, RECORD_SIZE = 8192 };

static const uint64_t end_of_three = 4096 + 3 * RECORD_SIZE;

typedef struct {
    pack_writer_t *owner;
    int fd; /* the other process's */
} lent_t;

/* The other one has put two records behind the owner's. */
static lent_t lend(void)
{
    lent_t lent;
    pack_writer_t *other;
    assert_ok(pack_writer_create(data_folder, &lent.owner));
    put_record(lent.owner, LENGTH, 1, LENGTH);
    lent.fd = dup(pack_writer_fd(lent.owner));
    pack_end_t end = pack_writer_end(lent.owner);
    assert_ok(pack_writer_adopt(dup(lent.fd), &end, &other));
    put_record(other, LENGTH, 2, LENGTH);
    put_record(other, LENGTH, 3, LENGTH);
    pack_writer_close(&other);
    return lent;
}

static void damage(const lent_t *lent, uint64_t offset)
{
    assert_int_equal(pwrite(lent->fd, "damaged!", 8, (off_t)offset), 8);
}

/* In the second block: the first has the header, the provenance and the start of the dataset. */
static uint64_t dataset_of(uint64_t record)
{
    return record + 4096;
}

static void expect(lent_t *lent, uint64_t told, uint64_t durable, uint64_t quarantined)
{
    uint64_t found = 0;
    assert_ok(pack_writer_refresh(data_folder, lent->owner, told, &found));
    assert_int_equal(pack_writer_durable_offset(lent->owner), durable);
    assert_int_equal(found, quarantined);
    pack_record_t next = put_record(lent->owner, LENGTH, 4, LENGTH);
    assert_int_equal(next.offset, durable);
    pack_writer_close(&lent->owner);
    close(lent->fd);
}

static void what_is_told_and_there_counts(void **state)
{
    (void)state;
    lent_t lent = lend();
    expect(&lent, end_of_three, end_of_three, 0);
}

static void what_was_not_told_counts_if_it_is_whole(void **state)
{
    (void)state;
    lent_t lent = lend();
    expect(&lent, 0, end_of_three, 0);
    lent = lend();
    damage(&lent, dataset_of(end_of_three - RECORD_SIZE));
    expect(&lent, end_of_three - RECORD_SIZE, end_of_three - RECORD_SIZE, 0);
}

/* Synced, as it says: so that is rot, which is for verify to tell, or a lie about its own record. */
static void what_was_told_is_not_read_again(void **state)
{
    (void)state;
    lent_t lent = lend();
    damage(&lent, dataset_of(end_of_three - RECORD_SIZE));
    expect(&lent, end_of_three, end_of_three, 0);
}

static void a_word_is_nothing_without_headers(void **state)
{
    (void)state;
    lent_t lent = lend();
    damage(&lent, end_of_three - RECORD_SIZE);
    expect(&lent, end_of_three, end_of_three - RECORD_SIZE, 0);
    lent = lend();
    damage(&lent, end_of_three - 2 * RECORD_SIZE);
    expect(&lent, end_of_three, end_of_three, 1);
    lent = lend();
    assert_int_equal(ftruncate(lent.fd, (off_t)end_of_three + 10000), 0);
    expect(&lent, end_of_three + 10000, end_of_three, 0);
}

static void adopted_where_its_owner_says(void **state)
{
    (void)state;
    lent_t lent = lend();
    pack_writer_t *other;
    pack_end_t end = pack_writer_end(lent.owner);
    assert_int_equal(pack_writer_adopt(lent.fd, &end, &other), STATUS_INVALID);
    pack_writer_close(&lent.owner);
    close(lent.fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_data_folder, remove_data_folder)
    static const struct CMUnitTest tests[] = {
        TEST(what_is_told_and_there_counts),   TEST(what_was_not_told_counts_if_it_is_whole),
        TEST(what_was_told_is_not_read_again), TEST(a_word_is_nothing_without_headers),
        TEST(adopted_where_its_owner_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
