#include "wire/auth.h"
#include "wire/envelope.h"
#include "wire/peers.h"
#include "wire/window.h"
#include "wire/wire.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { NOT_THERE_POLL_MS = 50 }; /* while the server's key or name is not there yet */

struct wire_client {
    peers_t peers;
    window_t window;
    int loop_fd, timer_fd; /* what wire_client_fd() shows: the sockets and the next deadline */
    uint64_t affinity;
    char trace_id[ENVELOPE_TRACE_MAX + 1];
};

/* ---- receiving ----------------------------------------------------------------------------- */

static void take_reply(wire_client_t *client, const peer_t *peer, const Wire__Envelope *head,
                       zmq_msg_t *body)
{
    slot_t *slot = window_find(&client->window, peer, head->request_id);
    if (!slot)
        return; /* late */
    if (head->status != STATUS_OK) {
        bool is_known = head->status < STATUS_COUNT;
        window_arrive(slot, is_known ? (status_t)head->status : STATUS_INTERNAL, head->detail,
                      NULL);
        return;
    }
    ProtobufCMessage *reply = NULL;
    if (strcmp(head->type, slot->reply_type->name) != 0)
        window_arrive(slot, STATUS_INTERNAL, "the reply has another type", NULL);
    else if (envelope_unpack(slot->reply_type, zmq_msg_data(body), zmq_msg_size(body), &reply) !=
             STATUS_OK)
        window_arrive(slot, STATUS_INTERNAL, "malformed reply", NULL);
    else
        window_arrive(slot, STATUS_OK, "", reply);
}

static bool receive_message(wire_client_t *client, peer_t *peer)
{
    zmq_msg_t body;
    Wire__Envelope *envelope = NULL;
    bool is_there = peer_receive(peer, &envelope, &body);
    if (envelope)
        take_reply(client, peer, envelope, &body);
    wire__envelope__free_unpacked(envelope, NULL);
    zmq_msg_close(&body);
    return is_there;
}

/* Loss is looked at first and acted on last: what came before it still counts. */
static void receive_all(wire_client_t *client)
{
    for (size_t i = 0; i < client->peers.count; i++) {
        peer_t *peer = client->peers.items[i];
        bool is_lost = peer_take_lost(peer);
        while (receive_message(client, peer))
            continue;
        if (is_lost)
            window_lose(&client->window, peer);
    }
}

/* ---- sending ------------------------------------------------------------------------------- */

static status_t not_there(const wire_client_t *client, status_t status)
{
    return fail(status, "no connection to %s", client->peers.server_name);
}

static status_t send_request(wire_client_t *client, peer_t *peer, const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *reply_type, int64_t timeout_ms,
                             slot_t **out_slot)
{
    slot_t *slot = window_take(&client->window);
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
    if (status == STATUS_OK && !peer_send(peer, head_bytes, head_length, body, body_length))
        status = not_there(client, STATUS_BUSY);
    free(head_bytes);
    free(body);
    TRY(status);
    window_wait(slot, peer, reply_type, clock_monotonic_ms() + timeout_ms);
    *out_slot = slot;
    return STATUS_OK;
}

/* ---- call ---------------------------------------------------------------------------------- */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static status_t wait_for_peer(wire_client_t *client, int64_t until_ms, uint64_t but,
                              peer_t **out_peer)
{
    int64_t wait_ms = 0;
    for (;;) {
        peers_follow(&client->peers);
        peers_poll(&client->peers, wait_ms);
        receive_all(client); /* a loss of the past is not the next request's */
        *out_peer = peers_pick(&client->peers, client->affinity, but);
        if (*out_peer)
            return STATUS_OK;
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return not_there(client, STATUS_UNAVAILABLE);
        wait_ms = smaller(left_ms, NOT_THERE_POLL_MS);
    }
}

static void wait_for_reply(wire_client_t *client, slot_t *slot)
{
    for (;;) {
        receive_all(client);
        if (slot->state == SLOT_ARRIVED)
            return;
        int64_t left_ms = slot->deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0) {
            window_arrive(slot, STATUS_EXPIRED, "no reply in time", NULL);
            return;
        }
        peers_poll(&client->peers, left_ms);
    }
}

/* asked: the hash of a peer. In, who shall not be asked if there is another one; out, who was. */
static status_t call_once(wire_client_t *client, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *reply_type, int64_t deadline_ms,
                          uint64_t *asked, ProtobufCMessage **out_reply, bool *out_is_lost)
{
    peer_t *peer = NULL;
    slot_t *slot = NULL;
    int64_t until_ms = smaller(deadline_ms, clock_monotonic_ms() + WIRE_CONNECT_MS);
    *out_is_lost = false;
    TRY(wait_for_peer(client, until_ms, *asked, &peer));
    *asked = peer->hash;
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    status_t status =
        send_request(client, peer, request, reply_type, left_ms > 0 ? left_ms : 1, &slot);
    if (status == STATUS_BUSY && !peer_can_send(peer)) {
        *out_is_lost = true;
        return not_there(client, STATUS_UNAVAILABLE);
    }
    TRY(status);
    wait_for_reply(client, slot);
    *out_is_lost = slot->is_lost;
    return window_finish(slot, out_reply);
}

/* Where replicas are restarted one after the other, the first may be back, and its connection not yet. */
static bool wait_for_other(wire_client_t *client, uint64_t but, int64_t until_ms)
{
    for (;;) {
        if (peers_have_other(&client->peers, but))
            return true;
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (left_ms <= 0 || !peers_know_other(&client->peers, but))
            return false;
        peers_poll(&client->peers, smaller(left_ms, NOT_THERE_POLL_MS));
        peers_follow(&client->peers);
        receive_all(client);
    }
}

/*
 * A request that went down with its connection, or that a replica cannot answer (it is stopping, or
 * has lost its database), is sent once more, to another replica or to the same one come back:
 * receivers are idempotent, and so a restart is not seen. Only once for either, in case it was this
 * request that did it; both befall one that is sent while all are restarted, one after the other.
 */
status_t wire_client_call(wire_client_t *client, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *reply_type, int timeout_ms,
                          ProtobufCMessage **out_reply)
{
    int64_t limit_ms = timeout_ms > 0 ? timeout_ms : WIRE_DEADLINE_DEFAULT_MS;
    int64_t deadline_ms = clock_monotonic_ms() + limit_ms;
    bool was_lost = false, was_unable = false;
    uint64_t asked = 0;
    for (;;) {
        bool is_lost = false;
        status_t status =
            call_once(client, request, reply_type, deadline_ms, &asked, out_reply, &is_lost);
        bool *before = is_lost ? &was_lost : &was_unable;
        int64_t now_ms = clock_monotonic_ms();
        if (status != STATUS_UNAVAILABLE || !asked || now_ms >= deadline_ms || *before)
            return status;
        *before = true;
        if (!is_lost &&
            !wait_for_other(client, asked, smaller(deadline_ms, now_ms + WIRE_CONNECT_MS)))
            return status;
    }
}

/* ---- for a loop that must not wait --------------------------------------------------------- */

/*
 * ZMQ_FD tells of changes, not of states: whatever else uses the socket may swallow the change.
 * So the timer in the same epoll set fires at once while a reply lies ready, and else at the
 * earliest deadline: the descriptor that the caller sees is never silent when it should speak.
 */
static void arm_timer(wire_client_t *client)
{
    int64_t due_ms = window_deadline_ms(&client->window);
    if (peers_have_input(&client->peers))
        due_ms = 0;
    struct itimerspec when = {0};
    if (due_ms != INT64_MAX) {
        int64_t now_ms = clock_monotonic_ms();
        int64_t left_ms = due_ms > now_ms ? due_ms - now_ms : 0;
        when.it_value.tv_sec = left_ms / 1000;
        when.it_value.tv_nsec = left_ms % 1000 * 1000000 + 1; /* zero would disarm */
    }
    timerfd_settime(client->timer_fd, 0, &when, NULL);
}

status_t wire_client_send(wire_client_t *client, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *reply_type, uint64_t *out_request_id)
{
    peers_follow(&client->peers);
    peers_poll(&client->peers, 0);
    receive_all(client);
    slot_t *slot = NULL;
    peer_t *peer = peers_pick(&client->peers, client->affinity, 0);
    status_t status =
        peer ? send_request(client, peer, request, reply_type, WIRE_DEADLINE_DEFAULT_MS, &slot)
             : not_there(client, STATUS_BUSY);
    if (status == STATUS_OK)
        *out_request_id = slot->request_id;
    arm_timer(client);
    return status;
}

status_t wire_client_receive(wire_client_t *client, uint64_t *out_request_id, status_t *out_status,
                             ProtobufCMessage **out_reply)
{
    peers_follow(&client->peers);
    peers_poll(&client->peers, 0);
    receive_all(client);
    window_expire(&client->window);
    slot_t *slot = window_find_arrived(&client->window);
    if (!slot) {
        arm_timer(client);
        return fail(STATUS_BUSY, "no reply yet");
    }
    *out_request_id = slot->request_id;
    *out_reply = NULL;
    *out_status = window_finish(slot, out_reply);
    return STATUS_OK;
}

int wire_client_fd(const wire_client_t *client)
{
    return client->loop_fd;
}

void wire_client_set_trace(wire_client_t *client, const char *trace_id)
{
    snprintf(client->trace_id, sizeof client->trace_id, "%s", trace_id);
}

void wire_client_set_affinity(wire_client_t *client, uint64_t key)
{
    client->affinity = key;
}

/* ---- open and close ------------------------------------------------------------------------ */

static status_t prepare(wire_client_t *client, const char *endpoint, const char *keys_folder,
                        const char *name, const char *server_name)
{
    client->loop_fd = epoll_create1(EPOLL_CLOEXEC);
    client->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN};
    if (client->loop_fd < 0 || client->timer_fd < 0 ||
        epoll_ctl(client->loop_fd, EPOLL_CTL_ADD, client->timer_fd, &event))
        return fail(STATUS_UNAVAILABLE, "no descriptor: %s", strerror(errno));
    TRY(peers_open(&client->peers, endpoint, keys_folder, name, server_name, ZMQ_DEALER,
                   client->loop_fd));
    peers_follow(&client->peers);
    return STATUS_OK;
}

status_t wire_client_open(const char *endpoint, const char *keys_folder, const char *name,
                          const char *server_name, wire_client_t **out_client)
{
    auth_prepare_czmq();
    wire_client_t *client = memory_allocate(sizeof *client);
    client->loop_fd = client->timer_fd = -1;
    status_t status = prepare(client, endpoint, keys_folder, name, server_name);
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
    window_clear(&self->window);
    peers_close(&self->peers);
    memory_close_cleanup(&self->loop_fd);
    memory_close_cleanup(&self->timer_fd);
    free(self);
    *client = NULL;
}
