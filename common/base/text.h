#ifndef ZPACS_BASE_TEXT_H
#define ZPACS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    UID_LENGTH_MAX = 64,     /* PS3.5 9.1 */
    AE_TITLE_LENGTH_MAX = 16 /* PS3.5 6.2 */
};

typedef char uid_text_t[UID_LENGTH_MAX + 1]; /* NUL-terminated, no padding */

/*
 * What is taken as a UID: 1 to 64 letters, digits, full stops, hyphens or underscores.
 * PS3.5 9.1 has digits and full stops only. De-identifiers put hashes in hexadecimal into UIDs, and
 * such studies are stored all over; letters do no harm, since a UID never becomes a path or a
 * statement.
 */
bool uid_is_valid(const char *text);

/* Copies at most 64 bytes up to the padding (NUL or space) at the end; false when longer. */
bool uid_copy(uid_text_t out_uid, const void *bytes, size_t length);

/* Length of the well-formed UTF-8 sequence that text begins with, or 0.        Unicode 15, Table 3-7 */
size_t text_utf8_sequence(const void *text, size_t left); /* left > 0 */
bool text_is_utf8(const char *text, size_t length);
/* Each byte that belongs to no such sequence becomes '?'. A database refuses any other text. */
void text_make_utf8(char *text);
/* At most most of length bytes of UTF-8, without a letter cut in two. */
size_t text_utf8_cut(const char *text, size_t length, size_t most);

bool text_equal_ignore_case(const char *a, const char *b);  /* ASCII */
bool text_to_uint64(const char *text, uint64_t *out_value); /* decimal, whole text, no sign */

#endif
