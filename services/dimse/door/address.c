#include "dimse/door/address.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

enum { MAPPED_BITS = 96 };

static bool is_mapped(const address_t *address)
{
    return memcmp(address->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

static void map(const void *ipv4, address_t *out_address)
{
    memcpy(out_address->bytes, mapped_prefix, sizeof mapped_prefix);
    memcpy(out_address->bytes + sizeof mapped_prefix, ipv4, 4);
}

status_t address_parse(const char *text, address_t *out_address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        map(&v4, out_address);
        return STATUS_OK;
    }
    if (inet_pton(AF_INET6, text, &v6) == 1) {
        memcpy(out_address->bytes, &v6, sizeof v6);
        return STATUS_OK;
    }
    return fail(STATUS_INVALID, "'%s' is not an IP address", text);
}

status_t address_from_socket(const struct sockaddr_storage *socket_address, address_t *out_address)
{
    if (socket_address->ss_family == AF_INET)
        map(&((const struct sockaddr_in *)socket_address)->sin_addr, out_address);
    else if (socket_address->ss_family == AF_INET6)
        memcpy(out_address->bytes, &((const struct sockaddr_in6 *)socket_address)->sin6_addr, 16);
    else
        return fail(STATUS_INVALID, "a peer of address family %d", socket_address->ss_family);
    return STATUS_OK;
}

void address_format(const address_t *address, char out_text[ADDRESS_TEXT_SIZE])
{
    bool v4 = is_mapped(address);
    inet_ntop(v4 ? AF_INET : AF_INET6, address->bytes + (v4 ? sizeof mapped_prefix : 0), out_text,
              ADDRESS_TEXT_SIZE);
}

bool address_is_loopback(const address_t *address)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    return is_mapped(address) ? address->bytes[12] == 127
                              : memcmp(address->bytes, v6_loopback, sizeof v6_loopback) == 0;
}

status_t cidr_parse(const char *text, cidr_t *out_cidr)
{
    char network[ADDRESS_TEXT_SIZE];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    if (length >= sizeof network)
        return fail(STATUS_INVALID, "'%s' is not an address range", text);
    memcpy(network, text, length);
    network[length] = 0;
    cidr_t cidr;
    TRY(address_parse(network, &cidr.network));
    bool v4 = !strchr(network, ':');
    uint64_t bits = v4 ? 32 : 128;
    if (slash && (!text_to_uint64(slash + 1, &bits) || bits > (v4 ? 32 : 128)))
        return fail(STATUS_INVALID, "'%s' has no sensible prefix length", text);
    cidr.prefix_bits = (unsigned)bits + (v4 ? MAPPED_BITS : 0);
    *out_cidr = cidr;
    return STATUS_OK;
}

bool cidr_contains(const cidr_t *cidr, const address_t *address)
{
    unsigned whole = cidr->prefix_bits / 8, rest = cidr->prefix_bits % 8;
    if (memcmp(cidr->network.bytes, address->bytes, whole) != 0)
        return false;
    if (!rest)
        return true;
    uint8_t mask = (uint8_t)(0xFF << (8 - rest));
    return ((cidr->network.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}
