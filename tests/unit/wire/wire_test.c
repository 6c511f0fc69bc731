#include "wire/envelope.h"
#include "wire/socket.h"
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* ---- a service to talk to -------------------------------------------------------------------- */

typedef struct {
    atomic_int opened, closed, idled, handled;
    pthread_t lane_of_delete;
} service_fixture_t;

static service_fixture_t service;
static char folder[] = "/tmp/zpacs-wire-XXXXXX";
static char *endpoint;

static void *lane_open(void *context, int lane)
{
    service_fixture_t *self = context;
    self->opened++;
    return lane == 0 ? (void *)&self->idled : (void *)&self->handled;
}

static void lane_close(void *context, int lane, void *state)
{
    service_fixture_t *self = context;
    assert_ptr_equal(state, lane == 0 ? (void *)&self->idled : (void *)&self->handled);
    self->closed++;
}

static void lane_idle(void *context, int lane, void *state)
{
    (void)state;
    assert_int_equal(lane, 0);
    ((service_fixture_t *)context)->idled++;
}

/* Answers with what it was asked, so that a mixed-up reply shows. */
static status_t handle_appended(void *state, const wire_call_t *call,
                                const ProtobufCMessage *request, ProtobufCMessage *reply)
{
    const Index__PackAppended *asked = (const Index__PackAppended *)request;
    assert_ptr_equal(state, &service.idled);
    assert_string_equal(call->caller, "dimse");
    service.handled++;
    if (asked->outcomes_from)
        usleep((useconds_t)asked->outcomes_from);
    ((Index__PackIndexed *)reply)->committed_offset = asked->durable_offset;
    return STATUS_OK;
}

/* (fail): past the macro of cmocka. */
static status_t handle_find(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                            ProtobufCMessage *reply)
{
    const Index__Find *asked = (const Index__Find *)request;
    Index__Found *found = (Index__Found *)reply;
    assert_ptr_equal(state, &service.handled);
    if (asked->limit == 1)
        return (fail)(STATUS_CONFLICT, "said by the handler, trace %s", call->trace_id);
    if (asked->limit == 2)
        return STATUS_BUSY; /* without a sentence */
    found->n_warnings = 1;
    found->warnings = memory_allocate(sizeof *found->warnings);
    found->warnings[0] = memory_allocate(asked->offset + 1);
    memset(found->warnings[0], 'x', asked->offset);
    return STATUS_OK;
}

static status_t handle_delete(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                              ProtobufCMessage *reply)
{
    (void)state;
    (void)call;
    (void)request;
    (void)reply;
    fail_msg("a caller that is not in the list got through");
    return STATUS_OK;
}

static const wire_route_t routes[] = {
    {&index__pack_appended__descriptor, &index__pack_indexed__descriptor, handle_appended, 0,
     "dimse"},
    {&index__find__descriptor, &index__found__descriptor, handle_find, 1, "dicomweb dimse"},
    {&index__delete__descriptor, &index__deleted__descriptor, handle_delete, 0, "dicomweb dim"},
    WIRE_ROUTES_END};

static wire_server_t *start_server_at(const char *where)
{
    const wire_server_options_t options = {.endpoint = where,
                                           .keys_folder = folder,
                                           .name = "index",
                                           .routes = routes,
                                           .reading_lanes = 2,
                                           .lane_open = lane_open,
                                           .lane_close = lane_close,
                                           .lane_idle = lane_idle,
                                           .context = &service};
    wire_server_t *server = NULL;
    status_t status = wire_server_start(&options, &server);
    if (status != STATUS_OK)
        fail_msg("server: %s %s", status_name(status), fail_detail());
    return server;
}

static wire_server_t *start_server(void)
{
    return start_server_at(endpoint);
}

static wire_client_t *open_client(const char *name)
{
    wire_client_t *client = NULL;
    assert_int_equal(wire_client_open(endpoint, folder, name, "index", &client), STATUS_OK);
    return client;
}

static status_t ask_appended(wire_client_t *client, uint64_t offset, uint64_t sleep_us,
                             int timeout_ms, uint64_t *out_offset)
{
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    request.durable_offset = offset;
    request.outcomes_from = sleep_us;
    ProtobufCMessage *reply = NULL;
    TRY(wire_client_call(client, &request.base, &index__pack_indexed__descriptor, timeout_ms,
                         &reply));
    *out_offset = ((Index__PackIndexed *)reply)->committed_offset;
    protobuf_c_message_free_unpacked(reply, NULL);
    return STATUS_OK;
}

static status_t ask_find(wire_client_t *client, uint32_t limit, uint32_t size)
{
    Index__Find request = INDEX__FIND__INIT;
    request.limit = limit;
    request.offset = size;
    ProtobufCMessage *reply = NULL;
    TRY(wire_client_call(client, &request.base, &index__found__descriptor, 3000, &reply));
    assert_int_equal(strlen(((Index__Found *)reply)->warnings[0]), size);
    protobuf_c_message_free_unpacked(reply, NULL);
    return STATUS_OK;
}

/* ---- calls -------------------------------------------------------------------------------------
 */

static void a_call_comes_back(void **state)
{
    (void)state;
    memset(&service, 0, sizeof service);
    wire_server_t *server = start_server();
    assert_int_equal(service.opened, 3);
    wire_client_t *client = open_client("dimse");
    uint64_t offset = 0;
    assert_int_equal(ask_appended(client, 0xfffffffffffffffful, 0, 3000, &offset), STATUS_OK);
    assert_true(offset == 0xfffffffffffffffful);
    assert_int_equal(ask_find(client, 0, 100), STATUS_OK);
    assert_int_equal(ask_find(client, 0, 900000), STATUS_OK);
    wire_client_close(&client);
    wire_server_stop(&server, 1000);
    assert_null(server);
    assert_int_equal(service.closed, 3);
}

static void the_servers_answer_comes_through(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    wire_client_t *client = open_client("dicomweb");
    wire_client_set_trace(client, "t-1");
    assert_int_equal(ask_find(client, 1, 0), STATUS_CONFLICT);
    assert_string_equal(fail_detail(), "said by the handler, trace t-1");
    assert_int_equal(ask_find(client, 2, 0), STATUS_BUSY);
    assert_string_equal(fail_detail(), "");
    assert_int_equal(ask_find(client, 0, WIRE_MESSAGE_MAX), STATUS_TOO_LARGE);
    wire_client_close(&client);
    wire_server_stop(&server, 1000);
}

static void a_request_over_the_limit_is_not_sent(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    wire_client_t *client = open_client("dimse");
    AUTO_FREE char *text = memory_allocate(WIRE_MESSAGE_MAX + 1);
    memset(text, 'x', WIRE_MESSAGE_MAX);
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    request.pack = text;
    ProtobufCMessage *reply = NULL;
    assert_int_equal(
        wire_client_call(client, &request.base, &index__pack_indexed__descriptor, 1000, &reply),
        STATUS_TOO_LARGE);
    uint64_t offset = 0;
    assert_int_equal(ask_appended(client, 7, 0, 3000, &offset), STATUS_OK);
    wire_client_close(&client);
    wire_server_stop(&server, 1000);
}

static void routes_name_their_callers(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    wire_client_t *client = open_client("dicomweb");
    uint64_t offset = 0;
    assert_int_equal(ask_appended(client, 7, 0, 3000, &offset), STATUS_DENIED);
    wire_client_close(&client);
    client = open_client("dimse"); /* "dim" in the list is another name */
    Index__Delete request = INDEX__DELETE__INIT;
    ProtobufCMessage *reply = NULL;
    assert_int_equal(
        wire_client_call(client, &request.base, &index__deleted__descriptor, 3000, &reply),
        STATUS_DENIED);
    Index__Rebuild unknown = INDEX__REBUILD__INIT;
    assert_int_equal(
        wire_client_call(client, &unknown.base, &index__rebuilding__descriptor, 3000, &reply),
        STATUS_UNSUPPORTED);
    wire_client_close(&client);
    wire_server_stop(&server, 1000);
}

typedef struct {
    int number;
    int wrong;
} worker_t;

static void *call_many(void *argument)
{
    worker_t *worker = argument;
    wire_client_t *client = open_client("dimse");
    for (uint64_t i = 0; i < 2500; i++) {
        uint64_t asked = (uint64_t)worker->number << 32 | i, got = 0;
        if (i % 5 == 0)
            worker->wrong += ask_find(client, 0, (uint32_t)i) != STATUS_OK;
        else if (ask_appended(client, asked, 0, 10000, &got) != STATUS_OK || got != asked)
            worker->wrong++;
    }
    wire_client_close(&client);
    return NULL;
}

static void ten_thousand_calls_from_four_threads_stay_apart(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    pthread_t threads[4];
    worker_t workers[4] = {{0, 0}};
    for (int i = 0; i < 4; i++) {
        workers[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    wire_server_stop(&server, 1000);
}

/* ---- time --------------------------------------------------------------------------------------
 */

static void no_server_is_said_in_time(void **state)
{
    (void)state;
    wire_client_t *client = open_client("dimse");
    uint64_t offset = 0, id = 0;
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(ask_appended(client, 7, 0, 300, &offset), STATUS_UNAVAILABLE);
    int64_t took_ms = clock_monotonic_ms() - start_ms;
    assert_in_range(took_ms, 290, 2000);
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    assert_int_equal(wire_client_send(client, &request.base, &index__pack_indexed__descriptor, &id),
                     STATUS_BUSY);
    wire_client_close(&client);
}

static void a_late_reply_is_dropped(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    wire_client_t *client = open_client("dimse");
    uint64_t offset = 0;
    assert_int_equal(ask_appended(client, 1, 0, 3000, &offset), STATUS_OK);
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(ask_appended(client, 2, 300000, 100, &offset), STATUS_EXPIRED);
    assert_in_range(clock_monotonic_ms() - start_ms, 90, 290);
    for (uint64_t i = 3; i < 3 + 2 * WIRE_WINDOW; i++) {
        assert_int_equal(ask_appended(client, i, 0, 3000, &offset), STATUS_OK);
        assert_int_equal(offset, i);
    }
    wire_client_close(&client);
    wire_server_stop(&server, 1000);
}

static void a_server_that_comes_back_is_found_again(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    wire_client_t *client = open_client("dimse");
    uint64_t offset = 0;
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(ask_appended(client, i, 0, 5000, &offset), STATUS_OK);
        wire_server_stop(&server, 1000);
        if (i == 0)
            assert_int_not_equal(ask_appended(client, i, 0, 200, &offset), STATUS_OK);
        server = start_server();
    }
    assert_int_equal(ask_appended(client, 9, 0, 5000, &offset), STATUS_OK);
    wire_client_close(&client);
    wire_server_stop(&server, 1000);
}

/* A server in a process of its own, to be killed. */
static pid_t fork_server(void)
{
    char program[4096] = {0};
    assert_true(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        execl(program, program, "--serve", folder, endpoint, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static int serve_until_killed(const char *keys, const char *where)
{
    snprintf(folder, sizeof folder, "%s", keys);
    wire_server_t *server = start_server_at(where);
    pause();
    wire_server_stop(&server, 0);
    return 0;
}

static void *kill_later(void *argument)
{
    usleep(200000);
    kill(*(pid_t *)argument, SIGKILL);
    return NULL;
}

static void *start_later(void *argument)
{
    usleep(400000);
    *(wire_server_t **)argument = start_server();
    return NULL;
}

static void a_killed_server_is_noticed_at_once(void **state)
{
    (void)state;
    pid_t pid = fork_server();
    wire_client_t *client = open_client("dimse");
    uint64_t offset = 0, id = 0, sent = 0;
    assert_int_equal(ask_appended(client, 1, 0, 5000, &offset), STATUS_OK);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, kill_later, &pid), 0);
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    request.outcomes_from = 60000000;
    assert_int_equal(
        wire_client_send(client, &request.base, &index__pack_indexed__descriptor, &sent),
        STATUS_OK);
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(ask_appended(client, 2, 60000000, 9000, &offset), STATUS_UNAVAILABLE);
    assert_in_range(clock_monotonic_ms() - start_ms, 0, WIRE_CONNECT_MS + 2000);
    pthread_join(thread, NULL);
    waitpid(pid, NULL, 0);

    /* the other one, under way when it happened, is reported too */
    status_t status = STATUS_OK;
    ProtobufCMessage *reply = NULL;
    assert_int_equal(wire_client_receive(client, &id, &status, &reply), STATUS_OK);
    assert_true(id == sent);
    assert_int_equal(status, STATUS_UNAVAILABLE);
    assert_null(reply);

    /* asked again by itself when the server comes back meanwhile */
    pid = fork_server();
    assert_int_equal(ask_appended(client, 3, 0, 5000, &offset), STATUS_OK);
    assert_int_equal(pthread_create(&thread, NULL, kill_later, &pid), 0);
    wire_server_t *server = NULL;
    pthread_t starter;
    assert_int_equal(pthread_create(&starter, NULL, start_later, &server), 0);
    assert_int_equal(ask_appended(client, 4, 500000, 9000, &offset), STATUS_OK);
    assert_int_equal(offset, 4);
    pthread_join(thread, NULL);
    pthread_join(starter, NULL);
    waitpid(pid, NULL, 0);
    wire_client_close(&client);
    wire_server_stop(&server, 1000);
}

static void the_descriptor_wakes_for_a_killed_server(void **state)
{
    (void)state;
    pid_t pid = fork_server();
    wire_client_t *client = open_client("dimse");
    uint64_t offset = 0, id = 0, sent = 0;
    assert_int_equal(ask_appended(client, 1, 0, 5000, &offset), STATUS_OK);
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    request.outcomes_from = 60000000;
    assert_int_equal(
        wire_client_send(client, &request.base, &index__pack_indexed__descriptor, &sent),
        STATUS_OK);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    status_t status = STATUS_OK;
    ProtobufCMessage *reply = NULL;
    int64_t until_ms = clock_monotonic_ms() + 4000;
    while (wire_client_receive(client, &id, &status, &reply) == STATUS_BUSY) {
        struct pollfd waiting = {.fd = wire_client_fd(client), .events = POLLIN};
        assert_int_equal(poll(&waiting, 1, 4000), 1);
        assert_true(clock_monotonic_ms() < until_ms);
    }
    assert_true(id == sent);
    assert_int_equal(status, STATUS_UNAVAILABLE);
    wire_client_close(&client);
}

static void *stop_when_asked(void *argument)
{
    while (service.handled < 2)
        usleep(1000);
    wire_server_stop(argument, 5000);
    return NULL;
}

static void draining_finishes_what_is_under_way(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    wire_client_t *client = open_client("dimse");
    pthread_t thread;
    uint64_t offset = 0;
    service.handled = 0;
    assert_int_equal(ask_appended(client, 4, 0, 9000, &offset), STATUS_OK);
    assert_int_equal(pthread_create(&thread, NULL, stop_when_asked, &server), 0);
    assert_int_equal(ask_appended(client, 5, 400000, 9000, &offset), STATUS_OK);
    assert_int_equal(offset, 5);
    pthread_join(thread, NULL);
    wire_client_close(&client);
}

static void lane_zero_is_idle_about_every_second(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    service.idled = 0;
    usleep(2300000);
    wire_server_stop(&server, 1000);
    assert_in_range(service.idled, 1, 3);
}

/* ---- the loop that does not wait ---------------------------------------------------------------
 */

static void replies_wake_the_descriptor(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    wire_client_t *client = open_client("dimse");
    uint64_t sent[WIRE_WINDOW] = {0}, extra = 0, offset = 0;
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    assert_int_equal(ask_appended(client, 1, 0, 3000, &offset), STATUS_OK);
    for (int i = 0; i < WIRE_WINDOW; i++) {
        request.durable_offset = (uint64_t)i;
        assert_int_equal(
            wire_client_send(client, &request.base, &index__pack_indexed__descriptor, &sent[i]),
            STATUS_OK);
    }
    assert_int_equal(
        wire_client_send(client, &request.base, &index__pack_indexed__descriptor, &extra),
        STATUS_BUSY);

    int received = 0;
    while (received < WIRE_WINDOW) {
        struct pollfd waiting = {.fd = wire_client_fd(client), .events = POLLIN};
        assert_int_equal(poll(&waiting, 1, 5000), 1);
        uint64_t id = 0;
        status_t status = STATUS_INTERNAL;
        ProtobufCMessage *reply = NULL;
        while (wire_client_receive(client, &id, &status, &reply) == STATUS_OK) {
            assert_int_equal(status, STATUS_OK);
            int i = 0;
            while (i < WIRE_WINDOW && sent[i] != id)
                i++;
            assert_in_range(i, 0, WIRE_WINDOW - 1);
            sent[i] = 0;
            assert_int_equal(((Index__PackIndexed *)reply)->committed_offset, i);
            protobuf_c_message_free_unpacked(reply, NULL);
            received++;
        }
    }
    struct pollfd quiet = {.fd = wire_client_fd(client), .events = POLLIN};
    uint64_t id = 0;
    status_t status = STATUS_OK;
    ProtobufCMessage *reply = NULL;
    poll(&quiet, 1, 50);
    assert_int_equal(wire_client_receive(client, &id, &status, &reply), STATUS_BUSY);
    wire_client_close(&client);
    wire_server_stop(&server, 1000);
}

/* ---- strangers ---------------------------------------------------------------------------------
 */

/* server_public_key NULL: no CURVE at all. */
static zsock_t *connect_stranger(zcert_t *pair, const char *server_public_key)
{
    zsock_t *dealer = zsock_new(ZMQ_DEALER);
    if (server_public_key) {
        zcert_apply(pair, dealer);
        zsock_set_curve_serverkey(dealer, server_public_key);
    }
    zsock_set_linger(dealer, 0);
    zsock_set_rcvtimeo(dealer, 700);
    assert_int_equal(zsock_connect(dealer, "%s", endpoint), 0);
    return dealer;
}

static zcert_t *server_certificate(void)
{
    AUTO_FREE char *path = memory_format("%s/index.pub", folder);
    zcert_t *cert = zcert_load(path);
    assert_non_null(cert);
    return cert;
}

static bool gets_an_answer(zsock_t *dealer)
{
    zstr_send(dealer, "hello");
    zmsg_t *answer = zmsg_recv(dealer);
    bool is_answered = answer != NULL;
    zmsg_destroy(&answer);
    zsock_destroy(&dealer);
    return is_answered;
}

static void only_allowed_keys_get_through(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    zcert_t *index = server_certificate(), *unknown = zcert_new(), *wrong_server = zcert_new();
    AUTO_FREE char *path = memory_format("%s/dimse.key", folder);
    zcert_t *dimse = zcert_load(path);
    const char *index_key = zcert_public_txt(index);
    assert_true(gets_an_answer(connect_stranger(dimse, index_key)));
    assert_false(gets_an_answer(connect_stranger(unknown, index_key)));
    assert_false(gets_an_answer(connect_stranger(NULL, NULL)));
    assert_false(gets_an_answer(connect_stranger(dimse, zcert_public_txt(wrong_server))));
    zcert_destroy(&index);
    zcert_destroy(&unknown);
    zcert_destroy(&wrong_server);
    zcert_destroy(&dimse);

    /* the same through our own client: a key pair that is not in allowed/ */
    AUTO_FREE char *allowed = memory_format("%s/allowed/banned.pub", folder);
    assert_int_equal(wire_keys_make(folder, "banned"), STATUS_OK);
    assert_int_equal(unlink(allowed), 0);
    wire_client_t *client = open_client("banned");
    assert_int_equal(ask_find(client, 0, 0), STATUS_UNAVAILABLE);
    wire_client_close(&client);
    wire_server_stop(&server, 1000);
}

static Wire__Envelope *answer_to(zsock_t *dealer, zmsg_t *message)
{
    zmsg_send(&message, dealer);
    zmsg_t *answer = zmsg_recv(dealer);
    assert_non_null(answer);
    assert_int_equal(zmsg_size(answer), 1);
    zframe_t *frame = zmsg_first(answer);
    Wire__Envelope *head = NULL;
    assert_int_equal(envelope_unpack_head(zframe_data(frame), zframe_size(frame), &head),
                     STATUS_OK);
    zmsg_destroy(&answer);
    return head;
}

static zmsg_t *message_of(const char *type, uint64_t id, const void *body, size_t length,
                          int more_frames)
{
    Wire__Envelope head = WIRE__ENVELOPE__INIT;
    head.type = (char *)(uintptr_t)type;
    head.request_id = id;
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(envelope_pack(&head.base, &bytes, &size), STATUS_OK);
    zmsg_t *message = zmsg_new();
    zmsg_addmem(message, bytes, size);
    free(bytes);
    if (body)
        zmsg_addmem(message, body, length);
    for (int i = 0; i < more_frames; i++)
        zmsg_addstr(message, "payload");
    return message;
}

static void junk_is_answered_and_survived(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    AUTO_FREE char *path = memory_format("%s/dimse.key", folder);
    zcert_t *index = server_certificate(), *dimse = zcert_load(path);
    zsock_t *dealer = connect_stranger(dimse, zcert_public_txt(index));
    zcert_destroy(&index);
    zcert_destroy(&dimse);

    static const char find[] = "index.v1.Find", appended[] = "index.v1.PackAppended";
    char long_type[200] = {0};
    memset(long_type, 'x', sizeof long_type - 1);
    /* 500,000 empty submessages: one mebibyte that would unfold to fifty */
    enum { BOMB_SIZE = 1000000 };
    AUTO_FREE char *bomb = memory_allocate(BOMB_SIZE);
    for (size_t i = 0; i < BOMB_SIZE; i += 2)
        bomb[i] = 0x1a;
    zmsg_t *empty = zmsg_new(), *text = zmsg_new();
    zmsg_addmem(empty, "", 0);
    zmsg_addstr(text, "\xff\xff\xff\xff");
    const struct {
        const char *name;
        zmsg_t *message;
        uint64_t id;
        status_t status;
    } cases[] = {
        {"empty frame", empty, 0, STATUS_INVALID},
        {"not an envelope", text, 0, STATUS_INVALID},
        {"no body", message_of(find, 11, NULL, 0, 0), 11, STATUS_INVALID},
        {"too many frames", message_of(find, 12, "", 0, 7), 12, STATUS_INVALID},
        {"hundreds of frames", message_of(find, 13, "", 0, 400), 13, STATUS_INVALID},
        {"malformed body", message_of(find, 14, "\xff\xff\xff", 3, 0), 14, STATUS_INVALID},
        {"malformed body for lane 0", message_of(appended, 15, "\x0a\x7f", 2, 0), 15,
         STATUS_INVALID},
        {"bomb", message_of(find, 16, bomb, BOMB_SIZE, 0), 16, STATUS_INVALID},
        {"type too long", message_of(long_type, 17, "", 0, 0), 0, STATUS_INVALID},
        {"unknown type", message_of("index.v9.Find", 18, "", 0, 0), 18, STATUS_UNSUPPORTED},
        {"no type", message_of("", 19, "", 0, 0), 19, STATUS_UNSUPPORTED},
        {"not for this caller", message_of("index.v1.Delete", 20, "", 0, 0), 20, STATUS_DENIED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Wire__Envelope *head = answer_to(dealer, cases[i].message);
        if (head->status != cases[i].status || head->request_id != cases[i].id)
            fail_msg("%s: %s (%s), id %lu", cases[i].name, status_name((status_t)head->status),
                     head->detail, (unsigned long)head->request_id);
        assert_int_not_equal(strlen(head->detail), 0);
        wire__envelope__free_unpacked(head, NULL);
    }
    zsock_destroy(&dealer);

    wire_client_t *client = open_client("dimse");
    assert_int_equal(ask_find(client, 0, 10), STATUS_OK);
    wire_client_close(&client);
    wire_server_stop(&server, 1000);
}

/* ---- addresses, keys, process ------------------------------------------------------------------
 */

static void tcp_with_a_name_works_too(void **state)
{
    (void)state;
    wire_server_t *server = start_server_at("tcp://127.0.0.1:*");
    const char *port = strrchr(wire_server_endpoint(server), ':');
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        AUTO_FREE char *where = memory_format("tcp://%s%s", hosts[i], port);
        wire_client_t *client = NULL;
        assert_int_equal(wire_client_open(where, folder, "dimse", "index", &client), STATUS_OK);
        assert_int_equal(ask_find(client, 0, 10), STATUS_OK);
        wire_client_close(&client);
    }
    wire_server_stop(&server, 1000);
}

static void a_bad_address_is_said(void **state)
{
    (void)state;
    wire_server_options_t options = {.endpoint = "tcp://192.0.2.1:1",
                                     .keys_folder = folder,
                                     .name = "index",
                                     .routes = routes,
                                     .reading_lanes = 1,
                                     .lane_open = lane_open,
                                     .context = &service};
    wire_server_t *server = NULL;
    assert_int_equal(wire_server_start(&options, &server), STATUS_UNAVAILABLE);
    options.endpoint = "nonsense";
    assert_int_equal(wire_server_start(&options, &server), STATUS_UNAVAILABLE);
    options.endpoint = endpoint;
    options.name = "nobody";
    assert_int_equal(wire_server_start(&options, &server), STATUS_UNAVAILABLE);
    options.name = "index";
    options.reading_lanes = 0;
    assert_int_equal(wire_server_start(&options, &server), STATUS_INVALID);
    wire_client_t *client = NULL;
    assert_int_equal(wire_client_open("udp://x", folder, "dimse", "index", &client),
                     STATUS_INVALID);
    assert_int_equal(wire_client_open(endpoint, folder, "nobody", "index", &client),
                     STATUS_UNAVAILABLE);
    assert_int_equal(wire_client_open(endpoint, folder, "../dimse", "index", &client),
                     STATUS_INVALID);
}

/* What no peer can have more of, on each kind of socket that we make. */
static void sockets_have_their_limits(void **state)
{
    (void)state;
    static const int kinds[] = {ZMQ_ROUTER, ZMQ_DEALER, ZMQ_PUB, ZMQ_SUB};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        zsock_t *socket = zsock_new(kinds[i]);
        socket_limit(socket, 2 * WIRE_WINDOW);
        assert_int_equal(zsock_maxmsgsize(socket), 1024 * 1024);
        assert_in_range(zsock_sndhwm(socket), 1, 1000);
        assert_in_range(zsock_rcvhwm(socket), 1, 1000);
        assert_int_equal(zsock_linger(socket), 0);
        assert_int_equal(zsock_handshake_ivl(socket), 3000);
        assert_in_range(zsock_heartbeat_ivl(socket), 1, zsock_heartbeat_timeout(socket));
        zsock_destroy(&socket);
    }
}

static void keys_are_made_once_and_private(void **state)
{
    (void)state;
    AUTO_FREE char *nested = memory_format("%s/a/keys", folder);
    AUTO_FREE char *secret = memory_format("%s/x.key", nested);
    AUTO_FREE char *public = memory_format("%s/x.pub", nested);
    AUTO_FREE char *allowed = memory_format("%s/allowed/x.pub", nested);
    assert_int_equal(wire_keys_make(nested, "x"), STATUS_OK);
    struct stat before, after;
    assert_int_equal(stat(nested, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0700);
    assert_int_equal(stat(public, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0644);
    assert_int_equal(stat(secret, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0600);
    assert_int_equal(unlink(allowed), 0);
    assert_int_equal(wire_keys_make(nested, "x"), STATUS_OK);
    assert_int_equal(stat(secret, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_int_not_equal(access(allowed, F_OK), 0); /* taken out stays out */

    assert_int_equal(unlink(public), 0); /* as a crash between the two leaves it */
    assert_int_equal(wire_keys_make(nested, "x"), STATUS_OK);
    zcert_t *a = zcert_load(secret), *b = zcert_load(allowed);
    assert_string_equal(zcert_public_txt(a), zcert_public_txt(b));
    assert_string_equal(zcert_meta(b, "name"), "x");
    zcert_destroy(&a);
    zcert_destroy(&b);
    assert_int_equal(wire_keys_make(nested, "a/b"), STATUS_INVALID);
    assert_int_equal(wire_keys_make(nested, ""), STATUS_INVALID);
}

static void the_socket_folder_is_private(void **state)
{
    (void)state;
    AUTO_FREE char *where = memory_format("ipc://%s/deep/run/x.sock", folder);
    AUTO_FREE char *run = memory_format("%s/deep/run", folder);
    wire_server_t *server = start_server_at(where);
    struct stat info;
    assert_int_equal(stat(run, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    wire_server_stop(&server, 0);
}

static void signals_stay_as_they_were(void **state)
{
    (void)state;
    wire_server_t *server = start_server();
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action;
        assert_int_equal(sigaction(signals[i], NULL, &action), 0);
        assert_true(action.sa_handler == SIG_DFL);
    }
    wire_server_stop(&server, 0);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    endpoint = memory_format("ipc://%s/run/index.sock", folder);
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

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--serve") == 0)
        return serve_until_killed(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_stay_as_they_were),
        cmocka_unit_test(a_call_comes_back),
        cmocka_unit_test(the_servers_answer_comes_through),
        cmocka_unit_test(a_request_over_the_limit_is_not_sent),
        cmocka_unit_test(routes_name_their_callers),
        cmocka_unit_test(no_server_is_said_in_time),
        cmocka_unit_test(a_late_reply_is_dropped),
        cmocka_unit_test(a_server_that_comes_back_is_found_again),
        cmocka_unit_test(a_killed_server_is_noticed_at_once),
        cmocka_unit_test(the_descriptor_wakes_for_a_killed_server),
        cmocka_unit_test(draining_finishes_what_is_under_way),
        cmocka_unit_test(lane_zero_is_idle_about_every_second),
        cmocka_unit_test(replies_wake_the_descriptor),
        cmocka_unit_test(only_allowed_keys_get_through),
        cmocka_unit_test(junk_is_answered_and_survived),
        cmocka_unit_test(tcp_with_a_name_works_too),
        cmocka_unit_test(a_bad_address_is_said),
        cmocka_unit_test(sockets_have_their_limits),
        cmocka_unit_test(keys_are_made_once_and_private),
        cmocka_unit_test(the_socket_folder_is_private),
        cmocka_unit_test(ten_thousand_calls_from_four_threads_stay_apart),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
