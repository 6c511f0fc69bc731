/* All associations as the courier sees them: whose child serves whom, and how many children there may be. */
#include "dimse/courier/sessions.h"

#include "log/log.h"
#include "pack/file.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

enum { PLACES = 200, CHILDREN = 120 };

typedef struct {
    char folder[64];
    dimse_config_t config;
    announcements_t *announcements;
    session_parts_t parts;
    sessions_t *sessions;
    int epoll, zygote;
    int children[CHILDREN]; /* their ends, in the order in which they were made */
    size_t count;
} bench_t;

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static int setup(void **state)
{
    static bench_t bench;
    int ends[2];
    memset(&bench, 0, sizeof bench);
    snprintf(bench.folder, sizeof bench.folder, "%s/zpacs-sessions-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(bench.folder));
    assert_int_equal(pack_folder_make(bench.folder, PACK_FOLDER_OPEN), STATUS_OK);
    bench.config.service.data = bench.folder;
    bench.config.request_timeout_s = 30;
    bench.config.pack_open_seconds = 1800;
    bench.config.associations_per_process = 200;
    bench.announcements = announcements_create();
    bench.parts = (session_parts_t){.config = &bench.config,
                                    .limits = limits_create(PLACES, PLACES),
                                    .refused = refused_create()};
    assert_int_equal(packs_open(&bench.config, bench.announcements, &bench.parts.packs), STATUS_OK);
    assert_int_equal(channel_make(ends), STATUS_OK);
    bench.zygote = ends[1];
    bench.parts.spares = spares_create(ends[0]);
    bench.epoll = epoll_create1(EPOLL_CLOEXEC);
    bench.sessions = sessions_create(&bench.parts, bench.epoll);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_t *bench = *state;
    sessions_end_all(bench->sessions);
    sessions_destroy(&bench->sessions);
    for (size_t i = 0; i < bench->count; i++)
        close(bench->children[i]);
    spares_destroy(&bench->parts.spares);
    close(bench->epoll);
    close(bench->zygote);
    packs_close(&bench->parts.packs);
    announcements_destroy(&bench->announcements);
    refused_destroy(&bench->parts.refused);
    limits_destroy(&bench->parts.limits);
    return nftw(bench->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The courier's turn. */
static void turn(bench_t *bench)
{
    struct epoll_event events[CHILDREN];
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    int count = epoll_wait(bench->epoll, events, CHILDREN, 0);
    for (int i = 0; i < count; i++)
        sessions_serve(bench->sessions, events[i].data.ptr);
    sessions_tick(bench->sessions);
    while (channel_receive(bench->zygote, &message, fds, false) == STATUS_OK)
        bench->children[bench->count++] = fds[0];
}

static void adopt(bench_t *bench, const char *address)
{
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make()};
    assert_int_equal(address_parse(address, &start.address), STATUS_OK);
    assert_int_equal(limits_take(bench->parts.limits, &start.address), LIMITS_OK);
    sessions_adopt(bench->sessions, &start, dup(STDERR_FILENO));
    turn(bench);
}

static void say(const bench_t *bench, size_t child, channel_kind_t kind)
{
    const channel_message_t message = {.kind = kind};
    assert_int_equal(channel_send(bench->children[child], &message, NULL, 0, false), STATUS_OK);
}

static void release(bench_t *bench, size_t child)
{
    say(bench, child, CHANNEL_ACCEPTED);
    say(bench, child, CHANNEL_RESTS);
    turn(bench);
}

/* What it was told since it was asked last; 0: nothing. */
static channel_kind_t hear(const bench_t *bench, size_t child)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    if (channel_receive(bench->children[child], &message, fds, false) != STATUS_OK)
        return 0;
    for (int i = 0; i < CHANNEL_FDS_MAX; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return message.kind;
}

/* Of all children there are, which was told of an association; nobody else was. */
static size_t who_starts(const bench_t *bench)
{
    size_t found = CHILDREN;
    for (size_t i = 0; i < bench->count; i++) {
        if (hear(bench, i) != CHANNEL_START)
            continue;
        assert_int_equal(found, CHILDREN);
        found = i;
    }
    assert_true(found < CHILDREN);
    return found;
}

static void one_address_is_served_by_one_child(void **state)
{
    bench_t *bench = *state;
    adopt(bench, "192.0.2.1");
    size_t first = who_starts(bench);
    for (int i = 0; i < 5; i++) {
        release(bench, first);
        assert_int_equal(limits_in_use(bench->parts.limits), 0);
        adopt(bench, "192.0.2.1");
        assert_int_equal(who_starts(bench), first);
    }
}

static void another_address_never_gets_it(void **state)
{
    bench_t *bench = *state;
    adopt(bench, "192.0.2.1");
    size_t first = who_starts(bench);
    release(bench, first);
    adopt(bench, "192.0.2.2");
    size_t second = who_starts(bench);
    assert_int_not_equal(second, first);
    release(bench, second);
    adopt(bench, "192.0.2.1");
    assert_int_equal(who_starts(bench), first);
    adopt(bench, "192.0.2.1"); /* at the same time */
    size_t third = who_starts(bench);
    assert_true(third != first && third != second);
}

static void one_that_has_died_is_passed_over(void **state)
{
    bench_t *bench = *state;
    adopt(bench, "192.0.2.1");
    size_t first = who_starts(bench);
    release(bench, first);
    close(bench->children[first]);
    bench->children[first] = dup(STDERR_FILENO);
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make()};
    assert_int_equal(address_parse("192.0.2.1", &start.address), STATUS_OK);
    assert_int_equal(limits_take(bench->parts.limits, &start.address), LIMITS_OK);
    sessions_adopt(bench->sessions, &start, dup(STDERR_FILENO));
    sessions_tick(bench->sessions); /* before it is known */
    turn(bench);
    assert_int_not_equal(who_starts(bench), first);
    assert_int_equal(limits_in_use(bench->parts.limits), 1);
}

static void who_rests_for_long_is_ended(void **state)
{
    bench_t *bench = *state;
    adopt(bench, "192.0.2.1");
    size_t first = who_starts(bench);
    release(bench, first);
    channel_kind_t kind;
    for (int i = 0; (kind = hear(bench, first)) == 0 && i < 10000; i++) {
        usleep(10 * 1000);
        sessions_tick(bench->sessions);
    }
    assert_int_equal(kind, CHANNEL_STOP);
    adopt(bench, "192.0.2.1"); /* it is still there, and gets nobody */
    assert_int_not_equal(who_starts(bench), first);
}

static void so_many_rest(void **state)
{
    bench_t *bench = *state;
    enum { MORE = 4, ALL = SESSIONS_RESTING_MAX + MORE };
    size_t children[ALL], stopped = 0;
    for (size_t i = 0; i < ALL; i++) {
        adopt(bench, "192.0.2.1");
        children[i] = who_starts(bench);
    }
    for (size_t i = 0; i < ALL; i++)
        release(bench, children[i]);
    for (size_t i = 0; i < ALL; i++)
        stopped += hear(bench, children[i]) == CHANNEL_STOP;
    assert_int_equal(stopped, MORE);
    assert_int_equal(limits_in_use(bench->parts.limits), 0);
}

/* A child that says it has ended, and stays, has a place; when there are many such. */
static void so_many_leave_before_they_are_gone(void **state)
{
    bench_t *bench = *state;
    enum { MORE = 3, ALL = SESSIONS_LEAVING_MAX + MORE };
    size_t children[ALL];
    for (size_t i = 0; i < ALL; i++) {
        adopt(bench, "192.0.2.1");
        children[i] = who_starts(bench);
    }
    for (size_t i = 0; i < ALL; i++) {
        say(bench, children[i], CHANNEL_ACCEPTED);
        say(bench, children[i], CHANNEL_ENDED);
        turn(bench);
    }
    assert_int_equal(limits_in_use(bench->parts.limits), MORE);
    for (size_t i = 0; i < ALL; i++) {
        close(bench->children[children[i]]);
        bench->children[children[i]] = -1;
    }
    turn(bench);
    assert_int_equal(limits_in_use(bench->parts.limits), 0);
}

static void a_service_that_drains_lets_nobody_rest(void **state)
{
    bench_t *bench = *state;
    adopt(bench, "192.0.2.1");
    size_t first = who_starts(bench);
    adopt(bench, "192.0.2.1");
    size_t second = who_starts(bench);
    release(bench, first);
    sessions_drain(bench->sessions);
    assert_int_equal(hear(bench, first), CHANNEL_STOP);
    release(bench, second);
    assert_int_equal(hear(bench, second), CHANNEL_DRAIN);
    assert_int_equal(hear(bench, second), CHANNEL_STOP);
    assert_int_equal(limits_in_use(bench->parts.limits), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_address_is_served_by_one_child),
        TEST(another_address_never_gets_it),
        TEST(one_that_has_died_is_passed_over),
        TEST(who_rests_for_long_is_ended),
        TEST(so_many_rest),
        TEST(so_many_leave_before_they_are_gone),
        TEST(a_service_that_drains_lets_nobody_rest),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
