#include "wire/lane.h"

#include "base/clock.h"
#include "base/memory.h"
#include "wire/handover.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { IDLE_MS = 1000 };

void job_destroy(job_t **job)
{
    job_t *self = *job;
    if (!self)
        return;
    zmq_msg_close(&self->address);
    zmq_msg_close(&self->body);
    if (self->envelope)
        wire__envelope__free_unpacked(self->envelope, NULL);
    free(self->caller);
    free(self->detail);
    free(self->reply);
    free(self);
    *job = NULL;
}

void job_fail(job_t *job, status_t status)
{
    free(job->detail);
    job->status = status;
    job->detail = memory_copy_text(fail_detail());
}

bool lane_send(zsock_t *socket, job_t *job)
{
    handover_give(job);
    return zmq_send(zsock_resolve(socket), &job, sizeof job, 0) == (int)sizeof job;
}

bool lane_receive(zsock_t *socket, job_t **out_job)
{
    if (zmq_recv(zsock_resolve(socket), out_job, sizeof *out_job, ZMQ_DONTWAIT) !=
        (int)sizeof *out_job)
        return false;
    handover_take(*out_job);
    return true;
}

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

static void answer(const lane_t *lane, void *state, job_t *job)
{
    if (atomic_load(lane->is_abandoned)) {
        job_fail(job, fail(STATUS_UNAVAILABLE, "%s is stopping", lane->options->name));
        return;
    }
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

static void work(const lane_t *lane, void *state)
{
    int64_t next_idle_ms = clock_monotonic_ms() + IDLE_MS;
    zmq_pollitem_t item = {zsock_resolve(lane->inside), 0, ZMQ_POLLIN, 0};
    for (;;) {
        job_t *job = NULL;
        if (lane_receive(lane->inside, &job)) {
            if (!job)
                return;
            answer(lane, state, job);
            lane_send(lane->inside, job);
        } else {
            zmq_poll(&item, 1, IDLE_MS);
        }
        be_idle(lane, state, &next_idle_ms);
    }
}

static void *lane_main(void *argument)
{
    lane_t *lane = argument;
    const wire_server_options_t *options = lane->options;
    void *state = options->lane_open ? options->lane_open(options->context, lane->number) : NULL;
    handover_give(lane);
    zsock_signal(lane->inside, 0);
    work(lane, state);
    if (options->lane_close)
        options->lane_close(options->context, lane->number, state);
    return NULL;
}

/* ---- in the router's thread ---------------------------------------------------------------- */

status_t lane_start(lane_t *lane)
{
    lane->outside = zsys_create_pipe(&lane->inside);
    if (!lane->outside)
        return fail(STATUS_UNAVAILABLE, "no socket for a lane");
    if (pthread_create(&lane->thread, NULL, lane_main, lane)) {
        lane_destroy(lane);
        return fail(STATUS_UNAVAILABLE, "no thread for a lane");
    }
    zsock_wait(lane->outside);
    handover_take(lane);
    return STATUS_OK;
}

void lane_join(lane_t *lane)
{
    lane_send(lane->outside, NULL);
    pthread_join(lane->thread, NULL);
}

void lane_destroy(lane_t *lane)
{
    zsock_destroy(&lane->outside);
    zsock_destroy(&lane->inside);
}
