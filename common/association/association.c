#include "association/association.h"

#include "association/request.h"
#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Types of PDUs.                                                                        PS3.8 9.3 */
enum {
    PDU_REQUEST = 1,
    PDU_REJECT = 3,
    PDU_DATA = 4,
    PDU_RELEASE = 5,
    PDU_RELEASE_ANSWER = 6,
    PDU_ABORT = 7
};

enum {
    PDU_HEAD = 6, /* type, 0, length (4, big endian) */
    PDV_HEAD = 6, /* length (4), context, control */
    PDV_LENGTH = 4,
    CONTROL_COMMAND = 1, /* PS3.8 E.2 */
    CONTROL_LAST = 2,
    EMPTY_PDUS_MAX = 16, /* one behind the other */
};

struct association {
    int socket;
    association_options_t options;
    buffer_t request_body;
    association_request_t request;

    /*
     * The PDU at hand, and what has been received of the head of the next one.
     *
     *     | head (6) | body (length) | ahead (up to 6) |
     */
    uint8_t *pdu;
    size_t length, ahead;
    size_t longest; /* body so far */
    size_t next;    /* PDV of the body; length: there is none left */

    int64_t waited_ms; /* for the bytes of this message, since the pace was looked at last */
    int64_t heard;     /* bytes since then */
};

/* ---- bytes ------------------------------------------------------------------------------------- */

/* Only waiting counts: what our own disk takes is not the peer's doing. */
static status_t note_pace(association_t *a, int64_t waited_ms, ssize_t count)
{
    const association_options_t *options = &a->options;
    a->waited_ms += waited_ms;
    a->heard += count;
    if (a->waited_ms < (int64_t)options->stall_timeout_s * 1000)
        return STATUS_OK;
    if (a->heard < (int64_t)options->stall_timeout_s * options->min_bytes_per_s)
        return fail(STATUS_UNAVAILABLE, "the peer sends fewer than %d bytes a second",
                    options->min_bytes_per_s);
    a->waited_ms = a->heard = 0;
    return STATUS_OK;
}

/* At least need bytes, at most room; out_got tells. */
static status_t receive(association_t *a, uint8_t *at, size_t need, size_t room, size_t *out_got)
{
    size_t got = 0;
    while (got < need) {
        int64_t since_ms = clock_monotonic_ms();
        ssize_t count = recv(a->socket, at + got, room - got, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return fail(STATUS_UNAVAILABLE, "the peer is silent within a PDU");
        if (count <= 0)
            return fail(STATUS_UNAVAILABLE, "the peer has closed the connection%s%s",
                        count ? ": " : "", count ? strerror(errno) : "");
        got += (size_t)count;
        TRY(note_pace(a, clock_monotonic_ms() - since_ms, count));
    }
    *out_got = got;
    return STATUS_OK;
}

static status_t send_all(const association_t *a, const uint8_t *bytes, size_t length)
{
    while (length) {
        ssize_t sent = send(a->socket, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return fail(STATUS_UNAVAILABLE, "the peer takes no bytes: %s", strerror(errno));
        bytes += sent;
        length -= (size_t)sent;
    }
    return STATUS_OK;
}

static size_t get32(const uint8_t *bytes)
{
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
}

static void put32(uint8_t *out, size_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* A PDU of four bytes: all but requests and data are. */
static status_t send_short(const association_t *a, uint8_t type, uint8_t second, uint8_t third,
                           uint8_t fourth)
{
    const uint8_t pdu[] = {type, 0, 0, 0, 0, 4, 0, second, third, fourth};
    return send_all(a, pdu, sizeof pdu);
}

/* ---- the request ------------------------------------------------------------------------------- */

static status_t set_up(const association_t *a)
{
    const struct timeval stall = {.tv_sec = a->options.stall_timeout_s};
    int on = 1; /* or an answer would wait for the peer's ACK of the one before */
    if (setsockopt(a->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        setsockopt(a->socket, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof stall) < 0 ||
        setsockopt(a->socket, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall) < 0)
        return fail(STATUS_UNAVAILABLE, "socket: %s", strerror(errno));
    return STATUS_OK;
}

static status_t read_request(association_t *a)
{
    uint8_t head[PDU_HEAD];
    size_t got;
    TRY(receive(a, head, sizeof head, sizeof head, &got));
    if (head[0] != PDU_REQUEST)
        return fail(STATUS_INVALID, "a PDU of type %02x where an association request should be",
                    head[0]);
    size_t length = get32(head + 2);
    if (length > ASSOCIATION_REQUEST_MAX)
        return fail(STATUS_INVALID, "an association request of %zu bytes, limit %d", length,
                    ASSOCIATION_REQUEST_MAX);
    buffer_reserve(&a->request_body, length);
    TRY(receive(a, a->request_body.data, length, length, &got));
    return request_parse(a->request_body.data, length, &a->request);
}

/* Says no to what is no request that we can read. */
static void turn_away(association_t *a, status_t why)
{
    if (why == STATUS_UNSUPPORTED) /* protocol version. PS3.8 table 9-21 */
        association_reject(a, (association_rejection_t){1, 2, 2});
    else if (why == STATUS_INVALID)
        association_abort(a);
}

status_t association_receive(int socket, const association_options_t *options,
                             association_t **out_association)
{
    association_t *a = memory_allocate(sizeof *a);
    a->socket = socket;
    a->options = *options;
    status_t status = set_up(a);
    if (status == STATUS_OK)
        status = read_request(a);
    if (status == STATUS_OK) {
        *out_association = a;
        return STATUS_OK;
    }
    turn_away(a, status);
    association_destroy(&a);
    return status == STATUS_UNSUPPORTED ? STATUS_INVALID : status;
}

void association_destroy(association_t **association)
{
    association_t *a = *association;
    if (!a)
        return;
    close(a->socket);
    if (a->request_body.data)
        explicit_bzero(a->request_body.data, a->request_body.capacity);
    if (a->pdu)
        explicit_bzero(a->pdu, PDU_HEAD + a->longest + PDU_HEAD);
    buffer_destroy(&a->request_body);
    free(a->pdu);
    free(a);
    *association = NULL;
}

const char *association_calling_ae_title(const association_t *association)
{
    return association->request.calling;
}

const char *association_called_ae_title(const association_t *association)
{
    return association->request.called;
}

const char *association_peer_implementation(const association_t *association)
{
    return association->request.implementation_class_uid;
}

bool association_is_dicom(const association_t *association)
{
    return strcmp(association->request.application_context_uid, ASSOCIATION_DICOM_APPLICATION) == 0;
}

/* ---- negotiation ------------------------------------------------------------------------------- */

size_t association_context_count(const association_t *association)
{
    return association->request.context_count;
}

status_t association_context(const association_t *association, size_t index,
                             association_context_t *out_context)
{
    if (index >= association->request.context_count)
        return fail(STATUS_NOT_FOUND, "no presentation context %zu", index);
    return request_read_context(&association->request.contexts[index], out_context);
}

static status_t answer_context(association_t *a, uint8_t id, uint8_t result, const char *uid)
{
    for (size_t i = 0; i < a->request.context_count; i++) {
        request_context_t *context = &a->request.contexts[i];
        if (context->id != id)
            continue;
        context->result = result;
        uid_copy(context->transfer_syntax_uid, uid, strlen(uid));
        return STATUS_OK;
    }
    return fail(STATUS_INVALID, "presentation context %u was not proposed", id);
}

status_t association_accept_context(association_t *association, uint8_t id,
                                    const char *transfer_syntax_uid)
{
    return answer_context(association, id, 0, transfer_syntax_uid);
}

status_t association_refuse_context(association_t *association, uint8_t id,
                                    association_refusal_t why)
{
    return answer_context(association, id, (uint8_t)why, "");
}

status_t association_acknowledge(association_t *association)
{
    association_t *a = association;
    uint32_t peer_max = a->request.max_pdu_bytes;
    if (peer_max && peer_max < ASSOCIATION_PEER_PDU_MIN)
        return fail(STATUS_INVALID, "the peer takes PDUs of %u bytes only", peer_max);
    AUTO_BUFFER answer = {0};
    request_write_answer(&a->request, &a->options, &answer);
    a->pdu = memory_allocate(PDU_HEAD + (size_t)a->options.max_pdu_bytes + PDU_HEAD);
    return send_all(a, answer.data, answer.length);
}

status_t association_reject(association_t *association, association_rejection_t rejection)
{
    return send_short(association, PDU_REJECT, rejection.result, rejection.source,
                      rejection.reason);
}

/* ---- what comes -------------------------------------------------------------------------------- */

/* The next PDU, whole, and what comes with it of the head of the one behind it. */
static status_t read_pdu(association_t *a)
{
    size_t got = 0;
    memmove(a->pdu, a->pdu + PDU_HEAD + a->length, a->ahead);
    if (a->ahead < PDU_HEAD)
        TRY(receive(a, a->pdu + a->ahead, PDU_HEAD - a->ahead, PDU_HEAD - a->ahead, &got));
    a->ahead = 0;
    a->next = a->length = get32(a->pdu + 2);
    uint8_t type = a->pdu[0];
    if (type != PDU_DATA && type != PDU_RELEASE && type != PDU_ABORT)
        return fail(STATUS_INVALID, "a PDU of type %02x", type);
    if (a->length > (size_t)a->options.max_pdu_bytes)
        return fail(STATUS_INVALID, "a PDU of %zu bytes, limit %lld", a->length,
                    (long long)a->options.max_pdu_bytes);
    a->longest = a->length > a->longest ? a->length : a->longest;
    TRY(receive(a, a->pdu + PDU_HEAD, a->length, a->length + PDU_HEAD, &got));
    a->ahead = got > a->length ? got - a->length : 0;
    return STATUS_OK;
}

static status_t next_pdv(association_t *a, association_pdv_t *out_pdv)
{
    const uint8_t *pdv = a->pdu + PDU_HEAD + a->next;
    size_t left = a->length - a->next;
    size_t length = left < PDV_HEAD ? 0 : get32(pdv);
    if (length < PDV_HEAD - PDV_LENGTH || length > left - PDV_LENGTH)
        return fail(STATUS_INVALID, "a fragment that does not fit its PDU");
    out_pdv->context_id = pdv[4];
    out_pdv->is_command = pdv[5] & CONTROL_COMMAND;
    out_pdv->is_last = pdv[5] & CONTROL_LAST;
    out_pdv->bytes = pdv + PDV_HEAD;
    out_pdv->length = length - (PDV_HEAD - PDV_LENGTH);
    a->next += PDV_LENGTH + length;
    return STATUS_OK;
}

/* Also a head of which we have a part: what is missing is on its way. */
bool association_has_pending(const association_t *association)
{
    return association->next < association->length || association->ahead > 0;
}

status_t association_read(association_t *association, association_event_t *out_event,
                          association_pdv_t *out_pdv)
{
    association_t *a = association;
    for (int empty = 0; a->next == a->length; empty++) {
        if (empty == EMPTY_PDUS_MAX)
            return fail(STATUS_INVALID, "P-DATA without a fragment");
        TRY(read_pdu(a));
        if (a->pdu[0] != PDU_DATA) {
            *out_event =
                a->pdu[0] == PDU_ABORT ? ASSOCIATION_EVENT_ABORT : ASSOCIATION_EVENT_RELEASE;
            return STATUS_OK;
        }
        a->next = 0;
    }
    TRY(next_pdv(a, out_pdv));
    *out_event = ASSOCIATION_EVENT_PDV;
    return STATUS_OK;
}

/* ---- what goes --------------------------------------------------------------------------------- */

/*
 * A P-DATA-TF with one fragment of a command set.                       PS3.8 tables 9-22 and 9-23
 *
 *     0    1    2         6          10        11        12
 *     | 04 | 00 | length  | length   | context | control | fragment …
 *     '-- PDU head -------'-- PDV head ------------------'
 */
static status_t write_fragment(const association_t *a, uint8_t context_id, const uint8_t *bytes,
                               size_t length, bool is_last)
{
    AUTO_BUFFER pdu = {0};
    uint8_t head[PDU_HEAD + PDV_HEAD] = {PDU_DATA};
    put32(head + 2, PDV_HEAD + length);
    put32(head + PDU_HEAD, PDV_HEAD - PDV_LENGTH + length);
    head[10] = context_id;
    head[11] = (uint8_t)(CONTROL_COMMAND | (is_last ? CONTROL_LAST : 0));
    buffer_append(&pdu, head, sizeof head);
    buffer_append(&pdu, bytes, length);
    return send_all(a, pdu.data, pdu.length);
}

status_t association_write_command(association_t *association, uint8_t context_id,
                                   const uint8_t *bytes, size_t length)
{
    size_t peer_max = association->request.max_pdu_bytes;
    association->waited_ms = association->heard = 0; /* answered: the next message is another one */
    size_t room = peer_max ? peer_max - PDV_HEAD : length;
    room -= room > 1 ? room % 2 : 0; /* PS3.8 annex E: fragments have an even length */
    while (length > room) {
        TRY(write_fragment(association, context_id, bytes, room, false));
        bytes += room;
        length -= room;
    }
    return write_fragment(association, context_id, bytes, length, true);
}

status_t association_confirm_release(association_t *association)
{
    return send_short(association, PDU_RELEASE_ANSWER, 0, 0, 0);
}

status_t association_abort(association_t *association)
{
    return send_short(association, PDU_ABORT, 0, 0, 0);
}
