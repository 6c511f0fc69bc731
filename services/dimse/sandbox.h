#ifndef ZPACS_DIMSE_SANDBOX_H
#define ZPACS_DIMSE_SANDBOX_H

#include "base/status.h"

#include <stdint.h>

typedef struct {
    int socket, channel;            /* stay open to the end of the process */
    int pack;                       /* the pack that it was lent at its start; -1: none */
    uint64_t pack_start;            /* where the lease of that one starts */
    uint64_t largest_dataset_bytes; /* that it will store, and map */
} sandbox_t;

/*
 * Makes ready what all children with these numbers have in common; whoever forks them calls it before. To compile it
 * takes milliseconds, several times what the rest of an association without data costs.
 *
 * Fails: UNAVAILABLE (no memory, or the library cannot say it on this machine).
 */
status_t sandbox_prepare(int socket, int channel);

/*
 * Gives up, for good, what a process that talks to a stranger does not need: files by name,
 * sockets of its own, other programs, other processes. A system call that is not on the list kills.
 *
 * A pack may hold records of earlier associations. Below pack_start it can neither be written nor
 * cut, by any call: pwrite and ftruncate are all that there is for a file, and are held to their
 * offsets. Packs that come later must be new. To be entered before the first byte of the peer.
 *
 * Fails: UNAVAILABLE (the kernel has no seccomp, or a limit cannot be set), INTERNAL.
 */
status_t sandbox_enter(const sandbox_t *sandbox);

#endif
