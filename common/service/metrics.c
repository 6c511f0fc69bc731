#include "service/metrics.h"

#include "service/metrics_text.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

enum { FIRST_BUCKET_US = 100 };

static _Atomic(metric_t *) first;

void metric_register(metric_t *metric)
{
    if (atomic_load_explicit(&metric->registered, memory_order_relaxed) ||
        atomic_exchange(&metric->registered, 1))
        return;
    metric_t *next = atomic_load(&first);
    do {
        metric->next = next;
    } while (!atomic_compare_exchange_weak(&first, &next, metric));
}

void metric_add(metric_t *metric, int64_t amount)
{
    metric_register(metric);
    atomic_fetch_add_explicit(&metric->value, amount, memory_order_relaxed);
}

void metric_set(metric_t *metric, int64_t value)
{
    metric_register(metric);
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

void metric_observe_us(metric_t *metric, int64_t duration_us)
{
    int bucket = 0;
    for (int64_t limit_us = FIRST_BUCKET_US; bucket < METRIC_BUCKETS - 1 && duration_us > limit_us;
         limit_us *= 2)
        bucket++;
    metric_register(metric);
    atomic_fetch_add_explicit(&metric->value, duration_us, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->buckets[bucket], 1, memory_order_relaxed);
}

/* ---- Prometheus' text format, version 0.0.4 ------------------------------------------------ */

static const char *const kind_names[] = {[METRIC_KIND_COUNTER] = "counter",
                                         [METRIC_KIND_GAUGE] = "gauge",
                                         [METRIC_KIND_HISTOGRAM] = "histogram"};

static void append_value(const metric_t *metric, buffer_t *out_text)
{
    buffer_append_text(out_text, metric->name);
    if (metric->labels)
        buffer_printf(out_text, "{%s}", metric->labels);
    buffer_printf(out_text, " %" PRId64 "\n", atomic_load(&metric->value));
}

static void append_part(const metric_t *metric, const char *part, buffer_t *out_text)
{
    buffer_printf(out_text, "%s_%s", metric->name, part);
    if (metric->labels)
        buffer_printf(out_text, "{%s}", metric->labels);
}

static void append_histogram(const metric_t *metric, buffer_t *out_text)
{
    const char *labels = metric->labels ? metric->labels : "";
    const char *comma = metric->labels ? "," : "";
    int64_t count = 0;
    double limit_seconds = FIRST_BUCKET_US / 1e6;
    for (int i = 0; i < METRIC_BUCKETS; i++, limit_seconds *= 2) {
        count += atomic_load(&metric->buckets[i]);
        buffer_printf(out_text, "%s_bucket{%s%sle=\"", metric->name, labels, comma);
        if (i == METRIC_BUCKETS - 1)
            buffer_append_text(out_text, "+Inf");
        else
            buffer_printf(out_text, "%g", limit_seconds);
        buffer_printf(out_text, "\"} %" PRId64 "\n", count);
    }
    append_part(metric, "sum", out_text);
    buffer_printf(out_text, " %.6f\n", (double)atomic_load(&metric->value) / 1e6);
    append_part(metric, "count", out_text);
    buffer_printf(out_text, " %" PRId64 "\n", count);
}

/* Rows of one name stand together under one HELP and TYPE, so each name is shown at its first. */
static void append_family(const metric_t *head, buffer_t *out_text)
{
    buffer_printf(out_text, "# HELP %s %s\n# TYPE %s %s\n", head->name, head->help, head->name,
                  kind_names[head->kind]);
    for (const metric_t *metric = head; metric; metric = metric->next) {
        if (strcmp(metric->name, head->name) != 0)
            continue;
        if (metric->kind == METRIC_KIND_HISTOGRAM)
            append_histogram(metric, out_text);
        else
            append_value(metric, out_text);
    }
}

void metrics_append_text(buffer_t *out_text)
{
    const metric_t *start = atomic_load(&first);
    for (const metric_t *metric = start; metric; metric = metric->next) {
        const metric_t *earlier = start;
        while (strcmp(earlier->name, metric->name) != 0)
            earlier = earlier->next;
        if (earlier == metric)
            append_family(metric, out_text);
    }
}
