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

bool text_equal_ignore_case(const char *a, const char *b);  /* ASCII */
bool text_to_uint64(const char *text, uint64_t *out_value); /* decimal, whole text, no sign */

#endif
