#ifndef ZPACS_DIMSE_NEGOTIATION_H
#define ZPACS_DIMSE_NEGOTIATION_H

#include "config/config.h"
#include "association/association.h"

/* What an accepted presentation context is for. */
typedef enum { SERVICE_NONE, SERVICE_VERIFICATION, SERVICE_STORAGE } dimse_service_t;

typedef struct {
    dimse_service_t service; /* SERVICE_NONE: not accepted */
    uid_text_t abstract_syntax_uid;
    uid_text_t transfer_syntax_uid;
} accepted_context_t;

/*
 * The service behind an abstract syntax: Verification; storage SOP classes of the standard, known
 * or new; private ones, which are UIDs below one of private_roots.      PS3.4 A.4, B.5; PS3.5 9.1
 */
dimse_service_t negotiation_service(const char *abstract_syntax_uid,
                                    const config_list_t *private_roots);

/* The first proposed transfer syntax that we take, or NULL. */
const char *negotiation_transfer_syntax(const association_context_t *context,
                                        const config_list_t *private_roots);

/* Answers every proposed context; out_accepted (256 entries, zeroed) is by context identifier. */
status_t negotiation_run(association_t *association, const config_list_t *private_roots,
                         accepted_context_t *out_accepted);

#endif
