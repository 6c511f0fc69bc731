#include "base/memory.h"
#include "crypto/crypto.h"
#include "crypto/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Messages of so many bytes 0, 1, 2 ... 250, 0, 1 ..., as in the test vectors of BLAKE3's authors. */
static const struct {
    size_t length;
    const char *blake3, *sha256;
} cases[] = {
    {0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
     "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
    {1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7", NULL},
    {1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444", NULL},
    {102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085", NULL},
};

static void check(digest_t *digest, size_t length, size_t piece, const char *expected)
{
    AUTO_FREE uint8_t *bytes = memory_allocate(length);
    uint8_t found[DIGEST_SIZE];
    char text[2 * DIGEST_SIZE + 1];
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i % 251);
    for (size_t done = 0; done < length; done += piece)
        digest_update(digest, bytes + done, length - done < piece ? length - done : piece);
    digest_read(digest, found);
    crypto_hex(found, sizeof found, text);
    assert_string_equal(text, expected);
}

static void is_that_of_the_standard(void **state)
{
    static const size_t pieces[] = {1, 1000, 65536, 1 << 20};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        digest_t *blake3 = digest_create(DIGEST_BLAKE3), *sha256 = digest_create(DIGEST_SHA256);
        for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
            check(blake3, cases[i].length, pieces[k], cases[i].blake3);
            digest_reset(blake3);
            if (cases[i].sha256)
                check(sha256, cases[i].length, pieces[k], cases[i].sha256);
            digest_reset(sha256);
        }
        digest_destroy(&blake3);
        digest_destroy(&sha256);
        assert_null(blake3);
        digest_destroy(&blake3);
    }
}

static void goes_on_after_it_was_read(void **state)
{
    (void)state;
    for (int kind = DIGEST_BLAKE3; kind <= DIGEST_SHA256; kind++) {
        uint8_t of_begin[DIGEST_SIZE], of_all[DIGEST_SIZE], found[DIGEST_SIZE];
        digest_of((digest_kind_t)kind, "abc", 3, of_begin);
        digest_of((digest_kind_t)kind, "abcdef", 6, of_all);
        digest_t *digest = digest_create((digest_kind_t)kind);
        digest_update(digest, "abc", 3);
        digest_read(digest, found);
        assert_memory_equal(found, of_begin, sizeof found);
        digest_update(digest, "def", 3);
        digest_update(digest, NULL, 0);
        digest_read(digest, found);
        assert_memory_equal(found, of_all, sizeof found);
        digest_destroy(&digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_that_of_the_standard),
        cmocka_unit_test(goes_on_after_it_was_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
