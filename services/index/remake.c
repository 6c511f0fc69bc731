#include "index/index.h"

#include "base/memory.h"
#include "dicom/file.h"
#include "dicom/instance.h"
#include "dicom/reader.h"
#include "dicom/replace.h"
#include "pack.pb-c.h"
#include "pack/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A record under another SOP Instance UID; the same bytes but for that one element. How and in which
 * order stands in proto/pack.proto, "How KEEP_BOTH is done". */

/* "2.25." and 128 bits in decimal.                                        RFC 9562 5.8, PS3.5 B.2 */
static void uid_make(const pack_record_t *old, uid_text_t out_uid)
{
    uint8_t digest[SHA256_SIZE];
    char digits[40];
    AUTO_FREE char *name =
        memory_format("%s/%llu", old->origin_pack.text, (unsigned long long)old->origin_sequence);
    crypto_sha256(name, strlen(name), digest);
    digest[6] = (uint8_t)((digest[6] & 0x0F) | 0x80);
    digest[8] = (uint8_t)((digest[8] & 0x3F) | 0x80);
    unsigned __int128 number = 0;
    for (int i = 0; i < 16; i++)
        number = number << 8 | digest[i];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + (int)(number % 10));
        number /= 10;
    } while (number);
    snprintf(out_uid, sizeof(uid_text_t), "2.25.%s", digits + at);
}

static status_t provenance_make(index_t *index, const pack_record_t *old, const char *uid,
                                uint8_t **out_bytes, size_t *out_length)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    TRY(pack_store_provenance(index->store, old, &bytes, &length));
    Pack__Provenance *read = pack__provenance__unpack(&pack_memory, length, bytes);
    free(bytes);
    if (!read)
        return fail(STATUS_INVALID, "the provenance is not readable");
    Pack__Provenance made = *read;
    Pack__Origin from = PACK__ORIGIN__INIT;
    from.pack = (char *)(uintptr_t)old->origin_pack.text;
    from.sequence = old->origin_sequence;
    made.source = (char *)"resolve";
    made.made_from = &from;
    made.made_from_sop_instance_uid = read->sop_instance_uid;
    made.sop_instance_uid = (char *)(uintptr_t)uid;
    made.file_meta = (ProtobufCBinaryData){0, NULL};
    *out_length = pack__provenance__get_packed_size(&made);
    *out_bytes = memory_allocate(*out_length);
    pack__provenance__pack(&made, *out_bytes);
    pack__provenance__free_unpacked(read, &pack_memory);
    return STATUS_OK;
}

/* PixelData has moved with what stands before it. */
static void offsets_move(const pack_record_t *old, const dicom_replaced_t *replaced,
                         pack_record_t *record)
{
    memcpy(record->transfer_syntax_uid, old->transfer_syntax_uid, sizeof(uid_text_t));
    if (!old->pixel_data_offset)
        return;
    record->pixel_data_offset = old->pixel_data_offset - replaced->old_length + replaced->length;
    record->pixel_value_offset = old->pixel_value_offset - replaced->old_length + replaced->length;
    record->pixel_value_length = old->pixel_value_length;
}

static status_t record_write(pack_writer_t *writer, const pack_record_t *old,
                             const pack_view_t *view, const char *uid, const uint8_t *provenance,
                             size_t length, pack_record_t *out_record)
{
    dicom_replaced_t replaced;
    TRY(dicom_replace_uid(view->bytes, view->length, old->transfer_syntax_uid,
                          DICOM_TAG(0x0008, 0x0018), uid, &replaced));
    size_t rest = replaced.offset + replaced.old_length;
    *out_record = (pack_record_t){0};
    offsets_move(old, &replaced, out_record);
    TRY(pack_writer_begin(writer, PACK_RECORD_INSTANCE, length));
    TRY(pack_writer_append(writer, view->bytes, replaced.offset));
    TRY(pack_writer_append(writer, replaced.bytes, replaced.length));
    TRY(pack_writer_append(writer, view->bytes + rest, view->length - rest));
    return pack_writer_commit(writer, provenance, length, out_record);
}

static status_t write_to_own_pack(index_t *index, const pack_record_t *old, const pack_view_t *view,
                                  const char *uid, const uint8_t *provenance, size_t length,
                                  pack_record_t *out_made)
{
    pack_writer_t *writer = NULL;
    TRY(pack_pool_lease(index->pool, "index", &writer));
    ulid_t pack = pack_writer_pack(writer);
    status_t status = record_write(writer, old, view, uid, provenance, length, out_made);
    AUTO_FREE char *detail = memory_copy_text(fail_detail());
    if (status == STATUS_OK)
        recover_announce(index, &pack, pack_writer_durable_offset(writer));
    else
        (void)pack_writer_abort(writer);
    pack_pool_return(index->pool, "index", &writer);
    return status == STATUS_OK ? STATUS_OK : fail(status, "%s", detail);
}

status_t remake_run(index_t *index, const pack_record_t *old, uid_text_t out_sop_instance_uid,
                    pack_record_t *out_made)
{
    pack_view_t view = {0};
    AUTO_FREE uint8_t *provenance = NULL;
    size_t length = 0;
    uid_make(old, out_sop_instance_uid);
    TRY(pack_store_verify(index->store, old));
    TRY(provenance_make(index, old, out_sop_instance_uid, &provenance, &length));
    TRY(pack_store_view(index->store, &old->pack, old->dataset_offset, (size_t)old->dataset_length,
                        &view));
    status_t status =
        write_to_own_pack(index, old, &view, out_sop_instance_uid, provenance, length, out_made);
    pack_view_release(&view);
    return status;
}
