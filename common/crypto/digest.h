#ifndef ZPACS_CRYPTO_DIGEST_H
#define ZPACS_CRYPTO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/*
 * A running digest of bytes that come in pieces: what a record of a pack says of its dataset. Both
 * kinds are cryptographic hashes of 256 bits; BLAKE3 takes a quarter of the time that SHA-256 takes
 * with the processor's own instructions for it.                             docs/performance.md
 */
enum { DIGEST_SIZE = 32 };

typedef enum {
    DIGEST_BLAKE3, /* of all that is written */
    DIGEST_SHA256  /* FIPS 180-4; of records that were written before */
} digest_kind_t;

typedef struct digest digest_t;

digest_t *digest_create(digest_kind_t kind);
void digest_reset(digest_t *digest);
void digest_update(digest_t *digest, const void *bytes, size_t length);
void digest_read(const digest_t *digest, uint8_t out[DIGEST_SIZE]); /* so far; may go on */
void digest_destroy(digest_t **digest);

void digest_of(digest_kind_t kind, const void *bytes, size_t length, uint8_t out[DIGEST_SIZE]);

#endif
