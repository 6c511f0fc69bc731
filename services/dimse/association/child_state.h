#ifndef ZPACS_DIMSE_CHILD_STATE_H
#define ZPACS_DIMSE_CHILD_STATE_H

#include "base/buffer.h"
#include "association/association.h"
#include "association/command.h"
#include "dimse/channel.h"
#include "dimse/config.h"
#include "dimse/association/negotiation.h"
#include "dimse/association/rules.h"
#include "pack/writer.h"

/* What the files of an association's process share. It has one thread, and one child_t; child.c makes
 * it and ends it. */

/* What every child inherits from the zygote. */
typedef struct {
    const dimse_config_t *config;
    const rules_t *rules;
} child_settings_t;

/* How much longer this association lasts. */
typedef enum {
    CHILD_SERVING,
    CHILD_DRAINING, /* ends when it pauses */
    CHILD_STOPPING  /* ends at the next message boundary; a store gets A700 */
} child_state_t;

/* One association, and what its process keeps for the next one. */
typedef struct {
    const child_settings_t *settings;
    channel_message_t self; /* as started: association, address; calling and called once known */
    int socket, channel;    /* socket: -1 between two associations */
    association_t *association;
    accepted_context_t contexts[256]; /* by identifier */
    child_state_t state;
    bool disk_is_full;   /* as far as the courier's messages were read */
    int lent;            /* the pack that had waited for this address, until the first store; -1 */
    pack_end_t lent_end; /* of that one */
    int pinned; /* the number of a pack with records of earlier associations, until that is let go; -1 */
    uint64_t kept;         /* up to where the sandbox keeps them */
    int64_t nth;           /* association of this process */
    bool has_refused;      /* an instance of this association */
    pack_writer_t *writer; /* NULL until the first store, and when it was given back */
    buffer_t answer;
    uint64_t unannounced_bytes; /* of instances whose announcement found the channel full */
    char peer_address[ADDRESS_TEXT_SIZE];
} child_t;

/* A command set that has come, and the context it came on. */
typedef struct {
    command_t command;
    uint8_t context_id;
    const accepted_context_t *context;
} request_t;

#endif
