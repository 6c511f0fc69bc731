/* What a child that was taken over can do to the records of earlier associations: nothing. */
#include "crypto/crypto.h"
#include "dimse/association/sandbox.h"

#include "base/memory.h"
#include "pack/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    SOCKET = 3,
    PACK = 4,
    CHANNEL = SANDBOX_CHANNEL,
    NEW_PACK = 6,
    START = 8192,
    LENGTH = 3 * 4096,
    LATER = START + 8 /* where the second association of a process starts */
};

/* Beyond 4 GiB, so that both halves of an offset count. */
#define HIGH_START ((UINT64_C(1) << 32) + 8192)

static char evil[] = "evil";
static struct iovec evil_part = {evil, sizeof evil};

/* ---- the child --------------------------------------------------------------------------------- */

static long write_below(void)
{
    return pwrite(PACK, evil, sizeof evil, START - 1);
}

static long write_header_of_new(void)
{
    return pwrite(NEW_PACK, evil, sizeof evil, 4095);
}

static long write_with_garbage_above_the_descriptor(void)
{
    return syscall(SYS_pwrite64, PACK | 1L << 32, evil, sizeof evil, 0L);
}

static long write_vector(void)
{
    return pwritev(PACK, &evil_part, 1, 0);
}

static long write_vector_2(void)
{
    return pwritev2(PACK, &evil_part, 1, -1, RWF_APPEND);
}

static long seek_and_write(void)
{
    return lseek(PACK, 0, SEEK_SET) < 0 ? -1 : write(PACK, evil, sizeof evil);
}

static long seek_and_write_new(void)
{
    return lseek(NEW_PACK, 0, SEEK_SET) < 0 ? -1 : write(NEW_PACK, evil, sizeof evil);
}

static long seek_and_writev(void)
{
    return lseek(PACK, 0, SEEK_SET) < 0 ? -1 : writev(PACK, &evil_part, 1);
}

static long cut_below(void)
{
    return ftruncate(PACK, START - 1);
}

static long punch(void)
{
    return fallocate(PACK, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
}

static long copy_range(void)
{
    off_t from = START, to = 0;
    return copy_file_range(PACK, &from, PACK, &to, 4, 0);
}

static long send_file(void)
{
    off_t from = START;
    return sendfile(PACK, PACK, &from, 4);
}

static long splice_in(void)
{
    off_t to = 0;
    return splice(CHANNEL, NULL, PACK, &to, 4, 0);
}

static long map_shared(void)
{
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, PACK, 0);
    return map == MAP_FAILED ? -1 : (map[0] = 'e');
}

static long map_shared_and_protect(void)
{
    char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED_VALIDATE, PACK, 0);
    return map == MAP_FAILED || mprotect(map, 4096, PROT_READ | PROT_WRITE) ? -1 : (map[0] = 'e');
}

static long duplicate(void)
{
    return dup(PACK);
}

static long duplicate_2(void)
{
    return dup2(PACK, STDERR_FILENO);
}

static long duplicate_over_the_channel(void)
{
    return dup3(PACK, CHANNEL, O_CLOEXEC);
}

static long duplicate_a_pack_over_the_pack(void)
{
    return dup3(NEW_PACK, PACK, O_CLOEXEC);
}

static long duplicate_the_socket_over_the_pack(void)
{
    return dup3(SOCKET, PACK, O_CLOEXEC);
}

static long duplicate_fcntl(void)
{
    return fcntl(PACK, F_DUPFD, 10);
}

/* Where a socket stands another file may come to stand: nothing is written there that is no message. */
static long write_to_the_socket(void)
{
    return write(SOCKET, evil, sizeof evil);
}

static long shut_the_socket(void)
{
    return shutdown(SOCKET, SHUT_WR);
}

static long set_flags(void)
{
    return fcntl(PACK, F_SETFL, O_APPEND);
}

static long open_proc(void)
{
    return open("/proc/self/fd/4", O_RDWR);
}

static long use_ring(void)
{
    struct io_uring_params params = {0};
    return syscall(SYS_io_uring_setup, 4, &params);
}

static long send_to_itself(void)
{
    int ends[2];
    return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends);
}

static long hang_up(void)
{
    return shutdown(CHANNEL, SHUT_RDWR);
}

static long fork_another(void)
{
    return (long)fork();
}

/* The courier takes the end of the channel for the end of the process. */
static long keep_channel(void)
{
    return close(CHANNEL) == 0 && fcntl(CHANNEL, F_GETFL) >= 0 ? 0 : -1;
}

/* Another pack must not come to stand under a number that has a meaning. */
static long keep_numbers(void)
{
    static const int kept[] = {0, 1, 2, CHANNEL, PACK};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (close(kept[i]) != 0 || fcntl(kept[i], F_GETFL) < 0)
            return -1;
    return 0;
}

/* What the zygote needs to fork children, and nobody else. */
static long wait_for_another(void)
{
    return waitpid(-1, NULL, WNOHANG);
}

static long set_robust_list(void)
{
    return syscall(SYS_set_robust_list, NULL, 0);
}

static long outlive_the_zygote(void)
{
    return prctl(PR_SET_PDEATHSIG, 0);
}

static long signal_another(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static long abort_itself(void)
{
    abort();
}

static long grow_beyond(void)
{
    return ftruncate(PACK, INT64_C(1) << 40);
}

/* The pack can be let go, though not closed: its number means the channel from then on. */
static long let_go(void)
{
    struct stat meant;
    return dup3(CHANNEL, PACK, O_CLOEXEC) == PACK && fstat(PACK, &meant) == 0 &&
                   S_ISSOCK(meant.st_mode) && pwrite(PACK, evil, sizeof evil, START) < 0 &&
                   close(PACK) == 0 && fcntl(PACK, F_GETFL) >= 0
               ? 0
               : -1;
}

static long write_own(void)
{
    return pwrite(PACK, "mine", 4, START) == 4 && ftruncate(PACK, START) == 0 &&
                   pwrite(PACK, "mine", 4, LENGTH) == 4 && fdatasync(PACK) == 0
               ? 0
               : -1;
}

static long write_own_new(void)
{
    return pwrite(NEW_PACK, "mine", 4, 4096) == 4 && ftruncate(NEW_PACK, 4096) == 0 &&
                   close(NEW_PACK) == 0 && close(NEW_PACK) == -1 && close(-1) == -1
               ? 0
               : -1;
}

static long talk(void)
{
    return send(SOCKET, "pdu", 3, 0) == 3 && send(CHANNEL, "word", 4, 0) == 4 &&
                   close(SOCKET) == 0 && fcntl(SOCKET, F_GETFL) < 0
               ? 0
               : -1;
}

static long map_own(void)
{
    const char *map = mmap(NULL, LENGTH, PROT_READ, MAP_PRIVATE, PACK, 0);
    return map != MAP_FAILED && memcmp(map, "old", 3) == 0 ? 0 : -1;
}

/* ---- the same child, in its second association --------------------------------------------------- */

static long keep(int pack)
{
    const sandbox_t second = {CHANNEL, pack, LATER};
    return sandbox_keep(&second) == STATUS_OK ? 0 : -1;
}

static long write_below_the_second_start(void)
{
    return keep(PACK) || pwrite(PACK, evil, sizeof evil, LATER - 1);
}

static long cut_below_the_second_start(void)
{
    return keep(PACK) || ftruncate(PACK, LATER - 1);
}

static long write_below_the_second_start_of_new(void)
{
    return keep(NEW_PACK) || pwrite(NEW_PACK, evil, sizeof evil, LATER - 1);
}

static long write_below_the_first_start(void)
{
    const sandbox_t lower = {CHANNEL, PACK, 4096};
    return sandbox_keep(&lower) != STATUS_OK || pwrite(PACK, evil, sizeof evil, START - 1);
}

static long outlive_the_zygote_later(void)
{
    return keep(PACK) || prctl(PR_SET_PDEATHSIG, 0);
}

static long write_second_part(void)
{
    return keep(PACK) == 0 && pwrite(PACK, "mine", 4, LATER) == 4 && ftruncate(PACK, LATER) == 0
               ? 0
               : -1;
}

static long let_go_of_new(void)
{
    return keep(NEW_PACK) == 0 && close(NEW_PACK) == 0 && fcntl(NEW_PACK, F_GETFL) >= 0 &&
                   dup3(CHANNEL, NEW_PACK, O_CLOEXEC) == NEW_PACK &&
                   pwrite(NEW_PACK, evil, sizeof evil, LATER) < 0
               ? 0
               : -1;
}

static long go_on_for_long(void)
{
    for (int i = 0; i < 200; i++)
        if (keep(PACK) != 0)
            return -1;
    return pwrite(PACK, "mine", 4, LATER) == 4 ? 0 : -1;
}

/* ---- the cases --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    long (*attempt)(void);
    int signal; /* that ends it; 0: it is allowed, and must return 0 */
} cases[] = {
    {"pwrite below the start", write_below, SIGSYS},
    {"pwrite to the header of a new pack", write_header_of_new, SIGSYS},
    {"a descriptor with a high half", write_with_garbage_above_the_descriptor, SIGSYS},
    {"pwritev", write_vector, SIGSYS},
    {"pwritev2", write_vector_2, SIGSYS},
    {"lseek, write", seek_and_write, SIGSYS},
    {"lseek, write to a new pack", seek_and_write_new, SIGSYS},
    {"lseek, writev", seek_and_writev, SIGSYS},
    {"ftruncate below the start", cut_below, SIGSYS},
    {"fallocate", punch, SIGSYS},
    {"copy_file_range", copy_range, SIGSYS},
    {"sendfile", send_file, SIGSYS},
    {"splice", splice_in, SIGSYS},
    {"a shared mapping", map_shared, SIGSYS},
    {"a shared mapping, writable later", map_shared_and_protect, SIGSYS},
    {"dup", duplicate, SIGSYS},
    {"dup2", duplicate_2, SIGSYS},
    {"dup3 over the channel", duplicate_over_the_channel, SIGSYS},
    {"dup3 of a pack over the pack", duplicate_a_pack_over_the_pack, SIGSYS},
    {"dup3 of the socket over the pack", duplicate_the_socket_over_the_pack, SIGSYS},
    {"write to the socket", write_to_the_socket, SIGSYS},
    {"shutdown of the socket", shut_the_socket, SIGSYS},
    {"fcntl F_DUPFD", duplicate_fcntl, SIGSYS},
    {"fcntl F_SETFL", set_flags, SIGSYS},
    {"/proc/self/fd", open_proc, SIGSYS},
    {"io_uring", use_ring, SIGSYS},
    {"a socket pair to pass it over", send_to_itself, SIGSYS},
    {"shutdown of the channel", hang_up, SIGSYS},
    {"fork", fork_another, SIGSYS},
    {"wait", wait_for_another, SIGSYS},
    {"set_robust_list", set_robust_list, SIGSYS},
    {"prctl", outlive_the_zygote, SIGSYS},
    {"tgkill of another process", signal_another, SIGSYS},
    {"abort", abort_itself, SIGABRT},
    {"a file of a terabyte", grow_beyond, SIGXFSZ},
    {"pwrite below the second start", write_below_the_second_start, SIGSYS},
    {"ftruncate below the second start", cut_below_the_second_start, SIGSYS},
    {"pwrite below the second start of a new pack", write_below_the_second_start_of_new, SIGSYS},
    {"a second start below the first", write_below_the_first_start, SIGSYS},
    {"prctl in the second", outlive_the_zygote_later, SIGSYS},
    {"the second's own part", write_second_part, 0},
    {"giving a new pack back in the second", let_go_of_new, 0},
    {"as many as there may be", go_on_for_long, 0},
    {"close of the channel", keep_channel, 0},
    {"close of all that has a number", keep_numbers, 0},
    {"its own part", write_own, 0},
    {"giving the pack back", let_go, 0},
    {"its own part of a new pack", write_own_new, 0},
    {"peer and courier", talk, 0},
    {"a private view", map_own, 0},
};

static void put_at(int fd, int number)
{
    if (fd < 0 || (fd != number && dup2(fd, number) < 0))
        _exit(90);
}

/* Lays the descriptors out as a child has them, encloses itself and tries. */
static _Noreturn void be_child(int old, int new, uint64_t start, long (*attempt)(void))
{
    int stream[2], channel[2];
    put_at(old, 50); /* out of the way */
    put_at(new, 51);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, stream) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel) != 0)
        _exit(91);
    int parts[] = {stream[0], channel[0], stream[1], channel[1]};
    for (int i = 0; i < 4; i++)
        put_at(parts[i], 52 + i);
    put_at(52, SOCKET);
    put_at(53, CHANNEL);
    put_at(50, PACK);
    put_at(51, NEW_PACK);
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    sandbox_t sandbox = {CHANNEL, PACK, start};
    if (sandbox_enter_common(1 << 20) != STATUS_OK || sandbox_enter(&sandbox) != STATUS_OK)
        _exit(92);
    _exit(attempt() == 0 ? 0 : 1);
}

static int make_file(uint64_t start)
{
    char path[] = P_tmpdir "/zpacs-sandbox-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(ftruncate(fd, (off_t)start + 4096), 0);
    assert_int_equal(pwrite(fd, "old", 3, 0), 3);
    assert_int_equal(pwrite(fd, "old", 3, (off_t)start - 3), 3);
    return fd;
}

static void assert_untouched(int fd, uint64_t start)
{
    char bytes[3] = "";
    assert_int_equal(pread(fd, bytes, 3, 0), 3);
    assert_memory_equal(bytes, "old", 3);
    assert_int_equal(pread(fd, bytes, 3, (off_t)start - 3), 3);
    assert_memory_equal(bytes, "old", 3);
}

static int try_in_child(int old, int new, uint64_t start, long (*attempt)(void))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        be_child(old, new, start, attempt);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void try_all(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int old = make_file(START), new = make_file(4096);
        int status = try_in_child(old, new, START, cases[i].attempt);
        if (cases[i].signal ? !WIFSIGNALED(status) || WTERMSIG(status) != cases[i].signal
                            : status != 0)
            fail_msg("%s: wait status %x", cases[i].name, status);
        assert_untouched(old, START);
        assert_untouched(new, 4096);
        close(old);
        close(new);
    }
}

static void earlier_records_are_out_of_reach(void **state)
{
    (void)state;
    try_all();
}

/* Its calls are those of the common part: what a child may not do of them is its own part's to forbid. */
static void a_zygote_forks_and_is_told_who_is_gone(void **state)
{
    (void)state;
    int status;
    fflush(NULL);
    pid_t zygote = fork();
    if (zygote == 0) {
        if (sandbox_enter_common(1 << 20) != STATUS_OK)
            _exit(92);
        pid_t child = fork();
        if (child == 0)
            _exit(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? 7 : 8);
        _exit(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7 ? 0 : 1);
    }
    assert_int_equal(waitpid(zygote, &status, 0), zygote);
    assert_int_equal(status, 0);
}

static void the_service_starts_no_program(void **state)
{
    (void)state;
    char *const arguments[] = {(char[]){"true"}, NULL};
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        if (sandbox_forbid_programs() != STATUS_OK)
            _exit(92);
        execv("/bin/true", arguments);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* The filter knows them by number. */
static void a_channel_in_another_place_is_refused(void **state)
{
    (void)state;
    const sandbox_t wrong = {CHANNEL + 1, PACK, START};
    assert_int_equal(sandbox_enter(&wrong), STATUS_INTERNAL);
}

static long write_below_4g(void)
{
    return pwrite(PACK, evil, sizeof evil, START);
}

static long write_just_below_high(void)
{
    return pwrite(PACK, evil, sizeof evil, (off_t)HIGH_START - 1);
}

static void both_halves_of_an_offset_count(void **state)
{
    (void)state;
    int old = make_file(HIGH_START), new = make_file(4096);
    assert_int_equal(WTERMSIG(try_in_child(old, new, HIGH_START, write_below_4g)), SIGSYS);
    assert_int_equal(WTERMSIG(try_in_child(old, new, HIGH_START, write_just_below_high)), SIGSYS);
    assert_untouched(old, HIGH_START);
    close(old);
    close(new);
}

/* ---- normal work -------------------------------------------------------------------------------- */

static status_t put_record(pack_writer_t *writer, size_t length, bool commits)
{
    AUTO_FREE uint8_t *bytes = memory_allocate(length);
    const uint8_t *view;
    size_t view_length;
    pack_record_t record = {0};
    uid_copy(record.transfer_syntax_uid, "1.2.840.10008.1.2.1", 19);
    TRY(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 100));
    TRY(pack_writer_append(writer, bytes, length));
    TRY(pack_writer_view(writer, &view, &view_length));
    if (view_length != length || memcmp(view, bytes, length) != 0)
        return STATUS_INTERNAL;
    return commits ? pack_writer_commit(writer, "provenance", 10, &record)
                   : pack_writer_abort(writer);
}

static pack_end_t pack_end; /* of PACK, as its owner knows it */

/* Small and large records, and one that is given up: all that a C-STORE does to a pack. */
static long store_records(void)
{
    static const struct {
        size_t length;
        bool commits;
    } records[] = {{100, true}, {5000000, false}, {5000000, true}, {100, false}, {100, true}};
    pack_writer_t *writer;
    if (pack_writer_adopt(PACK, &pack_end, &writer) != STATUS_OK)
        return 1;
    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        if (put_record(writer, records[i].length, records[i].commits) != STATUS_OK)
            return 2;
    pack_writer_close(&writer);
    return 0;
}

static void a_pack_is_written_as_ever(void **state)
{
    (void)state;
    char folder[] = P_tmpdir "/zpacs-sandbox-XXXXXX";
    pack_writer_t *writer;
    assert_non_null(mkdtemp(folder));
    crypto_prepare();
    assert_int_equal(pack_writer_create(folder, &writer), STATUS_OK);
    assert_int_equal(put_record(writer, 3000, true), STATUS_OK);
    pack_end = pack_writer_end(writer);
    uint64_t start = pack_end.durable_offset;
    int new = make_file(4096);
    assert_int_equal(try_in_child(pack_writer_fd(writer), new, start, store_records), 0);
    close(new);
    uint64_t quarantined = 0;
    assert_int_equal(pack_writer_refresh(folder, writer, 0, &quarantined), STATUS_OK);
    assert_int_equal(quarantined, 0);
    assert_true(pack_writer_durable_offset(writer) > start + 5000000);
    pack_writer_close(&writer);
    AUTO_FREE char *remove_all = memory_format("rm -rf %s", folder);
    assert_int_equal(system(remove_all), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(earlier_records_are_out_of_reach),
        cmocka_unit_test(a_zygote_forks_and_is_told_who_is_gone),
        cmocka_unit_test(a_channel_in_another_place_is_refused),
        cmocka_unit_test(the_service_starts_no_program),
        cmocka_unit_test(both_halves_of_an_offset_count),
        cmocka_unit_test(a_pack_is_written_as_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
