#ifndef ZPACS_ASSOCIATION_ASSOCIATION_H
#define ZPACS_ASSOCIATION_ASSOCIATION_H

#include "base/status.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The acceptor's side of one DICOM association: the upper layer over TCP.              PS3.8 7, 9
 *
 * Datasets pass through as the bytes of their PDVs: nothing here parses one. Nothing here is shared
 * between two associations.
 *
 *     association_receive → accept or refuse each context → association_acknowledge
 *         → association_read / association_write_command …
 *         → association_confirm_release or association_abort → association_destroy
 *     or  association_receive → association_reject → association_destroy
 */
enum {
    ASSOCIATION_CONTEXTS_MAX = 128, /* identifiers are odd, 1 to 255. PS3.8 9.3.2.2 */
    ASSOCIATION_TRANSFER_SYNTAXES_MAX =
        50, /* of one context; what comes behind them is passed over */
    ASSOCIATION_REQUEST_MAX =
        512 * 1024, /* bytes: all contexts with that many, and user information */
    ASSOCIATION_PDU_MIN = 4096,
    ASSOCIATION_PDU_MAX = 131072,
    ASSOCIATION_PEER_PDU_MIN = 128 /* a peer that takes less cannot be talked to */
};

#define ASSOCIATION_DICOM_APPLICATION "1.2.840.10008.3.1.1.1" /* PS3.7 A.2.1 */

typedef struct association association_t;

typedef struct {
    int64_t max_pdu_bytes; /* the largest P-DATA-TF we take; ASSOCIATION_PDU_MIN to _MAX */
    int stall_timeout_s;   /* a peer that is silent within a PDU, or takes no bytes */
    int min_bytes_per_s;   /* while we wait for a message, over each stall_timeout_s; 0: any */
    const char *implementation_class_uid, *implementation_version; /* ours. PS3.7 D.3.3.2 */
} association_options_t;

/* One proposed presentation context. */
typedef struct {
    uint8_t id;
    uid_text_t abstract_syntax_uid;
    size_t transfer_syntax_count;
    uid_text_t transfer_syntax_uids[ASSOCIATION_TRANSFER_SYNTAXES_MAX]; /* in the order proposed */
} association_context_t;

/* Why a context is refused.                                                     PS3.8 table 9-18 */
typedef enum {
    ASSOCIATION_CONTEXT_NO_REASON = 2, /* of those that nobody has answered */
    ASSOCIATION_CONTEXT_ABSTRACT_SYNTAX = 3,
    ASSOCIATION_CONTEXT_TRANSFER_SYNTAXES = 4
} association_refusal_t;

/* A-ASSOCIATE-RJ: result, source and reason as numbers of the table.            PS3.8 table 9-21 */
typedef struct {
    uint8_t result, source, reason;
} association_rejection_t;

#define ASSOCIATION_REJECT_CALLING_AE  ((association_rejection_t){1, 1, 3})
#define ASSOCIATION_REJECT_CALLED_AE   ((association_rejection_t){1, 1, 7})
#define ASSOCIATION_REJECT_APPLICATION ((association_rejection_t){1, 1, 2})
#define ASSOCIATION_REJECT_LIMIT       ((association_rejection_t){2, 3, 2})

typedef enum {
    ASSOCIATION_EVENT_PDV,     /* out_pdv holds a fragment */
    ASSOCIATION_EVENT_RELEASE, /* A-RELEASE-RQ: answer with association_confirm_release() */
    ASSOCIATION_EVENT_ABORT    /* A-ABORT */
} association_event_t;

/* A fragment of a command set or a dataset.                                        PS3.8 annex E */
typedef struct {
    uint8_t context_id;
    bool is_command; /* of a command set, else of a dataset */
    bool is_last;
    const uint8_t *bytes; /* valid until the next association_read() */
    size_t length;
} association_pdv_t;

/*
 * Reads the A-ASSOCIATE-RQ from an accepted, connected socket, which the association owns from now
 * on, also on failure. Sets TCP_NODELAY. How long the request as a whole may take is the caller's
 * to limit.
 *
 * Fails: INVALID (not an association request; the connection is aborted), UNAVAILABLE (closed).
 */
status_t association_receive(int socket, const association_options_t *options,
                             association_t **out_association);
void association_destroy(association_t **association); /* closes the socket; forgets what came */

/* Titles without their padding, borrowed. */
const char *association_calling_ae_title(const association_t *association);
const char *association_called_ae_title(const association_t *association);
const char *association_peer_implementation(const association_t *association); /* UID or "" */
bool association_is_dicom(
    const association_t *association); /* its application context is DICOM's */

size_t association_context_count(const association_t *association);
status_t association_context(const association_t *association, size_t index,
                             association_context_t *out_context);

/* Each proposed context is accepted with one of its transfer syntaxes, or refused. */
status_t association_accept_context(association_t *association, uint8_t id,
                                    const char *transfer_syntax_uid);
status_t association_refuse_context(association_t *association, uint8_t id,
                                    association_refusal_t why);

/* Sends A-ASSOCIATE-AC or A-ASSOCIATE-RJ. */
status_t association_acknowledge(association_t *association);
status_t association_reject(association_t *association, association_rejection_t rejection);

/* A fragment is there already: association_read() will not wait. */
bool association_has_pending(const association_t *association);

/*
 * Waits for the next fragment, release or abort.
 * Fails: INVALID (a PDU that does not belong here, or over the size limit; the peer gets an
 * A-ABORT), UNAVAILABLE (connection closed, silent within a PDU, or slower than min_bytes_per_s).
 */
status_t association_read(association_t *association, association_event_t *out_event,
                          association_pdv_t *out_pdv);

/*
 * Sends a command set: one write, unless it does not fit the peer's largest PDU.
 * Fails: UNAVAILABLE (connection closed, or the peer takes no bytes).
 */
status_t association_write_command(association_t *association, uint8_t context_id,
                                   const uint8_t *bytes, size_t length);

status_t association_confirm_release(association_t *association); /* A-RELEASE-RP */
status_t association_abort(association_t *association);           /* A-ABORT, source 0 (user) */

#endif
