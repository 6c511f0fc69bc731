#ifndef ZPACS_ASSOCIATION_REQUEST_H
#define ZPACS_ASSOCIATION_REQUEST_H

#include "association/association.h"
#include "base/buffer.h"

/*
 * A-ASSOCIATE-RQ, and the A-ASSOCIATE-AC that answers it.                        PS3.8 9.3.2, 9.3.3
 * Used inside common/association only.
 */

/* A proposed context, and what became of it. */
typedef struct {
    uint8_t id;
    uint8_t result; /* PS3.8 table 9-18 */
    const uint8_t
        *items; /* its abstract syntax and transfer syntaxes, in the body of the request */
    size_t items_length;
    uid_text_t transfer_syntax_uid; /* that was accepted */
} request_context_t;

typedef struct {
    const uint8_t
        *titles; /* both titles and what is reserved behind them, as they came: to be sent back */
    char calling[AE_TITLE_LENGTH_MAX + 1], called[AE_TITLE_LENGTH_MAX + 1];
    uid_text_t application_context_uid, implementation_class_uid;
    uint32_t max_pdu_bytes; /* that the peer takes; 0: any */
    size_t context_count;
    request_context_t contexts[ASSOCIATION_CONTEXTS_MAX];
} association_request_t;

/*
 * body  what follows the PDU's header; borrowed as long as the request is used
 * Fails: UNSUPPORTED (another version of the protocol), INVALID.
 */
status_t request_parse(const uint8_t *body, size_t length, association_request_t *out_request);

/* A UID that cannot be one is left empty: nobody takes that. */
status_t request_read_context(const request_context_t *context, association_context_t *out_context);

/* Appends the whole A-ASSOCIATE-AC. */
void request_write_answer(const association_request_t *request,
                          const association_options_t *options, buffer_t *out);

#endif
