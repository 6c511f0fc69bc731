#ifndef ZPACS_WIRE_JOBS_H
#define ZPACS_WIRE_JOBS_H

#include "wire/envelope.h"
#include "wire/wire.h"

#include <czmq.h>
#include <pthread.h>
#include <stdbool.h>

/* Inside common/wire only: requests on their way between the router thread and the lanes. */

/* One request: made by the router thread, answered in a lane, sent by the router thread. */
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

/*
 * A thread that waits at a queue. Who came last is woken first: its memory and its connection to the
 * database are the warmest.
 */
typedef struct jobs_waiter {
    struct jobs_waiter *next;
    pthread_cond_t called;
    bool is_called;
} jobs_waiter_t;

void jobs_waiter_open(jobs_waiter_t *waiter);
void jobs_waiter_close(jobs_waiter_t *waiter);

/*
 * A queue between threads: a mutex and conditions. A pair of sockets within the process costs each
 * job a dozen system calls.
 */
typedef struct {
    pthread_mutex_t lock;
    jobs_waiter_t *waiters; /* the last first */
    job_t *first, **last;
    size_t count, bytes; /* of the bodies */
    bool is_closed;
    int bell; /* -1, or an eventfd: rung for the first job that comes into the empty queue */
} jobs_t;

/* bell  borrowed; who reads it does so before taking the jobs */
void jobs_open(jobs_t *jobs, int bell);
void jobs_destroy(jobs_t *jobs); /* with those inside */

/* Fails: BUSY (WIRE_QUEUE_MAX and so on: jobs_put() itself takes any). */
status_t jobs_have_room(jobs_t *jobs);
void jobs_put(jobs_t *jobs, job_t *job);

job_t *jobs_take(jobs_t *jobs); /* NULL: none is there */

/* Waits for a job. False: the queue is closed; true and NULL: none came in time, or another thread
 * was quicker. */
bool jobs_wait(jobs_t *jobs, jobs_waiter_t *waiter, int wait_ms, job_t **out_job);

/* From here on nobody waits; what is inside is there for jobs_take(). */
void jobs_close(jobs_t *jobs);

#endif
