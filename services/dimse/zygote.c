#include "dimse/zygote.h"

#include "crypto/crypto.h"
#include "dimse/refusal.h"
#include "dimse/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHILDREN_MAX = 4096, /* the configuration's limit on associations */
    NICENESS = 5         /* of two hundred that store: a clinician who asks goes first */
};

typedef struct {
    const child_settings_t *settings;
    int channel, signals;
    size_t count;
    struct {
        pid_t pid;
        ulid_t association;
        address_t address;
    } children[CHILDREN_MAX];
} zygote_t;

/* ---- children --------------------------------------------------------------------------------- */

static _Noreturn void become_child(zygote_t *zygote, const channel_message_t *spawn,
                                   const int fds[2])
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "dimse-assoc");
    close(zygote->channel);
    close(zygote->signals);
    _exit(child_main(zygote->settings, spawn, fds[0], fds[1]));
}

static void tell_failure(const channel_message_t *spawn, int channel, const char *why)
{
    channel_message_t message = *spawn;
    message.kind = CHANNEL_REFUSED;
    message.number = REFUSAL_INTERNAL;
    channel_set_text(&message, why);
    channel_send(channel, &message, NULL, 0, false);
}

static void spawn_child(zygote_t *zygote, const channel_message_t *spawn, const int fds[2])
{
    if (fds[0] < 0 || fds[1] < 0 || spawn->kind != CHANNEL_SPAWN)
        return;
    if (zygote->count == CHILDREN_MAX) {
        tell_failure(spawn, fds[1], "too many children");
        return;
    }
    sandbox_prepare(fds[0], fds[1]); /* a child tries again, and tells why it fails */
    pid_t pid = fork();
    if (pid == 0)
        become_child(zygote, spawn, fds);
    if (pid < 0) {
        tell_failure(spawn, fds[1], strerror(errno));
        return;
    }
    zygote->children[zygote->count].pid = pid;
    zygote->children[zygote->count].association = spawn->association;
    zygote->children[zygote->count++].address = spawn->address;
}

static void note_exit(zygote_t *zygote, pid_t pid, int wait_status)
{
    for (size_t i = 0; i < zygote->count; i++) {
        if (zygote->children[i].pid != pid)
            continue;
        channel_message_t message = {.kind = CHANNEL_EXITED, .number = (uint32_t)wait_status};
        message.association = zygote->children[i].association;
        message.address = zygote->children[i].address;
        zygote->children[i] = zygote->children[--zygote->count];
        if (wait_status != 0)
            channel_send(zygote->channel, &message, NULL, 0, false);
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

static status_t take_order(zygote_t *zygote)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    status_t status = channel_receive(zygote->channel, &message, fds, true);
    if (status == STATUS_OK)
        spawn_child(zygote, &message, fds);
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
    return STATUS_OK;
}

static void run(zygote_t *zygote)
{
    for (;;) {
        struct pollfd ready[] = {{zygote->channel, POLLIN, 0}, {zygote->signals, POLLIN, 0}};
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            return;
        if (ready[1].revents)
            reap(zygote);
        if (ready[0].revents && take_order(zygote) == STATUS_NOT_FOUND)
            return;
    }
}

/* Closes what the parent has open beside the standard descriptors and our channel. */
static void close_others(int channel)
{
    if (channel > 3)
        close_range(3, (unsigned)channel - 1, 0);
    close_range((unsigned)channel + 1, ~0U, 0);
}

static _Noreturn void become_zygote(const child_settings_t *settings, int channel, pid_t parent)
{
    static zygote_t zygote;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0); /* it died before the line above */
    prctl(PR_SET_NAME, "dimse-zygote");
    close_others(channel);
    zygote.settings = settings;
    zygote.channel = channel;
    if (prepare(&zygote) != STATUS_OK)
        _exit(1);
    run(&zygote);
    _exit(0);
}

static size_t count_threads(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/task");
    if (!folder)
        return 1;
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

status_t zygote_start(const child_settings_t *settings, pid_t *out_pid, int *out_channel)
{
    int ends[2];
    if (count_threads() != 1)
        return fail(STATUS_INTERNAL, "the zygote must be forked before any thread exists");
    TRY(channel_make(ends));
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become_zygote(settings, ends[1], parent);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return fail(STATUS_UNAVAILABLE, "fork: %s", strerror(errno));
    }
    *out_pid = pid;
    *out_channel = ends[0];
    return STATUS_OK;
}
