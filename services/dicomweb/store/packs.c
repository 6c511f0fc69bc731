#include "dicomweb/store/store.h"

#include "base/memory.h"
#include "log/log.h"

#include <stdlib.h>
#include <string.h>

/* All requests share one address: behind a proxy every uploader looks the same, and a lease ends
 * with its request anyway. */
#define LEASE_ADDRESS "stow"

enum {
    TELL_TIMEOUT_MS = 500,
    TICKS_BETWEEN_SEALS = 60,
    TAKEN_OVER_MAX = 1024, /* told to the index by name; it finds the others at its next start */
};

/* Packs of a dead process, to be told to the index as soon as it is there. Touched by the main
 * thread alone, at start and in tick. */
static struct {
    ulid_t pack;
    uint64_t durable;
} taken_over[TAKEN_OVER_MAX];
static size_t taken_over_count;
static unsigned ticks;

static void note_taken_over(void *context, const ulid_t *pack, uint64_t durable)
{
    (void)context;
    if (durable == 0) {
        log_error("pack.not_recovered", LOG_TEXT("pack", pack->text),
                  LOG_TEXT("detail", fail_detail()));
        return;
    }
    log_info("pack.taken_over", LOG_TEXT("pack", pack->text), LOG_NUMBER("durable", durable));
    if (taken_over_count < TAKEN_OVER_MAX) {
        taken_over[taken_over_count].pack = *pack;
        taken_over[taken_over_count++].durable = durable;
    }
}

status_t dicomweb_packs_open(dicomweb_t *dicomweb)
{
    return pack_pool_open(dicomweb->data_folder, &dicomweb->packs.pool, note_taken_over, NULL);
}

static bool tell_one(dicomweb_t *dicomweb)
{
    index_client_t *client = dicomweb_index(dicomweb);
    Index__PackIndexed *reply = NULL;
    size_t last = taken_over_count - 1;
    if (!client || index_client_pack_appended(client, taken_over[last].pack.text,
                                              taken_over[last].durable, 0, TELL_TIMEOUT_MS,
                                              &reply) != STATUS_OK)
        return false;
    index__pack_indexed__free_unpacked(reply, NULL);
    taken_over_count--;
    return true;
}

void dicomweb_packs_tick(dicomweb_t *dicomweb)
{
    if (taken_over_count > 0)
        tell_one(dicomweb); /* one a tick: the main loop has other duties */
    if (++ticks % TICKS_BETWEEN_SEALS != 0)
        return;
    pthread_mutex_lock(&dicomweb->packs.lock);
    pack_pool_tick(dicomweb->packs.pool);
    pthread_mutex_unlock(&dicomweb->packs.lock);
}

void dicomweb_packs_close(dicomweb_t *dicomweb)
{
    pack_pool_close(&dicomweb->packs.pool);
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
    pthread_mutex_lock(&dicomweb->packs.lock);
    pack_pool_return(dicomweb->packs.pool, LEASE_ADDRESS, writer);
    pthread_mutex_unlock(&dicomweb->packs.lock);
}
