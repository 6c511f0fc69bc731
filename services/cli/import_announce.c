/* zpacs import: the index is told, and the packs change. */
#include "import_file.h"

#include <unistd.h>

enum { INDEX_TIMEOUT_MS = 60000 };

static void count_outcomes(import_t *import, const Index__PackIndexed *reply)
{
    for (size_t i = 0; i < reply->n_outcomes; i++) {
        Index__Outcome__Kind kind = reply->outcomes[i]->kind;
        import->duplicates += kind == INDEX__OUTCOME__KIND__DUPLICATE;
        import->conflicts += kind == INDEX__OUTCOME__KIND__CONFLICT;
    }
}

/* BUSY: another replica of the index has the pack, for two seconds at most if it has died. */
static status_t tell(const import_t *import, const ulid_t *pack, uint64_t durable,
                     Index__PackIndexed **out_reply)
{
    enum { BUSY_TRIES = 25, BUSY_RETRY_US = 200 * 1000 };
    status_t status = STATUS_BUSY;
    for (int i = 0; i < BUSY_TRIES && status == STATUS_BUSY; i++) {
        if (i > 0)
            usleep(BUSY_RETRY_US);
        status = index_client_pack_appended(import->index, pack->text, durable,
                                            import->announced_offset, INDEX_TIMEOUT_MS, out_reply);
    }
    return status;
}

status_t import_announce(import_t *import)
{
    uint64_t durable = pack_writer_durable_offset(import->writer);
    if (durable == import->announced_offset)
        return STATUS_OK;
    ulid_t pack = pack_writer_pack(import->writer);
    uint64_t committed = import->announced_offset;
    while (committed < durable) {
        Index__PackIndexed *reply = NULL;
        TRY(tell(import, &pack, durable, &reply));
        bool moved = reply->committed_offset > committed;
        committed = reply->committed_offset;
        count_outcomes(import, reply);
        index__pack_indexed__free_unpacked(reply, NULL);
        if (!moved)
            return fail(STATUS_UNAVAILABLE, "the index does not take in pack %s", pack.text);
        import->announced_offset = committed;
    }
    return STATUS_OK;
}

status_t import_next_pack(import_t *import)
{
    if (import->writer) {
        TRY(import_announce(import));
        pack_pool_return(import->pool, "import", &import->writer);
    }
    TRY(pack_pool_lease(import->pool, "import", &import->writer));
    import->announced_offset = pack_writer_durable_offset(import->writer);
    return STATUS_OK;
}
