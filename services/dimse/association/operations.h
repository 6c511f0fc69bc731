#ifndef ZPACS_DIMSE_OPERATIONS_H
#define ZPACS_DIMSE_OPERATIONS_H

#include "dimse/association/child_state.h"

/*
 * What an association can ask for: one row for each command field. A handler reads the dataset if
 * one follows, answers, and returns OK; anything else ends the association with an abort.
 */
typedef struct {
    uint16_t field;          /* 0 ends the table */
    dimse_service_t service; /* the context it must come on */
    status_t (*run)(child_t *child, const request_t *request);
} operation_t;

extern const operation_t operations[];

/* Runs the operation of a request, or says why there is none.                       PS3.7 C.5 */
status_t operations_run(child_t *child, const request_t *request);

status_t echo_run(child_t *child, const request_t *request);  /* C-ECHO, PS3.7 9.1.5 */
status_t store_run(child_t *child, const request_t *request); /* C-STORE, PS3.4 B.2 */

#endif
