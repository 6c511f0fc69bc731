#include "dimse/association/sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * What is one child's own: the pack it was lent and where the lease starts, its process number, and what only
 * the zygote may do. It allows all that the common part (sandbox.c) may forbid; of two filters the stricter answer
 * counts.
 *
 * A program of the kernel's packet filter, in blocks: each looks at the number of the call, passes over itself when
 * that is another one, and says something of its own or falls through to the next. Short, since every
 * association begins with it; that the call is one of this machine's own the common part sees to.
 */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { LOW = 0, HIGH = 4 };
#else
enum { LOW = 4, HIGH = 0 };
#endif

#define LOAD(offset)           BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offset))
#define LOAD_CALL              LOAD(offsetof(struct seccomp_data, nr))
#define LOAD_ARGUMENT(n, half) LOAD(offsetof(struct seccomp_data, args) + 8 * (n) + (half))
#define IF(test, value, steps_then, steps_else)                                                    \
    BPF_JUMP(BPF_JMP | (test) | BPF_K, (uint32_t)(value), steps_then, steps_else)
#define UNLESS(value, steps) IF(BPF_JEQ, value, 0, steps)
#define SAY(action)          BPF_STMT(BPF_RET | BPF_K, action)

/* An argument below first, on the pack: ends the process. Both halves of it count. */
#define KEEP_FROM(call, pack, argument, first)                                                     \
    LOAD_CALL, UNLESS(call, 8), LOAD_ARGUMENT(0, LOW), UNLESS(pack, 6),                            \
        LOAD_ARGUMENT(argument, HIGH), IF(BPF_JGT, (first) >> 32, 4, 0), UNLESS((first) >> 32, 2), \
        LOAD_ARGUMENT(argument, LOW), IF(BPF_JGE, first, 1, 0), SAY(SECCOMP_RET_KILL_PROCESS)

#define FORBID(call) UNLESS(call, 1), SAY(SECCOMP_RET_KILL_PROCESS)

static status_t check_number(const sandbox_t *sandbox)
{
    if (sandbox->channel != SANDBOX_CHANNEL)
        return fail(STATUS_INTERNAL, "the channel is descriptor %d, not %d", sandbox->channel,
                    SANDBOX_CHANNEL);
    return STATUS_OK;
}

static status_t add_filter(const struct sock_filter *code, size_t count)
{
    const struct sock_fprog program = {(unsigned short)count,
                                       (struct sock_filter *)(uintptr_t)code};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return fail(STATUS_UNAVAILABLE, "seccomp: %s", strerror(errno));
    return STATUS_OK;
}

status_t sandbox_enter(const sandbox_t *sandbox)
{
    TRY(check_number(sandbox));
    TRY(sandbox_keep(sandbox));
    const struct sock_filter code[] = {
        /*
         * The courier knows by the end of its channel that no descriptor of a pack is left. Standard output and errors are to
         * stay what they are.
         */
        LOAD_CALL,
        UNLESS(SYS_close, 4),
        LOAD_ARGUMENT(0, LOW),
        IF(BPF_JEQ, SANDBOX_CHANNEL, 1, 0),
        IF(BPF_JGT, STDERR_FILENO, 1, 0),
        SAY(SECCOMP_RET_ERRNO),
        /* abort() of this process, so that it is seen as one. */
        LOAD_CALL,
        UNLESS(SYS_tgkill, 3),
        LOAD_ARGUMENT(0, LOW),
        IF(BPF_JEQ, getpid(), 1, 0),
        SAY(SECCOMP_RET_KILL_PROCESS),
        /* Only for a filter more. */
        LOAD_CALL,
        UNLESS(SYS_prctl, 3),
        LOAD_ARGUMENT(0, LOW),
        IF(BPF_JEQ, PR_SET_SECCOMP, 1, 0),
        SAY(SECCOMP_RET_KILL_PROCESS),
        LOAD_CALL,
        FORBID(SYS_clone),
        FORBID(SYS_set_robust_list),
        FORBID(SYS_wait4),
        SAY(SECCOMP_RET_ALLOW),
    };
    return add_filter(code, sizeof code / sizeof *code);
}

status_t sandbox_keep(const sandbox_t *sandbox)
{
    uint32_t pack = (uint32_t)sandbox->pack;
    uint64_t start = sandbox->pack_start;
    const struct sock_filter code[] = {
        KEEP_FROM(SYS_pwrite64, pack, 3, start),
        KEEP_FROM(SYS_ftruncate, pack, 1, start),
        /*
         * Its number is never free again, so that no other pack comes to stand under it: closing it is answered with
         * success and comes true when the process ends. It may come to mean the channel (sandbox.c).
         */
        LOAD_CALL,
        UNLESS(SYS_close, 3),
        LOAD_ARGUMENT(0, LOW),
        UNLESS(pack, 1),
        SAY(SECCOMP_RET_ERRNO),
        SAY(SECCOMP_RET_ALLOW),
    };
    return sandbox->pack < 0 ? STATUS_OK : add_filter(code, sizeof code / sizeof *code);
}
