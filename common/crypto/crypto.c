#include "crypto/crypto.h"

#include "base/memory.h"
#include "crypto/digest_own.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zlib.h>

enum { SHA256_BLOCK = 64 };

struct sha256 {
    EVP_MD_CTX *context;
};

static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static EVP_MD *algorithm;

/* OpenSSL fails here only when memory is out or the installation is broken: neither can be
 * answered, so both abort like the allocator does. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

/* Fetched once: OpenSSL 3 otherwise searches its providers at each start of a hash. Its
 * configuration file is not read: a process in a sandbox has no file system. */
static void prepare(void)
{
    must(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL));
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    must(algorithm != NULL);
    digest_prepare();
}

void crypto_prepare(void)
{
    must(pthread_once(&prepared, prepare) == 0);
}

sha256_t *sha256_create(void)
{
    crypto_prepare();
    sha256_t *hash = memory_allocate(sizeof *hash);
    hash->context = EVP_MD_CTX_new();
    must(hash->context != NULL);
    sha256_reset(hash);
    return hash;
}

void sha256_reset(sha256_t *hash)
{
    must(EVP_DigestInit_ex2(hash->context, algorithm, NULL));
}

void sha256_update(sha256_t *hash, const void *bytes, size_t length)
{
    if (length)
        must(EVP_DigestUpdate(hash->context, bytes, length));
}

void sha256_read(const sha256_t *hash, uint8_t out_digest[SHA256_SIZE])
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    must(copy != NULL && EVP_MD_CTX_copy_ex(copy, hash->context));
    must(EVP_DigestFinal_ex(copy, out_digest, NULL));
    EVP_MD_CTX_free(copy);
}

void sha256_finish(sha256_t *hash, uint8_t out_digest[SHA256_SIZE])
{
    must(EVP_DigestFinal_ex(hash->context, out_digest, NULL));
}

void sha256_destroy(sha256_t **hash)
{
    if (!*hash)
        return;
    EVP_MD_CTX_free((*hash)->context);
    free(*hash);
    *hash = NULL;
}

void crypto_sha256(const void *bytes, size_t length, uint8_t out_digest[SHA256_SIZE])
{
    crypto_prepare();
    must(EVP_Digest(length ? bytes : "", length, out_digest, NULL, algorithm, NULL));
}

/* One of HMAC's two hashes: the key's block, xored with pad, then the bytes.          RFC 2104 2 */
static void keyed_hash(sha256_t *hash, const uint8_t block[SHA256_BLOCK], uint8_t pad,
                       const void *bytes, size_t length, uint8_t out_digest[SHA256_SIZE])
{
    uint8_t padded[SHA256_BLOCK];
    for (size_t i = 0; i < SHA256_BLOCK; i++)
        padded[i] = block[i] ^ pad;
    sha256_reset(hash);
    sha256_update(hash, padded, sizeof padded);
    sha256_update(hash, bytes, length);
    sha256_finish(hash, out_digest);
    OPENSSL_cleanse(padded, sizeof padded);
}

/* Written out over EVP digests: EVP_MAC fetches and copies its context at each call, which costs
 * ten times the hashing of a record header. */
void crypto_mac(const void *key, size_t key_length, const void *bytes, size_t length,
                uint8_t out_mac[MAC_SIZE])
{
    uint8_t block[SHA256_BLOCK] = {0};
    uint8_t digest[SHA256_SIZE];
    if (key_length > SHA256_BLOCK)
        crypto_sha256(key, key_length, block);
    else if (key_length)
        memcpy(block, key, key_length);
    sha256_t *hash = sha256_create();
    keyed_hash(hash, block, 0x36, bytes, length, digest);
    keyed_hash(hash, block, 0x5c, digest, sizeof digest, digest);
    sha256_destroy(&hash);
    memcpy(out_mac, digest, MAC_SIZE);
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(digest, sizeof digest);
}

uint32_t crypto_crc32(const void *bytes, size_t length)
{
    return (uint32_t)crc32_z(0, length ? bytes : (const void *)"", length);
}

void crypto_random(void *out_bytes, size_t length)
{
    uint8_t *bytes = out_bytes;
    while (length > 0) {
        ssize_t got = getrandom(bytes, length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        bytes += got;
        length -= (size_t)got;
    }
}

bool crypto_equal(const void *a, const void *b, size_t length)
{
    return length == 0 || CRYPTO_memcmp(a, b, length) == 0;
}

void crypto_hex(const void *bytes, size_t length, char *out_text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < length; i++) {
        out_text[2 * i] = digits[byte[i] >> 4];
        out_text[2 * i + 1] = digits[byte[i] & 15];
    }
    out_text[2 * length] = 0;
}
