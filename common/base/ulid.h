#ifndef ZPACS_BASE_ULID_H
#define ZPACS_BASE_ULID_H

#include <stdbool.h>

enum { ULID_LENGTH = 26 };

/* Universally unique, sortable by time of making: 26 characters of Crockford's base 32. */
typedef struct {
    char text[ULID_LENGTH + 1];
} ulid_t;

ulid_t ulid_make(void);
bool ulid_is_valid(const char *text); /* exactly 26 upper-case Crockford characters */

#endif
