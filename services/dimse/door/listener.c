#include "dimse/door/listener.h"

#include "base/clock.h"
#include "base/memory.h"
#include "dimse/door/port.h"
#include "dimse/door/proxy_protocol.h"
#include "dimse/door/refusal.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_MAX = 512, /* one behind the other */
    WAITING_MAX = 256, /* connections that wait for a PROXY header or to be closed */
    PROXY_HEADER_MS = 5000,
    PLACE_MS = 1000,          /* for the courier to say who has ended; it takes a moment */
    LINGER_MS = 1000,         /* for a refused peer to read why and to close */
    LINGER_BYTES_MAX = 65536, /* of a refused peer that we pass over */
    TICK_MS = 250,
    NO_DESCRIPTOR_MS = 100 /* pause when accept() fails */
};

/* A connection that is not, or no longer, with a child. */
typedef enum { WAITING_FREE, WAITING_PROXY_HEADER, WAITING_PLACE, WAITING_LINGER } waiting_state_t;

typedef struct {
    waiting_state_t state;
    int fd;
    address_t address;
    int64_t deadline_ms;
    size_t passed_over;
    uint64_t ticket; /* of courier_sweep() */
} waiting_t;

struct listener {
    listener_options_t options;
    int epoll, wake, socket;
    pthread_t thread;
    bool is_running;
    atomic_bool drain, stop;
    waiting_t waiting[WAITING_MAX];
};

/* ---- refusing --------------------------------------------------------------------------------- */

/* A-ASSOCIATE-RJ: transient, by the presentation layer, local limit exceeded.  PS3.8 table 9-21 */
static const uint8_t reject_for_now[] = {0x03, 0, 0, 0, 0, 4, 0, 2, 3, 2};

static waiting_t *wait_with(listener_t *listener, int fd, const address_t *address,
                            waiting_state_t state, int64_t limit_ms, uint32_t events)
{
    for (size_t i = 0; i < WAITING_MAX; i++) {
        waiting_t *row = &listener->waiting[i];
        if (row->state != WAITING_FREE)
            continue;
        struct epoll_event event = {.events = events, .data.ptr = row};
        if (epoll_ctl(listener->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            return NULL;
        *row = (waiting_t){state, fd, *address, clock_monotonic_ms() + limit_ms, 0, 0};
        return row;
    }
    return NULL;
}

static void release(listener_t *listener, waiting_t *row)
{
    epoll_ctl(listener->epoll, EPOLL_CTL_DEL, row->fd, NULL);
    row->state = WAITING_FREE;
}

static void drop(listener_t *listener, waiting_t *row)
{
    release(listener, row);
    close(row->fd);
}

static void note(listener_t *listener, const address_t *address, refusal_t why, const char *detail)
{
    char peer[ADDRESS_TEXT_SIZE];
    address_format(address, peer);
    refusal_note(listener->options.refused,
                 &(refusal_report_t){.why = why, .peer = peer, .detail = detail});
}

/*
 * Says no without having read the request. Closing at once would reset the connection, since the
 * request lies unread, and the peer might never see the answer: so it lingers a moment.
 */
static void refuse(listener_t *listener, int fd, const address_t *address, refusal_t why)
{
    note(listener, address, why, NULL);
    if (send(fd, reject_for_now, sizeof reject_for_now, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ||
        shutdown(fd, SHUT_WR) < 0 ||
        !wait_with(listener, fd, address, WAITING_LINGER, LINGER_MS, EPOLLIN))
        close(fd);
}

static void pass_over(listener_t *listener, waiting_t *row)
{
    uint8_t scratch[4096];
    ssize_t got = recv(row->fd, scratch, sizeof scratch, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    row->passed_over += got > 0 ? (size_t)got : 0;
    if (got <= 0 || row->passed_over > LINGER_BYTES_MAX)
        drop(listener, row);
}

/* ---- admitting -------------------------------------------------------------------------------- */

static void hand_over(listener_t *listener, int fd, const address_t *address)
{
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make()};
    start.address = *address;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    courier_adopt(listener->options.courier, &start, fd);
}

static void admit_or_refuse(listener_t *listener, int fd, const address_t *address)
{
    static const refusal_t refusals[] = {
        [LIMITS_TOTAL] = REFUSAL_LIMIT_TOTAL, [LIMITS_ADDRESS] = REFUSAL_LIMIT_ADDRESS};
    limits_answer_t answer = limits_take(listener->options.limits, address);
    if (answer == LIMITS_OK)
        hand_over(listener, fd, address);
    else
        refuse(listener, fd, address, refusals[answer]);
}

/*
 * Nobody is refused for an association that is over, even if we have not heard of that yet: the courier is asked, and
 * who comes meanwhile waits behind, or would take a place while it still has one.
 */
static bool wait_for_place(listener_t *listener, int fd, const address_t *address)
{
    waiting_t *row = wait_with(listener, fd, address, WAITING_PLACE, PLACE_MS, 0);
    if (row)
        row->ticket = courier_sweep(listener->options.courier);
    return row != NULL;
}

/* Who has waited longest. */
static waiting_t *first_for_place(listener_t *listener)
{
    waiting_t *first = NULL;
    for (size_t i = 0; i < WAITING_MAX; i++) {
        waiting_t *row = &listener->waiting[i];
        if (row->state == WAITING_PLACE && (!first || row->ticket < first->ticket))
            first = row;
    }
    return first;
}

static void admit_waiting(listener_t *listener)
{
    uint64_t swept = courier_swept(listener->options.courier);
    for (waiting_t *row; (row = first_for_place(listener));) {
        if (row->ticket > swept && clock_monotonic_ms() < row->deadline_ms)
            return;
        address_t address = row->address;
        release(listener, row);
        admit_or_refuse(listener, row->fd, &address);
    }
}

static void admit(listener_t *listener, int fd, const address_t *address)
{
    if (listener->drain)
        refuse(listener, fd, address, REFUSAL_DRAINING);
    else if (!first_for_place(listener) &&
             limits_take(listener->options.limits, address) == LIMITS_OK)
        hand_over(listener, fd, address);
    else if (!wait_for_place(listener, fd, address))
        admit_or_refuse(listener, fd, address);
}

/* ---- PROXY header ----------------------------------------------------------------------------- */

static void refuse_proxy(listener_t *listener, waiting_t *row, const char *detail)
{
    note(listener, &row->address, REFUSAL_PROXY_HEADER, detail);
    drop(listener, row);
}

/* Looks at the header and takes exactly its bytes: what follows is the child's to read. */
static void read_proxy_header(listener_t *listener, waiting_t *row)
{
    uint8_t bytes[PROXY_HEADER_MAX];
    ssize_t got = recv(row->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        drop(listener, row); /* a health check of the proxy */
        return;
    }
    proxy_header_t header;
    status_t status = proxy_header_parse(bytes, (size_t)got, &header);
    if (status == STATUS_BUSY)
        return;
    if (status != STATUS_OK) {
        refuse_proxy(listener, row, fail_detail());
        return;
    }
    if (recv(row->fd, bytes, header.length, MSG_DONTWAIT) != (ssize_t)header.length) {
        refuse_proxy(listener, row, "header cannot be read");
        return;
    }
    address_t address = header.has_source ? header.source : row->address;
    release(listener, row);
    admit(listener, row->fd, &address);
}

/* ---- accepting -------------------------------------------------------------------------------- */

static void take_connection(listener_t *listener, int fd, const struct sockaddr_storage *peer)
{
    address_t address;
    if (address_from_socket(peer, &address) != STATUS_OK) {
        close(fd);
        return;
    }
    if (!rules_is_proxy(listener->options.rules, &address)) {
        admit(listener, fd, &address);
        return;
    }
    /* Edge-triggered: a header that comes in pieces stays in the socket until it is whole. */
    if (!wait_with(listener, fd, &address, WAITING_PROXY_HEADER, PROXY_HEADER_MS,
                   EPOLLIN | EPOLLET))
        refuse(listener, fd, &address, REFUSAL_LIMIT_TOTAL);
}

static void accept_some(listener_t *listener)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof peer;
        int fd = accept4(listener->socket, (struct sockaddr *)&peer, &length,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            take_connection(listener, fd, &peer);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            log_error("listener.accept", LOG_TEXT("detail", strerror(errno)));
            usleep(NO_DESCRIPTOR_MS * 1000);
            return;
        }
    }
}

static void expire_waiting(listener_t *listener)
{
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < WAITING_MAX; i++) {
        waiting_t *row = &listener->waiting[i];
        if (row->state == WAITING_FREE || row->state == WAITING_PLACE || now_ms < row->deadline_ms)
            continue;
        if (row->state == WAITING_PROXY_HEADER)
            refuse_proxy(listener, row, "no header in time");
        else
            drop(listener, row);
    }
}

static void serve_event(listener_t *listener, void *source)
{
    eventfd_t count;
    waiting_t *row = source;
    if (source == &listener->socket)
        accept_some(listener);
    else if (source == &listener->wake)
        eventfd_read(listener->wake, &count);
    else if (source == &listener->options.courier)
        eventfd_read(courier_ring(listener->options.courier), &count);
    else if (row->state == WAITING_PROXY_HEADER)
        read_proxy_header(listener, row);
    else if (row->state == WAITING_LINGER)
        pass_over(listener, row);
    else if (row->state == WAITING_PLACE)
        drop(listener, row); /* the peer has given up */
}

static void *run(void *context)
{
    listener_t *listener = context;
    while (!listener->stop) {
        struct epoll_event events[32];
        int count = epoll_wait(listener->epoll, events, 32, TICK_MS);
        for (int i = 0; i < count; i++)
            serve_event(listener, events[i].data.ptr);
        admit_waiting(listener);
        expire_waiting(listener);
    }
    return NULL;
}

/* ---- the beginning and the end ------------------------------------------------------------------ */

static status_t watch(listener_t *listener, int fd, void *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    if (fd < 0 || epoll_ctl(listener->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return fail(STATUS_UNAVAILABLE, "listener: %s", strerror(errno));
    return STATUS_OK;
}

static status_t prepare(listener_t *listener)
{
    listener->epoll = epoll_create1(EPOLL_CLOEXEC);
    listener->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    TRY(port_open(listener->options.config, &listener->socket));
    TRY(watch(listener, listener->wake, &listener->wake));
    TRY(watch(listener, courier_ring(listener->options.courier), &listener->options.courier));
    return watch(listener, listener->socket, &listener->socket);
}

status_t listener_create(const listener_options_t *options, listener_t **out_listener)
{
    listener_t *listener = memory_allocate(sizeof *listener);
    listener->options = *options;
    listener->socket = -1;
    status_t status = prepare(listener);
    if (status == STATUS_OK)
        *out_listener = listener;
    else
        listener_stop(&listener);
    return status;
}

status_t listener_start(listener_t *listener)
{
    int error = pthread_create(&listener->thread, NULL, run, listener);
    if (error)
        return fail(STATUS_UNAVAILABLE, "thread: %s", strerror(error));
    listener->is_running = true;
    log_info("listener.ready", LOG_TEXT("bind", listener->options.config->bind),
             LOG_NUMBER("port", listener->options.config->dicom_port));
    return STATUS_OK;
}

void listener_drain(listener_t *listener)
{
    listener->drain = true;
}

void listener_stop(listener_t **listener)
{
    listener_t *l = *listener;
    if (!l)
        return;
    l->stop = true;
    eventfd_write(l->wake, 1);
    if (l->is_running)
        pthread_join(l->thread, NULL);
    for (size_t i = 0; i < WAITING_MAX; i++)
        if (l->waiting[i].state != WAITING_FREE)
            drop(l, &l->waiting[i]);
    const int fds[] = {l->socket, l->wake, l->epoll};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(l);
    *listener = NULL;
}
