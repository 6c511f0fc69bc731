#include "http/multipart.h"

#include "base/memory.h"
#include "base/text.h"
#include "http/media.h"

#include <stdlib.h>
#include <string.h>

status_t multipart_type_parse(const char *content_type, multipart_type_t *out_type)
{
    multipart_type_t parsed = {.type = ""};
    char media_type[96];
    const char *at = content_type ? content_type : "";
    http_media_skip_space(&at);
    if (http_media_type(&at, media_type, sizeof media_type) != STATUS_OK ||
        strcmp(media_type, "multipart/related") != 0)
        return fail(STATUS_UNSUPPORTED, "Content-Type is not multipart/related");
    for (;;) {
        char name[64], value[256];
        bool found;
        TRY(http_media_parameter(&at, name, sizeof name, value, sizeof value, &found));
        if (!found)
            break;
        if (strcmp(name, "type") == 0) {
            if (strlen(value) >= sizeof parsed.type)
                return fail(STATUS_INVALID, "the type parameter is too long");
            http_text_to_lower(value);
            memcpy(parsed.type, value, strlen(value) + 1);
        } else if (strcmp(name, "boundary") == 0) {
            if (parsed.boundary[0])
                return fail(STATUS_INVALID, "Content-Type has two boundaries");
            if (strlen(value) > MULTIPART_BOUNDARY_MAX)
                return fail(STATUS_INVALID, "the boundary has over %d bytes",
                            MULTIPART_BOUNDARY_MAX);
            memcpy(parsed.boundary, value, strlen(value) + 1);
        }
    }
    size_t length = strlen(parsed.boundary);
    if (*at != '\0')
        return fail(STATUS_INVALID, "malformed Content-Type");
    if (length == 0 || parsed.boundary[length - 1] == ' ') /* RFC 2046 5.1.1 */
        return fail(STATUS_INVALID, "Content-Type has no boundary, or one that ends in a space");
    *out_type = parsed;
    return STATUS_OK;
}

/*
 * A state machine over bytes:
 *
 *     PREAMBLE ─delimiter─▶ LINE ─CRLF─▶ HEADERS ─CRLF CRLF─▶ DATA ─delimiter─▶ LINE ...
 *                             └──"--"──▶ EPILOGUE
 *
 * The delimiter is CRLF "--" boundary; the body starts as if a CRLF had just gone by, so that a
 * delimiter may be its very first bytes. A delimiter counts only when what follows is "--" or a
 * line end (with spaces before it); else it was data: "--boundary" may begin a longer word.
 */
typedef enum {
    STATE_PREAMBLE,
    STATE_DATA,
    STATE_LINE, /* behind a delimiter, up to the line end */
    STATE_HEADERS,
    STATE_EPILOGUE,
    STATE_FAILED
} state_t;

enum {
    DELIMITER_MAX = 4 + MULTIPART_BOUNDARY_MAX,
    PADDING_MAX = 256, /* spaces and tabs behind a delimiter */
};

struct multipart {
    multipart_events_t events;
    void *context;
    state_t state;
    bool in_part; /* the delimiter now looked at ends a part */
    char delimiter[DELIMITER_MAX + 1];
    size_t delimiter_length;
    size_t matched; /* bytes of the delimiter that have gone by */
    size_t assumed; /* how many of them no part holds: the CRLF before the first byte or of the
                           empty line behind the headers */
    char padding[PADDING_MAX]; /* what followed the delimiter, to be given back when it was data */
    size_t padding_length;
    buffer_t headers;
    size_t parts;
};

/* boundary is without control bytes, as multipart_type_parse() gives it. */
multipart_t *multipart_create(const char *boundary, const multipart_events_t *events, void *context)
{
    multipart_t *multipart = memory_allocate(sizeof *multipart);
    size_t length = strnlen(boundary, MULTIPART_BOUNDARY_MAX);
    multipart->events = *events;
    multipart->context = context;
    memcpy(multipart->delimiter, "\r\n--", 4);
    memcpy(multipart->delimiter + 4, boundary, length);
    multipart->delimiter_length = 4 + length;
    multipart->matched = multipart->assumed = 2;
    return multipart;
}

void multipart_destroy(multipart_t **multipart)
{
    if (!*multipart)
        return;
    buffer_destroy(&(*multipart)->headers);
    free(*multipart);
    *multipart = NULL;
}

static status_t give_data(multipart_t *multipart, const void *bytes, size_t length)
{
    if (!multipart->in_part || length == 0)
        return STATUS_OK;
    return multipart->events.data(multipart->context, bytes, length);
}

/* The fast path: where the next delimiter stands, or may begin at the end. In pixels there is a CR every 256
 * bytes; looking for the whole delimiter goes over most of them. */
static size_t find_start(const multipart_t *multipart, const char *bytes, size_t at, size_t length)
{
    const char *whole =
        memmem(bytes + at, length - at, multipart->delimiter, multipart->delimiter_length);
    if (whole)
        return (size_t)(whole - bytes);
    if (length - at >= multipart->delimiter_length)
        at = length - multipart->delimiter_length + 1;
    const char *cr = memchr(bytes + at, '\r', length - at);
    return cr ? (size_t)(cr - bytes) : length;
}

/*
 * PREAMBLE and DATA: takes bytes up to and with a delimiter. Bytes that may begin one are held back
 * as the count `matched`: they equal the delimiter's beginning, so they need no memory. A CR stands
 * only at its beginning, so after a mismatch nothing but a new CR can be a new start.
 */
static status_t scan(multipart_t *multipart, const char *bytes, size_t length, size_t *out_taken)
{
    size_t at = 0;
    while (at < length && multipart->matched < multipart->delimiter_length) {
        if (multipart->matched == 0) {
            at = find_start(multipart, bytes, at, length);
            if (at == length)
                break;
        }
        if (bytes[at] == multipart->delimiter[multipart->matched]) {
            multipart->matched++;
            at++;
            continue;
        }
        if (multipart->matched > at) { /* what an earlier feed held back was data */
            size_t held = multipart->matched - at - multipart->assumed;
            TRY(give_data(multipart, multipart->delimiter + multipart->assumed, held));
        }
        multipart->matched = multipart->assumed = 0;
    }
    size_t held = multipart->matched < at ? multipart->matched : at;
    TRY(give_data(multipart, bytes, at - held));
    *out_taken = at;
    if (multipart->matched == multipart->delimiter_length) {
        multipart->state = STATE_LINE;
        multipart->padding_length = 0;
    }
    return STATUS_OK;
}

/* The delimiter was not one: it and what followed are data, which may hold the next delimiter. */
static status_t take_back(multipart_t *multipart)
{
    multipart->state = multipart->in_part ? STATE_DATA : STATE_PREAMBLE;
    TRY(give_data(multipart, multipart->delimiter + multipart->assumed,
                  multipart->delimiter_length - multipart->assumed));
    multipart->matched = multipart->assumed = 0;
    /* The padding holds no LF: of a delimiter at most the CR. */
    size_t taken = 0;
    return scan(multipart, multipart->padding, multipart->padding_length, &taken);
}

static status_t end_part(multipart_t *multipart)
{
    if (!multipart->in_part)
        return STATUS_OK;
    multipart->in_part = false;
    return multipart->events.end(multipart->context);
}

/* One byte behind a delimiter: "--" closes the body, [ \t]* CRLF begins a part. */
static status_t take_line_byte(multipart_t *multipart, char c)
{
    char *padding = multipart->padding;
    size_t length = multipart->padding_length;
    char last = length > 0 ? padding[length - 1] : '\0';
    if (length == PADDING_MAX)
        return fail(STATUS_INVALID, "over %d spaces behind a boundary", PADDING_MAX);
    if (length == 1 && last == '-' && c == '-') {
        TRY(end_part(multipart));
        multipart->state = STATE_EPILOGUE;
        return STATUS_OK;
    }
    if (last == '\r' && c == '\n') {
        TRY(end_part(multipart));
        if (multipart->parts == MULTIPART_PARTS_MAX)
            return fail(STATUS_TOO_LARGE, "over %d parts", MULTIPART_PARTS_MAX);
        multipart->parts++;
        buffer_clear(&multipart->headers);
        multipart->state = STATE_HEADERS;
        return STATUS_OK;
    }
    bool goes_on = last != '\r' && last != '-' &&
                   (c == ' ' || c == '\t' || c == '\r' || (c == '-' && length == 0));
    padding[multipart->padding_length++] = c;
    return goes_on ? STATUS_OK : take_back(multipart);
}

static status_t begin_part(multipart_t *multipart)
{
    buffer_t *headers = &multipart->headers;
    headers->length -= headers->length > 2 ? 4 : 2; /* without the empty line that ended them */
    if (memchr(headers->data, '\0', headers->length))
        return fail(STATUS_INVALID, "NUL in the headers of a part");
    multipart->in_part = true;
    multipart->state = STATE_DATA;
    multipart->matched = multipart->assumed = 2; /* no body at all: the next delimiter follows */
    return multipart->events.begin(multipart->context, buffer_text(headers));
}

static status_t take_header_byte(multipart_t *multipart, char c)
{
    buffer_t *headers = &multipart->headers;
    if (headers->length == MULTIPART_HEADERS_MAX)
        return fail(STATUS_TOO_LARGE, "the headers of a part have over %d bytes",
                    MULTIPART_HEADERS_MAX);
    char last = headers->length > 0 ? (char)headers->data[headers->length - 1] : '\0';
    if ((c == '\n') != (last == '\r'))
        return fail(STATUS_INVALID, "a line of a part's headers does not end in CRLF");
    buffer_append_byte(headers, (uint8_t)c);
    bool is_empty_line =
        c == '\n' &&
        (headers->length == 2 ||
         (headers->length > 3 && memcmp(headers->data + headers->length - 4, "\r\n\r\n", 4) == 0));
    return is_empty_line ? begin_part(multipart) : STATUS_OK;
}

static status_t take(multipart_t *multipart, const char *bytes, size_t length, size_t *out_taken)
{
    *out_taken = 1;
    switch (multipart->state) {
    case STATE_PREAMBLE:
    case STATE_DATA:
        return scan(multipart, bytes, length, out_taken);
    case STATE_LINE:
        return take_line_byte(multipart, *bytes);
    case STATE_HEADERS:
        return take_header_byte(multipart, *bytes);
    case STATE_EPILOGUE:
        *out_taken = length;
        return STATUS_OK;
    case STATE_FAILED:
        break;
    }
    return fail(STATUS_INVALID, "the multipart body was refused before");
}

status_t multipart_feed(multipart_t *multipart, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        size_t taken = 0;
        status_t status = take(multipart, at, length, &taken);
        if (status != STATUS_OK) {
            multipart->state = STATE_FAILED;
            return status;
        }
        at += taken;
        length -= taken;
    }
    return STATUS_OK;
}

status_t multipart_finish(multipart_t *multipart)
{
    if (multipart->state != STATE_EPILOGUE)
        return fail(STATUS_INVALID, multipart->parts == 0 && multipart->state == STATE_PREAMBLE
                                        ? "the body has no boundary"
                                        : "the body ends before its closing boundary");
    if (multipart->parts == 0)
        return fail(STATUS_INVALID, "the body has no part");
    return STATUS_OK;
}

bool multipart_header(const char *headers, const char *name, char *out_value, size_t size)
{
    size_t name_length = strlen(name);
    for (const char *line = headers; *line;) {
        size_t length = strcspn(line, "\r\n");
        char found[64];
        if (length > name_length && line[name_length] == ':' && name_length < sizeof found) {
            memcpy(found, line, name_length);
            found[name_length] = '\0';
            if (text_equal_ignore_case(found, name)) {
                const char *value = line + name_length + 1;
                const char *end = line + length;
                value += strspn(value, " \t");
                while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                    end--;
                size_t copied = (size_t)(end > value ? end - value : 0);
                if (copied >= size)
                    copied = size - 1;
                memcpy(out_value, value, copied);
                out_value[copied] = '\0';
                return true;
            }
        }
        line += length;
        line += strspn(line, "\r\n");
    }
    return false;
}
