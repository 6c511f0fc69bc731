/* What the index is told: the newest of each pack, all of it in the end, a round at a time. */
#include "dimse/courier/announcements.h"

#include "base/memory.h"
#include "wire/wire.h"

#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_MS = 1000, PACKS = 3, INSTANCES = 200 };

typedef struct {
    char folder[32];
    wire_server_t *server;
    index_client_t *client;
    announcements_t *announcements;
    atomic_uint_fast64_t told[PACKS], messages;
} fixture_t;

static ulid_t pack_named(int number)
{
    ulid_t pack = {0};
    memset(pack.text, '0', ULID_LENGTH);
    pack.text[ULID_LENGTH - 1] = (char)('0' + number);
    return pack;
}

static status_t on_appended(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                            ProtobufCMessage *reply)
{
    fixture_t *fixture = state;
    const Index__PackAppended *asked = (const Index__PackAppended *)request;
    (void)call;
    atomic_fetch_add(&fixture->messages, 1);
    atomic_store(&fixture->told[asked->pack[ULID_LENGTH - 1] - '0'], asked->durable_offset);
    ((Index__PackIndexed *)reply)->committed_offset = asked->durable_offset;
    return STATUS_OK;
}

static void *lane_open(void *context, int lane)
{
    (void)lane;
    return context;
}

static const wire_route_t routes[] = {
    WIRE_ROUTE(index, pack_appended, pack_indexed, on_appended, 0, "dimse"), WIRE_ROUTES_END};

static int start(void **state)
{
    fixture_t *fixture = memory_allocate(sizeof *fixture);
    *state = fixture;
    strcpy(fixture->folder, "/tmp/zpacs-announce-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    assert_int_equal(wire_keys_make(fixture->folder, "index"), STATUS_OK);
    assert_int_equal(wire_keys_make(fixture->folder, "dimse"), STATUS_OK);
    AUTO_FREE char *endpoint = memory_format("ipc://%s/index.sock", fixture->folder);
    wire_server_options_t options = {.endpoint = endpoint,
                                     .keys_folder = fixture->folder,
                                     .name = "index",
                                     .routes = routes,
                                     .reading_lanes = 1,
                                     .lane_open = lane_open,
                                     .context = fixture};
    assert_int_equal(wire_server_start(&options, &fixture->server), STATUS_OK);
    assert_int_equal(index_client_open(endpoint, fixture->folder, "dimse", &fixture->client),
                     STATUS_OK);
    fixture->announcements = announcements_create();
    return 0;
}

static int unlink_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static int stop(void **state)
{
    fixture_t *fixture = *state;
    announcements_destroy(&fixture->announcements);
    index_client_close(&fixture->client);
    wire_server_stop(&fixture->server, 100);
    nftw(fixture->folder, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

/* As the courier does. */
static void turn(fixture_t *fixture)
{
    struct pollfd waiting = {.fd = index_client_fd(fixture->client), .events = POLLIN};
    poll(&waiting, 1, announcements_wait_ms(fixture->announcements, MOST_MS));
    announcements_exchange(fixture->announcements, fixture->client);
}

static void drain(fixture_t *fixture)
{
    for (int i = 0; i < 10000 && announcements_count(fixture->announcements); i++)
        turn(fixture);
    assert_int_equal(announcements_count(fixture->announcements), 0);
}

static void only_the_newest_is_told(void **state)
{
    fixture_t *fixture = *state;
    ulid_t pack = pack_named(0);
    announcements_put(fixture->announcements, &pack, 4096);
    announcements_put(fixture->announcements, &pack, 12288);
    announcements_put(fixture->announcements, &pack, 8192);
    drain(fixture);
    assert_int_equal(fixture->messages, 1);
    assert_int_equal(fixture->told[0], 12288);
}

static void what_comes_meanwhile_goes_together(void **state)
{
    fixture_t *fixture = *state;
    ulid_t first = pack_named(0);
    assert_int_equal(announcements_wait_ms(fixture->announcements, MOST_MS), MOST_MS);
    announcements_put(fixture->announcements, &first, 4096);
    assert_int_equal(announcements_wait_ms(fixture->announcements, MOST_MS), 0);
    announcements_exchange(fixture->announcements, fixture->client);
    for (int i = 1; i <= INSTANCES; i++)
        for (int number = 0; number < PACKS; number++) {
            ulid_t pack = pack_named(number);
            announcements_put(fixture->announcements, &pack, 4096 * (uint64_t)i);
        }
    assert_true(announcements_wait_ms(fixture->announcements, MOST_MS) < MOST_MS);
    drain(fixture);
    for (int number = 0; number < PACKS; number++)
        assert_int_equal(fixture->told[number], 4096 * INSTANCES);
    assert_true(fixture->messages <= PACKS + 1);
}

static void all_is_told_however_it_comes(void **state)
{
    fixture_t *fixture = *state;
    for (int i = 1; i <= INSTANCES; i++) {
        ulid_t pack = pack_named(i % PACKS);
        announcements_put(fixture->announcements, &pack, 4096 * (uint64_t)i);
        announcements_exchange(fixture->announcements, fixture->client);
    }
    drain(fixture);
    for (int i = INSTANCES - PACKS + 1; i <= INSTANCES; i++)
        assert_int_equal(fixture->told[i % PACKS], 4096 * i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_the_newest_is_told, start, stop),
        cmocka_unit_test_setup_teardown(what_comes_meanwhile_goes_together, start, stop),
        cmocka_unit_test_setup_teardown(all_is_told_however_it_comes, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
