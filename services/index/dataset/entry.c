#include "index/dataset/entry.h"

#include "base/memory.h"
#include "base/text.h"
#include "dicom/transfer_syntax.h"
#include "pack/message.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int origin_compare(const origin_t *a, const origin_t *b)
{
    if (a->received_us != b->received_us)
        return a->received_us < b->received_us ? -1 : 1;
    int order = strcmp(a->pack.text, b->pack.text);
    if (order)
        return order;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

/* Who sent it, in one word. */
static const char *source_of(const Pack__Provenance *provenance)
{
    if (*provenance->calling_ae_title)
        return provenance->calling_ae_title;
    if (strcmp(provenance->source, "import") == 0 || !*provenance->user)
        return provenance->source;
    return provenance->user;
}

static bool uids_take(const Pack__Provenance *provenance, entry_t *entry)
{
    const struct {
        const char *from;
        char *to;
    } uids[] = {
        {provenance->sop_class_uid, entry->sop_class_uid},
        {provenance->sop_instance_uid, entry->sop_instance_uid},
        {provenance->study_instance_uid, entry->study_instance_uid},
        {provenance->series_instance_uid, entry->series_instance_uid},
    };
    for (size_t i = 0; i < sizeof uids / sizeof *uids; i++)
        if (!uid_is_valid(uids[i].from) ||
            !uid_copy(uids[i].to, uids[i].from, strlen(uids[i].from)))
            return false;
    return true;
}

static status_t provenance_read(pack_store_t *store, const pack_record_t *record, entry_t *entry)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    TRY(pack_store_provenance(store, record, &bytes, &length));
    Pack__Provenance *provenance = pack__provenance__unpack(&pack_memory, length, bytes);
    free(bytes);
    if (!provenance)
        return fail(STATUS_INVALID, "provenance at %llu is not readable",
                    (unsigned long long)record->offset);
    bool complete = uids_take(provenance, entry);
    entry->origin = (origin_t){.received_us = (int64_t)provenance->received_us,
                               .pack = record->origin_pack,
                               .sequence = (int64_t)record->origin_sequence};
    snprintf(entry->source, sizeof entry->source, "%s", source_of(provenance));
    snprintf(entry->source_ae_title, sizeof entry->source_ae_title, "%s",
             provenance->calling_ae_title);
    text_make_utf8(entry->source); /* a title is what a peer calls itself: any bytes */
    text_make_utf8(entry->source_ae_title);
    pack__provenance__free_unpacked(provenance, &pack_memory);
    if (!complete)
        return fail(STATUS_INVALID, "provenance at %llu has no valid UIDs",
                    (unsigned long long)record->offset);
    return STATUS_OK;
}

static status_t head_extract(pack_store_t *store, const pack_record_t *record, entry_t *entry)
{
    /* A deflated dataset has to be inflated from its beginning to an end nobody knows. */
    bool deflated = dicom_transfer_syntax_find(record->transfer_syntax_uid)->deflated;
    uint64_t length = record->dataset_length;
    if (!deflated && record->pixel_data_offset && record->pixel_data_offset < length)
        length = record->pixel_data_offset;
    pack_view_t view = {0};
    TRY(pack_store_view(store, &record->pack, record->dataset_offset, (size_t)length, &view));
    status_t status =
        extract_dataset(view.bytes, view.length, record->transfer_syntax_uid, &entry->extract);
    pack_view_release(&view);
    return status;
}

/* The process of an association writes the header of a record; what it puts there must not become a
 * header of an answer, or a text that the database refuses. */
static void syntax_clean(uid_text_t syntax)
{
    for (; *syntax; syntax++)
        if (!isalnum((unsigned char)*syntax) && !strchr(".-_", *syntax))
            *syntax = '?';
}

status_t entry_read(pack_store_t *store, const pack_record_t *record, bool poisoned,
                    entry_t *out_entry)
{
    TRY(provenance_read(store, record, out_entry));
    out_entry->record = *record;
    syntax_clean(out_entry->record.transfer_syntax_uid);
    out_entry->unreadable = poisoned;
    extract_clear(&out_entry->extract);
    if (poisoned)
        return STATUS_OK;
    status_t status = head_extract(store, record, out_entry);
    if (status == STATUS_INVALID || status == STATUS_TOO_LARGE || status == STATUS_UNSUPPORTED) {
        out_entry->unreadable = true;
        status = STATUS_OK;
    }
    return status;
}

void entry_destroy(entry_t *entry)
{
    extract_destroy(&entry->extract);
}
