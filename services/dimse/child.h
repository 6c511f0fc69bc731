#ifndef ZPACS_DIMSE_CHILD_H
#define ZPACS_DIMSE_CHILD_H

#include "base/buffer.h"
#include "dcmtk/association.h"
#include "dcmtk/command.h"
#include "dimse/channel.h"
#include "dimse/config.h"
#include "dimse/negotiation.h"
#include "dimse/rules.h"
#include "pack/writer.h"

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

/* One association, in a process of its own. */
typedef struct {
    const child_settings_t *settings;
    channel_message_t self; /* as spawned: association, address; calling and called once known */
    int socket, channel;
    association_t *association;
    accepted_context_t contexts[256]; /* by identifier */
    child_state_t state;
    bool disk_is_full; /* as far as the courier's messages were read */
    int lent;          /* the pack that had waited for this address, until the first store; -1 */
    pack_writer_t *writer; /* NULL until the first store */
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

/* Serves the association and returns the exit status of the process: 0 unless the sandbox fails. */
int child_main(const child_settings_t *settings, const channel_message_t *spawn, int socket,
               int channel);

/*
 * Reads the dataset of a request to its end; take (may be NULL) gets each fragment and is not
 * called again after it failed. out_taken is what take said.
 * Fails: as association_read(); the association is over.
 */
status_t child_read_dataset(child_t *child, const request_t *request,
                            status_t (*take)(void *context, const uint8_t *bytes, size_t length),
                            void *context, status_t *out_taken);

/* Sends the response without a dataset. comment may be NULL. */
status_t child_answer(child_t *child, const request_t *request, uint16_t status, uint32_t offending,
                      const char *comment);

/* A pack to write to: the one at hand unless it is full. Fails: UNAVAILABLE (also: too little room on
 * the disk, whatever is at hand); EXPIRED (the courier is
 * silent: what it may still send belongs to nobody, so the association must end). */
status_t child_need_pack(child_t *child);

/*
 * Tells the courier how far the pack is durable and that bytes came with it. Without wait what
 * finds the channel full is told when the peer pauses.
 */
void child_announce(child_t *child, uint64_t bytes, bool wait);

/* Tells the courier; never waits. */
void child_tell(child_t *child, channel_kind_t kind, uint32_t number, const char *text);

#endif
