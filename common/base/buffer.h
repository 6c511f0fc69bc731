#ifndef ZPACS_BASE_BUFFER_H
#define ZPACS_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Growable bytes. `{0}` is an empty buffer; data is NULL while capacity is 0. */
typedef struct {
    uint8_t *data;
    size_t length;
    size_t capacity;
} buffer_t;

void buffer_reserve(buffer_t *buffer, size_t additional);

/* Here, since JSON is made of millions of short ones. */
static inline void buffer_append(buffer_t *buffer, const void *bytes, size_t length)
{
    if (!length)
        return;
    if (length > buffer->capacity - buffer->length)
        buffer_reserve(buffer, length);
    memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
}

static inline void buffer_append_text(buffer_t *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

static inline void buffer_append_byte(buffer_t *buffer, uint8_t byte)
{
    if (buffer->length == buffer->capacity)
        buffer_reserve(buffer, 1);
    buffer->data[buffer->length++] = byte;
}

void buffer_printf(buffer_t *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends text as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. RFC 8259
 */
void buffer_append_json(buffer_t *buffer, const char *text, size_t length);

/* The bytes with a NUL behind them (not counted); never NULL; valid until the next append. */
const char *buffer_text(buffer_t *buffer);

void buffer_clear(buffer_t *buffer);   /* keeps the memory */
void buffer_destroy(buffer_t *buffer); /* frees the memory; the struct may be used again */

#define AUTO_BUFFER __attribute__((cleanup(buffer_destroy))) buffer_t

#endif
