/* All parts of the service: created at start, destroyed at stop. */
#include "dicomweb/dicomweb.h"

#include "base/memory.h"
#include "crypto/crypto.h"
#include "dicomweb/doorbell.h"
#include "dicomweb/retrieve/frame_cache.h"
#include "dicomweb/instance/inflated.h"
#include "dicomweb/location/location_cache.h"
#include "dicomweb/metadata/metadata_cache.h"
#include "dicomweb/metadata/metadata_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static index_pool_t *open_index(const dicomweb_config_t *config)
{
    AUTO_FREE char *socket = memory_format("ipc://%s/run/index.sock", config->service.data);
    AUTO_FREE char *keys = memory_format("%s/keys", config->service.data);
    return index_pool_create(config->index_endpoint[0] ? config->index_endpoint : socket,
                             config->service.keys[0] ? config->service.keys : keys,
                             (size_t)config->index_connections);
}

static void make_boundary(char *out_boundary, size_t size)
{
    uint8_t random[16];
    crypto_random(random, sizeof random);
    char hex[2 * sizeof random + 1];
    crypto_hex(random, sizeof random, hex);
    snprintf(out_boundary, size, "zpacs-%s", hex);
}

static status_t open_parts(dicomweb_t *dicomweb)
{
    const dicomweb_config_t *config = dicomweb->config;
    if (config->gate_secret_file[0])
        TRY(gate_read_secret(config->gate_secret_file, &dicomweb->gate_secret));
    TRY(pack_store_open(dicomweb->data_folder, &dicomweb->store));
    TRY(dicomweb_packs_open(dicomweb));
    return doorbell_start(dicomweb, &dicomweb->doorbell);
}

status_t dicomweb_open(const dicomweb_config_t *config, dicomweb_t **out_dicomweb)
{
    dicomweb_t *dicomweb = memory_allocate(sizeof *dicomweb);
    dicomweb->config = config;
    dicomweb->data_folder = config->service.data;
    pthread_mutex_init(&dicomweb->packs.lock, NULL);
    dicomweb->index = open_index(config);
    dicomweb->locations = location_cache_create();
    dicomweb->metadata = metadata_cache_create((size_t)config->metadata_cache_bytes);
    dicomweb->plans = metadata_plans_create();
    dicomweb->frames = frame_cache_create((size_t)config->frame_cache_bytes);
    dicomweb->inflated =
        inflated_cache_create((size_t)config->inflated_bytes, DICOMWEB_INFLATE_WAIT_MS);
    make_boundary(dicomweb->boundary, sizeof dicomweb->boundary);
    status_t status = open_parts(dicomweb);
    if (status != STATUS_OK) {
        dicomweb_close(&dicomweb);
        return status;
    }
    *out_dicomweb = dicomweb;
    return STATUS_OK;
}

void dicomweb_close(dicomweb_t **dicomweb)
{
    if (!*dicomweb)
        return;
    dicomweb_t *it = *dicomweb;
    doorbell_stop(&it->doorbell);
    dicomweb_packs_close(it);
    pack_store_close(&it->store);
    location_cache_destroy(&it->locations);
    metadata_cache_destroy(&it->metadata);
    metadata_plans_destroy(&it->plans);
    frame_cache_destroy(&it->frames);
    inflated_cache_destroy(&it->inflated);
    index_pool_destroy(&it->index);
    pthread_mutex_destroy(&it->packs.lock);
    free(it->gate_secret);
    free(it);
    *dicomweb = NULL;
}
