#ifndef ZPACS_DICOMWEB_FRAME_LIST_H
#define ZPACS_DICOMWEB_FRAME_LIST_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { FRAME_LIST_MAX = 4096 };

typedef struct {
    uint32_t *numbers; /* from 1, in the order written; free() */
    size_t count;
} frame_list_t;

/* "1,2,7".  Fails: INVALID (not a list of positive numbers), TOO_LARGE.    PS3.18 10.4.1.1.6 */
status_t frame_list_parse(const char *text, frame_list_t *out_list);

#endif
