#include "dimse/courier/sessions.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>

struct sessions {
    session_parts_t parts;
    int epoll;
    session_t *first; /* the thread's own */
    pthread_mutex_t lock;
    session_t *arrivals; /* under the lock: adopted, not yet seen by the thread */
    atomic_bool is_stopping;
    bool disk_is_full, is_draining; /* what the children have been told */
};

sessions_t *sessions_create(const session_parts_t *parts, int epoll)
{
    sessions_t *sessions = memory_allocate(sizeof *sessions);
    sessions->parts = *parts;
    sessions->epoll = epoll;
    pthread_mutex_init(&sessions->lock, NULL);
    session_register_metrics();
    return sessions;
}

void sessions_destroy(sessions_t **sessions)
{
    if (!*sessions)
        return;
    pthread_mutex_destroy(&(*sessions)->lock);
    free(*sessions);
    *sessions = NULL;
}

/* ---- come and go ------------------------------------------------------------------------------- */

void sessions_adopt(sessions_t *sessions, const channel_message_t *start, int socket)
{
    session_t *session = session_create(start, socket);
    pthread_mutex_lock(&sessions->lock);
    session->next = sessions->arrivals;
    sessions->arrivals = session;
    pthread_mutex_unlock(&sessions->lock);
}

static void end(sessions_t *sessions, session_t *session)
{
    for (session_t **at = &sessions->first; *at; at = &(*at)->next) {
        if (*at == session) {
            *at = session->next;
            break;
        }
    }
    session_end(&session, &sessions->parts, sessions->is_stopping);
}

static void begin(sessions_t *sessions, session_t *session)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = session};
    session->next = sessions->first;
    sessions->first = session;
    if (session_start(session, &sessions->parts) != STATUS_OK ||
        epoll_ctl(sessions->epoll, EPOLL_CTL_ADD, session->channel, &event) < 0) {
        end(sessions, session);
        return;
    }
    if (sessions->disk_is_full)
        session_tell(session, CHANNEL_FULL);
    if (sessions->is_draining)
        session_tell(session, CHANNEL_DRAIN);
}

void sessions_tick(sessions_t *sessions)
{
    pthread_mutex_lock(&sessions->lock);
    session_t *arrivals = sessions->arrivals;
    sessions->arrivals = NULL;
    pthread_mutex_unlock(&sessions->lock);
    for (session_t *session = arrivals, *next; session; session = next) {
        next = session->next;
        begin(sessions, session);
    }
    spares_fill(sessions->parts.spares); /* behind them: nobody waits for these */
}

void sessions_serve(sessions_t *sessions, session_t *session)
{
    if (!session_serve(session, &sessions->parts))
        end(sessions, session);
}

void sessions_end_all(sessions_t *sessions)
{
    while (sessions->first)
        end(sessions, sessions->first);
}

bool sessions_any(const sessions_t *sessions)
{
    return sessions->first != NULL;
}

void sessions_expect_end(sessions_t *sessions)
{
    sessions->is_stopping = true;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static void tell_all(const sessions_t *sessions, channel_kind_t kind)
{
    for (const session_t *session = sessions->first; session; session = session->next)
        session_tell(session, kind);
}

void sessions_set_full(sessions_t *sessions, bool disk_is_full)
{
    if (disk_is_full == sessions->disk_is_full)
        return;
    sessions->disk_is_full = disk_is_full;
    tell_all(sessions, disk_is_full ? CHANNEL_FULL : CHANNEL_ROOM);
}

void sessions_drain(sessions_t *sessions)
{
    if (sessions->is_draining)
        return;
    sessions->is_draining = true;
    tell_all(sessions, CHANNEL_DRAIN);
}

void sessions_stop(sessions_t *sessions)
{
    tell_all(sessions, CHANNEL_STOP);
}

void sessions_recall_packs(sessions_t *sessions)
{
    for (session_t *session = sessions->first; session; session = session->next)
        if (packs_is_overdue(&session->lease))
            session->lease.is_recalled = session_tell(session, CHANNEL_RECALL_PACK);
}

void sessions_announce_again(const sessions_t *sessions)
{
    for (const session_t *session = sessions->first; session; session = session->next)
        packs_announce_lease_again(sessions->parts.packs, &session->lease);
}
