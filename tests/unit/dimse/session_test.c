/* The courier's side of an association: what it tells its child, and what it makes of the child's words. */
#include "dimse/courier/session.h"

#include "dimse/door/refusal.h"
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
    int zygote; /* its end of its channel */
    int child;  /* its end of its channel */
} bench_t;

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

/* What the zygote hears next, and the descriptor that came with it. */
static int hear_zygote(const bench_t *bench, channel_kind_t kind)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    assert_int_equal(channel_receive(bench->zygote, &message, fds, false), STATUS_OK);
    assert_int_equal(message.kind, kind);
    return fds[0];
}

/* An association comes, and a child is made for it: from then on it is here. */
static void begin(bench_t *bench)
{
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make()};
    assert_int_equal(address_parse("192.0.2.7", &start.address), STATUS_OK);
    assert_int_equal(limits_take(bench->parts.limits, &start.address), LIMITS_OK);
    bench->session = session_create(&start, dup(STDERR_FILENO));
    assert_int_equal(session_start(bench->session, &bench->parts), STATUS_OK);
    bench->child = hear_zygote(bench, CHANNEL_SPAWN);
    assert_true(bench->child >= 0);
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
    bench.config.associations_per_process = 3;
    bench.announcements = announcements_create();
    bench.parts = (session_parts_t){
        .config = &bench.config, .limits = limits_create(4, 4), .refused = refused_create()};
    assert_int_equal(packs_open(&bench.config, bench.announcements, &bench.parts.packs), STATUS_OK);
    session_register_metrics();
    int ends[2];
    assert_int_equal(channel_make(ends), STATUS_OK);
    bench.zygote = ends[1];
    bench.parts.spares = spares_create(ends[0]);
    begin(&bench);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_t *bench = *state;
    if (bench->session)
        session_end(&bench->session, &bench->parts, true);
    close(bench->child);
    close(bench->zygote);
    spares_destroy(&bench->parts.spares);
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

/* The next message of the courier; how many descriptors came with it. */
static channel_kind_t hear(bench_t *bench, int *out_count)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    assert_int_equal(channel_receive(bench->child, &message, fds, false), STATUS_OK);
    *out_count = 0;
    for (int i = 0; i < CHANNEL_FDS_MAX; i++)
        if (fds[i] >= 0)
            *out_count += close(fds[i]) == 0;
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
    int count;
    assert_int_equal(hear(bench, &count), CHANNEL_START);
    assert_int_equal(count, 1); /* the socket */
    say(bench, CHANNEL_WANT_PACK, "");
    assert_true(session_serve(bench->session, &bench->parts));
    assert_int_equal(hear(bench, &count), CHANNEL_PACK);
    assert_int_equal(count, 1);
}

static void without_a_folder_there_is_no_pack(void **state)
{
    bench_t *bench = *state;
    char away[80];
    int count;
    assert_int_equal(hear(bench, &count), CHANNEL_START);
    snprintf(away, sizeof away, "%s-away", bench->folder);
    assert_int_equal(rename(bench->folder, away), 0);
    say(bench, CHANNEL_WANT_PACK, "");
    assert_true(session_serve(bench->session, &bench->parts));
    assert_int_equal(rename(away, bench->folder), 0);
    assert_int_equal(hear(bench, &count), CHANNEL_NO_PACK);
    assert_int_equal(count, 0);
}

/* Children that wait are forked ahead; one that has died meanwhile costs nobody an association. */
static void a_spare_that_has_died_is_passed_over(void **state)
{
    bench_t *bench = *state;
    int count, children[SPARES];
    close(bench->child);
    session_end(&bench->session, &bench->parts, true);
    spares_fill(bench->parts.spares);
    for (int i = 0; i < SPARES; i++)
        children[i] = hear_zygote(bench, CHANNEL_SPAWN);
    close(children[0]);
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make()};
    bench->session = session_create(&start, dup(STDERR_FILENO));
    assert_int_equal(session_start(bench->session, &bench->parts), STATUS_OK);
    bench->child = children[1];
    assert_int_equal(hear(bench, &count), CHANNEL_START);
    for (int i = 2; i < SPARES; i++)
        close(children[i]);
}

static void without_a_zygote_there_is_no_association(void **state)
{
    bench_t *bench = *state;
    AUTO_BUFFER json = {0};
    close(bench->child);
    session_end(&bench->session, &bench->parts, true);
    close(bench->zygote);
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make()};
    assert_int_equal(address_parse("192.0.2.8", &start.address), STATUS_OK);
    bench->session = session_create(&start, dup(STDERR_FILENO));
    assert_int_equal(session_start(bench->session, &bench->parts), STATUS_UNAVAILABLE);
    session_end(&bench->session, &bench->parts, false);
    bench->child = bench->zygote = -1;
    assert_non_null(strstr(refusals(bench, &json), "192.0.2.8"));
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

/* ---- one association after the other ------------------------------------------------------------ */

/* What the child says of an association with one instance, which it has put into its pack. */
static void store_and_release(bench_t *bench)
{
    session_t *session = bench->session;
    pack_writer_t *writer = session->lease.writer;
    pack_record_t record = {.transfer_syntax_uid = "1.2"};
    say(bench, CHANNEL_ACCEPTED, "");
    assert_int_equal(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 1), STATUS_OK);
    assert_int_equal(pack_writer_append(writer, "bytes", 5), STATUS_OK);
    assert_int_equal(pack_writer_commit(writer, "p", 1, &record), STATUS_OK);
    channel_message_t appended = {.kind = CHANNEL_APPENDED, .bytes = 5};
    appended.offset = pack_writer_durable_offset(writer);
    assert_int_equal(channel_send(bench->child, &appended, NULL, 0, false), STATUS_OK);
    say(bench, CHANNEL_RESTS, "released");
    assert_true(session_serve(session, &bench->parts));
}

static void want_pack(bench_t *bench)
{
    int count;
    assert_int_equal(hear(bench, &count), CHANNEL_START);
    say(bench, CHANNEL_WANT_PACK, "");
    assert_true(session_serve(bench->session, &bench->parts));
    assert_int_equal(hear(bench, &count), CHANNEL_PACK);
}

/* Another association of that address, in the same child. */
static status_t follow(bench_t *bench)
{
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make()};
    start.address = bench->session->self.address;
    session_t *next = session_create(&start, dup(STDERR_FILENO));
    status_t status = session_follow(next, bench->session);
    session_give_place(bench->session, &bench->parts);
    session_end(&bench->session, &bench->parts, false);
    assert_int_equal(limits_take(bench->parts.limits, &start.address), LIMITS_OK);
    bench->session = next;
    return status;
}

static void a_child_serves_one_after_the_other(void **state)
{
    bench_t *bench = *state;
    int count;
    want_pack(bench);
    const ulid_t pack = pack_writer_pack(bench->session->lease.writer);
    store_and_release(bench);
    assert_int_equal(bench->session->state, SESSION_RESTS);
    uint64_t end = pack_writer_durable_offset(bench->session->lease.writer);
    assert_int_equal(bench->session->lease.start, end); /* what it stored is an earlier one's now */
    assert_int_equal(follow(bench), STATUS_OK);
    assert_int_equal(hear(bench, &count), CHANNEL_START);
    assert_int_equal(count, 1); /* the socket: its pack it has */
    assert_int_equal(bench->session->state, SESSION_SERVES);
    assert_int_equal(bench->session->stored, 0);
    assert_false(bench->session->was_accepted);
    assert_string_equal(pack_writer_pack(bench->session->lease.writer).text, pack.text);
    store_and_release(bench);
    assert_int_equal(bench->session->stored, 1);
    assert_int_equal(bench->session->state, SESSION_RESTS);
}

static void a_child_serves_so_many(void **state)
{
    bench_t *bench = *state;
    int count;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(hear(bench, &count), CHANNEL_START);
        say(bench, CHANNEL_ACCEPTED, "");
        say(bench, CHANNEL_RESTS, "released");
        assert_true(session_serve(bench->session, &bench->parts));
        assert_int_equal(bench->session->state, i < 3 ? SESSION_RESTS : SESSION_LEAVES);
        if (i < 3)
            assert_int_equal(follow(bench), STATUS_OK);
    }
    assert_int_equal(hear(bench, &count), CHANNEL_STOP);
}

static void an_association_is_refused_once_in_each(void **state)
{
    bench_t *bench = *state;
    AUTO_BUFFER json = {0};
    say(bench, CHANNEL_ACCEPTED, "");
    say(bench, CHANNEL_RESTS, "released");
    assert_true(session_serve(bench->session, &bench->parts));
    assert_int_equal(follow(bench), STATUS_OK);
    say(bench, CHANNEL_REFUSED, "first");
    say(bench, CHANNEL_REFUSED, "second");
    say(bench, CHANNEL_RESTS, "released");
    assert_true(session_serve(bench->session, &bench->parts));
    assert_int_equal(bench->session->state, SESSION_LEAVES);
    const char *list = refusals(bench, &json);
    assert_non_null(strstr(list, "\"count\":1,"));
    assert_null(strstr(list, "second"));
}

/* A child that did what none of ours does, or of which an instance was refused, serves nobody else. */
static void who_was_amiss_is_not_used_again(void **state)
{
    bench_t *bench = *state;
    enum { AMISS = 4 };
    static const channel_kind_t amiss[AMISS] = {CHANNEL_STORE_REFUSED, CHANNEL_APPENDED,
                                                CHANNEL_PACK_FAILED, CHANNEL_START};
    static const uint8_t garbage[PACK_BLOCK_SIZE] = {1};
    int count;
    for (size_t i = 0; i <= AMISS; i++) {
        want_pack(bench);
        say(bench, CHANNEL_ACCEPTED, "");
        const channel_message_t message = {.kind = i < AMISS ? amiss[i] : 0, .offset = 1 << 30};
        if (i < AMISS)
            assert_int_equal(channel_send(bench->child, &message, NULL, 0, false), STATUS_OK);
        else
            assert_int_equal(pwrite(pack_writer_fd(bench->session->lease.writer), garbage,
                                    sizeof garbage, PACK_BLOCK_SIZE),
                             sizeof garbage);
        say(bench, CHANNEL_RESTS, "released");
        assert_true(session_serve(bench->session, &bench->parts));
        assert_int_equal(bench->session->state, SESSION_LEAVES);
        assert_int_equal(hear(bench, &count), CHANNEL_STOP);
        close(bench->child);
        session_end(&bench->session, &bench->parts, false);
        begin(bench);
    }
}

static void who_speaks_while_it_rests_is_not_used_again(void **state)
{
    bench_t *bench = *state;
    int count;
    assert_int_equal(hear(bench, &count), CHANNEL_START);
    say(bench, CHANNEL_ACCEPTED, "");
    say(bench, CHANNEL_RESTS, "released");
    say(bench, CHANNEL_WANT_PACK, "");
    assert_true(session_serve(bench->session, &bench->parts));
    assert_int_equal(bench->session->state, SESSION_LEAVES);
    assert_null(bench->session->lease.writer);
    assert_int_equal(hear(bench, &count), CHANNEL_STOP);
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
    const channel_message_t self = {.kind = CHANNEL_START};
    long before = deaths();
    session_note_exit(SIGALRM, &self); /* as wait() tells it: the time limit, which is no fault */
    assert_int_equal(deaths(), before);
    session_note_exit(SIGSYS, &self);
    session_note_exit(70 << 8, &self);
    assert_int_equal(deaths(), before + 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_starts_without_a_pack_and_gets_one),
        TEST(without_a_folder_there_is_no_pack),
        TEST(words_are_taken_some_at_a_time),
        TEST(last_words_are_kept),
        TEST(a_silent_child_is_told_apart),
        TEST(deaths_are_counted),
        TEST(a_spare_that_has_died_is_passed_over),
        TEST(without_a_zygote_there_is_no_association),
        TEST(a_child_serves_one_after_the_other),
        TEST(a_child_serves_so_many),
        TEST(an_association_is_refused_once_in_each),
        TEST(who_was_amiss_is_not_used_again),
        TEST(who_speaks_while_it_rests_is_not_used_again),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
