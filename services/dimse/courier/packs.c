#include "dimse/courier/packs.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"
#include "pack/pool.h"
#include "service/metrics.h"

#include <stdlib.h>
#include <sys/stat.h>

struct packs {
    const char *data_folder;
    announcements_t *announcements;
    pack_pool_t *pool;
};

static metric_t alarms = METRIC_COUNTER("zpacs_pack_alarms_total",
                                        "Packs that could not be recovered, or false offsets.");
static metric_t failed_packs = METRIC_COUNTER(
    "zpacs_packs_failed_total", "Packs given up because a write or a sync of them has failed.");

/* ---- open and close ---------------------------------------------------------------------------- */

static void note_taken_over(void *context, const ulid_t *pack, uint64_t durable)
{
    packs_t *packs = context;
    if (durable == 0) {
        metric_add(&alarms, 1);
        log_error("pack.unrecovered", LOG_TEXT("pack", pack->text),
                  LOG_TEXT("detail", fail_detail()));
        return;
    }
    log_info("pack.taken_over", LOG_TEXT("pack", pack->text), LOG_NUMBER("durable", durable));
    announcements_put(packs->announcements, pack, durable);
}

status_t packs_open(const dimse_config_t *config, announcements_t *announcements,
                    packs_t **out_packs)
{
    const char *data_folder = config->service.data;
    metric_register(&alarms);
    metric_register(&failed_packs);
    packs_t *packs = memory_allocate(sizeof *packs);
    packs->data_folder = data_folder;
    packs->announcements = announcements;
    status_t status = pack_pool_open(data_folder, &packs->pool, note_taken_over, packs);
    if (status != STATUS_OK) {
        free(packs);
        return status;
    }
    pack_pool_seal_after(packs->pool, config->pack_open_seconds * 1000);
    *out_packs = packs;
    return STATUS_OK;
}

void packs_close(packs_t **packs)
{
    if (!*packs)
        return;
    pack_pool_close(&(*packs)->pool);
    free(*packs);
    *packs = NULL;
}

/* ---- to lend ----------------------------------------------------------------------------------- */

static void note_lent(lease_t *lease, int64_t waited_since_ms)
{
    lease->start = lease->announced = pack_writer_durable_offset(lease->writer);
    lease->waited_since_ms = waited_since_ms;
    lease->is_recalled = false;
}

status_t packs_lend_waiting(packs_t *packs, lease_t *lease)
{
    int64_t since_ms;
    TRY(pack_pool_lease_waiting(packs->pool, lease->peer, &lease->writer, &since_ms));
    note_lent(lease, since_ms);
    return STATUS_OK;
}

status_t packs_lend_new(packs_t *packs, lease_t *lease)
{
    TRY(pack_pool_lease_new(packs->pool, &lease->writer));
    note_lent(lease, 0);
    return STATUS_OK;
}

/* ---- to announce ------------------------------------------------------------------------------- */

static void announce(packs_t *packs, lease_t *lease, uint64_t durable)
{
    if (durable <= lease->announced)
        return;
    ulid_t pack = pack_writer_pack(lease->writer);
    lease->announced = durable;
    announcements_put(packs->announcements, &pack, durable);
}

bool packs_note_durable(packs_t *packs, lease_t *lease, uint64_t offset)
{
    struct stat file;
    if (!lease->writer || fstat(pack_writer_fd(lease->writer), &file) < 0 ||
        offset > (uint64_t)file.st_size || offset % PACK_BLOCK_SIZE) {
        metric_add(&alarms, 1);
        log_error("pack.false_offset", LOG_TEXT("association", lease->association),
                  LOG_NUMBER("offset", offset));
        return false;
    }
    announce(packs, lease, offset);
    return true;
}

static void announce_waiting(void *context, const ulid_t *pack, uint64_t durable)
{
    packs_t *packs = context;
    if (durable > PACK_BLOCK_SIZE)
        announcements_put(packs->announcements, pack, durable);
}

void packs_announce_again(packs_t *packs)
{
    pack_pool_visit(packs->pool, announce_waiting, packs);
}

void packs_announce_lease_again(packs_t *packs, const lease_t *lease)
{
    if (!lease->writer)
        return;
    ulid_t pack = pack_writer_pack(lease->writer);
    announce_waiting(packs, &pack, lease->announced);
}

/* ---- to take back ------------------------------------------------------------------------------ */

void packs_note_failed(lease_t *lease, const char *why)
{
    if (!lease->writer)
        return;
    lease->has_failed = true;
    metric_add(&failed_packs, 1);
    log_error("pack.failed", LOG_TEXT("pack", pack_writer_pack(lease->writer).text),
              LOG_TEXT("association", lease->association), LOG_TEXT("detail", why));
}

static void give_to_pool(packs_t *packs, lease_t *lease, child_end_t end)
{
    uint64_t durable = pack_writer_durable_offset(lease->writer);
    if (lease->has_failed || (end == CHILD_ALIVE && !pack_writer_is_due(lease->writer)))
        pack_pool_discard(packs->pool, &lease->writer);
    else if (lease->waited_since_ms && durable == lease->start &&
             !pack_writer_is_dead(lease->writer))
        pack_pool_return_unused(packs->pool, lease->peer, &lease->writer, lease->waited_since_ms);
    else
        pack_pool_return(packs->pool, lease->peer, &lease->writer);
    lease->has_failed = false;
}

/* Announces what is there; false: an alarm was raised. */
static bool look_over(packs_t *packs, lease_t *lease)
{
    uint64_t quarantined = 0;
    ulid_t pack = pack_writer_pack(lease->writer);
    status_t status =
        pack_writer_refresh(packs->data_folder, lease->writer, lease->announced, &quarantined);
    if (status == STATUS_OK)
        announce(packs, lease, pack_writer_durable_offset(lease->writer));
    if (status != STATUS_OK || quarantined) {
        metric_add(&alarms, 1);
        log_error("pack.damaged", LOG_TEXT("pack", pack.text),
                  LOG_TEXT("association", lease->association),
                  LOG_NUMBER("quarantined", quarantined),
                  LOG_TEXT("detail", status == STATUS_OK ? "" : fail_detail()));
    }
    return status == STATUS_OK && !quarantined;
}

void packs_take_back(packs_t *packs, lease_t *lease, child_end_t end)
{
    if (!lease->writer)
        return;
    look_over(packs, lease);
    give_to_pool(packs, lease, end);
}

bool packs_settle(packs_t *packs, lease_t *lease)
{
    struct stat file;
    if (!lease->writer)
        return true;
    if (fstat(pack_writer_fd(lease->writer), &file) < 0 || !look_over(packs, lease) ||
        lease->has_failed || lease->is_recalled || pack_writer_is_due(lease->writer))
        return false;
    uint64_t durable = pack_writer_durable_offset(lease->writer);
    if (durable != (uint64_t)file.st_size) /* between two associations nothing is half done */
        return false;
    bool was_used = durable != lease->start || !lease->waited_since_ms;
    note_lent(lease, was_used ? clock_monotonic_ms() : lease->waited_since_ms);
    return true;
}

bool packs_is_overdue(const lease_t *lease)
{
    return lease->writer && !lease->is_recalled && pack_writer_is_due(lease->writer);
}

void packs_tick(packs_t *packs)
{
    pack_pool_tick(packs->pool);
}
