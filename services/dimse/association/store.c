#include "dimse/association/child_courier.h"
#include "dimse/association/child_peer.h"
#include "dimse/association/operations.h"
#include "pack/instance.h"

#include <string.h>

/*
 * C-STORE: the dataset goes to the pack as it comes, is looked over there, and is answered with
 * success only after the record is on stable storage (promise P1).                PS3.4 B.2.3
 */
enum {
    STORE_OK = 0x0000,
    STORE_SOP_CLASS_NOT_SUPPORTED = 0x0122,
    STORE_INVALID_INSTANCE = 0x0117, /* PS3.7 C.5.8 */
    STORE_OUT_OF_RESOURCES = 0xA700,
    STORE_MISMATCH = 0xA900,
    STORE_CANNOT_UNDERSTAND = 0xC000
};

enum {
    TAG_SOP_CLASS_UID = 0x00080016,
    TAG_SOP_INSTANCE_UID = 0x00080018,
    PROVENANCE_ROOM = 2048 /* bytes: four UIDs, two titles, an address and an association id */
};

/* What the answer will be; status 0 while nothing speaks against success. */
typedef struct {
    child_t *child;
    const request_t *request;
    uint64_t bytes;
    bool in_record; /* pack_writer_begin() has been called, neither commit nor abort yet */
    uint16_t status;
    uint32_t offending;
    char comment[COMMAND_ERROR_COMMENT_MAX + 1];
    bool ends; /* the disk has failed: the association ends behind the answer */
} store_t;

static void refuse(store_t *store, uint16_t status, uint32_t offending, const char *comment)
{
    if (store->status)
        return; /* the first reason counts */
    store->status = status;
    store->offending = offending;
    size_t length = strnlen(comment, sizeof store->comment - 1);
    memcpy(store->comment, comment, length);
    store->comment[length] = 0;
}

static void refuse_disk(store_t *store)
{
    refuse(store, STORE_OUT_OF_RESOURCES, 0, fail_detail());
    store->ends = true;
}

/* What the command alone says against it. */
static void check_command(store_t *store)
{
    const command_t *command = &store->request->command;
    if (strcmp(command->affected_sop_class_uid, store->request->context->abstract_syntax_uid) != 0)
        refuse(store, STORE_SOP_CLASS_NOT_SUPPORTED, 0,
               "SOP class is not the presentation context's");
    else if (command->malformed_uid || !*command->affected_sop_instance_uid)
        refuse(store, STORE_INVALID_INSTANCE, 0, "Affected SOP Instance UID is not a UID");
    else if (command->dataset_type == COMMAND_NO_DATASET)
        refuse(store, STORE_CANNOT_UNDERSTAND, 0, "no data set");
    else if (store->child->state == CHILD_STOPPING)
        refuse(store, STORE_OUT_OF_RESOURCES, 0, "shutting down");
}

static void begin(store_t *store)
{
    status_t status = child_need_pack(store->child);
    if (status != STATUS_OK) {
        refuse(store, STORE_OUT_OF_RESOURCES, 0, fail_detail());
        store->ends = status == STATUS_EXPIRED;
        return;
    }
    if (pack_writer_begin(store->child->writer, PACK_RECORD_INSTANCE, PROVENANCE_ROOM) != STATUS_OK)
        refuse_disk(store);
    else
        store->in_record = true;
}

static status_t take_fragment(void *context, const uint8_t *bytes, size_t length)
{
    store_t *store = context;
    store->bytes += length;
    if (store->bytes > (uint64_t)store->child->settings->config->max_dataset_bytes) {
        refuse(store, STORE_OUT_OF_RESOURCES, 0, "data set is over the size limit");
        return STATUS_TOO_LARGE;
    }
    status_t status = pack_writer_append(store->child->writer, bytes, length);
    if (status == STATUS_TOO_LARGE)
        refuse(store, STORE_OUT_OF_RESOURCES, 0, fail_detail());
    else if (status != STATUS_OK)
        refuse_disk(store);
    return status;
}

/* The UIDs of command and dataset must agree. */
static void compare(store_t *store, const dicom_instance_t *instance)
{
    const command_t *command = &store->request->command;
    if (strcmp(instance->sop_class_uid, command->affected_sop_class_uid) != 0)
        refuse(store, STORE_MISMATCH, TAG_SOP_CLASS_UID,
               "SOP Class UID differs from the command's");
    else if (strcmp(instance->sop_instance_uid, command->affected_sop_instance_uid) != 0)
        refuse(store, STORE_MISMATCH, TAG_SOP_INSTANCE_UID,
               "SOP Instance UID differs from the command's");
}

/* Looks the dataset over; afterwards either the status says why not, or *instance is filled. */
static void examine(store_t *store, dicom_instance_t *instance)
{
    const uint8_t *bytes;
    size_t length;
    if (pack_writer_view(store->child->writer, &bytes, &length) != STATUS_OK) {
        refuse_disk(store);
        return;
    }
    status_t status =
        dicom_instance_scan(bytes, length, store->request->context->transfer_syntax_uid, instance);
    if (status != STATUS_OK)
        refuse(store, STORE_CANNOT_UNDERSTAND, 0, fail_detail());
    else
        compare(store, instance);
}

static void commit(store_t *store, const dicom_instance_t *instance)
{
    child_t *child = store->child;
    Pack__Provenance provenance = PACK__PROVENANCE__INIT;
    provenance.source = (char *)"dimse";
    provenance.calling_ae_title = child->self.calling;
    provenance.called_ae_title = child->self.called;
    provenance.peer_address = child->peer_address;
    provenance.association_id = child->self.association.text;
    pack_record_t record;
    status_t status =
        pack_commit_instance(child->writer, instance, store->request->context->transfer_syntax_uid,
                             &provenance, &record);
    if (status == STATUS_INVALID) { /* the record is still in progress, and will be aborted */
        refuse(store, STORE_CANNOT_UNDERSTAND, 0, "identifiers are too long");
        return;
    }
    store->in_record = false;
    if (status != STATUS_OK)
        refuse_disk(store);
}

/* Takes the whole dataset, whatever becomes of it: the peer listens only behind its last byte. */
static status_t receive(store_t *store)
{
    if (store->request->command.dataset_type == COMMAND_NO_DATASET)
        return STATUS_OK;
    status_t taken;
    status_t status = child_read_dataset(store->child, store->request,
                                         store->status ? NULL : take_fragment, store, &taken);
    if (status == STATUS_OK && !store->status) {
        dicom_instance_t instance;
        memset(&instance, 0, sizeof instance);
        examine(store, &instance);
        if (!store->status)
            commit(store, &instance);
    }
    return status;
}

status_t store_run(child_t *child, const request_t *request)
{
    store_t store = {.child = child, .request = request};
    check_command(&store);
    if (!store.status)
        begin(&store);
    status_t received = receive(&store);
    if (store.in_record && pack_writer_abort(child->writer) != STATUS_OK)
        store.ends = true;
    if (store.ends) /* before the answer: whoever comes next must not get this pack */
        child_tell(child, CHANNEL_PACK_FAILED, 0, store.comment);
    TRY(received);
    TRY(child_answer(child, request, store.status, store.offending, store.comment));
    if (!store.status)
        child_announce(child, store.bytes, false);
    else
        child_tell(child, CHANNEL_STORE_REFUSED, store.status, store.comment);
    child->has_refused |= store.status != 0;
    return store.ends ? fail(STATUS_UNAVAILABLE, "the pack cannot be written") : STATUS_OK;
}
