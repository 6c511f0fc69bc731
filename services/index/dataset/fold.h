#ifndef ZPACS_INDEX_FOLD_H
#define ZPACS_INDEX_FOLD_H

#include "base/buffer.h"

#include <stddef.h>

/*
 * The form of a text that is searched: lower case and without accents for Latin, Greek and
 * Cyrillic, full-width Latin as plain; other scripts stay as they are. Stored values and queries
 * go through the same function, so that "MÜLLER" finds "Muller" and the other way round.
 *
 * text  UTF-8; bytes that are not are dropped
 */
void fold_append(buffer_t *out, const char *text, size_t length);

/* One component group of a person's name: folded, without blanks around its components and
 * without empty components at the end ("DOE^JOHN^^" is "doe^john").              PS3.5 6.2.1.1 */
void fold_append_name(buffer_t *out, const char *group, size_t length);

#endif
