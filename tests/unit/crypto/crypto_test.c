#include "crypto/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void hashes_known_messages(void **state)
{
    (void)state;
    static const struct {
        const char *name, *message, *digest;
    } cases[] = {
        {"empty", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"FIPS 180-4, one block", "abc",
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"FIPS 180-4, two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        uint8_t digest[SHA256_SIZE];
        char text[2 * SHA256_SIZE + 1];
        size_t length = strlen(cases[i].message);
        crypto_sha256(cases[i].message, length, digest);
        crypto_hex(digest, sizeof digest, text);
        assert_string_equal(text, cases[i].digest);
    }
}

static void authenticates_known_messages(void **state)
{
    (void)state;
    uint8_t long_key[131];
    memset(long_key, 0xaa, sizeof long_key);
    static const uint8_t short_key[20] = {0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b,
                                          0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b,
                                          0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b};
    const struct {
        const char *name;
        const void *key;
        size_t key_length;
        const char *message, *mac;
    } cases[] = {
        {"RFC 4231 4.2", short_key, sizeof short_key, "Hi There",
         "b0344c61d8db38535ca8afceaf0bf12b"},
        {"RFC 4231 4.3", "Jefe", 4, "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c7"},
        {"RFC 4231 4.7, key longer than a block", long_key, sizeof long_key,
         "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        uint8_t mac[MAC_SIZE];
        char text[2 * MAC_SIZE + 1];
        crypto_mac(cases[i].key, cases[i].key_length, cases[i].message, strlen(cases[i].message),
                   mac);
        crypto_hex(mac, sizeof mac, text);
        assert_string_equal(text, cases[i].mac);
    }
}

static void checks_small_things(void **state)
{
    (void)state;
    assert_int_equal(crypto_crc32("123456789", 9), 0xcbf43926u);
    assert_int_equal(crypto_crc32(NULL, 0), 0);
    assert_true(crypto_equal("abcd", "abcd", 4));
    assert_false(crypto_equal("abcd", "abce", 4));
    assert_true(crypto_equal("abcd", "abce", 3));
    uint8_t a[64] = {0}, b[64] = {0};
    crypto_random(a, sizeof a);
    crypto_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_known_messages),
        cmocka_unit_test(authenticates_known_messages),
        cmocka_unit_test(checks_small_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
