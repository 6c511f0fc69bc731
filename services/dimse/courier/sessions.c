#include "dimse/courier/sessions.h"

#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    GONE_MAX = 256 /* sessions that have ended, and whose children may yet be told of */
};

typedef struct {
    uint32_t child;
    channel_message_t self;
} gone_t;

struct sessions {
    session_parts_t parts;
    int epoll;
    session_t *first; /* the thread's own */
    pthread_mutex_t lock;
    session_t *arrivals; /* under the lock: adopted, not yet seen by the thread */
    atomic_bool is_stopping;
    bool disk_is_full, is_draining; /* what the children have been told */
    int64_t next_look_ms;           /* at who rests */
    gone_t gone[GONE_MAX];
    size_t gone_next;
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

static void unlist(sessions_t *sessions, const session_t *session)
{
    for (session_t **at = &sessions->first; *at; at = &(*at)->next) {
        if (*at == session) {
            *at = session->next;
            return;
        }
    }
}

static void end(sessions_t *sessions, session_t *session)
{
    sessions->gone[sessions->gone_next++ % GONE_MAX] = (gone_t){session->child, session->self};
    unlist(sessions, session);
    session_end(&session, &sessions->parts, sessions->is_stopping);
}

static session_t *find_resting(const sessions_t *sessions, const address_t *address)
{
    for (session_t *session = sessions->first; session; session = session->next)
        if (session->state == SESSION_RESTS &&
            memcmp(&session->self.address, address, sizeof *address) == 0)
            return session;
    return NULL;
}

/* In the child of one before. False: there is none. */
static bool follow(sessions_t *sessions, session_t *session)
{
    for (session_t *resting; (resting = find_resting(sessions, &session->self.address));) {
        if (session_follow(session, resting) == STATUS_OK) {
            unlist(sessions, resting);
            session_end(&resting, &sessions->parts, false);
            return true;
        }
        session_dismiss(resting);
    }
    return false;
}

static void begin(sessions_t *sessions, session_t *session)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = session};
    bool follows = follow(sessions, session);
    session->next = sessions->first;
    sessions->first = session;
    if ((!follows && session_start(session, &sessions->parts) != STATUS_OK) ||
        epoll_ctl(sessions->epoll, follows ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, session->channel,
                  &event) < 0) {
        end(sessions, session);
        return;
    }
    if (sessions->disk_is_full)
        session_tell(session, CHANNEL_FULL);
    if (sessions->is_draining)
        session_tell(session, CHANNEL_DRAIN);
}

/* ---- who rests --------------------------------------------------------------------------------- */

static size_t count(const sessions_t *sessions, session_state_t state)
{
    size_t found = 0;
    for (const session_t *session = sessions->first; session; session = session->next)
        found += session->state == state;
    return found;
}

/* Those that have rested since then. */
static void dismiss_since(const sessions_t *sessions, int64_t since_ms)
{
    for (session_t *session = sessions->first; session; session = session->next)
        if (session->state == SESSION_RESTS &&
            (session->rests_since_ms <= since_ms || packs_is_overdue(&session->lease)))
            session_dismiss(session);
}

/*
 * An association is over. Its place is free at once, and not only when its child is gone: its sender may come
 * again, and has heard that it is over. Not for children without number: one that a stranger has taken over may
 * say so, and stay.
 */
static void settle(sessions_t *sessions, session_t *session)
{
    bool may_rest = !sessions->is_draining && !sessions->is_stopping &&
                    count(sessions, SESSION_RESTS) <= SESSIONS_RESTING_MAX;
    if (session->state == SESSION_RESTS && !may_rest)
        session_dismiss(session);
    if (session->state == SESSION_RESTS || count(sessions, SESSION_LEAVES) <= SESSIONS_LEAVING_MAX)
        session_give_place(session, &sessions->parts);
}

static void look_at_resting(sessions_t *sessions)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < sessions->next_look_ms)
        return;
    sessions->next_look_ms = now_ms + SESSIONS_REST_MS / 4;
    dismiss_since(sessions, now_ms - SESSIONS_REST_MS);
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
    look_at_resting(sessions);
    spares_fill(sessions->parts.spares); /* behind them: nobody waits for these */
}

void sessions_serve(sessions_t *sessions, session_t *session)
{
    session_state_t before = session->state;
    bool is_there = session_serve(session, &sessions->parts);
    if (session->state != before)
        settle(sessions, session);
    if (!is_there)
        end(sessions, session);
}

void sessions_note_exit(sessions_t *sessions, const channel_message_t *exited)
{
    const channel_message_t *self = exited; /* of one that had none yet: without association */
    for (size_t i = 0; i < GONE_MAX; i++)
        if (sessions->gone[i].child == exited->child)
            self = &sessions->gone[i].self;
    for (const session_t *session = sessions->first; session; session = session->next)
        if (session->child == exited->child)
            self = &session->self;
    session_note_exit(exited->number, self);
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
    dismiss_since(sessions, INT64_MAX);
    tell_all(sessions, CHANNEL_DRAIN);
}

void sessions_stop(sessions_t *sessions)
{
    tell_all(sessions, CHANNEL_STOP);
}

void sessions_recall_packs(sessions_t *sessions)
{
    for (session_t *session = sessions->first; session; session = session->next)
        if (session->state == SESSION_SERVES && packs_is_overdue(&session->lease))
            session->lease.is_recalled = session_tell(session, CHANNEL_RECALL_PACK);
}

void sessions_announce_again(const sessions_t *sessions)
{
    for (const session_t *session = sessions->first; session; session = session->next)
        packs_announce_lease_again(sessions->parts.packs, &session->lease);
}
