#ifndef ZPACS_WIRE_WINDOW_H
#define ZPACS_WIRE_WINDOW_H

#include "wire/peers.h"
#include "wire/wire.h"

/*
 * Inside common/wire only. The requests that are under way, and the answers nobody has taken yet.
 *
 *   FREE ──send──▶ WAITING ──reply, loss or deadline──▶ ARRIVED ──finish──▶ FREE
 */
typedef enum { SLOT_FREE, SLOT_WAITING, SLOT_ARRIVED } slot_state_t;

typedef struct {
    slot_state_t state;
    uint64_t request_id; /* generation * WIRE_WINDOW + index: never the same twice */
    int64_t deadline_ms;
    const ProtobufCMessageDescriptor *reply_type;
    peer_t *peer; /* while WAITING: who was asked */
    status_t status;
    char *detail;
    ProtobufCMessage *reply;
    bool is_lost; /* with its connection */
} slot_t;

typedef struct {
    uint64_t generation;
    size_t next;
    slot_t slots[WIRE_WINDOW];
} window_t;

/* A free one with a new request_id, or NULL; it stays free until window_wait(). */
slot_t *window_take(window_t *window);
void window_wait(slot_t *slot, peer_t *peer, const ProtobufCMessageDescriptor *reply_type,
                 int64_t deadline_ms);

/* The one that waits for this number from this peer, or NULL: nobody does any more. */
slot_t *window_find(window_t *window, const peer_t *peer, uint64_t request_id);
slot_t *window_find_arrived(window_t *window);

/* Takes over reply. */
void window_arrive(slot_t *slot, status_t status, const char *detail, ProtobufCMessage *reply);
void window_expire(window_t *window);

/* The peer is gone, and with it the requests that it had: they may be asked again. */
void window_lose(window_t *window, const peer_t *peer);

/* When something is to be done next: 0 at once (an answer lies there), INT64_MAX never. */
int64_t window_deadline_ms(const window_t *window);

/* Gives the answer away and frees the slot. */
status_t window_finish(slot_t *slot, ProtobufCMessage **out_reply);
void window_clear(window_t *window);

#endif
