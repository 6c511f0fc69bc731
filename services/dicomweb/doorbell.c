#include "dicomweb/doorbell.h"

#include "base/clock.h"
#include "base/memory.h"
#include "client/index_doorbell.h"
#include "dicomweb/location/index_access.h"
#include "dicomweb/location/location_cache.h"
#include "dicomweb/metadata/metadata_cache.h"
#include "log/log.h"
#include "service/metrics.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The replica that numbers changes rings about every second, also when nothing has happened, so
 *
 *     trusted  =  a bell has come within TRUST_MS, no connection broke since, and all changes up to
 *                 its number have been forgotten here
 *
 * What another replica committed gets its number at the latest with the next bell: locations are as
 * old as a second, as they are without a doorbell. When the ringing replica hangs it is TRUST_MS.
 */
enum {
    WAIT_MS = 500,
    TRUST_MS = 3000,
    PAUSE_US = 100 * 1000, /* between two questions, however often it rings */
    CHANGES_MAX = 500,     /* more than that: everything is forgotten, without asking what */
    EPOCH_SIZE = 64
};

struct doorbell {
    dicomweb_t *dicomweb;
    char *endpoint, *keys;
    index_doorbell_t *bell; /* NULL until our key is there */
    pthread_t thread;
    atomic_bool stopping;
    char epoch[EPOCH_SIZE]; /* "": nothing was heard yet */
    uint64_t since;
    int64_t drained_ms; /* when nothing was waiting to be heard: what comes then is younger */
};

static metric_t bells = METRIC_COUNTER("zpacs_index_bells_total", "Bells of the index heard.");
static metric_t trusted =
    METRIC_GAUGE("zpacs_index_doorbell_heard", "1: changes of the index are heard of.");

/* ---- forgetting ---------------------------------------------------------------------------- */

static void forget_all(doorbell_t *doorbell, const Index__Changed *changed)
{
    location_cache_clear(doorbell->dicomweb->locations);
    snprintf(doorbell->epoch, sizeof doorbell->epoch, "%s", changed->epoch);
    doorbell->since = changed->last;
}

/* The /metadata that is kept is compared with the index at each use: only what was deleted goes. */
static void forget(const dicomweb_t *dicomweb, const Index__Change *change)
{
    bool is_deletion = strstr(change->kind, ".deleted") != NULL;
    if (*change->sop_instance_uid)
        location_cache_forget_instance(dicomweb->locations, change->sop_instance_uid);
    else if (is_deletion)
        location_cache_forget_below(dicomweb->locations, change->study_instance_uid,
                                    change->series_instance_uid);
    if (is_deletion)
        metadata_cache_forget(dicomweb->metadata, change->study_instance_uid,
                              change->series_instance_uid);
}

static status_t ask(const doorbell_t *doorbell, Index__ChangeList **out_list)
{
    index_client_t *client = NULL;
    Index__Scope scope = INDEX__SCOPE__INIT;
    Index__Changes query = INDEX__CHANGES__INIT;
    scope.kind = INDEX__SCOPE__KIND__ALL;
    query.scope = &scope;
    query.epoch = (char *)(uintptr_t)doorbell->epoch;
    query.since = doorbell->since;
    query.limit = CHANGES_MAX;
    TRY(dicomweb_index_take(doorbell->dicomweb, WAIT_MS, &client));
    status_t status = index_client_changes(client, &query, out_list);
    dicomweb_index_give(doorbell->dicomweb, &client);
    return status;
}

/* False: what has changed is not known; the next bell is another try. */
static bool follow(doorbell_t *doorbell, const Index__Changed *changed)
{
    if (strlen(changed->epoch) >= EPOCH_SIZE || !*changed->epoch)
        return false;
    if (strcmp(changed->epoch, doorbell->epoch) != 0 || changed->last < doorbell->since ||
        changed->last - doorbell->since > CHANGES_MAX) {
        forget_all(doorbell, changed);
        return true;
    }
    if (changed->last == doorbell->since)
        return true;
    Index__ChangeList *list = NULL;
    if (ask(doorbell, &list) != STATUS_OK)
        return false;
    bool is_same = strcmp(list->epoch, doorbell->epoch) == 0;
    for (size_t i = 0; i < list->n_changes && is_same; i++) {
        forget(doorbell->dicomweb, list->changes[i]);
        doorbell->since = list->changes[i]->sequence;
    }
    index__change_list__free_unpacked(list, NULL);
    return is_same && doorbell->since >= changed->last;
}

/* ---- the thread ---------------------------------------------------------------------------- */

static void trust(const doorbell_t *doorbell, int64_t until_ms)
{
    location_cache_trust(doorbell->dicomweb->locations, until_ms);
    metric_set(&trusted, clock_monotonic_ms() < until_ms);
}

static status_t open_bell(doorbell_t *doorbell)
{
    return index_doorbell_open(doorbell->endpoint, doorbell->keys, "dicomweb", &doorbell->bell);
}

static void listen_once(doorbell_t *doorbell)
{
    Index__Changed *changed = NULL;
    int64_t rung_after_ms = doorbell->drained_ms;
    status_t status = index_doorbell_wait(doorbell->bell, WAIT_MS, &changed);
    doorbell->drained_ms = clock_monotonic_ms();
    if (status == STATUS_UNAVAILABLE)
        trust(doorbell, 0);
    if (status != STATUS_OK)
        return;
    metric_add(&bells, 1);
    if (follow(doorbell, changed))
        trust(doorbell, rung_after_ms + TRUST_MS);
    index__changed__free_unpacked(changed, NULL);
    usleep(PAUSE_US);
}

static void *run(void *argument)
{
    doorbell_t *doorbell = argument;
    while (!atomic_load(&doorbell->stopping)) {
        if (!doorbell->bell && open_bell(doorbell) != STATUS_OK) {
            usleep(WAIT_MS * 1000);
            continue;
        }
        listen_once(doorbell);
    }
    return NULL;
}

/* ---- start and stop ------------------------------------------------------------------------ */

static doorbell_t *create(dicomweb_t *dicomweb)
{
    const dicomweb_config_t *config = dicomweb->config;
    doorbell_t *doorbell = memory_allocate(sizeof *doorbell);
    doorbell->dicomweb = dicomweb;
    doorbell->endpoint =
        *config->index_changes_endpoint
            ? memory_copy_text(config->index_changes_endpoint)
            : memory_format("ipc://%s/run/index-changes.sock", dicomweb->data_folder);
    doorbell->keys = *config->service.keys ? memory_copy_text(config->service.keys)
                                           : memory_format("%s/keys", dicomweb->data_folder);
    return doorbell;
}

static status_t start_thread(doorbell_t *doorbell)
{
    sigset_t all, before; /* signals are the main thread's business */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&doorbell->thread, NULL, run, doorbell);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error ? fail(STATUS_UNAVAILABLE, "no thread: %s", strerror(error)) : STATUS_OK;
}

static void destroy(doorbell_t *doorbell)
{
    index_doorbell_close(&doorbell->bell);
    free(doorbell->endpoint);
    free(doorbell->keys);
    free(doorbell);
}

/* A key that is not there yet is waited for, as everywhere; an address that is none is an error. */
status_t doorbell_start(dicomweb_t *dicomweb, doorbell_t **out_doorbell)
{
    const dicomweb_config_t *config = dicomweb->config;
    if (*config->index_endpoint && !*config->index_changes_endpoint)
        return STATUS_OK;
    metric_register(&bells);
    metric_register(&trusted);
    doorbell_t *doorbell = create(dicomweb);
    status_t status = open_bell(doorbell);
    if (status != STATUS_INVALID)
        status = start_thread(doorbell);
    if (status != STATUS_OK)
        destroy(doorbell);
    else
        *out_doorbell = doorbell;
    return status;
}

void doorbell_stop(doorbell_t **doorbell)
{
    if (!*doorbell)
        return;
    atomic_store(&(*doorbell)->stopping, true);
    pthread_join((*doorbell)->thread, NULL);
    destroy(*doorbell);
    *doorbell = NULL;
}
