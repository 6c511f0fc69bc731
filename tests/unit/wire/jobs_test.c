#include "wire/jobs.h"

#include "base/memory.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { COUNT = 1000, READERS = 3 };

static job_t *make(int64_t number, size_t size)
{
    job_t *job = memory_allocate(sizeof *job);
    zmq_msg_init(&job->address);
    zmq_msg_init_size(&job->body, size);
    job->deadline_ms = number;
    return job;
}

static void in_turn(void **state)
{
    (void)state;
    jobs_t jobs;
    jobs_waiter_t waiter;
    jobs_open(&jobs, -1);
    jobs_waiter_open(&waiter);
    assert_null(jobs_take(&jobs));
    for (int64_t i = 0; i < 3; i++)
        jobs_put(&jobs, make(i, 0));
    for (int64_t i = 0; i < 3; i++) {
        job_t *job = NULL;
        assert_true(jobs_wait(&jobs, &waiter, 0, &job));
        assert_int_equal(job->deadline_ms, i);
        job_destroy(&job);
    }
    job_t *none = NULL;
    assert_true(jobs_wait(&jobs, &waiter, 1, &none));
    assert_null(none);
    assert_null(jobs.waiters);
    jobs_waiter_close(&waiter);
    jobs_destroy(&jobs);
}

static void there_is_an_end_to_the_room(void **state)
{
    (void)state;
    jobs_t many, large;
    jobs_open(&many, -1);
    jobs_open(&large, -1);
    for (int i = 0; i < WIRE_QUEUE_MAX; i++) {
        assert_int_equal(jobs_have_room(&many), STATUS_OK);
        jobs_put(&many, make(i, 0));
    }
    assert_int_equal(jobs_have_room(&many), STATUS_BUSY);
    for (int i = 0; i < WIRE_QUEUE_BYTES_MAX / WIRE_MESSAGE_MAX; i++) {
        assert_int_equal(jobs_have_room(&large), STATUS_OK);
        jobs_put(&large, make(i, WIRE_MESSAGE_MAX));
    }
    assert_int_equal(jobs_have_room(&large), STATUS_BUSY);
    job_t *job = jobs_take(&large);
    job_destroy(&job);
    assert_int_equal(jobs_have_room(&large), STATUS_OK);
    jobs_destroy(&many);
    jobs_destroy(&large);
}

static bool rings(int bell)
{
    struct pollfd item = {.fd = bell, .events = POLLIN};
    return poll(&item, 1, 0) == 1;
}

static void the_bell_rings_for_the_first(void **state)
{
    (void)state;
    uint64_t count = 0;
    jobs_t jobs;
    AUTO_CLOSE int bell = eventfd(0, EFD_NONBLOCK);
    jobs_open(&jobs, bell);
    assert_false(rings(bell));
    jobs_put(&jobs, make(0, 0));
    jobs_put(&jobs, make(1, 0));
    assert_int_equal(read(bell, &count, sizeof count), sizeof count);
    assert_int_equal(count, 1);
    for (job_t *job = NULL; (job = jobs_take(&jobs));)
        job_destroy(&job);
    assert_false(rings(bell));
    jobs_put(&jobs, make(2, 0));
    assert_true(rings(bell));
    jobs_destroy(&jobs);
}

static void *wait_for_one(void *argument)
{
    jobs_t *jobs = argument;
    jobs_waiter_t waiter;
    job_t *job = NULL;
    jobs_waiter_open(&waiter);
    assert_true(jobs_wait(jobs, &waiter, 60000, &job));
    jobs_waiter_close(&waiter);
    int64_t *number = memory_allocate(sizeof *number);
    *number = job->deadline_ms;
    job_destroy(&job);
    return number;
}

static size_t waiting(jobs_t *jobs)
{
    size_t count = 0;
    pthread_mutex_lock(&jobs->lock);
    for (const jobs_waiter_t *waiter = jobs->waiters; waiter; waiter = waiter->next)
        count++;
    pthread_mutex_unlock(&jobs->lock);
    return count;
}

static void who_came_last_is_woken_first(void **state)
{
    (void)state;
    jobs_t jobs;
    pthread_t threads[READERS];
    jobs_open(&jobs, -1);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_one, &jobs), 0);
        while (waiting(&jobs) != i + 1)
            usleep(1000);
    }
    for (int64_t i = READERS - 1; i >= 0; i--) {
        AUTO_FREE int64_t *number = NULL;
        jobs_put(&jobs, make(i, 0));
        pthread_join(threads[i], (void **)&number);
        assert_int_equal(*number, i);
    }
    jobs_destroy(&jobs);
}

typedef struct {
    jobs_t *jobs;
    int64_t sum;
} reader_t;

static void *read_until_closed(void *argument)
{
    reader_t *reader = argument;
    jobs_waiter_t waiter;
    jobs_waiter_open(&waiter);
    for (job_t *job = NULL; jobs_wait(reader->jobs, &waiter, 60000, &job);) {
        reader->sum += job ? job->deadline_ms : 0;
        job_destroy(&job);
    }
    jobs_waiter_close(&waiter);
    return NULL;
}

static void each_is_taken_once(void **state)
{
    (void)state;
    jobs_t jobs;
    pthread_t threads[READERS];
    reader_t readers[READERS];
    int64_t sum = 0, wanted = 0;
    jobs_open(&jobs, -1);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader_t){.jobs = &jobs};
        assert_int_equal(pthread_create(&threads[i], NULL, read_until_closed, &readers[i]), 0);
    }
    for (int64_t i = 1; i <= COUNT; i++) {
        wanted += i;
        jobs_put(&jobs, make(i, 0));
    }
    jobs_close(&jobs); /* what is inside stays for who takes it */
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        sum += readers[i].sum;
    }
    for (job_t *job = NULL; (job = jobs_take(&jobs));) {
        sum += job->deadline_ms;
        job_destroy(&job);
    }
    assert_int_equal(sum, wanted);
    jobs_destroy(&jobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_turn),
        cmocka_unit_test(there_is_an_end_to_the_room),
        cmocka_unit_test(the_bell_rings_for_the_first),
        cmocka_unit_test(who_came_last_is_woken_first),
        cmocka_unit_test(each_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
