#include "dimse/association/sandbox.h"

#include "pack/record.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
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
    SCMP_SYS(close), /* of some numbers it does nothing: sandbox_own.c */
    /* What the zygote does, and children may not: sandbox_own.c again. */
    SCMP_SYS(clone),
    SCMP_SYS(set_robust_list), /* fork() of the C library */
    SCMP_SYS(wait4),
    SCMP_SYS(prctl),
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

static bool is_pack(int fd)
{
    return fd > STDERR_FILENO && fd != SANDBOX_CHANNEL;
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
 * Every other number can only become a pack, of which at least the header is another's. What holds for the pack
 * that was lent at the start, which has records of other associations, is the child's own (sandbox_own.c).
 */
static int add_pack_rules(scmp_filter_ctx filter)
{
    int result = 0;
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        if (!is_pack(fd))
            continue;
        result |= allow_from(filter, SCMP_SYS(pwrite64), fd, 3, PACK_BLOCK_SIZE);
        result |= allow_from(filter, SCMP_SYS(ftruncate), fd, 1, PACK_BLOCK_SIZE);
    }
    return result | allow_on(filter, SCMP_SYS(dup3), SANDBOX_CHANNEL);
}

static int add_stream_rules(scmp_filter_ctx filter)
{
    const int writable[] = {STDOUT_FILENO, STDERR_FILENO};
    int result = 0;
    for (size_t i = 0; i < sizeof writable / sizeof *writable; i++) {
        result |= allow_on(filter, SCMP_SYS(write), writable[i]);
        result |= allow_on(filter, SCMP_SYS(writev), writable[i]);
    }
    return result;
}

/* ---- all --------------------------------------------------------------------------------------- */

static int add_rules(scmp_filter_ctx filter)
{
    int result = add_pack_rules(filter) | add_stream_rules(filter);
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

/* Takes effect, or says why not. Takes filter. */
static status_t load(scmp_filter_ctx filter, int result)
{
    if (filter && result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return filter && result == 0
               ? STATUS_OK
               : fail(STATUS_UNAVAILABLE, "seccomp: %s", strerror(filter ? -result : ENOMEM));
}

status_t sandbox_enter_common(uint64_t largest_dataset_bytes)
{
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return fail(STATUS_UNAVAILABLE, "prctl: %s", strerror(errno));
    TRY(set_limits(largest_dataset_bytes));
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    return load(filter, filter ? add_rules(filter) : 0);
}

status_t sandbox_forbid_programs(void)
{
    static const int calls[] = {SCMP_SYS(execve), SCMP_SYS(execveat)};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int result = 0;
    for (size_t i = 0; filter && i < sizeof calls / sizeof *calls; i++)
        result |= seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, calls[i], 0);
    return load(filter, result);
}
