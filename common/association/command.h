#ifndef ZPACS_ASSOCIATION_COMMAND_H
#define ZPACS_ASSOCIATION_COMMAND_H

#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * DIMSE command sets: a flat list of group 0000 in implicit VR little endian.      PS3.7 6.3, E.1
 */
enum {
    COMMAND_SET_MAX = 16 * 1024,   /* bytes of a whole command set that we take */
    COMMAND_NO_DATASET = 0x0101,   /* Command Data Set Type; every other value: a dataset follows */
    COMMAND_ERROR_COMMENT_MAX = 64 /* LO */
};

/* Command Field.                                                                        PS3.7 E.1 */
typedef enum {
    COMMAND_C_STORE_RQ = 0x0001,
    COMMAND_C_ECHO_RQ = 0x0030,
    COMMAND_C_CANCEL_RQ = 0x0FFF,
    COMMAND_RESPONSE = 0x8000 /* set in the field of every response */
} command_field_t;

/* What a request says. A UID that is missing is "". */
typedef struct {
    uint16_t field;
    uint16_t message_id;
    uint16_t dataset_type;
    uint16_t priority;
    uid_text_t affected_sop_class_uid;
    uid_text_t affected_sop_instance_uid;
    bool malformed_uid; /* one of the UIDs holds what no UID can hold; it is "" here */
} command_t;

/* What an answer says. */
typedef struct {
    const command_t *request;
    uint16_t status;
    uint32_t offending_element; /* a tag; 0: none */
    const char *error_comment;  /* NULL: none; cut at COMMAND_ERROR_COMMENT_MAX bytes */
} command_response_t;

/*
 * Reads a request.
 * Fails: INVALID (not a command set, or without Command Field and Message ID), TOO_LARGE.
 */
status_t command_parse(const uint8_t *bytes, size_t length, command_t *out_command);

/* Appends the answer's command set, group length first; no dataset follows it. */
void command_write_response(buffer_t *out, const command_response_t *response);

#endif
