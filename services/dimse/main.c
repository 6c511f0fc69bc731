/*
 * dimse: the DICOM port. README.md has the picture of its processes.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "dimse/courier/courier.h"
#include "dimse/door/listener.h"
#include "dimse/zygote/zygote.h"
#include "log/log.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    rules_t rules;
    limits_t *limits;
    refused_t *refused;
    pid_t zygote_pid;
    int zygote_channel;
    courier_t *courier;
    listener_t *listener;
} dimse_t;

static void dimse_stop(void *state)
{
    dimse_t *dimse = state;
    listener_stop(&dimse->listener);
    courier_stop(&dimse->courier, dimse->zygote_pid);
    if (dimse->zygote_pid > 0) {
        close(dimse->zygote_channel);
        waitpid(dimse->zygote_pid, NULL, 0);
    }
    limits_destroy(&dimse->limits);
    refused_destroy(&dimse->refused);
    rules_destroy(&dimse->rules);
    free(dimse);
}

static status_t start_all(const dimse_config_t *config, dimse_t *dimse)
{
    TRY(zygote_start(config, &dimse->zygote_pid, &dimse->zygote_channel));
    dimse->limits = limits_create((size_t)config->max_associations,
                                  (size_t)config->max_associations_per_address);
    dimse->refused = refused_create();
    TRY(courier_create(config, dimse->limits, dimse->refused, dimse->zygote_channel,
                       &dimse->courier));
    const listener_options_t options = {config, &dimse->rules, dimse->limits, dimse->refused,
                                        dimse->courier};
    TRY(listener_create(&options, &dimse->listener));
    TRY(courier_start(dimse->courier));
    return listener_start(dimse->listener);
}

static status_t dimse_check(const void *config)
{
    rules_t rules;
    TRY(rules_create(config, &rules));
    rules_destroy(&rules);
    return STATUS_OK;
}

static status_t dimse_start(void *config, void **out_state)
{
    dimse_t *dimse = memory_allocate(sizeof *dimse);
    status_t status = rules_create(config, &dimse->rules);
    if (status == STATUS_OK)
        status = start_all(config, dimse);
    if (status == STATUS_OK)
        *out_state = dimse;
    else
        dimse_stop(dimse);
    return status;
}

static void dimse_drain(void *state)
{
    dimse_t *dimse = state;
    listener_drain(dimse->listener);
    courier_drain(dimse->courier);
}

static bool dimse_is_drained(void *state)
{
    dimse_t *dimse = state;
    return limits_in_use(dimse->limits) == 0;
}

static status_t dimse_health(void *state)
{
    const dimse_t *dimse = state;
    return courier_has_zygote(dimse->courier) ? STATUS_OK
                                              : fail(STATUS_UNAVAILABLE, "the zygote is gone");
}

static void dimse_write_refused(void *state, buffer_t *out_json)
{
    const dimse_t *dimse = state;
    refused_append_json(dimse->refused, clock_wall_us(), out_json);
}

static const service_page_t pages[] = {{"/refused", dimse_write_refused}, {NULL, NULL}};

static const service_t service = {
    .name = "dimse",
    .config = dimse_config_fields,
    .config_size = sizeof(dimse_config_t),
    .check = dimse_check,
    .start = dimse_start,
    .drain = dimse_drain,
    .is_drained = dimse_is_drained,
    .stop = dimse_stop,
    .health = dimse_health,
    .pages = pages,
};

int main(int argc, char **argv)
{
    return service_main(&service, argc, argv);
}
