#include "wire/wire.h"

#include "base/clock.h"
#include "base/memory.h"
#include "index.pb-c.h"

#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static char folder[] = "/tmp/zpacs-doorbell-XXXXXX";
static char *endpoint;

static wire_publisher_t *open_publisher(const char *where)
{
    wire_publisher_t *publisher = NULL;
    assert_int_equal(wire_publisher_open(where, folder, "index", &publisher), STATUS_OK);
    return publisher;
}

static wire_subscriber_t *open_subscriber(const char *where, const char *name)
{
    wire_subscriber_t *subscriber = NULL;
    assert_int_equal(wire_subscriber_open(where, folder, name, "index", &subscriber), STATUS_OK);
    return subscriber;
}

static void ring(wire_publisher_t *publisher, uint64_t last)
{
    Index__Changed changed = INDEX__CHANGED__INIT;
    static char epoch[] = "e";
    changed.epoch = epoch;
    changed.last = last;
    wire_publisher_send(publisher, &changed.base);
}

static status_t hear(wire_subscriber_t *subscriber, int wait_ms, uint64_t *out_last)
{
    ProtobufCMessage *message = NULL;
    TRY(wire_subscriber_wait(subscriber, &index__changed__descriptor, wait_ms, &message));
    *out_last = ((Index__Changed *)message)->last;
    protobuf_c_message_free_unpacked(message, NULL);
    return STATUS_OK;
}

/* A subscription begins some time after the connection: rings until it does. */
static void meet(wire_publisher_t *publisher, wire_subscriber_t *subscriber)
{
    uint64_t last = 0;
    for (int i = 0; i < 200; i++) {
        ring(publisher, 7);
        if (hear(subscriber, 25, &last) == STATUS_OK && last == 7)
            break;
    }
    assert_int_equal(last, 7);
    while (hear(subscriber, 50, &last) == STATUS_OK)
        continue;
}

static void a_bell_is_heard_by_all(void **state)
{
    (void)state;
    uint64_t last = 0;
    wire_subscriber_t *early = open_subscriber(endpoint, "dicomweb"); /* before anybody is there */
    assert_int_equal(hear(early, 10, &last), STATUS_BUSY);
    wire_publisher_t *publisher = open_publisher(endpoint);
    wire_subscriber_t *late = open_subscriber(endpoint, "dimse");
    meet(publisher, early);
    meet(publisher, late);
    while (hear(early, 0, &last) == STATUS_OK)
        continue;
    Index__Found other = INDEX__FOUND__INIT;
    wire_publisher_send(publisher, &other.base); /* what it does not know it passes over */
    ring(publisher, 8);
    assert_int_equal(hear(early, 5000, &last), STATUS_OK);
    assert_int_equal(last, 8);
    assert_int_equal(hear(late, 5000, &last), STATUS_OK);
    assert_int_equal(last, 8);
    wire_subscriber_close(&early);
    wire_subscriber_close(&late);
    wire_publisher_close(&publisher);
    assert_null(publisher);
}

/* Nobody waits for one that does not listen; it misses some, and hears the next again. */
static void a_slow_subscriber_loses_and_goes_on(void **state)
{
    (void)state;
    enum { RINGS = 200000 };
    wire_publisher_t *publisher = open_publisher("tcp://127.0.0.1:*");
    wire_subscriber_t *subscriber = open_subscriber(wire_publisher_endpoint(publisher), "dicomweb");
    meet(publisher, subscriber);
    for (uint64_t i = 1; i <= RINGS; i++)
        ring(publisher, 1000 + i);
    uint64_t heard = 0, before = 0, last = 0;
    while (hear(subscriber, 300, &last) == STATUS_OK) {
        assert_true(last > before);
        before = last;
        heard++;
    }
    assert_in_range(heard, 1, RINGS - 1);
    ring(publisher, 2 * RINGS);
    assert_int_equal(hear(subscriber, 5000, &last), STATUS_OK);
    assert_int_equal(last, 2 * RINGS);
    wire_subscriber_close(&subscriber);
    wire_publisher_close(&publisher);
}

static void a_broken_connection_is_said_and_mended(void **state)
{
    (void)state;
    uint64_t last = 0;
    wire_publisher_t *publisher = open_publisher(endpoint);
    AUTO_FREE char *other = memory_format("ipc://%s/run/other.sock", folder);
    AUTO_FREE char *both = memory_format("%s,%s", endpoint, other);
    wire_publisher_t *second = open_publisher(other);
    wire_subscriber_t *subscriber = open_subscriber(both, "dicomweb");
    meet(publisher, subscriber);
    meet(second, subscriber);
    wire_publisher_close(&publisher);
    assert_int_equal(hear(subscriber, 5000, &last), STATUS_UNAVAILABLE);
    ring(second, 9);
    assert_int_equal(hear(subscriber, 5000, &last), STATUS_OK);
    assert_int_equal(last, 9);
    publisher = open_publisher(endpoint);
    meet(publisher, subscriber);
    wire_subscriber_close(&subscriber);
    wire_publisher_close(&publisher);
    wire_publisher_close(&second);
}

static void strangers_hear_nothing(void **state)
{
    (void)state;
    uint64_t last = 0;
    AUTO_FREE char *allowed = memory_format("%s/allowed/banned.pub", folder);
    assert_int_equal(wire_keys_make(folder, "banned"), STATUS_OK);
    assert_int_equal(unlink(allowed), 0);
    wire_publisher_t *publisher = open_publisher(endpoint);
    wire_subscriber_t *banned = open_subscriber(endpoint, "banned");
    wire_subscriber_t *known = open_subscriber(endpoint, "dimse");
    zsock_t *plain = zsock_new(ZMQ_SUB);
    zsock_set_subscribe(plain, "");
    zsock_set_rcvtimeo(plain, 100);
    assert_int_equal(zsock_connect(plain, "%s", endpoint), 0);
    meet(publisher, known);
    for (int i = 0; i < 20; i++) {
        ring(publisher, 10);
        assert_int_not_equal(hear(banned, 25, &last), STATUS_OK);
    }
    char byte;
    assert_int_equal(zmq_recv(zsock_resolve(plain), &byte, 1, 0), -1);
    zsock_destroy(&plain);
    wire_subscriber_close(&banned);
    wire_subscriber_close(&known);
    wire_publisher_close(&publisher);
}

static void a_bad_address_is_said(void **state)
{
    (void)state;
    wire_publisher_t *publisher = NULL;
    wire_subscriber_t *subscriber = NULL;
    assert_int_equal(wire_publisher_open("tcp://192.0.2.1:1", folder, "index", &publisher),
                     STATUS_UNAVAILABLE);
    assert_int_equal(wire_publisher_open(endpoint, folder, "nobody", &publisher),
                     STATUS_UNAVAILABLE);
    assert_int_equal(wire_subscriber_open("nonsense", folder, "dimse", "index", &subscriber),
                     STATUS_INVALID);
    assert_int_equal(wire_subscriber_open(endpoint, folder, "nobody", "index", &subscriber),
                     STATUS_UNAVAILABLE);
    assert_null(publisher);
    assert_null(subscriber);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    endpoint = memory_format("ipc://%s/run/bell.sock", folder);
    return wire_keys_make(folder, "index") || wire_keys_make(folder, "dimse") ||
           wire_keys_make(folder, "dicomweb");
}

static int tear_down(void **state)
{
    (void)state;
    free(endpoint);
    zdir_t *all = zdir_new(folder, NULL);
    zdir_remove(all, true);
    zdir_destroy(&all);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bell_is_heard_by_all),
        cmocka_unit_test(a_slow_subscriber_loses_and_goes_on),
        cmocka_unit_test(a_broken_connection_is_said_and_mended),
        cmocka_unit_test(strangers_hear_nothing),
        cmocka_unit_test(a_bad_address_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
