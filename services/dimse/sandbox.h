#ifndef ZPACS_DIMSE_SANDBOX_H
#define ZPACS_DIMSE_SANDBOX_H

#include "base/status.h"

#include <stdint.h>

/*
 * Gives up, for good, what a process that talks to a stranger does not need: files by name,
 * sockets of its own, other programs, other processes. A system call that is not on the list kills.
 *
 * largest_mapping_bytes  the largest file range it will map
 * Fails: UNAVAILABLE (the kernel has no seccomp, or a limit cannot be set).
 */
status_t sandbox_enter(uint64_t largest_mapping_bytes);

#endif
