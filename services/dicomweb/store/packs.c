#include "dicomweb/store/packs.h"

#include "base/clock.h"
#include "dicomweb/location/index_access.h"
#include "dicomweb/store/room.h"
#include "log/log.h"
#include "service/metrics.h"

#include <string.h>

/* All requests share one address: behind a proxy every uploader looks the same, and a lease ends
 * with its request anyway. */
#define LEASE_ADDRESS "stow"

enum {
    TELL_TIMEOUT_MS = 500,
    TELL_BUDGET_MS = 300, /* of one tick: the main loop has other duties */
    TICKS_BETWEEN_SEALS = 2,
    TICKS_BETWEEN_TELLING = 5, /* an index that lost its rows must hear of packs at rest */
    UNTOLD_MAX = 1024, /* more: the index finds them at its next start, once they are sealed */
};

/*
 * Packs whose durable end the index has not answered for: those of a dead process, and those of
 * requests that it left without an answer. Told again in tick until it answers, since the index
 * reads a live pack only up to the end that was announced to it.
 */
static pthread_mutex_t untold_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    ulid_t pack;
    uint64_t durable;
} untold[UNTOLD_MAX];
static size_t untold_count;
static unsigned ticks; /* of the main thread alone */

static metric_t failed_packs = METRIC_COUNTER(
    "zpacs_packs_failed_total", "Packs given up because a write or a sync of them has failed.");

void store_tell_later(const ulid_t *pack, uint64_t durable)
{
    pthread_mutex_lock(&untold_lock);
    size_t at = 0;
    while (at < untold_count && strcmp(untold[at].pack.text, pack->text) != 0)
        at++;
    if (at < UNTOLD_MAX) {
        if (at == untold_count)
            untold[untold_count++].durable = 0;
        untold[at].pack = *pack;
        if (untold[at].durable < durable)
            untold[at].durable = durable;
    }
    pthread_mutex_unlock(&untold_lock);
}

/* Takes one out; it comes back when telling fails. */
static bool take_untold(ulid_t *out_pack, uint64_t *out_durable)
{
    pthread_mutex_lock(&untold_lock);
    bool any = untold_count > 0;
    if (any) {
        untold_count--;
        *out_pack = untold[untold_count].pack;
        *out_durable = untold[untold_count].durable;
    }
    pthread_mutex_unlock(&untold_lock);
    return any;
}

static void note_taken_over(void *context, const ulid_t *pack, uint64_t durable)
{
    (void)context;
    if (durable == 0) {
        log_error("pack.unrecovered", LOG_TEXT("pack", pack->text),
                  LOG_TEXT("detail", fail_detail()));
        return;
    }
    log_info("pack.taken_over", LOG_TEXT("pack", pack->text), LOG_NUMBER("durable", durable));
    store_tell_later(pack, durable);
}

status_t dicomweb_packs_open(dicomweb_t *dicomweb)
{
    TRY(store_room_open(dicomweb));
    TRY(pack_pool_open(dicomweb->data_folder, &dicomweb->packs.pool, note_taken_over, NULL));
    pack_pool_seal_after(dicomweb->packs.pool, dicomweb->config->pack_open_seconds * 1000);
    return STATUS_OK;
}

static bool tell(dicomweb_t *dicomweb, const ulid_t *pack, uint64_t durable)
{
    index_client_t *client = NULL;
    Index__PackIndexed *reply = NULL;
    if (dicomweb_index_take(dicomweb, TELL_BUDGET_MS, &client) != STATUS_OK)
        return false;
    status_t status =
        index_client_pack_appended(client, pack->text, durable, 0, TELL_TIMEOUT_MS, &reply);
    dicomweb_index_give(dicomweb, &client);
    if (status != STATUS_OK)
        return false;
    index__pack_indexed__free_unpacked(reply, NULL);
    return true;
}

static void tell_untold(dicomweb_t *dicomweb)
{
    int64_t end_ms = clock_monotonic_ms() + TELL_BUDGET_MS;
    ulid_t pack;
    uint64_t durable;
    while (clock_monotonic_ms() < end_ms && take_untold(&pack, &durable)) {
        if (!tell(dicomweb, &pack, durable)) {
            store_tell_later(&pack, durable);
            return;
        }
    }
}

static void tell_waiting(void *context, const ulid_t *pack, uint64_t durable)
{
    (void)context;
    if (durable > PACK_BLOCK_SIZE)
        store_tell_later(pack, durable);
}

/* Also what was answered once: the index reads a pack that we hold only up to what we say, and may
 * have lost its rows since. */
static void tell_all_later(dicomweb_t *dicomweb)
{
    pthread_mutex_lock(&dicomweb->packs.lock);
    pack_pool_visit(dicomweb->packs.pool, tell_waiting, NULL);
    pthread_mutex_unlock(&dicomweb->packs.lock);
}

void dicomweb_packs_tick(dicomweb_t *dicomweb)
{
    store_has_room(dicomweb); /* for the metrics, also while nobody stores */
    if (ticks % TICKS_BETWEEN_TELLING == 0) {
        tell_all_later(dicomweb);
        pack_store_tick(dicomweb->store);
    }
    tell_untold(dicomweb);
    if (++ticks % TICKS_BETWEEN_SEALS != 0)
        return;
    pthread_mutex_lock(&dicomweb->packs.lock);
    pack_pool_tick(dicomweb->packs.pool);
    pthread_mutex_unlock(&dicomweb->packs.lock);
}

void dicomweb_packs_close(dicomweb_t *dicomweb)
{
    pack_pool_close(&dicomweb->packs.pool);
    pack_space_close(&dicomweb->packs.space);
}

status_t store_lease(dicomweb_t *dicomweb, pack_writer_t **out_writer)
{
    pthread_mutex_lock(&dicomweb->packs.lock);
    status_t status = pack_pool_lease(dicomweb->packs.pool, LEASE_ADDRESS, out_writer);
    pthread_mutex_unlock(&dicomweb->packs.lock);
    return status;
}

void store_return(dicomweb_t *dicomweb, pack_writer_t **writer)
{
    if (!*writer)
        return;
    if (pack_writer_is_dead(*writer)) {
        metric_add(&failed_packs, 1);
        log_error("pack.failed", LOG_TEXT("pack", pack_writer_pack(*writer).text));
    }
    pthread_mutex_lock(&dicomweb->packs.lock);
    pack_pool_return(dicomweb->packs.pool, LEASE_ADDRESS, writer);
    pthread_mutex_unlock(&dicomweb->packs.lock);
}
