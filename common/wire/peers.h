#ifndef ZPACS_WIRE_PEERS_H
#define ZPACS_WIRE_PEERS_H

#include "base/status.h"
#include "wire/envelope.h"
#include "wire/resolver.h"

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Inside common/wire only. One socket for each address that an endpoint stands for, so that a
 * message goes to a chosen one of the replicas and a loss is that replica's alone.
 *
 *     (new address) ─▶ YOUNG ──handshake──▶ CONNECTED ◀──▶ BROKEN        libzmq reconnects by itself
 *                        └────── time ──────────▶──────────┘
 *     an address that is not in the list any more: leaving; closed when nothing waits for it
 */
enum {
    PEERS_MAX = 2 * RESOLVER_ADDRESSES_MAX, /* those in the list, and some that leave it */
    PEER_YOUNG_MS = 250                     /* a connection that will stand stands by then */
};

typedef struct {
    char address[RESOLVER_ADDRESS_SIZE];
    uint64_t hash; /* of the address: the same in every process */
    zsock_t *socket, *monitor;
    void *handle; /* of socket */
    int socket_fd, monitor_fd;
    bool may_receive; /* its descriptor spoke, or the socket was used, since it last was empty */
    bool may_be_lost; /* the same of the monitor */
    bool is_connected, is_leaving, was_connected;
    int64_t opened_ms;
    size_t waiting; /* requests whose reply is awaited from it: the user counts */
} peer_t;

typedef struct {
    char *keys_folder, *server_name;
    int socket_type;
    zcert_t *pair, *server; /* server: NULL until its key is there */
    resolver_t *resolver;
    unsigned version; /* of what the resolver said */
    resolver_list_t *wanted;
    int64_t next_look_ms;
    int epoll_fd; /* the sockets are put in, and taken out; -1: none */
    size_t next;  /* in turn */
    size_t count;
    peer_t *items[PEERS_MAX];
} peers_t;

/*
 * Nobody is connected to yet: peers_follow() does that.
 *
 * socket_type  ZMQ_DEALER or ZMQ_SUB
 * epoll_fd     borrowed; may be -1
 * Fails: INVALID (endpoint), UNAVAILABLE (key). Close it then too.
 */
status_t peers_open(peers_t *peers, const char *endpoint, const char *keys_folder, const char *name,
                    const char *server_name, int socket_type, int epoll_fd);
void peers_close(peers_t *peers);

/* Connects to what is new, lets go of what has left. Cheap: looks about every second. */
void peers_follow(peers_t *peers);

/*
 * The one that the next request goes to, or NULL: nobody is there. Without a key they take turns;
 * with one everybody chooses the same (rendezvous hashing: the highest score wins, so a replica
 * that comes or goes moves its own keys only), and waits a moment for one that is just connecting.
 *
 * but  0, or the hash of the one that is taken only if there is no other
 */
peer_t *peers_pick(peers_t *peers, uint64_t key, uint64_t but);

/* Somebody else than this one (by its hash) can be asked; or there is somebody, who may come back. */
bool peers_have_other(peers_t *peers, uint64_t but);
bool peers_know_other(const peers_t *peers, uint64_t but);

bool peer_can_send(peer_t *peer);

/* A whole message. False: it cannot be sent now. */
bool peer_send(peer_t *peer, const void *head, size_t head_length, const void *body,
               size_t body_length);

/* Takes what the monitor said until the last peers_poll(); true: the connection was lost. */
bool peer_take_lost(peer_t *peer);

/*
 * One message that was there at the last peers_poll(), of any number of frames; more than two are
 * let go. False: none is there.
 *
 * out_envelope  NULL when there is none or it is malformed; caller frees
 * out_body      caller closes, in any case
 */
bool peer_receive(peer_t *peer, Wire__Envelope **out_envelope, zmq_msg_t *out_body);

/* Waits until something may be received, or a connection comes or goes. One system call for all. */
void peers_poll(peers_t *peers, int64_t wait_ms);

/* Something may be received that no descriptor will tell of. */
bool peers_have_input(peers_t *peers);

#endif
