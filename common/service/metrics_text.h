#ifndef ZPACS_SERVICE_METRICS_TEXT_H
#define ZPACS_SERVICE_METRICS_TEXT_H

#include "base/buffer.h"

/* Appends all registered metrics in Prometheus' text format 0.0.4. */
void metrics_append_text(buffer_t *out_text);

#endif
