#include "wire/auth.h"
#include "wire/handover.h"
#include "wire/lane.h"
#include "wire/socket.h"
#include "wire/wire.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/*
 *     callers ══ROUTER══ router thread ──PAIR── lane 0 (writes)
 *                             ├────────PAIR──── lane 1 (reads)
 *                             └────────PAIR──── lane 1 (reads) ...
 *
 * The router thread decodes the envelope, checks type and caller, and queues the request; the lane
 * decodes the body, runs the handler and packs the reply. Each socket stays in one thread.
 */
enum {
    LANE_KINDS = 2,
    READING_LANES_MAX = 64,
    LANES_MAX = READING_LANES_MAX + 1,
    WRITING_DEPTH = 64, /* requests inside lane 0: it need not wait for the router between two */
    READING_DEPTH = 1,  /* one per reading thread: the next goes to whoever is free first */
    BATCH = 64,         /* requests taken before answers are sent again */
    DEADLINE_MAX_MS = 10 * 60 * 1000,
    LINGER_MS = 500, /* for the last replies of a stopping server */
    READ_MS = 200, /* and for their callers: what a socket with ZMQ_IMMEDIATE has not read when its
                      * connection goes, it drops */
    FIRST_LANE_ITEM = 2
};

typedef struct {
    job_t *first, **last;
    size_t count, bytes;
} queue_t;

struct wire_server {
    wire_server_options_t options;
    char *endpoint_wanted, *keys_folder, *name;
    char *endpoint; /* as bound */
    zsock_t *control, *control_inside;
    pthread_t thread;
    zsock_t *router;
    void *router_handle;
    lane_t lanes[LANES_MAX];
    int lane_count;
    queue_t queues[LANE_KINDS];
    atomic_bool is_abandoned;
    bool is_draining;
    int drain_ms;
    int64_t answered_ms; /* when a handler's answer was sent last */
    status_t start_status;
    char *start_detail;
};

/* ---- answers ------------------------------------------------------------------------------- */

static bool send_bytes(wire_server_t *server, const void *bytes, size_t length, int flags)
{
    return zmq_send(server->router_handle, bytes, length, flags | ZMQ_DONTWAIT) >= 0;
}

/*
 * ROUTER_MANDATORY: a caller that is gone (EHOSTUNREACH) or that does not read (EAGAIN) loses its
 * reply here and asks again; the loop never waits for it.
 */
static void send_answer(wire_server_t *server, job_t *job)
{
    Wire__Envelope head = WIRE__ENVELOPE__INIT;
    static char empty[] = "";
    head.type = empty;
    head.trace_id = empty;
    head.detail = job->detail ? job->detail : empty;
    head.status = (uint32_t)job->status;
    if (job->envelope) {
        head.request_id = job->envelope->request_id;
        head.trace_id = job->envelope->trace_id;
    }
    bool has_body = job->status == STATUS_OK;
    if (has_body)
        head.type = (char *)(uintptr_t)job->route->reply->name;
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (envelope_pack(&head.base, &bytes, &length) != STATUS_OK)
        return;
    if (zmq_msg_send(&job->address, server->router_handle, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
        send_bytes(server, bytes, length, has_body ? ZMQ_SNDMORE : 0) && has_body)
        send_bytes(server, job->reply, job->reply_length, 0);
    free(bytes);
}

static void refuse(wire_server_t *server, job_t *job, status_t status)
{
    job_fail(job, status);
    send_answer(server, job);
    job_destroy(&job);
}

/* ---- queues -------------------------------------------------------------------------------- */

static void queue_push(queue_t *queue, job_t *job)
{
    *queue->last = job;
    queue->last = &job->next;
    queue->count++;
    queue->bytes += zmq_msg_size(&job->body);
}

static job_t *queue_pop(queue_t *queue)
{
    job_t *job = queue->first;
    if (!job)
        return NULL;
    queue->first = job->next;
    if (!queue->first)
        queue->last = &queue->first;
    job->next = NULL;
    queue->count--;
    queue->bytes -= zmq_msg_size(&job->body);
    return job;
}

static void dispatch(wire_server_t *server)
{
    for (int i = 0; i < server->lane_count; i++) {
        lane_t *lane = &server->lanes[i];
        int depth = lane->number == 0 ? WRITING_DEPTH : READING_DEPTH;
        queue_t *queue = &server->queues[lane->number];
        while (lane->under_way < depth && queue->first) {
            lane_send(lane->outside, queue_pop(queue));
            lane->under_way++;
        }
    }
}

/* ---- requests ------------------------------------------------------------------------------ */

static bool is_among(const char *name, const char *names)
{
    size_t length = strlen(name);
    while (length && *names) {
        size_t word = strcspn(names, " ");
        if (word == length && memcmp(names, name, length) == 0)
            return true;
        names += word;
        names += strspn(names, " ");
    }
    return false;
}

static status_t find_route(const wire_server_t *server, const job_t *job,
                           const wire_route_t **out_route)
{
    for (const wire_route_t *route = server->options.routes; route->request; route++) {
        if (strcmp(route->request->name, job->envelope->type) != 0)
            continue;
        if (!is_among(job->caller, route->callers))
            return fail(STATUS_DENIED, "'%s' may not ask %s", job->caller, route->request->name);
        *out_route = route;
        return STATUS_OK;
    }
    return fail(STATUS_UNSUPPORTED, "%s does not answer '%s'", server->name, job->envelope->type);
}

/* head: the envelope's frame; its metadata comes from the caller's certificate. */
static status_t check(wire_server_t *server, job_t *job, zmq_msg_t *head, int frames)
{
    TRY(envelope_unpack_head(zmq_msg_data(head), zmq_msg_size(head), &job->envelope));
    if (frames < 3 || frames > 1 + WIRE_FRAMES_MAX)
        return fail(STATUS_INVALID, "a request has 2 to %d frames, not %d", WIRE_FRAMES_MAX,
                    frames - 1);
    const char *caller = zmq_msg_gets(head, "name");
    job->caller = memory_copy_text(caller ? caller : "");
    TRY(find_route(server, job, &job->route));
    if (server->is_draining)
        return fail(STATUS_UNAVAILABLE, "%s is stopping", server->name);
    const queue_t *queue = &server->queues[job->route->lane];
    if (queue->count >= WIRE_QUEUE_MAX || queue->bytes >= WIRE_QUEUE_BYTES_MAX)
        return fail(STATUS_BUSY, "%zu requests are waiting", queue->count);
    uint32_t wanted_ms = job->envelope->deadline_ms;
    if (!wanted_ms)
        wanted_ms = WIRE_DEADLINE_DEFAULT_MS;
    job->deadline_ms =
        clock_monotonic_ms() + (wanted_ms < DEADLINE_MAX_MS ? wanted_ms : DEADLINE_MAX_MS);
    return STATUS_OK;
}

/* Reads one message of any number of frames: routing id, envelope, body; the rest is let go. */
static bool receive(wire_server_t *server, job_t *job, zmq_msg_t *head, int *out_frames)
{
    zmq_msg_t *const wanted[] = {&job->address, head, &job->body};
    int frames = 0;
    bool is_more = true;
    while (is_more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, server->router_handle, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return false;
        }
        is_more = zmq_msg_more(&frame);
        if (frames < (int)(sizeof wanted / sizeof *wanted))
            zmq_msg_move(wanted[frames], &frame);
        zmq_msg_close(&frame);
        if (frames < INT_MAX)
            frames++;
    }
    *out_frames = frames;
    return true;
}

static bool take_request(wire_server_t *server)
{
    job_t *job = memory_allocate(sizeof *job);
    zmq_msg_t head;
    int frames = 0;
    zmq_msg_init(&job->address);
    zmq_msg_init(&job->body);
    zmq_msg_init(&head);
    bool is_there = receive(server, job, &head, &frames);
    if (is_there) {
        status_t status = check(server, job, &head, frames);
        if (status == STATUS_OK)
            queue_push(&server->queues[job->route->lane], job);
        else
            refuse(server, job, status);
    } else {
        job_destroy(&job);
    }
    zmq_msg_close(&head);
    return is_there;
}

static bool take_answers(wire_server_t *server, lane_t *lane)
{
    job_t *job = NULL;
    bool is_any = false;
    while (lane_receive(lane->outside, &job)) {
        lane->under_way--;
        send_answer(server, job);
        server->answered_ms = clock_monotonic_ms();
        job_destroy(&job);
        is_any = true;
    }
    return is_any;
}

/* ---- the router's thread ------------------------------------------------------------------- */

static bool is_working(const wire_server_t *server)
{
    int under_way = 0;
    for (int i = 0; i < server->lane_count; i++)
        under_way += server->lanes[i].under_way;
    return under_way || server->queues[0].first || server->queues[1].first;
}

static bool is_drained(const wire_server_t *server, int64_t drain_until_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    return now_ms >= drain_until_ms ||
           (!is_working(server) && now_ms >= server->answered_ms + READ_MS);
}

static void serve(wire_server_t *server)
{
    zmq_pollitem_t items[FIRST_LANE_ITEM + LANES_MAX] = {
        {zsock_resolve(server->control_inside), 0, ZMQ_POLLIN, 0},
        {server->router_handle, 0, ZMQ_POLLIN, 0}};
    for (int i = 0; i < server->lane_count; i++)
        items[FIRST_LANE_ITEM + i] =
            (zmq_pollitem_t){zsock_resolve(server->lanes[i].outside), 0, ZMQ_POLLIN, 0};

    int64_t drain_until_ms = INT64_MAX;
    while (!server->is_draining || !is_drained(server, drain_until_ms)) {
        zmq_poll(items, FIRST_LANE_ITEM + server->lane_count, server->is_draining ? 20 : 1000);
        for (int i = 0; i < server->lane_count; i++)
            if (items[FIRST_LANE_ITEM + i].revents)
                take_answers(server, &server->lanes[i]);
        if (items[1].revents)
            for (int i = 0; i < BATCH && take_request(server); i++)
                continue;
        dispatch(server);
        if (items[0].revents && !server->is_draining) {
            zsock_wait(server->control_inside);
            handover_take(server);
            server->is_draining = true;
            drain_until_ms = clock_monotonic_ms() + server->drain_ms;
        }
    }
}

static void stop_lanes(wire_server_t *server)
{
    atomic_store(&server->is_abandoned, true);
    for (int i = 0; i < server->lane_count; i++)
        lane_join(&server->lanes[i]);
    for (int i = 0; i < server->lane_count; i++) {
        if (server->router)
            take_answers(server, &server->lanes[i]);
        lane_destroy(&server->lanes[i]);
    }
    for (int kind = 0; kind < LANE_KINDS; kind++) {
        job_t *job = NULL;
        while ((job = queue_pop(&server->queues[kind])))
            refuse(server, job, fail(STATUS_UNAVAILABLE, "%s is stopping", server->name));
    }
}

static status_t start_lanes(wire_server_t *server)
{
    for (int i = 0; i <= server->options.reading_lanes; i++) {
        lane_t *lane = &server->lanes[i];
        lane->options = &server->options;
        lane->number = i == 0 ? 0 : 1;
        lane->is_abandoned = &server->is_abandoned;
        TRY(lane_start(lane));
        server->lane_count++;
    }
    return STATUS_OK;
}

static status_t bind_router(wire_server_t *server)
{
    server->router = zsock_new(ZMQ_ROUTER);
    server->router_handle = zsock_resolve(server->router);
    socket_limit(server->router, 2 * WIRE_WINDOW);
    zsock_set_router_mandatory(server->router, 1);
    TRY(socket_guard(server->router, server->keys_folder, server->name));
    return socket_bind(server->router, server->endpoint_wanted, &server->endpoint);
}

static status_t prepare(wire_server_t *server)
{
    TRY(start_lanes(server));
    return bind_router(server);
}

static void *router_main(void *argument)
{
    wire_server_t *server = argument;
    server->start_status = prepare(server);
    if (server->start_status != STATUS_OK)
        server->start_detail = memory_copy_text(fail_detail());
    handover_give(server);
    zsock_signal(server->control_inside, 0);
    if (server->start_status == STATUS_OK)
        serve(server);
    stop_lanes(server);
    if (server->router) {
        zsock_set_linger(server->router, LINGER_MS);
        zsock_destroy(&server->router);
    }
    return NULL;
}

/* ---- the caller's side --------------------------------------------------------------------- */

static status_t check_options(const wire_server_options_t *options)
{
    if (options->reading_lanes < 0 || options->reading_lanes > READING_LANES_MAX)
        return fail(STATUS_INVALID, "%d reading lanes, allowed are 0 to %d", options->reading_lanes,
                    READING_LANES_MAX);
    for (const wire_route_t *route = options->routes; route->request; route++)
        if (route->lane < 0 || route->lane > (options->reading_lanes ? 1 : 0))
            return fail(STATUS_INVALID, "%s has no lane %d", route->request->name, route->lane);
    return STATUS_OK;
}

static void server_free(wire_server_t *server)
{
    zsock_destroy(&server->control);
    zsock_destroy(&server->control_inside);
    free(server->endpoint_wanted);
    free(server->keys_folder);
    free(server->name);
    free(server->endpoint);
    free(server->start_detail);
    free(server);
}

static status_t run(wire_server_t *server)
{
    sigset_t all, before; /* signals are the main thread's business */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    server->control = zsys_create_pipe(&server->control_inside);
    int error = pthread_create(&server->thread, NULL, router_main, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return fail(STATUS_UNAVAILABLE, "no thread: %s", strerror(error));
    zsock_wait(server->control);
    handover_take(server);
    if (server->start_status == STATUS_OK)
        return STATUS_OK;
    pthread_join(server->thread, NULL);
    return fail(server->start_status, "%s", server->start_detail);
}

status_t wire_server_start(const wire_server_options_t *options, wire_server_t **out_server)
{
    TRY(check_options(options));
    auth_prepare_czmq();
    AUTO_FREE char *allowed = memory_format("%s/allowed", options->keys_folder);
    TRY(auth_open(allowed));

    wire_server_t *server = memory_allocate(sizeof *server);
    server->options = *options;
    server->endpoint_wanted = memory_copy_text(options->endpoint);
    server->keys_folder = memory_copy_text(options->keys_folder);
    server->name = memory_copy_text(options->name);
    server->options.name = server->name;
    for (int kind = 0; kind < LANE_KINDS; kind++)
        server->queues[kind].last = &server->queues[kind].first;
    status_t status = run(server);
    if (status != STATUS_OK) {
        server_free(server);
        auth_close();
        return status;
    }
    *out_server = server;
    return STATUS_OK;
}

const char *wire_server_endpoint(const wire_server_t *server)
{
    return server->endpoint;
}

void wire_server_stop(wire_server_t **server, int drain_ms)
{
    wire_server_t *self = *server;
    if (!self)
        return;
    self->drain_ms = drain_ms;
    handover_give(self);
    zsock_signal(self->control, 0);
    pthread_join(self->thread, NULL);
    server_free(self);
    auth_close();
    *server = NULL;
}
