#include "wire/jobs.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- one ------------------------------------------------------------------------------------ */

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

/* ---- under the lock ------------------------------------------------------------------------- */

static void push(jobs_t *jobs, job_t *job)
{
    *jobs->last = job;
    jobs->last = &job->next;
    jobs->count++;
    jobs->bytes += zmq_msg_size(&job->body);
}

static job_t *pop(jobs_t *jobs)
{
    job_t *job = jobs->first;
    if (!job)
        return NULL;
    jobs->first = job->next;
    if (!jobs->first)
        jobs->last = &jobs->first;
    job->next = NULL;
    jobs->count--;
    jobs->bytes -= zmq_msg_size(&job->body);
    return job;
}

static void rest(jobs_t *jobs, jobs_waiter_t *waiter, int wait_ms)
{
    int64_t end_ms = clock_monotonic_ms() + wait_ms;
    const struct timespec end = {end_ms / 1000, end_ms % 1000 * 1000000};
    int error = 0;
    waiter->next = jobs->waiters;
    jobs->waiters = waiter;
    waiter->is_called = false;
    while (!waiter->is_called && !error)
        error = pthread_cond_timedwait(&waiter->called, &jobs->lock, &end);
    jobs_waiter_t **at = &jobs->waiters;
    while (!waiter->is_called && *at != waiter)
        at = &(*at)->next;
    if (!waiter->is_called)
        *at = waiter->next;
}

static bool call_one(jobs_t *jobs)
{
    jobs_waiter_t *waiter = jobs->waiters;
    if (!waiter)
        return false;
    jobs->waiters = waiter->next;
    waiter->is_called = true;
    pthread_cond_signal(&waiter->called);
    return true;
}

/* ---- a queue -------------------------------------------------------------------------------- */

void jobs_waiter_open(jobs_waiter_t *waiter)
{
    pthread_condattr_t monotonic;
    *waiter = (jobs_waiter_t){.next = NULL};
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&waiter->called, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void jobs_waiter_close(jobs_waiter_t *waiter)
{
    pthread_cond_destroy(&waiter->called);
}

void jobs_open(jobs_t *jobs, int bell)
{
    *jobs = (jobs_t){.bell = bell};
    jobs->last = &jobs->first;
    pthread_mutex_init(&jobs->lock, NULL);
}

void jobs_destroy(jobs_t *jobs)
{
    job_t *job = NULL;
    while ((job = jobs_take(jobs)))
        job_destroy(&job);
    pthread_mutex_destroy(&jobs->lock);
}

status_t jobs_have_room(jobs_t *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    size_t count = jobs->count;
    bool is_full = count >= WIRE_QUEUE_MAX || jobs->bytes >= WIRE_QUEUE_BYTES_MAX;
    pthread_mutex_unlock(&jobs->lock);
    return is_full ? fail(STATUS_BUSY, "%zu requests are waiting", count) : STATUS_OK;
}

void jobs_put(jobs_t *jobs, job_t *job)
{
    static const uint64_t once = 1;
    pthread_mutex_lock(&jobs->lock);
    bool was_empty = !jobs->first;
    push(jobs, job);
    (void)call_one(jobs);
    pthread_mutex_unlock(&jobs->lock);
    if (was_empty && jobs->bell >= 0)
        (void)!write(jobs->bell, &once, sizeof once); /* fails only after 2^64 - 2 of them */
}

job_t *jobs_take(jobs_t *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    job_t *job = pop(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

bool jobs_wait(jobs_t *jobs, jobs_waiter_t *waiter, int wait_ms, job_t **out_job)
{
    pthread_mutex_lock(&jobs->lock);
    if (!jobs->first && !jobs->is_closed)
        rest(jobs, waiter, wait_ms);
    bool is_open = !jobs->is_closed;
    *out_job = is_open ? pop(jobs) : NULL;
    pthread_mutex_unlock(&jobs->lock);
    return is_open;
}

void jobs_close(jobs_t *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->is_closed = true;
    while (call_one(jobs))
        continue;
    pthread_mutex_unlock(&jobs->lock);
}
