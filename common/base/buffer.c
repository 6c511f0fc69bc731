#include "base/buffer.h"
#include "base/memory.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_reserve(buffer_t *buffer, size_t additional)
{
    size_t needed;
    if (__builtin_add_overflow(buffer->length, additional, &needed))
        abort();
    if (needed <= buffer->capacity)
        return;
    size_t capacity = buffer->capacity ? buffer->capacity : 256;
    while (capacity < needed)
        if (__builtin_mul_overflow(capacity, (size_t)2, &capacity))
            abort();
    buffer->data = memory_resize(buffer->data, capacity);
    buffer->capacity = capacity;
}

/* Straight into the buffer; what does not fit is written again. */
void buffer_printf(buffer_t *buffer, const char *format, ...)
{
    enum { LIKELY = 64 };
    buffer_reserve(buffer, LIKELY);
    size_t room = buffer->capacity - buffer->length;
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf((char *)buffer->data + buffer->length, room, format, arguments);
    if (length < 0)
        abort();
    if ((size_t)length >= room) {
        buffer_reserve(buffer, (size_t)length + 1);
        vsnprintf((char *)buffer->data + buffer->length, (size_t)length + 1, format, again);
    }
    va_end(again);
    va_end(arguments);
    buffer->length += (size_t)length;
}

void buffer_append_json(buffer_t *buffer, const char *text, size_t length)
{
    const uint8_t *bytes = (const uint8_t *)text;
    buffer_append_byte(buffer, '"');
    for (size_t i = 0; i < length;) {
        size_t sequence = text_utf8_sequence(bytes + i, length - i);
        if (sequence == 0) {
            buffer_append_text(buffer, "\xEF\xBF\xBD");
            i++;
        } else if (sequence == 1 && (bytes[i] < 0x20 || bytes[i] == 0x7F)) {
            buffer_printf(buffer, "\\u%04x", bytes[i]);
            i++;
        } else {
            if (bytes[i] == '"' || bytes[i] == '\\')
                buffer_append_byte(buffer, '\\');
            buffer_append(buffer, bytes + i, sequence);
            i += sequence;
        }
    }
    buffer_append_byte(buffer, '"');
}

const char *buffer_text(buffer_t *buffer)
{
    buffer_reserve(buffer, 1);
    buffer->data[buffer->length] = 0;
    return (const char *)buffer->data;
}

void buffer_clear(buffer_t *buffer)
{
    buffer->length = 0;
}

void buffer_destroy(buffer_t *buffer)
{
    free(buffer->data);
    *buffer = (buffer_t){0};
}
