#ifndef ZPACS_PACK_RECOVER_FROM_H
#define ZPACS_PACK_RECOVER_FROM_H

#include "pack/format.h"
#include "pack/recover.h"

/*
 * pack_recover for a pack that is known to be durable up to from, where the record with
 * last_sequence ends (0: none). Used inside common/pack only.
 */
status_t pack_recover_from(int fd, const char *data_folder, const pack_identity_t *identity,
                           uint64_t from, uint64_t last_sequence, pack_recovery_t *out_found);

#endif
