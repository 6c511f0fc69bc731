#ifndef ZPACS_DIMSE_ZYGOTE_H
#define ZPACS_DIMSE_ZYGOTE_H

#include "dimse/association/child.h"

#include <sys/types.h>

/*
 * The zygote forks a child whenever the courier wants one (CHANNEL_SPAWN with the child's end of its
 * channel), and tells which ended how (CHANNEL_EXITED).
 *
 * It is a program of its own (zygote/main.c), since a fork and an exit cost what the process has mapped:
 * it has none of the libraries that only the service needs. It holds nothing worth stealing: no keys, no
 * ZeroMQ, no packs. It ends, with all its children, when the other end of its channel closes.
 */
enum { ZYGOTE_CHANNEL = 3 }; /* its end, when it starts */

/* The process; returns when its time is over. Fails: UNAVAILABLE (the kernel has no seccomp). */
status_t zygote_run(const child_settings_t *settings);

/*
 * Starts it, from beside our own program, and waits until it is ready. No other program can be started
 * afterwards. For a process without threads: they would not know of that.
 *
 * Fails: UNAVAILABLE (no process; the program is not there, or says why it cannot on stderr).
 */
status_t zygote_start(const dimse_config_t *config, pid_t *out_pid, int *out_channel);

#endif
