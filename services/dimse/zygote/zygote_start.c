#include "dimse/zygote/zygote.h"

#include "base/memory.h"
#include "dimse/association/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char program[] = "zpacs-dimse-zygote";

/* Beside our own, wherever that is. */
static char *find_program(void)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    char *name = strrchr(path, '/');
    return memory_format("%.*s%s", name ? (int)(name + 1 - path) : 0, path, program);
}

/* Only calls that may stand between fork and exec. */
static _Noreturn void become_zygote(const char *path, const dimse_config_t *config, int channel,
                                    pid_t parent)
{
    char *const arguments[] = {(char *)(uintptr_t)program, config->service.path, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0); /* it died before the line above */
    if (channel == ZYGOTE_CHANNEL)
        fcntl(channel, F_SETFD, 0);
    else
        dup2(channel, ZYGOTE_CHANNEL);
    execv(path, arguments);
    _exit(1);
}

static status_t wait_until_ready(int channel, const char *path)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    if (channel_receive(channel, &message, fds, true) == STATUS_OK && message.kind == CHANNEL_READY)
        return STATUS_OK;
    return fail(STATUS_UNAVAILABLE, "%s does not start", path);
}

status_t zygote_start(const dimse_config_t *config, pid_t *out_pid, int *out_channel)
{
    int ends[2];
    AUTO_FREE char *path = find_program();
    TRY(channel_make(ends));
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become_zygote(path, config, ends[1], parent);
    close(ends[1]);
    status_t status = pid < 0 ? fail(STATUS_UNAVAILABLE, "fork: %s", strerror(errno))
                              : wait_until_ready(ends[0], path);
    if (status != STATUS_OK) {
        close(ends[0]);
        if (pid > 0)
            waitpid(pid, NULL, 0);
        return status;
    }
    *out_pid = pid;
    *out_channel = ends[0];
    return sandbox_forbid_programs();
}
