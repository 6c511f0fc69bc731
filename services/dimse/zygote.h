#ifndef ZPACS_DIMSE_ZYGOTE_H
#define ZPACS_DIMSE_ZYGOTE_H

#include "dimse/child.h"

#include <sys/types.h>

/*
 * The zygote forks one child for each association that the listener sends it (CHANNEL_SPAWN with
 * the socket and the child's end of its channel), and tells which ended how (CHANNEL_EXITED).
 *
 * It is forked before this process has any thread, and holds nothing worth stealing: no keys, no
 * ZeroMQ, no packs. It ends, with all its children, when the other end of its channel closes.
 *
 * Fails: INTERNAL (there are threads already), UNAVAILABLE (no process).
 */
status_t zygote_start(const child_settings_t *settings, pid_t *out_pid, int *out_channel);

#endif
