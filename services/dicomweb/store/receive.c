#include "dicomweb/store/store.h"

#include "base/memory.h"
#include "base/text.h"
#include "dicomweb/store/packs.h"
#include "dicomweb/store/room.h"
#include "http/accept.h"
#include "pack/instance.h"

#include <stdlib.h>
#include <string.h>

enum {
    PROVENANCE_ROOM = 2048, /* beside the file meta: UIDs, addresses, times, preamble */
};

store_result_t *store_add_result(store_t *store)
{
    if (store->count == store->capacity) {
        store->capacity = store->capacity ? 2 * store->capacity : 64;
        store->results = memory_resize(store->results, store->capacity * sizeof *store->results);
    }
    store_result_t *result = &store->results[store->count++];
    memset(result, 0, sizeof *result);
    return result;
}

static void add_failure(store_t *store, uint16_t reason)
{
    store_result_t *result = store_add_result(store);
    result->failure = reason;
    memcpy(result->sop_class_uid, store->file.media_storage_sop_class_uid, sizeof(uid_text_t));
    memcpy(result->sop_instance_uid, store->file.media_storage_sop_instance_uid,
           sizeof(uid_text_t));
}

static void refuse_part(store_t *store, uint16_t reason)
{
    store->state = PART_REFUSED;
    store->refusal = reason;
}

/* The pack cannot be written: what follows in the body cannot be stored either, so reading ends. */
static status_t run_out(store_t *store, status_t status)
{
    store->out_of_resources = true;
    add_failure(store, STORE_REASON_OUT_OF_RESOURCES);
    return status;
}

/* ---- a part begins --------------------------------------------------------------------------- */

static bool part_is_dicom(const char *headers)
{
    char value[256];
    if (multipart_header(headers, "Content-Transfer-Encoding", value, sizeof value) &&
        !text_equal_ignore_case(value, "binary") && !text_equal_ignore_case(value, "8bit"))
        return false;
    if (!multipart_header(headers, "Content-Type", value, sizeof value))
        return true; /* then the type parameter of the request counts */
    http_accept_t type;
    return http_accept_parse(value, &type) == STATUS_OK && type.count == 1 &&
           strcmp(type.ranges[0].type, "application/dicom") == 0;
}

static status_t begin_part(void *context, const char *headers)
{
    store_t *store = context;
    buffer_clear(&store->head);
    store->file = (dicom_file_t){.dataset_offset = 0};
    store->state = PART_HEAD;
    if (!part_is_dicom(headers))
        refuse_part(store, STORE_REASON_NOT_UNDERSTOOD);
    return STATUS_OK;
}

/* ---- its bytes ------------------------------------------------------------------------------- */

static status_t ready_pack(store_t *store)
{
    if (!store_has_room(store->dicomweb))
        return fail(STATUS_UNAVAILABLE, "the disk is nearly full");
    if (store->writer && pack_writer_is_due(store->writer)) {
        store_confirm(store, true);
        store->confirmed_count = store->count; /* the offsets of the next pack are other records' */
        store_return(store->dicomweb, &store->writer);
    }
    if (store->writer)
        return STATUS_OK;
    TRY(store_lease(store->dicomweb, &store->writer));
    store->confirmed_offset = pack_writer_durable_offset(store->writer);
    return STATUS_OK;
}

/* The head is complete: finds the dataset in it and begins the record. */
static status_t begin_record(store_t *store)
{
    if (dicom_file_open(store->head.data, store->head.length, &store->file) != STATUS_OK) {
        refuse_part(store, STORE_REASON_NOT_UNDERSTOOD);
        return STATUS_OK;
    }
    size_t offset = store->file.dataset_offset;
    status_t status = ready_pack(store);
    if (status == STATUS_OK)
        status = pack_writer_begin(store->writer, PACK_RECORD_INSTANCE, offset + PROVENANCE_ROOM);
    if (status == STATUS_OK)
        status = pack_writer_append(store->writer, store->head.data + offset,
                                    store->head.length - offset);
    if (status != STATUS_OK)
        return run_out(store, status);
    store->state = PART_DATASET;
    return STATUS_OK;
}

static status_t take_bytes(void *context, const void *bytes, size_t length)
{
    store_t *store = context;
    const uint8_t *at = bytes;
    if (store->state == PART_HEAD) {
        size_t room = DICOM_FILE_HEAD_MAX - store->head.length;
        size_t taken = length < room ? length : room;
        buffer_append(&store->head, at, taken);
        at += taken;
        length -= taken;
        if (store->head.length == DICOM_FILE_HEAD_MAX)
            TRY(begin_record(store));
    }
    if (store->state != PART_DATASET || length == 0)
        return STATUS_OK;
    status_t status = pack_writer_append(store->writer, at, length);
    if (status == STATUS_TOO_LARGE) {
        refuse_part(store, STORE_REASON_OUT_OF_RESOURCES);
        status = pack_writer_abort(store->writer);
    }
    return status == STATUS_OK ? STATUS_OK : run_out(store, status);
}

/* ---- a part ends ----------------------------------------------------------------------------- */

/*
 * The study of the URL binds (PS3.18 10.5.1). The file meta does not: tools that rewrite a dataset
 * often leave the old UIDs in it. The dataset is what is stored; the meta is kept as provenance.
 */
static bool instance_agrees(const store_t *store, const dicom_instance_t *instance)
{
    return !store->study_instance_uid ||
           strcmp(store->study_instance_uid, instance->study_instance_uid) == 0;
}

static status_t commit_record(store_t *store, const dicom_instance_t *instance,
                              pack_record_t *out_record)
{
    Pack__Provenance provenance = PACK__PROVENANCE__INIT;
    provenance.source = (char *)"stow";
    provenance.peer_address = (char *)http_peer(store->request);
    provenance.association_id = store->id.text;
    pack_provenance_take_head(&provenance, &store->file, store->head.data);
    return pack_commit_instance(store->writer, instance, store->file.transfer_syntax_uid,
                                &provenance, out_record);
}

/* Why the record in progress may not be kept; NONE: it may. */
static status_t judge_record(store_t *store, dicom_instance_t *out_instance, uint16_t *out_reason)
{
    const uint8_t *dataset;
    size_t length;
    TRY(pack_writer_view(store->writer, &dataset, &length));
    *out_reason = STORE_REASON_NONE;
    if (dicom_instance_scan(dataset, length, store->file.transfer_syntax_uid, out_instance) !=
        STATUS_OK) {
        *out_reason = STORE_REASON_NOT_UNDERSTOOD;
        return STATUS_OK;
    }
    if (instance_agrees(store, out_instance))
        return STATUS_OK;
    *out_reason = STORE_REASON_MISMATCH;
    memcpy(store->file.media_storage_sop_class_uid, out_instance->sop_class_uid,
           sizeof(uid_text_t));
    memcpy(store->file.media_storage_sop_instance_uid, out_instance->sop_instance_uid,
           sizeof(uid_text_t));
    return STATUS_OK;
}

static status_t finish_record(store_t *store)
{
    dicom_instance_t instance = {.truncated = false};
    uint16_t reason;
    TRY(judge_record(store, &instance, &reason));
    if (reason != STORE_REASON_NONE) {
        add_failure(store, reason);
        return pack_writer_abort(store->writer);
    }
    pack_record_t record = {.type = PACK_RECORD_INSTANCE};
    TRY(commit_record(store, &instance, &record));
    store_result_t *result = store_add_result(store);
    memcpy(result->sop_class_uid, instance.sop_class_uid, sizeof(uid_text_t));
    memcpy(result->sop_instance_uid, instance.sop_instance_uid, sizeof(uid_text_t));
    memcpy(result->study_instance_uid, instance.study_instance_uid, sizeof(uid_text_t));
    memcpy(result->series_instance_uid, instance.series_instance_uid, sizeof(uid_text_t));
    result->offset = record.offset;
    store->stored_bytes += record.dataset_length;
    if (store->file.preamble_kind) {
        store->disguised++;
        store->disguised_kind = store->file.preamble_kind;
    }
    return STATUS_OK;
}

static status_t end_part(void *context)
{
    store_t *store = context;
    if (store->state == PART_HEAD) /* a small file: it ended within its head */
        TRY(begin_record(store));
    if (store->state == PART_REFUSED) {
        add_failure(store, store->refusal);
        return STATUS_OK;
    }
    status_t status = finish_record(store);
    store->state = PART_REFUSED;
    if (status != STATUS_OK)
        return run_out(store, status);
    if (store->count - store->confirmed_count >= STORE_CONFIRM_INSTANCES ||
        pack_writer_durable_offset(store->writer) - store->confirmed_offset >= STORE_CONFIRM_BYTES)
        store_confirm(store, false);
    return STATUS_OK;
}

const multipart_events_t store_events = {begin_part, take_bytes, end_part};

void store_destroy(store_t *store)
{
    store_return(store->dicomweb, &store->writer); /* aborts what is in progress */
}
