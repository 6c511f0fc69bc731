#ifndef ZPACS_DIMSE_SANDBOX_H
#define ZPACS_DIMSE_SANDBOX_H

#include "base/status.h"

#include <stdint.h>

/*
 * What a process that talks to a stranger does not need is given up for good: files by name, sockets of
 * its own, other programs, other processes. A system call that is not on the list kills.
 *
 * In two steps, since most of it is the same for all: the zygote enters the common part once, and every
 * child is born in it; what is a child's own is short, and forbids what only the zygote needs.
 *
 * A pack may hold records of earlier associations. Below pack_start it can neither be written nor
 * cut, by any call: pwrite and ftruncate are all that there is for a file, and are held to their
 * offsets. Packs that come later must be new.
 */
enum {
    SANDBOX_CHANNEL = 5 /* behind the zygote's own descriptors */
};

typedef struct {
    int channel;         /* SANDBOX_CHANNEL; stays open to the end of the process */
    int pack;            /* the pack that it has, with records of earlier associations; -1: none */
    uint64_t pack_start; /* where these end */
} sandbox_t;

/*
 * For the process that will fork the children. largest_dataset_bytes: that they will store, and map.
 * Fails: UNAVAILABLE (the kernel has no seccomp, or a limit cannot be set).
 */
status_t sandbox_enter_common(uint64_t largest_dataset_bytes);

/*
 * For a child, before the first byte of its peer.                                       sandbox_own.c
 * Fails: INTERNAL (descriptors are not where they should be), UNAVAILABLE (the kernel has no seccomp).
 */
status_t sandbox_enter(const sandbox_t *sandbox);

/*
 * For a child between two associations: what the first has stored is out of reach for the second, too. Of
 * filters all count, so nothing of what sandbox_enter() forbids is taken back. Without a pack: nothing.
 */
status_t sandbox_keep(const sandbox_t *sandbox);

/*
 * For the service itself, once it has started the zygote: from then on it can start no program.
 * Fails: UNAVAILABLE (the kernel has no seccomp).
 */
status_t sandbox_forbid_programs(void);

#endif
