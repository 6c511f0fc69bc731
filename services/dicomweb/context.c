/* What the handlers share: opened at start, closed at stop. */
#include "dicomweb/dicomweb.h"
#include "dicomweb/doorbell.h"

#include "base/memory.h"
#include "crypto/crypto.h"
#include "dicomweb/frame_cache.h"
#include "dicomweb/inflated.h"
#include "dicomweb/location.h"
#include "dicomweb/metadata_cache.h"
#include "log/log.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GATE_SECRET_MIN = 16, GATE_SECRET_MAX = 256, TRACE_LENGTH = 32 };

/* ---- the gate: only nginx, which has asked who it is, gets in --------------------------------- */

static status_t read_gate_secret(const char *path, char **out_secret)
{
    char text[GATE_SECRET_MAX + 1];
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length < 0)
        return fail(STATUS_UNAVAILABLE, "gate_secret_file cannot be read: %m");
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    if (length < GATE_SECRET_MIN)
        return fail(STATUS_INVALID, "gate_secret_file holds under %d bytes", GATE_SECRET_MIN);
    text[length] = '\0';
    *out_secret = memory_copy_text(text);
    return STATUS_OK;
}

/* This request's id, as nginx gave it: ties its log line to those of the index. */
static _Thread_local char trace[TRACE_LENGTH + 1];

static void take_trace(const http_request_t *request)
{
    const char *id = http_header(request, "X-Request-Id");
    size_t length = 0;
    for (; id && length < TRACE_LENGTH && isalnum((unsigned char)id[length]); length++)
        trace[length] = id[length];
    trace[length] = '\0';
    log_set_trace(trace);
}

bool dicomweb_admit(void *context, http_request_t *request)
{
    take_trace(request);
    const char *secret = ((dicomweb_t *)context)->gate_secret;
    if (!secret)
        return true;
    const char *given = http_header(request, "X-Zpacs-Gate");
    size_t length = strlen(secret);
    if (given && strlen(given) == length && crypto_equal(given, secret, length))
        return true;
    http_respond_error(request, 401, "this address serves the reverse proxy only");
    return false;
}

/* ---- the index --------------------------------------------------------------------------------- */

static index_pool_t *open_index(const dicomweb_config_t *config)
{
    AUTO_FREE char *socket = memory_format("ipc://%s/run/index.sock", config->service.data);
    AUTO_FREE char *keys = memory_format("%s/keys", config->service.data);
    return index_pool_create(config->index_endpoint[0] ? config->index_endpoint : socket,
                             config->service.keys[0] ? config->service.keys : keys,
                             (size_t)config->index_connections);
}

status_t dicomweb_index_take(dicomweb_t *dicomweb, int wait_ms, index_client_t **out_client)
{
    TRY(index_pool_take(dicomweb->index, wait_ms, out_client));
    index_client_set_trace(*out_client, trace);
    return STATUS_OK;
}

void dicomweb_index_give(dicomweb_t *dicomweb, index_client_t **client)
{
    index_pool_give(dicomweb->index, client);
}

status_t dicomweb_index_status(status_t status)
{
    if (status == STATUS_EXPIRED)
        return fail(STATUS_UNAVAILABLE, "the index does not answer; try again");
    return status;
}

/* ---- open and close ---------------------------------------------------------------------------- */

static void make_boundary(char out_boundary[40])
{
    uint8_t random[16];
    crypto_random(random, sizeof random);
    memcpy(out_boundary, "zpacs-", 6);
    crypto_hex(random, sizeof random, out_boundary + 6);
}

static status_t open_parts(dicomweb_t *dicomweb)
{
    const dicomweb_config_t *config = dicomweb->config;
    if (config->gate_secret_file[0])
        TRY(read_gate_secret(config->gate_secret_file, &dicomweb->gate_secret));
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
    dicomweb->frames = frame_cache_create((size_t)config->frame_cache_bytes);
    dicomweb->inflated =
        inflated_cache_create((size_t)config->inflated_bytes, DICOMWEB_INFLATE_WAIT_MS);
    make_boundary(dicomweb->boundary);
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
    if (it->packs.pool)
        dicomweb_packs_close(it);
    pack_space_close(&it->packs.space);
    pack_store_close(&it->store);
    location_cache_destroy(&it->locations);
    metadata_cache_destroy(&it->metadata);
    frame_cache_destroy(&it->frames);
    inflated_cache_destroy(&it->inflated);
    index_pool_destroy(&it->index);
    pthread_mutex_destroy(&it->packs.lock);
    free(it->gate_secret);
    free(it);
    *dicomweb = NULL;
}

void dicomweb_forget_locations(dicomweb_t *dicomweb)
{
    location_cache_clear(dicomweb->locations);
}
