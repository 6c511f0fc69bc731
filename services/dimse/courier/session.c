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

static metric_t active = METRIC_GAUGE("zpacs_associations_active", "Associations right now.");
static metric_t died =
    METRIC_COUNTER("zpacs_associations_died_total", "Association processes that were killed.");

void session_register_metrics(void)
{
    metric_register(&active);
    metric_register(&died);
    session_register_words();
    refusal_register();
}

bool session_tell(const session_t *session, channel_kind_t kind)
{
    channel_message_t message = session->self;
    message.kind = kind;
    return channel_send(session->channel, &message, NULL, 0, false) == STATUS_OK;
}

/* ---- its beginning ----------------------------------------------------------------------------- */

/* The lease tells of whoever has it. */
static void own_lease(session_t *session)
{
    session->lease.association = session->self.association.text;
    session->lease.peer = session->peer;
}

session_t *session_create(const channel_message_t *start, int socket)
{
    session_t *session = memory_allocate(sizeof *session);
    session->self = *start;
    session->socket = socket;
    session->channel = -1;
    session->nth = 1;
    session->has_place = true;
    session->began_ms = clock_monotonic_ms();
    address_format(&start->address, session->peer);
    own_lease(session);
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
    spare_t spare = {.channel = -1};
    status_t status = spares_start(parts->spares, &start, fds, count, &spare);
    if (status != STATUS_OK)
        snprintf(session->end, sizeof session->end, "no process: %s", fail_detail());
    session->channel = spare.channel;
    session->child = spare.number;
    close_socket(session); /* the child has its own */
    return status;
}

status_t session_follow(session_t *session, session_t *resting)
{
    channel_message_t start = session->self;
    start.kind = CHANNEL_START;
    TRY(channel_send(resting->channel, &start, &session->socket, 1, false));
    close_socket(session);
    session->channel = resting->channel;
    session->child = resting->child;
    session->nth = resting->nth + 1;
    session->lease = resting->lease;
    own_lease(session);
    resting->channel = -1;
    resting->lease.writer = NULL;
    return STATUS_OK;
}

void session_dismiss(session_t *session)
{
    if (session->state == SESSION_RESTS)
        session_tell(session, CHANNEL_STOP);
    session->state = SESSION_LEAVES;
}

/* ---- its end ----------------------------------------------------------------------------------- */

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

void session_note_over(session_t *session, const session_parts_t *parts, bool is_stopping)
{
    if (session->is_noted)
        return;
    session->is_noted = true;
    metric_add(&active, -1);
    if (session->was_accepted)
        log_info("association.ended", LOG_TEXT("association", session->self.association.text),
                 LOG_TEXT("peer", session->peer), LOG_TEXT("calling", session->self.calling),
                 LOG_NUMBER("stored", session->stored), LOG_NUMBER("refused", session->refused),
                 LOG_NUMBER("bytes", session->bytes),
                 LOG_NUMBER("duration_ms", clock_monotonic_ms() - session->began_ms),
                 LOG_TEXT("detail", session->end));
    else if (!session->was_refused)
        note_silent(session, parts, is_stopping);
}

void session_give_place(session_t *session, const session_parts_t *parts)
{
    if (session->has_place)
        limits_give(parts->limits, &session->self.address);
    session->has_place = false;
}

void session_end(session_t **session, const session_parts_t *parts, bool is_stopping)
{
    session_t *it = *session;
    packs_take_back(parts->packs, &it->lease, CHILD_GONE);
    session_note_over(it, parts, is_stopping);
    session_give_place(it, parts);
    close_socket(it);
    if (it->channel >= 0)
        close(it->channel);
    free(it);
    *session = NULL;
}

/* Children end with 0; one that does not was killed: by its time limit, its filter, or a fault. */
void session_note_exit(uint32_t wait_status, const channel_message_t *self)
{
    int status = (int)wait_status;
    char peer[ADDRESS_TEXT_SIZE];
    address_format(&self->address, peer);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return; /* note_silent() */
    metric_add(&died, 1);
    log_error("association.died", LOG_TEXT("association", self->association.text),
              LOG_TEXT("peer", peer),
              LOG_TEXT("signal", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : ""),
              LOG_NUMBER("exit_code", WIFEXITED(status) ? WEXITSTATUS(status) : -1));
}
