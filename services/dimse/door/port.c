#include "dimse/door/port.h"

#include "base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { BACKLOG = 512 };

static socklen_t socket_address(const dimse_config_t *config, struct sockaddr_storage *out_address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out_address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out_address;
    memset(out_address, 0, sizeof *out_address);
    if (inet_pton(AF_INET, config->bind, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)config->dicom_port);
        return sizeof *v4;
    }
    v6->sin6_family = AF_INET6; /* "::" takes IPv4 too */
    v6->sin6_port = htons((uint16_t)config->dicom_port);
    inet_pton(AF_INET6, config->bind, &v6->sin6_addr);
    return sizeof *v6;
}

status_t port_open(const dimse_config_t *config, int *out_socket)
{
    struct sockaddr_storage address;
    socklen_t length = socket_address(config, &address);
    int on = 1;
    AUTO_CLOSE int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0)
        return fail(STATUS_UNAVAILABLE, "%s port %lld: %s", config->bind,
                    (long long)config->dicom_port, strerror(errno));
    *out_socket = memory_take_fd(&fd);
    return STATUS_OK;
}
