#ifndef ZPACS_DIMSE_LISTENER_H
#define ZPACS_DIMSE_LISTENER_H

#include "dimse/config.h"
#include "dimse/courier/courier.h"
#include "dimse/door/limits.h"
#include "dimse/association/rules.h"

/*
 * The listener: the thread that accepts. It reads nothing from a peer but the PROXY header of a
 * configured proxy, so nobody can keep it waiting.
 */
typedef struct listener listener_t;

typedef struct {
    const dimse_config_t *config;
    const rules_t *rules;
    limits_t *limits;
    refused_t *refused;
    courier_t *courier;
} listener_options_t;

/* Binds. Fails: UNAVAILABLE (the address is in use, or not ours). */
status_t listener_create(const listener_options_t *options, listener_t **out_listener);
status_t listener_start(listener_t *listener);
void listener_drain(listener_t *listener); /* from now on everyone is refused for the moment */
void listener_stop(listener_t **listener);

#endif
