#include "dimse/association/child_peer.h"

#include "dimse/association/child_courier.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum { DRAIN_PAUSE_MS = 2000 }; /* an association that pauses as long while draining is over */

static int pause_ms(const child_t *child)
{
    int idle_ms = (int)(child->settings->config->idle_timeout_s * 1000);
    if (child->state == CHILD_STOPPING)
        return 0;
    return child->state == CHILD_DRAINING && idle_ms > DRAIN_PAUSE_MS ? DRAIN_PAUSE_MS : idle_ms;
}

status_t child_wait_for_peer(child_t *child)
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
            TRY(child_take_message(child, &kind));
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

status_t child_read_command(child_t *child, const association_pdv_t *first, request_t *out_request)
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
