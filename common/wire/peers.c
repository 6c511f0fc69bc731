#include "wire/peers.h"

#include "wire/keys.h"
#include "wire/monitor.h"
#include "wire/socket.h"
#include "wire/wire.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    RECONNECT_FIRST_MS = 50,
    RECONNECT_MAX_MS = 1000,
    LOOK_MS = 1000 /* between two looks at what the resolver says */
};

/* ---- one ----------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return hash;
}

/* The finalizer of SplitMix64: each bit of the sum changes half of the score's. */
static uint64_t score_of(uint64_t key, uint64_t peer)
{
    uint64_t mixed = key + peer;
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

static status_t watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
        return fail(STATUS_UNAVAILABLE, "epoll: %s", strerror(errno));
    return STATUS_OK;
}

/* libzmq closes its descriptors some time after their socket: until then they must not wake. */
static void unwatch(int epoll_fd, int fd)
{
    if (epoll_fd >= 0 && fd >= 0)
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void peer_close(const peers_t *peers, peer_t *peer)
{
    unwatch(peers->epoll_fd, peer->monitor_fd);
    unwatch(peers->epoll_fd, peer->socket_fd);
    monitor_close(peer->socket, &peer->monitor);
    zsock_destroy(&peer->socket);
    free(peer);
}

static status_t peer_prepare(const peers_t *peers, peer_t *peer)
{
    peer->socket = zsock_new(peers->socket_type);
    if (!peer->socket)
        return fail(STATUS_UNAVAILABLE, "no socket: %s", zmq_strerror(errno));
    peer->handle = zsock_resolve(peer->socket);
    zcert_apply(peers->pair, peer->socket);
    zsock_set_curve_serverkey(peer->socket, zcert_public_txt(peers->server));
    socket_limit(peer->socket, peers->socket_type == ZMQ_SUB ? WIRE_BELLS_MAX : 2 * WIRE_WINDOW);
    zsock_set_immediate(peer->socket, 1);
    zsock_set_ipv6(peer->socket, 1);
    zsock_set_reconnect_ivl(peer->socket, RECONNECT_FIRST_MS);
    zsock_set_reconnect_ivl_max(peer->socket, RECONNECT_MAX_MS);
    if (peers->socket_type == ZMQ_SUB)
        zsock_set_subscribe(peer->socket, "");
    TRY(monitor_open(peer->socket, &peer->monitor));
    peer->socket_fd = zsock_fd(peer->socket);
    peer->monitor_fd = zsock_fd(peer->monitor);
    TRY(watch(peers->epoll_fd, peer->socket_fd));
    TRY(watch(peers->epoll_fd, peer->monitor_fd));
    if (zmq_connect(peer->handle, peer->address))
        return fail(STATUS_UNAVAILABLE, "%s: %s", peer->address, zmq_strerror(errno));
    return STATUS_OK;
}

/*
 * ZMQ_FD tells of changes, not of states, and whatever uses the socket may swallow the change:
 * asking for its events (which then say so), sending (which does not). A receive that finds nothing
 * leaves it so that the next message is told. So a socket is asked again, with its three or four
 * system calls, only if its descriptor spoke or it was used since.
 */
static bool has_events(peer_t *peer, int wanted)
{
    int events = zsock_events(peer->socket);
    peer->may_receive = (events & ZMQ_POLLIN) != 0;
    return (events & wanted) != 0;
}

bool peer_can_send(peer_t *peer)
{
    return peer->is_connected && has_events(peer, ZMQ_POLLOUT);
}

bool peer_send(peer_t *peer, const void *head, size_t head_length, const void *body,
               size_t body_length)
{
    peer->may_receive = true;
    /* IMMEDIATE: only a finished handshake makes the socket writable */
    return zmq_send(peer->handle, head, head_length, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
           zmq_send(peer->handle, body, body_length, ZMQ_DONTWAIT) >= 0;
}

bool peer_take_lost(peer_t *peer)
{
    if (!peer->may_be_lost)
        return false;
    peer->may_be_lost = false;
    peer->may_receive = true; /* came before the loss, perhaps after the descriptor was looked at */
    bool is_lost = monitor_take_lost(peer->monitor, &peer->is_connected);
    peer->was_connected |= peer->is_connected || is_lost;
    return is_lost;
}

static bool receive_frames(peer_t *peer, zmq_msg_t *head, zmq_msg_t *body)
{
    if (zmq_msg_recv(head, peer->handle, ZMQ_DONTWAIT) < 0)
        return false;
    bool is_more = zmq_msg_more(head);
    if (is_more)
        is_more = zmq_msg_recv(body, peer->handle, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(body);
    while (is_more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        is_more = zmq_msg_recv(&frame, peer->handle, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
    return true;
}

bool peer_receive(peer_t *peer, Wire__Envelope **out_envelope, zmq_msg_t *out_body)
{
    zmq_msg_t head;
    zmq_msg_init(&head);
    zmq_msg_init(out_body);
    *out_envelope = NULL;
    bool is_there = peer->may_receive && receive_frames(peer, &head, out_body);
    peer->may_receive = is_there;
    if (is_there)
        (void)envelope_unpack_head(zmq_msg_data(&head), zmq_msg_size(&head), out_envelope);
    zmq_msg_close(&head);
    return is_there;
}

/* ---- following the addresses --------------------------------------------------------------- */

static peer_t *find(const peers_t *peers, const char *address)
{
    for (size_t i = 0; i < peers->count; i++)
        if (strcmp(peers->items[i]->address, address) == 0)
            return peers->items[i];
    return NULL;
}

/* One that cannot be made now is tried again at the next look. */
static void add(peers_t *peers, const char *address)
{
    if (peers->count == PEERS_MAX)
        return;
    peer_t *peer = memory_allocate(sizeof *peer);
    snprintf(peer->address, sizeof peer->address, "%s", address);
    peer->hash = hash_of(address);
    peer->opened_ms = clock_monotonic_ms();
    peer->socket_fd = peer->monitor_fd = -1;
    peer->may_receive = peer->may_be_lost = true; /* the first is told only to who found nothing */
    if (peer_prepare(peers, peer) == STATUS_OK)
        peers->items[peers->count++] = peer;
    else
        peer_close(peers, peer);
}

static void close_those_that_left(peers_t *peers)
{
    for (size_t i = 0; i < peers->count;) {
        peer_t *peer = peers->items[i];
        if (!peer->is_leaving || peer->waiting) {
            i++;
            continue;
        }
        peers->items[i] = peers->items[--peers->count];
        peer_close(peers, peer);
    }
}

static bool load_server_key(peers_t *peers)
{
    return peers->server ||
           keys_load(peers->keys_folder, peers->server_name, false, &peers->server) == STATUS_OK;
}

void peers_follow(peers_t *peers)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < peers->next_look_ms || !load_server_key(peers))
        return;
    (void)resolver_take(peers->resolver, &peers->version, peers->wanted);
    const resolver_list_t *wanted = peers->wanted;
    for (size_t i = 0; i < peers->count; i++)
        peers->items[i]->is_leaving = !resolver_list_holds(wanted, peers->items[i]->address);
    close_those_that_left(peers);
    for (size_t i = 0; i < wanted->count; i++)
        if (!find(peers, wanted->items[i]))
            add(peers, wanted->items[i]);
    if (peers->count)
        peers->next_look_ms = now_ms + LOOK_MS;
}

/* ---- choosing ------------------------------------------------------------------------------ */

static bool is_other(const peer_t *peer, uint64_t but)
{
    return !peer->is_leaving && peer->hash != but;
}

static bool is_young(const peer_t *peer)
{
    return !peer->was_connected && clock_monotonic_ms() - peer->opened_ms < PEER_YOUNG_MS;
}

static peer_t *pick_by_key(const peers_t *peers, uint64_t key, uint64_t but)
{
    peer_t *best = NULL;
    uint64_t best_score = 0;
    for (size_t i = 0; i < peers->count; i++) {
        peer_t *peer = peers->items[i];
        uint64_t score = score_of(key, peer->hash);
        if (!is_other(peer, but) || (best && score <= best_score))
            continue;
        if (!peer_can_send(peer) && !is_young(peer))
            continue;
        best = peer;
        best_score = score;
    }
    return best && peer_can_send(best) ? best : NULL;
}

static peer_t *pick_next(peers_t *peers, uint64_t but)
{
    for (size_t i = 0; i < peers->count; i++) {
        size_t index = (peers->next + i) % peers->count;
        peer_t *peer = peers->items[index];
        if (!is_other(peer, but) || !peer_can_send(peer))
            continue;
        peers->next = index + 1;
        return peer;
    }
    return NULL;
}

peer_t *peers_pick(peers_t *peers, uint64_t key, uint64_t but)
{
    peer_t *peer = key ? pick_by_key(peers, key, but) : pick_next(peers, but);
    return peer || !but ? peer : peers_pick(peers, key, 0);
}

bool peers_know_other(const peers_t *peers, uint64_t but)
{
    for (size_t i = 0; i < peers->count; i++)
        if (is_other(peers->items[i], but) &&
            (peers->items[i]->was_connected || is_young(peers->items[i])))
            return true;
    return false;
}

bool peers_have_other(peers_t *peers, uint64_t but)
{
    for (size_t i = 0; i < peers->count; i++)
        if (is_other(peers->items[i], but) && peer_can_send(peers->items[i]))
            return true;
    return false;
}

/* ---- waiting ------------------------------------------------------------------------------- */

void peers_poll(peers_t *peers, int64_t wait_ms)
{
    struct pollfd fds[2 * PEERS_MAX];
    nfds_t count = 0;
    for (size_t i = 0; i < peers->count; i++) {
        const peer_t *peer = peers->items[i];
        fds[count++] = (struct pollfd){.fd = peer->socket_fd, .events = POLLIN};
        fds[count++] = (struct pollfd){.fd = peer->monitor_fd, .events = POLLIN};
        if (peer->may_receive || peer->may_be_lost)
            wait_ms = 0;
    }
    int timeout_ms = wait_ms < 0 ? 0 : wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
    if (poll(fds, count, timeout_ms) <= 0)
        return;
    for (size_t i = 0; i < peers->count; i++) {
        peers->items[i]->may_receive |= fds[2 * i].revents != 0;
        peers->items[i]->may_be_lost |= fds[2 * i + 1].revents != 0;
    }
}

bool peers_have_input(peers_t *peers)
{
    for (size_t i = 0; i < peers->count; i++)
        if (peers->items[i]->may_receive && has_events(peers->items[i], ZMQ_POLLIN))
            return true;
    return false;
}

/* ---- open and close ------------------------------------------------------------------------ */

status_t peers_open(peers_t *peers, const char *endpoint, const char *keys_folder, const char *name,
                    const char *server_name, int socket_type, int epoll_fd)
{
    peers->keys_folder = memory_copy_text(keys_folder);
    peers->server_name = memory_copy_text(server_name);
    peers->socket_type = socket_type;
    peers->epoll_fd = epoll_fd;
    peers->wanted = memory_allocate(sizeof *peers->wanted);
    TRY(keys_load(keys_folder, name, true, &peers->pair));
    return resolver_open(endpoint, &peers->resolver);
}

void peers_close(peers_t *peers)
{
    for (size_t i = 0; i < peers->count; i++)
        peer_close(peers, peers->items[i]);
    peers->count = 0;
    zcert_destroy(&peers->pair);
    zcert_destroy(&peers->server);
    resolver_close(&peers->resolver);
    free(peers->wanted);
    free(peers->keys_folder);
    free(peers->server_name);
    *peers = (peers_t){.epoll_fd = -1};
}
