#include "base/ulid.h"
#include "base/clock.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

ulid_t ulid_make(void)
{
    ulid_t ulid = {{0}};
    uint64_t milliseconds = (uint64_t)(clock_wall_us() / 1000);
    uint8_t random[16];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        abort();
    for (int i = 9; i >= 0; i--, milliseconds >>= 5)
        ulid.text[i] = alphabet[milliseconds & 31];
    for (int i = 10; i < ULID_LENGTH; i++)
        ulid.text[i] = alphabet[random[i - 10] & 31];
    return ulid;
}

bool ulid_is_valid(const char *text)
{
    return strlen(text) == ULID_LENGTH && strspn(text, alphabet) == ULID_LENGTH;
}
