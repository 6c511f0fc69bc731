#include "wire/lane.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>

enum { IDLE_MS = 1000 };

/* ---- in the lane's thread ------------------------------------------------------------------ */

static status_t run_handler(void *state, job_t *job, const ProtobufCMessage *request)
{
    const wire_call_t call = {.caller = job->caller,
                              .trace_id = job->envelope->trace_id,
                              .deadline_ms = job->deadline_ms};
    const ProtobufCMessageDescriptor *type = job->route->reply;
    ProtobufCMessage *reply = memory_allocate(type->sizeof_message);
    protobuf_c_message_init(type, reply);
    fail(STATUS_OK, "%s", ""); /* no sentence of an earlier request */
    status_t status = job->route->handler(state, &call, request, reply);
    if (status == STATUS_OK)
        status = envelope_pack(reply, &job->reply, &job->reply_length);
    if (status != STATUS_OK)
        job_fail(job, status);
    protobuf_c_message_free_unpacked(reply, NULL);
    return status;
}

static void answer(void *state, job_t *job)
{
    if (clock_monotonic_ms() >= job->deadline_ms) {
        job_fail(job,
                 fail(STATUS_EXPIRED, "the request waited for %u ms", job->envelope->deadline_ms));
        return;
    }
    ProtobufCMessage *request = NULL;
    status_t status = envelope_unpack(job->route->request, zmq_msg_data(&job->body),
                                      zmq_msg_size(&job->body), &request);
    if (status != STATUS_OK) {
        job_fail(job, status);
        return;
    }
    run_handler(state, job, request);
    protobuf_c_message_free_unpacked(request, NULL);
}

static void be_idle(const lane_t *lane, void *state, int64_t *next_idle_ms)
{
    const wire_server_options_t *options = lane->options;
    if (lane->number != 0 || !options->lane_idle || clock_monotonic_ms() < *next_idle_ms)
        return;
    options->lane_idle(options->context, lane->number, state);
    *next_idle_ms = clock_monotonic_ms() + IDLE_MS;
}

static void work(lane_t *lane, void *state)
{
    int64_t next_idle_ms = clock_monotonic_ms() + IDLE_MS;
    job_t *job = NULL;
    while (jobs_wait(lane->requests, &lane->waiter, IDLE_MS, &job)) {
        if (job) {
            answer(state, job);
            jobs_put(lane->answers, job);
        }
        be_idle(lane, state, &next_idle_ms);
    }
}

static void *lane_main(void *argument)
{
    lane_t *lane = argument;
    const wire_server_options_t *options = lane->options;
    void *state = options->lane_open ? options->lane_open(options->context, lane->number) : NULL;
    sem_post(&lane->opened);
    work(lane, state);
    if (options->lane_close)
        options->lane_close(options->context, lane->number, state);
    return NULL;
}

/* ---- in the router's thread ---------------------------------------------------------------- */

status_t lane_start(lane_t *lane)
{
    sem_init(&lane->opened, 0, 0);
    jobs_waiter_open(&lane->waiter);
    if (pthread_create(&lane->thread, NULL, lane_main, lane)) {
        sem_destroy(&lane->opened);
        jobs_waiter_close(&lane->waiter);
        return fail(STATUS_UNAVAILABLE, "no thread for a lane");
    }
    sem_wait(&lane->opened);
    return STATUS_OK;
}

void lane_join(lane_t *lane)
{
    pthread_join(lane->thread, NULL);
    sem_destroy(&lane->opened);
    jobs_waiter_close(&lane->waiter);
}
