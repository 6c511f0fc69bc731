#include "dimse/courier/session.h"

#include "base/clock.h"
#include "dimse/door/refusal.h"
#include "log/log.h"
#include "service/metrics.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGES_AT_ONCE = 64 };

static metric_t accepted =
    METRIC_COUNTER("zpacs_associations_accepted_total", "Associations accepted.");
static metric_t stored =
    METRIC_COUNTER("zpacs_instances_stored_total", "Instances made durable and acknowledged.");
static metric_t stored_bytes =
    METRIC_COUNTER("zpacs_instances_stored_bytes_total", "Bytes of their datasets.");
static metric_t store_refused =
    METRIC_COUNTER("zpacs_instances_refused_total", "C-STORE answered with a failure.");

void session_register_words(void)
{
    metric_t *all[] = {&accepted, &stored, &stored_bytes, &store_refused};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        metric_register(all[i]);
}

/* ---- packs ------------------------------------------------------------------------------------- */

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

/* ---- an association ---------------------------------------------------------------------------- */

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
    if (!packs_note_durable(parts->packs, &session->lease, message->offset)) {
        session->is_amiss = true;
        return;
    }
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
    session->state = SESSION_LEAVES;
    refusal_note(parts->refused, &(refusal_report_t){.why = (refusal_t)message->number,
                                                     .association = session->self.association.text,
                                                     .peer = session->peer,
                                                     .calling = message->calling,
                                                     .called = message->called,
                                                     .detail = message->text});
}

/* ---- its end ----------------------------------------------------------------------------------- */

/* One in which nothing was refused, of whose pack nothing is to be said, and whose child has served few enough. */
static bool may_rest(session_t *session, const session_parts_t *parts)
{
    return session->was_accepted && !session->is_amiss && session->refused == 0 &&
           session->nth < parts->config->associations_per_process &&
           packs_settle(parts->packs, &session->lease);
}

static void take_last_words(session_t *session, const session_parts_t *parts,
                            const channel_message_t *message)
{
    memcpy(session->end, message->text, sizeof session->end);
    session->state = SESSION_LEAVES;
    if (message->kind != CHANNEL_RESTS)
        return;
    session->state = SESSION_RESTS;
    session->rests_since_ms = clock_monotonic_ms();
    if (may_rest(session, parts))
        session_note_over(session, parts, false);
    else
        session_dismiss(session);
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
    case CHANNEL_RESTS:
        take_last_words(session, parts, message);
        break;
    default:
        session->is_amiss = true;
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
        if (session->state != SESSION_SERVES)
            session_dismiss(
                session); /* who speaks behind its last words gets no other association */
        else if (status == STATUS_OK)
            take_message(session, parts, &message);
        else
            session->is_amiss = true;
    }
    return true;
}
