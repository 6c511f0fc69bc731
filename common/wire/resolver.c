#include "wire/resolver.h"

#include "base/memory.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t closing;
    int users; /* the client and the thread; the last one frees */
    bool is_closing;
    unsigned version;
    resolver_list_t list;
    char *host, *port; /* NULL: nothing to resolve */
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
    free(resolver->host);
    free(resolver->port);
    free(resolver);
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
static bool ask(const char *host, const char *port, int flags, resolver_list_t *out_list)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, port, &hints, &found))
        return false;
    out_list->count = 0;
    for (struct addrinfo *each = found; each; each = each->ai_next)
        add(out_list, each, port);
    freeaddrinfo(found);
    return out_list->count > 0;
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
    resolver_list_t *list = memory_allocate(sizeof *list);
    pthread_mutex_lock(&resolver->lock);
    while (!resolver->is_closing) {
        pthread_mutex_unlock(&resolver->lock);
        bool is_answered = ask(resolver->host, resolver->port, 0, list);
        pthread_mutex_lock(&resolver->lock);
        if (is_answered) {
            resolver->list = *list;
            resolver->version++;
        }
        wait_for_next(resolver);
    }
    pthread_mutex_unlock(&resolver->lock);
    free(list);
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
    if (!colon || colon == host || !colon[1])
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

static status_t prepare(resolver_t *resolver, const char *endpoint)
{
    if (strlen(endpoint) >= RESOLVER_ADDRESS_SIZE)
        return fail(STATUS_INVALID, "the endpoint '%.60s...' is too long", endpoint);
    if (strncmp(endpoint, "tcp://", 6) == 0) {
        TRY(split(endpoint, &resolver->host, &resolver->port));
        if (!ask(resolver->host, resolver->port, AI_NUMERICHOST, &resolver->list))
            return start_thread(resolver);
    } else if (strncmp(endpoint, "ipc://", 6) == 0) {
        snprintf(resolver->list.items[0], RESOLVER_ADDRESS_SIZE, "%s", endpoint);
        resolver->list.count = 1;
    } else {
        return fail(STATUS_INVALID, "'%s' is neither ipc:// nor tcp://", endpoint);
    }
    resolver->version = 1;
    return STATUS_OK;
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
