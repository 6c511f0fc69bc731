#include "fixture.h"

#include "pack/scan.h"

#include <errno.h>
#include <stddef.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { KIB = 1024, MIB = 1024 * 1024 };

/* In place of libc's: to count, and to fail. */
static unsigned syncs;
static bool syncs_fail;

int fdatasync(int fd)
{
    syncs++;
    if (!syncs_fail)
        return (int)syscall(SYS_fdatasync, fd);
    errno = EIO;
    return -1;
}

static const struct {
    const char *name;
    size_t length, piece;
} sizes[] = {
    {"no dataset", 0, 1},
    {"one byte", 1, 1},
    {"light object", KIB, 300},
    {"CT", 512 * KIB, 16 * KIB},
    {"just one chunk, no table", MIB, 128 * KIB},
    {"one byte over a chunk", MIB + 1, 128 * KIB},
    {"two chunks exactly", 2 * MIB, 77777},
    {"the buffer exactly", 256 * KIB - 832, 4 * MIB},
    {"larger than the buffer", 5 * MIB + 12345, 64 * KIB},
    {"larger than the buffer in one piece", 9 * MIB + 1, 16 * MIB},
};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void reads_back_what_was_committed(void **state)
{
    (void)state;
    pack_writer_t *writer;
    pack_store_t *store;
    pack_record_t records[SIZES];
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_writer_create(data_folder, &writer));
    for (uint32_t i = 0; i < SIZES; i++) {
        records[i] = put_record(writer, sizes[i].length, i, sizes[i].piece);
        assert_int_equal(records[i].sequence, i + 1);
        assert_int_equal(records[i].offset, i ? records[i - 1].next_offset : PACK_BLOCK_SIZE);
        assert_int_equal(records[i].next_offset, pack_writer_durable_offset(writer));
        assert_int_equal(records[i].next_offset, size_of(pack_writer_fd(writer)));
        assert_int_equal(records[i].table_offset != 0, sizes[i].length > MIB);
        assert_string_equal(records[i].origin_pack.text, records[i].pack.text);
    }
    for (int sealed = 0; sealed < 2; sealed++) {
        for (uint32_t i = 0; i < SIZES; i++) {
            print_message("%s, %s\n", sizes[i].name, sealed ? "sealed" : "open");
            check_record(store, &records[i], sizes[i].length, i);
        }
        if (!sealed)
            assert_ok(pack_writer_seal(data_folder, &writer));
    }
    pack_store_close(&store);
}

static void views_the_record_in_progress(void **state)
{
    (void)state;
    pack_writer_t *writer;
    assert_ok(pack_writer_create(data_folder, &writer));
    put_record(writer, 5000, 99, 5000);
    for (uint32_t i = 0; i < SIZES; i++) {
        print_message("%s\n", sizes[i].name);
        AUTO_FREE uint8_t *bytes = make_bytes(sizes[i].length, i);
        pack_record_t record = {.transfer_syntax_uid = "1.2"};
        const uint8_t *view;
        size_t length, half = sizes[i].length / 2;
        assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 100));
        assert_ok(pack_writer_append(writer, bytes, half));
        assert_ok(pack_writer_view(writer, &view, &length));
        assert_int_equal(length, half);
        assert_memory_equal(view, bytes, half);
        assert_ok(pack_writer_append(writer, bytes + half, sizes[i].length - half));
        assert_ok(pack_writer_view(writer, &view, &length));
        assert_int_equal(length, sizes[i].length);
        assert_memory_equal(view, bytes, length);
        assert_ok(pack_writer_commit(writer, "p", 1, &record));
        uint8_t digest[DIGEST_SIZE];
        digest_of(DIGEST_BLAKE3, bytes, sizes[i].length, digest);
        assert_memory_equal(record.dataset_digest, digest, DIGEST_SIZE);
        assert_ok(pack_scan_check(pack_writer_fd(writer), &record));
    }
    pack_writer_close(&writer);
}

static void abort_leaves_the_pack_as_before(void **state)
{
    (void)state;
    pack_writer_t *writer;
    pack_store_t *store;
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_writer_create(data_folder, &writer));
    pack_record_t first = put_record(writer, 3000, 1, 3000);
    for (uint32_t i = 0; i < SIZES; i++) {
        AUTO_FREE uint8_t *bytes = make_bytes(sizes[i].length, i);
        const uint8_t *view;
        size_t length;
        assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 100));
        assert_ok(pack_writer_append(writer, bytes, sizes[i].length));
        if (i % 2)
            assert_ok(pack_writer_view(writer, &view, &length));
        assert_ok(pack_writer_abort(writer));
        assert_int_equal(size_of(pack_writer_fd(writer)), first.next_offset);
    }
    pack_record_t second = put_record(writer, 4000, 2, 100);
    assert_int_equal(second.offset, first.next_offset);
    assert_int_equal(second.sequence, 2);
    check_record(store, &first, 3000, 1);
    check_record(store, &second, 4000, 2);
    pack_writer_close(&writer);
    pack_store_close(&store);
}

static void keeps_the_origin_of_a_copied_record(void **state)
{
    (void)state;
    pack_writer_t *writer;
    pack_record_t record = {.transfer_syntax_uid = "1.2", .origin_sequence = 77};
    record.origin_pack = ulid_make();
    ulid_t origin = record.origin_pack;
    assert_ok(pack_writer_create(data_folder, &writer));
    assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 0));
    assert_ok(pack_writer_commit(writer, NULL, 0, &record));
    assert_string_equal(record.origin_pack.text, origin.text);
    assert_int_equal(record.origin_sequence, 77);
    assert_int_equal(record.sequence, 1);
    pack_writer_close(&writer);
}

static void refuses_calls_out_of_order(void **state)
{
    (void)state;
    pack_writer_t *writer;
    pack_record_t record = {.transfer_syntax_uid = "1.2"};
    char provenance[200] = {0};
    assert_ok(pack_writer_create(data_folder, &writer));
    assert_status(pack_writer_append(writer, "x", 1), STATUS_INTERNAL);
    assert_status(pack_writer_commit(writer, "", 0, &record), STATUS_INTERNAL);
    assert_status(pack_writer_abort(writer), STATUS_INTERNAL);
    assert_status(pack_writer_begin(writer, PACK_RECORD_INSTANCE, PACK_PROVENANCE_MAX + 1),
                  STATUS_TOO_LARGE);
    assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 100));
    assert_status(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 100), STATUS_INTERNAL);
    assert_status(pack_writer_commit(writer, provenance, 200, &record), STATUS_INVALID);
    assert_ok(pack_writer_commit(writer, provenance, 100, &record));
    pack_writer_close(&writer);
}

static void one_writer_at_a_time(void **state)
{
    (void)state;
    pack_writer_t *writer, *other = NULL;
    assert_ok(pack_writer_create(data_folder, &writer));
    ulid_t pack = pack_writer_pack(writer);
    pack_record_t first = put_record(writer, 100, 1, 100);
    assert_status(pack_writer_open(data_folder, &pack, &other), STATUS_BUSY);
    pack_writer_close(&writer);
    assert_ok(pack_writer_open(data_folder, &pack, &other));
    pack_record_t second = put_record(other, 100, 2, 100);
    assert_int_equal(second.offset, first.next_offset);
    assert_int_equal(second.sequence, 2);
    assert_ok(pack_writer_seal(data_folder, &other));
    assert_status(pack_writer_open(data_folder, &pack, &other), STATUS_NOT_FOUND);
}

static void an_empty_pack_is_removed(void **state)
{
    (void)state;
    pack_writer_t *writer;
    assert_ok(pack_writer_create(data_folder, &writer));
    ulid_t pack = pack_writer_pack(writer);
    assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 0));
    assert_ok(pack_writer_seal(data_folder, &writer));
    assert_null(writer);
    AUTO_FREE char *open_path = pack_path_open(data_folder, &pack);
    AUTO_FREE char *sealed_path = pack_path_sealed(data_folder, &pack);
    assert_int_not_equal(access(open_path, F_OK), 0);
    assert_int_not_equal(access(sealed_path, F_OK), 0);
}

/* ---- the sandbox: what an association child may do --------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static void enter_sandbox(void) /* the sanitizers' runtimes need more calls than we do */
{
}
#else
static void enter_sandbox(void)
{
    static const int allowed[] = {SYS_pread64, SYS_pwrite64, SYS_fdatasync, SYS_ftruncate,
                                  SYS_mmap,    SYS_munmap,   SYS_fstat,     SYS_newfstatat,
                                  SYS_brk,     SYS_close,    SYS_exit_group};
    enum { ALLOWED = sizeof allowed / sizeof *allowed };
    struct sock_filter filter[ALLOWED + 3] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (size_t i = 0; i < ALLOWED; i++)
        filter[1 + i] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], (unsigned char)(ALLOWED - i), 0);
    filter[1 + ALLOWED] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    filter[2 + ALLOWED] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {ALLOWED + 3, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(100);
}
#endif

static int write_in_sandbox(int fd, pack_end_t end)
{
    pack_writer_t *writer = NULL;
    pack_record_t record = {.transfer_syntax_uid = "1.2"};
    const uint8_t *view;
    size_t length;
    uint8_t *bytes = make_bytes(3 * MIB, 5);
    enter_sandbox();
    if (pack_writer_adopt(fd, &end, &writer) != STATUS_OK ||
        pack_writer_begin(writer, PACK_RECORD_INSTANCE, 512) != STATUS_OK ||
        pack_writer_append(writer, bytes, 2 * MIB) != STATUS_OK ||
        pack_writer_abort(writer) != STATUS_OK ||
        pack_writer_begin(writer, PACK_RECORD_INSTANCE, 512) != STATUS_OK ||
        pack_writer_append(writer, bytes, 3 * MIB) != STATUS_OK ||
        pack_writer_view(writer, &view, &length) != STATUS_OK || length != 3 * MIB ||
        memcmp(view, bytes, length) != 0 ||
        pack_writer_commit(writer, test_provenance, sizeof test_provenance, &record) != STATUS_OK)
        return 1;
    if (record.sequence != 3)
        return 2;
    pack_writer_close(&writer);
    free(bytes);
    return 0;
}

static void a_sandboxed_process_goes_on_with_the_descriptor(void **state)
{
    (void)state;
    pack_writer_t *writer;
    pack_store_t *store;
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_writer_create(data_folder, &writer));
    put_record(writer, 3000, 1, 3000);
    pack_record_t second = put_record(writer, 700 * KIB, 2, 3000);
    crypto_prepare();
    pid_t child = fork();
    if (child == 0)
        _exit(write_in_sandbox(dup(pack_writer_fd(writer)), pack_writer_end(writer)));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);

    assert_ok(pack_writer_refresh(data_folder, writer, 0, NULL));
    pack_record_t third;
    ulid_t pack = pack_writer_pack(writer);
    assert_ok(pack_store_record(store, &pack, second.next_offset, &third));
    assert_int_equal(third.next_offset, pack_writer_durable_offset(writer));
    check_record(store, &third, 3 * MIB, 5);
    pack_record_t fourth = put_record(writer, 10, 4, 10);
    assert_int_equal(fourth.sequence, 4);
    pack_writer_close(&writer);
    pack_store_close(&store);
}

static void a_failed_write_kills_the_writer(void **state)
{
    (void)state;
    pack_writer_t *writer;
    pack_record_t record = {.transfer_syntax_uid = "1.2"};
    assert_ok(pack_writer_create(data_folder, &writer));
    pack_record_t first = put_record(writer, 3000, 1, 3000);
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    int kept = dup(pack_writer_fd(writer));
    assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 0));
    assert_ok(pack_writer_append(writer, "x", 1));
    dup2(full, pack_writer_fd(writer));
    assert_status(pack_writer_commit(writer, "", 0, &record), STATUS_UNAVAILABLE);
    assert_true(pack_writer_is_dead(writer));
    assert_int_equal(record.sequence, 0);
    dup2(kept, pack_writer_fd(writer)); /* room again: still dead */
    assert_status(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 0), STATUS_UNAVAILABLE);
    assert_status(pack_writer_seal(data_folder, &writer), STATUS_UNAVAILABLE);
    assert_null(writer);
    assert_int_equal(size_of(kept), first.next_offset);
    close(full);
    close(kept);
}

static void syncs_a_large_record_while_it_comes(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        unsigned before, with_commit;
    } cases[] = {{MIB, 0, 1}, {31 * MIB, 0, 1}, {34 * MIB, 1, 2}, {70 * MIB, 2, 3}};
    pack_writer_t *writer;
    pack_store_t *store;
    assert_ok(pack_store_open(data_folder, &store));
    assert_ok(pack_writer_create(data_folder, &writer));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_FREE uint8_t *bytes = make_bytes(cases[i].length, 3);
        pack_record_t record = {.transfer_syntax_uid = "1.2"};
        syncs = 0;
        assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 512));
        assert_ok(pack_writer_append(writer, bytes, cases[i].length));
        assert_int_equal(syncs, cases[i].before);
        assert_ok(pack_writer_commit(writer, test_provenance, sizeof test_provenance, &record));
        assert_int_equal(syncs, cases[i].with_commit);
        check_record(store, &record, cases[i].length, 3);
    }
    pack_writer_close(&writer);
    pack_store_close(&store);
}

static void a_failed_early_sync_kills_the_writer(void **state)
{
    (void)state;
    pack_writer_t *writer;
    pack_record_t record = {.transfer_syntax_uid = "1.2"};
    assert_ok(pack_writer_create(data_folder, &writer));
    pack_record_t first = put_record(writer, 3000, 1, 3000);
    AUTO_FREE uint8_t *bytes = make_bytes(40 * MIB, 3);
    assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 0));
    syncs_fail = true;
    assert_status(pack_writer_append(writer, bytes, 40 * MIB), STATUS_UNAVAILABLE);
    syncs_fail = false; /* a later sync would say that all is well */
    assert_true(pack_writer_is_dead(writer));
    assert_status(pack_writer_commit(writer, "", 0, &record), STATUS_UNAVAILABLE);
    assert_int_equal(size_of(pack_writer_fd(writer)), first.next_offset);
    pack_writer_close(&writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_data_folder, remove_data_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_back_what_was_committed),
        TEST(views_the_record_in_progress),
        TEST(abort_leaves_the_pack_as_before),
        TEST(keeps_the_origin_of_a_copied_record),
        TEST(refuses_calls_out_of_order),
        TEST(one_writer_at_a_time),
        TEST(an_empty_pack_is_removed),
        TEST(a_sandboxed_process_goes_on_with_the_descriptor),
        TEST(a_failed_write_kills_the_writer),
        TEST(syncs_a_large_record_while_it_comes),
        TEST(a_failed_early_sync_kills_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
