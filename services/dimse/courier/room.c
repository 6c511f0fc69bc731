#include "dimse/courier/room.h"

#include "log/log.h"
#include "service/metrics.h"

static metric_t free_bytes =
    METRIC_GAUGE("zpacs_disk_free_bytes", "Bytes free on the disk of the packs.");
static metric_t full =
    METRIC_GAUGE("zpacs_disk_full", "1: too little room is left, nothing is taken in.");

status_t room_open(const dimse_config_t *config, pack_space_t **out_space)
{
    metric_register(&free_bytes);
    metric_register(&full);
    return pack_space_open(config->service.data, (uint64_t)config->space_low,
                           (uint64_t)config->space_high, out_space);
}

bool room_look(pack_space_t *space)
{
    pack_space_state_t now = pack_space_look(space);
    metric_set(&free_bytes, (int64_t)now.free_bytes);
    metric_set(&full, now.is_full);
    if (now.has_changed && now.is_full)
        log_error("disk.full", LOG_NUMBER("free_bytes", now.free_bytes));
    else if (now.has_changed)
        log_info("disk.has_room", LOG_NUMBER("free_bytes", now.free_bytes));
    return now.is_full;
}
