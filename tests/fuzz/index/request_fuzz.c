/*
 * A request to the index from a service that a stranger has taken over, or whose caller chose its
 * texts: the first byte chooses the row of index_routes[], the rest is the message. It is answered in
 * one of the ways that proto/ names: no text makes wrong SQL. A reading one is answered alike twice.
 *
 * Rebuild is left out: it has nothing to read, and starts a thread.
 */
#include "../../unit/index/support.h"
#include "log/log.h"
#include "wire/envelope.h"
#include "../must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bench_t bench;
static void *lanes[2];
static size_t route_count;

static const sample_t samples[] = {
    {.sop = "1.2.3.1",
     .study = "1.2",
     .series = "1.2.3",
     .name = "M\xC3\xBCller^Anna=\xE5\xB1\xB1",
     .patient_id = "P-1",
     .date = "20261124",
     .time = "183000",
     .modality = "CT",
     .number = "1",
     .accession = "A1",
     .description = "Head",
     .received_us = 1000},
    {.sop = "1.2.3.2",
     .study = "1.2",
     .series = "1.2.3",
     .name = "M\xC3\xBCller^Anna",
     .patient_id = "P-1",
     .modality = "CT",
     .number = "2",
     .received_us = 2000},
    {.sop = "1.5.6.1",
     .study = "1.5",
     .series = "1.5.6",
     .name = "Doe^John",
     .patient_id = "P-2",
     .date = "20251231",
     .modality = "MR",
     .number = "1",
     .received_us = 3000},
    {.sop = "1.5.6.1",
     .study = "1.5",
     .series = "1.5.6",
     .name = "Other^Bytes",
     .patient_id = "P-2",
     .modality = "MR",
     .number = "1",
     .received_us = 4000},
};

static void begin(void)
{
    bench_open(&bench);
    (void)bench_store(&bench, samples, sizeof samples / sizeof *samples);
    for (int lane = 0; lane < 2; lane++)
        lanes[lane] = index_lane_open(bench.index, lane);
}

static void end(void)
{
    for (int lane = 0; lane < 2; lane++)
        index_lane_close(bench.index, lane, lanes[lane]);
    bench_close(&bench);
}

static void prepare(void)
{
    log_set_level(LOG_ERROR);
    while (index_routes[route_count].request)
        route_count++;
    begin();
    atexit(end);
}

static bool is_promised(status_t status)
{
    return status == STATUS_OK || status == STATUS_INVALID || status == STATUS_NOT_FOUND ||
           status == STATUS_CONFLICT || status == STATUS_TOO_LARGE || status == STATUS_UNSUPPORTED;
}

/* The answer as it travels. */
static status_t ask(const wire_route_t *route, const ProtobufCMessage *request, buffer_t *out)
{
    const wire_call_t call = {
        .caller = "dicomweb", .trace_id = "", .deadline_ms = clock_monotonic_ms() + 60 * 1000};
    ProtobufCMessage *reply = memory_allocate(route->reply->sizeof_message);
    protobuf_c_message_init(route->reply, reply);
    status_t status = route->handler(lanes[route->lane], &call, request, reply);
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (status == STATUS_OK) {
        must(envelope_pack(reply, &bytes, &length) == STATUS_OK, "a reply does not fit");
        buffer_append(out, bytes, length);
        free(bytes);
    }
    protobuf_c_message_free_unpacked(reply, NULL);
    return status;
}

static void try_route(const wire_route_t *route, const ProtobufCMessage *request)
{
    AUTO_BUFFER first = {0}, second = {0};
    status_t status = ask(route, request, &first);
    must(is_promised(status), status_name(status));
    if (route->lane == 0) {
        if (status == STATUS_OK) { /* what it changed must not be seen by the next input */
            end();
            begin();
        }
        return;
    }
    must(ask(route, request, &second) == status, "another answer");
    must(route->request == &index__get_statistics__descriptor ||
             (first.length == second.length &&
              (!first.length || memcmp(first.data, second.data, first.length) == 0)),
         "another answer");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ProtobufCMessage *request = NULL;
    if (size == 0)
        return 0;
    if (!route_count)
        prepare();
    const wire_route_t *route = &index_routes[data[0] % route_count];
    if (route->request == &index__rebuild__descriptor ||
        envelope_unpack(route->request, data + 1, size - 1, &request) != STATUS_OK)
        return 0;
    try_route(route, request);
    protobuf_c_message_free_unpacked(request, NULL);
    return 0;
}
