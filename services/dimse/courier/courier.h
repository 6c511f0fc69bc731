#ifndef ZPACS_DIMSE_COURIER_H
#define ZPACS_DIMSE_COURIER_H

#include "dimse/channel.h"
#include "dimse/config.h"
#include "dimse/door/limits.h"
#include "dimse/door/refused.h"

/*
 * The courier: the thread that keeps the packs and the one connection to the index. It hands packs
 * to the children, announces what they have made durable, and takes back what they leave, also when
 * they died.
 *
 *     courier.c        the loop, the zygote's channel, the connection to the index
 *     sessions.c       all associations: they come, are told something, go
 *     session.c        one of them: its beginning, its end, and what comes after it
 *     session_words.c  what its child says, what it is answered
 *     spares.c         children that wait for an association
 *     packs.c          the packs: lent, taken back
 *     announcements.c  what the index is still to be told
 */
typedef struct courier courier_t;

/*
 * Takes over what dead processes left in open/ (that is announced first). Borrows all until
 * courier_stop().
 * Fails: UNAVAILABLE (data folder).
 */
status_t courier_create(const dimse_config_t *config, limits_t *limits, refused_t *refused,
                        int zygote_channel, courier_t **out_courier);
status_t courier_start(courier_t *courier);

/* From the listener's thread: an association, to be handed to a child. Owns socket, and gives the place in limits
 * back at the end. */
void courier_adopt(courier_t *courier, const channel_message_t *start, int socket);

/*
 * For the listener's thread, before it says no for want of a place: a sender that has heard that its association is
 * over may be here before the courier has. courier_sweep() asks it to hear out who has spoken, and returns a
 * ticket; the ring (an eventfd, borrowed) rings when courier_swept() has come to it.
 */
uint64_t courier_sweep(courier_t *courier);
uint64_t courier_swept(const courier_t *courier);
int courier_ring(const courier_t *courier);

void courier_drain(courier_t *courier);            /* from any thread */
bool courier_has_zygote(const courier_t *courier); /* false: no association can begin any more */

/* Ends the children, the last by force, seals the packs, tells the index what it can. */
void courier_stop(courier_t **courier, int zygote_pid);

#endif
