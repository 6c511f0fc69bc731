#include "dicomweb/store/store.h"

#include "base/clock.h"
#include "dicomweb/location/index_access.h"
#include "dicomweb/store/packs.h"

#include <unistd.h>

/* Results and outcomes both lie in the order of the pack: one walk over the two. */
static void apply_outcomes(store_t *store, const Index__PackIndexed *reply)
{
    size_t i = store->confirmed_count;
    for (size_t k = 0; k < reply->n_outcomes; k++) {
        const Index__Outcome *outcome = reply->outcomes[k];
        while (i < store->count && store->results[i].offset < outcome->offset)
            i++; /* one that failed has offset 0 */
        if (i == store->count || store->results[i].offset != outcome->offset)
            continue;
        store_result_t *result = &store->results[i];
        result->conflict = outcome->kind == INDEX__OUTCOME__KIND__CONFLICT;
        result->confirmed = result->conflict || outcome->kind == INDEX__OUTCOME__KIND__STORED ||
                            outcome->kind == INDEX__OUTCOME__KIND__DUPLICATE;
    }
}

/* One question. *out_committed: the index has everything before it. Fails: EXPIRED, and as the
 * index does. */
static status_t ask(store_t *store, uint64_t from, int64_t deadline_ms, uint64_t *out_committed)
{
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    index_client_t *client = NULL;
    Index__PackIndexed *reply = NULL;
    if (left_ms <= 0)
        return fail(STATUS_EXPIRED, "the index has not taken it in time");
    TRY(dicomweb_index_take(store->dicomweb, (int)left_ms, &client));
    left_ms = deadline_ms - clock_monotonic_ms();
    ulid_t pack = pack_writer_pack(store->writer);
    status_t status =
        index_client_pack_appended(client, pack.text, pack_writer_durable_offset(store->writer),
                                   from, left_ms > 1 ? (int)left_ms : 1, &reply);
    dicomweb_index_give(store->dicomweb, &client);
    TRY(status);
    apply_outcomes(store, reply);
    *out_committed = reply->committed_offset;
    index__pack_indexed__free_unpacked(reply, NULL);
    return STATUS_OK;
}

/* BUSY: the pack is another replica's for up to two seconds more, after that one has died. */
static bool ask_until(store_t *store, uint64_t from, int64_t deadline_ms, uint64_t *out_committed)
{
    enum { BUSY_RETRY_US = 200 * 1000 };
    for (;;) {
        status_t status = ask(store, from, deadline_ms, out_committed);
        if (status != STATUS_BUSY)
            return status == STATUS_OK;
        usleep(BUSY_RETRY_US);
    }
}

void store_confirm(store_t *store, bool last)
{
    if (!store->writer)
        return;
    uint64_t durable = pack_writer_durable_offset(store->writer);
    if (durable == store->confirmed_offset || (store->index_silent && !last))
        return;
    int64_t deadline_ms = clock_monotonic_ms() + STORE_CONFIRM_MS;
    uint64_t from = store->confirmed_offset;
    while (from < durable) {
        uint64_t committed = 0;
        /* It commits in batches; one that does not get on will not for being asked at once. */
        if (!ask_until(store, from, deadline_ms, &committed) || committed <= from) {
            ulid_t pack = pack_writer_pack(store->writer);
            store_tell_later(&pack, durable);
            store->index_silent = true;
            break;
        }
        from = committed;
    }
    store->confirmed_offset = durable;
    store->confirmed_count = store->count;
}
