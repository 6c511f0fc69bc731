#ifndef ZPACS_CRYPTO_DIGEST_OWN_H
#define ZPACS_CRYPTO_DIGEST_OWN_H

#include "crypto/crypto.h"

/* What digest.c and crypto.c share. Others take a digest_t. */

typedef struct sha256 sha256_t; /* a running SHA-256 (FIPS 180-4) */

sha256_t *sha256_create(void);
void sha256_reset(sha256_t *hash);
void sha256_update(sha256_t *hash, const void *bytes, size_t length);
void sha256_read(const sha256_t *hash, uint8_t out_digest[SHA256_SIZE]); /* so far; goes on */
void sha256_finish(sha256_t *hash, uint8_t out_digest[SHA256_SIZE]); /* then reset before reuse */
void sha256_destroy(sha256_t **hash);

void digest_prepare(void); /* BLAKE3 asks once what the processor can do, without a lock */

#endif
