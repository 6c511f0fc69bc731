#ifndef ZPACS_DIMSE_REFUSAL_H
#define ZPACS_DIMSE_REFUSAL_H

#include "dimse/door/refused.h"

#include <stddef.h>
#include <stdint.h>

/* Why an association did not come about: each is counted, listed (refused.h) and logged as
 * association.refused. */
typedef enum {
    REFUSAL_LIMIT_TOTAL,
    REFUSAL_LIMIT_ADDRESS,
    REFUSAL_DRAINING,
    REFUSAL_PROXY_HEADER, /* a proxy that sends none, a wrong one, or none in time */
    REFUSAL_REQUEST,      /* not an association request */
    REFUSAL_TIMEOUT,      /* no association request in time (ARTIM) */
    REFUSAL_APPLICATION,  /* an application context that is not DICOM's */
    REFUSAL_CALLING_AE,
    REFUSAL_CALLED_AE,
    REFUSAL_INTERNAL, /* no process, no descriptor, no sandbox */
    REFUSAL_COUNT
} refusal_t;

typedef struct {
    refusal_t why;
    const char *association; /* what is not known is NULL */
    const char *peer, *calling, *called;
    const char *detail; /* NULL or "": what the reason means */
} refusal_report_t;

/* Shows every reason at /metrics from the start, with 0. */
void refusal_register(void);

/* Counts, lists and logs. */
void refusal_note(refused_t *refused, const refusal_report_t *report);

#endif
