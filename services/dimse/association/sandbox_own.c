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

static status_t check_numbers(const sandbox_t *sandbox)
{
    if (sandbox->socket != SANDBOX_SOCKET || sandbox->channel != SANDBOX_CHANNEL)
        return fail(STATUS_INTERNAL, "socket and channel are descriptors %d and %d, not %d and %d",
                    sandbox->socket, sandbox->channel, SANDBOX_SOCKET, SANDBOX_CHANNEL);
    return STATUS_OK;
}

status_t sandbox_enter(const sandbox_t *sandbox)
{
    TRY(check_numbers(sandbox));
    uint32_t pack = (uint32_t)sandbox->pack;
    uint64_t start = sandbox->pack_start;
    struct sock_filter code[] = {
        KEEP_FROM(SYS_pwrite64, pack, 3, start),
        KEEP_FROM(SYS_ftruncate, pack, 1, start),
        /*
         * A number with a meaning of its own is never free again, so that no pack comes to stand under it: closing it is
         * answered with success and comes true when the process ends. So the courier knows by the end of its channel that
         * no descriptor of a pack is left.
         */
        LOAD_CALL,
        UNLESS(SYS_close, 6),
        LOAD_ARGUMENT(0, LOW),
        IF(BPF_JEQ, pack, 3, 0),
        IF(BPF_JEQ, SANDBOX_SOCKET, 2, 0),
        IF(BPF_JEQ, SANDBOX_CHANNEL, 1, 0),
        IF(BPF_JGT, STDERR_FILENO, 1, 0),
        SAY(SECCOMP_RET_ERRNO),
        /* But the pack's may come to mean the channel, and nothing else. */
        LOAD_CALL,
        UNLESS(SYS_dup3, 5),
        LOAD_ARGUMENT(0, LOW),
        UNLESS(SANDBOX_CHANNEL, 2),
        LOAD_ARGUMENT(1, LOW),
        IF(BPF_JEQ, pack, 1, 0),
        SAY(SECCOMP_RET_KILL_PROCESS),
        /* abort() of this process, so that it is seen as one. */
        LOAD_CALL,
        UNLESS(SYS_tgkill, 3),
        LOAD_ARGUMENT(0, LOW),
        IF(BPF_JEQ, getpid(), 1, 0),
        SAY(SECCOMP_RET_KILL_PROCESS),
        LOAD_CALL,
        FORBID(SYS_clone),
        FORBID(SYS_set_robust_list),
        FORBID(SYS_wait4),
        FORBID(SYS_prctl),
        SAY(SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return fail(STATUS_UNAVAILABLE, "seccomp: %s", strerror(errno));
    return STATUS_OK;
}
