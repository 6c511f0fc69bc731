#include "dimse/sandbox.h"

#include "base/memory.h"
#include "dimse/sandbox_own.h"
#include "pack/record.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED
#endif

/* Memory of its own: a PDU, a command set, the pack writer's buffer, an inflated dataset. */
#define MEMORY_MAX (UINT64_C(1) << 30)

enum { DESCRIPTORS_MAX = 32 }; /* three standard ones, socket, channel, packs, and some air */

/* Of a pack: the last record begins below PACK_SEAL_SIZE; beside its dataset it has some digests. */
static uint64_t largest_file(uint64_t largest_dataset_bytes)
{
    return PACK_SEAL_SIZE + largest_dataset_bytes + largest_dataset_bytes / 1024 + (1 << 20);
}

/*
 * RLIMIT_DATA bounds what it allocates. RLIMIT_AS must leave room to map a whole dataset of its
 * pack (read-only, file-backed) besides. RLIMIT_FSIZE bounds what recovery may have to read.
 */
static status_t set_limits(uint64_t largest_dataset_bytes)
{
    const struct {
        __rlimit_resource_t resource;
        rlim_t value;
    } rows[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_NOFILE, DESCRIPTORS_MAX},
        {RLIMIT_FSIZE, largest_file(largest_dataset_bytes)},
#ifndef IS_SANITIZED /* whose shadow memory is some terabytes */
        {RLIMIT_DATA, MEMORY_MAX},
        {RLIMIT_AS, MEMORY_MAX + largest_dataset_bytes},
#endif
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rlimit limit;
        getrlimit(rows[i].resource, &limit);
        if (rows[i].value < limit.rlim_max) /* a smaller one was the operator's wish */
            limit.rlim_max = rows[i].value;
        if (limit.rlim_cur > limit.rlim_max)
            limit.rlim_cur = limit.rlim_max;
        if (setrlimit(rows[i].resource, &limit) < 0)
            return fail(STATUS_UNAVAILABLE, "rlimit %zu: %s", i, strerror(errno));
    }
    return STATUS_OK;
}

/* What it may do with the descriptors it has, with its memory, and about time and signals. */
static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(pread64),
    SCMP_SYS(fdatasync),
    SCMP_SYS(fsync),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(alarm),
    SCMP_SYS(setitimer), /* alarm() of machines that have no such call */
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(clock_nanosleep),
#ifdef IS_SANITIZED /* what the sanitizers do on their own, pipe2 to probe an address */
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getrusage),
    SCMP_SYS(pipe2),
#endif
};

/* ---- descriptors --------------------------------------------------------------------------------
 * The kernel looks at the lower half of the register only, so the filter must, too.
 */
#define DESCRIPTOR(fd) SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)(uint32_t)(fd))

static bool is_pack(const sandbox_t *sandbox, int fd)
{
    return fd > STDERR_FILENO && fd != sandbox->socket && fd != sandbox->channel;
}

static int allow_on(scmp_filter_ctx filter, int call, int fd)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, DESCRIPTOR(fd));
}

/* An argument of the call must not be below first. */
static int allow_from(scmp_filter_ctx filter, int call, int fd, unsigned argument, uint64_t first)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 2, DESCRIPTOR(fd),
                            SCMP_CMP(argument, SCMP_CMP_GE, first, 0));
}

/*
 * Every other number can only become a pack, of which at least the header is another's. A number with a meaning of its
 * own is never free again: closing it is answered with success and comes true when the process ends. So the
 * courier knows by the end of its channel that no descriptor of a pack is left. What holds for the pack that was
 * lent at the start, which has records of other associations, is the child's own (sandbox_own.c).
 */
static int add_pack_rules(scmp_filter_ctx filter, const sandbox_t *sandbox)
{
    int result = allow_on(filter, SCMP_SYS(close), -1);
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        result |=
            seccomp_rule_add(filter, is_pack(sandbox, fd) ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(0),
                             SCMP_SYS(close), 1, DESCRIPTOR(fd));
        if (!is_pack(sandbox, fd))
            continue;
        result |= allow_from(filter, SCMP_SYS(pwrite64), fd, 3, PACK_BLOCK_SIZE);
        result |= allow_from(filter, SCMP_SYS(ftruncate), fd, 1, PACK_BLOCK_SIZE);
    }
    return result | allow_on(filter, SCMP_SYS(dup3), sandbox->channel);
}

static int add_stream_rules(scmp_filter_ctx filter, const sandbox_t *sandbox)
{
    const int writable[] = {STDOUT_FILENO, STDERR_FILENO, sandbox->socket};
    int result = allow_on(filter, SCMP_SYS(shutdown), sandbox->socket);
    for (size_t i = 0; i < sizeof writable / sizeof *writable; i++) {
        result |= allow_on(filter, SCMP_SYS(write), writable[i]);
        result |= allow_on(filter, SCMP_SYS(writev), writable[i]);
    }
    /* Flags belong to the open file: those of a pack are the courier's, too. */
    result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 2,
                               DESCRIPTOR(sandbox->socket), SCMP_A1(SCMP_CMP_EQ, F_SETFL, 0));
    return result;
}

/* ---- all --------------------------------------------------------------------------------------- */

static int add_rules(scmp_filter_ctx filter, const sandbox_t *sandbox)
{
    int result = add_pack_rules(filter, sandbox) | add_stream_rules(filter, sandbox);
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    /* Memory never becomes code, nor a way to write to a file. */
    result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                               SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_SHARED, 0));
    result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* fstat() of the C library; a path would come with other flags. */
    result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                               SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH, 0));
    result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                               SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0));
    return result | seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 0);
}

static status_t check_numbers(const sandbox_t *sandbox)
{
    if (sandbox->socket >= DESCRIPTORS_MAX || sandbox->channel >= DESCRIPTORS_MAX ||
        sandbox->pack >= DESCRIPTORS_MAX)
        return fail(STATUS_INTERNAL, "a descriptor is over the limit of %d", DESCRIPTORS_MAX);
    return STATUS_OK;
}

/* The part that all children with the same numbers have in common, as a program for the kernel. */
static struct {
    int socket, channel;
    struct sock_filter *code;
    size_t size_bytes;
} common = {-1, -1, NULL, 0};

static int compile(const sandbox_t *sandbox, int file)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return -ENOMEM;
    int result = add_rules(filter, sandbox);
    if (result == 0)
        result = seccomp_export_bpf(filter, file);
    seccomp_release(filter);
    return result;
}

status_t sandbox_prepare(int socket, int channel)
{
    const sandbox_t sandbox = {.socket = socket, .channel = channel, .pack = -1};
    if (common.code && common.socket == socket && common.channel == channel)
        return STATUS_OK;
    AUTO_CLOSE int file = memfd_create("filter", MFD_CLOEXEC);
    int result = file < 0 ? -errno : compile(&sandbox, file);
    if (result != 0)
        return fail(STATUS_UNAVAILABLE, "seccomp: %s", strerror(-result));
    off_t size = lseek(file, 0, SEEK_END);
    void *code = memory_allocate((size_t)size);
    if (pread(file, code, (size_t)size, 0) != size) {
        free(code);
        return fail(STATUS_UNAVAILABLE, "seccomp: the filter cannot be read");
    }
    free(common.code);
    common.code = code;
    common.size_bytes = (size_t)size;
    common.socket = socket;
    common.channel = channel;
    return STATUS_OK;
}

static status_t enter_common(void)
{
    const struct sock_fprog program = {(unsigned short)(common.size_bytes / sizeof *common.code),
                                       common.code};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return fail(STATUS_UNAVAILABLE, "seccomp: %s", strerror(errno));
    return STATUS_OK;
}

status_t sandbox_enter(const sandbox_t *sandbox)
{
    TRY(check_numbers(sandbox));
    TRY(sandbox_prepare(sandbox->socket, sandbox->channel));
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail(STATUS_UNAVAILABLE, "prctl: %s", strerror(errno));
    TRY(set_limits(sandbox->largest_dataset_bytes));
    TRY(sandbox_enter_own(sandbox));
    return enter_common();
}
