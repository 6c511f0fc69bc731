#include "http/output.h"

#include "base/clock.h"
#include "http/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SEND_MAX =
        16 * 1024 * 1024, /* in one call: CivetWeb counts in int, and a stop is seen between two */
    AHEAD_MAX = 1024 * 1024, /* of a file; behind it the kernel's own readahead has begun */
    EDGE = 16 * 1024,        /* of a file's both ends: goes in one packet with what stands beside */
    UNCOPIED_MIN = 4 * EDGE, /* what a file must have for the kernel to send it by itself */
    CHUNK_MAX = 1024 * 1024 * 1024, /* its size has eight digits */
    WAIT_MS = 500                   /* between two looks whether the server stops */
};

/* ---- from memory ----------------------------------------------------------------------------- */

static void send_bytes(http_request_t *request, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0 && !request->broken) {
        size_t step = length < SEND_MAX ? length : SEND_MAX;
        int sent = mg_write(request->connection, at, step);
        if (sent < 0 || (size_t)sent != step) {
            request->broken = true;
            return;
        }
        request->sent_bytes += step;
        at += step;
        length -= step;
    }
}

static size_t gathered_in_chunk(const http_request_t *request)
{
    return request->output_length - request->chunk_start - HTTP_CHUNK_HEAD;
}

/* The size of the chunk that is being gathered, in front of it.                    RFC 9112 7.1 */
static void write_chunk_head(http_request_t *request, size_t size)
{
    uint8_t *head = request->output + request->chunk_start;
    for (int i = 7; i >= 0; i--, size >>= 4)
        head[i] = (uint8_t) "0123456789abcdef"[size & 15];
    head[8] = '\r';
    head[9] = '\n';
}

/* An empty chunk is taken back: it would end the body. */
static void close_chunk(http_request_t *request)
{
    size_t size = gathered_in_chunk(request);
    if (size == 0) {
        request->output_length = request->chunk_start;
        return;
    }
    write_chunk_head(request, size);
    request->output[request->output_length++] = '\r';
    request->output[request->output_length++] = '\n';
}

static void open_chunk(http_request_t *request)
{
    request->chunk_start = request->output_length;
    request->output_length += HTTP_CHUNK_HEAD;
}

void output_flush(http_request_t *request)
{
    if (request->chunked_answer)
        close_chunk(request);
    send_bytes(request, request->output, request->output_length);
    request->output_length = 0;
    if (request->chunked_answer)
        open_chunk(request);
}

size_t output_room(const http_request_t *request)
{
    return HTTP_OUTPUT_SIZE - HTTP_CHUNK_TAIL - request->output_length;
}

void output_put(http_request_t *request, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0 && !request->broken) {
        size_t room = output_room(request);
        if (room == 0) {
            output_flush(request);
            continue;
        }
        size_t step = length < room ? length : room;
        memcpy(request->output + request->output_length, at, step);
        request->output_length += step;
        at += step;
        length -= step;
    }
}

void output_send(http_request_t *request, const void *bytes, size_t length)
{
    output_flush(request);
    send_bytes(request, bytes, length);
}

void output_begin_chunks(http_request_t *request)
{
    if (output_room(request) <= HTTP_CHUNK_HEAD)
        output_flush(request);
    request->chunked_answer = true;
    open_chunk(request);
}

/* The last chunk goes out in one write with what is gathered. */
void output_end_chunks(http_request_t *request)
{
    static const char last_chunk[] = "0\r\n\r\n";
    if (output_room(request) < sizeof last_chunk)
        output_flush(request);
    close_chunk(request);
    request->chunked_answer = false;
    output_put(request, last_chunk, sizeof last_chunk - 1);
}

/* ---- from a file, copied --------------------------------------------------------------------- */

static status_t cannot_read(ssize_t got)
{
    return got < 0 ? fail(STATUS_UNAVAILABLE, "the stored bytes cannot be read")
                   : fail(STATUS_INTERNAL, "the stored bytes end too early");
}

static status_t put_file(http_request_t *request, int fd, uint64_t offset, uint64_t length)
{
    while (length > 0 && !request->broken) {
        if (output_room(request) == 0)
            output_flush(request);
        size_t room = output_room(request);
        size_t wanted = length < room ? (size_t)length : room;
        ssize_t got = pread(fd, request->output + request->output_length, wanted, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return cannot_read(got);
        request->output_length += (size_t)got;
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return STATUS_OK;
}

/* ---- from a file, by the kernel ---------------------------------------------------------------- */

/* The peer takes nothing now: until it does, is silent for too long, or the server stops. */
static void wait_for_peer(http_request_t *request, int socket)
{
    struct pollfd ready = {.fd = socket, .events = POLLOUT};
    int64_t end_ms = clock_monotonic_ms() + request->silence_ms;
    while (!*request->stopping && clock_monotonic_ms() < end_ms)
        if (poll(&ready, 1, WAIT_MS) > 0)
            return;
    request->broken = true;
}

/* What came of a call that sends: how many bytes have left; 0: again, or broken. */
static size_t sent_by(http_request_t *request, int socket, ssize_t sent)
{
    if (sent > 0) {
        request->sent_bytes += (uint64_t)sent;
        return (size_t)sent;
    }
    if (sent < 0 && errno == EAGAIN)
        wait_for_peer(request, socket);
    else if (sent == 0 || errno != EINTR)
        request->broken = true;
    return 0;
}

/* All that is gathered; more follows at once, and may share its packet. */
static void send_gathered(http_request_t *request, int socket)
{
    size_t done = 0;
    while (done < request->output_length && !request->broken)
        done += sent_by(request, socket,
                        send(socket, request->output + done, request->output_length - done,
                             MSG_NOSIGNAL | MSG_MORE));
    request->output_length = 0;
}

/* false: it went no further than offset. Whether the file, its file system or the connection is why,
 * shows when the rest is copied. */
static bool send_uncopied(http_request_t *request, int socket, int fd, off_t *offset, size_t length)
{
    off_t end = *offset + (off_t)length;
    while (*offset < end && !request->broken) {
        size_t left = (size_t)(end - *offset);
        ssize_t sent = sendfile(socket, fd, offset, left < SEND_MAX ? left : SEND_MAX);
        if (sent == 0 || (sent < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        sent_by(request, socket, sent);
        request->broken = request->broken || *request->stopping;
    }
    return true;
}

/* What is gathered, then length bytes of the file: in a chunked answer all of it is one chunk. */
static status_t send_file(http_request_t *request, int socket, int fd, uint64_t offset,
                          size_t length)
{
    bool chunked = request->chunked_answer;
    off_t at = (off_t)offset;
    if (chunked)
        write_chunk_head(request, gathered_in_chunk(request) + length);
    send_gathered(request, socket);
    request->chunked_answer = false; /* until this chunk is whole, nothing opens another */
    status_t status = STATUS_OK;
    if (!send_uncopied(request, socket, fd, &at, length))
        status = put_file(request, fd, (uint64_t)at, length - ((uint64_t)at - offset));
    request->chunked_answer = chunked;
    if (chunked) {
        if (output_room(request) <= 2 + HTTP_CHUNK_HEAD)
            send_gathered(request, socket);
        memcpy(request->output + request->output_length, "\r\n", 2);
        request->output_length += 2;
        open_chunk(request);
    }
    return status;
}

/* All of a frame at once: the first pread would wait for its own part only, and the next one for what
 * the kernel guesses, which is more than the frame. Of what is in memory it costs a look. */
static void read_ahead(int fd, uint64_t offset, uint64_t length)
{
    uint64_t ahead = length < AHEAD_MAX ? length : AHEAD_MAX;
    if (ahead > 0)
        (void)posix_fadvise(fd, (off_t)offset, (off_t)ahead, POSIX_FADV_WILLNEED);
}

status_t output_file(http_request_t *request, int fd, uint64_t offset, uint64_t length)
{
    read_ahead(fd, offset, length);
    int socket = length < UNCOPIED_MIN ? -1 : socket_of(request->connection);
    if (socket < 0)
        return put_file(request, fd, offset, length);
    TRY(put_file(request, fd, offset, EDGE));
    uint64_t end = offset + length - EDGE;
    for (offset += EDGE; offset < end && !request->broken;) {
        size_t step = end - offset < CHUNK_MAX ? (size_t)(end - offset) : CHUNK_MAX;
        TRY(send_file(request, socket, fd, offset, step));
        offset += step;
    }
    return put_file(request, fd, end, EDGE);
}
