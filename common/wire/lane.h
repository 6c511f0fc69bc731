#ifndef ZPACS_WIRE_LANE_H
#define ZPACS_WIRE_LANE_H

#include "wire/jobs.h"
#include "wire/wire.h"

#include <pthread.h>
#include <semaphore.h>

/* Inside common/wire only: a thread that runs the handlers. */
typedef struct {
    const wire_server_options_t *options;
    int number;       /* of wire_route_t.lane */
    jobs_t *requests; /* those of its number's lanes together */
    jobs_t *answers;  /* the router thread's */
    pthread_t thread;
    sem_t opened;
    jobs_waiter_t waiter;
} lane_t;

/* Starts the thread and waits until its lane_open() has returned. */
status_t lane_start(lane_t *lane);

/* Waits for the running handler. The requests must be closed. */
void lane_join(lane_t *lane);

#endif
