#ifndef ZPACS_DIMSE_CHANNEL_H
#define ZPACS_DIMSE_CHANNEL_H

#include "base/status.h"
#include "base/ulid.h"
#include "dimse/door/address.h"
#include "pack/writer.h"

#include <stddef.h>
#include <stdint.h>

/*
 * What the processes of this service tell each other, over SOCK_SEQPACKET socket pairs. All are
 * of one build, so a message is a struct; it is still checked on arrival, because a child
 * talks to strangers.
 */
typedef enum {
    /* courier → zygote */
    CHANNEL_SPAWN = 1, /* that child, please; with its end of its channel */
    /* zygote → courier */
    CHANNEL_READY,  /* the first message: it can fork */
    CHANNEL_EXITED, /* that child is gone; number is its wait status */
    /* child → courier */
    CHANNEL_ACCEPTED,      /* the association is there: calling, called */
    CHANNEL_REFUSED,       /* it will not be: number is a refusal_t, text says why */
    CHANNEL_WANT_PACK,     /* the first pack, or another one because the last is full */
    CHANNEL_PACK_RETURNED, /* as it was recalled; the next store wants another one */
    CHANNEL_APPENDED,      /* the pack is durable up to offset; bytes came with this instance */
    CHANNEL_STORE_REFUSED, /* number is the status of the answer, text says why */
    CHANNEL_PACK_FAILED,   /* a write or sync of the pack has failed: text says why */
    CHANNEL_ENDED,         /* the last words: text says why */
    CHANNEL_RESTS, /* the same, of an association in which all was in order: ready for another */
    /* courier → child */
    CHANNEL_START, /* an association, its socket, and with a child's first one a pack if one waited */
    CHANNEL_PACK,        /* with a new pack's descriptor, and its end */
    CHANNEL_NO_PACK,     /* text says why */
    CHANNEL_RECALL_PACK, /* it has been open for long: give it back between two messages */
    CHANNEL_FULL,        /* the disk: take nothing until CHANNEL_ROOM */
    CHANNEL_ROOM,        /* take again */
    CHANNEL_DRAIN,       /* finish soon */
    CHANNEL_STOP         /* end at the next message boundary; at once, if it rests */
} channel_kind_t;

typedef struct {
    channel_kind_t kind;
    uint32_t number;
    uint64_t offset, bytes;
    pack_end_t end;
    ulid_t association;
    address_t address;
    char calling[17], called[17];
    char text[160];
    uint32_t child; /* the courier's number for it */
} channel_message_t;

enum { CHANNEL_FDS_MAX = 2 };

/* A pair of connected ends, both close-on-exec. */
status_t channel_make(int out_ends[2]);

/* Fails: BUSY (the other side does not read; only with wait false), UNAVAILABLE (it is gone). */
status_t channel_send(int channel, const channel_message_t *message, const int *fds,
                      size_t fd_count, bool wait);

/*
 * Takes the next message; out_fds gets -1 where no descriptor came.
 * Fails: BUSY (nothing there; only with wait false), NOT_FOUND (the other side is gone), INVALID.
 */
status_t channel_receive(int channel, channel_message_t *out_message, int out_fds[CHANNEL_FDS_MAX],
                         bool wait);

/* Copies a sentence, cut to what fits. */
void channel_set_text(channel_message_t *message, const char *text);

#endif
