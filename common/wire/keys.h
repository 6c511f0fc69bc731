#ifndef ZPACS_WIRE_KEYS_H
#define ZPACS_WIRE_KEYS_H

#include "base/status.h"

#include <czmq.h>
#include <stdbool.h>

/* Inside common/wire only. */

/* Makes the folder with its parents; the last one with mode 0700 if is_private. */
status_t keys_make_folder(const char *path, bool is_private);

/* <name>.key (with_secret) or <name>.pub. Fails: UNAVAILABLE (not there, or not a certificate). */
status_t keys_load(const char *keys_folder, const char *name, bool with_secret, zcert_t **out_cert);

#endif
