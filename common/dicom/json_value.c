#include "dicom/json_value.h"

#include "dicom/words.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- forms ---------------------------------------------------------------------------------- */

/* clang-format off */
dicom_form_t dicom_json_form(uint16_t vr)
{
    switch (vr) {
    case DICOM_VR('P', 'N'):
        return DICOM_FORM_NAME;
    case DICOM_VR('D', 'S'): case DICOM_VR('I', 'S'):
        return DICOM_FORM_DECIMAL;
    case DICOM_VR('S', 'T'): case DICOM_VR('L', 'T'): case DICOM_VR('U', 'T'):
    case DICOM_VR('U', 'R'):
        return DICOM_FORM_WHOLE;
    case DICOM_VR('U', 'S'): case DICOM_VR('S', 'S'): case DICOM_VR('U', 'L'):
    case DICOM_VR('S', 'L'): case DICOM_VR('F', 'L'): case DICOM_VR('F', 'D'):
    case DICOM_VR('S', 'V'): case DICOM_VR('U', 'V'): case DICOM_VR('A', 'T'):
        return DICOM_FORM_NUMBER;
    case DICOM_VR('O', 'B'): case DICOM_VR('O', 'D'): case DICOM_VR('O', 'F'):
    case DICOM_VR('O', 'L'): case DICOM_VR('O', 'V'): case DICOM_VR('O', 'W'):
    case DICOM_VR('U', 'N'):
        return DICOM_FORM_BINARY;
    default:
        return DICOM_FORM_TEXT;
    }
}

unsigned dicom_json_unit(uint16_t vr)
{
    switch (vr) {
    case DICOM_VR('U', 'S'): case DICOM_VR('S', 'S'): case DICOM_VR('O', 'W'):
        return 2;
    case DICOM_VR('U', 'L'): case DICOM_VR('S', 'L'): case DICOM_VR('F', 'L'):
    case DICOM_VR('A', 'T'): case DICOM_VR('O', 'L'): case DICOM_VR('O', 'F'):
        return 4;
    case DICOM_VR('F', 'D'): case DICOM_VR('S', 'V'): case DICOM_VR('U', 'V'):
    case DICOM_VR('O', 'V'): case DICOM_VR('O', 'D'):
        return 8;
    default:
        return 1;
    }
}

/* clang-format on */

/* ---- strings -------------------------------------------------------------------------------- */

static bool needs_escape(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || c == 0x7F;
}

void dicom_json_string(buffer_t *out, const uint8_t *text, size_t length)
{
    static const char hex[] = "0123456789abcdef";
    buffer_reserve(out, length + 2);
    buffer_append_byte(out, '"');
    for (size_t i = 0; i < length;) {
        size_t run = 0;
        while (i + run < length && !needs_escape(text[i + run]))
            run++;
        buffer_append(out, text + i, run);
        i += run;
        if (i == length)
            break;
        uint8_t c = text[i++];
        if (c == '"' || c == '\\') {
            char escape[] = {'\\', (char)c};
            buffer_append(out, escape, sizeof escape);
        } else if (c == '\r' || c == '\n' || c == '\t') {
            char escape[] = {'\\', c == '\r' ? 'r' : c == '\n' ? 'n' : 't'};
            buffer_append(out, escape, sizeof escape);
        } else {
            char escape[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            buffer_append(out, escape, sizeof escape);
        }
    }
    buffer_append_byte(out, '"');
}

static bool is_padding(uint8_t c)
{
    return c == ' ' || c == 0;
}

typedef struct {
    const uint8_t *text;
    size_t length;
} slice_t;

static slice_t trim(slice_t value, bool both)
{
    while (value.length && is_padding(value.text[value.length - 1]))
        value.length--;
    while (both && value.length && is_padding(*value.text)) {
        value.text++;
        value.length--;
    }
    return value;
}

/* Takes the part up to the next separator off rest; false behind the last. */
static bool next_part(slice_t *rest, uint8_t separator, slice_t *out_part)
{
    if (!rest->text)
        return false;
    const uint8_t *end = rest->length ? memchr(rest->text, separator, rest->length) : NULL;
    *out_part = *rest;
    if (!end) {
        rest->text = NULL;
        return true;
    }
    out_part->length = (size_t)(end - rest->text);
    rest->text = end + 1;
    rest->length -= out_part->length + 1;
    return true;
}

/* PS3.18 F.2.2: {"Alphabetic":...,"Ideographic":...,"Phonetic":...}; false when all are empty. */
static bool append_name(buffer_t *out, slice_t name)
{
    static const char *const groups[] = {"\"Alphabetic\":", "\"Ideographic\":", "\"Phonetic\":"};
    bool any = false;
    slice_t part;
    for (unsigned i = 0; i < 3 && next_part(&name, '=', &part); i++) {
        part = trim(part, false);
        if (!part.length)
            continue;
        buffer_append_byte(out, any ? ',' : '{');
        buffer_append_text(out, groups[i]);
        dicom_json_string(out, part.text, part.length);
        any = true;
    }
    if (any)
        buffer_append_byte(out, '}');
    return any;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static size_t digits(const uint8_t *text, size_t length)
{
    size_t count = 0;
    while (count < length && text[count] >= '0' && text[count] <= '9')
        count++;
    return count;
}

/*
 * A DS or IS (PS3.5 6.2) as a JSON number (RFC 8259 6): no plus sign, no leading zeros, digits on
 * both sides of the point. false and nothing appended when it is no number.
 */
static bool append_decimal(buffer_t *out, slice_t value)
{
    const uint8_t *at = value.text, *end = value.text + value.length;
    bool negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    size_t whole = digits(at, (size_t)(end - at));
    const uint8_t *whole_at = at, *fraction_at = NULL, *exponent_at = NULL;
    size_t fraction = 0, exponent = 0;
    at += whole;
    if (at < end && *at == '.') {
        fraction_at = ++at;
        fraction = digits(at, (size_t)(end - at));
        at += fraction;
    }
    if (whole + fraction == 0)
        return false;
    char exponent_sign = 0;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '-' || *at == '+'))
            exponent_sign = (char)*at++;
        exponent_at = at;
        exponent = digits(at, (size_t)(end - at));
        at += exponent;
        if (!exponent || exponent > 3)
            return false;
    }
    if (at != end)
        return false;
    while (whole > 1 && *whole_at == '0') {
        whole_at++;
        whole--;
    }
    if (negative)
        buffer_append_byte(out, '-');
    if (whole)
        buffer_append(out, whole_at, whole);
    else
        buffer_append_byte(out, '0');
    if (fraction) {
        buffer_append_byte(out, '.');
        buffer_append(out, fraction_at, fraction);
    }
    if (exponent) {
        buffer_append_byte(out, 'e');
        if (exponent_sign == '-')
            buffer_append_byte(out, '-');
        buffer_append(out, exponent_at, exponent);
    }
    return true;
}

static void append_uint64(buffer_t *out, uint64_t value)
{
    char text[20];
    size_t at = sizeof text;
    do
        text[--at] = (char)('0' + value % 10);
    while (value /= 10);
    buffer_append(out, text + at, sizeof text - at);
}

static void append_int64(buffer_t *out, int64_t value)
{
    if (value < 0)
        buffer_append_byte(out, '-');
    append_uint64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* The fewest digits that give the same value again. */
static void append_double(buffer_t *out, double value, bool single)
{
    if (!isfinite(value)) { /* JSON has no such numbers */
        buffer_append_text(out, isnan(value) ? "\"NaN\""
                                : value > 0  ? "\"Infinity\""
                                             : "\"-Infinity\"");
        return;
    }
    if (fabs(value) < 1e15 && value == (double)(int64_t)value && !(value == 0 && signbit(value))) {
        append_int64(out, (int64_t)value);
        return;
    }
    if (value == 0) {
        buffer_append_text(out, "-0.0");
        return;
    }
    char text[32];
    int length = 0;
    for (int precision = single ? 6 : 15; precision <= (single ? 9 : 17); precision++) {
        length = snprintf(text, sizeof text, "%.*g", precision, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    buffer_append(out, text, (size_t)length);
}

enum { SAFE_BITS = 53 }; /* a JavaScript number holds integers up to 2^53 exactly */

static void append_number(buffer_t *out, const uint8_t *at, uint16_t vr, bool big)
{
    static const char hex[] = "0123456789ABCDEF";
    switch (vr) {
    case DICOM_VR('U', 'S'):
        append_uint64(out, dicom_uint16(at, big));
        break;
    case DICOM_VR('S', 'S'):
        append_int64(out, (int16_t)dicom_uint16(at, big));
        break;
    case DICOM_VR('U', 'L'):
        append_uint64(out, dicom_uint32(at, big));
        break;
    case DICOM_VR('S', 'L'):
        append_int64(out, (int32_t)dicom_uint32(at, big));
        break;
    case DICOM_VR('F', 'L'): {
        uint32_t bits = dicom_uint32(at, big);
        float value;
        memcpy(&value, &bits, sizeof value);
        append_double(out, (double)value, true);
        break;
    }
    case DICOM_VR('F', 'D'): {
        uint64_t bits = dicom_uint64(at, big);
        double value;
        memcpy(&value, &bits, sizeof value);
        append_double(out, value, false);
        break;
    }
    case DICOM_VR('S', 'V'): {
        int64_t value = (int64_t)dicom_uint64(at, big);
        bool safe = value <= (int64_t)1 << SAFE_BITS && value >= -((int64_t)1 << SAFE_BITS);
        buffer_append(out, "\"", safe ? 0 : 1);
        append_int64(out, value);
        buffer_append(out, "\"", safe ? 0 : 1);
        break;
    }
    case DICOM_VR('U', 'V'): {
        uint64_t value = dicom_uint64(at, big);
        bool safe = value <= (uint64_t)1 << SAFE_BITS;
        buffer_append(out, "\"", safe ? 0 : 1);
        append_uint64(out, value);
        buffer_append(out, "\"", safe ? 0 : 1);
        break;
    }
    default: { /* AT: "GGGGEEEE" */
        uint32_t tag = DICOM_TAG(dicom_uint16(at, big), dicom_uint16(at + 2, big));
        char text[10];
        text[0] = text[9] = '"';
        for (int i = 0; i < 8; i++)
            text[1 + i] = hex[(tag >> (28 - 4 * i)) & 15];
        buffer_append(out, text, sizeof text);
    }
    }
}

static void append_numbers(buffer_t *out, const dicom_token_t *token, uint16_t vr)
{
    size_t unit = dicom_json_unit(vr), count = token->length / unit;
    if (!count)
        return;
    buffer_append_text(out, ",\"Value\":[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            buffer_append_byte(out, ',');
        append_number(out, token->value + i * unit, vr, token->big_endian);
    }
    buffer_append_byte(out, ']');
}

/* ---- values --------------------------------------------------------------------------------- */

/* One value; false (and nothing appended) when it is empty. */
static bool append_value(buffer_t *out, slice_t value, uint16_t vr, dicom_form_t form)
{
    if (form == DICOM_FORM_NAME)
        return append_name(out, value);
    /* PS3.5 6.2: leading spaces count in these only */
    value = trim(value, form != DICOM_FORM_WHOLE && vr != DICOM_VR('U', 'C'));
    if (!value.length)
        return false;
    if (form != DICOM_FORM_DECIMAL || !append_decimal(out, value))
        dicom_json_string(out, value.text, value.length);
    return true;
}

void dicom_json_values(buffer_t *out, const dicom_token_t *token, uint16_t vr,
                       dicom_charset_t *charset, buffer_t *scratch)
{
    dicom_form_t form = dicom_json_form(vr);
    if (form == DICOM_FORM_NUMBER) {
        append_numbers(out, token, vr);
        return;
    }
    slice_t rest = trim((slice_t){token->value, token->length}, false);
    if (!rest.length)
        return;
    if (!dicom_charset_is_plain(charset, rest.text, rest.length)) {
        buffer_clear(scratch);
        dicom_charset_decode(charset, vr, rest.text, rest.length, scratch);
        rest = (slice_t){scratch->data, scratch->length};
    }
    size_t start = out->length;
    buffer_append_text(out, ",\"Value\":[");
    bool any = false, first = true;
    slice_t value = rest;
    if (form == DICOM_FORM_WHOLE) {
        any = append_value(out, rest, vr, form);
    } else {
        while (next_part(&rest, '\\', &value)) {
            if (!first)
                buffer_append_byte(out, ',');
            bool filled = append_value(out, value, vr, form);
            if (!filled)
                buffer_append_text(out, "null"); /* PS3.18 F.2.5 */
            any = any || filled || !first;
            first = false;
        }
    }
    if (any)
        buffer_append_byte(out, ']');
    else
        out->length = start;
}

/* ---- base64 --------------------------------------------------------------------------------- */

static void append_base64(buffer_t *out, const uint8_t *bytes, size_t length)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    buffer_reserve(out, length / 3 * 4 + 4);
    uint8_t *to = out->data + out->length;
    size_t whole = length - length % 3;
    for (size_t i = 0; i < whole; i += 3) {
        uint32_t word = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        to[0] = (uint8_t)letters[word >> 18];
        to[1] = (uint8_t)letters[(word >> 12) & 63];
        to[2] = (uint8_t)letters[(word >> 6) & 63];
        to[3] = (uint8_t)letters[word & 63];
        to += 4;
    }
    if (whole < length) {
        bool has_two = length - whole == 2;
        uint32_t word =
            (uint32_t)bytes[whole] << 16 | (has_two ? (uint32_t)bytes[whole + 1] << 8 : 0);
        *to++ = (uint8_t)letters[word >> 18];
        *to++ = (uint8_t)letters[(word >> 12) & 63];
        *to++ = has_two ? (uint8_t)letters[(word >> 6) & 63] : '=';
        *to++ = '=';
    }
    out->length = (size_t)(to - out->data);
}

void dicom_json_inline_binary(buffer_t *out, const dicom_token_t *token, uint16_t vr,
                              buffer_t *scratch)
{
    const uint8_t *bytes = token->value;
    size_t length = token->length;
    unsigned unit = dicom_json_unit(vr);
    if (token->big_endian && unit > 1) {
        buffer_clear(scratch);
        buffer_reserve(scratch, length);
        dicom_words_turn(scratch->data, bytes, length, 0, length, unit);
        bytes = scratch->data;
    }
    buffer_append_text(out, ",\"InlineBinary\":\"");
    append_base64(out, bytes, length);
    buffer_append_byte(out, '"');
}
