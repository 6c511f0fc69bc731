#ifndef ZPACS_SERVICE_PAGE_H
#define ZPACS_SERVICE_PAGE_H

#include "base/buffer.h"

/* A JSON page of the service's own on the admin port; written as health() is asked. */
typedef struct {
    const char *path; /* "/refused"; NULL ends the table */
    void (*write)(void *state, buffer_t *out_json);
} service_page_t;

#endif
