#include "dimse/courier.h"

#include "base/clock.h"
#include "base/memory.h"
#include "dimse/announcements.h"
#include "dimse/refusal.h"
#include "dimse/room.h"
#include "log/log.h"
#include "pack/pool.h"
#include "service/metrics.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 64,
    IDLE_MS = 1000,
    RETRY_MS = 100, /* while something is to be told */
    POOL_TICK_MS = 30 * 1000,
    TELL_ALL_MS = 5 * 1000,  /* an index that lost its rows must hear of packs that are at rest */
    STOP_CHILDREN_MS = 1500, /* to end by themselves */
    STOP_KILLED_MS = 1000,
    STOP_TELL_MS = 500
};

/* One association as seen from here. */
typedef struct lease {
    struct lease *next;
    channel_message_t self; /* association, address, calling, called */
    char peer[ADDRESS_TEXT_SIZE];
    int channel;
    pack_writer_t *writer;   /* the pack it has, or NULL */
    uint64_t start;          /* durable offset of that pack when it was lent */
    int64_t waited_since_ms; /* of a pack that had waited; 0: it was new */
    uint64_t announced;      /* durable offset of that pack that the index is being told */
    uint64_t stored, refused, bytes;
    int64_t began_ms;
    bool was_accepted, was_refused;
    bool pack_failed; /* a write or sync of its pack: nobody gets that pack again */
    char end[sizeof((channel_message_t *)0)->text];
} lease_t;

struct courier {
    const dimse_config_t *config;
    limits_t *limits;
    refused_t *refused;
    pack_pool_t *pool;
    pack_space_t *space;
    bool disk_is_full; /* what the children have been told */
    announcements_t *announcements;
    index_client_t *client; /* NULL until its keys are there */
    int epoll, wake, zygote;
    pthread_t thread;
    bool is_running;
    lease_t *leases; /* the thread's own */
    pthread_mutex_t lock;
    lease_t *arrivals; /* under the lock: adopted, not yet seen by the thread */
    atomic_bool drain, stop, zygote_gone;
    bool told_drain;
    int64_t next_pool_tick_ms, next_tell_all_ms, next_open_ms;
};

static metric_t accepted =
    METRIC_COUNTER("zpacs_associations_accepted_total", "Associations accepted.");
static metric_t active = METRIC_GAUGE("zpacs_associations_active", "Associations right now.");
static metric_t died =
    METRIC_COUNTER("zpacs_associations_died_total", "Association processes that were killed.");
static metric_t stored =
    METRIC_COUNTER("zpacs_instances_stored_total", "Instances made durable and acknowledged.");
static metric_t stored_bytes =
    METRIC_COUNTER("zpacs_instances_stored_bytes_total", "Bytes of their datasets.");
static metric_t store_refused =
    METRIC_COUNTER("zpacs_instances_refused_total", "C-STORE answered with a failure.");
static metric_t untold =
    METRIC_GAUGE("zpacs_packs_to_announce", "Packs with bytes the index has not confirmed.");
static metric_t alarms = METRIC_COUNTER("zpacs_pack_alarms_total",
                                        "Packs that could not be recovered, or false offsets.");

static metric_t failed_packs = METRIC_COUNTER(
    "zpacs_packs_failed_total", "Packs given up because a write or a sync of them has failed.");

static void register_metrics(void)
{
    metric_t *all[] = {&accepted,      &active, &died,   &stored,      &stored_bytes,
                       &store_refused, &untold, &alarms, &failed_packs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        metric_register(all[i]);
    refusal_register();
}

static void tell_child(const lease_t *lease, channel_kind_t kind)
{
    channel_message_t message = lease->self;
    message.kind = kind;
    channel_send(lease->channel, &message, NULL, 0, false);
}

/* ---- packs ------------------------------------------------------------------------------------ */

static void announce(courier_t *courier, lease_t *lease, uint64_t durable)
{
    if (durable <= lease->announced)
        return;
    ulid_t pack = pack_writer_pack(lease->writer);
    lease->announced = durable;
    announcements_put(courier->announcements, &pack, durable);
}

/* ALIVE: it may keep the descriptor, so nobody else may be lent that pack. */
typedef enum { CHILD_ALIVE, CHILD_GONE } child_end_t;

static void give_to_pool(courier_t *courier, lease_t *lease, child_end_t end)
{
    uint64_t durable = pack_writer_durable_offset(lease->writer);
    if (lease->pack_failed || (end == CHILD_ALIVE && !pack_writer_is_full(lease->writer)))
        pack_pool_discard(courier->pool, &lease->writer);
    else if (lease->waited_since_ms && durable == lease->start &&
             !pack_writer_is_dead(lease->writer))
        pack_pool_return_unused(courier->pool, lease->peer, &lease->writer, lease->waited_since_ms);
    else
        pack_pool_return(courier->pool, lease->peer, &lease->writer);
    lease->pack_failed = false;
}

/*
 * The pack's own bytes behind the lease's start decide what is durable, whatever the child said, or
 * could no longer say. What lies before is known, and is not read again.
 */
static void take_back(courier_t *courier, lease_t *lease, child_end_t end)
{
    uint64_t quarantined = 0;
    if (!lease->writer)
        return;
    ulid_t pack = pack_writer_pack(lease->writer);
    status_t status =
        pack_writer_refresh(courier->config->service.data, lease->writer, &quarantined);
    if (status == STATUS_OK)
        announce(courier, lease, pack_writer_durable_offset(lease->writer));
    if (status != STATUS_OK || quarantined) {
        metric_add(&alarms, 1);
        log_error("pack.damaged", LOG_TEXT("pack", pack.text),
                  LOG_TEXT("association", lease->self.association.text),
                  LOG_NUMBER("quarantined", quarantined),
                  LOG_TEXT("detail", status == STATUS_OK ? "" : fail_detail()));
    }
    give_to_pool(courier, lease, end);
}

static void take_pack_failed(lease_t *lease, const channel_message_t *message)
{
    if (!lease->writer)
        return;
    lease->pack_failed = true;
    metric_add(&failed_packs, 1);
    log_error("pack.failed", LOG_TEXT("pack", pack_writer_pack(lease->writer).text),
              LOG_TEXT("association", lease->self.association.text),
              LOG_TEXT("detail", message->text));
}

static void send_pack(lease_t *lease, channel_kind_t kind, int64_t waited_since_ms)
{
    channel_message_t message = lease->self;
    int fd = pack_writer_fd(lease->writer);
    message.kind = kind;
    message.offset = pack_writer_durable_offset(lease->writer);
    lease->start = lease->announced = message.offset;
    lease->waited_since_ms = waited_since_ms;
    channel_send(lease->channel, &message, &fd, 1, false); /* if that fails, the child is gone */
}

/*
 * Lets the child begin. A pack with records of earlier associations is lent now, before a byte of
 * the peer has been read, or not at all.
 */
static void start_child(courier_t *courier, lease_t *lease)
{
    int64_t since_ms;
    if (pack_pool_lease_waiting(courier->pool, lease->peer, &lease->writer, &since_ms) == STATUS_OK)
        send_pack(lease, CHANNEL_START, since_ms);
    else
        tell_child(lease, CHANNEL_START);
    if (courier->disk_is_full)
        tell_child(lease, CHANNEL_FULL);
    if (courier->told_drain)
        tell_child(lease, CHANNEL_DRAIN);
}

static void give_pack(courier_t *courier, lease_t *lease)
{
    channel_message_t reply = lease->self;
    take_back(courier, lease, CHILD_ALIVE);
    if (pack_pool_lease_new(courier->pool, &lease->writer) == STATUS_OK) {
        send_pack(lease, CHANNEL_PACK, 0);
        return;
    }
    log_error("pack.not_available", LOG_TEXT("association", lease->self.association.text),
              LOG_TEXT("detail", fail_detail()));
    reply.kind = CHANNEL_NO_PACK;
    channel_set_text(&reply, fail_detail());
    channel_send(lease->channel, &reply, NULL, 0, false);
}

/* A child's word counts only for the pack it was handed, and only within its file. */
static void take_appended(courier_t *courier, lease_t *lease, const channel_message_t *message)
{
    struct stat file;
    if (!lease->writer || fstat(pack_writer_fd(lease->writer), &file) < 0 ||
        message->offset > (uint64_t)file.st_size || message->offset % PACK_BLOCK_SIZE) {
        metric_add(&alarms, 1);
        log_error("pack.false_offset", LOG_TEXT("association", lease->self.association.text),
                  LOG_NUMBER("offset", message->offset));
        return;
    }
    lease->stored++;
    lease->bytes += message->bytes;
    metric_add(&stored, 1);
    metric_add(&stored_bytes, (int64_t)message->bytes);
    announce(courier, lease, message->offset);
}

/* ---- associations ----------------------------------------------------------------------------- */

static void take_accepted(lease_t *lease, const channel_message_t *message)
{
    memcpy(lease->self.calling, message->calling, sizeof lease->self.calling);
    memcpy(lease->self.called, message->called, sizeof lease->self.called);
    lease->was_accepted = true;
    metric_add(&accepted, 1);
    log_info("association.accepted", LOG_TEXT("association", lease->self.association.text),
             LOG_TEXT("peer", lease->peer), LOG_TEXT("calling", lease->self.calling),
             LOG_TEXT("called", lease->self.called), LOG_TEXT("implementation", message->text));
}

static void take_store_refused(lease_t *lease, const channel_message_t *message)
{
    char status[8];
    snprintf(status, sizeof status, "%04X", message->number & 0xFFFF);
    lease->refused++;
    metric_add(&store_refused, 1);
    log_warning("store.refused", LOG_TEXT("association", lease->self.association.text),
                LOG_TEXT("peer", lease->peer), LOG_TEXT("calling", lease->self.calling),
                LOG_TEXT("status", status), LOG_TEXT("detail", message->text));
}

/* An association is refused once, whatever its child says. */
static void take_refused(courier_t *courier, lease_t *lease, const channel_message_t *message)
{
    if (lease->was_refused || lease->was_accepted)
        return;
    lease->was_refused = true;
    refusal_note(courier->refused, &(refusal_report_t){.why = (refusal_t)message->number,
                                                       .association = lease->self.association.text,
                                                       .peer = lease->peer,
                                                       .calling = message->calling,
                                                       .called = message->called,
                                                       .detail = message->text});
}

static void take_message(courier_t *courier, lease_t *lease, const channel_message_t *message)
{
    switch (message->kind) {
    case CHANNEL_ACCEPTED:
        take_accepted(lease, message);
        break;
    case CHANNEL_REFUSED:
        take_refused(courier, lease, message);
        break;
    case CHANNEL_WANT_PACK:
        give_pack(courier, lease);
        break;
    case CHANNEL_APPENDED:
        take_appended(courier, lease, message);
        break;
    case CHANNEL_STORE_REFUSED:
        take_store_refused(lease, message);
        break;
    case CHANNEL_PACK_FAILED:
        take_pack_failed(lease, message);
        break;
    case CHANNEL_ENDED:
        memcpy(lease->end, message->text, sizeof lease->end);
        break;
    default:
        break;
    }
}

/*
 * A child that said neither yes nor no: it was ended by its time limit for the request, with all of
 * us, or by a fault; the zygote tells the last (take_exit()).
 */
static void note_silent(courier_t *courier, const lease_t *lease)
{
    bool is_late =
        clock_monotonic_ms() - lease->began_ms >= courier->config->request_timeout_s * 1000;
    refusal_report_t report = {.why = REFUSAL_INTERNAL,
                               .association = lease->self.association.text,
                               .peer = lease->peer,
                               .detail = lease->end};
    if (courier->stop || is_late) {
        report.why = courier->stop ? REFUSAL_DRAINING : REFUSAL_TIMEOUT;
        report.detail = NULL;
    }
    refusal_note(courier->refused, &report);
}

static void close_lease(courier_t *courier, lease_t *lease)
{
    for (lease_t **at = &courier->leases; *at; at = &(*at)->next) {
        if (*at == lease) {
            *at = lease->next;
            break;
        }
    }
    take_back(courier, lease, CHILD_GONE);
    limits_give(courier->limits, &lease->self.address);
    metric_add(&active, -1);
    if (lease->was_accepted)
        log_info("association.ended", LOG_TEXT("association", lease->self.association.text),
                 LOG_TEXT("peer", lease->peer), LOG_TEXT("calling", lease->self.calling),
                 LOG_NUMBER("stored", lease->stored), LOG_NUMBER("refused", lease->refused),
                 LOG_NUMBER("bytes", lease->bytes),
                 LOG_NUMBER("duration_ms", clock_monotonic_ms() - lease->began_ms),
                 LOG_TEXT("detail", lease->end));
    else if (!lease->was_refused)
        note_silent(courier, lease);
    close(lease->channel);
    free(lease);
}

static void serve_lease(courier_t *courier, lease_t *lease)
{
    /* A bounded number, so that one busy child does not keep the others waiting. */
    for (int i = 0; i < EVENTS_MAX; i++) {
        channel_message_t message;
        int fds[CHANNEL_FDS_MAX];
        status_t status = channel_receive(lease->channel, &message, fds, false);
        for (int k = 0; k < CHANNEL_FDS_MAX; k++)
            if (fds[k] >= 0)
                close(fds[k]); /* a child has nothing to hand to us */
        if (status == STATUS_BUSY)
            return;
        if (status == STATUS_NOT_FOUND) {
            close_lease(courier, lease);
            return;
        }
        if (status == STATUS_OK)
            take_message(courier, lease, &message);
    }
}

static void tell_children(const courier_t *courier, channel_kind_t kind)
{
    for (const lease_t *lease = courier->leases; lease; lease = lease->next)
        tell_child(lease, kind);
}

void courier_adopt(courier_t *courier, const channel_message_t *spawn, int channel)
{
    lease_t *lease = memory_allocate(sizeof *lease);
    lease->self = *spawn;
    lease->channel = channel;
    lease->began_ms = clock_monotonic_ms();
    address_format(&spawn->address, lease->peer);
    snprintf(lease->end, sizeof lease->end, "its process ended without a word");
    pthread_mutex_lock(&courier->lock);
    lease->next = courier->arrivals;
    courier->arrivals = lease;
    pthread_mutex_unlock(&courier->lock);
    eventfd_write(courier->wake, 1);
}

static void take_arrivals(courier_t *courier)
{
    pthread_mutex_lock(&courier->lock);
    lease_t *arrivals = courier->arrivals;
    courier->arrivals = NULL;
    pthread_mutex_unlock(&courier->lock);
    for (lease_t *lease = arrivals, *next; lease; lease = next) {
        next = lease->next;
        lease->next = courier->leases;
        courier->leases = lease;
        metric_add(&active, 1);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = lease};
        if (epoll_ctl(courier->epoll, EPOLL_CTL_ADD, lease->channel, &event) < 0)
            close_lease(courier, lease);
        else
            start_child(courier, lease);
    }
}

/* ---- the zygote ------------------------------------------------------------------------------- */

/* Children end with 0; one that does not was killed: by its time limit, its filter, or a fault. */
static void take_exit(const channel_message_t *message)
{
    int wait_status = (int)message->number;
    char peer[ADDRESS_TEXT_SIZE];
    address_format(&message->address, peer);
    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGALRM)
        return; /* note_silent() */
    metric_add(&died, 1);
    log_error("association.died", LOG_TEXT("association", message->association.text),
              LOG_TEXT("peer", peer),
              LOG_TEXT("signal", WIFSIGNALED(wait_status) ? strsignal(WTERMSIG(wait_status)) : ""),
              LOG_NUMBER("exit_code", WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1));
}

static void serve_zygote(courier_t *courier)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    status_t status = channel_receive(courier->zygote, &message, fds, false);
    if (status == STATUS_OK && message.kind == CHANNEL_EXITED)
        take_exit(&message);
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

static void tell_waiting(void *context, const ulid_t *pack, uint64_t durable)
{
    courier_t *courier = context;
    if (durable > PACK_BLOCK_SIZE)
        announcements_put(courier->announcements, pack, durable);
}

/*
 * A doorbell that was answered once may have to ring again: the database may have been dropped or
 * restored since, and a pack that is held is read only up to what its holder says.
 */
static void tell_all(courier_t *courier)
{
    if (clock_monotonic_ms() < courier->next_tell_all_ms)
        return;
    courier->next_tell_all_ms = clock_monotonic_ms() + TELL_ALL_MS;
    for (const lease_t *lease = courier->leases; lease; lease = lease->next) {
        if (!lease->writer)
            continue;
        ulid_t pack = pack_writer_pack(lease->writer);
        tell_waiting(courier, &pack, lease->announced);
    }
    pack_pool_visit(courier->pool, tell_waiting, courier);
}

static void tell_index(courier_t *courier)
{
    open_client(courier);
    tell_all(courier);
    if (courier->client)
        announcements_exchange(courier->announcements, courier->client);
    metric_set(&untold, (int64_t)announcements_count(courier->announcements));
}

/* ---- the disk --------------------------------------------------------------------------------- */

static void watch_room(courier_t *courier)
{
    bool is_full = room_look(courier->space);
    if (is_full == courier->disk_is_full)
        return;
    courier->disk_is_full = is_full;
    tell_children(courier, is_full ? CHANNEL_FULL : CHANNEL_ROOM);
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
        serve_lease(courier, source);
}

static void turn(courier_t *courier)
{
    struct epoll_event events[EVENTS_MAX];
    int wait_ms = announcements_count(courier->announcements) ? RETRY_MS : IDLE_MS;
    int count = epoll_wait(courier->epoll, events, EVENTS_MAX, wait_ms);
    for (int i = 0; i < count; i++)
        serve_event(courier, events[i].data.ptr);
    take_arrivals(courier); /* behind the reading of wake: what comes later rings again */
    watch_room(courier);
    tell_index(courier);
    if (clock_monotonic_ms() >= courier->next_pool_tick_ms) {
        pack_pool_tick(courier->pool);
        courier->next_pool_tick_ms = clock_monotonic_ms() + POOL_TICK_MS;
    }
    if (courier->drain && !courier->told_drain) {
        courier->told_drain = true;
        tell_children(courier, CHANNEL_DRAIN);
    }
}

static void *run(void *context)
{
    courier_t *courier = context;
    while (!courier->stop)
        turn(courier);
    return NULL;
}

static status_t watch(courier_t *courier, int fd, void *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    if (epoll_ctl(courier->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return fail(STATUS_UNAVAILABLE, "epoll: %s", strerror(errno));
    return STATUS_OK;
}

static void note_taken_over(void *context, const ulid_t *pack, uint64_t durable)
{
    courier_t *courier = context;
    if (durable == 0) {
        metric_add(&alarms, 1);
        log_error("pack.unrecovered", LOG_TEXT("pack", pack->text),
                  LOG_TEXT("detail", fail_detail()));
        return;
    }
    log_info("pack.taken_over", LOG_TEXT("pack", pack->text), LOG_NUMBER("durable", durable));
    announcements_put(courier->announcements, pack, durable);
}

static void destroy(courier_t **courier)
{
    courier_t *c = *courier;
    pack_pool_close(&c->pool);
    pack_space_close(&c->space);
    index_client_close(&c->client);
    announcements_destroy(&c->announcements);
    if (c->epoll >= 0)
        close(c->epoll);
    if (c->wake >= 0)
        close(c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
    *courier = NULL;
}

static status_t prepare(courier_t *courier)
{
    courier->epoll = epoll_create1(EPOLL_CLOEXEC);
    courier->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (courier->epoll < 0 || courier->wake < 0)
        return fail(STATUS_UNAVAILABLE, "courier: %s", strerror(errno));
    TRY(watch(courier, courier->wake, &courier->wake));
    TRY(watch(courier, courier->zygote, &courier->zygote));
    TRY(room_open(courier->config, &courier->space));
    watch_room(courier);
    return pack_pool_open(courier->config->service.data, &courier->pool, note_taken_over, courier);
}

status_t courier_create(const dimse_config_t *config, limits_t *limits, refused_t *refused,
                        int zygote_channel, courier_t **out_courier)
{
    courier_t *courier = memory_allocate(sizeof *courier);
    courier->config = config;
    courier->limits = limits;
    courier->refused = refused;
    courier->zygote = zygote_channel;
    courier->announcements = announcements_create();
    courier->next_pool_tick_ms = clock_monotonic_ms() + POOL_TICK_MS;
    pthread_mutex_init(&courier->lock, NULL);
    register_metrics();
    status_t status = prepare(courier);
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
    return !courier->leases;
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
    c->stop = true;
    eventfd_write(c->wake, 1);
    if (c->is_running)
        pthread_join(c->thread, NULL);
    take_arrivals(c);
    tell_children(c, CHANNEL_STOP);
    turn_until(c, STOP_CHILDREN_MS, has_no_children);
    kill(zygote_pid, SIGKILL); /* and its children with it */
    turn_until(c, STOP_KILLED_MS, has_no_children);
    while (c->leases)
        close_lease(c, c->leases);
    turn_until(c, STOP_TELL_MS, has_told_all);
    destroy(courier);
}
