#ifndef ZPACS_DICOMWEB_STORE_ROOM_H
#define ZPACS_DICOMWEB_STORE_ROOM_H

#include "dicomweb/context.h"

status_t store_room_open(dicomweb_t *dicomweb);

/* Whether the disk takes more instances; also tells metrics and log. Cheap; from any thread. */
bool store_has_room(dicomweb_t *dicomweb);

#endif
