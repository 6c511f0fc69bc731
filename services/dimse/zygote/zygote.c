#include "dimse/zygote/zygote.h"

#include "base/memory.h"
#include "crypto/crypto.h"
#include "dimse/door/refusal.h"
#include "dimse/association/sandbox.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHILDREN_MAX =
        4096 +
        128,     /* the configuration's limit on associations, and some that wait, rest or leave */
    NICENESS = 5 /* of two hundred that store: a clinician who asks goes first */
};

typedef struct {
    const child_settings_t *settings;
    int signals;
    size_t count;
    struct {
        pid_t pid;
        uint32_t number;
    } children[CHILDREN_MAX];
} zygote_t;

/* ---- children --------------------------------------------------------------------------------- */

/* Its channel stands under the same number in all of them: the sandbox knows it by that. */
static _Noreturn void become_child(zygote_t *zygote, int channel)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "dimse-spare");
    close(ZYGOTE_CHANNEL);
    close(zygote->signals);
    _exit(child_main(zygote->settings, channel));
}

static void tell_failure(int channel, const char *why)
{
    channel_message_t message = {.kind = CHANNEL_REFUSED, .number = REFUSAL_INTERNAL};
    channel_set_text(&message, why);
    channel_send(channel, &message, NULL, 0, false);
}

static void spawn_child(zygote_t *zygote, uint32_t number, int channel)
{
    if (channel != SANDBOX_CHANNEL) {
        tell_failure(channel, "the channel of a child has another number");
        return;
    }
    if (zygote->count == CHILDREN_MAX) {
        tell_failure(channel, "too many children");
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        become_child(zygote, channel);
    if (pid < 0) {
        tell_failure(channel, strerror(errno));
        return;
    }
    zygote->children[zygote->count].pid = pid;
    zygote->children[zygote->count++].number = number;
}

static void note_exit(zygote_t *zygote, pid_t pid, int wait_status)
{
    for (size_t i = 0; i < zygote->count; i++) {
        if (zygote->children[i].pid != pid)
            continue;
        channel_message_t message = {.kind = CHANNEL_EXITED, .number = (uint32_t)wait_status};
        message.child = zygote->children[i].number;
        zygote->children[i] = zygote->children[--zygote->count];
        if (wait_status != 0)
            channel_send(ZYGOTE_CHANNEL, &message, NULL, 0, false);
        return;
    }
}

static void reap(zygote_t *zygote)
{
    struct signalfd_siginfo signal;
    if (read(zygote->signals, &signal, sizeof signal) < 0 && errno != EAGAIN)
        return;
    int wait_status;
    for (pid_t pid; (pid = waitpid(-1, &wait_status, WNOHANG)) > 0;)
        note_exit(zygote, pid, wait_status);
}

/* ---- the process ------------------------------------------------------------------------------ */

/* Fails: BUSY (there is none), NOT_FOUND (dimse is gone). */
static status_t take_order(zygote_t *zygote)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    status_t status = channel_receive(ZYGOTE_CHANNEL, &message, fds, false);
    if (status == STATUS_OK && message.kind == CHANNEL_SPAWN && fds[0] >= 0)
        spawn_child(zygote, message.child, fds[0]);
    for (int i = 0; i < CHANNEL_FDS_MAX; i++)
        if (fds[i] >= 0)
            close(fds[i]); /* the child has its own: its end must close when it dies */
    return status;
}

/* SIGTERM and SIGINT stay blocked as inherited: this process ends when its parent lets go. */
static status_t prepare(zygote_t *zygote)
{
    sigset_t child_signal, alarm_signal;
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    sigemptyset(&alarm_signal);
    sigaddset(&alarm_signal, SIGALRM);
    errno = 0;
    if (nice(NICENESS) == -1 && errno)
        return fail(STATUS_UNAVAILABLE, "nice: %s", strerror(errno));
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, SIG_DFL);
    sigprocmask(SIG_BLOCK, &child_signal, NULL);
    sigprocmask(SIG_UNBLOCK, &alarm_signal, NULL);
    zygote->signals = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
    if (zygote->signals < 0)
        return fail(STATUS_UNAVAILABLE, "signalfd: %s", strerror(errno));
    crypto_prepare();
    return sandbox_enter_common((uint64_t)zygote->settings->config->max_dataset_bytes);
}

static void serve(zygote_t *zygote)
{
    for (;;) {
        struct pollfd ready[] = {{ZYGOTE_CHANNEL, POLLIN, 0}, {zygote->signals, POLLIN, 0}};
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            return;
        status_t status;
        while ((status = take_order(zygote)) == STATUS_OK)
            ;
        if (status == STATUS_NOT_FOUND)
            return;
        if (ready[1].revents)
            reap(zygote);
    }
}

/* What the start has left scattered: each child would put it in order, in pages of its own. */
static void tidy_heap(void)
{
    malloc_trim(0);
    free(memory_allocate(sizeof(child_t))); /* sorts what is free */
}

status_t zygote_run(const child_settings_t *settings)
{
    static zygote_t zygote;
    const channel_message_t ready = {.kind = CHANNEL_READY};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "dimse-zygote");
    close_range(ZYGOTE_CHANNEL + 1, ~0U, 0);
    zygote.settings = settings;
    TRY(prepare(&zygote));
    tidy_heap();
    TRY(channel_send(ZYGOTE_CHANNEL, &ready, NULL, 0, true));
    serve(&zygote);
    return STATUS_OK;
}
