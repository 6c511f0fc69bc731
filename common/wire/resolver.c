#include "wire/resolver.h"

#include "wire/wire.h"

#include "base/memory.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

typedef struct {
    char *host, *port;    /* NULL: nothing to resolve */
    resolver_list_t last; /* as it was told last */
} part_t;

struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t closing;
    int users; /* the client and the thread; the last one frees */
    bool is_closing;
    unsigned version;
    resolver_list_t list; /* all parts together */
    size_t count;
    part_t *parts; /* once the thread runs, its own */
};

static void release(resolver_t *resolver)
{
    pthread_mutex_lock(&resolver->lock);
    bool is_last = --resolver->users == 0;
    pthread_mutex_unlock(&resolver->lock);
    if (!is_last)
        return;
    pthread_mutex_destroy(&resolver->lock);
    pthread_cond_destroy(&resolver->closing);
    for (size_t i = 0; i < resolver->count; i++) {
        free(resolver->parts[i].host);
        free(resolver->parts[i].port);
    }
    free(resolver->parts);
    free(resolver);
}

bool resolver_list_holds(const resolver_list_t *list, const char *address)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], address) == 0)
            return true;
    return false;
}

/* Under the lock, or before the thread. */
static void merge(resolver_t *resolver)
{
    resolver_list_t *all = memory_allocate(sizeof *all);
    for (size_t i = 0; i < resolver->count; i++) {
        const resolver_list_t *last = &resolver->parts[i].last;
        for (size_t k = 0; k < last->count && all->count < RESOLVER_ADDRESSES_MAX; k++)
            if (!resolver_list_holds(all, last->items[k]))
                memcpy(all->items[all->count++], last->items[k], RESOLVER_ADDRESS_SIZE);
    }
    if (memcmp(all, &resolver->list, sizeof *all) != 0) {
        resolver->list = *all;
        resolver->version++;
    }
    free(all);
}

static void add(resolver_list_t *list, const struct addrinfo *found, const char *port)
{
    char host[NI_MAXHOST];
    if (list->count == RESOLVER_ADDRESSES_MAX ||
        getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST))
        return;
    char *item = list->items[list->count];
    int length =
        snprintf(item, RESOLVER_ADDRESS_SIZE,
                 found->ai_family == AF_INET6 ? "tcp://[%s]:%s" : "tcp://%s:%s", host, port);
    if (length > 0 && length < RESOLVER_ADDRESS_SIZE)
        list->count++;
}

/* A name that does not resolve now keeps its last addresses: the servers there may well live. */
static bool ask(part_t *part, int flags)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *found = NULL;
    if (getaddrinfo(part->host, part->port, &hints, &found))
        return false;
    part->last = (resolver_list_t){.count = 0};
    for (struct addrinfo *each = found; each; each = each->ai_next)
        add(&part->last, each, part->port);
    freeaddrinfo(found);
    return part->last.count > 0;
}

static void wait_for_next(resolver_t *resolver)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RESOLVER_INTERVAL_MS / 1000;
    while (!resolver->is_closing &&
           pthread_cond_timedwait(&resolver->closing, &resolver->lock, &until) == 0)
        continue;
}

static void *resolver_main(void *argument)
{
    resolver_t *resolver = argument;
    pthread_mutex_lock(&resolver->lock);
    while (!resolver->is_closing) {
        pthread_mutex_unlock(&resolver->lock);
        for (size_t i = 0; i < resolver->count; i++)
            if (resolver->parts[i].host)
                (void)ask(&resolver->parts[i], 0);
        pthread_mutex_lock(&resolver->lock);
        merge(resolver);
        wait_for_next(resolver);
    }
    pthread_mutex_unlock(&resolver->lock);
    release(resolver);
    return NULL;
}

static status_t start_thread(resolver_t *resolver)
{
    sigset_t all, before;
    pthread_t thread;
    resolver->users = 2;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, resolver_main, resolver);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        resolver->users = 1;
        return fail(STATUS_UNAVAILABLE, "no thread: %s", strerror(error));
    }
    pthread_detach(thread);
    return STATUS_OK;
}

/* "tcp://host:port", "tcp://[::1]:port" */
static status_t split(const char *endpoint, char **out_host, char **out_port)
{
    const char *host = endpoint + strlen("tcp://");
    const char *colon = strrchr(host, ':');
    if (!colon || colon == host || !colon[1] || colon[1 + strspn(colon + 1, "0123456789")])
        return fail(STATUS_INVALID, "'%s' is not tcp://host:port", endpoint);
    size_t length = (size_t)(colon - host);
    if (host[0] == '[' && length > 2 && host[length - 1] == ']') {
        host++;
        length -= 2;
    }
    *out_host = memory_copy_text_n(host, length);
    *out_port = memory_copy_text(colon + 1);
    return STATUS_OK;
}

/* is_name: to be asked for again and again. */
static status_t part_read(const char *endpoint, part_t *part, bool *is_name)
{
    if (strlen(endpoint) >= RESOLVER_ADDRESS_SIZE)
        return fail(STATUS_INVALID, "the endpoint '%.60s...' is too long", endpoint);
    if (strncmp(endpoint, "tcp://", 6) == 0) {
        TRY(split(endpoint, &part->host, &part->port));
        if (!ask(part, AI_NUMERICHOST)) {
            *is_name = true;
            return STATUS_OK;
        }
        free(part->host);
        part->host = NULL;
    } else if (strncmp(endpoint, "ipc://", 6) == 0) {
        snprintf(part->last.items[0], RESOLVER_ADDRESS_SIZE, "%s", endpoint);
        part->last.count = 1;
    } else {
        return fail(STATUS_INVALID, "'%s' is neither ipc:// nor tcp://", endpoint);
    }
    return STATUS_OK;
}

static status_t prepare(resolver_t *resolver, const char *endpoints)
{
    static const char separators[] = ", ";
    bool has_names = false;
    resolver->parts = memory_allocate(WIRE_ENDPOINTS_MAX * sizeof *resolver->parts);
    for (const char *at = endpoints + strspn(endpoints, separators); *at;) {
        size_t length = strcspn(at, separators);
        if (resolver->count == WIRE_ENDPOINTS_MAX)
            return fail(STATUS_INVALID, "over %d endpoints in a list", WIRE_ENDPOINTS_MAX);
        AUTO_FREE char *one = memory_copy_text_n(at, length);
        TRY(part_read(one, &resolver->parts[resolver->count++], &has_names));
        at += length;
        at += strspn(at, separators);
    }
    if (resolver->count == 0)
        return fail(STATUS_INVALID, "an endpoint is missing");
    merge(resolver);
    return has_names ? start_thread(resolver) : STATUS_OK;
}

status_t resolver_open(const char *endpoint, resolver_t **out_resolver)
{
    resolver_t *resolver = memory_allocate(sizeof *resolver);
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->closing, NULL);
    resolver->users = 1;
    status_t status = prepare(resolver, endpoint);
    if (status != STATUS_OK)
        release(resolver);
    else
        *out_resolver = resolver;
    return status;
}

void resolver_close(resolver_t **resolver)
{
    resolver_t *self = *resolver;
    if (!self)
        return;
    pthread_mutex_lock(&self->lock);
    self->is_closing = true;
    pthread_cond_broadcast(&self->closing);
    pthread_mutex_unlock(&self->lock);
    release(self);
    *resolver = NULL;
}

bool resolver_take(resolver_t *resolver, unsigned *version, resolver_list_t *out_list)
{
    pthread_mutex_lock(&resolver->lock);
    bool is_new = resolver->version != *version;
    if (is_new) {
        *version = resolver->version;
        *out_list = resolver->list;
    }
    pthread_mutex_unlock(&resolver->lock);
    return is_new;
}
