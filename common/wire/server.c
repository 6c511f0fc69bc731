#include "wire/auth.h"
#include "wire/jobs.h"
#include "wire/lane.h"
#include "wire/socket.h"
#include "wire/wire.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 *                                  ┌─requests─▶ lane 0 (writes) ─────┐
 *     callers ══ROUTER══ router thread ─requests─▶ lane 1 (reads) ...─┤
 *                                  ▲                                 │
 *                                  └───────────── answers ◀──────────┘
 *
 * The router thread decodes the envelope, checks type and caller, and queues the request; the lane
 * decodes the body, runs the handler and packs the reply. The socket stays in the router thread.
 */
enum {
    LANE_KINDS = 2,
    READING_LANES_MAX = 64,
    LANES_MAX = READING_LANES_MAX + 1,
    BATCH = 64, /* requests taken before answers are sent again */
    DEADLINE_MAX_MS = 10 * 60 * 1000,
    LINGER_MS = 500, /* for the last replies of a stopping server */
    READ_MS = 200, /* and for their callers: what a socket with ZMQ_IMMEDIATE has not read when its
                      * connection goes, it drops */
    POLL_MS = 1000,
    DRAIN_POLL_MS = 20
};

enum { WAKES_ROUTER, WAKES_ANSWERS, WAKES_STOP, WAKES_COUNT };

struct wire_server {
    wire_server_options_t options;
    char *endpoint_wanted, *keys_folder, *name;
    char *endpoint; /* as bound */
    pthread_t thread;
    sem_t started;
    zsock_t *router;
    void *router_handle;
    lane_t lanes[LANES_MAX];
    int lane_count;
    jobs_t requests[LANE_KINDS], answers;
    size_t under_way; /* queued or in a lane */
    struct pollfd wakes[WAKES_COUNT];
    atomic_int drain_ms;
    bool is_draining;
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
    TRY(jobs_have_room(&server->requests[job->route->lane]));
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
        if (status != STATUS_OK) {
            refuse(server, job, status);
        } else {
            server->under_way++;
            jobs_put(&server->requests[job->route->lane], job);
        }
    } else {
        job_destroy(&job);
    }
    zmq_msg_close(&head);
    return is_there;
}

/* True: there may be more. */
static bool take_requests(wire_server_t *server)
{
    for (int i = 0; i < BATCH; i++)
        if (!take_request(server))
            return false;
    return true;
}

static void send_answers(wire_server_t *server)
{
    job_t *job = NULL;
    while ((job = jobs_take(&server->answers))) {
        server->under_way--;
        send_answer(server, job);
        server->answered_ms = clock_monotonic_ms();
        job_destroy(&job);
    }
}

/* ---- the router's thread ------------------------------------------------------------------- */

static bool is_drained(const wire_server_t *server, int64_t drain_until_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    return now_ms >= drain_until_ms ||
           (!server->under_way && now_ms >= server->answered_ms + READ_MS);
}

static void hear(int bell)
{
    uint64_t rings = 0;
    (void)!read(bell, &rings, sizeof rings); /* fails only if it has not rung */
}

static void wait_for_work(wire_server_t *server, int64_t *drain_until_ms)
{
    struct pollfd *wakes = server->wakes;
    (void)poll(wakes, WAKES_COUNT, server->is_draining ? DRAIN_POLL_MS : POLL_MS);
    if (wakes[WAKES_ANSWERS].revents)
        hear(wakes[WAKES_ANSWERS].fd);
    if (wakes[WAKES_STOP].revents) {
        hear(wakes[WAKES_STOP].fd);
        server->is_draining = true;
        *drain_until_ms = clock_monotonic_ms() + server->drain_ms;
    }
}

/*
 * ZMQ_FD tells of changes only, and a send may swallow one: so the last thing before the wait is a
 * receive that finds nothing. zmq_poll() would do the same with thirty system calls for a request.
 */
static void serve(wire_server_t *server)
{
    int64_t drain_until_ms = INT64_MAX;
    while (!server->is_draining || !is_drained(server, drain_until_ms)) {
        send_answers(server);
        if (!take_requests(server))
            wait_for_work(server, &drain_until_ms);
    }
}

static void stop_lanes(wire_server_t *server)
{
    for (int kind = 0; kind < LANE_KINDS; kind++)
        jobs_close(&server->requests[kind]);
    for (int i = 0; i < server->lane_count; i++)
        lane_join(&server->lanes[i]);
    if (server->router)
        send_answers(server);
    for (int kind = 0; kind < LANE_KINDS; kind++) {
        job_t *job = NULL;
        while ((job = jobs_take(&server->requests[kind])))
            refuse(server, job, fail(STATUS_UNAVAILABLE, "%s is stopping", server->name));
    }
}

static status_t start_lanes(wire_server_t *server)
{
    for (int i = 0; i <= server->options.reading_lanes; i++) {
        lane_t *lane = &server->lanes[i];
        lane->options = &server->options;
        lane->number = i == 0 ? 0 : 1;
        lane->requests = &server->requests[lane->number];
        lane->answers = &server->answers;
        TRY(lane_start(lane));
        server->lane_count++;
    }
    return STATUS_OK;
}

static status_t bind_router(wire_server_t *server)
{
    server->router = zsock_new(ZMQ_ROUTER);
    server->router_handle = zsock_resolve(server->router);
    server->wakes[WAKES_ROUTER].fd = zsock_fd(server->router);
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
    sem_post(&server->started);
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
    for (int kind = 0; kind < LANE_KINDS; kind++)
        jobs_destroy(&server->requests[kind]);
    jobs_destroy(&server->answers);
    memory_close_cleanup(&server->wakes[WAKES_ANSWERS].fd);
    memory_close_cleanup(&server->wakes[WAKES_STOP].fd);
    sem_destroy(&server->started);
    free(server->endpoint_wanted);
    free(server->keys_folder);
    free(server->name);
    free(server->endpoint);
    free(server->start_detail);
    free(server);
}

static status_t run(wire_server_t *server)
{
    if (server->wakes[WAKES_ANSWERS].fd < 0 || server->wakes[WAKES_STOP].fd < 0)
        return fail(STATUS_UNAVAILABLE, "no descriptor: %s", strerror(errno));
    sigset_t all, before; /* signals are the main thread's business */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&server->thread, NULL, router_main, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return fail(STATUS_UNAVAILABLE, "no thread: %s", strerror(error));
    sem_wait(&server->started);
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
    for (int i = 0; i < WAKES_COUNT; i++)
        server->wakes[i] =
            (struct pollfd){.fd = i == WAKES_ROUTER ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                            .events = POLLIN};
    sem_init(&server->started, 0, 0);
    for (int kind = 0; kind < LANE_KINDS; kind++)
        jobs_open(&server->requests[kind], -1);
    jobs_open(&server->answers, server->wakes[WAKES_ANSWERS].fd);
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
    static const uint64_t once = 1;
    self->drain_ms = drain_ms;
    (void)!write(self->wakes[WAKES_STOP].fd, &once, sizeof once);
    pthread_join(self->thread, NULL);
    server_free(self);
    auth_close();
    *server = NULL;
}
