#ifndef ZPACS_WIRE_WIRE_H
#define ZPACS_WIRE_WIRE_H

#include "base/status.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Messages between services: ROUTER and DEALER over CURVE, Protocol Buffers inside.
 * STYLE: "The contract". Every limit stands here.
 */
enum {
    WIRE_MESSAGE_MAX = 1024 * 1024, /* bytes of one frame (ZMQ_MAXMSGSIZE) */
    WIRE_FRAMES_MAX = 8,
    WIRE_WINDOW = 256,   /* requests under way per caller */
    WIRE_BELLS_MAX = 64, /* messages of a publisher that wait for one subscriber; more are lost */
    WIRE_ENDPOINTS_MAX = 16, /* in one list */
    WIRE_DEADLINE_DEFAULT_MS = 10000,
    WIRE_HEARTBEAT_MS = 2000,
    WIRE_HEARTBEAT_TIMEOUT_MS = 6000,
    WIRE_HANDSHAKE_MS = 3000,
    WIRE_CONNECT_MS = 3000, /* a call waits so long for a server that is starting */
    WIRE_QUEUE_MAX = 4096,  /* requests that wait for a lane; then BUSY */
    WIRE_QUEUE_BYTES_MAX = 64 * 1024 * 1024
};

/* ---- server ------------------------------------------------------------------------------- */

/* Who asks, and under which trace; borrowed for the length of the call. */
typedef struct {
    const char *caller; /* name in the caller's certificate: "dimse" */
    const char *trace_id;
    int64_t deadline_ms; /* on clock_monotonic_ms() */
} wire_call_t;

/*
 * Answers one request. request is unpacked; reply is an initialised message of the route's reply
 * type; state is what lane_open of this lane returned.
 */
typedef status_t wire_handler_t(void *state, const wire_call_t *call,
                                const ProtobufCMessage *request, ProtobufCMessage *reply);

typedef struct {
    const ProtobufCMessageDescriptor *request; /* NULL ends the table */
    const ProtobufCMessageDescriptor *reply;
    wire_handler_t *handler;
    int lane;            /* 0: the one writing thread; 1: any of the reading threads */
    const char *callers; /* names that may ask, separated by spaces */
} wire_route_t;

/* clang-format off */
#define WIRE_ROUTE(Package, Request, Reply, handler, lane, callers)                                \
    {&Package##__##Request##__descriptor, &Package##__##Reply##__descriptor, handler, lane, callers}
#define WIRE_ROUTES_END {NULL, NULL, NULL, 0, NULL}
/* clang-format on */

/*
 * The reply handed to a handler is an initialised message; what the handler hangs into it must come
 * from these (wire frees the whole message with the protobuf-c default allocator, i.e. malloc/free):
 * memory_allocate(), memory_copy_text() and so on do.
 */

typedef struct {
    const char *endpoint;    /* "tcp://127.0.0.1:*", "ipc:///run/..." */
    const char *keys_folder; /* see wire_keys_make() */
    const char *name;        /* of this service */
    const wire_route_t *routes;
    int reading_lanes;                           /* threads of lane 1 */
    void *(*lane_open)(void *context, int lane); /* called in the lane's own thread; may be NULL */
    void (*lane_close)(void *context, int lane, void *state);
    void (*lane_idle)(void *context, int lane, void *state); /* lane 0 only: about every second */
    void *context;
} wire_server_options_t;

typedef struct wire_server wire_server_t;

/* Binds, starts the lanes; the handlers run until stop. Fails: UNAVAILABLE (address), INVALID. */
status_t wire_server_start(const wire_server_options_t *options, wire_server_t **out_server);

/* The address as bound: the port that "tcp://127.0.0.1:*" found. */
const char *wire_server_endpoint(const wire_server_t *server);

/* Stops taking requests, lets those under way finish for drain_ms, then ends the lanes. */
void wire_server_stop(wire_server_t **server, int drain_ms);

/* ---- client ------------------------------------------------------------------------------- */

/*
 * One caller's connections; for one thread. There is one to every address that the endpoint stands
 * for: "ipc://..." or "tcp://host:port", or several of these separated by commas; names are asked
 * anew every few seconds. All of them are replicas of one server with one key. A request goes to one
 * that is there: they take turns, unless there is an affinity. Opening does not wait for a server,
 * nor need <server_name>.pub be there yet; the caller's own key must be.
 */
typedef struct wire_client wire_client_t;

status_t wire_client_open(const char *endpoint, const char *keys_folder, const char *name,
                          const char *server_name, wire_client_t **out_client);
void wire_client_close(wire_client_t **client);

/*
 * Sends a request and waits for its reply. If the connection breaks meanwhile it is sent once more,
 * to another replica if there is one; so it is, if there is one, when the reply is UNAVAILABLE.
 *
 * out_reply  unpacked; the caller frees it with protobuf_c_message_free_unpacked(reply, NULL)
 * Fails: EXPIRED (no reply in time), UNAVAILABLE (nobody there for WIRE_CONNECT_MS), and what the server said.
 */
status_t wire_client_call(wire_client_t *client, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *reply_type, int timeout_ms,
                          ProtobufCMessage **out_reply);

/*
 * For a loop that must not wait (dimse's courier): send now, take replies when the descriptor is
 * readable: call receive until it says BUSY. The descriptor wakes for expired requests too; every
 * request that was sent is received once, at the latest EXPIRED after WIRE_DEADLINE_DEFAULT_MS.
 * Call receive every second or so even if the descriptor is silent: it follows the server's name.
 * send fails: BUSY (window full, or nobody there yet). receive fails: BUSY (nothing there); its
 * out_status is the server's answer, and out_reply NULL unless that is OK.
 */
status_t wire_client_send(wire_client_t *client, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *reply_type, uint64_t *out_request_id);
status_t wire_client_receive(wire_client_t *client, uint64_t *out_request_id, status_t *out_status,
                             ProtobufCMessage **out_reply);
int wire_client_fd(const wire_client_t *client);

/* The trace id of the requests from here on, at most 64 bytes; "" for none. */
void wire_client_set_trace(wire_client_t *client, const char *trace_id);

/* What the requests from here on are about, 0: nothing. All callers that see the same replicas send
 * what has the same key to the same one of them. */
void wire_client_set_affinity(wire_client_t *client, uint64_t key);

/* ---- doorbell ----------------------------------------------------------------------------- */

/*
 * PUB and SUB: says that something happened to whoever listens, and is never waited for. A message
 * may be lost (a slow or a late subscriber, a broken connection), so it carries a number, and who
 * misses one asks. Callers: any in allowed/, with the keys of a server.
 */
typedef struct wire_publisher wire_publisher_t;

/* Fails: UNAVAILABLE (address, key). */
status_t wire_publisher_open(const char *endpoint, const char *keys_folder, const char *name,
                             wire_publisher_t **out_publisher);
const char *wire_publisher_endpoint(const wire_publisher_t *publisher); /* as bound */
void wire_publisher_send(wire_publisher_t *publisher,
                         const ProtobufCMessage *message); /* any thread */
void wire_publisher_close(wire_publisher_t **publisher);

/* Listens at every address that the endpoint stands for, as a client; for one thread. */
typedef struct wire_subscriber wire_subscriber_t;

status_t wire_subscriber_open(const char *endpoint, const char *keys_folder, const char *name,
                              const char *publisher_name, wire_subscriber_t **out_subscriber);

/*
 * The next message of that type; others are passed over.
 *
 * out_message  freed with protobuf_c_message_free_unpacked(message, NULL)
 * Fails: BUSY (none came in time), UNAVAILABLE (a connection broke: messages may be lost).
 */
status_t wire_subscriber_wait(wire_subscriber_t *subscriber, const ProtobufCMessageDescriptor *type,
                              int wait_ms, ProtobufCMessage **out_message);
void wire_subscriber_close(wire_subscriber_t **subscriber);

/* ---- keys --------------------------------------------------------------------------------- */

/*
 * Makes a CURVE key pair for name in the folder unless it is there: <name>.key (0600) and
 * <name>.pub (0644); the folder allowed/ of a server's key folder lists who may connect.
 */
status_t wire_keys_make(const char *keys_folder, const char *name);

#endif
