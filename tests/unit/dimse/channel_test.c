/* The channel between the processes: its end is the end of a process, and nothing else is. */
#include "dimse/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static status_t take(int channel)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    return channel_receive(channel, &message, fds, false);
}

static void an_empty_message_is_not_the_end(void **state)
{
    (void)state;
    int ends[2];
    channel_message_t message = {.kind = CHANNEL_ENDED};
    assert_int_equal(channel_make(ends), STATUS_OK);
    assert_int_equal(send(ends[1], "", 0, 0), 0);
    assert_int_equal(send(ends[1], "short", 5, 0), 5);
    assert_int_equal(channel_send(ends[1], &message, NULL, 0, false), STATUS_OK);
    assert_int_equal(take(ends[0]), STATUS_INVALID);
    assert_int_equal(take(ends[0]), STATUS_INVALID);
    assert_int_equal(take(ends[0]), STATUS_OK);
    assert_int_equal(take(ends[0]), STATUS_BUSY);
    assert_int_equal(send(ends[1], "", 0, 0), 0); /* and nothing behind it */
    assert_int_equal(take(ends[0]), STATUS_INVALID);
    assert_int_equal(take(ends[0]), STATUS_BUSY);
    close(ends[1]);
    assert_int_equal(take(ends[0]), STATUS_NOT_FOUND);
    close(ends[0]);
}

static void last_words_are_heard(void **state)
{
    (void)state;
    int ends[2];
    channel_message_t message = {.kind = CHANNEL_ENDED};
    assert_int_equal(channel_make(ends), STATUS_OK);
    assert_int_equal(channel_send(ends[1], &message, NULL, 0, false), STATUS_OK);
    message.kind = CHANNEL_DRAIN; /* which it has not read when it ends */
    assert_int_equal(channel_send(ends[0], &message, NULL, 0, false), STATUS_OK);
    close(ends[1]);
    assert_int_equal(take(ends[0]), STATUS_OK);
    assert_int_equal(take(ends[0]), STATUS_NOT_FOUND);
    close(ends[0]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(an_empty_message_is_not_the_end),
                                              cmocka_unit_test(last_words_are_heard)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
