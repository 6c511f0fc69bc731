/* dicomweb: QIDO-RS, WADO-RS, STOW-RS and the study API. README.md says how to find one's way. */
#include "base/memory.h"
#include "dicomweb/dicomweb.h"
#include "dicomweb/location/index_access.h"
#include "log/log.h"
#include "service/metrics.h"

#include <stdbool.h>
#include <stdlib.h>

enum {
    READ_TIMEOUT_MS = 60 * 1000,
    PACE_BYTES =
        30 * 1024, /* of a body, within PACE_MS: no link over which images are sent is as slow */
    PACE_MS = 30 * 1000,
    SERVER_ERROR = 500
};

typedef struct {
    dicomweb_t *dicomweb;
    http_server_t *server, *stow_server;
} state_t;

static metric_t requests = METRIC_COUNTER("zpacs_http_requests_total", "Requests answered.");
static metric_t errors = METRIC_COUNTER("zpacs_http_errors_total", "Requests answered with 5xx.");
static metric_t sent = METRIC_COUNTER("zpacs_http_sent_bytes_total", "Bytes of answers.");
static metric_t duration =
    METRIC_HISTOGRAM("zpacs_http_request_seconds", "From the request's head to the last byte.");

/* The template of the path goes into the log, never the query: it may hold a patient's name. */
static void finished(void *context, const http_request_t *request, const http_route_t *route,
                     int status, uint64_t sent_bytes, int64_t duration_us)
{
    (void)context;
    metric_add(&requests, 1);
    metric_add(&sent, (int64_t)sent_bytes);
    metric_observe_us(&duration, duration_us);
    if (status >= SERVER_ERROR)
        metric_add(&errors, 1);
    log_write(status >= SERVER_ERROR ? LOG_WARNING : LOG_DEBUG, "http.answered",
              (const log_field_t[]){LOG_TEXT("method", http_method(request)),
                                    LOG_TEXT("route", route ? route->path : "none"),
                                    LOG_NUMBER("status", status),
                                    LOG_NUMBER("sent_bytes", sent_bytes),
                                    LOG_NUMBER("duration_us", duration_us),
                                    {NULL, NULL, 0}});
}

static status_t start_server(dicomweb_t *dicomweb, const char *address, int64_t threads,
                             const http_route_t *routes, http_server_t **out_server)
{
    const http_server_options_t options = {.address = address,
                                           .threads = (int)threads,
                                           .routes = routes,
                                           .context = dicomweb,
                                           .read_timeout_ms = READ_TIMEOUT_MS,
                                           .pace_bytes = PACE_BYTES,
                                           .pace_ms = PACE_MS,
                                           .admit = dicomweb_admit,
                                           .finished = finished};
    return http_server_start(&options, out_server);
}

static void stop(void *pointer)
{
    state_t *state = pointer;
    http_server_stop(&state->server);
    http_server_stop(&state->stow_server);
    dicomweb_close(&state->dicomweb);
    free(state);
}

static status_t start_all(const dicomweb_config_t *config, state_t *state)
{
    TRY(dicomweb_open(config, &state->dicomweb));
    TRY(start_server(state->dicomweb, config->stow_address, config->stow_threads,
                     dicomweb_stow_routes, &state->stow_server));
    return start_server(state->dicomweb, config->address, config->threads, dicomweb_routes,
                        &state->server);
}

static status_t start(void *config, void **out_state)
{
    state_t *state = memory_allocate(sizeof *state);
    metric_register(&requests);
    metric_register(&errors);
    status_t status = start_all(config, state);
    if (status != STATUS_OK)
        stop(state);
    else
        *out_state = state;
    return status;
}

static void drain(void *pointer)
{
    state_t *state = pointer;
    http_server_drain(state->server);
    http_server_drain(state->stow_server);
}

static bool is_drained(void *pointer)
{
    state_t *state = pointer;
    return http_server_is_drained(state->server) && http_server_is_drained(state->stow_server);
}

/* Ready means that the index answers. */
static status_t health(void *pointer)
{
    state_t *state = pointer;
    Index__Statistics *statistics = NULL;
    TRY(dicomweb_index_statistics(state->dicomweb, &statistics));
    index__statistics__free_unpacked(statistics, NULL);
    return STATUS_OK;
}

static void tick(void *pointer)
{
    state_t *state = pointer;
    dicomweb_packs_tick(state->dicomweb);
}

static const service_t service = {
    .name = "dicomweb",
    .config = dicomweb_config_fields,
    .config_size = sizeof(dicomweb_config_t),
    .start = start,
    .drain = drain,
    .is_drained = is_drained,
    .stop = stop,
    .health = health,
    .loop_tick = tick,
};

int main(int argc, char **argv)
{
    return service_main(&service, argc, argv);
}
