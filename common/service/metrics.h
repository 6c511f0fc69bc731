#ifndef ZPACS_SERVICE_METRICS_H
#define ZPACS_SERVICE_METRICS_H

#include <stdint.h>

/*
 * Counters, gauges and histograms of this process, shown in Prometheus' text format at /metrics.
 * Registration is by static table rows; updating is lock-free and may be done from any thread.
 *
 *     static metric_t stored = METRIC_COUNTER("zpacs_instances_stored_total", "Instances stored.");
 *     metric_add(&stored, 1);
 *
 * A metric joins the list at its first use or with metric_register().
 */
enum { METRIC_BUCKETS = 16 };

typedef enum { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM } metric_kind_t;

typedef struct metric {
    const char *name, *help;
    metric_kind_t kind;
    const char *labels;                      /* "route=\"qido\"" or NULL */
    _Atomic int64_t value;                   /* counter, gauge; histogram: sum in microseconds */
    _Atomic int64_t buckets[METRIC_BUCKETS]; /* histogram: 0.1 ms, doubled each time; last +Inf */
    _Atomic int registered;
    struct metric *next;
} metric_t;

/* clang-format off */
#define METRIC_COUNTER(name, help)   {name, help, METRIC_KIND_COUNTER, 0, 0, {0}, 0, 0}
#define METRIC_GAUGE(name, help)     {name, help, METRIC_KIND_GAUGE, 0, 0, {0}, 0, 0}
#define METRIC_HISTOGRAM(name, help) {name, help, METRIC_KIND_HISTOGRAM, 0, 0, {0}, 0, 0}
/* clang-format on */

void metric_register(metric_t *metric);
void metric_add(metric_t *metric, int64_t amount);
void metric_set(metric_t *metric, int64_t value);
void metric_observe_us(metric_t *metric, int64_t duration_us);

#endif
