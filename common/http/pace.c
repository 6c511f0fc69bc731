#include "http/pace.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { AGAIN_NS = 50 * 1000 * 1000 }; /* the first signal may have come just before poll() */

#define SIGNAL (SIGRTMIN + 1) /* not SIGALRM: that ends the processes of associations */

#ifndef sigev_notify_thread_id /* glibc names it since 2.38 */
#define sigev_notify_thread_id _sigev_un._tid
#endif

static _Thread_local struct {
    timer_t timer;
    bool has_timer;
    volatile sig_atomic_t is_late;
} pace;

static void note_late(int number)
{
    (void)number;
    pace.is_late = 1;
}

status_t pace_install(void)
{
    struct sigaction action = {.sa_handler = note_late}; /* no SA_RESTART: calls shall end */
    if (sigaction(SIGNAL, &action, NULL) < 0)
        return fail(STATUS_INTERNAL, "sigaction: %s", strerror(errno));
    return STATUS_OK;
}

static status_t make_timer(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL};
    event.sigev_notify_thread_id = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &pace.timer) < 0)
        return fail(STATUS_UNAVAILABLE, "timer_create: %s", strerror(errno));
    pace.has_timer = true;
    return STATUS_OK;
}

status_t pace_begin(int limit_ms)
{
    struct itimerspec when = {.it_value = {limit_ms / 1000, limit_ms % 1000 * 1000000L},
                              .it_interval = {0, AGAIN_NS}};
    if (!pace.has_timer)
        TRY(make_timer());
    pace.is_late = 0;
    timer_settime(pace.timer, 0, &when, NULL);
    return STATUS_OK;
}

bool pace_end(void)
{
    static const struct itimerspec never;
    timer_settime(pace.timer, 0, &never,
                  NULL); /* a signal that is on its way comes before it returns */
    return pace.is_late;
}

void pace_close(void)
{
    if (pace.has_timer)
        timer_delete(pace.timer);
    pace.has_timer = false;
}

void pace_wake(pid_t thread)
{
    (void)tgkill(getpid(), thread, SIGNAL);
}
