#include "crypto/digest.h"

#include "base/memory.h"
#include "crypto/digest_own.h"

#include <blake3.h>
#include <stdlib.h>

struct digest {
    digest_kind_t kind;
    blake3_hasher blake3;
    sha256_t *sha256; /* or NULL */
};

void digest_prepare(void)
{
    uint8_t ignored[DIGEST_SIZE];
    blake3_hasher hasher;
    blake3_hasher_init(&hasher);
    blake3_hasher_finalize(&hasher, ignored, sizeof ignored);
}

digest_t *digest_create(digest_kind_t kind)
{
    crypto_prepare();
    digest_t *digest = memory_allocate(sizeof *digest);
    digest->kind = kind;
    if (kind == DIGEST_SHA256)
        digest->sha256 = sha256_create();
    digest_reset(digest);
    return digest;
}

void digest_reset(digest_t *digest)
{
    if (digest->kind == DIGEST_SHA256)
        sha256_reset(digest->sha256);
    else
        blake3_hasher_init(&digest->blake3);
}

void digest_update(digest_t *digest, const void *bytes, size_t length)
{
    if (digest->kind == DIGEST_SHA256)
        sha256_update(digest->sha256, bytes, length);
    else if (length)
        blake3_hasher_update(&digest->blake3, bytes, length);
}

void digest_read(const digest_t *digest, uint8_t out[DIGEST_SIZE])
{
    if (digest->kind == DIGEST_SHA256)
        sha256_read(digest->sha256, out);
    else
        blake3_hasher_finalize(&digest->blake3, out, DIGEST_SIZE);
}

void digest_destroy(digest_t **digest)
{
    if (!*digest)
        return;
    sha256_destroy(&(*digest)->sha256);
    free(*digest);
    *digest = NULL;
}

void digest_of(digest_kind_t kind, const void *bytes, size_t length, uint8_t out[DIGEST_SIZE])
{
    digest_t *digest = digest_create(kind);
    digest_update(digest, bytes, length);
    digest_read(digest, out);
    digest_destroy(&digest);
}
