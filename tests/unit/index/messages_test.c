#include "support.h"

#include <unistd.h>

/*
 * What writers tell is lost, doubled and overtaken by later words, while they go on writing. Whatever
 * arrives, the rows are those of the packs: the last word, or the look of every second, makes up.
 */
enum { WRITERS = 6, TURNS = 900, TOLD_MAX = TURNS, INSTANCES = 240, STUDIES = 7, SEEDS = 2 };

typedef struct {
    ulid_t pack;
    uint64_t durable;
} told_t;

typedef struct {
    bench_t bench;
    void *lane;
    uint64_t seed;
    pack_writer_t *writers[WRITERS];
    told_t told[TOLD_MAX]; /* on its way */
    size_t told_count;
    size_t delivered, lost;
} traffic_t;

static unsigned next(traffic_t *traffic, unsigned below)
{
    traffic->seed = traffic->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(traffic->seed >> 33) % below;
}

/* ---- writers ----------------------------------------------------------------------------------- */

/* Some instances come twice, of these some with other bytes. */
static void record_write(traffic_t *traffic, pack_writer_t *writer, int64_t received_us)
{
    char sop[32], study[32], series[40], number[8], bytes[24];
    unsigned instance = next(traffic, INSTANCES), in_study = instance % STUDIES;
    snprintf(sop, sizeof sop, "2.5.%u", instance + 1);
    snprintf(study, sizeof study, "2.6.%u", in_study + 1);
    snprintf(series, sizeof series, "2.6.%u.%u", in_study + 1, instance % 3 + 1);
    snprintf(number, sizeof number, "%u", instance);
    snprintf(bytes, sizeof bytes, "bytes %u", next(traffic, 8) == 0);
    sample_t sample = {sop,  study, series, "Name^A", "P1",  "20260101",
                       "10", "CT",  number, "A",      bytes, received_us};
    (void)sample_write(writer, &sample);
}

/* Now and then a pack is sealed, and the writer goes on in a new one. */
static void write_some(traffic_t *traffic, int turn)
{
    pack_writer_t **writer = &traffic->writers[next(traffic, WRITERS)];
    if (*writer && next(traffic, 40) == 0)
        assert_int_equal(pack_writer_seal(traffic->bench.folder, writer), STATUS_OK);
    if (!*writer)
        assert_int_equal(pack_writer_create(traffic->bench.folder, writer), STATUS_OK);
    record_write(traffic, *writer, 1000 + turn);
    traffic->told[traffic->told_count++] =
        (told_t){pack_writer_pack(*writer), pack_writer_durable_offset(*writer)};
}

/* ---- messages ---------------------------------------------------------------------------------- */

static const wire_route_t *route_of(const ProtobufCMessageDescriptor *request)
{
    const wire_route_t *route = index_routes;
    while (route->request && route->request != request)
        route++;
    assert_non_null(route->request);
    return route;
}

/* As the wire hands it to the writing lane; the answer is what a courier believes. */
static void deliver(traffic_t *traffic, const told_t *told)
{
    const wire_route_t *route = route_of(&index__pack_appended__descriptor);
    const wire_call_t call = {.caller = "dimse", .trace_id = "", .deadline_ms = INT64_MAX};
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    Index__PackIndexed *reply = memory_allocate(sizeof *reply);
    index__pack_indexed__init(reply);
    request.pack = (char *)(uintptr_t)told->pack.text;
    request.durable_offset = told->durable;
    request.outcomes_from = next(traffic, 4) == 0 ? PACK_BLOCK_SIZE : 0;
    assert_int_equal(route->handler(traffic->lane, &call, &request.base, &reply->base), STATUS_OK);
    assert_true(reply->committed_offset >= told->durable);
    assert_true(!request.outcomes_from || reply->n_outcomes > 0);
    index__pack_indexed__free_unpacked(reply, NULL);
    traffic->delivered++;
}

/* Any of those on their way arrives, arrives and stays, or is lost. */
static void carry_some(traffic_t *traffic)
{
    if (traffic->told_count == 0)
        return;
    size_t i = next(traffic, (unsigned)traffic->told_count);
    told_t told = traffic->told[i];
    unsigned fate = next(traffic, 4);
    if (fate != 0)
        traffic->told[i] = traffic->told[--traffic->told_count];
    if (fate != 1)
        deliver(traffic, &told);
    else
        traffic->lost++;
}

/* ---- the end ----------------------------------------------------------------------------------- */

/* Writers tell their last offset until it is answered; sealed packs are found by looking. */
static void tell_last(traffic_t *traffic)
{
    for (int i = 0; i < WRITERS; i++) {
        if (!traffic->writers[i])
            continue;
        const told_t last = {pack_writer_pack(traffic->writers[i]),
                             pack_writer_durable_offset(traffic->writers[i])};
        deliver(traffic, &last);
    }
}

static void seal_all(traffic_t *traffic)
{
    for (int i = 0; i < WRITERS; i++)
        if (traffic->writers[i])
            assert_int_equal(pack_writer_seal(traffic->bench.folder, &traffic->writers[i]),
                             STATUS_OK);
}

/* Everything again, from the packs alone. */
static void rebuild(bench_t *bench)
{
    assert_true(index_lock(bench->index, INT64_MAX));
    assert_int_equal(rebuild_start(bench->index), STATUS_OK);
    index_unlock(bench->index);
    index_wait(bench->index);
    index_lane_idle(bench->index, 0, NULL);
    assert_false(atomic_load(&bench->index->rebuilding));
}

static void run(uint64_t seed, bool last_word)
{
    static traffic_t traffic;
    AUTO_BUFFER found = {0}, expected = {0};
    memset(&traffic, 0, sizeof traffic);
    traffic.seed = seed;
    bench_open(&traffic.bench);
    index_wait(traffic.bench.index);
    traffic.lane = index_lane_open(traffic.bench.index, 0);
    for (int turn = 0; turn < TURNS; turn++) {
        write_some(&traffic, turn);
        if (next(&traffic, 3) != 0)
            carry_some(&traffic);
        if (next(&traffic, 60) == 0)
            index_lane_idle(traffic.bench.index, 0, traffic.lane);
    }
    assert_true(traffic.lost > 50 && traffic.delivered > 200 && traffic.told_count > 50);
    if (last_word)
        tell_last(&traffic);
    else
        seal_all(&traffic);
    traffic.bench.index->next_full_scan_ms = 0; /* the minute has passed */
    index_lane_idle(traffic.bench.index, 0, traffic.lane);
    answers(&traffic.bench, &found);
    seal_all(&traffic);
    index_lane_close(traffic.bench.index, 0, traffic.lane);
    rebuild(&traffic.bench);
    answers(&traffic.bench, &expected);
    assert_true(expected.length > 1000);
    assert_string_equal(buffer_text(&expected), buffer_text(&found));
    bench_close(&traffic.bench);
}

/* ---- tests ------------------------------------------------------------------------------------- */

static void test_the_last_word_counts(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed, true);
}

static void test_no_word_is_needed(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed < 11 + SEEDS; seed++)
        run(seed, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_word_counts),
        cmocka_unit_test(test_no_word_is_needed),
    };
    return bench_run_on_both("messages", tests, sizeof tests / sizeof *tests);
}
