/* zpacs import: what becomes of files that are none, and of those that cannot be read. */
#include "cli/import_zip.h"

#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const cli_t cli = {.user = "tester", .quiet = true};

static void a_zip_that_is_not_there(void **state)
{
    (void)state;
    import_t import = {.cli = &cli};
    assert_int_equal(import_zip(&import, "/there/is/none.zip"), STATUS_INVALID);
    assert_int_equal(import.stored + import.skipped, 0);
}

static ssize_t read_nothing(void *context, void *out_bytes, size_t size)
{
    (void)context, (void)out_bytes, (void)size;
    return -1;
}

static ssize_t read_words(void *context, void *out_bytes, size_t size)
{
    const char **left = context;
    size_t length = strnlen(*left, size);
    memcpy(out_bytes, *left, length);
    *left += length;
    return (ssize_t)length;
}

static void what_is_no_dicom_is_skipped(void **state)
{
    (void)state;
    const char *words = "Dear colleague, ...";
    import_t import = {.cli = &cli};
    const import_source_t broken = {read_nothing, NULL, "broken"};
    const import_source_t letter = {read_words, &words, "letter"};
    assert_int_equal(import_file(&import, &broken), STATUS_OK);
    assert_int_equal(import.skipped, 1);
    assert_int_equal(import_file(&import, &letter), STATUS_OK);
    assert_int_equal(import.skipped, 2);
    assert_int_equal(import.stored, 0);
}

/* A name of a ZIP's making must not reach the terminal as a command. */
static void names_are_shown_without_control_bytes(void **state)
{
    (void)state;
    const cli_t loud = {.user = "tester"};
    import_t import = {.cli = &loud};
    const import_source_t source = {NULL, NULL, "a\x1b[2J\xC2\x9B\xE2\x80\xAE\xC3\xBC\nb"};
    char shown[256] = "";
    int ends[2], own = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    import_skip(&import, &source);
    dup2(own, STDERR_FILENO);
    assert_true(read(ends[0], shown, sizeof shown - 1) > 0);
    assert_ptr_equal(strstr(shown, "skipped a?[2J??\xC3\xBC?b: "), shown);
    close(ends[0]);
    close(ends[1]);
    close(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zip_that_is_not_there),
        cmocka_unit_test(what_is_no_dicom_is_skipped),
        cmocka_unit_test(names_are_shown_without_control_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
