#ifndef ZPACS_WIRE_LANE_H
#define ZPACS_WIRE_LANE_H

#include "wire/envelope.h"
#include "wire/wire.h"

#include <czmq.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Inside common/wire only: the threads that run the handlers. */

/* One request on its way: made by the router thread, answered in a lane, sent by the router. */
typedef struct job {
    struct job *next;
    zmq_msg_t address; /* the caller's routing id */
    zmq_msg_t body;
    Wire__Envelope *envelope;
    char *caller;
    const wire_route_t *route;
    int64_t deadline_ms;

    status_t status; /* the answer */
    char *detail;
    uint8_t *reply;
    size_t reply_length;
} job_t;

void job_destroy(job_t **job);

/* Keeps the status and the sentence of the last fail() as the answer. */
void job_fail(job_t *job, status_t status);

typedef struct {
    const wire_server_options_t *options;
    int number;                      /* of wire_route_t.lane */
    const atomic_bool *is_abandoned; /* the drain time is over: answer without working */
    zsock_t *outside, *inside;       /* jobs go in and come back; the router holds outside */
    pthread_t thread;
    int under_way;
} lane_t;

/* Starts the thread and waits until its lane_open() has returned. */
status_t lane_start(lane_t *lane);

/* Waits for the running handler; answered jobs may still lie in outside until lane_destroy(). */
void lane_join(lane_t *lane);
void lane_destroy(lane_t *lane);

bool lane_send(zsock_t *socket, job_t *job);
bool lane_receive(zsock_t *socket, job_t **out_job); /* false: nothing there */

#endif
