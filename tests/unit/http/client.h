#ifndef ZPACS_TESTS_HTTP_CLIENT_H
#define ZPACS_TESTS_HTTP_CLIENT_H

/* A client that writes bytes into a socket: nothing between that repairs them. Include it behind cmocka.h,
 * and that behind base/status.h: both have a fail. */
#include "base/buffer.h"
#include "http/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TAIL     " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define HEAD_END "Host: x\r\nConnection: close\r\n"

static inline int connect_to(const http_server_t *server)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)http_server_port(server))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct timeval limit = {10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static inline void send_all(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += sent;
        length -= (size_t)sent;
    }
}

static inline void read_to_end(int fd, buffer_t *out)
{
    for (;;) {
        buffer_reserve(out, 65536);
        ssize_t got = recv(fd, out->data + out->length, 65536, 0);
        if (got <= 0)
            return;
        out->length += (size_t)got;
    }
}

/* One request on a connection of its own, and all that comes back. */
static inline const char *exchange_with(const http_server_t *server, const char *request,
                                        buffer_t *answer)
{
    int fd = connect_to(server);
    send_all(fd, request, strlen(request));
    shutdown(fd, SHUT_WR);
    read_to_end(fd, answer);
    close(fd);
    return buffer_text(answer);
}

static inline const uint8_t *body_of(buffer_t *answer, size_t *out_length)
{
    const char *end = strstr(buffer_text(answer), "\r\n\r\n");
    assert_non_null(end);
    const uint8_t *body = (const uint8_t *)end + 4;
    *out_length = answer->length - (size_t)(body - answer->data);
    return body;
}

/* The chunks of a body, each with its right length and line ends, and nothing behind the last. */
static inline void join_chunks(buffer_t *answer, buffer_t *out_body)
{
    size_t length;
    const uint8_t *body = body_of(answer, &length);
    assert_non_null(strstr(buffer_text(answer), "Transfer-Encoding: chunked\r\n"));
    for (;;) {
        char *rest;
        unsigned long size = strtoul((const char *)body, &rest, 16);
        assert_memory_equal(rest, "\r\n", 2);
        body = (const uint8_t *)rest + 2;
        if (size == 0)
            break;
        assert_true(size <= (size_t)(answer->data + answer->length - body));
        buffer_append(out_body, body, size);
        body += size;
        assert_memory_equal(body, "\r\n", 2);
        body += 2;
    }
    assert_memory_equal(body, "\r\n", 2);
    assert_ptr_equal(body + 2, answer->data + answer->length);
}

#endif
