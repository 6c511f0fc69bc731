#include "index/index.h"

#include "base/memory.h"
#include "crypto/crypto.h"
#include "dicom/file.h"
#include "dicom/instance.h"
#include "dicom/reader.h"
#include "dicom/replace.h"
#include "dicom/transfer_syntax.h"
#include "pack.pb-c.h"
#include "pack/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A record under another SOP Instance UID; the same dataset but for that one element. How and in which
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

/* What the new record is made from: the dataset as it can be read element by element. */
typedef struct {
    const pack_record_t *old;
    const uint8_t *bytes;
    size_t length;
    const char *transfer_syntax_uid;
    const char *uid;
    uint8_t *provenance;
    size_t provenance_length;
} remake_t;

/* A deflated dataset is stored inflated. Deflated anew its bytes would depend on the zlib of the day,
 * and a repeat after a crash must give the same ones.                                  PS3.5 A.5 */
static status_t dataset_open(const pack_record_t *old, const pack_view_t *view, buffer_t *inflated,
                             remake_t *remake)
{
    remake->bytes = view->bytes;
    remake->length = view->length;
    remake->transfer_syntax_uid = old->transfer_syntax_uid;
    if (!dicom_transfer_syntax_find(old->transfer_syntax_uid)->deflated)
        return STATUS_OK;
    TRY(dicom_inflate(view->bytes, view->length, DICOM_INFLATE_MAX, EXTRACT_INFLATE_RATIO,
                      inflated));
    remake->bytes = (const uint8_t *)buffer_text(inflated);
    remake->length = inflated->length;
    remake->transfer_syntax_uid = DICOM_EXPLICIT_LITTLE;
    return STATUS_OK;
}

/* PixelData has moved with what stands before it; of a deflated dataset these count inflated bytes. */
static void header_fill(const remake_t *remake, const dicom_replaced_t *replaced,
                        pack_record_t *record)
{
    const pack_record_t *old = remake->old;
    *record = (pack_record_t){0};
    snprintf(record->transfer_syntax_uid, sizeof(uid_text_t), "%s", remake->transfer_syntax_uid);
    if (!old->pixel_data_offset)
        return;
    record->pixel_data_offset = old->pixel_data_offset - replaced->old_length + replaced->length;
    record->pixel_value_offset = old->pixel_value_offset - replaced->old_length + replaced->length;
    record->pixel_value_length = old->pixel_value_length;
}

static status_t record_write(pack_writer_t *writer, const remake_t *remake,
                             pack_record_t *out_record)
{
    dicom_replaced_t replaced;
    TRY(dicom_replace_uid(remake->bytes, remake->length, remake->transfer_syntax_uid,
                          DICOM_TAG(0x0008, 0x0018), remake->uid, &replaced));
    size_t rest = replaced.offset + replaced.old_length;
    header_fill(remake, &replaced, out_record);
    TRY(pack_writer_begin(writer, PACK_RECORD_INSTANCE, remake->provenance_length));
    TRY(pack_writer_append(writer, remake->bytes, replaced.offset));
    TRY(pack_writer_append(writer, replaced.bytes, replaced.length));
    TRY(pack_writer_append(writer, remake->bytes + rest, remake->length - rest));
    return pack_writer_commit(writer, remake->provenance, remake->provenance_length, out_record);
}

static status_t write_to_own_pack(index_t *index, const remake_t *remake, pack_record_t *out_made)
{
    pack_writer_t *writer = NULL;
    TRY(pack_pool_lease(index->pool, "index", &writer));
    ulid_t pack = pack_writer_pack(writer);
    status_t status = record_write(writer, remake, out_made);
    AUTO_FREE char *detail = memory_copy_text(fail_detail());
    if (status == STATUS_OK)
        recover_announce(index, &pack, pack_writer_durable_offset(writer));
    else
        (void)pack_writer_abort(writer);
    pack_pool_return(index->pool, "index", &writer);
    return status == STATUS_OK ? STATUS_OK : fail(status, "%s", detail);
}

static status_t remake_from_view(index_t *index, const pack_view_t *view, remake_t *remake,
                                 pack_record_t *out_made)
{
    AUTO_BUFFER inflated = {0};
    TRY(dataset_open(remake->old, view, &inflated, remake));
    return write_to_own_pack(index, remake, out_made);
}

status_t remake_run(index_t *index, const pack_record_t *old, uid_text_t out_sop_instance_uid,
                    pack_record_t *out_made)
{
    pack_view_t view = {0};
    AUTO_FREE uint8_t *provenance = NULL;
    remake_t remake = {.old = old, .uid = out_sop_instance_uid};
    uid_make(old, out_sop_instance_uid);
    TRY(pack_store_verify(index->store, old));
    TRY(provenance_make(index, old, out_sop_instance_uid, &provenance, &remake.provenance_length));
    remake.provenance = provenance;
    TRY(pack_store_view(index->store, &old->pack, old->dataset_offset, (size_t)old->dataset_length,
                        &view));
    status_t status = remake_from_view(index, &view, &remake, out_made);
    pack_view_release(&view);
    return status;
}
