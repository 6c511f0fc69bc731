#include "index/compaction/compaction.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"

#include <stdlib.h>

/* The index: sole owner of the database. Reads packs into rows, answers queries, locates
 * instances, deletes, publishes the change feed. README.md says where is what. */
enum { LANE_SILENT_MS = 60 * 1000 };

/* Only what is sealed is compacted. */
static void check_retention(const index_config_t *settings)
{
    if (settings->pack_open_seconds > settings->compact_after_seconds)
        log_warning("retention.late",
                    LOG_TEXT("reason", "packs are open for longer than deleted bytes are kept"),
                    LOG_NUMBER("pack_open_seconds", settings->pack_open_seconds),
                    LOG_NUMBER("compact_after_seconds", settings->compact_after_seconds));
}

static status_t index_start(void *config, void **out_state)
{
    const index_config_t *settings = config;
    index_t *index = NULL;
    TRY(index_open(settings, &index));
    check_retention(settings);
    AUTO_FREE char *endpoint =
        *settings->index_endpoint
            ? memory_copy_text(settings->index_endpoint)
            : memory_format("ipc://%s/run/index.sock", settings->service.data);
    AUTO_FREE char *keys = *settings->service.keys
                               ? memory_copy_text(settings->service.keys)
                               : memory_format("%s/keys", settings->service.data);
    wire_server_options_t options = {.endpoint = endpoint,
                                     .keys_folder = keys,
                                     .name = "index",
                                     .routes = index_routes,
                                     .reading_lanes = (int)settings->reading_lanes,
                                     .lane_open = index_lane_open,
                                     .lane_close = index_lane_close,
                                     .lane_idle = index_lane_idle,
                                     .context = index};
    status_t status = index_doorbell_start(index, keys);
    if (status == STATUS_OK)
        status = compaction_start(index);
    if (status == STATUS_OK)
        status = wire_server_start(&options, &index->server);
    if (status != STATUS_OK) {
        index_close(&index);
        return status;
    }
    log_info("listening", LOG_TEXT("endpoint", endpoint));
    *out_state = index;
    return STATUS_OK;
}

static void index_stop(void *state)
{
    index_t *index = state;
    atomic_store(&index->stopping, true);
    wire_server_stop(&index->server, (int)index->config->service.drain_ms);
    index_close(&index);
}

static status_t index_health(void *state)
{
    index_t *index = state;
    if (!atomic_load(&index->database_ok))
        return fail(STATUS_UNAVAILABLE, "the database cannot be read or written");
    if (!atomic_load(&index->replay_runs) &&
        clock_monotonic_ms() - atomic_load(&index->lane_alive_ms) > LANE_SILENT_MS)
        return fail(STATUS_UNAVAILABLE, "the writing lane is stuck");
    return STATUS_OK;
}

static const service_t service = {
    .name = "index",
    .config = index_config_fields,
    .config_size = sizeof(index_config_t),
    .start = index_start,
    .stop = index_stop,
    .health = index_health,
};

int main(int argc, char **argv)
{
    return service_main(&service, argc, argv);
}
