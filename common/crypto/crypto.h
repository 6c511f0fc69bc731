#ifndef ZPACS_CRYPTO_CRYPTO_H
#define ZPACS_CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_SIZE = 32, MAC_SIZE = 16 };

void crypto_sha256(const void *bytes, size_t length, uint8_t out_digest[SHA256_SIZE]);

/* Does now what the first hash would do: for a process that is about to lose its system calls. */
void crypto_prepare(void);

/* HMAC-SHA-256 cut to 128 bits (RFC 2104 section 5). */
void crypto_mac(const void *key, size_t key_length, const void *bytes, size_t length,
                uint8_t out_mac[MAC_SIZE]);

uint32_t crypto_crc32(const void *bytes, size_t length); /* zlib's CRC-32 */
void crypto_random(void *out_bytes, size_t length);
bool crypto_equal(const void *a, const void *b, size_t length);    /* in constant time */
void crypto_hex(const void *bytes, size_t length, char *out_text); /* 2 * length + 1 bytes */

#endif
