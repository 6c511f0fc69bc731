#include "index/index.h"

#include "base/memory.h"
#include "log/log.h"

#include <stdlib.h>

/*
 * A decision becomes a record of a pack of our own, durable before any row changes; then it is read
 * like any other record.
 */

static status_t write(pack_writer_t *writer, pack_record_type_t type, const void *bytes,
                      size_t length, pack_record_t *out_record)
{
    TRY(pack_writer_begin(writer, type, length));
    return pack_writer_commit(writer, bytes, length, out_record);
}

static status_t write_once(index_t *index, pack_record_type_t type, const void *bytes,
                           size_t length, pack_record_t *out_record)
{
    pack_writer_t *writer = NULL;
    TRY(pack_pool_lease(index->pool, "index", &writer));
    *out_record = (pack_record_t){0};
    status_t status = write(writer, type, bytes, length, out_record);
    if (status == STATUS_OK) {
        ulid_t pack = pack_writer_pack(writer);
        recover_announce(index, &pack, pack_writer_durable_offset(writer));
    }
    AUTO_FREE char *detail = memory_copy_text(fail_detail());
    pack_pool_return(index->pool, "index", &writer);
    return status == STATUS_OK ? STATUS_OK : fail(status, "%s", detail);
}

/* A full disk must not keep anybody from making room: then the reserve is given up. */
static bool reserve_release(index_t *index)
{
    if (!index->reserve || !pack_reserve_is_filled(index->reserve))
        return false;
    AUTO_FREE char *detail = memory_copy_text(fail_detail());
    status_t status = pack_reserve_release(index->reserve);
    log_warning("reserve.released", LOG_TEXT("reason", detail));
    if (status != STATUS_OK)
        log_error("reserve.stuck", LOG_TEXT("reason", fail_detail()));
    return status == STATUS_OK;
}

static status_t take_in(index_t *index, const pack_record_t *record)
{
    uint64_t committed = 0;
    TRY(ingest_pack(index, &record->pack, record->next_offset, &committed));
    return committed >= record->next_offset
               ? STATUS_OK
               : fail(STATUS_UNAVAILABLE, "the decision is noted, not yet done");
}

status_t event_write(index_t *index, pack_record_type_t type, const ProtobufCMessage *message,
                     pack_record_t *out_record)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    if (length > PACK_PROVENANCE_MAX)
        return fail(STATUS_TOO_LARGE, "a decision of %zu bytes", length);
    AUTO_FREE uint8_t *bytes = memory_allocate(length + 1);
    protobuf_c_message_pack(message, bytes);
    status_t status = write_once(index, type, bytes, length, out_record);
    if (status == STATUS_UNAVAILABLE && reserve_release(index))
        status = write_once(index, type, bytes, length, out_record);
    return status;
}

status_t event_take_in(index_t *index, const pack_record_t *record)
{
    status_t status = take_in(index, record);
    if (status == STATUS_UNAVAILABLE && reserve_release(index))
        status = take_in(index, record); /* the database needs room, too */
    return status;
}

void reserve_start(index_t *index)
{
    status_t status =
        pack_reserve_open(index->config->service.data, PACK_RESERVE_SIZE, &index->reserve);
    if (status == STATUS_BUSY)
        return; /* another replica on this folder has it */
    if (status != STATUS_OK)
        log_warning("reserve.unavailable", LOG_TEXT("reason", fail_detail()));
    else if (!pack_reserve_is_filled(index->reserve))
        log_warning("reserve.empty", LOG_TEXT("reason", "too little room is free"));
}

void reserve_tend(index_t *index)
{
    if (!index->reserve) {
        reserve_start(index); /* its holder may have ended */
        return;
    }
    if (pack_reserve_is_filled(index->reserve))
        return;
    status_t status = pack_reserve_refill(index->reserve);
    if (status == STATUS_OK)
        log_info("reserve.refilled");
    else if (status != STATUS_BUSY)
        log_warning("reserve.unavailable", LOG_TEXT("reason", fail_detail()));
}
