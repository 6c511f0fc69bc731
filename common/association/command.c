#include "association/command.h"

#include <stddef.h>
#include <string.h>

enum {
    TAG_GROUP_LENGTH = 0x00000000,
    TAG_AFFECTED_SOP_CLASS_UID = 0x00000002,
    TAG_COMMAND_FIELD = 0x00000100,
    TAG_MESSAGE_ID = 0x00000110,
    TAG_MESSAGE_ID_RESPONDED_TO = 0x00000120,
    TAG_PRIORITY = 0x00000700,
    TAG_DATASET_TYPE = 0x00000800,
    TAG_STATUS = 0x00000900,
    TAG_OFFENDING_ELEMENT = 0x00000901,
    TAG_ERROR_COMMENT = 0x00000902,
    TAG_AFFECTED_SOP_INSTANCE_UID = 0x00001000
};

enum { ELEMENT_HEADER = 8 };

/* What we read of a request; the rest is passed over. */
static const struct {
    uint32_t tag;
    bool is_uid;
    size_t member;
} rows[] = {
    {TAG_AFFECTED_SOP_CLASS_UID, true, offsetof(command_t, affected_sop_class_uid)},
    {TAG_COMMAND_FIELD, false, offsetof(command_t, field)},
    {TAG_MESSAGE_ID, false, offsetof(command_t, message_id)},
    {TAG_PRIORITY, false, offsetof(command_t, priority)},
    {TAG_DATASET_TYPE, false, offsetof(command_t, dataset_type)},
    {TAG_AFFECTED_SOP_INSTANCE_UID, true, offsetof(command_t, affected_sop_instance_uid)},
};

enum { ROWS = sizeof rows / sizeof *rows };

static uint32_t little32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static void take_uid(command_t *command, size_t member, const uint8_t *value, size_t length)
{
    uid_text_t uid = "";
    if (!uid_copy(uid, value, length) || !uid_is_valid(uid)) {
        command->malformed_uid = true;
        return;
    }
    memcpy((char *)command + member, uid, sizeof uid);
}

static status_t take_number(command_t *command, size_t member, const uint8_t *value, size_t length)
{
    if (length != 2)
        return fail(STATUS_INVALID, "a US element of %zu bytes in the command set", length);
    uint16_t number = (uint16_t)(value[0] | value[1] << 8);
    memcpy((char *)command + member, &number, sizeof number);
    return STATUS_OK;
}

/* seen: a bit for each row that has been there. */
static status_t take_element(command_t *command, uint32_t tag, const uint8_t *value, size_t length,
                             unsigned *seen)
{
    for (unsigned i = 0; i < ROWS; i++) {
        if (rows[i].tag != tag)
            continue;
        if (*seen & (1u << i))
            return fail(STATUS_INVALID, "element (0000,%04X) twice", tag & 0xFFFF);
        *seen |= 1u << i;
        if (!rows[i].is_uid)
            return take_number(command, rows[i].member, value, length);
        take_uid(command, rows[i].member, value, length);
        return STATUS_OK;
    }
    return STATUS_OK;
}

static bool was_seen(unsigned seen, uint32_t tag)
{
    for (unsigned i = 0; i < ROWS; i++)
        if (rows[i].tag == tag)
            return seen & (1u << i);
    return false;
}

status_t command_parse(const uint8_t *bytes, size_t length, command_t *out_command)
{
    command_t command = {0};
    unsigned seen = 0;
    if (length > COMMAND_SET_MAX)
        return fail(STATUS_TOO_LARGE, "a command set of %zu bytes", length);
    for (size_t position = 0; position < length;) {
        if (length - position < ELEMENT_HEADER)
            return fail(STATUS_INVALID, "the command set ends inside an element");
        const uint8_t *element = bytes + position;
        uint32_t tag = (little32(element) & 0xFFFF) << 16 | little32(element) >> 16;
        size_t value_length = little32(element + 4);
        position += ELEMENT_HEADER;
        if (tag >> 16)
            return fail(STATUS_INVALID, "group %04X in the command set", tag >> 16);
        if (value_length > length - position)
            return fail(STATUS_INVALID, "element (0000,%04X) leaves the command set", tag & 0xFFFF);
        TRY(take_element(&command, tag, bytes + position, value_length, &seen));
        position += value_length;
    }
    if (!was_seen(seen, TAG_COMMAND_FIELD) || !was_seen(seen, TAG_DATASET_TYPE))
        return fail(STATUS_INVALID, "a command set without Command Field or Command Data Set Type");
    /* Responses and C-CANCEL name the message they belong to instead. */
    if (!was_seen(seen, TAG_MESSAGE_ID) && command.field != COMMAND_C_CANCEL_RQ &&
        !(command.field & COMMAND_RESPONSE))
        return fail(STATUS_INVALID, "a command set without Message ID");
    *out_command = command;
    return STATUS_OK;
}

static void put_little(buffer_t *out, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buffer_append_byte(out, (uint8_t)(value >> (8 * i)));
}

static void put_element(buffer_t *out, uint32_t tag, const void *value, size_t length, char padding)
{
    put_little(out, tag >> 16, 2);
    put_little(out, tag & 0xFFFF, 2);
    put_little(out, (uint32_t)(length + length % 2), 4);
    buffer_append(out, value, length);
    if (length % 2)
        buffer_append_byte(out, (uint8_t)padding);
}

static void put_number(buffer_t *out, uint32_t tag, uint16_t number)
{
    uint8_t value[2] = {(uint8_t)number, (uint8_t)(number >> 8)};
    put_element(out, tag, value, sizeof value, 0);
}

static void put_uid(buffer_t *out, uint32_t tag, const char *uid)
{
    if (*uid)
        put_element(out, tag, uid, strlen(uid), 0);
}

static void put_tag(buffer_t *out, uint32_t tag, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 16), (uint8_t)(value >> 24), (uint8_t)value,
                        (uint8_t)(value >> 8)};
    put_element(out, tag, bytes, sizeof bytes, 0);
}

void command_write_response(buffer_t *out, const command_response_t *response)
{
    const command_t *request = response->request;
    AUTO_BUFFER body = {0};
    put_uid(&body, TAG_AFFECTED_SOP_CLASS_UID, request->affected_sop_class_uid);
    put_number(&body, TAG_COMMAND_FIELD, request->field | COMMAND_RESPONSE);
    put_number(&body, TAG_MESSAGE_ID_RESPONDED_TO, request->message_id);
    put_number(&body, TAG_DATASET_TYPE, COMMAND_NO_DATASET);
    put_number(&body, TAG_STATUS, response->status);
    if (response->offending_element)
        put_tag(&body, TAG_OFFENDING_ELEMENT, response->offending_element);
    if (response->error_comment && *response->error_comment)
        put_element(&body, TAG_ERROR_COMMENT, response->error_comment,
                    strnlen(response->error_comment, COMMAND_ERROR_COMMENT_MAX), ' ');
    put_uid(&body, TAG_AFFECTED_SOP_INSTANCE_UID, request->affected_sop_instance_uid);
    uint8_t length[4] = {(uint8_t)body.length, (uint8_t)(body.length >> 8),
                         (uint8_t)(body.length >> 16), (uint8_t)(body.length >> 24)};
    put_element(out, TAG_GROUP_LENGTH, length, sizeof length, 0);
    buffer_append(out, body.data, body.length);
}
