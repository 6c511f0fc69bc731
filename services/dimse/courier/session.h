#ifndef ZPACS_DIMSE_SESSION_H
#define ZPACS_DIMSE_SESSION_H

#include "dimse/channel.h"
#include "dimse/config.h"
#include "dimse/door/limits.h"
#include "dimse/courier/packs.h"
#include "dimse/door/refused.h"
#include "dimse/courier/spares.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether the association is still there, and what its child does afterwards. */
typedef enum {
    SESSION_SERVES,
    SESSION_RESTS, /* all was in order: the child, with its pack, is there for another one of that address */
    SESSION_LEAVES /* the child is to end; what it says does not count any more */
} session_state_t;

/*
 * One association as the courier sees it: our end of the channel to its child, the pack the child
 * has, and what its last line in the log will say. Afterwards what is left of it, until the child is gone or has
 * got another one. The child's own side is child.h.
 *
 * Owns socket and channel, and a place in limits until session_give_place(). For the courier's thread,
 * except session_create().
 */
typedef struct session {
    struct session *next;   /* in the list that has it: sessions.c */
    channel_message_t self; /* association, address, calling, called */
    char peer[ADDRESS_TEXT_SIZE];
    int socket;  /* the peer's, until its child has it; -1 */
    int channel; /* -1 until there is a child */
    uint32_t child;
    int64_t nth; /* association of that child */
    session_state_t state;
    int64_t rests_since_ms;
    bool has_place; /* in limits */
    lease_t lease;
    uint64_t stored, refused, bytes;
    int64_t began_ms;
    bool was_accepted, was_refused, is_noted;
    bool is_amiss; /* its child has said what none of ours says */
    char end[sizeof((channel_message_t *)0)->text];
} session_t;

/* What a session works with; all borrowed. */
typedef struct {
    const dimse_config_t *config;
    limits_t *limits;
    refused_t *refused;
    packs_t *packs;
    spares_t *spares;
} session_parts_t;

void session_register_metrics(void);
void session_register_words(void); /* those of session_words.c; the above does it */

/* From any thread. Takes socket. */
session_t *session_create(const channel_message_t *start, int socket);

/*
 * Hands it to a child. A pack with records of earlier associations is lent now, before a byte of
 * the peer has been read, or not at all.
 * Fails: UNAVAILABLE (no child); then the session is to be ended.
 */
status_t session_start(session_t *session, const session_parts_t *parts);

/*
 * Hands it to the child of one that rests, instead. That one has no child and no pack any more, unless it fails.
 * Fails: UNAVAILABLE (the child is gone), BUSY.
 */
status_t session_follow(session_t *session, session_t *resting);

/* False: its channel is full, or it is gone. */
bool session_tell(const session_t *session, channel_kind_t kind);

/*
 * Takes what the child has said (session_words.c); a bounded number of messages, so that one busy child does not keep
 * the others waiting. False: the child is gone, and the session is to be ended.
 */
bool session_serve(session_t *session, const session_parts_t *parts);

/* The child of one that rests shall end. */
void session_dismiss(session_t *session);

/* The association is over: another one may come. Once. */
void session_give_place(session_t *session, const session_parts_t *parts);

/* The child is gone: takes back what it has. is_stopping: we end all of them. */
void session_end(session_t **session, const session_parts_t *parts, bool is_stopping);

/* Tells log and metrics that an association is over, once. */
void session_note_over(session_t *session, const session_parts_t *parts, bool is_stopping);

/* The zygote's word on how a process ended that served, or had served, that association. */
void session_note_exit(uint32_t wait_status, const channel_message_t *self);

#endif
