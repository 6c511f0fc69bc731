#include "base/text.h"
#include "http/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HEADER_VALUE_MAX = 4096 };

static const struct {
    int status;
    const char *reason, *name; /* RFC 9110 15; name: "error" in the JSON of an error */
} statuses[] = {
    {200, "OK", "OK"},
    {201, "Created", "OK"},
    {202, "Accepted", "OK"},
    {204, "No Content", "OK"},
    {206, "Partial Content", "OK"},
    {301, "Moved Permanently", "OK"},
    {302, "Found", "OK"},
    {303, "See Other", "OK"},
    {304, "Not Modified", "OK"},
    {400, "Bad Request", "INVALID"},
    {401, "Unauthorized", "UNAUTHENTICATED"},
    {403, "Forbidden", "DENIED"},
    {404, "Not Found", "NOT_FOUND"},
    {405, "Method Not Allowed", "METHOD_NOT_ALLOWED"},
    {406, "Not Acceptable", "NOT_ACCEPTABLE"},
    {408, "Request Timeout", "EXPIRED"},
    {409, "Conflict", "CONFLICT"},
    {410, "Gone", "NOT_FOUND"},
    {411, "Length Required", "INVALID"},
    {412, "Precondition Failed", "CONFLICT"},
    {413, "Content Too Large", "TOO_LARGE"},
    {414, "URI Too Long", "TOO_LARGE"},
    {415, "Unsupported Media Type", "UNSUPPORTED"},
    {416, "Range Not Satisfiable", "INVALID"},
    {421, "Misdirected Request", "DENIED"},
    {429, "Too Many Requests", "BUSY"},
    {431, "Request Header Fields Too Large", "TOO_LARGE"},
    {500, "Internal Server Error", "INTERNAL"},
    {501, "Not Implemented", "UNSUPPORTED"},
    {502, "Bad Gateway", "UNAVAILABLE"},
    {503, "Service Unavailable", "UNAVAILABLE"},
    {504, "Gateway Timeout", "EXPIRED"},
};

static size_t status_row(int status)
{
    size_t count = sizeof statuses / sizeof *statuses;
    for (size_t i = 0; i < count; i++)
        if (statuses[i].status == status)
            return i;
    return count;
}

static const char *status_reason(int status)
{
    size_t row = status_row(status);
    return row < sizeof statuses / sizeof *statuses ? statuses[row].reason : "Status";
}

static const char *status_error(int status)
{
    size_t row = status_row(status);
    return row < sizeof statuses / sizeof *statuses ? statuses[row].name : "INTERNAL";
}

/* ---- headers --------------------------------------------------------------------------------- */

void http_add_header(http_request_t *request, const char *name, const char *format, ...)
{
    char value[HEADER_VALUE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    if (request->begun || length < 0 || (size_t)length >= sizeof value || strpbrk(value, "\r\n"))
        return;
    if (request->headers.length + (size_t)length > HTTP_HEADERS_MAX)
        return;
    if (text_equal_ignore_case(name, "Cache-Control"))
        request->has_cache_control = true;
    if (text_equal_ignore_case(name, "X-Content-Type-Options"))
        request->has_content_options = true;
    buffer_printf(&request->headers, "%s: %s\r\n", name, value);
}

/* What a handler left unread decides whether the connection can go on: reading over a little is
 * cheaper than a new connection, reading over gigabytes is not. */
static void decide_connection(http_request_t *request, int status)
{
    bool unread = request->has_body && !request->body_over;
    if (unread && (request->chunked || request->expects_continue ||
                   (uint64_t)request->length - request->read_bytes > HTTP_DISCARD_MAX))
        request->close = true;
    if (status == 401) /* CivetWeb closes behind it */
        request->close = true;
    if (request->close)
        mg_disable_connection_keep_alive(request->connection);
}

static void append_date(buffer_t *head)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    buffer_printf(head, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[utc.tm_wday],
                  utc.tm_mday, months[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min,
                  utc.tm_sec);
}

void http_begin(http_request_t *request, int status, const char *content_type,
                int64_t content_length)
{
    if (request->begun)
        return;
    bool no_content = status == 204 || status == 304;
    request->status = status;
    request->chunked_answer = false;
    decide_connection(request, status);

    AUTO_BUFFER head = {0};
    buffer_printf(&head, "HTTP/1.1 %d %s\r\n", status, status_reason(status));
    append_date(&head);
    if (content_type)
        buffer_printf(&head, "Content-Type: %s\r\n", content_type);
    if (!request->has_content_options)
        buffer_append_text(&head, "X-Content-Type-Options: nosniff\r\n");
    if (!request->has_cache_control)
        buffer_append_text(&head, "Cache-Control: private\r\n");
    buffer_append(&head, request->headers.data, request->headers.length);
    bool chunked = !no_content && content_length < 0;
    if (chunked)
        buffer_append_text(&head, "Transfer-Encoding: chunked\r\n");
    else if (!no_content)
        buffer_printf(&head, "Content-Length: %lld\r\n", (long long)content_length);
    if (request->close)
        buffer_append_text(&head, "Connection: close\r\n");
    buffer_append_text(&head, "\r\n");

    request->begun = true;
    request->output_length = 0;
    output_put(request, head.data, head.length);
    request->promised = no_content || content_length < 0 ? 0 : (uint64_t)content_length;
    if (chunked && !request->is_head)
        output_begin_chunks(request);
}

/* ---- body ------------------------------------------------------------------------------------ */

/* How much of length may be sent: nothing for HEAD, never more than was promised. */
static uint64_t allowance(http_request_t *request, uint64_t length)
{
    if (request->is_head || request->broken)
        return 0;
    if (request->chunked_answer)
        return length;
    if (length > request->promised)
        length = request->promised;
    request->promised -= length;
    return length;
}

bool http_write(http_request_t *request, const void *bytes, size_t length)
{
    if (!request->begun || request->ended)
        return false;
    length = (size_t)allowance(request, length);
    if (length > output_room(request) && !request->chunked_answer)
        output_send(request, bytes, length);
    else
        output_put(request, bytes, length);
    return !request->broken;
}

bool http_write_file(http_request_t *request, int fd, uint64_t offset, uint64_t length)
{
    if (!request->begun || request->ended)
        return false;
    status_t status = output_file(request, fd, offset, allowance(request, length));
    if (status != STATUS_OK) {
        http_fail(request, status);
        return false;
    }
    return !request->broken;
}

void http_end(http_request_t *request)
{
    if (!request->begun || request->ended)
        return;
    if (request->promised > 0 && !request->is_head) {
        http_abort(request);
        return;
    }
    if (request->chunked_answer)
        output_end_chunks(request);
    output_flush(request);
    request->ended = true;
}

/* Forgets an answer of which no byte has left. false: it is too late for another. */
static bool take_back(http_request_t *request)
{
    if (request->ended || request->broken || request->sent_bytes > 0)
        return false;
    request->begun = request->chunked_answer = false;
    request->replaced = true;
    request->promised = 0;
    request->output_length = 0;
    request->has_cache_control = request->has_content_options = false;
    buffer_clear(&request->headers);
    return true;
}

void http_abort(http_request_t *request)
{
    if (request->replaced && request->ended)
        return;
    if (take_back(request)) {
        http_respond_error(request, 500, "the answer broke off before its first byte");
        return;
    }
    request->broken = true;
    request->ended = true;
    request->close = true;
    mg_disable_connection_keep_alive(request->connection);
}

/* ---- whole answers ------------------------------------------------------------------------- */

void http_respond(http_request_t *request, int status, const char *content_type, const void *body,
                  size_t length)
{
    if (request->begun && !take_back(request)) {
        http_abort(request);
        return;
    }
    http_begin(request, status, content_type, (int64_t)length);
    http_write(request, body, length);
    http_end(request);
}

static void respond_error(http_request_t *request, int status, const char *name, const char *detail)
{
    AUTO_BUFFER body = {0};
    buffer_printf(&body, "{\"status\":%d,\"error\":\"%s\",\"detail\":", status, name);
    buffer_append_json(&body, detail, strlen(detail));
    buffer_append_text(&body, "}\n");
    http_respond(request, status, "application/json", body.data, body.length);
}

void http_respond_error(http_request_t *request, int status, const char *detail)
{
    respond_error(request, status, status_error(status), detail);
}

void http_fail(http_request_t *request, status_t status)
{
    if (request->begun)
        take_back(request);
    if (status == STATUS_BUSY || status == STATUS_UNAVAILABLE)
        http_add_header(request, "Retry-After", "%d", 5);
    respond_error(request, status_to_http(status), status_name(status), fail_detail());
}
