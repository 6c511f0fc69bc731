#include "base/buffer.h"

#include "base/memory.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* Every length around the room that a buffer has, and far over it. */
static void a_text_of_any_length_is_whole(void **state)
{
    (void)state;
    AUTO_FREE char *text = memory_allocate(5001);
    memset(text, 'x', 5000);
    for (int length = 0; length <= 5000; length += length < 600 ? 1 : 400) {
        AUTO_BUFFER buffer = {0};
        buffer_append_text(&buffer, "before ");
        buffer_printf(&buffer, "%.*s|%d", length, text, length);
        buffer_printf(&buffer, "%s", "");
        buffer_append_text(&buffer, " behind");
        AUTO_FREE char *wanted = memory_format("before %.*s|%d behind", length, text, length);
        assert_string_equal(buffer_text(&buffer), wanted);
        assert_int_equal(buffer.length, strlen(wanted));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_text_of_any_length_is_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
