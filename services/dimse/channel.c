#include "dimse/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

status_t channel_make(int out_ends[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out_ends) < 0)
        return fail(STATUS_UNAVAILABLE, "socketpair: %s", strerror(errno));
    return STATUS_OK;
}

typedef union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
} control_t;

status_t channel_send(int channel, const channel_message_t *message, const int *fds,
                      size_t fd_count, bool wait)
{
    struct iovec part = {(void *)(uintptr_t)message, sizeof *message};
    control_t control = {0};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof *fds);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fd_count * sizeof *fds);
        memcpy(CMSG_DATA(rights), fds, fd_count * sizeof *fds);
    }
    ssize_t sent;
    do
        sent = sendmsg(channel, &header, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS))
        return fail(STATUS_BUSY, "the channel is full");
    if (sent != (ssize_t)sizeof *message)
        return fail(STATUS_UNAVAILABLE, "channel: %s", strerror(errno));
    return STATUS_OK;
}

static void take_fds(struct msghdr *header, int out_fds[CHANNEL_FDS_MAX])
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(out_fds, CMSG_DATA(c),
               (count < CHANNEL_FDS_MAX ? count : CHANNEL_FDS_MAX) * sizeof(int));
    }
}

static void close_fds(int fds[CHANNEL_FDS_MAX])
{
    for (int i = 0; i < CHANNEL_FDS_MAX; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

/* Tells the end from an empty message, which a child may send to look as if it had ended. */
static bool is_hung_up(int channel)
{
    struct pollfd state = {channel, POLLIN, 0};
    return poll(&state, 1, 0) == 1 && (state.revents & (POLLHUP | POLLERR));
}

status_t channel_receive(int channel, channel_message_t *out_message, int out_fds[CHANNEL_FDS_MAX],
                         bool wait)
{
    channel_message_t message;
    struct iovec part = {&message, sizeof message};
    control_t control = {0};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    for (int i = 0; i < CHANNEL_FDS_MAX; i++)
        out_fds[i] = -1;
    ssize_t got;
    do /* ECONNRESET, once: the other side ended without having read all; what it said is still there */
        got = recvmsg(channel, &header, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    while (got < 0 && (errno == EINTR || errno == ECONNRESET));
    if (got < 0 && errno == EAGAIN)
        return STATUS_BUSY;
    if (got == 0 && !is_hung_up(channel))
        return fail(STATUS_INVALID, "an empty channel message");
    if (got <= 0)
        return fail(STATUS_NOT_FOUND, "the other end is gone");
    take_fds(&header, out_fds);
    if (got != (ssize_t)sizeof message) {
        close_fds(out_fds);
        return fail(STATUS_INVALID, "a channel message of %zd bytes", got);
    }
    message.calling[sizeof message.calling - 1] = 0;
    message.called[sizeof message.called - 1] = 0;
    message.text[sizeof message.text - 1] = 0;
    message.association.text[ULID_LENGTH] = 0;
    *out_message = message;
    return STATUS_OK;
}

void channel_set_text(channel_message_t *message, const char *text)
{
    snprintf(message->text, sizeof message->text, "%s", text);
}
