#ifndef ZPACS_SERVICE_ADMIN_H
#define ZPACS_SERVICE_ADMIN_H

#include "base/status.h"
#include "service/page.h"

/* Inside common/service only: the admin endpoint and the question `--health` asks it. */
typedef struct admin admin_t;

/* Of the service that runs here; copied, what it points to is borrowed until admin_stop(). */
typedef struct {
    const char *name, *version;
    status_t (*health)(void *state); /* NULL: alive is healthy */
    const service_page_t *pages;     /* may be NULL */
} admin_service_t;

/* /metrics, /healthz and the service's own pages at address; "" for none (*out_admin is NULL then). */
status_t admin_start(const char *address, const admin_service_t *service, admin_t **out_admin);
void admin_stop(admin_t **admin);

typedef enum { ADMIN_STARTING, ADMIN_READY, ADMIN_DRAINING } admin_phase_t;

/* Only READY is healthy; state is what the service's health() gets. */
void admin_set_phase(admin_t *admin, admin_phase_t phase, void *state);

/* GET /healthz of address over a plain socket. Fails: UNAVAILABLE (no answer, or not 200). */
status_t admin_ask_health(const char *address);

#endif
