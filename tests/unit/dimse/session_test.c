/* The courier's side of an association: what it tells its child, and what it makes of the child's words. */
#include "dimse/session.h"

#include "dimse/refusal.h"
#include "log/log.h"
#include "pack/file.h"
#include "service/metrics_text.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    char folder[64];
    dimse_config_t config;
    announcements_t *announcements;
    session_parts_t parts;
    session_t *session;
    int child; /* its end of the channel */
} bench_t;

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static int setup(void **state)
{
    static bench_t bench;
    memset(&bench, 0, sizeof bench);
    snprintf(bench.folder, sizeof bench.folder, "%s/zpacs-session-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(bench.folder));
    assert_int_equal(pack_folder_make(bench.folder, PACK_FOLDER_OPEN), STATUS_OK);
    bench.config.service.data = bench.folder;
    bench.config.request_timeout_s = 30;
    bench.config.pack_open_seconds = 1800;
    bench.announcements = announcements_create();
    bench.parts = (session_parts_t){
        .config = &bench.config, .limits = limits_create(4, 4), .refused = refused_create()};
    assert_int_equal(packs_open(&bench.config, bench.announcements, &bench.parts.packs), STATUS_OK);
    session_register_metrics();
    channel_message_t spawn = {.kind = CHANNEL_SPAWN, .association = ulid_make()};
    int ends[2];
    assert_int_equal(address_parse("192.0.2.7", &spawn.address), STATUS_OK);
    assert_int_equal(limits_take(bench.parts.limits, &spawn.address), LIMITS_OK);
    assert_int_equal(channel_make(ends), STATUS_OK);
    bench.session = session_create(&spawn, ends[0]);
    bench.child = ends[1];
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_t *bench = *state;
    if (bench->session)
        session_end(&bench->session, &bench->parts, true);
    close(bench->child);
    packs_close(&bench->parts.packs);
    announcements_destroy(&bench->announcements);
    refused_destroy(&bench->parts.refused);
    limits_destroy(&bench->parts.limits);
    return nftw(bench->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void say(bench_t *bench, channel_kind_t kind, const char *text)
{
    channel_message_t message = {.kind = kind};
    channel_set_text(&message, text);
    assert_int_equal(channel_send(bench->child, &message, NULL, 0, false), STATUS_OK);
}

/* The next message of the courier; whether a descriptor came with it. */
static channel_kind_t hear(bench_t *bench, bool *out_with_pack)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    assert_int_equal(channel_receive(bench->child, &message, fds, false), STATUS_OK);
    *out_with_pack = fds[0] >= 0;
    if (fds[0] >= 0)
        close(fds[0]);
    return message.kind;
}

static const char *refusals(bench_t *bench, buffer_t *out)
{
    refused_append_json(bench->parts.refused, INT64_MAX / 2, out);
    return buffer_text(out);
}

static void it_starts_without_a_pack_and_gets_one(void **state)
{
    bench_t *bench = *state;
    bool with_pack;
    session_start(bench->session, &bench->parts);
    assert_int_equal(hear(bench, &with_pack), CHANNEL_START);
    assert_false(with_pack);
    say(bench, CHANNEL_WANT_PACK, "");
    assert_true(session_serve(bench->session, &bench->parts));
    assert_int_equal(hear(bench, &with_pack), CHANNEL_PACK);
    assert_true(with_pack);
}

static void without_a_folder_there_is_no_pack(void **state)
{
    bench_t *bench = *state;
    char away[80];
    bool with_pack;
    snprintf(away, sizeof away, "%s-away", bench->folder);
    assert_int_equal(rename(bench->folder, away), 0);
    say(bench, CHANNEL_WANT_PACK, "");
    assert_true(session_serve(bench->session, &bench->parts));
    assert_int_equal(rename(away, bench->folder), 0);
    assert_int_equal(hear(bench, &with_pack), CHANNEL_NO_PACK);
    assert_false(with_pack);
}

/* A busy child does not keep the others waiting, and what it hands over is closed. */
static void words_are_taken_some_at_a_time(void **state)
{
    bench_t *bench = *state;
    enum { WORDS = 65 };
    channel_message_t message = {.kind = CHANNEL_STORE_REFUSED, .number = 0xA700};
    int before = dup(bench->child);
    close(before);
    for (int i = 0; i < WORDS; i++)
        assert_int_equal(channel_send(bench->child, &message, &bench->child, 1, false), STATUS_OK);
    assert_true(session_serve(bench->session, &bench->parts));
    assert_int_equal(bench->session->refused, WORDS - 1);
    assert_true(session_serve(bench->session, &bench->parts));
    assert_int_equal(bench->session->refused, WORDS);
    int after = dup(bench->child);
    assert_int_equal(after, before);
    close(after);
}

static void last_words_are_kept(void **state)
{
    bench_t *bench = *state;
    say(bench, CHANNEL_ACCEPTED, "");
    say(bench, CHANNEL_ENDED, "released");
    assert_true(session_serve(bench->session, &bench->parts));
    assert_string_equal(bench->session->end, "released");
    assert_true(bench->session->was_accepted);
}

static void a_silent_child_is_told_apart(void **state)
{
    bench_t *bench = *state;
    AUTO_BUFFER json = {0};
    bench->config.request_timeout_s = 0; /* its time is over */
    close(bench->child);
    assert_false(session_serve(bench->session, &bench->parts));
    session_end(&bench->session, &bench->parts, false);
    bench->child = dup(STDERR_FILENO);
    assert_non_null(strstr(refusals(bench, &json), "192.0.2.7"));
    assert_int_equal(limits_in_use(bench->parts.limits), 0);
}

static long deaths(void)
{
    static const char name[] = "\nzpacs_associations_died_total ";
    AUTO_BUFFER text = {0};
    metrics_append_text(&text);
    const char *line = strstr(buffer_text(&text), name);
    assert_non_null(line);
    return strtol(line + sizeof name - 1, NULL, 10);
}

static void deaths_are_counted(void **state)
{
    (void)state;
    channel_message_t exited = {.kind = CHANNEL_EXITED};
    assert_int_equal(address_parse("192.0.2.7", &exited.address), STATUS_OK);
    long before = deaths();
    exited.number = SIGALRM; /* as wait() tells it: the time limit, which is no fault */
    session_note_exit(&exited);
    assert_int_equal(deaths(), before);
    exited.number = SIGSYS;
    session_note_exit(&exited);
    exited.number = 70 << 8;
    session_note_exit(&exited);
    assert_int_equal(deaths(), before + 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_starts_without_a_pack_and_gets_one), TEST(without_a_folder_there_is_no_pack),
        TEST(words_are_taken_some_at_a_time),        TEST(last_words_are_kept),
        TEST(a_silent_child_is_told_apart),          TEST(deaths_are_counted),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
