#include "client/index_client.h"
#include "client/index_doorbell.h"

#include "base/memory.h"
#include "wire/wire.h"

#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* Each handler answers with something made of the question. (fail): past cmocka's macro. */

static char folder[] = "/tmp/zpacs-client-XXXXXX";
static char *endpoint;
static wire_server_t *server;

#define HANDLER(name, Request, Reply, body)                                                        \
    static status_t name(void *state, const wire_call_t *call, const ProtobufCMessage *request,    \
                         ProtobufCMessage *reply)                                                  \
    {                                                                                              \
        const Request *asked = (const Request *)request;                                           \
        Reply *answer = (Reply *)reply;                                                            \
        (void)state, (void)call, (void)asked, (void)answer;                                        \
        body;                                                                                      \
        return STATUS_OK;                                                                          \
    }

HANDLER(on_appended, Index__PackAppended, Index__PackIndexed,
        answer->committed_offset = asked->durable_offset + asked->outcomes_from +
                                   strlen(asked->pack))
HANDLER(on_find, Index__Find, Index__Found, answer->more = asked->level == INDEX__LEVEL__SERIES)
HANDLER(on_locate, Index__Locate, Index__Located,
        answer->next = memory_copy_text(asked->study_instance_uid))
HANDLER(on_delete, Index__Delete, Index__Deleted,
        return (fail)(STATUS_NOT_FOUND, "no study %s", asked->study_instance_uid))
HANDLER(on_changes, Index__Changes, Index__ChangeList, answer->last = asked->since + 1;
        answer->epoch = memory_copy_text(call->trace_id))
HANDLER(on_statistics, Index__GetStatistics, Index__Statistics, answer->studies = 42)
HANDLER(on_rebuild, Index__Rebuild, Index__Rebuilding, return (fail)(STATUS_BUSY, "at it"))
HANDLER(
    on_conflicts, Index__ListConflicts, Index__ConflictList,
    answer->next = memory_copy_text(asked->after);
    answer->conflicts = memory_allocate(asked->limit * sizeof *answer->conflicts);
    for (; answer->n_conflicts < asked->limit; answer->n_conflicts++) {
        Index__Conflict *row = memory_allocate(sizeof *row);
        index__conflict__init(row);
        answer->conflicts[answer->n_conflicts] = row;
    })

static const wire_route_t routes[] = {
    WIRE_ROUTE(index, pack_appended, pack_indexed, on_appended, 0, "dicomweb"),
    WIRE_ROUTE(index, find, found, on_find, 1, "dicomweb"),
    WIRE_ROUTE(index, locate, located, on_locate, 1, "dicomweb"),
    WIRE_ROUTE(index, delete, deleted, on_delete, 0, "dicomweb"),
    WIRE_ROUTE(index, changes, change_list, on_changes, 1, "dicomweb"),
    WIRE_ROUTE(index, get_statistics, statistics, on_statistics, 1, "dicomweb"),
    WIRE_ROUTE(index, rebuild, rebuilding, on_rebuild, 0, "dicomweb"),
    WIRE_ROUTE(index, list_conflicts, conflict_list, on_conflicts, 1, "dicomweb"),
    WIRE_ROUTES_END};

static void each_question_gets_its_answer(void **state)
{
    (void)state;
    index_client_t *client = NULL;
    assert_int_equal(index_client_open(endpoint, folder, "dicomweb", &client), STATUS_OK);

    Index__PackIndexed *indexed = NULL;
    assert_int_equal(index_client_pack_appended(client, "pack", 1000, 200, 3000, &indexed),
                     STATUS_OK);
    assert_int_equal(indexed->committed_offset, 1204);
    index__pack_indexed__free_unpacked(indexed, NULL);

    Index__Find find = INDEX__FIND__INIT;
    Index__Found *found = NULL;
    find.level = INDEX__LEVEL__SERIES;
    assert_int_equal(index_client_find(client, &find, &found), STATUS_OK);
    assert_true(found->more);
    index__found__free_unpacked(found, NULL);

    char uid[] = "1.2.3";
    Index__Locate locate = INDEX__LOCATE__INIT;
    Index__Located *located = NULL;
    locate.study_instance_uid = uid;
    assert_int_equal(index_client_locate(client, &locate, &located), STATUS_OK);
    assert_string_equal(located->next, uid);
    index__located__free_unpacked(located, NULL);

    Index__Delete what = INDEX__DELETE__INIT;
    Index__Deleted *deleted = NULL;
    what.study_instance_uid = uid;
    assert_int_equal(index_client_delete(client, &what, &deleted), STATUS_NOT_FOUND);
    assert_string_equal(fail_detail(), "no study 1.2.3");
    assert_null(deleted);

    Index__Changes since = INDEX__CHANGES__INIT;
    Index__ChangeList *changes = NULL;
    since.since = 7;
    index_client_set_trace(client, "trace-7");
    assert_int_equal(index_client_changes(client, &since, &changes), STATUS_OK);
    assert_int_equal(changes->last, 8);
    assert_string_equal(changes->epoch, "trace-7");
    index__change_list__free_unpacked(changes, NULL);

    Index__Statistics *statistics = NULL;
    assert_int_equal(index_client_statistics(client, &statistics), STATUS_OK);
    assert_int_equal(statistics->studies, 42);
    index__statistics__free_unpacked(statistics, NULL);

    assert_int_equal(index_client_rebuild(client), STATUS_BUSY);
    assert_string_equal(fail_detail(), "at it");

    Index__ConflictList *conflicts = NULL;
    assert_int_equal(index_client_conflicts(client, 3, "7 place 8", &conflicts), STATUS_OK);
    assert_int_equal(conflicts->n_conflicts, 3);
    assert_string_equal(conflicts->next, "7 place 8");
    index__conflict_list__free_unpacked(conflicts, NULL);
    index_client_close(&client);
    assert_null(client);
}

static void telling_does_not_wait(void **state)
{
    (void)state;
    index_client_t *client = NULL;
    uint64_t sent = 0, id = 0, offset = 0;
    status_t answer = STATUS_INTERNAL;
    assert_int_equal(index_client_open(endpoint, folder, "dicomweb", &client), STATUS_OK);
    struct pollfd waiting = {.fd = index_client_fd(client), .events = POLLIN};
    int tries = 0;
    while (index_client_tell_pack_appended(client, "abc", 4096, &sent) == STATUS_BUSY) {
        assert_int_equal(index_client_take_pack_indexed(client, &id, &answer, &offset),
                         STATUS_BUSY);
        poll(&waiting, 1, 100); /* until the connection stands */
        assert_in_range(++tries, 1, 100);
    }
    while (index_client_take_pack_indexed(client, &id, &answer, &offset) == STATUS_BUSY)
        assert_int_equal(poll(&waiting, 1, 5000), 1);
    assert_true(id == sent);
    assert_int_equal(answer, STATUS_OK);
    assert_int_equal(offset, 4099);
    index_client_close(&client);
}

static void ring(wire_publisher_t *publisher, uint64_t last)
{
    Index__Changed changed = INDEX__CHANGED__INIT;
    changed.last = last;
    wire_publisher_send(publisher, &changed.base);
}

/* Of many bells that were not listened to, the last one counts; a broken connection is told. */
static void the_newest_bell_counts(void **state)
{
    (void)state;
    AUTO_FREE char *where = memory_format("ipc://%s/changes.sock", folder);
    wire_publisher_t *publisher = NULL;
    index_doorbell_t *doorbell = NULL;
    Index__Changed *changed = NULL;
    assert_int_equal(wire_publisher_open(where, folder, "index", &publisher), STATUS_OK);
    assert_int_equal(index_doorbell_open(where, folder, "dicomweb", &doorbell), STATUS_OK);
    for (int i = 0; i < 200 && !changed; i++) { /* until the subscription has begun */
        ring(publisher, 1);
        (void)index_doorbell_wait(doorbell, 25, &changed);
    }
    assert_non_null(changed);
    index__changed__free_unpacked(changed, NULL);
    for (uint64_t last = 2; last <= 20; last++)
        ring(publisher, last);
    uint64_t heard = 0;
    int bells = 0;
    while (heard < 20) { /* what has not arrived yet comes with the next */
        assert_int_equal(index_doorbell_wait(doorbell, 5000, &changed), STATUS_OK);
        assert_true(changed->last > heard || changed->last == 1);
        heard = changed->last;
        bells++;
        index__changed__free_unpacked(changed, NULL);
        usleep(20000);
    }
    assert_in_range(bells, 1, 18); /* not one by one */
    assert_int_equal(index_doorbell_wait(doorbell, 10, &changed), STATUS_BUSY);
    wire_publisher_close(&publisher);
    assert_int_equal(index_doorbell_wait(doorbell, 5000, &changed), STATUS_UNAVAILABLE);
    index_doorbell_close(&doorbell);
    assert_null(doorbell);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || wire_keys_make(folder, "index") || wire_keys_make(folder, "dicomweb"))
        return -1;
    endpoint = memory_format("ipc://%s/index.sock", folder);
    const wire_server_options_t options = {.endpoint = endpoint,
                                           .keys_folder = folder,
                                           .name = "index",
                                           .routes = routes,
                                           .reading_lanes = 1};
    return (int)wire_server_start(&options, &server);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info, (void)type, (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    wire_server_stop(&server, 1000);
    free(endpoint);
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_question_gets_its_answer),
        cmocka_unit_test(telling_does_not_wait),
        cmocka_unit_test(the_newest_bell_counts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
