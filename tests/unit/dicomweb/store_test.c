/* STOW-RS and DELETE over a real server into real packs, with an index that says what it is told. */
#include "fixture.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "dicom/file.h"
#include "pack/store.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define CT         "1.2.840.10008.5.1.4.1.1.2"
#define EXPLICIT   "1.2.840.10008.1.2.1"
#define STUDY      "1.2.3.1"
#define SERIES     "1.2.3.1.1"
#define CONFLICTED "1.2.3.1.1.666" /* the index says: other bytes are stored already */
#define UNREADABLE "1.2.3.1.1.667"

enum { LARGE = 3 * 1024 * 1024 };

static fixture_t fixture;
static dicomweb_t *dicomweb; /* its */
static http_server_t *server;
static _Atomic bool index_is_away;
static _Atomic int rings;

/* ---- an index -------------------------------------------------------------------------------- */

static Index__Outcome__Kind kind_of(pack_store_t *store, const pack_record_t *record)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (pack_store_provenance(store, record, &bytes, &length) != STATUS_OK)
        abort();
    Pack__Provenance *provenance = pack__provenance__unpack(NULL, length, bytes);
    const char *uid = provenance->sop_instance_uid;
    Index__Outcome__Kind kind = strcmp(uid, CONFLICTED) == 0   ? INDEX__OUTCOME__KIND__CONFLICT
                                : strcmp(uid, UNREADABLE) == 0 ? INDEX__OUTCOME__KIND__UNREADABLE
                                                               : INDEX__OUTCOME__KIND__STORED;
    pack__provenance__free_unpacked(provenance, NULL);
    free(bytes);
    return kind;
}

/* Commits at most three records a question, as a real one commits in batches. */
static status_t pack_appended(void *state, const wire_call_t *call,
                              const ProtobufCMessage *question, ProtobufCMessage *answer)
{
    (void)state;
    (void)call;
    const Index__PackAppended *request = (const Index__PackAppended *)question;
    Index__PackIndexed *reply = (Index__PackIndexed *)answer;
    rings++;
    if (index_is_away)
        return (fail)(STATUS_UNAVAILABLE, "away");
    if (request->outcomes_from == 0) {
        reply->committed_offset = request->durable_offset;
        return STATUS_OK;
    }
    reply->outcomes = memory_allocate(3 * sizeof(Index__Outcome *));
    ulid_t pack;
    memcpy(pack.text, request->pack, sizeof pack.text);
    uint64_t at = request->outcomes_from;
    while (at < request->durable_offset && reply->n_outcomes < 3) {
        pack_record_t record;
        if (pack_store_record(dicomweb->store, &pack, at, &record) != STATUS_OK)
            abort();
        Index__Outcome *outcome = memory_allocate(sizeof *outcome);
        index__outcome__init(outcome);
        outcome->offset = at;
        outcome->kind = kind_of(dicomweb->store, &record);
        reply->outcomes[reply->n_outcomes++] = outcome;
        at = record.next_offset;
    }
    reply->committed_offset = at;
    return STATUS_OK;
}

static status_t delete_something(void *state, const wire_call_t *call,
                                 const ProtobufCMessage *question, ProtobufCMessage *answer)
{
    (void)state;
    (void)call;
    const Index__Delete *request = (const Index__Delete *)question;
    if (request->scope->kind != INDEX__SCOPE__KIND__ALL ||
        strcmp(request->study_instance_uid, STUDY) != 0)
        return (fail)(STATUS_NOT_FOUND, "no such study");
    ((Index__Deleted *)answer)->instances = 1;
    return STATUS_OK;
}

static const wire_route_t index_routes[] = {
    WIRE_ROUTE(index, pack_appended, pack_indexed, pack_appended, 0, "dicomweb"),
    WIRE_ROUTE(index, delete, deleted, delete_something, 0, "dicomweb"), WIRE_ROUTES_END};

/* ---- instances and requests ------------------------------------------------------------------ */

static void append_element(buffer_t *out, unsigned group, unsigned element, const char *uid)
{
    size_t length = strlen(uid) + strlen(uid) % 2;
    const uint8_t head[8] = {(uint8_t)group,
                             (uint8_t)(group >> 8),
                             (uint8_t)element,
                             (uint8_t)(element >> 8),
                             'U',
                             'I',
                             (uint8_t)length,
                             0};
    buffer_append(out, head, sizeof head);
    buffer_append(out, uid, strlen(uid));
    if (strlen(uid) % 2)
        buffer_append_byte(out, 0);
}

static void append_dataset(buffer_t *out, const char *study, const char *instance, size_t pixels)
{
    append_element(out, 0x0008, 0x0016, CT);
    if (instance)
        append_element(out, 0x0008, 0x0018, instance);
    append_element(out, 0x0020, 0x000d, study);
    append_element(out, 0x0020, 0x000e, SERIES);
    if (pixels == 0)
        return;
    const uint8_t head[12] = {0xe0,
                              0x7f,
                              0x10,
                              0x00,
                              'O',
                              'W',
                              0,
                              0,
                              (uint8_t)pixels,
                              (uint8_t)(pixels >> 8),
                              (uint8_t)(pixels >> 16),
                              0};
    buffer_append(out, head, sizeof head);
    for (size_t i = 0; i < pixels; i++)
        buffer_append_byte(out, (uint8_t)(i % 251 == 0 ? '\r' : i % 253));
}

static void append_part(buffer_t *out, const char *study, const char *instance, size_t pixels)
{
    buffer_append_text(out, "\r\n--BOUND\r\nContent-Type: application/dicom\r\n\r\n");
    dicom_file_write_head(out, CT, instance ? instance : "1.9.9", EXPLICIT, "TEST");
    append_dataset(out, study, instance, pixels);
}

static void append_garbage(buffer_t *out)
{
    buffer_append_text(out, "\r\n--BOUND\r\nContent-Type: application/dicom\r\n\r\n");
    for (int i = 0; i < 20; i++)
        buffer_append_text(out, "this is not DICOM at all");
}

static void end_parts(buffer_t *out)
{
    buffer_append_text(out, "\r\n--BOUND--\r\n");
}

static void send_all(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the server may answer before it has read all */
        at += sent;
        length -= (size_t)sent;
    }
}

/* Returns the status; the whole answer lies in answer. */
static int exchange_framed(const char *method, const char *path, const char *headers,
                           const buffer_t *body, buffer_t *answer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)http_server_port(server))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct timeval limit = {20, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    AUTO_FREE char *head =
        memory_format("%s %s HTTP/1.1\r\nHost: pacs.example:8443\r\nX-Forwarded-Proto: https\r\n"
                      "Connection: close\r\n%s\r\n",
                      method, path, headers);
    send_all(fd, head, strlen(head));
    send_all(fd, body->data, body->length);
    buffer_clear(answer);
    for (;;) {
        buffer_reserve(answer, 65536);
        ssize_t got = recv(fd, answer->data + answer->length, 65536, 0);
        if (got <= 0)
            break;
        answer->length += (size_t)got;
    }
    close(fd);
    const char *text = buffer_text(answer);
    assert_memory_equal(text, "HTTP/1.1 ", 9);
    return atoi(text + 9);
}

static int exchange(const char *method, const char *path, const char *headers, const buffer_t *body,
                    buffer_t *answer)
{
    AUTO_FREE char *all = memory_format("Content-Length: %zu\r\n%s", body->length, headers);
    return exchange_framed(method, path, all, body, answer);
}

#define DICOM_TYPE "Content-Type: multipart/related; type=\"application/dicom\"; boundary=BOUND\r\n"

static int post(const char *path, const buffer_t *body, buffer_t *answer)
{
    return exchange("POST", path, DICOM_TYPE, body, answer);
}

static void expect_text(buffer_t *answer, const char *text)
{
    if (!strstr(buffer_text(answer), text))
        fail_msg("no %s in:\n%s", text, buffer_text(answer));
}

static int post_chunked(const buffer_t *chunks, buffer_t *answer)
{
    return exchange_framed("POST", "/dicom-web/studies",
                           "Transfer-Encoding: chunked\r\n" DICOM_TYPE, chunks, answer);
}

static void append_chunks(buffer_t *out, const buffer_t *body)
{
    for (size_t at = 0; at < body->length; at += 5000) {
        size_t length = body->length - at < 5000 ? body->length - at : 5000;
        buffer_printf(out, "%zx\r\n", length);
        buffer_append(out, body->data + at, length);
        buffer_append_text(out, "\r\n");
    }
    buffer_append_text(out, "0\r\n\r\n");
}

#define FAILED_ITEM(uid, reason)                                                                   \
    "\"00081198\":{\"vr\":\"SQ\",\"Value\":[{\"00081150\":{\"vr\":\"UI\",\"Value\":[\"" CT         \
    "\"]},\"00081155\":{\"vr\":\"UI\",\"Value\":[\"" uid "\"]},\"00081197\":{\"vr\":\"US\","       \
    "\"Value\":[" reason "]}}]}"

/* ---- what is in the packs -------------------------------------------------------------------- */

typedef struct {
    const char *uid;
    pack_record_t record;
    size_t found;
} search_t;

static status_t search_pack(void *context, const ulid_t *pack, uint64_t size, bool is_open)
{
    search_t *search = context;
    (void)size;
    (void)is_open;
    pack_record_t record;
    for (uint64_t at = PACK_BLOCK_SIZE;
         pack_store_record(dicomweb->store, pack, at, &record) == STATUS_OK;
         at = record.next_offset) {
        uint8_t *bytes = NULL;
        size_t length = 0;
        TRY(pack_store_provenance(dicomweb->store, &record, &bytes, &length));
        Pack__Provenance *provenance = pack__provenance__unpack(NULL, length, bytes);
        if (strcmp(provenance->sop_instance_uid, search->uid) == 0) {
            assert_string_equal(provenance->source, "stow");
            assert_string_equal(provenance->peer_address, "127.0.0.1");
            assert_true(provenance->file_meta.len > 100 && provenance->file_meta.data[0] == 2);
            assert_true(ulid_is_valid(provenance->association_id));
            search->record = record;
            search->found++;
        }
        pack__provenance__free_unpacked(provenance, NULL);
        free(bytes);
    }
    return STATUS_OK;
}

static search_t find_instance(const char *uid)
{
    search_t search = {.uid = uid};
    assert_int_equal(pack_store_list(dicomweb->store, true, search_pack, &search), STATUS_OK);
    return search;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void stores_instances_bit_for_bit(void **state)
{
    (void)state;
    AUTO_BUFFER body = {0}, answer = {0}, dataset = {0};
    append_part(&body, STUDY, "1.2.3.1.1.1", 0);
    append_part(&body, STUDY, "1.2.3.1.1.2", LARGE);
    append_part(&body, STUDY, "1.2.3.1.1.3", 100);
    append_part(&body, STUDY, "1.2.3.1.1.4", 70000);
    end_parts(&body);
    assert_int_equal(post("/dicom-web/studies", &body, &answer), 200);
    expect_text(&answer, "Content-Type: application/dicom+json\r\n");
    expect_text(&answer, "{\"00081190\":{\"vr\":\"UR\",\"Value\":[\"https://pacs.example:8443"
                         "/dicom-web/studies/" STUDY "\"]},\"00081199\":");
    expect_text(&answer,
                "\"00081190\":{\"vr\":\"UR\",\"Value\":[\"https://pacs.example:8443"
                "/dicom-web/studies/" STUDY "/series/" SERIES "/instances/1.2.3.1.1.4\"]}");
    assert_null(strstr(buffer_text(&answer), "00081198"));
    assert_null(strstr(buffer_text(&answer), "00081196"));

    search_t found = find_instance("1.2.3.1.1.2");
    assert_int_equal(found.found, 1);
    append_dataset(&dataset, STUDY, "1.2.3.1.1.2", LARGE);
    assert_int_equal(found.record.dataset_length, dataset.length);
    assert_string_equal(found.record.transfer_syntax_uid, EXPLICIT);
    assert_int_equal(found.record.pixel_value_length, LARGE);
    AUTO_FREE uint8_t *stored = memory_allocate(dataset.length);
    assert_int_equal(pack_store_read(dicomweb->store, &found.record.pack,
                                     found.record.dataset_offset, stored, dataset.length),
                     STATUS_OK);
    assert_memory_equal(stored, dataset.data, dataset.length);
    assert_int_equal(find_instance("1.2.3.1.1.4").found, 1);
}

static void says_what_was_wrong_with_each(void **state)
{
    (void)state;
    AUTO_BUFFER body = {0}, answer = {0};
    append_part(&body, "1.2.3.2", "1.2.3.2.1.1", LARGE);
    end_parts(&body);
    assert_int_equal(post("/dicom-web/studies/" STUDY, &body, &answer), 409);
    expect_text(&answer, FAILED_ITEM("1.2.3.2.1.1", "43264"));
    expect_text(&answer, "{\"00081190\":{\"vr\":\"UR\"},");
    assert_int_equal(find_instance("1.2.3.2.1.1").found, 0);

    buffer_clear(&body);
    append_part(&body, "1.2.3.2", "1.2.3.2.1.1", 0);
    append_part(&body, STUDY, "1.2.3.1.1.10", 0);
    append_garbage(&body);
    end_parts(&body);
    assert_int_equal(post("/dicom-web/studies/" STUDY, &body, &answer), 202);
    expect_text(&answer, FAILED_ITEM("1.2.3.2.1.1", "43264"));
    expect_text(&answer, "/instances/1.2.3.1.1.10\"]}}]}");
    expect_text(&answer, "\"0008119A\":{\"vr\":\"SQ\",\"Value\":[{\"00081197\":{\"vr\":\"US\","
                         "\"Value\":[49152]}}]}}");
    assert_int_equal(find_instance("1.2.3.1.1.10").found, 1);

    buffer_clear(&body);
    append_part(&body, STUDY, NULL, 0); /* no SOP Instance UID: the meta names it */
    end_parts(&body);
    assert_int_equal(post("/dicom-web/studies", &body, &answer), 409);
    expect_text(&answer, FAILED_ITEM("1.9.9", "49152"));
}

static void says_what_the_index_says(void **state)
{
    (void)state;
    AUTO_BUFFER body = {0}, answer = {0};
    append_part(&body, STUDY, "1.2.3.1.1.20", 0);
    append_part(&body, STUDY, CONFLICTED, 0);
    append_part(&body, "1.2.3.3", "1.2.3.3.1", 0);
    append_part(&body, STUDY, "1.2.3.1.1.21", 0);
    end_parts(&body);
    assert_int_equal(post("/dicom-web/studies", &body, &answer), 202);
    expect_text(&answer, "\"00081196\":{\"vr\":\"US\",\"Value\":[45297]}"); /* B0F1 */
    expect_text(&answer, "{\"00081190\":{\"vr\":\"UR\"},"); /* two studies: no URL for all */
    assert_null(strstr(buffer_text(&answer), "00081198"));
    assert_int_equal(find_instance(CONFLICTED).found, 1); /* kept aside */

    buffer_clear(&body);
    append_part(&body, STUDY, UNREADABLE, 0);
    end_parts(&body);
    assert_int_equal(post("/dicom-web/studies", &body, &answer), 202);
    expect_text(&answer, "\"00081196\":{\"vr\":\"US\",\"Value\":[45296]}");

    index_is_away = true;
    buffer_clear(&body);
    append_part(&body, STUDY, "1.2.3.1.1.22", 0);
    end_parts(&body);
    assert_int_equal(post("/dicom-web/studies", &body, &answer), 202);
    index_is_away = false;
    expect_text(&answer, "\"00081196\":{\"vr\":\"US\",\"Value\":[45296]}");
    expect_text(&answer, "Warning: 299 ");
    rings = 0;
    dicomweb_packs_tick(dicomweb); /* tells it again */
    assert_int_equal(rings, 1);
    dicomweb_packs_tick(dicomweb); /* it has answered */
    assert_int_equal(rings, 1);
    assert_int_equal(find_instance("1.2.3.1.1.22").found, 1);
}

/* More instances than one question asks for: none may stay unconfirmed, and the index is asked while
 * the upload is still coming. */
static void confirms_many(void **state)
{
    (void)state;
    AUTO_BUFFER body = {0}, answer = {0};
    for (int i = 0; i < 600; i++) {
        AUTO_FREE char *uid = memory_format("1.2.3.1.2.%d", i);
        append_part(&body, STUDY, uid, 0);
    }
    end_parts(&body);
    rings = 0;
    assert_int_equal(post("/dicom-web/studies", &body, &answer), 200);
    assert_true(rings >= 200); /* three records each */
    size_t count = 0;
    for (const char *at = buffer_text(&answer); (at = strstr(at, "\"00081155\"")); at++)
        count++;
    assert_int_equal(count, 600);
}

static void keeps_what_came_before_a_break(void **state)
{
    (void)state;
    AUTO_BUFFER body = {0}, answer = {0};
    append_part(&body, STUDY, "1.2.3.1.1.30", 0);
    append_part(&body, STUDY, "1.2.3.1.1.31", LARGE);
    body.length -= 100; /* and no closing boundary */
    assert_int_equal(post("/dicom-web/studies", &body, &answer), 202);
    expect_text(&answer, "/instances/1.2.3.1.1.30\"]}}]}");
    expect_text(&answer, "\"0008119A\"");
    assert_int_equal(find_instance("1.2.3.1.1.30").found, 1);
    assert_int_equal(find_instance("1.2.3.1.1.31").found, 0);

    buffer_clear(&body); /* the pack is as sound as before */
    append_part(&body, STUDY, "1.2.3.1.1.32", 5000);
    end_parts(&body);
    assert_int_equal(post("/dicom-web/studies", &body, &answer), 200);
    assert_int_equal(find_instance("1.2.3.1.1.32").found, 1);
}

static void refuses_bad_requests(void **state)
{
    (void)state;
    static const struct {
        const char *name, *path, *headers, *body;
        int status;
    } cases[] = {
        {"empty body", "/dicom-web/studies", DICOM_TYPE, "", 400},
        {"no part", "/dicom-web/studies", DICOM_TYPE, "--BOUND--\r\n", 400},
        {"other boundary", "/dicom-web/studies", DICOM_TYPE, "--OTHER\r\n\r\nx\r\n--OTHER--", 400},
        {"no closing boundary", "/dicom-web/studies", DICOM_TYPE, "--BOUND\r\n\r\nDICM", 400},
        {"text", "/dicom-web/studies", "Content-Type: text/plain\r\n", "hello", 415},
        {"no type", "/dicom-web/studies", "", "hello", 415},
        {"form", "/dicom-web/studies", "Content-Type: multipart/form-data; boundary=BOUND\r\n",
         "--BOUND--", 415},
        {"parts that are images", "/dicom-web/studies",
         "Content-Type: multipart/related; type=\"image/jpeg\"; boundary=BOUND\r\n", "--BOUND--",
         415},
        {"no boundary parameter", "/dicom-web/studies",
         "Content-Type: multipart/related; type=\"application/dicom\"\r\n", "--BOUND--", 400},
        {"study that is no UID", "/dicom-web/studies/a%20b", DICOM_TYPE, "--BOUND--", 400},
        {"answer nobody makes", "/dicom-web/studies", DICOM_TYPE "Accept: text/html\r\n",
         "--BOUND--", 406},
        {"part of another type", "/dicom-web/studies", DICOM_TYPE,
         "--BOUND\r\nContent-Type: image/jpeg\r\n\r\nx\r\n--BOUND--", 409},
        {"part in base64", "/dicom-web/studies", DICOM_TYPE,
         "--BOUND\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--BOUND--", 409},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER body = {0}, answer = {0};
        buffer_append_text(&body, cases[i].body);
        int status = exchange("POST", cases[i].path, cases[i].headers, &body, &answer);
        if (status != cases[i].status)
            fail_msg("%s: %d instead of %d", cases[i].name, status, cases[i].status);
    }
}

static void has_a_limit(void **state)
{
    (void)state;
    AUTO_BUFFER body = {0}, answer = {0};
    append_part(&body, STUDY, "1.2.3.1.1.40", LARGE);
    append_part(&body, STUDY, "1.2.3.1.1.41", LARGE);
    append_part(&body, STUDY, "1.2.3.1.1.42", LARGE);
    end_parts(&body);
    assert_true(body.length > (size_t)fixture.config.stow_max_bytes);
    assert_int_equal(post("/dicom-web/studies", &body, &answer), 413);
    assert_int_equal(find_instance("1.2.3.1.1.40").found, 0);

    /* Chunked: the length shows only while reading. What was complete by then is stored. */
    AUTO_BUFFER chunked = {0};
    append_chunks(&chunked, &body);
    assert_int_equal(post_chunked(&chunked, &answer), 202);
    expect_text(&answer, "/instances/1.2.3.1.1.40\"]}}]}");
    expect_text(&answer, "\"0008119A\":{\"vr\":\"SQ\",\"Value\":[{\"00081197\":{\"vr\":\"US\","
                         "\"Value\":[42752]}}]}}");
    assert_int_equal(find_instance("1.2.3.1.1.42").found, 0);
}

static void takes_chunked_bodies(void **state)
{
    (void)state;
    AUTO_BUFFER body = {0}, chunked = {0}, answer = {0};
    append_part(&body, STUDY, "1.2.3.1.1.50", LARGE);
    end_parts(&body);
    append_chunks(&chunked, &body);
    assert_int_equal(post_chunked(&chunked, &answer), 200);
    assert_int_equal(find_instance("1.2.3.1.1.50").found, 1);
}

/* A full disk, played by a limit on the size of files: nothing is acknowledged that is not stored,
 * and when there is room again the next request succeeds. */
static void survives_a_full_disk(void **state)
{
    (void)state;
    AUTO_BUFFER body = {0}, answer = {0};
    struct rlimit before, tight = {.rlim_cur = 512 * 1024};
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    tight.rlim_max = before.rlim_max;
    dicomweb_packs_close(dicomweb); /* so that the next lease is a new, small pack */
    assert_int_equal(dicomweb_packs_open(dicomweb), STATUS_OK);
    append_part(&body, STUDY, "1.2.3.1.1.60", LARGE);
    append_part(&body, STUDY, "1.2.3.1.1.61", 0);
    end_parts(&body);
    setrlimit(RLIMIT_FSIZE, &tight);
    int status = post("/dicom-web/studies", &body, &answer);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, 503);
    expect_text(&answer, "Retry-After: ");
    assert_int_equal(find_instance("1.2.3.1.1.60").found, 0);

    buffer_clear(&body);
    append_part(&body, STUDY, "1.2.3.1.1.61", 0);
    append_part(&body, STUDY, "1.2.3.1.1.62", LARGE);
    end_parts(&body);
    setrlimit(RLIMIT_FSIZE, &tight);
    status = post("/dicom-web/studies", &body, &answer);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, 202);
    expect_text(&answer, FAILED_ITEM("1.2.3.1.1.62", "42752"));
    assert_int_equal(find_instance("1.2.3.1.1.61").found, 1);
    assert_int_equal(find_instance("1.2.3.1.1.62").found, 0);

    assert_int_equal(post("/dicom-web/studies", &body, &answer), 200);
    assert_int_equal(find_instance("1.2.3.1.1.62").found, 1);
}

static void deletes(void **state)
{
    (void)state;
    AUTO_BUFFER none = {0}, answer = {0};
    static const struct {
        const char *path;
        int status;
    } cases[] = {
        {"/dicom-web/studies/" STUDY, 204},
        {"/dicom-web/studies/" STUDY "/series/" SERIES, 204},
        {"/dicom-web/studies/" STUDY "/series/" SERIES "/instances/1.2.3", 204},
        {"/dicom-web/studies/9.9.9", 404},
        {"/dicom-web/studies/a%20b", 400},
        {"/dicom-web/studies/" STUDY "/series/a%20b", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(exchange("DELETE", cases[i].path, "", &none, &answer), cases[i].status);
}

/* ---- set up ---------------------------------------------------------------------------------- */

static const http_route_t routes[] = {
    {"POST", "/dicom-web/studies", "upload", "store", dicomweb_store},
    {"POST", "/dicom-web/studies/{study}", "upload", "store", dicomweb_store},
    {"DELETE", "/dicom-web/studies/{study}", "delete", "delete", dicomweb_delete},
    {"DELETE", "/dicom-web/studies/{study}/series/{series}", "delete", "delete", dicomweb_delete},
    {"DELETE", "/dicom-web/studies/{study}/series/{series}/instances/{instance}", "delete",
     "delete", dicomweb_delete},
    {NULL, NULL, NULL, NULL, NULL}};

static status_t start_server(void)
{
    http_server_options_t http = {.address = "127.0.0.1:0",
                                  .threads = 2,
                                  .routes = routes,
                                  .context = dicomweb,
                                  .read_timeout_ms = 3000,
                                  .admit = dicomweb_admit};
    return http_server_start(&http, &server);
}

static int set_up(void **state)
{
    (void)state;
    if (!fixture_open(&fixture, index_routes))
        return -1;
    fixture.config.stow_max_bytes = 2 * LARGE;
    dicomweb = fixture.dicomweb;
    if (start_server() == STATUS_OK)
        return 0;
    print_error("%s\n", fail_detail());
    return -1;
}

static int tear_down(void **state)
{
    (void)state;
    http_server_stop(&server);
    return fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_instances_bit_for_bit),
        cmocka_unit_test(says_what_was_wrong_with_each),
        cmocka_unit_test(says_what_the_index_says),
        cmocka_unit_test(confirms_many),
        cmocka_unit_test(keeps_what_came_before_a_break),
        cmocka_unit_test(refuses_bad_requests),
        cmocka_unit_test(has_a_limit),
        cmocka_unit_test(takes_chunked_bodies),
        cmocka_unit_test(survives_a_full_disk),
        cmocka_unit_test(deletes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
