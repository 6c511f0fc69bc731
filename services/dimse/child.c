#include "dimse/child.h"

#include "base/memory.h"
#include "dicom/file.h"
#include "dimse/operations.h"
#include "dimse/refusal.h"
#include "dimse/sandbox.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DRAIN_PAUSE_MS = 2000,     /* an association that pauses as long while draining is over */
    PACK_REPLY_MS = 30 * 1000, /* the courier's answer: some syncs away */
    EXIT_SANDBOX = 70
};

void child_tell(child_t *child, channel_kind_t kind, uint32_t number, const char *text)
{
    channel_message_t message = child->self;
    message.kind = kind;
    message.number = number;
    channel_set_text(&message, text);
    /* What does not fit is lost; the courier reads the pack itself when this process ends. */
    channel_send(child->channel, &message, NULL, 0, false);
}

void child_announce(child_t *child, uint64_t bytes, bool wait)
{
    channel_message_t message = child->self;
    message.kind = CHANNEL_APPENDED;
    message.offset = pack_writer_durable_offset(child->writer);
    message.bytes = child->unannounced_bytes + bytes;
    bool told = channel_send(child->channel, &message, NULL, 0, wait) == STATUS_OK;
    child->unannounced_bytes = told ? 0 : message.bytes;
}

/* ---- the courier's messages ------------------------------------------------------------------ */

static status_t take_pack(child_t *child, const channel_message_t *message, int *fd)
{
    if (message->kind == CHANNEL_NO_PACK || *fd < 0)
        return fail(STATUS_UNAVAILABLE, "no pack: %s", message->text);
    int pack = *fd;
    *fd = -1;
    return pack_writer_adopt(pack, &child->writer);
}

/*
 * Takes one message; out_kind tells which.
 * Fails: NOT_FOUND (the courier is gone), and what a pack that came failed with.
 */
static status_t take_message(child_t *child, channel_kind_t *out_kind)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    TRY(channel_receive(child->channel, &message, fds, true));
    *out_kind = message.kind;
    status_t status = STATUS_OK;
    if (message.kind == CHANNEL_PACK || message.kind == CHANNEL_NO_PACK)
        status = take_pack(child, &message, &fds[0]);
    else if (message.kind == CHANNEL_DRAIN && child->state == CHILD_SERVING)
        child->state = CHILD_DRAINING;
    else if (message.kind == CHANNEL_STOP)
        child->state = CHILD_STOPPING;
    else if (message.kind == CHANNEL_FULL || message.kind == CHANNEL_ROOM)
        child->disk_is_full = message.kind == CHANNEL_FULL;
    for (int i = 0; i < CHANNEL_FDS_MAX; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return status;
}

/* A peer that never pauses must not keep us from hearing what the courier says. */
static status_t take_waiting_messages(child_t *child)
{
    struct pollfd ready = {child->channel, POLLIN, 0};
    channel_kind_t kind;
    while (poll(&ready, 1, 0) > 0)
        TRY(take_message(child, &kind));
    return STATUS_OK;
}

static status_t use_lent_pack(child_t *child)
{
    int pack = child->lent;
    child->lent = -1;
    return pack_writer_adopt(pack, &child->writer);
}

status_t child_need_pack(child_t *child)
{
    TRY(take_waiting_messages(child));
    if (child->disk_is_full)
        return fail(STATUS_UNAVAILABLE, "the disk is nearly full");
    if (child->lent >= 0)
        return use_lent_pack(child);
    if (child->writer && !pack_writer_is_full(child->writer))
        return STATUS_OK;
    pack_writer_close(&child->writer);
    channel_message_t want = child->self;
    want.kind = CHANNEL_WANT_PACK;
    TRY(channel_send(child->channel, &want, NULL, 0, true));
    for (channel_kind_t kind = 0; kind != CHANNEL_PACK;) {
        struct pollfd ready = {child->channel, POLLIN, 0};
        if (poll(&ready, 1, PACK_REPLY_MS) == 0)
            return fail(STATUS_EXPIRED, "no pack: the courier does not answer");
        TRY(take_message(child, &kind));
    }
    return STATUS_OK;
}

/* ---- messages from the peer ------------------------------------------------------------------- */

static int pause_ms(const child_t *child)
{
    int idle_ms = (int)(child->settings->config->idle_timeout_s * 1000);
    if (child->state == CHILD_STOPPING)
        return 0;
    return child->state == CHILD_DRAINING && idle_ms > DRAIN_PAUSE_MS ? DRAIN_PAUSE_MS : idle_ms;
}

/* Fails: EXPIRED (nothing came; or this process shall end), NOT_FOUND (the courier is gone). */
static status_t wait_for_peer(child_t *child)
{
    if (child->unannounced_bytes && child->writer && !association_has_pending(child->association))
        child_announce(child, 0, true); /* or the index would not hear of it before the next one */
    while (!association_has_pending(child->association)) {
        struct pollfd ready[] = {{child->socket, POLLIN, 0}, {child->channel, POLLIN, 0}};
        int count = poll(ready, 2, pause_ms(child));
        if (count < 0 && errno != EINTR)
            return fail(STATUS_INTERNAL, "poll: %s", strerror(errno));
        if (count == 0)
            return fail(STATUS_EXPIRED, child->state == CHILD_SERVING ? "idle" : "shutting down");
        if (count > 0 && ready[1].revents) {
            channel_kind_t kind;
            TRY(take_message(child, &kind));
        } else if (count > 0 && ready[0].revents) {
            return STATUS_OK;
        }
    }
    return STATUS_OK;
}

static status_t gather(buffer_t *bytes, const association_pdv_t *pdv)
{
    if (pdv->length > COMMAND_SET_MAX - bytes->length)
        return fail(STATUS_TOO_LARGE, "a command set over %d bytes", COMMAND_SET_MAX);
    buffer_append(bytes, pdv->bytes, pdv->length);
    return STATUS_OK;
}

/* Reads a command set, whose first fragment is there. */
static status_t read_command(child_t *child, const association_pdv_t *first, request_t *out_request)
{
    AUTO_BUFFER bytes = {0};
    association_pdv_t pdv = *first;
    for (;;) {
        if (!pdv.is_command || pdv.context_id != first->context_id)
            return fail(STATUS_INVALID, "a fragment that belongs to no command");
        TRY(gather(&bytes, &pdv));
        if (pdv.is_last)
            break;
        association_event_t event;
        TRY(association_read(child->association, &event, &pdv));
        if (event != ASSOCIATION_EVENT_PDV)
            return fail(STATUS_UNAVAILABLE, "the peer left within a command");
    }
    request_t request = {.context_id = first->context_id,
                         .context = &child->contexts[first->context_id]};
    if (request.context->service == SERVICE_NONE)
        return fail(STATUS_INVALID, "context %u was not accepted", request.context_id);
    TRY(command_parse(bytes.data, bytes.length, &request.command));
    *out_request = request;
    return STATUS_OK;
}

status_t child_read_dataset(child_t *child, const request_t *request,
                            status_t (*take)(void *context, const uint8_t *bytes, size_t length),
                            void *context, status_t *out_taken)
{
    association_pdv_t pdv = {0};
    *out_taken = STATUS_OK;
    while (!pdv.is_last) {
        association_event_t event;
        TRY(association_read(child->association, &event, &pdv));
        if (event != ASSOCIATION_EVENT_PDV)
            return fail(STATUS_UNAVAILABLE, "the peer left within a data set");
        if (pdv.is_command || pdv.context_id != request->context_id)
            return fail(STATUS_INVALID, "a fragment that belongs to no data set");
        if (take && *out_taken == STATUS_OK)
            *out_taken = take(context, pdv.bytes, pdv.length);
    }
    return STATUS_OK;
}

status_t child_answer(child_t *child, const request_t *request, uint16_t status, uint32_t offending,
                      const char *comment)
{
    command_response_t response = {.request = &request->command,
                                   .status = status,
                                   .offending_element = offending,
                                   .error_comment = comment};
    buffer_clear(&child->answer);
    command_write_response(&child->answer, &response);
    return association_write_command(child->association, request->context_id, child->answer.data,
                                     child->answer.length);
}

/* One message. out_over: the peer has released or aborted. */
static status_t serve_one(child_t *child, bool *out_over)
{
    association_event_t event;
    association_pdv_t pdv;
    TRY(wait_for_peer(child));
    TRY(association_read(child->association, &event, &pdv));
    if (event == ASSOCIATION_EVENT_RELEASE) {
        *out_over = true;
        fail(STATUS_OK, "released");
        return association_confirm_release(child->association);
    }
    if (event == ASSOCIATION_EVENT_ABORT) {
        *out_over = true;
        fail(STATUS_OK, "aborted by the peer");
        return STATUS_OK;
    }
    request_t request;
    TRY(read_command(child, &pdv, &request));
    TRY(operations_run(child, &request));
    return child->state == CHILD_STOPPING ? fail(STATUS_EXPIRED, "shutting down") : STATUS_OK;
}

static void serve(child_t *child)
{
    bool over = false;
    status_t status = STATUS_OK;
    while (status == STATUS_OK && !over)
        status = serve_one(child, &over);
    child_tell(child, CHANNEL_ENDED, (uint32_t)status, fail_detail());
    if (!over)
        association_abort(child->association);
}

/* ---- the beginning ---------------------------------------------------------------------------- */

static void reject(child_t *child, association_rejection_t rejection, refusal_t why)
{
    child_tell(child, CHANNEL_REFUSED, why, "");
    association_reject(child->association, rejection);
}

/* Whether the association may be; if not, it has been rejected. */
static bool is_welcome(child_t *child)
{
    const dimse_config_t *config = child->settings->config;
    if (!association_is_dicom(child->association))
        reject(child, ASSOCIATION_REJECT_APPLICATION, REFUSAL_APPLICATION);
    else if (config->check_called_aet && strcmp(child->self.called, config->aet) != 0)
        reject(child, ASSOCIATION_REJECT_CALLED_AE, REFUSAL_CALLED_AE);
    else if (!rules_allow(child->settings->rules, child->self.calling, &child->self.address))
        reject(child, ASSOCIATION_REJECT_CALLING_AE, REFUSAL_CALLING_AE);
    else
        return true;
    return false;
}

static status_t receive_request(child_t *child)
{
    const dimse_config_t *config = child->settings->config;
    association_options_t options = {.max_pdu_bytes = config->max_pdu_bytes,
                                     .stall_timeout_s = (int)config->stall_timeout_s,
                                     .implementation_class_uid = DICOM_IMPLEMENTATION_CLASS_UID,
                                     .implementation_version = DICOM_IMPLEMENTATION_VERSION_NAME};
    /* ARTIM: SIGALRM ends this process, however slowly the bytes trickle in. PS3.8 9.1.5 */
    alarm((unsigned)config->request_timeout_s);
    status_t status = association_receive(child->socket, &options, &child->association);
    alarm(0);
    return status;
}

/* Up to the acknowledged association; false when there is none. */
static bool establish(child_t *child)
{
    if (receive_request(child) != STATUS_OK) {
        child_tell(child, CHANNEL_REFUSED, REFUSAL_REQUEST, fail_detail());
        return false;
    }
    strcpy(child->self.calling, association_calling_ae_title(child->association));
    strcpy(child->self.called, association_called_ae_title(child->association));
    if (!is_welcome(child))
        return false;
    if (negotiation_run(child->association, &child->settings->config->private_roots,
                        child->contexts) != STATUS_OK ||
        association_acknowledge(child->association) != STATUS_OK) {
        child_tell(child, CHANNEL_REFUSED, REFUSAL_REQUEST, fail_detail());
        association_abort(child->association);
        return false;
    }
    child_tell(child, CHANNEL_ACCEPTED, 0, association_peer_implementation(child->association));
    return true;
}

/*
 * Waits for the courier's first message. A pack that holds records of other associations comes with
 * it or never: whoever takes this process over later finds the sandbox closed around that pack.
 */
static status_t start(child_t *child, sandbox_t *sandbox)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    struct pollfd ready = {child->channel, POLLIN, 0};
    if (poll(&ready, 1, PACK_REPLY_MS) == 0)
        return fail(STATUS_EXPIRED, "the courier does not answer");
    TRY(channel_receive(child->channel, &message, fds, true));
    if (message.kind != CHANNEL_START)
        return fail(STATUS_INTERNAL, "the first message is none to start with");
    child->lent = sandbox->pack = fds[0];
    sandbox->pack_start = message.offset;
    return STATUS_OK;
}

static status_t enclose(child_t *child)
{
    sandbox_t sandbox = {.socket = child->socket,
                         .channel = child->channel,
                         .largest_dataset_bytes =
                             (uint64_t)child->settings->config->max_dataset_bytes};
    TRY(start(child, &sandbox));
    return sandbox_enter(&sandbox);
}

int child_main(const child_settings_t *settings, const channel_message_t *spawn, int socket,
               int channel)
{
    child_t *child = memory_allocate(sizeof *child);
    child->settings = settings;
    child->self = *spawn;
    child->socket = socket;
    child->channel = channel;
    address_format(&spawn->address, child->peer_address);
    if (enclose(child) != STATUS_OK) {
        child_tell(child, CHANNEL_REFUSED, REFUSAL_INTERNAL, fail_detail());
        return EXIT_SANDBOX;
    }
    if (establish(child))
        serve(child);
    pack_writer_close(&child->writer);
    association_destroy(&child->association);
    buffer_destroy(&child->answer);
    free(child);
    return 0;
}
