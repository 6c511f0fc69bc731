#include "service/metrics.h"
#include "service/metrics_text.h"

#include <pthread.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static metric_t stored = METRIC_COUNTER("zpacs_test_stored_total", "Instances stored.");
static metric_t get = METRIC_COUNTER("zpacs_test_requests_total", "Requests.");
static metric_t post = METRIC_COUNTER("zpacs_test_requests_total", "Requests.");
static metric_t open_now = METRIC_GAUGE("zpacs_test_open", "Open now.");
static metric_t unused = METRIC_GAUGE("zpacs_test_unused", "Never touched.");
static metric_t waited = METRIC_HISTOGRAM("zpacs_test_wait_seconds", "Waiting.");

static void *add_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < 10000; i++)
        metric_add(&stored, 1);
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    AUTO_BUFFER text = {0};
    metrics_append_text(&text);
    assert_non_null(strstr(buffer_text(&text), "# HELP zpacs_test_stored_total Instances stored.\n"
                                               "# TYPE zpacs_test_stored_total counter\n"
                                               "zpacs_test_stored_total 40000\n"));
}

static void labels_of_one_name_stand_together(void **state)
{
    (void)state;
    get.labels = "method=\"GET\"";
    post.labels = "method=\"POST\"";
    metric_add(&get, 3);
    metric_set(&open_now, -2);
    metric_add(&post, 4);
    AUTO_BUFFER text = {0};
    metrics_append_text(&text);
    const char *all = buffer_text(&text);
    assert_non_null(strstr(all, "# TYPE zpacs_test_requests_total counter\n"
                                "zpacs_test_requests_total{method=\"POST\"} 4\n"
                                "zpacs_test_requests_total{method=\"GET\"} 3\n"));
    const char *type = strstr(all, "# TYPE zpacs_test_requests_total");
    assert_null(strstr(type + 1, "# TYPE zpacs_test_requests_total"));
    assert_non_null(strstr(all, "zpacs_test_open -2\n"));
    assert_null(strstr(all, unused.name));
    metric_register(&unused);
    buffer_clear(&text);
    metrics_append_text(&text);
    assert_non_null(strstr(buffer_text(&text), "zpacs_test_unused 0\n"));
}

static void buckets_are_cumulative(void **state)
{
    (void)state;
    metric_observe_us(&waited, 0);
    metric_observe_us(&waited, 100);
    metric_observe_us(&waited, 101);
    metric_observe_us(&waited, 3600000000);
    AUTO_BUFFER text = {0};
    metrics_append_text(&text);
    const char *all = buffer_text(&text);
    assert_non_null(strstr(all, "zpacs_test_wait_seconds_bucket{le=\"0.0001\"} 2\n"
                                "zpacs_test_wait_seconds_bucket{le=\"0.0002\"} 3\n"));
    assert_non_null(strstr(all, "zpacs_test_wait_seconds_bucket{le=\"1.6384\"} 3\n"
                                "zpacs_test_wait_seconds_bucket{le=\"+Inf\"} 4\n"
                                "zpacs_test_wait_seconds_sum 3600.000201\n"
                                "zpacs_test_wait_seconds_count 4\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_lose_nothing),
        cmocka_unit_test(labels_of_one_name_stand_together),
        cmocka_unit_test(buckets_are_cumulative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
