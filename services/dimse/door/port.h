#ifndef ZPACS_DIMSE_PORT_H
#define ZPACS_DIMSE_PORT_H

#include "dimse/config.h"

/* Listens where the configuration says. Fails: UNAVAILABLE (the address is in use, or not ours). */
status_t port_open(const dimse_config_t *config, int *out_socket);

#endif
