#include "http/http.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "http/pace.h"
#include "http/request.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    KEEP_ALIVE_MS = 75 * 1000, /* longer than nginx keeps its side (60 s), or requests meet a closed
                                  connection */
    CONNECTION_QUEUE = 128,
    LISTEN_BACKLOG = 511,
    MESSAGE_MAX = 200,
    THREADS_MAX = 1024,
    LINGER_MS = 5 * 1000,
    CLOSE_MS = 1000,
};

struct http_server {
    http_server_options_t options;
    struct mg_context *civetweb;
    int port;
    _Atomic int under_way;
    _Atomic bool draining, stopping;
    _Atomic pid_t acceptor; /* CivetWeb's thread that waits for connections */
};

/* The last thing CivetWeb said in this thread: why a start failed. */
static _Thread_local char last_message[MESSAGE_MAX];

/* The connection of this thread ends, within CLOSE_MS. */
static _Thread_local bool is_closing;

/* ---- what a request says ------------------------------------------------------------------- */

const char *http_method(const http_request_t *request)
{
    return request->info->request_method;
}

const char *http_path(const http_request_t *request)
{
    return request->path;
}

const char *http_query(const http_request_t *request)
{
    return request->info->query_string ? request->info->query_string : "";
}

const char *http_header(const http_request_t *request, const char *name)
{
    const struct mg_request_info *info = request->info;
    for (int i = 0; i < info->num_headers; i++)
        if (text_equal_ignore_case(info->http_headers[i].name, name))
            return info->http_headers[i].value;
    return NULL;
}

static int header_count(const http_request_t *request, const char *name)
{
    int count = 0;
    for (int i = 0; i < request->info->num_headers; i++)
        count += text_equal_ignore_case(request->info->http_headers[i].name, name);
    return count;
}

const char *http_path_parameter(const http_request_t *request, const char *name)
{
    for (size_t i = 0; i < request->match.count; i++) {
        const http_parameter_t *parameter = &request->match.parameters[i];
        if (strlen(name) == parameter->name_length &&
            memcmp(name, parameter->name, parameter->name_length) == 0)
            return parameter->value;
    }
    return NULL;
}

const char *http_peer(const http_request_t *request)
{
    const char *forwarded = http_header(request, "X-Forwarded-For");
    if (!forwarded)
        return request->info->remote_addr;
    const char *comma = strrchr(forwarded, ',');
    const char *hop = comma ? comma + 1 : forwarded;
    hop += strspn(hop, " \t");
    return strspn(hop, "0123456789abcdefABCDEF.:") == strlen(hop) && *hop && strlen(hop) < 48
               ? hop
               : request->info->remote_addr;
}

int64_t http_content_length(const http_request_t *request)
{
    return request->length;
}

/* mg_read(), within so long; < 0 on a broken connection, also when it took longer. 0: any time. */
static int read_within(const http_request_t *request, void *out_bytes, size_t size, int limit_ms)
{
    if (limit_ms == 0)
        return mg_read(request->connection, out_bytes, size);
    if (pace_begin(limit_ms) != STATUS_OK)
        return -1;
    int got = mg_read(request->connection, out_bytes, size);
    return pace_end() ? -1 : got;
}

static ssize_t read_body(http_request_t *request, void *out_bytes, size_t size, int limit_ms)
{
    if (!request->has_body || request->body_over)
        return 0;
    if (request->is_cut)
        return -1;
    if (request->expects_continue) { /* RFC 9110 10.1.1; CivetWeb leaves it to us */
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        request->expects_continue = false;
        if (mg_write(request->connection, go_on, sizeof go_on - 1) != (int)sizeof go_on - 1)
            return -1;
    }
    int got = read_within(request, out_bytes, size, limit_ms);
    if (got > 0)
        request->read_bytes += (uint64_t)got;
    if (!request->chunked && request->read_bytes == (uint64_t)request->length)
        request->body_over = true;
    if (got == 0 && request->chunked)
        request->body_over = true;
    if (got <= 0 && !request->body_over) {
        request->close = request->is_cut = true;
        return -1;
    }
    return got;
}

ssize_t http_read(http_request_t *request, void *out_bytes, size_t size)
{
    const http_server_t *server = request->info->user_data;
    size_t most =
        server->options.pace_bytes ? (size_t)server->options.pace_bytes : HTTP_DISCARD_MAX;
    return read_body(request, out_bytes, size < most ? size : most, server->options.pace_ms);
}

/* ---- what we refuse before any handler ----------------------------------------------------- */

/* Sets *out_status to an HTTP status when the framing of the body is not to be trusted; what two
 * parsers may read differently is refused (RFC 9112 6.1, 6.3). */
static status_t check_body(http_request_t *request, int *out_status)
{
    const char *length = http_header(request, "Content-Length");
    const char *encoding = http_header(request, "Transfer-Encoding");
    *out_status = 400;
    if (header_count(request, "Content-Length") > 1 ||
        header_count(request, "Transfer-Encoding") > 1)
        return fail(STATUS_INVALID, "Content-Length or Transfer-Encoding stands twice");
    if (length && encoding)
        return fail(STATUS_INVALID, "both Content-Length and Transfer-Encoding");
    if (encoding) {
        if (!text_equal_ignore_case(encoding, "chunked"))
            return fail(STATUS_INVALID, "unknown Transfer-Encoding");
        request->has_body = request->chunked = true;
    }
    if (length) {
        uint64_t value = 0;
        if (!text_to_uint64(length, &value))
            return fail(STATUS_INVALID, "Content-Length is not a number");
        if (value > INT64_MAX) {
            *out_status = 413;
            return fail(STATUS_TOO_LARGE, "Content-Length is over every limit");
        }
        request->has_body = value > 0;
        request->length = (int64_t)value;
    }
    const char *coding = http_header(request, "Content-Encoding");
    if (coding && !text_equal_ignore_case(coding, "identity")) {
        *out_status = 415;
        return fail(STATUS_UNSUPPORTED, "Content-Encoding is not taken on requests");
    }
    const char *expect = http_header(request, "Expect");
    request->expects_continue =
        request->has_body && expect && text_equal_ignore_case(expect, "100-continue");
    return STATUS_OK;
}

/* Will CivetWeb keep the connection? It looks at the same two facts. */
static bool wants_close(const http_request_t *request)
{
    const char *version = request->info->http_version;
    const char *connection = http_header(request, "Connection");
    return !version || strcmp(version, "1.1") != 0 ||
           (connection && !text_equal_ignore_case(connection, "keep-alive"));
}

/* Of two, one reader takes the first and the next one the last: who asks, for whom, from where. */
static const char *const single_headers[] = {"Host", "Origin", "Sec-Fetch-Site", "X-Zpacs-Gate"};

static status_t check_single_headers(const http_request_t *request)
{
    for (size_t i = 0; i < sizeof single_headers / sizeof *single_headers; i++)
        if (header_count(request, single_headers[i]) > 1)
            return fail(STATUS_INVALID, "%s stands twice", single_headers[i]);
    return STATUS_OK;
}

static status_t check_request(http_request_t *request, int *out_status)
{
    status_t status = check_body(request, out_status);
    if (status != STATUS_OK) {
        request->close = true; /* where the next request starts is anybody's guess */
        return status;
    }
    *out_status = 400;
    TRY(check_single_headers(request));
    if (!request->path)
        return fail(STATUS_INVALID, "not a path of this server");
    if (strlen(http_query(request)) + strlen(request->path) > HTTP_URI_MAX) {
        *out_status = 414;
        return fail(STATUS_TOO_LARGE, "the URI has over %d bytes", HTTP_URI_MAX);
    }
    return http_path_split(request->path, &request->segments);
}

static void dispatch(const http_server_t *server, http_request_t *request)
{
    const http_server_options_t *options = &server->options;
    int code = 400;
    if (check_request(request, &code) != STATUS_OK) {
        http_respond_error(request, code, fail_detail());
        return;
    }
    if (options->admit && !options->admit(options->context, request))
        return;
    if (server->draining) { /* what is under way would not end as long as more may come */
        http_fail(request, fail(STATUS_UNAVAILABLE, "stopping; try again"));
        return;
    }
    http_route_find(options->routes, http_method(request), &request->segments, &request->match);
    if (request->match.route) {
        request->match.route->handler(options->context, request);
    } else if (request->match.allow[0]) {
        http_add_header(request, "Allow", "%s", request->match.allow);
        http_respond_error(request, 405, "this address does not have this method");
    } else {
        http_respond_error(request, 404, "no such address");
    }
}

/* ---- CivetWeb's callbacks ------------------------------------------------------------------- */

static void *begin_thread(const struct mg_context *civetweb, int kind)
{
    enum { ACCEPTOR = 0, WORKER = 1 };
    if (kind == ACCEPTOR)
        ((http_server_t *)mg_get_user_data(civetweb))->acceptor = gettid();
    return kind == WORKER ? memory_allocate(HTTP_OUTPUT_SIZE) : NULL;
}

static void end_thread(const struct mg_context *civetweb, int kind, void *output)
{
    (void)civetweb;
    (void)kind;
    pace_close();
    free(output);
}

/*
 * The peer is still sending what the handler did not read: closing now would reset the connection
 * and take the answer with it (nginx then says 502), so it is read over for a while.  RFC 9112 9.6
 * True when the connection can go on behind it.
 */
static bool linger(http_request_t *request)
{
    int64_t end_ms = clock_monotonic_ms() + LINGER_MS, left_ms;
    if (request->broken || request->expects_continue)
        return false;
    while ((left_ms = end_ms - clock_monotonic_ms()) > 0) {
        ssize_t got = read_body(request, request->output, HTTP_OUTPUT_SIZE, (int)left_ms);
        if (got <= 0)
            return got == 0 && !request->close;
    }
    return false;
}

static int begin_request(struct mg_connection *connection)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    http_server_t *server = info->user_data;
    int64_t started_us = clock_wall_us();
    server->under_way++;
    http_request_t *request = memory_allocate(sizeof *request);
    request->connection = connection;
    request->stopping = &server->stopping;
    request->silence_ms = server->options.read_timeout_ms;
    request->info = info;
    request->path = info->local_uri_raw;
    request->length = -1;
    request->is_head = strcmp(info->request_method, "HEAD") == 0;
    request->output = mg_get_thread_pointer(connection);
    request->close = wants_close(request) || server->draining;

    dispatch(server, request);
    if (!request->begun)
        http_respond_error(request, 500, "the handler gave no answer");
    else if (!request->ended)
        http_abort(request);
    if (!linger(request)) {
        mg_disable_connection_keep_alive(connection);
        is_closing = pace_begin(CLOSE_MS) == STATUS_OK; /* CivetWeb reads on as well */
    }

    int status = request->status;
    if (server->options.finished)
        server->options.finished(server->options.context, request, request->match.route, status,
                                 request->sent_bytes, clock_wall_us() - started_us);
    buffer_destroy(&request->headers);
    free(request);
    server->under_way--;
    return status;
}

static void end_connection(const struct mg_connection *connection)
{
    (void)connection;
    if (is_closing)
        pace_end();
    is_closing = false;
}

/* Answers what CivetWeb refuses before there is a request: its words, our form. */
static int answer_error(struct mg_connection *connection, int status, const char *message)
{
    static const struct {
        int from, to;
        const char *detail;
    } rows[] = {
        {411, 400, "Content-Length is not a number"},
        {413, 431, "request line and headers are over the limit"},
        {408, 408, "the request did not come in time"},
        {503, 503, "too many connections"},
    };
    const char *detail = "not an HTTP request we understand";
    int answer = status >= 400 && status < 600 ? status : 400;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].from == status) {
            answer = rows[i].to;
            detail = rows[i].detail;
        }
    (void)message;
    const struct mg_request_info *info = mg_get_request_info(connection);
    http_request_t *request = memory_allocate(sizeof *request);
    request->connection = connection;
    request->info = info;
    request->length = -1;
    request->close = true;
    request->output = memory_allocate(HTTP_OUTPUT_SIZE); /* not every caller is a worker */
    http_respond_error(request, answer, detail);
    buffer_destroy(&request->headers);
    free(request->output);
    free(request);
    return 0;
}

static int keep_message(const struct mg_connection *connection, const char *message)
{
    (void)connection;
    snprintf(last_message, sizeof last_message, "%s", message);
    return 1;
}

/* ---- start and stop -------------------------------------------------------------------------- */

/* CivetWeb reads suffixes (443s: TLS, 80r: redirect) and lists from this text. */
static status_t check_address(const char *address)
{
    size_t length = strlen(address);
    if (length == 0 || length > 100 || strpbrk(address, ", +") || address[length - 1] < '0' ||
        address[length - 1] > '9')
        return fail(STATUS_INVALID, "'%s' is not address:port", address);
    return STATUS_OK;
}

static status_t start_civetweb(http_server_t *server)
{
    static const struct mg_callbacks callbacks = {
        .begin_request = begin_request,
        .http_error = answer_error,
        .log_message = keep_message,
        .connection_closed = end_connection,
        .init_thread = begin_thread,
        .exit_thread = end_thread,
    };
    const http_server_options_t *options = &server->options;
    char threads[16], timeout[16], keep[16], headers[16], queue[16], backlog[16];
    snprintf(threads, sizeof threads, "%d", options->threads);
    snprintf(timeout, sizeof timeout, "%d", options->read_timeout_ms);
    snprintf(keep, sizeof keep, "%d", KEEP_ALIVE_MS);
    snprintf(headers, sizeof headers, "%d", HTTP_HEADERS_MAX);
    snprintf(queue, sizeof queue, "%d", CONNECTION_QUEUE);
    snprintf(backlog, sizeof backlog, "%d", LISTEN_BACKLOG);
    const char *settings[] = {
        "listening_ports",
        options->address,
        "num_threads",
        threads,
        "request_timeout_ms",
        timeout,
        "enable_keep_alive",
        "yes",
        "keep_alive_timeout_ms",
        keep,
        "tcp_nodelay",
        "1",
        "decode_url",
        "no", /* we decode, segment by segment */
        "max_request_size",
        headers,
        "connection_queue",
        queue,
        "listen_backlog",
        backlog,
        NULL,
    };
    last_message[0] = '\0';
    server->civetweb = mg_start(&callbacks, server, settings);
    if (!server->civetweb)
        return fail(STATUS_UNAVAILABLE, "cannot listen on %s: %s", options->address, last_message);
    struct mg_server_port port;
    server->port = mg_get_server_ports(server->civetweb, 1, &port) == 1 ? port.port : 0;
    return STATUS_OK;
}

status_t http_server_start(const http_server_options_t *options, http_server_t **out_server)
{
    TRY(check_address(options->address));
    if (options->threads < 1 || options->threads > THREADS_MAX || options->read_timeout_ms < 1)
        return fail(STATUS_INVALID, "an HTTP server needs 1 to %d threads and a timeout",
                    THREADS_MAX);
    TRY(pace_install());
    http_server_t *server = memory_allocate(sizeof *server);
    server->options = *options;
    mg_init_library(MG_FEATURES_DEFAULT);
    status_t status = start_civetweb(server);
    if (status != STATUS_OK) {
        mg_exit_library();
        free(server);
        return status;
    }
    *out_server = server;
    return STATUS_OK;
}

void http_server_drain(http_server_t *server)
{
    server->draining = true;
}

bool http_server_is_drained(const http_server_t *server)
{
    return server->under_way == 0;
}

static void *stop_civetweb(void *civetweb)
{
    mg_stop(civetweb);
    return NULL;
}

/* Its acceptor looks whether to end behind each poll(), of two seconds: it is woken until it has. */
static void end_civetweb(const http_server_t *server)
{
    enum { WAKE_EVERY_MS = 10 };
    pthread_t stopper;
    struct timespec next;
    if (pthread_create(&stopper, NULL, stop_civetweb, server->civetweb) != 0) {
        mg_stop(server->civetweb); /* in its own time */
        return;
    }
    do {
        pace_wake(server->acceptor);
        clock_gettime(CLOCK_REALTIME, &next);
        next.tv_nsec += WAKE_EVERY_MS * 1000 * 1000;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
    } while (pthread_timedjoin_np(stopper, NULL, &next) == ETIMEDOUT);
}

void http_server_stop(http_server_t **server)
{
    if (!*server)
        return;
    (*server)->stopping = true;
    end_civetweb(*server);
    mg_exit_library();
    free(*server);
    *server = NULL;
}

int http_server_port(const http_server_t *server)
{
    return server->port;
}
