#ifndef ZPACS_DIMSE_ROOM_H
#define ZPACS_DIMSE_ROOM_H

#include "dimse/config.h"
#include "pack/space.h"

/* Whether the disk takes more instances, told in metrics and log. The courier's. */

status_t room_open(const dimse_config_t *config, pack_space_t **out_space);

/* True: nothing is to be taken in. Cheap: call it all the time. */
bool room_look(pack_space_t *space);

#endif
