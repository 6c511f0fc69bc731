#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "http/http.h"

#include <fcntl.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "client.h"

/* A real server and a client of bytes. */

enum { LARGE = 3 * 1000 * 1000 };

static http_server_t *server;
static uint8_t *large;

static void answer_hello(void *context, http_request_t *request)
{
    (void)context;
    http_respond(request, 200, "text/plain", "hello", 5);
}

/* Says back what the route and the request line gave. */
static void answer_echo(void *context, http_request_t *request)
{
    (void)context;
    AUTO_BUFFER body = {0};
    const char *names[] = {"study", "series", "rest"};
    for (size_t i = 0; i < 3; i++) {
        const char *value = http_path_parameter(request, names[i]);
        if (value)
            buffer_printf(&body, "%s=%s;", names[i], value);
    }
    buffer_printf(&body, "query=%s;peer=%s", http_query(request), http_peer(request));
    http_respond(request, 200, "text/plain", body.data, body.length);
}

static void take_body(void *context, http_request_t *request)
{
    (void)context;
    size_t total = 0;
    unsigned sum = 0;
    uint8_t bytes[5000];
    ssize_t got;
    while ((got = http_read(request, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            sum += bytes[i];
        total += (size_t)got;
    }
    if (got < 0) {
        http_respond_error(request, 400, "the body broke off");
        return;
    }
    AUTO_BUFFER body = {0};
    buffer_printf(&body, "%zu bytes, sum %u", total, sum);
    http_respond(request, 200, "text/plain", body.data, body.length);
}

static void refuse_body(void *context, http_request_t *request)
{
    (void)context;
    http_respond_error(request, 409, "unread");
}

static void stream_chunks(void *context, http_request_t *request)
{
    (void)context;
    http_begin(request, 200, "application/octet-stream", -1);
    for (size_t at = 0; at < LARGE; at += 1000)
        http_write(request, large + at, 1000);
    http_end(request);
}

static void stream_whole(void *context, http_request_t *request)
{
    (void)context;
    http_begin(request, 200, "application/octet-stream", LARGE);
    http_write(request, large, 10);
    http_write(request, large + 10, LARGE - 10);
    http_write(request, "more than was promised", 22);
    http_end(request);
}

static void send_file(void *context, http_request_t *request)
{
    int fd = *(int *)context;
    http_add_header(request, "Cache-Control", "no-store");
    http_add_header(request, "X-Injected", "a\r\nSet-Cookie: b=c");
    http_begin(request, 206, "application/octet-stream", LARGE - 7);
    http_write_file(request, fd, 7, LARGE - 7);
    http_end(request);
}

/* Headers of the answer that is taken back must not come with the error. */
static void break_off(void *context, http_request_t *request)
{
    (void)context;
    http_add_header(request, "X-Of-The-First", "yes");
    http_begin(request, 200, "application/octet-stream", 100);
    http_write(request, "only this", 9);
    http_end(request);
}

static void break_off_chunks(void *context, http_request_t *request)
{
    (void)context;
    http_begin(request, 200, "application/octet-stream", -1);
    http_write(request, "only this", 9);
    http_fail(request, (fail)(STATUS_UNAVAILABLE, "the rest is away"));
    http_abort(request); /* as handlers do whose write came back false */
}

static void break_off_late(void *context, http_request_t *request)
{
    (void)context;
    http_begin(request, 200, "application/octet-stream", LARGE);
    http_write(request, large, LARGE / 2);
    http_fail(request, (fail)(STATUS_UNAVAILABLE, "the rest is away"));
}

/* From beyond the end of the file, or, unreadable, from a directory. */
static void send_missing_file(void *context, http_request_t *request)
{
    bool is_unreadable = strcmp(http_query(request), "unreadable") == 0;
    int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    http_begin(request, 200, "application/octet-stream", LARGE);
    if (http_write_file(request, is_unreadable ? folder : *(int *)context, LARGE, LARGE))
        http_end(request);
    else
        http_abort(request);
    close(folder);
}

static void forget(void *context, http_request_t *request)
{
    (void)context;
    (void)request;
}

static void answer_status(void *context, http_request_t *request)
{
    (void)context;
    http_fail(request, (fail)(STATUS_UNAVAILABLE, "the \"index\" is away"));
}

static void answer_nothing(void *context, http_request_t *request)
{
    (void)context;
    http_respond(request, 204, NULL, NULL, 0);
}

static const http_route_t routes[] = {
    {"GET", "/hello", "view", "query", answer_hello},
    {"GET", "/studies", "view", "query", answer_echo},
    {"GET", "/studies/{study}", "view", "query", answer_echo},
    {"DELETE", "/studies/{study}", "delete", "delete", answer_nothing},
    {"GET", "/studies/{study}/series/{series}", "view", "query", answer_echo},
    {"GET", "/bulk/{study}/{rest...}", "view", "query", answer_echo},
    {"POST", "/body", "upload", "store", take_body},
    {"POST", "/refuse", "upload", "store", refuse_body},
    {"GET", "/chunks", "view", "query", stream_chunks},
    {"GET", "/whole", "view", "query", stream_whole},
    {"GET", "/file", "view", "query", send_file},
    {"GET", "/short", "view", "query", break_off},
    {"GET", "/short-chunks", "view", "query", break_off_chunks},
    {"GET", "/short-late", "view", "query", break_off_late},
    {"GET", "/missing", "view", "query", send_missing_file},
    {"GET", "/forget", "view", "query", forget},
    {"GET", "/away", "view", "query", answer_status},
    {NULL, NULL, NULL, NULL, NULL},
};

static bool admit(void *context, http_request_t *request)
{
    (void)context;
    const char *gate = http_header(request, "x-gate");
    if (!gate || strcmp(gate, "shut") != 0)
        return true;
    http_respond_error(request, 401, "the gate is shut");
    return false;
}

/* ---- the client ------------------------------------------------------------------------------ */

static const char *exchange(const char *request, buffer_t *answer)
{
    return exchange_with(server, request, answer);
}

static void answers_each_request(void **state)
{
    (void)state;
    static const struct {
        const char *name, *request;
        const char *expect[4]; /* all must be in the answer */
    } cases[] = {
        {"a whole answer",
         "GET /hello" TAIL,
         {"HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n", "\r\n\r\nhello",
          "X-Content-Type-Options: nosniff\r\n"}},
        {"private by default", "GET /hello" TAIL, {"Cache-Control: private\r\n"}},
        {"no parameter", "GET /studies?limit=5&x=%41" TAIL, {"query=limit=5&x=%41;"}},
        {"one parameter, decoded", "GET /studies/1.2%2e3" TAIL, {"study=1.2.3;"}},
        {"two parameters", "GET /studies/1/series/2" TAIL, {"study=1;series=2;"}},
        {"the rest", "GET /bulk/1/a/b%20c/d" TAIL, {"study=1;rest=a/b c/d;"}},
        {"peer from the proxy",
         "GET /studies HTTP/1.1\r\nX-Forwarded-For: 9.9.9.9, 192.0.2.7\r\n" HEAD_END "\r\n",
         {"peer=192.0.2.7"}},
        {"peer that is no address",
         "GET /studies HTTP/1.1\r\nX-Forwarded-For: <script>\r\n" HEAD_END "\r\n",
         {"peer=127.0.0.1"}},
        {"unknown path",
         "GET /nothing" TAIL,
         {"HTTP/1.1 404 ", "Content-Type: application/json\r\n",
          "{\"status\":404,\"error\":\"NOT_FOUND\",\"detail\":"}},
        {"too long a path", "GET /hello/more" TAIL, {"HTTP/1.1 404 "}},
        {"trailing slash", "GET /studies/" TAIL, {"HTTP/1.1 404 "}},
        {"wrong method",
         "PUT /studies/1 HTTP/1.1\r\nContent-Length: 0\r\n" HEAD_END "\r\n",
         {"HTTP/1.1 405 ", "Allow: GET, HEAD, DELETE\r\n"}},
        {"no content", "DELETE /studies/1" TAIL, {"HTTP/1.1 204 No Content\r\n"}},
        {"dot segment", "GET /studies/../hello" TAIL, {"HTTP/1.1 400 "}},
        {"encoded dot segment", "GET /studies/%2e%2E/hello" TAIL, {"HTTP/1.1 400 "}},
        {"empty segment", "GET //hello" TAIL, {"HTTP/1.1 400 "}},
        {"NUL", "GET /studies/1%00" TAIL, {"HTTP/1.1 400 "}},
        {"control byte", "GET /studies/1%0a" TAIL, {"HTTP/1.1 400 "}},
        {"encoded slash", "GET /studies/1%2fseries" TAIL, {"HTTP/1.1 400 "}},
        {"broken sequence", "GET /studies/1%2" TAIL, {"HTTP/1.1 400 "}},
        {"broken sequence", "GET /studies/%zz" TAIL, {"HTTP/1.1 400 "}},
        {"not UTF-8", "GET /studies/%ff" TAIL, {"HTTP/1.1 400 "}},
        {"the gate", "GET /hello HTTP/1.1\r\nX-Gate: shut\r\n" HEAD_END "\r\n", {"HTTP/1.1 401 "}},
        {"body by length",
         "POST /body HTTP/1.1\r\nContent-Length: 3\r\n" HEAD_END "\r\nabc",
         {"HTTP/1.1 200 ", "3 bytes, sum 294"}},
        {"chunked body",
         "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HEAD_END
         "\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
         {"HTTP/1.1 200 ", "3 bytes, sum 294"}},
        {"no body at all", "POST /body HTTP/1.1\r\n" HEAD_END "\r\n", {"HTTP/1.1 200 ", "0 bytes"}},
        {"body that ends early",
         "POST /body HTTP/1.1\r\nContent-Length: 4\r\n" HEAD_END "\r\nabc",
         {"HTTP/1.1 400 "}},
        {"chunked body that ends early",
         "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HEAD_END "\r\n5\r\nab",
         {"HTTP/1.1 400 "}},
        {"chunk size that is none",
         "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HEAD_END
         "\r\nzz\r\nab\r\n0\r\n\r\n",
         {"HTTP/1.1 400 "}},
        {"100-continue",
         "POST /body HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n" HEAD_END "\r\nabc",
         {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ", "3 bytes, sum 294"}},
        {"both framings",
         "POST /body HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n" HEAD_END
         "\r\n3\r\nabc\r\n0\r\n\r\n",
         {"HTTP/1.1 400 "}},
        {"two lengths",
         "POST /body HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n" HEAD_END "\r\nabcd",
         {"HTTP/1.1 400 "}},
        {"length with a sign",
         "POST /body HTTP/1.1\r\nContent-Length: +3\r\n" HEAD_END "\r\nabc",
         {"HTTP/1.1 400 "}},
        {"negative length",
         "POST /body HTTP/1.1\r\nContent-Length: -3\r\n" HEAD_END "\r\nabc",
         {"HTTP/1.1 400 "}},
        {"length that is a word",
         "POST /body HTTP/1.1\r\nContent-Length: abc\r\n" HEAD_END "\r\nabc",
         {"HTTP/1.1 400 "}},
        {"length over 63 bits",
         "POST /body HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n" HEAD_END "\r\nabc",
         {"HTTP/1.1 413 "}},
        {"length over 64 bits",
         "POST /body HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n" HEAD_END "\r\nabc",
         {"HTTP/1.1 400 "}},
        {"unknown transfer encoding",
         "POST /body HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" HEAD_END "\r\nabc",
         {"HTTP/1.1 400 "}},
        {"two names of us",
         "GET /hello HTTP/1.1\r\nHost: y\r\n" HEAD_END "\r\n",
         {"HTTP/1.1 400 ", "Host stands twice"}},
        {"two origins",
         "GET /hello HTTP/1.1\r\nOrigin: http://x\r\norigin: http://y\r\n" HEAD_END "\r\n",
         {"HTTP/1.1 400 ", "Origin stands twice"}},
        {"two secrets",
         "GET /hello HTTP/1.1\r\nX-Zpacs-Gate: a\r\nX-Zpacs-Gate: a\r\n" HEAD_END "\r\n",
         {"HTTP/1.1 400 ", "X-Zpacs-Gate stands twice"}},
        {"compressed body",
         "POST /body HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n" HEAD_END
         "\r\nabc",
         {"HTTP/1.1 415 "}},
        {"file, and a header that would inject",
         "GET /file" TAIL,
         {"HTTP/1.1 206 ", "Cache-Control: no-store\r\n"}},
        {"handler without an answer", "GET /forget" TAIL, {"HTTP/1.1 500 "}},
        {"a status",
         "GET /away" TAIL,
         {"HTTP/1.1 503 ", "Retry-After: 5\r\n", "\"error\":\"UNAVAILABLE\"",
          "\"detail\":\"the \\\"index\\\" is away\"}"}},
        {"unknown method", "BREW /hello" TAIL, {"HTTP/1.1 400 "}},
        {"not HTTP", "\x16\x03\x01\x02\x00\x01\r\n\r\n", {"HTTP/1.1 400 "}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER answer = {0};
        const char *text = exchange(cases[i].request, &answer);
        for (size_t k = 0; k < 4 && cases[i].expect[k]; k++)
            if (!strstr(text, cases[i].expect[k]))
                fail_msg("%s: no '%s' in:\n%.600s", cases[i].name, cases[i].expect[k], text);
        if (strstr(text, "Set-Cookie"))
            fail_msg("%s: a header got in", cases[i].name);
    }
}

static void sends_large_answers(void **state)
{
    (void)state;
    AUTO_BUFFER whole = {0}, file = {0}, chunks = {0}, joined = {0};
    size_t length;
    exchange("GET /whole" TAIL, &whole);
    const uint8_t *body = body_of(&whole, &length);
    assert_int_equal(length, LARGE);
    assert_memory_equal(body, large, LARGE);

    exchange("GET /file" TAIL, &file);
    body = body_of(&file, &length);
    assert_int_equal(length, LARGE - 7);
    assert_memory_equal(body, large + 7, LARGE - 7);

    exchange("GET /chunks" TAIL, &chunks);
    join_chunks(&chunks, &joined);
    assert_int_equal(joined.length, LARGE);
    assert_memory_equal(joined.data, large, LARGE);
}

/* As long as nothing has left, the client gets an error and no half answer, and keeps its connection. */
static void replaces_an_unfinished_answer(void **state)
{
    (void)state;
    static const struct {
        const char *path, *line, *detail;
    } cases[] = {
        {"/short", "HTTP/1.1 500 ", "before its first byte"},
        {"/short-chunks", "HTTP/1.1 503 ", "the rest is away"},
        {"/missing", "HTTP/1.1 500 ", "end too early"},
        {"/missing?unreadable", "HTTP/1.1 503 ", "cannot be read"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER answer = {0};
        AUTO_FREE char *request =
            memory_format("GET %s HTTP/1.1\r\nHost: x\r\n\r\nGET /hello" TAIL, cases[i].path);
        const char *text = exchange(request, &answer);
        assert_int_equal(strncmp(text, cases[i].line, strlen(cases[i].line)), 0);
        assert_non_null(strstr(text, cases[i].detail));
        assert_non_null(strstr(text, "Content-Type: application/json"));
        assert_non_null(strstr(text, "HTTP/1.1 200 "));
        assert_null(strstr(text, "X-Of-The-First"));
        assert_null(strstr(text, "only this"));
        assert_null(strstr(text, "Transfer-Encoding"));
    }
}

static void cuts_an_unfinished_answer(void **state)
{
    (void)state;
    AUTO_BUFFER answer = {0};
    const char *text = exchange("GET /short-late HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
    size_t length = 0;
    body_of(&answer, &length);
    assert_int_equal(length, LARGE / 2);
    assert_null(strstr(text, "the rest is away"));
}

static void head_is_get_without_body(void **state)
{
    (void)state;
    static const char *const paths[] = {"/hello", "/whole", "/chunks", "/nothing"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        AUTO_BUFFER answer = {0};
        AUTO_FREE char *request = memory_format("HEAD %s" TAIL, paths[i]);
        const char *text = exchange(request, &answer);
        size_t length;
        body_of(&answer, &length);
        assert_int_equal(length, 0);
        assert_non_null(strstr(text, i == 2 ? "Transfer-Encoding: chunked" : "Content-Length: "));
        assert_null(strstr(text, "Content-Length: 0\r\n"));
    }
}

/* Three requests, sent at once, on one connection: the body of the first must not be read as the
 * second, also when its handler left it unread. */
static void keeps_the_connection(void **state)
{
    (void)state;
    static const char requests[] = "POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 24\r\n\r\n"
                                   "GET /away HTTP/1.1\r\n\r\n\r\n"
                                   "GET /short-of-nothing HTTP/1.1\r\nHost: x\r\n\r\n"
                                   "GET /hello" TAIL;
    AUTO_BUFFER answer = {0};
    const char *text = exchange(requests, &answer);
    const char *first = strstr(text, "HTTP/1.1 409 ");
    const char *second = strstr(text, "HTTP/1.1 404 ");
    const char *third = strstr(text, "HTTP/1.1 200 ");
    assert_true(first && second && third && first < second && second < third);
    assert_null(strstr(text, "HTTP/1.1 503 "));
}

/* The peer sends on after the answer, as nginx does: it must still get it, not a reset. */
static void an_early_answer_arrives(void **state)
{
    (void)state;
    enum { BODY = 20 * 1000 * 1000 };
    static uint8_t body[BODY];
    static const char head[] =
        "POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n";
    AUTO_BUFFER answer = {0};
    int fd = connect_to(server);
    send_all(fd, head, sizeof head - 1);
    send_all(fd, body, sizeof body);
    read_to_end(fd, &answer);
    close(fd);
    assert_non_null(strstr(buffer_text(&answer), "HTTP/1.1 409 "));
}

static void closes_rather_than_reading_gigabytes(void **state)
{
    (void)state;
    int64_t started = clock_monotonic_ms();
    AUTO_BUFFER answer = {0};
    const char *text = exchange("POST /refuse HTTP/1.1\r\nHost: x\r\n"
                                "Content-Length: 60000000000\r\n\r\nsome",
                                &answer);
    assert_non_null(strstr(text, "HTTP/1.1 409 "));
    assert_non_null(strstr(text, "Connection: close\r\n"));
    assert_true(clock_monotonic_ms() - started < 8000);
}

/* A request under way is waited for, others are refused, and no connection outlives its answer. */
static void drains(void **state)
{
    (void)state;
    http_server_t *other = NULL;
    http_server_options_t options = {
        .address = "127.0.0.1:0", .threads = 2, .routes = routes, .read_timeout_ms = 2000};
    assert_int_equal(http_server_start(&options, &other), STATUS_OK);
    int fd = connect_to(other);
    static const char half[] = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na";
    send_all(fd, half, strlen(half));
    for (int i = 0; i < 1000 && http_server_is_drained(other); i++)
        usleep(5000);
    http_server_drain(other);
    assert_false(http_server_is_drained(other));

    static const char late[] = "GET /body HTTP/1.1\r\nHost: x\r\n\r\n";
    AUTO_BUFFER refused = {0};
    int late_fd = connect_to(other);
    send_all(late_fd, late, strlen(late));
    read_to_end(late_fd, &refused);
    assert_non_null(strstr(buffer_text(&refused), "HTTP/1.1 503 "));
    assert_non_null(strstr(buffer_text(&refused), "Retry-After: "));
    close(late_fd);

    send_all(fd, "bc", 2);
    AUTO_BUFFER answer = {0};
    read_to_end(fd, &answer); /* ends although nobody asked for it */
    assert_non_null(strstr(buffer_text(&answer), "3 bytes, sum 294"));
    for (int i = 0; i < 1000 && !http_server_is_drained(other); i++)
        usleep(5000);
    assert_true(http_server_is_drained(other));
    close(fd);
    http_server_stop(&other);
}

/* A byte comes before every timeout; of each kilobyte the last one does not come in time. */
static void ends_a_body_that_trickles(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n",
        "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n"};
    http_server_t *usual = server, *other = NULL;
    http_server_options_t options = {.address = "127.0.0.1:0",
                                     .threads = 2,
                                     .routes = routes,
                                     .read_timeout_ms = 2000,
                                     .pace_bytes = 1000,
                                     .pace_ms = 500};
    assert_int_equal(http_server_start(&options, &other), STATUS_OK);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        AUTO_BUFFER answer = {0};
        server = other;
        int fd = connect_to(server);
        server = usual;
        send_all(fd, heads[i], strlen(heads[i]));
        for (int n = 0; n < 200 && send(fd, "x", 1, MSG_NOSIGNAL) == 1; n++)
            usleep(20 * 1000); /* 2000 of them would take 40 s */
        read_to_end(fd, &answer);
        assert_non_null(strstr(buffer_text(&answer), "the body broke off"));
        close(fd);
    }
    http_server_stop(&other);
}

/* What is left unread is read over for a while only, also when it trickles. */
static void reads_over_for_a_while_only(void **state)
{
    (void)state;
    static const char head[] = "POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
    int fd = connect_to(server), sent = 0;
    send_all(fd, head, strlen(head));
    while (sent < 1000 && send(fd, "x", 1, MSG_NOSIGNAL) == 1) {
        sent++;
        usleep(20 * 1000);
    }
    assert_true(sent < 1000);
    close(fd);
}

static void refuses_what_is_too_long(void **state)
{
    (void)state;
    AUTO_BUFFER request = {0}, answer = {0};
    buffer_append_text(&request, "GET /hello?");
    for (int i = 0; i < HTTP_URI_MAX; i++)
        buffer_append_byte(&request, 'a');
    buffer_append_text(&request, TAIL);
    assert_non_null(strstr(exchange(buffer_text(&request), &answer), "HTTP/1.1 414 "));

    buffer_clear(&request);
    buffer_clear(&answer);
    buffer_append_text(&request, "GET /hello HTTP/1.1\r\nX-Long: ");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        buffer_append_byte(&request, 'a');
    buffer_append_text(&request, "\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(exchange(buffer_text(&request), &answer), "HTTP/1.1 400 "));
}

static void refuses_bad_options(void **state)
{
    (void)state;
    static const char *const addresses[] = {"", "127.0.0.1", "127.0.0.1:80s", "80,81", "+80"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        http_server_t *other = NULL;
        http_server_options_t options = {
            .address = addresses[i], .threads = 1, .routes = routes, .read_timeout_ms = 1000};
        if (i != 1) /* a bare address ends in a digit: CivetWeb says no */
            assert_int_equal(http_server_start(&options, &other), STATUS_INVALID);
        assert_null(other);
    }
    AUTO_FREE char *taken = memory_format("127.0.0.1:%d", http_server_port(server));
    http_server_t *other = NULL;
    http_server_options_t options = {
        .address = taken, .threads = 1, .routes = routes, .read_timeout_ms = 1000};
    assert_int_equal(http_server_start(&options, &other), STATUS_UNAVAILABLE);
    assert_non_null(strstr(fail_detail(), taken));
}

static int large_fd;

static int start_server(void **state)
{
    (void)state;
    large = memory_allocate(LARGE);
    unsigned random = 7;
    for (size_t i = 0; i < LARGE; i++) {
        random = random * 1103515245u + 12345u;
        large[i] = (uint8_t)(random >> 16);
    }
    char name[] = "/tmp/http-test-XXXXXX";
    large_fd = mkstemp(name);
    unlink(name);
    if (write(large_fd, large, LARGE) != LARGE)
        return -1;
    http_server_options_t options = {.address = "127.0.0.1:0",
                                     .threads = 4,
                                     .routes = routes,
                                     .context = &large_fd,
                                     .read_timeout_ms = 2000,
                                     .admit = admit};
    return http_server_start(&options, &server) == STATUS_OK ? 0 : -1;
}

static int stop_server(void **state)
{
    (void)state;
    http_server_stop(&server);
    http_server_stop(&server);
    close(large_fd);
    free(large);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_each_request),
        cmocka_unit_test(sends_large_answers),
        cmocka_unit_test(replaces_an_unfinished_answer),
        cmocka_unit_test(cuts_an_unfinished_answer),
        cmocka_unit_test(head_is_get_without_body),
        cmocka_unit_test(keeps_the_connection),
        cmocka_unit_test(an_early_answer_arrives),
        cmocka_unit_test(closes_rather_than_reading_gigabytes),
        cmocka_unit_test(drains),
        cmocka_unit_test(ends_a_body_that_trickles),
        cmocka_unit_test(reads_over_for_a_while_only),
        cmocka_unit_test(refuses_what_is_too_long),
        cmocka_unit_test(refuses_bad_options),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
