#include "association/request.h"

#include <string.h>

/*
 *     0      2      4        20        36         68
 *     | ver. | res. | called | calling | reserved | items …
 *
 *     item    | type | 0 | length (2, big endian) | bytes …       a UID, or items of its own
 *     context | 20   | 0 | length | id | 0 | 0 (AC: result) | 0 | 30 abstract | 40 transfer | 40 …
 */
enum {
    ITEMS_OFFSET = 68,
    TITLES_OFFSET = 4,
    TITLES_LENGTH = 64,
    ITEM_HEAD = 4,
    CONTEXT_HEAD = 4,
    PROTOCOL_VERSION = 1, /* a bit. PS3.8 9.3.2 */
};

enum {
    ITEM_APPLICATION_CONTEXT = 0x10,
    ITEM_CONTEXT = 0x20,
    ITEM_CONTEXT_ANSWER = 0x21,
    ITEM_ABSTRACT_SYNTAX = 0x30,
    ITEM_TRANSFER_SYNTAX = 0x40,
    ITEM_USER_INFORMATION = 0x50,
    ITEM_MAX_LENGTH = 0x51,
    ITEM_IMPLEMENTATION_CLASS = 0x52,
    ITEM_IMPLEMENTATION_VERSION = 0x55
};

/* ---- reading ----------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *at;
    size_t left;
} items_t;

typedef struct {
    uint8_t type;
    const uint8_t *bytes;
    size_t length;
} item_t;

/* False when no whole item is left: items_end() tells whether it should be so. */
static bool next_item(items_t *items, item_t *out_item)
{
    if (items->left < ITEM_HEAD)
        return false;
    size_t length = (size_t)items->at[2] << 8 | items->at[3];
    if (length > items->left - ITEM_HEAD)
        return false;
    *out_item = (item_t){items->at[0], items->at + ITEM_HEAD, length};
    items->at += ITEM_HEAD + length;
    items->left -= ITEM_HEAD + length;
    return true;
}

static status_t items_end(const items_t *items)
{
    return items->left == 0 ? STATUS_OK
                            : fail(STATUS_INVALID,
                                   "association request: %zu bytes that are no item", items->left);
}

static void copy_uid(uid_text_t out_uid, const item_t *item)
{
    if (!uid_copy(out_uid, item->bytes, item->length))
        out_uid[0] = 0;
}

/* Titles are padded with spaces on either side. */
static void copy_title(char out[AE_TITLE_LENGTH_MAX + 1], const uint8_t *bytes)
{
    size_t length = strnlen((const char *)bytes, AE_TITLE_LENGTH_MAX);
    while (length && *bytes == ' ')
        bytes++, length--;
    while (length && bytes[length - 1] == ' ')
        length--;
    memcpy(out, bytes, length);
    out[length] = 0;
}

/* Two contexts with one identifier: nobody could tell which a fragment belongs to. */
static bool has_context(const association_request_t *request, uint8_t id)
{
    for (size_t i = 0; i < request->context_count; i++)
        if (request->contexts[i].id == id)
            return true;
    return false;
}

static status_t take_context(association_request_t *request, const item_t *item)
{
    if (item->length < CONTEXT_HEAD)
        return fail(STATUS_INVALID, "association request: a context of %zu bytes", item->length);
    if (request->context_count == ASSOCIATION_CONTEXTS_MAX)
        return fail(STATUS_INVALID, "association request: more than %d contexts",
                    ASSOCIATION_CONTEXTS_MAX);
    if (has_context(request, item->bytes[0]))
        return fail(STATUS_INVALID, "association request: context %u twice", item->bytes[0]);
    request->contexts[request->context_count++] =
        (request_context_t){.id = item->bytes[0],
                            .result = ASSOCIATION_CONTEXT_NO_REASON,
                            .items = item->bytes + CONTEXT_HEAD,
                            .items_length = item->length - CONTEXT_HEAD};
    return STATUS_OK;
}

/* What is not here is not answered, and so refused: roles, asynchronous operations, identities.  PS3.7 D.3.3 */
static status_t take_user_information(association_request_t *request, const item_t *information)
{
    items_t items = {information->bytes, information->length};
    item_t item;
    while (next_item(&items, &item)) {
        if (item.type == ITEM_MAX_LENGTH && item.length == 4)
            request->max_pdu_bytes = (uint32_t)item.bytes[0] << 24 | (uint32_t)item.bytes[1] << 16 |
                                     (uint32_t)item.bytes[2] << 8 | item.bytes[3];
        else if (item.type == ITEM_IMPLEMENTATION_CLASS)
            copy_uid(request->implementation_class_uid, &item);
    }
    return items_end(&items);
}

static status_t take_item(association_request_t *request, const item_t *item)
{
    if (item->type == ITEM_APPLICATION_CONTEXT)
        copy_uid(request->application_context_uid, item);
    else if (item->type == ITEM_CONTEXT)
        return take_context(request, item);
    else if (item->type == ITEM_USER_INFORMATION)
        return take_user_information(request, item);
    return STATUS_OK;
}

status_t request_parse(const uint8_t *body, size_t length, association_request_t *out_request)
{
    if (length < ITEMS_OFFSET)
        return fail(STATUS_INVALID, "association request of %zu bytes", length);
    if (!(body[1] & PROTOCOL_VERSION))
        return fail(STATUS_UNSUPPORTED, "association request: protocol version %02x%02x", body[0],
                    body[1]);
    out_request->titles = body + TITLES_OFFSET;
    copy_title(out_request->called, body + TITLES_OFFSET);
    copy_title(out_request->calling, body + TITLES_OFFSET + AE_TITLE_LENGTH_MAX);
    items_t items = {body + ITEMS_OFFSET, length - ITEMS_OFFSET};
    item_t item;
    while (next_item(&items, &item))
        TRY(take_item(out_request, &item));
    return items_end(&items);
}

status_t request_read_context(const request_context_t *context, association_context_t *out_context)
{
    items_t items = {context->items, context->items_length};
    item_t item;
    out_context->id = context->id;
    out_context->abstract_syntax_uid[0] = 0;
    out_context->transfer_syntax_count = 0;
    while (next_item(&items, &item)) {
        size_t *count = &out_context->transfer_syntax_count;
        if (item.type == ITEM_ABSTRACT_SYNTAX)
            copy_uid(out_context->abstract_syntax_uid, &item);
        else if (item.type == ITEM_TRANSFER_SYNTAX && *count < ASSOCIATION_TRANSFER_SYNTAXES_MAX)
            copy_uid(out_context->transfer_syntax_uids[(*count)++], &item);
    }
    return items_end(&items);
}

/* ---- answering --------------------------------------------------------------------------------- */

static void put_head(buffer_t *out, uint8_t type, size_t length)
{
    const uint8_t head[ITEM_HEAD] = {type, 0, (uint8_t)(length >> 8), (uint8_t)length};
    buffer_append(out, head, sizeof head);
}

static void put_text(buffer_t *out, uint8_t type, const char *text)
{
    put_head(out, type, strlen(text));
    buffer_append_text(out, text);
}

/* A refused one has a transfer syntax too, that nobody shall look at. */
static void put_context(buffer_t *out, const request_context_t *context)
{
    const char *uid =
        *context->transfer_syntax_uid ? context->transfer_syntax_uid : "1.2.840.10008.1.2";
    const uint8_t head[CONTEXT_HEAD] = {context->id, 0, context->result, 0};
    put_head(out, ITEM_CONTEXT_ANSWER, CONTEXT_HEAD + ITEM_HEAD + strlen(uid));
    buffer_append(out, head, sizeof head);
    put_text(out, ITEM_TRANSFER_SYNTAX, uid);
}

static void put_user_information(buffer_t *out, const association_options_t *options)
{
    const uint32_t limit = (uint32_t)options->max_pdu_bytes;
    const uint8_t bytes[] = {(uint8_t)(limit >> 24), (uint8_t)(limit >> 16), (uint8_t)(limit >> 8),
                             (uint8_t)limit};
    put_head(out, ITEM_USER_INFORMATION,
             3 * ITEM_HEAD + sizeof bytes + strlen(options->implementation_class_uid) +
                 strlen(options->implementation_version));
    put_head(out, ITEM_MAX_LENGTH, sizeof bytes);
    buffer_append(out, bytes, sizeof bytes);
    put_text(out, ITEM_IMPLEMENTATION_CLASS, options->implementation_class_uid);
    put_text(out, ITEM_IMPLEMENTATION_VERSION, options->implementation_version);
}

void request_write_answer(const association_request_t *request,
                          const association_options_t *options, buffer_t *out)
{
    const uint8_t head[] = {2, 0, 0, 0, 0, 0, 0, PROTOCOL_VERSION, 0, 0};
    size_t start = out->length;
    buffer_append(out, head, sizeof head);
    buffer_append(out, request->titles, TITLES_LENGTH);
    put_text(out, ITEM_APPLICATION_CONTEXT, ASSOCIATION_DICOM_APPLICATION);
    for (size_t i = 0; i < request->context_count; i++)
        put_context(out, &request->contexts[i]);
    put_user_information(out, options);
    size_t length = out->length - start - 6;
    for (int i = 0; i < 4; i++)
        out->data[start + 2 + (size_t)i] = (uint8_t)(length >> (24 - 8 * i));
}
