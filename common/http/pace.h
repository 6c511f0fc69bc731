#ifndef ZPACS_HTTP_PACE_H
#define ZPACS_HTTP_PACE_H

#include "base/status.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * A limit in time for one call of mg_read(): that goes on as long as a byte comes within each of its timeouts. The
 * thread is woken with a signal that does nothing: poll() fails with EINTR, and mg_read() returns with what it has.
 *
 * Of the calling thread: begin, mg_read(), end; close when the thread ends.
 */
status_t pace_install(void); /* the signal, once a process */

/* Fails: UNAVAILABLE (no timer can be had). */
status_t pace_begin(int limit_ms);
bool pace_end(void); /* whether the time ran out */
void pace_close(void);

/* The same for whatever a thread of this process, by its gettid(), waits for right now. */
void pace_wake(pid_t thread);

#endif
