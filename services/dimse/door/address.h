#ifndef ZPACS_DIMSE_ADDRESS_H
#define ZPACS_DIMSE_ADDRESS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT_SIZE = 46 }; /* INET6_ADDRSTRLEN */

/* An IP address; IPv4 as IPv4-mapped IPv6 (RFC 4291 2.5.5.2), so that one comparison serves both. */
typedef struct {
    uint8_t bytes[16];
} address_t;

/* "192.0.2.0/24", "2001:db8::/32" or a single address. */
typedef struct {
    address_t network;
    unsigned prefix_bits; /* of 128 */
} cidr_t;

status_t address_parse(const char *text, address_t *out_address);
status_t address_from_socket(const struct sockaddr_storage *socket_address, address_t *out_address);
void address_format(const address_t *address,
                    char out_text[ADDRESS_TEXT_SIZE]); /* v4 without ::ffff: */
bool address_is_loopback(const address_t *address);

status_t cidr_parse(const char *text, cidr_t *out_cidr);
bool cidr_contains(const cidr_t *cidr, const address_t *address);

#endif
