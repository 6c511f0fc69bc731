#include "wire/peers.h"
#include "wire/wire.h"

#include "base/clock.h"
#include "base/memory.h"
#include "index.pb-c.h"

#include <czmq.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* ---- replicas: each answers with its number -------------------------------------------------- */

enum { REPLICAS = 3, KEYS = 64 };

typedef struct {
    uint64_t number;
    atomic_int handled;
    atomic_bool is_sick;
    char *endpoint;
    wire_server_t *server;
    pid_t pid; /* of one that runs in a process of its own, to be killed */
} replica_t;

static replica_t replicas[REPLICAS];
static char folder[] = "/tmp/zpacs-peers-XXXXXX";

static void *lane_open(void *context, int lane)
{
    (void)lane;
    return context;
}

static status_t handle(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                       ProtobufCMessage *reply)
{
    replica_t *replica = state;
    const Index__PackAppended *asked = (const Index__PackAppended *)request;
    (void)call;
    replica->handled++;
    if (asked->outcomes_from)
        usleep((useconds_t)asked->outcomes_from);
    if (replica->is_sick)
        return (fail)(STATUS_UNAVAILABLE, "replica %d is sick", (int)replica->number);
    ((Index__PackIndexed *)reply)->committed_offset = replica->number;
    return STATUS_OK;
}

static const wire_route_t routes[] = {
    WIRE_ROUTE(index, pack_appended, pack_indexed, handle, 0, "dimse"), WIRE_ROUTES_END};

static status_t try_start(replica_t *replica)
{
    const wire_server_options_t options = {.endpoint = replica->endpoint,
                                           .keys_folder = folder,
                                           .name = "index",
                                           .routes = routes,
                                           .lane_open = lane_open,
                                           .context = replica};
    return wire_server_start(&options, &replica->server);
}

static void start(replica_t *replica)
{
    status_t status = try_start(replica);
    if (status != STATUS_OK)
        fail_msg("replica: %s %s", status_name(status), fail_detail());
    free(replica->endpoint);
    replica->endpoint = memory_copy_text(wire_server_endpoint(replica->server));
}

/* TCP keeps a port for a moment after its server: SO_REUSEADDR is libzmq's own. */
static void start_all(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(replicas[i].endpoint);
        replicas[i] = (replica_t){.number = i + 1};
        replicas[i].endpoint = memory_format("tcp://127.0.0.%zu:*", i + 2);
        start(&replicas[i]);
    }
}

static void stop_all(void)
{
    for (size_t i = 0; i < REPLICAS; i++)
        wire_server_stop(&replicas[i].server, 0);
}

static char *all_endpoints(size_t count)
{
    char *list = memory_copy_text(replicas[0].endpoint);
    for (size_t i = 1; i < count; i++) {
        char *longer = memory_format("%s,%s", list, replicas[i].endpoint);
        free(list);
        list = longer;
    }
    return list;
}

static wire_client_t *open_client(const char *endpoint)
{
    wire_client_t *client = NULL;
    assert_int_equal(wire_client_open(endpoint, folder, "dimse", "index", &client), STATUS_OK);
    return client;
}

/* out_number: who answered. */
static status_t ask(wire_client_t *client, uint64_t key, uint64_t sleep_us, uint64_t *out_number)
{
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    request.outcomes_from = sleep_us;
    ProtobufCMessage *reply = NULL;
    wire_client_set_affinity(client, key);
    TRY(wire_client_call(client, &request.base, &index__pack_indexed__descriptor, 5000, &reply));
    *out_number = ((Index__PackIndexed *)reply)->committed_offset;
    protobuf_c_message_free_unpacked(reply, NULL);
    return STATUS_OK;
}

static unsigned bit_of(uint64_t number)
{
    return number > 0 ? 1u << (number - 1) : 0;
}

/* Until all of them have answered: then the client is connected to all. */
static void meet(wire_client_t *client, size_t count)
{
    unsigned met = 0;
    for (int i = 0; i < 500 && met != (1u << count) - 1; i++) {
        uint64_t number = 0;
        assert_int_equal(ask(client, 0, 0, &number), STATUS_OK);
        met |= bit_of(number);
        usleep(10000);
    }
    assert_int_equal(met, (1u << count) - 1);
}

/* ---- choosing ---------------------------------------------------------------------------------- */

static void requests_take_turns(void **state)
{
    (void)state;
    start_all(2);
    AUTO_FREE char *all = all_endpoints(2);
    wire_client_t *client = open_client(all);
    meet(client, 2);
    replicas[0].handled = replicas[1].handled = 0;
    for (int i = 0; i < 40; i++) {
        uint64_t number = 0;
        assert_int_equal(ask(client, 0, 0, &number), STATUS_OK);
    }
    assert_int_equal(replicas[0].handled, 20);
    assert_int_equal(replicas[1].handled, 20);
    wire_client_close(&client);
    stop_all();
}

static void choose(wire_client_t *client, uint64_t *out_numbers)
{
    for (uint64_t key = 1; key <= KEYS; key++)
        assert_int_equal(ask(client, key, 0, &out_numbers[key - 1]), STATUS_OK);
}

static void a_key_stays_with_one_replica(void **state)
{
    (void)state;
    uint64_t mine[KEYS], yours[KEYS], fewer[KEYS], again[KEYS];
    int per_replica[REPLICAS + 1] = {0};
    start_all(REPLICAS);
    AUTO_FREE char *all = all_endpoints(REPLICAS);
    AUTO_FREE char *turned = memory_format("%s, %s ,%s", replicas[2].endpoint, replicas[0].endpoint,
                                           replicas[1].endpoint);
    wire_client_t *one = open_client(all), *other = open_client(turned);
    choose(one, mine); /* though not all connections stand at the first question */
    choose(other, yours);
    assert_memory_equal(mine, yours, sizeof mine);
    for (size_t i = 0; i < KEYS; i++)
        per_replica[mine[i]]++;
    for (int i = 1; i <= REPLICAS; i++)
        assert_in_range(per_replica[i], KEYS / 8, KEYS * 5 / 8);

    wire_server_stop(&replicas[1].server, 0);
    choose(one, fewer);
    for (size_t i = 0; i < KEYS; i++)
        if (mine[i] == replicas[1].number)
            assert_int_not_equal(fewer[i], replicas[1].number);
        else
            assert_int_equal(fewer[i], mine[i]);

    start(&replicas[1]);
    meet(one, REPLICAS);
    choose(one, again);
    assert_memory_equal(mine, again, sizeof mine);
    wire_client_close(&one);
    wire_client_close(&other);
    stop_all();
}

static void one_that_never_was_there_keeps_nobody(void **state)
{
    (void)state;
    uint64_t number = 0;
    start_all(2);
    AUTO_FREE char *all = all_endpoints(2);
    wire_server_stop(&replicas[0].server, 0);
    wire_client_t *client = open_client(all);
    for (uint64_t key = 0; key < 20; key++) {
        assert_int_equal(ask(client, key, 0, &number), STATUS_OK);
        assert_int_equal(number, 2);
    }
    start(&replicas[0]); /* added: it is found by those that run already */
    meet(client, 2);
    wire_client_close(&client);
    stop_all();
}

static void *start_later(void *argument)
{
    usleep(200000);
    start(argument);
    return NULL;
}

/* Restarted one after the other: the second is back, its connection not yet, and the first stops. */
static void one_that_comes_back_is_waited_for(void **state)
{
    (void)state;
    uint64_t number = 0;
    pthread_t thread;
    start_all(2);
    AUTO_FREE char *all = all_endpoints(2);
    wire_client_t *client = open_client(all);
    meet(client, 2);
    wire_server_stop(&replicas[1].server, 0);
    while (ask(client, 0, 0, &number) != STATUS_OK || number != 1)
        continue;
    replicas[0].is_sick = true;
    assert_int_equal(pthread_create(&thread, NULL, start_later, &replicas[1]), 0);
    assert_int_equal(ask(client, 0, 0, &number), STATUS_OK);
    assert_int_equal(number, 2);
    pthread_join(thread, NULL);
    replicas[0].is_sick = false;
    wire_client_close(&client);
    stop_all();
}

/* ---- loss -------------------------------------------------------------------------------------- */

static void fork_replica(replica_t *replica)
{
    char program[4096] = {0}, number[24];
    assert_true(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
    snprintf(number, sizeof number, "%lu", (unsigned long)replica->number);
    replica->pid = fork();
    if (replica->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        execl(program, program, "--serve", folder, replica->endpoint, number, (char *)NULL);
        _exit(127);
    }
}

static _Noreturn void serve_until_killed(char **arguments)
{
    snprintf(folder, sizeof folder, "%s", arguments[0]);
    replicas[0].endpoint = memory_copy_text(arguments[1]);
    replicas[0].number = strtoul(arguments[2], NULL, 10);
    /* The other one holds a copy of the listener that had this port until it is a program of its own. */
    for (int i = 0; i < 100 && try_start(&replicas[0]) != STATUS_OK; i++)
        usleep(20000);
    for (;;)
        pause();
}

static void *kill_later(void *argument)
{
    usleep(200000);
    kill(((replica_t *)argument)->pid, SIGKILL);
    return NULL;
}

/* Two in processes of their own, on the ports that servers of this process have just had. */
static wire_client_t *meet_two_processes(void)
{
    start_all(2);
    stop_all();
    AUTO_FREE char *all = all_endpoints(2);
    for (size_t i = 0; i < 2; i++)
        fork_replica(&replicas[i]);
    wire_client_t *client = open_client(all);
    meet(client, 2);
    return client;
}

static void end_processes(void)
{
    for (size_t i = 0; i < 2; i++) {
        kill(replicas[i].pid, SIGKILL);
        waitpid(replicas[i].pid, NULL, 0);
    }
}

static void what_a_killed_replica_had_is_asked_elsewhere(void **state)
{
    (void)state;
    wire_client_t *client = meet_two_processes();
    uint64_t key = 1, number = 0;
    for (; number != 1; key++)
        assert_int_equal(ask(client, key, 0, &number), STATUS_OK);
    key--;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, kill_later, &replicas[0]), 0);
    assert_int_equal(ask(client, key, 700000, &number), STATUS_OK);
    pthread_join(thread, NULL);
    assert_int_equal(number, 2);
    for (int i = 0; i < 20; i++) { /* and nobody is sent to it any more */
        assert_int_equal(ask(client, i % 2 ? key : 0, 0, &number), STATUS_OK);
        assert_int_equal(number, 2);
    }
    wire_client_close(&client);
    end_processes();
}

/* Of two requests under way only the one is lost whose replica died; the descriptor tells of both. */
static void a_loss_is_that_replicas_alone(void **state)
{
    (void)state;
    wire_client_t *client = meet_two_processes();
    uint64_t ids[2] = {0}, first = 0;
    wire_client_set_affinity(client, 0);
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    request.outcomes_from = 600000;
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            wire_client_send(client, &request.base, &index__pack_indexed__descriptor, &ids[i]),
            STATUS_OK);
    kill(replicas[0].pid, SIGKILL);
    status_t outcomes[2] = {STATUS_INTERNAL, STATUS_INTERNAL};
    for (int taken = 0; taken < 2;) {
        uint64_t id = 0;
        status_t status = STATUS_OK;
        ProtobufCMessage *reply = NULL;
        struct pollfd waiting = {.fd = wire_client_fd(client), .events = POLLIN};
        assert_int_equal(poll(&waiting, 1, 5000), 1);
        if (wire_client_receive(client, &id, &status, &reply) != STATUS_OK)
            continue;
        first = taken ? first : id;
        outcomes[id == ids[1]] = status;
        if (reply)
            protobuf_c_message_free_unpacked(reply, NULL);
        taken++;
    }
    int lost = outcomes[1] == STATUS_UNAVAILABLE;
    assert_int_equal(outcomes[lost], STATUS_UNAVAILABLE);
    assert_int_equal(outcomes[!lost], STATUS_OK);
    assert_true(first == ids[lost]);
    wire_client_close(&client);
    end_processes();
}

static void what_a_replica_cannot_answer_is_asked_elsewhere(void **state)
{
    (void)state;
    uint64_t number = 0;
    start_all(2);
    AUTO_FREE char *all = all_endpoints(2);
    wire_client_t *client = open_client(all);
    meet(client, 2);
    replicas[0].is_sick = true;
    for (uint64_t key = 0; key < 20; key++) {
        assert_int_equal(ask(client, key, 0, &number), STATUS_OK);
        assert_int_equal(number, 2);
    }
    replicas[1].is_sick = true;
    replicas[0].handled = replicas[1].handled = 0;
    assert_int_equal(ask(client, 1, 0, &number), STATUS_UNAVAILABLE);
    assert_non_null(strstr(fail_detail(), "is sick"));
    assert_int_equal(replicas[0].handled, 1); /* each once */
    assert_int_equal(replicas[1].handled, 1);
    wire_client_close(&client);
    stop_all();
}

static void *stop_first(void *argument)
{
    (void)argument;
    wire_server_stop(&replicas[0].server, 3000);
    return NULL;
}

/* While one drains, it refuses what is new: that goes to the other. */
static void a_replica_stops_unseen(void **state)
{
    (void)state;
    pthread_t thread;
    uint64_t number = 0, id = 0;
    start_all(2);
    AUTO_FREE char *all = all_endpoints(2);
    wire_client_t *client = open_client(all), *busy = open_client(replicas[0].endpoint);
    meet(client, 2);
    assert_int_equal(ask(busy, 0, 0, &number), STATUS_OK);
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    request.outcomes_from = 400000; /* keeps it from stopping */
    const int before = replicas[0].handled;
    assert_int_equal(wire_client_send(busy, &request.base, &index__pack_indexed__descriptor, &id),
                     STATUS_OK);
    while (replicas[0].handled == before)
        usleep(1000);
    assert_int_equal(pthread_create(&thread, NULL, stop_first, NULL), 0);
    usleep(100000);
    for (uint64_t key = 0; key < 40; key++) {
        assert_int_equal(ask(client, key, 0, &number), STATUS_OK);
        assert_int_equal(number, 2);
    }
    pthread_join(thread, NULL);
    for (uint64_t key = 0; key < 40; key++)
        assert_int_equal(ask(client, key, 0, &number), STATUS_OK);
    wire_client_close(&client);
    wire_client_close(&busy);
    stop_all();
}

static peer_t *peer_at(peers_t *peers, const char *address)
{
    for (size_t i = 0; i < peers->count; i++)
        if (strcmp(peers->items[i]->address, address) == 0)
            return peers->items[i];
    return NULL;
}

static void look_again(peers_t *peers)
{
    peers->next_look_ms = 0;
    peers_follow(peers);
}

/* As every user of a peer does before it waits: events, then messages until there is none. */
static void hear_nothing(peer_t *peer)
{
    zmq_msg_t body;
    Wire__Envelope *envelope = NULL;
    assert_false(peer_take_lost(peer));
    assert_false(peer_receive(peer, &envelope, &body));
    zmq_msg_close(&body);
}

static void one_that_leaves_the_name_is_drained(void **state)
{
    (void)state;
    start_all(2);
    AUTO_FREE char *all = all_endpoints(2);
    peers_t peers = {0};
    assert_int_equal(peers_open(&peers, all, folder, "dimse", "index", ZMQ_DEALER, -1), STATUS_OK);
    peers_follow(&peers);
    assert_int_equal(peers.count, 2);
    peer_t *leaving = peer_at(&peers, replicas[0].endpoint);
    for (int i = 0; i < 500 && !(peer_can_send(peers.items[0]) && peer_can_send(peers.items[1]));
         i++) {
        peers_poll(&peers, 20);
        hear_nothing(peers.items[0]);
        hear_nothing(peers.items[1]);
    }
    leaving->waiting = 1;
    peers.wanted->count = 1; /* as if the resolver had said so */
    memcpy(peers.wanted->items[0], replicas[1].endpoint, strlen(replicas[1].endpoint) + 1);
    look_again(&peers);
    assert_int_equal(peers.count, 2); /* a reply is awaited still */
    for (uint64_t key = 0; key < 10; key++) {
        peer_t *picked = peers_pick(&peers, key, 0);
        assert_non_null(picked);
        assert_string_equal(picked->address, replicas[1].endpoint);
    }
    leaving->waiting = 0;
    look_again(&peers);
    assert_int_equal(peers.count, 1);
    assert_null(peer_at(&peers, replicas[0].endpoint));
    peers.wanted->count = 2;
    memcpy(peers.wanted->items[1], replicas[0].endpoint, strlen(replicas[0].endpoint) + 1);
    look_again(&peers);
    assert_int_equal(peers.count, 2);
    assert_non_null(peer_at(&peers, replicas[0].endpoint));
    peers_close(&peers);
    stop_all();
}

/* ---- lists ------------------------------------------------------------------------------------- */

static void a_list_may_mix_kinds_and_names(void **state)
{
    (void)state;
    free(replicas[2].endpoint);
    replicas[2] = (replica_t){.number = 3, .endpoint = memory_format("ipc://%s/3.sock", folder)};
    start_all(2);
    start(&replicas[2]);
    AUTO_FREE char *all =
        memory_format("%s, ipc://%s/3.sock,tcp://localhost.invalid:9,tcp://127.0.0.1%s",
                      replicas[0].endpoint, folder, strrchr(replicas[0].endpoint, ':'));
    wire_client_t *client = open_client(all);
    unsigned met = 0;
    for (int i = 0; i < 500 && met != 5; i++) {
        uint64_t number = 0;
        assert_int_equal(ask(client, 0, 0, &number), STATUS_OK);
        met |= bit_of(number);
        usleep(10000);
    }
    assert_int_equal(met, 5); /* the first and the third; the second is not in the list */
    wire_client_close(&client);
    stop_all();
}

static void a_bad_list_is_said(void **state)
{
    (void)state;
    char many[512] = "", too_long[400] = "tcp://";
    for (int i = 0; i <= WIRE_ENDPOINTS_MAX; i++)
        strcat(many, "tcp://127.0.0.1:99,");
    memset(too_long + 6, 'x', sizeof too_long - 7);
    const char *const lists[] = {"",
                                 " , ",
                                 many,
                                 too_long,
                                 "tcp://127.0.0.1:99,udp://x",
                                 "ipc:///tmp/x.sock,tcp://nobody",
                                 "tcp://127.0.0.1:99;tcp://127.0.0.2"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        wire_client_t *client = NULL;
        status_t status = wire_client_open(lists[i], folder, "dimse", "index", &client);
        if (status != STATUS_INVALID)
            fail_msg("'%s': %s", lists[i], status_name(status));
        assert_null(client);
    }
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    return wire_keys_make(folder, "index") || wire_keys_make(folder, "dimse");
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < REPLICAS; i++)
        free(replicas[i].endpoint);
    zdir_t *all = zdir_new(folder, NULL);
    zdir_remove(all, true);
    zdir_destroy(&all);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--serve") == 0)
        serve_until_killed(argv + 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_take_turns),
        cmocka_unit_test(a_key_stays_with_one_replica),
        cmocka_unit_test(one_that_never_was_there_keeps_nobody),
        cmocka_unit_test(one_that_comes_back_is_waited_for),
        cmocka_unit_test(what_a_killed_replica_had_is_asked_elsewhere),
        cmocka_unit_test(a_loss_is_that_replicas_alone),
        cmocka_unit_test(what_a_replica_cannot_answer_is_asked_elsewhere),
        cmocka_unit_test(a_replica_stops_unseen),
        cmocka_unit_test(one_that_leaves_the_name_is_drained),
        cmocka_unit_test(a_list_may_mix_kinds_and_names),
        cmocka_unit_test(a_bad_list_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
