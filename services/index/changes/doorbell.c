#include "index/index.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"

enum { RING_MS = 50 }; /* at most so often: what is left out comes with the ring of every second */

status_t index_doorbell_start(index_t *index, const char *keys_folder)
{
    const index_config_t *config = index->config;
    if (*config->index_endpoint && !*config->index_changes_endpoint)
        return STATUS_OK; /* replicas that share a data folder must not share a socket by default */
    AUTO_FREE char *endpoint =
        *config->index_changes_endpoint
            ? memory_copy_text(config->index_changes_endpoint)
            : memory_format("ipc://%s/run/index-changes.sock", config->service.data);
    wire_publisher_t *doorbell = NULL;
    TRY(wire_publisher_open(endpoint, keys_folder, "index", &doorbell));
    log_info("doorbell", LOG_TEXT("endpoint", endpoint));
    atomic_store(&index->doorbell, doorbell);
    return STATUS_OK;
}

/* Read anew each time: another replica may have numbered, or begun a new epoch, in between. */
void index_ring(index_t *index)
{
    char epoch[CHANGES_EPOCH_SIZE];
    Index__Changed changed = INDEX__CHANGED__INIT;
    wire_publisher_t *doorbell = atomic_load(&index->doorbell);
    if (!doorbell || !index->rows.is_numbering)
        return;
    index->next_ring_ms = clock_monotonic_ms() + RING_MS;
    changed.epoch = epoch;
    if (changes_last(index->writer, epoch, &changed.last) == STATUS_OK)
        wire_publisher_send(doorbell, &changed.base);
}

void index_changed(index_t *index)
{
    if (index->rows.sequence && clock_monotonic_ms() >= index->next_ring_ms)
        index_ring(index);
}
