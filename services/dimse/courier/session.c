#include "dimse/courier/session.h"

#include "base/clock.h"
#include "base/memory.h"
#include "dimse/door/refusal.h"
#include "log/log.h"
#include "service/metrics.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGES_AT_ONCE = 64 };

static metric_t accepted =
    METRIC_COUNTER("zpacs_associations_accepted_total", "Associations accepted.");
static metric_t active = METRIC_GAUGE("zpacs_associations_active", "Associations right now.");
static metric_t died =
    METRIC_COUNTER("zpacs_associations_died_total", "Association processes that were killed.");
static metric_t stored =
    METRIC_COUNTER("zpacs_instances_stored_total", "Instances made durable and acknowledged.");
static metric_t stored_bytes =
    METRIC_COUNTER("zpacs_instances_stored_bytes_total", "Bytes of their datasets.");
static metric_t store_refused =
    METRIC_COUNTER("zpacs_instances_refused_total", "C-STORE answered with a failure.");

void session_register_metrics(void)
{
    metric_t *all[] = {&accepted, &active, &died, &stored, &stored_bytes, &store_refused};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        metric_register(all[i]);
    refusal_register();
}

/* ---- what the child is told -------------------------------------------------------------------- */

bool session_tell(const session_t *session, channel_kind_t kind)
{
    channel_message_t message = session->self;
    message.kind = kind;
    return channel_send(session->channel, &message, NULL, 0, false) == STATUS_OK;
}

static void send_pack(const session_t *session)
{
    channel_message_t message = session->self;
    int fd = pack_writer_fd(session->lease.writer);
    message.kind = CHANNEL_PACK;
    message.end = pack_writer_end(session->lease.writer);
    channel_send(session->channel, &message, &fd, 1, false); /* if that fails, the child is gone */
}

static void give_pack(session_t *session, const session_parts_t *parts)
{
    channel_message_t reply = session->self;
    packs_take_back(parts->packs, &session->lease, CHILD_ALIVE);
    if (packs_lend_new(parts->packs, &session->lease) == STATUS_OK) {
        send_pack(session);
        return;
    }
    log_error("pack.not_available", LOG_TEXT("association", session->self.association.text),
              LOG_TEXT("detail", fail_detail()));
    reply.kind = CHANNEL_NO_PACK;
    channel_set_text(&reply, fail_detail());
    channel_send(session->channel, &reply, NULL, 0, false);
}

/* ---- what the child says ----------------------------------------------------------------------- */

static void take_accepted(session_t *session, const channel_message_t *message)
{
    memcpy(session->self.calling, message->calling, sizeof session->self.calling);
    memcpy(session->self.called, message->called, sizeof session->self.called);
    session->was_accepted = true;
    metric_add(&accepted, 1);
    log_info("association.accepted", LOG_TEXT("association", session->self.association.text),
             LOG_TEXT("peer", session->peer), LOG_TEXT("calling", session->self.calling),
             LOG_TEXT("called", session->self.called), LOG_TEXT("implementation", message->text));
}

static void take_appended(session_t *session, const session_parts_t *parts,
                          const channel_message_t *message)
{
    if (!packs_note_durable(parts->packs, &session->lease, message->offset))
        return;
    session->stored++;
    session->bytes += message->bytes;
    metric_add(&stored, 1);
    metric_add(&stored_bytes, (int64_t)message->bytes);
}

static void take_store_refused(session_t *session, const channel_message_t *message)
{
    char status[8];
    snprintf(status, sizeof status, "%04X", message->number & 0xFFFF);
    session->refused++;
    metric_add(&store_refused, 1);
    log_warning("store.refused", LOG_TEXT("association", session->self.association.text),
                LOG_TEXT("peer", session->peer), LOG_TEXT("calling", session->self.calling),
                LOG_TEXT("status", status), LOG_TEXT("detail", message->text));
}

/* An association is refused once, whatever its child says. */
static void take_refused(session_t *session, const session_parts_t *parts,
                         const channel_message_t *message)
{
    if (session->was_refused || session->was_accepted)
        return;
    session->was_refused = true;
    refusal_note(parts->refused, &(refusal_report_t){.why = (refusal_t)message->number,
                                                     .association = session->self.association.text,
                                                     .peer = session->peer,
                                                     .calling = message->calling,
                                                     .called = message->called,
                                                     .detail = message->text});
}

static void take_message(session_t *session, const session_parts_t *parts,
                         const channel_message_t *message)
{
    switch (message->kind) {
    case CHANNEL_ACCEPTED:
        take_accepted(session, message);
        break;
    case CHANNEL_REFUSED:
        take_refused(session, parts, message);
        break;
    case CHANNEL_WANT_PACK:
        give_pack(session, parts);
        break;
    case CHANNEL_PACK_RETURNED:
        packs_take_back(parts->packs, &session->lease, CHILD_ALIVE);
        break;
    case CHANNEL_APPENDED:
        take_appended(session, parts, message);
        break;
    case CHANNEL_STORE_REFUSED:
        take_store_refused(session, message);
        break;
    case CHANNEL_PACK_FAILED:
        packs_note_failed(&session->lease, message->text);
        break;
    case CHANNEL_ENDED:
        memcpy(session->end, message->text, sizeof session->end);
        break;
    default:
        break;
    }
}

bool session_serve(session_t *session, const session_parts_t *parts)
{
    for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
        channel_message_t message;
        int fds[CHANNEL_FDS_MAX];
        status_t status = channel_receive(session->channel, &message, fds, false);
        for (int k = 0; k < CHANNEL_FDS_MAX; k++)
            if (fds[k] >= 0)
                close(fds[k]); /* a child has nothing to hand to us */
        if (status == STATUS_BUSY)
            return true;
        if (status == STATUS_NOT_FOUND)
            return false;
        if (status == STATUS_OK)
            take_message(session, parts, &message);
    }
    return true;
}

/* ---- its beginning and end --------------------------------------------------------------------- */

session_t *session_create(const channel_message_t *start, int socket)
{
    session_t *session = memory_allocate(sizeof *session);
    session->self = *start;
    session->socket = socket;
    session->channel = -1;
    session->began_ms = clock_monotonic_ms();
    address_format(&start->address, session->peer);
    session->lease.association = session->self.association.text;
    session->lease.peer = session->peer;
    metric_add(&active, 1);
    snprintf(session->end, sizeof session->end, "its process ended without a word");
    return session;
}

static void close_socket(session_t *session)
{
    if (session->socket >= 0)
        close(session->socket);
    session->socket = -1;
}

status_t session_start(session_t *session, const session_parts_t *parts)
{
    channel_message_t start = session->self;
    int fds[] = {session->socket, -1};
    size_t count = 1;
    start.kind = CHANNEL_START;
    if (packs_lend_waiting(parts->packs, &session->lease) == STATUS_OK) {
        start.end = pack_writer_end(session->lease.writer);
        fds[count++] = pack_writer_fd(session->lease.writer);
    }
    status_t status = spares_start(parts->spares, &start, fds, count, &session->channel);
    if (status != STATUS_OK)
        snprintf(session->end, sizeof session->end, "no process: %s", fail_detail());
    close_socket(session); /* the child has its own */
    return status;
}

/*
 * A child that said neither yes nor no: it was ended by its time limit for the request, with all of
 * us, or by a fault; the zygote tells the last (session_note_exit()).
 */
static void note_silent(const session_t *session, const session_parts_t *parts, bool is_stopping)
{
    bool is_late =
        clock_monotonic_ms() - session->began_ms >= parts->config->request_timeout_s * 1000;
    refusal_report_t report = {.why = REFUSAL_INTERNAL,
                               .association = session->self.association.text,
                               .peer = session->peer,
                               .detail = session->end};
    if (is_stopping || is_late) {
        report.why = is_stopping ? REFUSAL_DRAINING : REFUSAL_TIMEOUT;
        report.detail = NULL;
    }
    refusal_note(parts->refused, &report);
}

void session_end(session_t **session, const session_parts_t *parts, bool is_stopping)
{
    session_t *it = *session;
    packs_take_back(parts->packs, &it->lease, CHILD_GONE);
    limits_give(parts->limits, &it->self.address);
    metric_add(&active, -1);
    if (it->was_accepted)
        log_info("association.ended", LOG_TEXT("association", it->self.association.text),
                 LOG_TEXT("peer", it->peer), LOG_TEXT("calling", it->self.calling),
                 LOG_NUMBER("stored", it->stored), LOG_NUMBER("refused", it->refused),
                 LOG_NUMBER("bytes", it->bytes),
                 LOG_NUMBER("duration_ms", clock_monotonic_ms() - it->began_ms),
                 LOG_TEXT("detail", it->end));
    else if (!it->was_refused)
        note_silent(it, parts, is_stopping);
    close_socket(it);
    if (it->channel >= 0)
        close(it->channel);
    free(it);
    *session = NULL;
}

/* Children end with 0; one that does not was killed: by its time limit, its filter, or a fault. */
void session_note_exit(const channel_message_t *exited)
{
    int wait_status = (int)exited->number;
    char peer[ADDRESS_TEXT_SIZE];
    address_format(&exited->address, peer);
    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGALRM)
        return; /* note_silent() */
    metric_add(&died, 1);
    log_error("association.died", LOG_TEXT("association", exited->association.text),
              LOG_TEXT("peer", peer),
              LOG_TEXT("signal", WIFSIGNALED(wait_status) ? strsignal(WTERMSIG(wait_status)) : ""),
              LOG_NUMBER("exit_code", WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1));
}
