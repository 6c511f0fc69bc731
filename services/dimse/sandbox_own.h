#ifndef ZPACS_DIMSE_SANDBOX_OWN_H
#define ZPACS_DIMSE_SANDBOX_OWN_H

#include "dimse/sandbox.h"

/*
 * The part of the filter that is one child's own: the pack it was lent and where the lease starts, and its
 * process number. It allows what the common part (sandbox.c) may forbid; of two filters the stricter answer
 * counts. To be entered first: the common part lets none come behind it.
 *
 * Fails: UNAVAILABLE (the kernel has no seccomp).
 */
status_t sandbox_enter_own(const sandbox_t *sandbox);

#endif
