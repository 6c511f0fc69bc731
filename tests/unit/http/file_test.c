/* Bytes of files in answers: copied or sent by the kernel, whole or in chunks, to all kinds of peers. */
#include "base/buffer.h"
#include "base/memory.h"
#include "http/http.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "client.h"

enum { SIZE = 3 * 1000 * 1000, OFTEN = 16 };

static http_server_t *server;
static uint8_t *bytes;
static int file;

/* ---- what is served ------------------------------------------------------------------------ */

/* "?2-7-65536-1": of that file 65536 bytes at 7, in chunks. Twice, with something between. */
typedef struct {
    int fd;
    size_t offset, length;
    bool is_chunked;
} piece_t;

static piece_t piece_of(const http_request_t *request)
{
    piece_t piece = {.fd = -1};
    int is_chunked = 0;
    if (sscanf(http_query(request), "%d-%zu-%zu-%d", &piece.fd, &piece.offset, &piece.length,
               &is_chunked) != 4)
        piece.fd = -1; /* cannot be read */
    piece.is_chunked = is_chunked;
    return piece;
}

static void send_twice(void *context, http_request_t *request)
{
    (void)context;
    piece_t piece = piece_of(request);
    http_begin(request, 200, "application/octet-stream",
               piece.is_chunked ? -1 : (int64_t)(2 * piece.length + 3));
    bool sent = http_write(request, "<", 1) &&
                http_write_file(request, piece.fd, piece.offset, piece.length) &&
                http_write(request, "|", 1) &&
                http_write_file(request, piece.fd, piece.offset, piece.length) &&
                http_write(request, ">", 1);
    if (sent)
        http_end(request);
    else
        http_abort(request);
}

/* More than sockets hold. */
static void send_often(void *context, http_request_t *request)
{
    (void)context;
    http_begin(request, 200, "application/octet-stream", (int64_t)OFTEN * SIZE);
    for (int i = 0; i < OFTEN; i++)
        if (!http_write_file(request, file, 0, SIZE))
            break;
    http_end(request);
}

static const http_route_t routes[] = {{"GET", "/twice", "view", "query", send_twice},
                                      {"GET", "/often", "view", "query", send_often},
                                      {NULL, NULL, NULL, NULL, NULL}};

static http_server_t *start(const char *address, int silence_ms)
{
    http_server_t *started = NULL;
    http_server_options_t options = {
        .address = address, .threads = 4, .routes = routes, .read_timeout_ms = silence_ms};
    assert_int_equal(http_server_start(&options, &started), STATUS_OK);
    return started;
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void check_twice(const char *name, const uint8_t *body, size_t body_length,
                        const uint8_t *expected, size_t length)
{
    bool same = body_length == 2 * length + 3 && body[0] == '<' &&
                memcmp(body + 1, expected, length) == 0 && body[length + 1] == '|' &&
                memcmp(body + length + 2, expected, length) == 0 && body[2 * length + 2] == '>';
    if (!same)
        fail_msg("%s: %zu bytes, wanted twice %zu", name, body_length, length);
}

static void ask_twice(const char *name, int fd, size_t offset, const uint8_t *expected,
                      size_t length)
{
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        AUTO_BUFFER answer = {0}, joined = {0};
        AUTO_FREE char *request =
            memory_format("GET /twice?%d-%zu-%zu-%d" TAIL, fd, offset, length, is_chunked);
        exchange_with(server, request, &answer);
        size_t body_length = 0;
        const uint8_t *body = body_of(&answer, &body_length);
        if (is_chunked) {
            join_chunks(&answer, &joined);
            body = joined.data;
            body_length = joined.length;
        }
        check_twice(name, body, body_length, expected, length);
    }
}

static void sends_pieces_of_all_sizes(void **state)
{
    static const size_t lengths[] = {1,     16384,  16385,  32768,  65535,  65536,       65537,
                                     81920, 262134, 262142, 262144, 300000, 1024 * 1024, SIZE - 7};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        AUTO_FREE char *name = memory_format("%zu bytes", lengths[i]);
        ask_twice(name, file, 7, bytes + 7, lengths[i]);
    }
}

/* Our own memory: sendfile() refuses it. */
static void sends_a_file_that_can_be_read_only(void **state)
{
    (void)state;
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ask_twice("memory", fd, (size_t)(bytes + 7), bytes + 7, SIZE - 7);
    close(fd);
}

/* Part of it has left: the connection ends before what was promised has come. */
static void cuts_the_answer_where_the_file_ends(void **state)
{
    (void)state;
    static const size_t missing[] = {1, 20000, 100 * 1000};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        enum { LENGTH = 500 * 1000 };
        AUTO_BUFFER answer = {0};
        AUTO_FREE char *request =
            memory_format("GET /twice?%d-%zu-%d-0" TAIL, file, SIZE - LENGTH + missing[i], LENGTH);
        const char *text = exchange_with(server, request, &answer);
        size_t length = 0;
        const uint8_t *body = body_of(&answer, &length);
        assert_non_null(strstr(text, "HTTP/1.1 200 "));
        assert_in_range(length, 1, LENGTH - missing[i] + 1);
        assert_memory_equal(body + 1, bytes + SIZE - LENGTH + missing[i], length - 1);
    }
}

/* ---- peers ------------------------------------------------------------------------------------ */

static void reads_as_it_pleases(void **state)
{
    (void)state;
    static const char request[] = "GET /often" TAIL;
    int fd = connect_to(server), small = 128 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    send_all(fd, request, strlen(request));
    AUTO_BUFFER answer = {0};
    read_to_end(fd, &answer);
    close(fd);
    size_t length = 0;
    const uint8_t *body = body_of(&answer, &length);
    assert_int_equal(length, OFTEN * SIZE);
    for (size_t i = 0; i < OFTEN; i++)
        assert_memory_equal(body + i * SIZE, bytes, SIZE);
}

static void ask_and_be_silent(const http_server_t *other, int *out_fd)
{
    static const char request[] = "GET /often HTTP/1.1\r\nHost: x\r\n\r\n";
    char byte;
    *out_fd = connect_to(other);
    send_all(*out_fd, request, strlen(request));
    assert_int_equal(recv(*out_fd, &byte, 1, 0), 1); /* the answer has begun */
}

static void gives_up_a_silent_peer(void **state)
{
    (void)state;
    int fd;
    http_server_t *other = start("127.0.0.1:0", 300);
    ask_and_be_silent(other, &fd);
    for (int i = 0; i < 2000 && !http_server_is_drained(other); i++)
        usleep(5000);
    assert_true(http_server_is_drained(other));
    close(fd);
    http_server_stop(&other);
}

static void stops_while_a_peer_is_silent(void **state)
{
    (void)state;
    int fd;
    http_server_t *other = start("127.0.0.1:0", 3600 * 1000);
    ask_and_be_silent(other, &fd);
    http_server_stop(&other);
    close(fd);
}

/* Bytes of one must never come to the other. */
static void everybody_gets_his_own(void **state)
{
    enum { PEERS = 4, ROUNDS = 20, LENGTH = 100 * 1000, STEP = 1000 };
    (void)state;
    for (size_t round = 0; round < ROUNDS; round++) {
        int fds[PEERS];
        for (size_t i = 0; i < PEERS; i++)
            fds[i] = connect_to(server);
        for (size_t i = 0; i < PEERS; i++) {
            AUTO_FREE char *request = memory_format("GET /twice?%d-%zu-%d-0" TAIL, file,
                                                    (round * PEERS + i) * STEP, LENGTH);
            send_all(fds[i], request, strlen(request));
        }
        for (size_t i = 0; i < PEERS; i++) {
            AUTO_BUFFER answer = {0};
            size_t length = 0;
            read_to_end(fds[i], &answer);
            close(fds[i]);
            const uint8_t *body = body_of(&answer, &length);
            check_twice("of many", body, length, bytes + (round * PEERS + i) * STEP, LENGTH);
        }
    }
}

/* From one port to two of our addresses: by what CivetWeb tells of them they are the same. */
static void two_connections_that_look_alike(void **state)
{
    enum { LENGTH = 100 * 1000, STEP = 1000, BOTH = 2 };
    (void)state;
    http_server_t *other = start("0.0.0.0:0", 2000);
    struct sockaddr_in own = {.sin_family = AF_INET};
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fds[BOTH], yes = 1;
    for (size_t i = 0; i < BOTH; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)http_server_port(other))};
        socklen_t size = sizeof own;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (in_addr_t)i);
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fds[i], SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        assert_int_equal(bind(fds[i], (struct sockaddr *)&own, sizeof own), 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&to, sizeof to), 0);
        getsockname(fds[i], (struct sockaddr *)&own, &size);
    }
    for (size_t i = 0; i < BOTH; i++) {
        AUTO_FREE char *request =
            memory_format("GET /twice?%d-%zu-%d-0" TAIL, file, i * STEP, LENGTH);
        send_all(fds[i], request, strlen(request));
    }
    for (size_t i = 0; i < BOTH; i++) {
        AUTO_BUFFER answer = {0};
        size_t length = 0;
        read_to_end(fds[i], &answer);
        close(fds[i]);
        const uint8_t *body = body_of(&answer, &length);
        check_twice("of two alike", body, length, bytes + i * STEP, LENGTH);
    }
    http_server_stop(&other);
}

static int set_up(void **state)
{
    (void)state;
    char name[] = "/tmp/http-file-XXXXXX";
    unsigned random = 7;
    bytes = memory_allocate(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        random = random * 1103515245u + 12345u;
        bytes[i] = (uint8_t)(random >> 16);
    }
    file = mkstemp(name);
    unlink(name);
    if (write(file, bytes, SIZE) != SIZE)
        return -1;
    server = start("127.0.0.1:0", 10 * 1000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_server_stop(&server);
    close(file);
    free(bytes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_pieces_of_all_sizes),
        cmocka_unit_test(sends_a_file_that_can_be_read_only),
        cmocka_unit_test(cuts_the_answer_where_the_file_ends),
        cmocka_unit_test(reads_as_it_pleases),
        cmocka_unit_test(gives_up_a_silent_peer),
        cmocka_unit_test(stops_while_a_peer_is_silent),
        cmocka_unit_test(everybody_gets_his_own),
        cmocka_unit_test(two_connections_that_look_alike),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
