#include "http/socket.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/*
 * CivetWeb keeps the descriptor to itself, and tells both ends of the connection. A descriptor of this
 * process with these two ends is that of the connection: the kernel has each pair of ends once.
 * Where CivetWeb does not tell the whole of our end, its address, two may fit; then none is taken.
 */
typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
} address_t;

static int port_of(const address_t *address)
{
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

static bool is_host(const address_t *address, const char *text)
{
    char own[INET6_ADDRSTRLEN] = "";
    const void *bytes = address->any.sa_family == AF_INET6 ? (const void *)&address->v6.sin6_addr
                                                           : &address->v4.sin_addr;
    return inet_ntop(address->any.sa_family, bytes, own, sizeof own) && strcmp(own, text) == 0;
}

static bool is_internet(const address_t *address)
{
    return address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6;
}

static bool is_of(int fd, const struct mg_request_info *info)
{
    address_t peer = {0}, own = {0};
    socklen_t peer_length = sizeof peer, own_length = sizeof own;
    return getpeername(fd, &peer.any, &peer_length) == 0 && is_internet(&peer) &&
           port_of(&peer) == info->remote_port && getsockname(fd, &own.any, &own_length) == 0 &&
           port_of(&own) == info->server_port && is_host(&peer, info->remote_addr);
}

static int find(const struct mg_request_info *info)
{
    int found = -1;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return -1;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        int fd = entry->d_name[0] == '.' ? -1 : atoi(entry->d_name);
        if (fd < 0 || fd == dirfd(folder) || !is_of(fd, info))
            continue;
        if (found >= 0) { /* which one is not known */
            found = -1;
            break;
        }
        found = fd;
    }
    closedir(folder);
    return found;
}

/* Looked for once in a connection: CivetWeb forgets the connection's data when it begins and ends. */
int socket_of(struct mg_connection *connection)
{
    enum { OFFSET = 2 }; /* 0: not looked for, 1: not found */
    intptr_t known = (intptr_t)mg_get_user_connection_data(connection);
    if (known == 0) {
        known = find(mg_get_request_info(connection)) + OFFSET;
        mg_set_user_connection_data(connection, (void *)known);
    }
    return (int)known - OFFSET;
}
