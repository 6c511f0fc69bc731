#include "log/log.h"

#include "base/memory.h"
#include "base/text.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static int saved_stdout = -1;
static FILE *captured;

static void capture(void)
{
    fflush(stdout);
    captured = tmpfile();
    assert_non_null(captured);
    saved_stdout = dup(STDOUT_FILENO);
    /* as under a supervisor: appending, so that threads do not overwrite each other */
    assert_int_equal(fcntl(fileno(captured), F_SETFL, O_APPEND), 0);
    dup2(fileno(captured), STDOUT_FILENO);
}

static char *captured_text(void)
{
    dup2(saved_stdout, STDOUT_FILENO);
    close(saved_stdout);
    fseek(captured, 0, SEEK_END);
    size_t length = (size_t)ftell(captured);
    rewind(captured);
    char *text = memory_allocate(length + 1);
    assert_int_equal(fread(text, 1, length, captured), length);
    fclose(captured);
    return text;
}

static void writes_one_object_per_line(void **state)
{
    (void)state;
    capture();
    log_open("test", LOG_INFO);
    log_set_trace("abc123");
    log_debug("not.seen");
    log_info("pack.sealed", LOG_TEXT("pack", "01\"\n\x01"), LOG_NUMBER("size_bytes", -7));
    log_set_trace("");
    log_error("plain");
    AUTO_FREE char *text = captured_text();

    static const char stamp[] = "{\"ts\":\"2026-11-24T18:19:55.123456Z\"";
    size_t skip = strlen(stamp);
    assert_memory_equal(text, "{\"ts\":\"2", 8);
    char *second = strchr(text, '\n') + 1;
    second[-1] = 0;
    assert_string_equal(
        text + skip, ",\"level\":\"info\",\"service\":\"test\",\"event\":\"pack.sealed\","
                     "\"trace\":\"abc123\",\"pack\":\"01\\\"\\u000a\\u0001\",\"size_bytes\":-7}");
    assert_string_equal(second + skip,
                        ",\"level\":\"error\",\"service\":\"test\",\"event\":\"plain\"}\n");
}

static void keeps_a_line_within_its_limit(void **state)
{
    (void)state;
    char *huge = memory_allocate(100001);
    memset(huge, '\x02', 100000); /* each byte becomes \u0002 */
    capture();
    log_open("test", LOG_DEBUG);
    log_warning("big", LOG_TEXT("a", huge), LOG_TEXT("b", huge), LOG_NUMBER("c", 1));
    AUTO_FREE char *text = captured_text();
    free(huge);
    size_t length = strlen(text);
    assert_true(length > 4096 && length <= 8192);
    assert_string_equal(text + length - strlen(",\"truncated\":true}\n"), ",\"truncated\":true}\n");
}

/* Neither ends a line, nor moves a cursor, nor is no UTF-8: what a stranger names himself is data. */
static void texts_of_strangers_stay_within_their_line(void **state)
{
    (void)state;
    static const char *const texts[] = {"a\r\nb",
                                        "\n{\"level\":\"error\"}\n",
                                        "\x1b[2J\x1b]0;x\x07",
                                        "\xe2\x80\xa8",
                                        "\xff\xfe\x80",
                                        "\xc0\xaf",
                                        "\xed\xa0\x80",
                                        "\xe2\x80",
                                        "\x7f\"\\",
                                        "\xf4\x90\x80\x80"};
    enum { TEXTS = sizeof texts / sizeof *texts };
    capture();
    log_open("test", LOG_INFO);
    for (size_t i = 0; i < TEXTS; i++)
        log_info("name", LOG_TEXT("text", texts[i]));
    AUTO_FREE char *text = captured_text();
    size_t lines = 0;
    for (const char *at = text; *at; at++) {
        assert_true((unsigned char)*at >= 0x20 || *at == '\n');
        lines += *at == '\n';
    }
    assert_int_equal(lines, TEXTS);
    assert_true(text_is_utf8(text, strlen(text)));
}

static void *chatter(void *argument)
{
    char filler[3001];
    memset(filler, *(const char *)argument, 3000);
    filler[3000] = 0;
    for (int i = 0; i < 200; i++)
        log_info("chatter", LOG_TEXT("filler", filler));
    return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
    (void)state;
    capture();
    log_open("test", LOG_INFO);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, chatter, (void *)("abcd" + i)), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    AUTO_FREE char *text = captured_text();
    int lines = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        char *filler = memmem(line, (size_t)(end - line), "\"filler\":\"", 10);
        assert_non_null(filler);
        filler += 10;
        assert_int_equal(strspn(filler, (char[]){*filler, 0}), 3000);
        assert_memory_equal(filler + 3000, "\"}\n", 3);
    }
    assert_int_equal(lines, 800);
}

static long size_now(void)
{
    struct stat info;
    assert_int_equal(fstat(fileno(captured), &info), 0);
    return (long)info.st_size;
}

/* A thread of its own: what it says afterwards would wait, too. */
static void *hold_back(void *argument)
{
    (void)argument;
    log_hold();
    log_info("first");
    log_info("second");
    assert_true(log_is_held());
    assert_int_equal(size_now(), 0);
    log_pass_on();
    assert_false(log_is_held());
    long passed_on = size_now();
    assert_true(passed_on > 0);
    log_info("third");
    assert_int_equal(size_now(), passed_on);
    log_warning("fourth"); /* takes along what waits */
    assert_false(log_is_held());
    for (int i = 0; i < 1000; i++)
        log_info("many");
    assert_true(size_now() > passed_on + 32 * 1024);
    log_pass_on();
    return NULL;
}

static void lines_can_wait_for_others(void **state)
{
    (void)state;
    pthread_t thread;
    capture();
    log_open("test", LOG_INFO);
    assert_int_equal(pthread_create(&thread, NULL, hold_back, NULL), 0);
    pthread_join(thread, NULL);
    AUTO_FREE char *text = captured_text();
    const char *at = text;
    static const char *const events[] = {"first", "second", "third", "fourth", "many"};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        assert_non_null(at = strstr(at, events[i]));
}

static void knows_its_levels(void **state)
{
    (void)state;
    assert_int_equal(log_level_from_text("debug"), LOG_DEBUG);
    assert_int_equal(log_level_from_text("error"), LOG_ERROR);
    assert_int_equal(log_level_from_text("loud"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_one_object_per_line),
        cmocka_unit_test(keeps_a_line_within_its_limit),
        cmocka_unit_test(texts_of_strangers_stay_within_their_line),
        cmocka_unit_test(threads_do_not_mix_lines),
        cmocka_unit_test(lines_can_wait_for_others),
        cmocka_unit_test(knows_its_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
