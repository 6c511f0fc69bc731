#include "wire/auth.h"
#include "wire/envelope.h"
#include "wire/keys.h"
#include "wire/monitor.h"
#include "wire/resolver.h"
#include "wire/wire.h"

#include "base/clock.h"
#include "base/memory.h"

#include <czmq.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

enum {
    NOT_THERE_POLL_MS = 50, /* while the server's key or name is not there yet */
    RECONNECT_FIRST_MS = 50,
    RECONNECT_MAX_MS = 1000,
    RECONNECT_CHECK_MS = 1000 /* between two looks at what the resolver says */
};

/*
 *   FREE ──send──▶ WAITING ──reply or deadline──▶ ARRIVED ──receive──▶ FREE
 */
typedef enum { SLOT_FREE, SLOT_WAITING, SLOT_ARRIVED } slot_state_t;

typedef struct {
    slot_state_t state;
    uint64_t request_id;
    int64_t deadline_ms;
    const ProtobufCMessageDescriptor *reply_type;
    status_t status;
    char *detail;
    ProtobufCMessage *reply;
    bool is_lost; /* with its connection */
} slot_t;

struct wire_client {
    char *keys_folder, *server_name;
    zcert_t *pair;
    zsock_t *dealer, *monitor;
    void *handle;
    resolver_t *resolver;
    unsigned resolved_version;
    int64_t next_check_ms;
    resolver_list_t connected;
    resolver_list_t wanted;
    bool has_server_key;
    bool is_connected;     /* as the monitor saw it last */
    int loop_fd, timer_fd; /* what wire_client_fd() shows: the socket and the next deadline */
    uint64_t generation;
    size_t next_slot;
    slot_t slots[WIRE_WINDOW];
    char trace_id[ENVELOPE_TRACE_MAX + 1];
};

/* ---- slots: request_id = generation * WIRE_WINDOW + index ---------------------------------- */

static slot_t *slot_take_free(wire_client_t *client)
{
    for (size_t i = 0; i < WIRE_WINDOW; i++) {
        size_t index = (client->next_slot + i) % WIRE_WINDOW;
        slot_t *slot = &client->slots[index];
        if (slot->state != SLOT_FREE)
            continue;
        client->next_slot = index + 1;
        slot->request_id = ++client->generation * WIRE_WINDOW + index;
        return slot;
    }
    return NULL;
}

static void slot_clear(slot_t *slot)
{
    free(slot->detail);
    if (slot->reply)
        protobuf_c_message_free_unpacked(slot->reply, NULL);
    *slot = (slot_t){.state = SLOT_FREE};
}

static void slot_arrive(slot_t *slot, status_t status, const char *detail, ProtobufCMessage *reply)
{
    slot->state = SLOT_ARRIVED;
    slot->status = status;
    slot->detail = memory_copy_text(detail);
    slot->reply = reply;
}

static void expire_slots(wire_client_t *client)
{
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < WIRE_WINDOW; i++) {
        slot_t *slot = &client->slots[i];
        if (slot->state == SLOT_WAITING && now_ms >= slot->deadline_ms)
            slot_arrive(slot, STATUS_EXPIRED, "no reply in time", NULL);
    }
}

/* The one server is gone, and with it the requests that it had: they may be asked again. */
static void lose_slots(wire_client_t *client)
{
    for (size_t i = 0; i < WIRE_WINDOW; i++) {
        slot_t *slot = &client->slots[i];
        if (slot->state != SLOT_WAITING)
            continue;
        slot_arrive(slot, STATUS_UNAVAILABLE, "the connection broke before the reply", NULL);
        slot->is_lost = true;
    }
}

/* Gives the answer away and frees the slot. */
static status_t slot_finish(slot_t *slot, ProtobufCMessage **out_reply)
{
    status_t status = slot->status;
    if (status == STATUS_OK) {
        *out_reply = slot->reply;
        slot->reply = NULL;
    } else {
        fail(status, "%s", slot->detail);
    }
    slot_clear(slot);
    return status;
}

/* ---- connections --------------------------------------------------------------------------- */

static bool list_holds(const resolver_list_t *list, const char *address)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], address) == 0)
            return true;
    return false;
}

static bool load_server_key(wire_client_t *client)
{
    zcert_t *server = NULL;
    if (keys_load(client->keys_folder, client->server_name, false, &server) != STATUS_OK)
        return false;
    zsock_set_curve_serverkey(client->dealer, zcert_public_txt(server));
    zcert_destroy(&server);
    client->has_server_key = true;
    return true;
}

/* Follows the name: connects to new addresses, lets go of those that are gone. */
static void follow_addresses(wire_client_t *client)
{
    if (clock_monotonic_ms() < client->next_check_ms)
        return;
    if (!client->has_server_key && !load_server_key(client))
        return;
    resolver_list_t *wanted = &client->wanted;
    if (resolver_take(client->resolver, &client->resolved_version, wanted)) {
        for (size_t i = 0; i < wanted->count; i++)
            if (!list_holds(&client->connected, wanted->items[i]))
                zmq_connect(client->handle, wanted->items[i]);
        for (size_t i = 0; i < client->connected.count; i++)
            if (!list_holds(wanted, client->connected.items[i]))
                zmq_disconnect(client->handle, client->connected.items[i]);
        client->connected = *wanted;
    }
    if (client->connected.count)
        client->next_check_ms = clock_monotonic_ms() + RECONNECT_CHECK_MS;
}

static bool has_events(zsock_t *socket, int wanted)
{
    return (zsock_events(socket) & wanted) != 0;
}

/* With several servers the socket alone knows which of them can take a request. */
static bool can_send(wire_client_t *client)
{
    return (client->is_connected || client->connected.count != 1) &&
           has_events(client->dealer, ZMQ_POLLOUT);
}

static void poll_socket(const wire_client_t *client, short events, int64_t wait_ms)
{
    zmq_pollitem_t items[] = {{client->handle, 0, events, 0},
                              {zsock_resolve(client->monitor), 0, ZMQ_POLLIN, 0}};
    zmq_poll(items, 2, wait_ms > 0 ? (long)wait_ms : 0);
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void take_reply(wire_client_t *client, const Wire__Envelope *head, zmq_msg_t *body)
{
    slot_t *slot = &client->slots[head->request_id % WIRE_WINDOW];
    if (slot->state != SLOT_WAITING || slot->request_id != head->request_id)
        return; /* late: nobody waits for it any more */
    if (head->status != STATUS_OK) {
        bool is_known = head->status < STATUS_COUNT;
        slot_arrive(slot, is_known ? (status_t)head->status : STATUS_INTERNAL, head->detail, NULL);
        return;
    }
    ProtobufCMessage *reply = NULL;
    if (strcmp(head->type, slot->reply_type->name) != 0)
        slot_arrive(slot, STATUS_INTERNAL, "the reply has another type", NULL);
    else if (envelope_unpack(slot->reply_type, zmq_msg_data(body), zmq_msg_size(body), &reply) !=
             STATUS_OK)
        slot_arrive(slot, STATUS_INTERNAL, "malformed reply", NULL);
    else
        slot_arrive(slot, STATUS_OK, "", reply);
}

/* One message of any number of frames; more than envelope and body are let go. */
static bool receive_message(wire_client_t *client)
{
    zmq_msg_t head, body, frame;
    zmq_msg_init(&head);
    zmq_msg_init(&body);
    bool is_there = zmq_msg_recv(&head, client->handle, ZMQ_DONTWAIT) >= 0;
    bool is_more = is_there && zmq_msg_more(&head);
    if (is_more)
        is_more = zmq_msg_recv(&body, client->handle, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&body);
    while (is_more) {
        zmq_msg_init(&frame);
        is_more = zmq_msg_recv(&frame, client->handle, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
    Wire__Envelope *envelope = NULL;
    if (is_there &&
        envelope_unpack_head(zmq_msg_data(&head), zmq_msg_size(&head), &envelope) == STATUS_OK) {
        take_reply(client, envelope, &body);
        wire__envelope__free_unpacked(envelope, NULL);
    }
    zmq_msg_close(&head);
    zmq_msg_close(&body);
    return is_there;
}

/* Loss is looked at first and acted on last: what came before it still counts. */
static void receive_all(wire_client_t *client)
{
    bool is_lost = monitor_take_lost(client->monitor, &client->is_connected);
    while (receive_message(client))
        continue;
    if (is_lost && client->connected.count == 1)
        lose_slots(client);
}

/* ---- sending ------------------------------------------------------------------------------- */

static status_t send_frames(wire_client_t *client, const void *head, size_t head_length,
                            const void *body, size_t body_length)
{
    /* IMMEDIATE: only a finished handshake makes the socket writable */
    if (zmq_send(client->handle, head, head_length, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return fail(STATUS_BUSY, "no connection to %s", client->server_name);
    if (zmq_send(client->handle, body, body_length, ZMQ_DONTWAIT) < 0)
        return fail(STATUS_BUSY, "the connection to %s broke", client->server_name);
    return STATUS_OK;
}

static status_t send_request(wire_client_t *client, const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *reply_type, int64_t timeout_ms,
                             slot_t **out_slot)
{
    slot_t *slot = slot_take_free(client);
    if (!slot)
        return fail(STATUS_BUSY, "%d requests are under way", WIRE_WINDOW);
    Wire__Envelope head = WIRE__ENVELOPE__INIT;
    head.type = (char *)(uintptr_t)request->descriptor->name;
    head.request_id = slot->request_id;
    head.deadline_ms = (uint32_t)timeout_ms;
    head.trace_id = client->trace_id;

    uint8_t *head_bytes = NULL, *body = NULL;
    size_t head_length = 0, body_length = 0;
    status_t status = envelope_pack(request, &body, &body_length);
    if (status == STATUS_OK)
        status = envelope_pack(&head.base, &head_bytes, &head_length);
    if (status == STATUS_OK)
        status = send_frames(client, head_bytes, head_length, body, body_length);
    free(head_bytes);
    free(body);
    TRY(status);
    slot->state = SLOT_WAITING;
    slot->reply_type = reply_type;
    slot->deadline_ms = clock_monotonic_ms() + timeout_ms;
    *out_slot = slot;
    return STATUS_OK;
}

/* ---- call ---------------------------------------------------------------------------------- */

static status_t wait_for_server(wire_client_t *client, int64_t until_ms)
{
    for (;;) {
        follow_addresses(client);
        receive_all(client); /* a loss of the past is not the next request's */
        if (can_send(client))
            return STATUS_OK;
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return fail(STATUS_UNAVAILABLE, "no connection to %s", client->server_name);
        poll_socket(client, ZMQ_POLLOUT, left_ms < NOT_THERE_POLL_MS ? left_ms : NOT_THERE_POLL_MS);
    }
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void wait_for_reply(wire_client_t *client, slot_t *slot)
{
    for (;;) {
        receive_all(client);
        if (slot->state == SLOT_ARRIVED)
            return;
        int64_t left_ms = slot->deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0) {
            slot_arrive(slot, STATUS_EXPIRED, "no reply in time", NULL);
            return;
        }
        poll_socket(client, ZMQ_POLLIN, left_ms);
    }
}

static status_t call_once(wire_client_t *client, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *reply_type, int64_t deadline_ms,
                          ProtobufCMessage **out_reply, bool *out_is_lost)
{
    int64_t now_ms = clock_monotonic_ms();
    TRY(wait_for_server(client, smaller(deadline_ms, now_ms + WIRE_CONNECT_MS)));
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    slot_t *slot = NULL;
    status_t status = send_request(client, request, reply_type, left_ms > 0 ? left_ms : 1, &slot);
    if (status == STATUS_BUSY && !can_send(client)) {
        *out_is_lost = true;
        return fail(STATUS_UNAVAILABLE, "no connection to %s", client->server_name);
    }
    TRY(status);
    wait_for_reply(client, slot);
    *out_is_lost = slot->is_lost;
    return slot_finish(slot, out_reply);
}

/*
 * A request that went down with its connection is sent once more: receivers are idempotent, and
 * so a restart of the server is not seen. Only once, in case it was this request that did it.
 */
status_t wire_client_call(wire_client_t *client, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *reply_type, int timeout_ms,
                          ProtobufCMessage **out_reply)
{
    int64_t limit_ms = timeout_ms > 0 ? timeout_ms : WIRE_DEADLINE_DEFAULT_MS;
    int64_t deadline_ms = clock_monotonic_ms() + limit_ms;
    bool is_lost = false;
    status_t status = call_once(client, request, reply_type, deadline_ms, out_reply, &is_lost);
    if (is_lost && clock_monotonic_ms() < deadline_ms)
        status = call_once(client, request, reply_type, deadline_ms, out_reply, &is_lost);
    return status;
}

/* ---- for a loop that must not wait --------------------------------------------------------- */

/*
 * ZMQ_FD tells of changes, not of states: whatever else uses the socket may swallow the change.
 * So the timer in the same epoll set fires at once while a reply lies ready, and else at the
 * earliest deadline: the descriptor that the caller sees is never silent when it should speak.
 */
static void arm_timer(wire_client_t *client)
{
    int64_t now_ms = clock_monotonic_ms(), earliest_ms = INT64_MAX;
    for (size_t i = 0; i < WIRE_WINDOW; i++) {
        const slot_t *slot = &client->slots[i];
        if (slot->state == SLOT_ARRIVED)
            earliest_ms = now_ms;
        else if (slot->state == SLOT_WAITING)
            earliest_ms = smaller(earliest_ms, slot->deadline_ms);
    }
    if (has_events(client->dealer, ZMQ_POLLIN) || has_events(client->monitor, ZMQ_POLLIN))
        earliest_ms = now_ms;
    struct itimerspec when = {0};
    if (earliest_ms != INT64_MAX) {
        int64_t left_ms = earliest_ms > now_ms ? earliest_ms - now_ms : 0;
        when.it_value.tv_sec = left_ms / 1000;
        when.it_value.tv_nsec = left_ms % 1000 * 1000000 + 1; /* zero would disarm */
    }
    timerfd_settime(client->timer_fd, 0, &when, NULL);
}

status_t wire_client_send(wire_client_t *client, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *reply_type, uint64_t *out_request_id)
{
    follow_addresses(client);
    receive_all(client);
    slot_t *slot = NULL;
    status_t status =
        can_send(client)
            ? send_request(client, request, reply_type, WIRE_DEADLINE_DEFAULT_MS, &slot)
            : fail(STATUS_BUSY, "no connection to %s", client->server_name);
    if (status == STATUS_OK)
        *out_request_id = slot->request_id;
    arm_timer(client);
    return status;
}

status_t wire_client_receive(wire_client_t *client, uint64_t *out_request_id, status_t *out_status,
                             ProtobufCMessage **out_reply)
{
    follow_addresses(client);
    receive_all(client);
    expire_slots(client);
    for (size_t i = 0; i < WIRE_WINDOW; i++) {
        slot_t *slot = &client->slots[i];
        if (slot->state != SLOT_ARRIVED)
            continue;
        *out_request_id = slot->request_id;
        *out_reply = NULL;
        *out_status = slot_finish(slot, out_reply);
        return STATUS_OK;
    }
    arm_timer(client);
    return fail(STATUS_BUSY, "no reply yet");
}

int wire_client_fd(const wire_client_t *client)
{
    return client->loop_fd;
}

void wire_client_set_trace(wire_client_t *client, const char *trace_id)
{
    snprintf(client->trace_id, sizeof client->trace_id, "%s", trace_id);
}

/* ---- open and close ------------------------------------------------------------------------ */

static status_t watch(const wire_client_t *client, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(client->loop_fd, EPOLL_CTL_ADD, fd, &event))
        return fail(STATUS_UNAVAILABLE, "epoll: %s", strerror(errno));
    return STATUS_OK;
}

static status_t prepare(wire_client_t *client, const char *endpoint, const char *name)
{
    TRY(keys_load(client->keys_folder, name, true, &client->pair));
    TRY(resolver_open(endpoint, &client->resolver));
    client->dealer = zsock_new(ZMQ_DEALER);
    if (!client->dealer)
        return fail(STATUS_UNAVAILABLE, "no socket: %s", zmq_strerror(errno));
    client->handle = zsock_resolve(client->dealer);
    zcert_apply(client->pair, client->dealer);
    zsock_set_immediate(client->dealer, 1);
    zsock_set_ipv6(client->dealer, 1);
    zsock_set_maxmsgsize(client->dealer, WIRE_MESSAGE_MAX);
    zsock_set_sndhwm(client->dealer, 2 * WIRE_WINDOW);
    zsock_set_rcvhwm(client->dealer, 2 * WIRE_WINDOW);
    zsock_set_linger(client->dealer, 0);
    zsock_set_heartbeat_ivl(client->dealer, WIRE_HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(client->dealer, WIRE_HEARTBEAT_TIMEOUT_MS);
    zsock_set_handshake_ivl(client->dealer, WIRE_HANDSHAKE_MS);
    zsock_set_reconnect_ivl(client->dealer, RECONNECT_FIRST_MS);
    zsock_set_reconnect_ivl_max(client->dealer, RECONNECT_MAX_MS);

    client->loop_fd = epoll_create1(EPOLL_CLOEXEC);
    client->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (client->loop_fd < 0 || client->timer_fd < 0)
        return fail(STATUS_UNAVAILABLE, "no descriptor: %s", strerror(errno));
    TRY(watch(client, client->timer_fd));
    TRY(watch(client, zsock_fd(client->dealer)));
    TRY(monitor_open(client->dealer, &client->monitor));
    TRY(watch(client, zsock_fd(client->monitor)));
    follow_addresses(client);
    return STATUS_OK;
}

status_t wire_client_open(const char *endpoint, const char *keys_folder, const char *name,
                          const char *server_name, wire_client_t **out_client)
{
    auth_prepare_czmq();
    wire_client_t *client = memory_allocate(sizeof *client);
    client->keys_folder = memory_copy_text(keys_folder);
    client->server_name = memory_copy_text(server_name);
    client->loop_fd = client->timer_fd = -1;
    status_t status = prepare(client, endpoint, name);
    if (status != STATUS_OK)
        wire_client_close(&client);
    else
        *out_client = client;
    return status;
}

void wire_client_close(wire_client_t **client)
{
    wire_client_t *self = *client;
    if (!self)
        return;
    for (size_t i = 0; i < WIRE_WINDOW; i++)
        slot_clear(&self->slots[i]);
    memory_close_cleanup(&self->loop_fd);
    memory_close_cleanup(&self->timer_fd);
    monitor_close(self->dealer, &self->monitor);
    zsock_destroy(&self->dealer);
    zcert_destroy(&self->pair);
    resolver_close(&self->resolver);
    free(self->keys_folder);
    free(self->server_name);
    free(self);
    *client = NULL;
}
