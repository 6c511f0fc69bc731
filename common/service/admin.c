#include "service/admin.h"

#include "service/metrics.h"
#include "service/metrics_text.h"
#include "base/memory.h"
#include "http/http.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ADMIN_THREADS = 2, ADMIN_TIMEOUT_MS = 5000, HEALTH_TIMEOUT_S = 5, ADMIN_ROUTES_MAX = 8 };

struct admin {
    admin_service_t service;
    http_server_t *server;
    pthread_mutex_t lock; /* health() never runs beside stop() */
    admin_phase_t phase;
    void *state;
    time_t started;
    http_route_t routes[ADMIN_ROUTES_MAX + 1];
};

/* ---- /metrics ------------------------------------------------------------------------------ */

static void append_process(const admin_t *admin, buffer_t *out_text)
{
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    buffer_printf(out_text,
                  "# HELP zpacs_info What runs here.\n# TYPE zpacs_info gauge\n"
                  "zpacs_info{service=\"%s\",version=\"%s\"} 1\n"
                  "# HELP process_start_time_seconds Start, in seconds since 1970.\n"
                  "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %lld\n"
                  "# HELP process_cpu_seconds_total Processor time used.\n"
                  "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.2f\n",
                  admin->service.name, admin->service.version, (long long)admin->started,
                  (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*s %lld", &pages) == 1)
        buffer_printf(out_text,
                      "# HELP process_resident_memory_bytes Memory in use.\n"
                      "# TYPE process_resident_memory_bytes gauge\n"
                      "process_resident_memory_bytes %lld\n",
                      pages * sysconf(_SC_PAGESIZE));
    if (file)
        fclose(file);
}

static void get_metrics(void *context, http_request_t *request)
{
    AUTO_BUFFER text = {0};
    append_process(context, &text);
    metrics_append_text(&text);
    http_respond(request, 200, "text/plain; version=0.0.4; charset=utf-8", text.data, text.length);
}

/* ---- /healthz ------------------------------------------------------------------------------ */

static status_t health_of(admin_t *admin)
{
    switch (admin->phase) {
    case ADMIN_STARTING:
        return fail(STATUS_UNAVAILABLE, "starting");
    case ADMIN_DRAINING:
        return fail(STATUS_UNAVAILABLE, "draining");
    case ADMIN_READY:
        break;
    }
    return admin->service.health ? admin->service.health(admin->state) : STATUS_OK;
}

static void get_health(void *context, http_request_t *request)
{
    admin_t *admin = context;
    pthread_mutex_lock(&admin->lock);
    status_t status = health_of(admin);
    pthread_mutex_unlock(&admin->lock);
    AUTO_BUFFER body = {0};
    buffer_append_text(&body, "{\"service\":");
    buffer_append_json(&body, admin->service.name, strlen(admin->service.name));
    buffer_printf(&body, ",\"status\":\"%s\"", status_name(status));
    if (status != STATUS_OK) {
        buffer_append_text(&body, ",\"detail\":");
        buffer_append_json(&body, fail_detail(), strlen(fail_detail()));
    }
    buffer_append_text(&body, "}\n");
    http_respond(request, status == STATUS_OK ? 200 : 503, "application/json", body.data,
                 body.length);
}

/* ---- the service's own pages ---------------------------------------------------------------- */

/*
 * A page of another site can make its name point to us and read what we answer to that name; it
 * cannot do so with an address. What a service tells about others is for who asks by address.
 */
static bool is_asked_by_address(const http_request_t *request)
{
    const char *host = http_header(request, "Host");
    if (!host)
        return true; /* HTTP/1.0: no browser */
    size_t length = strcspn(host, ":");
    return host[0] == '[' || strspn(host, "0123456789.:") == strlen(host) ||
           (length == strlen("localhost") && strncasecmp(host, "localhost", length) == 0);
}

/* NULL: the path is written otherwise ("/%72efused"). */
static const service_page_t *find_page(const admin_t *admin, const char *path)
{
    for (const service_page_t *page = admin->service.pages; page->path; page++)
        if (strcmp(page->path, path) == 0)
            return page;
    return NULL;
}

static void get_page(void *context, http_request_t *request)
{
    admin_t *admin = context;
    if (!is_asked_by_address(request)) {
        http_respond_error(request, 421, "ask by address or as localhost");
        return;
    }
    const service_page_t *page = find_page(admin, http_path(request));
    if (!page) {
        http_respond_error(request, 404, "no such address");
        return;
    }
    AUTO_BUFFER body = {0};
    pthread_mutex_lock(&admin->lock);
    if (admin->state)
        page->write(admin->state, &body);
    pthread_mutex_unlock(&admin->lock);
    if (body.length)
        http_respond(request, 200, "application/json", body.data, body.length);
    else
        http_respond_error(request, 503, "starting or ending");
}

/* ---- start and stop ------------------------------------------------------------------------ */

static void fill_routes(admin_t *admin)
{
    size_t count = 0;
    admin->routes[count++] = (http_route_t){"GET", "/metrics", "", "", get_metrics};
    admin->routes[count++] = (http_route_t){"GET", "/healthz", "", "", get_health};
    for (const service_page_t *page = admin->service.pages; page && page->path; page++) {
        if (count == ADMIN_ROUTES_MAX)
            abort();
        admin->routes[count++] = (http_route_t){"GET", page->path, "", "", get_page};
    }
}

status_t admin_start(const char *address, const admin_service_t *service, admin_t **out_admin)
{
    if (!*address)
        return STATUS_OK;
    admin_t *admin = memory_allocate(sizeof *admin);
    admin->service = *service;
    admin->started = time(NULL);
    pthread_mutex_init(&admin->lock, NULL);
    fill_routes(admin);
    const http_server_options_t options = {.address = address,
                                           .threads = ADMIN_THREADS,
                                           .routes = admin->routes,
                                           .context = admin,
                                           .read_timeout_ms = ADMIN_TIMEOUT_MS};
    status_t status = http_server_start(&options, &admin->server);
    if (status != STATUS_OK)
        admin_stop(&admin);
    else
        *out_admin = admin;
    return status;
}

void admin_stop(admin_t **admin)
{
    admin_t *self = *admin;
    if (!self)
        return;
    if (self->server)
        http_server_stop(&self->server);
    pthread_mutex_destroy(&self->lock);
    free(self);
    *admin = NULL;
}

void admin_set_phase(admin_t *admin, admin_phase_t phase, void *state)
{
    if (!admin)
        return;
    pthread_mutex_lock(&admin->lock);
    admin->phase = phase;
    admin->state = state;
    pthread_mutex_unlock(&admin->lock);
}

/* ---- the question -------------------------------------------------------------------------- */

static int connect_to(const char *address)
{
    const char *colon = strrchr(address, ':');
    if (!colon)
        return -1;
    bool is_bracketed = address[0] == '[' && colon > address + 1 && colon[-1] == ']';
    AUTO_FREE char *host = is_bracketed
                               ? memory_copy_text_n(address + 1, (size_t)(colon - address) - 2)
                               : memory_copy_text_n(address, (size_t)(colon - address));
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    if (getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found))
        return -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = {.tv_sec = HEALTH_TIMEOUT_S};
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, found->ai_addr, found->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

status_t admin_ask_health(const char *address)
{
    static const char question[] =
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    AUTO_CLOSE int fd = connect_to(address);
    if (fd < 0)
        return fail(STATUS_UNAVAILABLE, "nobody answers at %s", address);
    char answer[1024] = {0};
    size_t length = 0;
    ssize_t got = send(fd, question, sizeof question - 1, MSG_NOSIGNAL);
    while (got > 0 && length < sizeof answer - 1) {
        got = recv(fd, answer + length, sizeof answer - 1 - length, 0);
        length += got > 0 ? (size_t)got : 0;
    }
    if (strncmp(answer, "HTTP/1.1 200", 12) == 0)
        return STATUS_OK;
    const char *body = strstr(answer, "\r\n\r\n");
    return fail(STATUS_UNAVAILABLE, "%s: %s", address, body ? body + 4 : "no answer in time");
}
