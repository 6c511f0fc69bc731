#ifndef ZPACS_DIMSE_SESSIONS_H
#define ZPACS_DIMSE_SESSIONS_H

#include "dimse/courier/session.h"

/* All associations as the courier sees them. Owns them. For the courier's thread, except where said. */
enum {
    SESSIONS_RESTING_MAX = 16, /* children that wait for another association of their address */
    SESSIONS_REST_MS = 1000,   /* so long, and a moment */
    SESSIONS_LEAVING_MAX = 64 /* children that are ending, while others have their places already */
};

typedef struct sessions sessions_t;

/*
 * parts  copied; what it points to is borrowed
 * epoll  borrowed: gets the channel of each session, with the session as its data
 */
sessions_t *sessions_create(const session_parts_t *parts, int epoll);
void sessions_destroy(sessions_t **sessions); /* none may be left */

/* From any thread: see session_create(). Takes socket. The session begins in sessions_tick(). */
void sessions_adopt(sessions_t *sessions, const channel_message_t *start, int socket);

/*
 * Lets those begin that were adopted: in the child of one before of the same address, if it rests, else in
 * a new one. Ends who has rested for long. Call it once a second at least.
 */
void sessions_tick(sessions_t *sessions);

/* epoll says that this one can be read; it is gone afterwards if its child is. */
void sessions_serve(sessions_t *sessions, session_t *session);

/* Tell all there are, and each that comes. */
/* The zygote's word on how a child ended. */
void sessions_note_exit(sessions_t *sessions, const channel_message_t *exited);

void sessions_set_full(sessions_t *sessions, bool disk_is_full);
void sessions_drain(sessions_t *sessions);

void sessions_expect_end(sessions_t *sessions); /* from any thread: what ends now ends with us */
void sessions_stop(sessions_t *sessions);       /* asks all to end */
void sessions_end_all(sessions_t *sessions);    /* does not ask */
bool sessions_any(const sessions_t *sessions);

/* Asks for the packs that have been open for long. */
void sessions_recall_packs(sessions_t *sessions);

/* The packs they have: see packs_announce_again(). */
void sessions_announce_again(const sessions_t *sessions);

#endif
