#include "dimse/courier/courier.h"

#include "base/clock.h"
#include "base/memory.h"
#include "dimse/courier/announcements.h"
#include "dimse/courier/packs.h"
#include "dimse/courier/room.h"
#include "dimse/courier/sessions.h"
#include "log/log.h"
#include "service/metrics.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 64,
    IDLE_MS = 1000,
    RETRY_MS = 100,          /* while something is to be told */
    LOG_MS = 100,            /* a line at most, until it is written */
    TEND_MS = 2 * 1000,      /* packs that have been open for long */
    TELL_ALL_MS = 5 * 1000,  /* an index that lost its rows must hear of packs that are at rest */
    STOP_CHILDREN_MS = 1500, /* to end by themselves */
    STOP_KILLED_MS = 1000,
    STOP_TELL_MS = 500
};

struct courier {
    const dimse_config_t *config;
    packs_t *packs;
    pack_space_t *space;
    announcements_t *announcements;
    spares_t *spares;
    sessions_t *sessions;
    index_client_t *client; /* NULL until its keys are there */
    int epoll, wake, zygote;
    int ring; /* for the listener */
    pthread_t thread;
    bool is_running;
    atomic_bool drain, stop, zygote_gone;
    atomic_uint_fast64_t asked, swept; /* tickets of courier_sweep() */
    int64_t next_tell_all_ms, next_open_ms, next_tend_ms, next_log_ms;
};

static metric_t untold =
    METRIC_GAUGE("zpacs_packs_to_announce", "Packs with bytes the index has not confirmed.");

/* ---- the zygote ------------------------------------------------------------------------------- */

static void serve_zygote(courier_t *courier)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    status_t status = channel_receive(courier->zygote, &message, fds, false);
    if (status == STATUS_OK && message.kind == CHANNEL_EXITED)
        sessions_note_exit(courier->sessions, &message);
    if (status != STATUS_NOT_FOUND || courier->zygote_gone)
        return;
    /* Nothing can be forked from a process with threads: end in good order, to be started anew. */
    epoll_ctl(courier->epoll, EPOLL_CTL_DEL, courier->zygote, NULL);
    courier->zygote_gone = true;
    if (!courier->stop) {
        log_error("zygote.died");
        kill(getpid(), SIGTERM);
    }
}

/* ---- the index -------------------------------------------------------------------------------- */

static void open_client(courier_t *courier)
{
    if (courier->client || clock_monotonic_ms() < courier->next_open_ms)
        return;
    courier->next_open_ms = clock_monotonic_ms() + 5 * IDLE_MS;
    AUTO_FREE char *endpoint = dimse_config_index_endpoint(courier->config);
    AUTO_FREE char *keys = dimse_config_keys(courier->config);
    if (index_client_open(endpoint, keys, "dimse", &courier->client) != STATUS_OK) {
        log_warning("index.not_available", LOG_TEXT("detail", fail_detail()));
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &courier->client};
    epoll_ctl(courier->epoll, EPOLL_CTL_ADD, index_client_fd(courier->client), &event);
}

/* Also what was answered once: packs_announce_again() says why. */
static void tell_again(courier_t *courier)
{
    if (clock_monotonic_ms() < courier->next_tell_all_ms)
        return;
    courier->next_tell_all_ms = clock_monotonic_ms() + TELL_ALL_MS;
    sessions_announce_again(courier->sessions);
    packs_announce_again(courier->packs);
}

static void tell_index(courier_t *courier)
{
    open_client(courier);
    tell_again(courier);
    if (courier->client)
        announcements_exchange(courier->announcements, courier->client);
    metric_set(&untold, (int64_t)announcements_count(courier->announcements));
}

/* ---- the packs -------------------------------------------------------------------------------- */

static void tend_packs(courier_t *courier)
{
    if (clock_monotonic_ms() < courier->next_tend_ms)
        return;
    courier->next_tend_ms = clock_monotonic_ms() + TEND_MS;
    packs_tick(courier->packs);
    sessions_recall_packs(courier->sessions);
}

/* ---- the loop --------------------------------------------------------------------------------- */

static void serve_event(courier_t *courier, void *source)
{
    eventfd_t count;
    if (source == &courier->wake)
        eventfd_read(courier->wake, &count);
    else if (source == &courier->zygote)
        serve_zygote(courier);
    else if (source != &courier->client) /* tell_index() takes its replies */
        sessions_serve(courier->sessions, source);
}

/* Two lines for each association: whoever reads the log is not woken for each. */
static void pass_log_on(courier_t *courier)
{
    if (!log_is_held() || clock_monotonic_ms() < courier->next_log_ms)
        return;
    log_pass_on();
    courier->next_log_ms = clock_monotonic_ms() + LOG_MS;
}

static int wait_ms(const courier_t *courier)
{
    if (!announcements_count(courier->announcements))
        return log_is_held() ? LOG_MS : IDLE_MS;
    return courier->client ? announcements_wait_ms(courier->announcements, RETRY_MS) : RETRY_MS;
}

/* All that had been said when it was asked is heard: places are free that can be. */
static void note_swept(courier_t *courier, uint64_t asked)
{
    courier->swept = asked;
    eventfd_write(courier->ring, 1);
}

static void turn(courier_t *courier)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t asked = courier->asked;
    bool is_asked = asked != courier->swept;
    int count = epoll_wait(courier->epoll, events, EVENTS_MAX, is_asked ? 0 : wait_ms(courier));
    for (int i = 0; i < count; i++)
        serve_event(courier, events[i].data.ptr);
    if (is_asked && count < EVENTS_MAX)
        note_swept(courier, asked);
    sessions_tick(courier->sessions); /* behind the reading of wake: what comes later rings again */
    sessions_set_full(courier->sessions, room_look(courier->space));
    tell_index(courier);
    tend_packs(courier);
    pass_log_on(courier);
    if (courier->drain)
        sessions_drain(courier->sessions);
}

static void *run(void *context)
{
    courier_t *courier = context;
    log_hold();
    while (!courier->stop)
        turn(courier);
    log_pass_on();
    return NULL;
}

static status_t watch(courier_t *courier, int fd, void *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    if (epoll_ctl(courier->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return fail(STATUS_UNAVAILABLE, "epoll: %s", strerror(errno));
    return STATUS_OK;
}

static void destroy(courier_t **courier)
{
    courier_t *c = *courier;
    sessions_destroy(&c->sessions);
    spares_destroy(&c->spares);
    packs_close(&c->packs);
    pack_space_close(&c->space);
    index_client_close(&c->client);
    announcements_destroy(&c->announcements);
    const int fds[] = {c->epoll, c->wake, c->ring};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(c);
    *courier = NULL;
}

static status_t prepare(courier_t *courier, limits_t *limits, refused_t *refused)
{
    courier->epoll = epoll_create1(EPOLL_CLOEXEC);
    courier->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    courier->ring = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (courier->epoll < 0 || courier->wake < 0 || courier->ring < 0)
        return fail(STATUS_UNAVAILABLE, "courier: %s", strerror(errno));
    TRY(watch(courier, courier->wake, &courier->wake));
    TRY(watch(courier, courier->zygote, &courier->zygote));
    TRY(room_open(courier->config, &courier->space));
    TRY(packs_open(courier->config, courier->announcements, &courier->packs));
    courier->spares = spares_create(courier->zygote);
    spares_fill(courier->spares);
    const session_parts_t parts = {courier->config, limits, refused, courier->packs,
                                   courier->spares};
    courier->sessions = sessions_create(&parts, courier->epoll);
    sessions_set_full(courier->sessions, room_look(courier->space));
    return STATUS_OK;
}

status_t courier_create(const dimse_config_t *config, limits_t *limits, refused_t *refused,
                        int zygote_channel, courier_t **out_courier)
{
    courier_t *courier = memory_allocate(sizeof *courier);
    courier->config = config;
    courier->zygote = zygote_channel;
    courier->announcements = announcements_create();
    metric_register(&untold);
    status_t status = prepare(courier, limits, refused);
    if (status == STATUS_OK)
        *out_courier = courier;
    else
        destroy(&courier);
    return status;
}

status_t courier_start(courier_t *courier)
{
    int error = pthread_create(&courier->thread, NULL, run, courier);
    if (error)
        return fail(STATUS_UNAVAILABLE, "thread: %s", strerror(error));
    courier->is_running = true;
    return STATUS_OK;
}

void courier_adopt(courier_t *courier, const channel_message_t *start, int socket)
{
    sessions_adopt(courier->sessions, start, socket);
    eventfd_write(courier->wake, 1);
}

uint64_t courier_sweep(courier_t *courier)
{
    uint64_t ticket = ++courier->asked;
    eventfd_write(courier->wake, 1);
    return ticket;
}

uint64_t courier_swept(const courier_t *courier)
{
    return courier->swept;
}

int courier_ring(const courier_t *courier)
{
    return courier->ring;
}

void courier_drain(courier_t *courier)
{
    courier->drain = true;
    eventfd_write(courier->wake, 1);
}

bool courier_has_zygote(const courier_t *courier)
{
    return !courier->zygote_gone;
}

/* ---- the end: in the caller's thread, once the courier's has ended ------------------------------ */

static void turn_until(courier_t *courier, int64_t limit_ms, bool (*is_done)(const courier_t *))
{
    int64_t end_ms = clock_monotonic_ms() + limit_ms;
    while (!is_done(courier) && clock_monotonic_ms() < end_ms) {
        eventfd_write(courier->wake, 1); /* look at the clock often */
        turn(courier);
        usleep(1000);
    }
}

static bool has_no_children(const courier_t *courier)
{
    return !sessions_any(courier->sessions);
}

static bool has_told_all(const courier_t *courier)
{
    return !courier->client || !announcements_count(courier->announcements);
}

void courier_stop(courier_t **courier, int zygote_pid)
{
    courier_t *c = *courier;
    if (!c)
        return;
    sessions_expect_end(c->sessions);
    c->stop = true;
    eventfd_write(c->wake, 1);
    if (c->is_running)
        pthread_join(c->thread, NULL);
    sessions_tick(c->sessions);
    sessions_stop(c->sessions);
    turn_until(c, STOP_CHILDREN_MS, has_no_children);
    kill(zygote_pid, SIGKILL); /* and its children with it */
    turn_until(c, STOP_KILLED_MS, has_no_children);
    sessions_end_all(c->sessions);
    turn_until(c, STOP_TELL_MS, has_told_all);
    destroy(courier);
}
