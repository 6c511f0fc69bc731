#ifndef ZPACS_INDEX_VALUES_H
#define ZPACS_INDEX_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The searched forms of dates, times and numbers; stored values and query keys share them. */
typedef char date_text_t[9];  /* "20261124" */
typedef char time_text_t[13]; /* "183000250000": to the microsecond */

/* DA, also "2026.11.24" of old data; false when it is none.                          PS3.5 6.2 */
bool value_date(const char *text, size_t length, date_text_t out_date);

/* TM of any precision, also with colons; filled up to the first or, with latest, to the last instant
 * that it stands for; false when it is none.                                         PS3.5 6.2 */
bool value_time(const char *text, size_t length, bool latest, time_text_t out_time);

/* IS or whole DS, blanks around it allowed. */
bool value_number(const char *text, size_t length, int64_t *out_number);

/* Without blanks and NULs at both ends. */
void value_trim(const char **text, size_t *length);

#endif
