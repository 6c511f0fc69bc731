/*
 * What the digest of a dataset costs: CPU time of both kinds, in turn.
 *
 *   crypto_digest [BYTES]      525000, a CT
 */
#include "base/memory.h"
#include "crypto/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 5, REPEATS = 400, PDU = 16 * 1024 };

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* In pieces, as a dataset comes. */
static double measure(digest_t *digest, const uint8_t *bytes, size_t length)
{
    uint8_t out[DIGEST_SIZE];
    double begin_ms = cpu_ms();
    for (int i = 0; i < REPEATS; i++) {
        digest_reset(digest);
        for (size_t done = 0; done < length; done += PDU)
            digest_update(digest, bytes + done, length - done < PDU ? length - done : PDU);
        digest_read(digest, out);
    }
    return (cpu_ms() - begin_ms) / REPEATS;
}

int main(int argc, char **argv)
{
    size_t length = argc > 1 ? strtoul(argv[1], NULL, 10) : 525000;
    AUTO_FREE uint8_t *bytes = memory_allocate(length);
    digest_t *sha256 = digest_create(DIGEST_SHA256), *blake3 = digest_create(DIGEST_BLAKE3);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    printf("SHA-256 ms\tBLAKE3 ms\ttimes\n");
    for (int round = 0; round < ROUNDS; round++) {
        double slow = measure(sha256, bytes, length), fast = measure(blake3, bytes, length);
        printf("%.4f\t%.4f\t%.2f\n", slow, fast, slow / fast);
    }
    digest_destroy(&sha256);
    digest_destroy(&blake3);
    return 0;
}
