#include "dimse/association/child_courier.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

void child_tell(child_t *child, channel_kind_t kind, uint32_t number, const char *text)
{
    channel_message_t message = child->self;
    message.kind = kind;
    message.number = number;
    channel_set_text(&message, text);
    /* What does not fit is lost; the courier reads the pack itself when this process ends. */
    channel_send(child->channel, &message, NULL, 0, false);
}

void child_tell_rest(child_t *child, const char *text)
{
    channel_message_t message = child->self;
    message.kind = CHANNEL_RESTS;
    channel_set_text(&message, text);
    channel_send(child->channel, &message, NULL, 0, true);
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

static status_t take_pack(child_t *child, const channel_message_t *message, int *fd)
{
    if (message->kind == CHANNEL_NO_PACK || *fd < 0)
        return fail(STATUS_UNAVAILABLE, "no pack: %s", message->text);
    int pack = *fd;
    *fd = -1;
    return pack_writer_adopt(pack, &message->end, &child->writer);
}

/*
 * Lets the pack go, so that nothing of it is open here when it is removed. The number of one that
 * has records of earlier associations cannot be closed (sandbox_own.c): it comes to mean the channel.
 */
static void drop_pack(child_t *child)
{
    pack_writer_close(&child->writer);
    child->lent = -1;
    if (child->pinned >= 0)
        dup3(child->channel, child->pinned, O_CLOEXEC);
    child->pinned = -1;
}

/* Between two messages. What has none left has asked for another one already. */
static void return_pack(child_t *child)
{
    if (!child->writer && child->lent < 0)
        return;
    drop_pack(child);
    channel_message_t returned = child->self;
    returned.kind = CHANNEL_PACK_RETURNED;
    channel_send(child->channel, &returned, NULL, 0, true);
}

/* Another association; if one is under way, nothing of it is taken. */
static void take_start(child_t *child, const channel_message_t *message, int *fd)
{
    if (child->socket >= 0)
        return;
    child->self = *message;
    child->socket = *fd;
    *fd = -1;
    address_format(&child->self.address, child->peer_address);
}

status_t child_take_message(child_t *child, channel_kind_t *out_kind)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    TRY(channel_receive(child->channel, &message, fds, true));
    *out_kind = message.kind;
    status_t status = STATUS_OK;
    if (message.kind == CHANNEL_PACK || message.kind == CHANNEL_NO_PACK)
        status = take_pack(child, &message, &fds[0]);
    else if (message.kind == CHANNEL_START)
        take_start(child, &message, &fds[0]);
    else if (message.kind == CHANNEL_DRAIN && child->state == CHILD_SERVING)
        child->state = CHILD_DRAINING;
    else if (message.kind == CHANNEL_STOP)
        child->state = CHILD_STOPPING;
    else if (message.kind == CHANNEL_RECALL_PACK)
        return_pack(child);
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
        TRY(child_take_message(child, &kind));
    return STATUS_OK;
}

static status_t use_lent_pack(child_t *child)
{
    int pack = child->lent;
    child->lent = -1;
    return pack_writer_adopt(pack, &child->lent_end, &child->writer);
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
    drop_pack(child);
    channel_message_t want = child->self;
    want.kind = CHANNEL_WANT_PACK;
    TRY(channel_send(child->channel, &want, NULL, 0, true));
    for (channel_kind_t kind = 0; kind != CHANNEL_PACK;) {
        struct pollfd ready = {child->channel, POLLIN, 0};
        if (poll(&ready, 1, CHILD_COURIER_MS) == 0)
            return fail(STATUS_EXPIRED, "no pack: the courier does not answer");
        TRY(child_take_message(child, &kind));
    }
    return STATUS_OK;
}
