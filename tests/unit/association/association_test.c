/* The upper layer, over a connection to a peer that sends bytes as told. */
#include "association/association.h"
#include "base/buffer.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_PDU = 4096 };

#define IMPLICIT "1.2.840.10008.1.2"
#define EXPLICIT "1.2.840.10008.1.2.1"
#define CT       "1.2.840.10008.5.1.4.1.1.2"
#define ECHO     "1.2.840.10008.1.1"

static association_options_t options = {.max_pdu_bytes = MAX_PDU,
                                        .stall_timeout_s = 5,
                                        .implementation_class_uid = "2.25.1",
                                        .implementation_version = "TEST"};

static int peer = -1; /* its end of the connection */

/* Ours. */
static int connection(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t length = sizeof here;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&here, length), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&here, &length), 0);
    peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&here, length), 0);
    int ours = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    return ours;
}

static int hang_up(void **state)
{
    (void)state;
    close(peer);
    return 0;
}

/* ---- what the peer says ------------------------------------------------------------------------ */

static void put_item(buffer_t *out, uint8_t type, const void *bytes, size_t length)
{
    const uint8_t head[] = {type, 0, (uint8_t)(length >> 8), (uint8_t)length};
    buffer_append(out, head, sizeof head);
    buffer_append(out, bytes, length);
}

static void put_context(buffer_t *out, uint8_t id, const char *abstract, const char *first,
                        const char *second)
{
    AUTO_BUFFER body = {0};
    buffer_append(&body, (uint8_t[]){id, 0, 0, 0}, 4);
    put_item(&body, 0x30, abstract, strlen(abstract));
    put_item(&body, 0x40, first, strlen(first));
    if (second)
        put_item(&body, 0x40, second, strlen(second));
    put_item(out, 0x20, body.data, body.length);
}

/* Everything before the items. */
static void put_start(buffer_t *out, uint8_t version)
{
    buffer_append(out, (uint8_t[]){0, version, 0, 0}, 4);
    buffer_append(out, "ZPACS            CT 1           ", 32);
    buffer_append(out, (uint8_t[32]){0}, 32);
}

static void put_rest(buffer_t *out, uint32_t max_pdu)
{
    AUTO_BUFFER user = {0};
    const uint8_t limit[] = {0, 0, (uint8_t)(max_pdu >> 8), (uint8_t)max_pdu};
    put_item(out, 0x10, ASSOCIATION_DICOM_APPLICATION, strlen(ASSOCIATION_DICOM_APPLICATION));
    put_context(out, 1, ECHO, IMPLICIT, NULL);
    put_context(out, 3, CT, EXPLICIT, IMPLICIT);
    put_item(&user, 0x51, limit, sizeof limit);
    put_item(&user, 0x52, "1.2.3", 5);
    put_item(&user, 0x58, "\1\0\0\1a\0\0", 7); /* an identity: passed over */
    put_item(out, 0x50, user.data, user.length);
}

static void put_pdu(buffer_t *out, uint8_t type, const void *bytes, size_t length)
{
    const uint8_t head[] = {type, 0, 0, 0, (uint8_t)(length >> 8), (uint8_t)length};
    buffer_append(out, head, sizeof head);
    buffer_append(out, bytes, length);
}

static void say(uint8_t type, const void *bytes, size_t length)
{
    AUTO_BUFFER pdu = {0};
    put_pdu(&pdu, type, bytes, length);
    assert_int_equal(send(peer, pdu.data, pdu.length, 0), pdu.length);
}

static void put_fragment(buffer_t *out, uint8_t context, uint8_t control, const char *text)
{
    const uint32_t length = htonl((uint32_t)strlen(text) + 2);
    buffer_append(out, &length, 4);
    buffer_append(out, (uint8_t[]){context, control}, 2);
    buffer_append_text(out, text);
}

static association_t *requested(uint32_t max_pdu)
{
    association_t *association = NULL;
    AUTO_BUFFER body = {0};
    int socket = connection();
    put_start(&body, 1);
    put_rest(&body, max_pdu);
    say(1, body.data, body.length);
    assert_int_equal(association_receive(socket, &options, &association), STATUS_OK);
    return association;
}

/* The next PDU that the peer hears; its type. */
static uint8_t hear(buffer_t *out_body)
{
    uint8_t head[6];
    assert_int_equal(recv(peer, head, sizeof head, MSG_WAITALL), sizeof head);
    size_t length = (size_t)head[4] << 8 | head[5];
    buffer_clear(out_body);
    buffer_reserve(out_body, length);
    assert_int_equal(recv(peer, out_body->data, length, MSG_WAITALL), length);
    out_body->length = length;
    return head[0];
}

static association_t *established(uint32_t max_pdu)
{
    AUTO_BUFFER answer = {0};
    association_t *association = requested(max_pdu);
    assert_int_equal(association_accept_context(association, 1, IMPLICIT), STATUS_OK);
    assert_int_equal(association_accept_context(association, 3, EXPLICIT), STATUS_OK);
    assert_int_equal(association_acknowledge(association), STATUS_OK);
    assert_int_equal(hear(&answer), 2);
    return association;
}

/* ---- requests ---------------------------------------------------------------------------------- */

static void a_request_is_read(void **state)
{
    (void)state;
    association_t *a = requested(MAX_PDU);
    association_context_t context;
    assert_string_equal(association_called_ae_title(a), "ZPACS");
    assert_string_equal(association_calling_ae_title(a), "CT 1");
    assert_string_equal(association_peer_implementation(a), "1.2.3");
    assert_true(association_is_dicom(a));
    assert_int_equal(association_context_count(a), 2);
    assert_int_equal(association_context(a, 1, &context), STATUS_OK);
    assert_int_equal(context.id, 3);
    assert_string_equal(context.abstract_syntax_uid, CT);
    assert_int_equal(context.transfer_syntax_count, 2);
    assert_string_equal(context.transfer_syntax_uids[1], IMPLICIT);
    assert_int_equal(association_context(a, 2, &context), STATUS_NOT_FOUND);
    association_destroy(&a);
}

static void an_answer_names_each_context(void **state)
{
    (void)state;
    AUTO_BUFFER answer = {0}, expected = {0}, user = {0};
    association_t *a = requested(MAX_PDU);
    assert_int_equal(association_accept_context(a, 3, EXPLICIT), STATUS_OK);
    assert_int_equal(association_refuse_context(a, 1, ASSOCIATION_CONTEXT_ABSTRACT_SYNTAX),
                     STATUS_OK);
    assert_int_equal(association_refuse_context(a, 5, ASSOCIATION_CONTEXT_ABSTRACT_SYNTAX),
                     STATUS_INVALID);
    assert_int_equal(association_acknowledge(a), STATUS_OK);
    assert_int_equal(hear(&answer), 2);
    put_start(&expected, 1);
    put_item(&expected, 0x10, ASSOCIATION_DICOM_APPLICATION, strlen(ASSOCIATION_DICOM_APPLICATION));
    buffer_append(&expected, "\x21\0\0\x19\1\0\3\0\x40\0\0\x11" IMPLICIT, 29);
    buffer_append(&expected, "\x21\0\0\x1b\3\0\0\0\x40\0\0\x13" EXPLICIT, 31);
    put_item(&user, 0x51, (uint8_t[]){0, 0, MAX_PDU >> 8, 0}, 4);
    put_item(&user, 0x52, "2.25.1", 6);
    put_item(&user, 0x55, "TEST", 4);
    put_item(&expected, 0x50, user.data, user.length);
    assert_int_equal(answer.length, expected.length);
    assert_memory_equal(answer.data, expected.data, expected.length);
    association_destroy(&a);
}

static void put_two_of_one_number(buffer_t *out)
{
    put_context(out, 3, CT, EXPLICIT, NULL);
}

static void put_too_many(buffer_t *out)
{
    for (unsigned id = 0; id < 256; id++)
        if (id != 1 && id != 3)
            put_context(out, (uint8_t)id, CT, EXPLICIT, NULL);
}

static void put_half_an_item(buffer_t *out)
{
    buffer_append(out, "\x20\0", 2);
}

static void put_long_item(buffer_t *out)
{
    buffer_append(out,
                  "\x20\0\xff\xff"
                  "1",
                  5);
}

static void put_empty_context(buffer_t *out)
{
    put_item(out, 0x20, "\5\0", 2);
}

static void put_bad_user_information(buffer_t *out)
{
    put_item(out, 0x50,
             "\x51\0\0\5"
             "1",
             5);
}

static void malformed_requests_are_aborted(void **state)
{
    (void)state;
    static void (*const puts[])(buffer_t *) = {put_two_of_one_number, put_too_many,
                                               put_half_an_item,      put_long_item,
                                               put_empty_context,     put_bad_user_information};
    for (size_t i = 0; i < sizeof puts / sizeof *puts; i++) {
        association_t *none = NULL;
        AUTO_BUFFER body = {0};
        int socket = connection();
        put_start(&body, 1);
        put_rest(&body, MAX_PDU);
        puts[i](&body);
        say(1, body.data, body.length);
        assert_int_equal(association_receive(socket, &options, &none), STATUS_INVALID);
        assert_int_equal(hear(&body), 7);
        close(peer);
    }
    peer = -1;
}

static void what_is_no_request_is_aborted(void **state)
{
    (void)state;
    static const char *const starts[] = {"\4\0\0\0\0\4", "GET / ", "\1\0\0\x08\0\1",
                                         "\1\0\0\0\0\0"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        association_t *none = NULL;
        AUTO_BUFFER body = {0};
        int socket = connection();
        assert_int_equal(send(peer, starts[i], 6, 0), 6);
        assert_int_equal(association_receive(socket, &options, &none), STATUS_INVALID);
        assert_int_equal(hear(&body), 7);
        close(peer);
    }
    peer = -1;
}

static void another_protocol_is_rejected(void **state)
{
    (void)state;
    association_t *none = NULL;
    AUTO_BUFFER body = {0};
    int socket = connection();
    put_start(&body, 2);
    put_rest(&body, MAX_PDU);
    say(1, body.data, body.length);
    assert_int_equal(association_receive(socket, &options, &none), STATUS_INVALID);
    assert_int_equal(hear(&body), 3);
    assert_memory_equal(body.data, "\0\1\2\2", 4);
}

static void a_uid_that_is_too_long_is_none(void **state)
{
    (void)state;
    char uid[80];
    association_context_t context;
    association_t *a = NULL;
    AUTO_BUFFER body = {0};
    int socket = connection();
    memset(uid, '1', sizeof uid);
    uid[sizeof uid - 1] = 0;
    put_start(&body, 1);
    put_rest(&body, MAX_PDU);
    put_context(&body, 5, uid, EXPLICIT, uid);
    say(1, body.data, body.length);
    assert_int_equal(association_receive(socket, &options, &a), STATUS_OK);
    assert_int_equal(association_context(a, 2, &context), STATUS_OK);
    assert_string_equal(context.abstract_syntax_uid, "");
    assert_string_equal(context.transfer_syntax_uids[0], EXPLICIT);
    assert_string_equal(context.transfer_syntax_uids[1], "");
    association_destroy(&a);
}

static void a_peer_that_takes_nothing_is_not_talked_to(void **state)
{
    (void)state;
    association_t *a = requested(ASSOCIATION_PEER_PDU_MIN - 1);
    assert_int_equal(association_acknowledge(a), STATUS_INVALID);
    association_destroy(&a);
}

/* ---- data -------------------------------------------------------------------------------------- */

static association_event_t read_event(association_t *a, association_pdv_t *out_pdv)
{
    association_event_t event;
    assert_int_equal(association_read(a, &event, out_pdv), STATUS_OK);
    return event;
}

static void expect_fragment(association_t *a, uint8_t context, bool command, bool last,
                            const char *text)
{
    association_pdv_t pdv;
    assert_int_equal(read_event(a, &pdv), ASSOCIATION_EVENT_PDV);
    assert_int_equal(pdv.context_id, context);
    assert_int_equal(pdv.is_command, command);
    assert_int_equal(pdv.is_last, last);
    assert_int_equal(pdv.length, strlen(text));
    assert_memory_equal(pdv.bytes, text, pdv.length);
}

static void fragments_come_as_they_were_sent(void **state)
{
    (void)state;
    association_pdv_t pdv;
    association_t *a = established(MAX_PDU);
    AUTO_BUFFER two = {0}, one = {0}, all = {0};
    put_fragment(&two, 1, 3, "command");
    put_fragment(&two, 3, 0, "");
    put_fragment(&one, 3, 2, "dataset");
    assert_false(association_has_pending(a));
    put_pdu(&all, 4, two.data, two.length);
    put_pdu(&all, 4, NULL, 0); /* of no fragment */
    put_pdu(&all, 4, one.data, one.length);
    put_pdu(&all, 5, "\0\0\0\0", 4);
    assert_int_equal(send(peer, all.data, all.length, 0), all.length);
    expect_fragment(a, 1, true, true, "command");
    assert_true(association_has_pending(a));
    expect_fragment(a, 3, false, false, "");
    assert_true(association_has_pending(a)); /* the head of the next PDU came with this one */
    expect_fragment(a, 3, false, true, "dataset");
    assert_int_equal(read_event(a, &pdv), ASSOCIATION_EVENT_RELEASE);
    assert_false(association_has_pending(a));
    assert_int_equal(association_confirm_release(a), STATUS_OK);
    assert_int_equal(hear(&one), 6);
    association_destroy(&a);
}

static void an_abort_is_told(void **state)
{
    (void)state;
    association_pdv_t pdv;
    association_t *a = established(MAX_PDU);
    say(7, "\0\0\0\0", 4);
    assert_int_equal(read_event(a, &pdv), ASSOCIATION_EVENT_ABORT);
    association_destroy(&a);
}

static void broken_data_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes; /* of a whole PDU */
        size_t length;
        int times;
        status_t status;
    } cases[] = {
        {"\4\0\0\0\0\5\0\0\0\2\1", 11, 1, STATUS_INVALID},   /* shorter than a fragment's head */
        {"\4\0\0\0\0\6\0\0\0\3\1\3", 12, 1, STATUS_INVALID}, /* longer than its PDU */
        {"\4\0\0\0\0\6\0\0\0\1\1\3", 12, 1, STATUS_INVALID}, /* shorter than its own head */
        {"\4\0\0\0\0\6\xff\xff\xff\xff\1\3", 12, 1, STATUS_INVALID},
        {"\4\0\0\0\x10\1", 6, 1, STATUS_INVALID}, /* over the limit */
        {"\2\0\0\0\0\0", 6, 1, STATUS_INVALID},
        {"\4\0\0\0\0\0", 6, 16, STATUS_INVALID},
        {"\4\0\0", 3, 1, STATUS_UNAVAILABLE}, /* and then closed */
        {"\4\0\0\0\0\6\0", 7, 1, STATUS_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        association_event_t event;
        association_pdv_t pdv;
        association_t *a = established(MAX_PDU);
        for (int k = 0; k < cases[i].times; k++)
            assert_int_equal(send(peer, cases[i].bytes, cases[i].length, 0), cases[i].length);
        shutdown(peer, SHUT_WR);
        assert_int_equal(association_read(a, &event, &pdv), cases[i].status);
        association_destroy(&a);
        close(peer);
    }
    peer = -1;
}

/* One byte every 50 ms. */
static void *trickle(void *argument)
{
    const buffer_t *bytes = argument;
    for (size_t i = 0; i < bytes->length && send(peer, bytes->data + i, 1, MSG_NOSIGNAL) == 1; i++)
        usleep(50 * 1000);
    return NULL;
}

/* What a peer of that pace hears of a fragment of so many bytes, with a window of a second. */
static status_t read_trickled(int min_bytes_per_s, size_t length)
{
    char text[256] = "";
    AUTO_BUFFER fragment = {0}, bytes = {0};
    association_event_t event;
    association_pdv_t pdv;
    pthread_t thread;
    memset(text, 'x', length);
    put_fragment(&fragment, 1, 2, text);
    put_pdu(&bytes, 4, fragment.data, fragment.length);
    options.stall_timeout_s = 1;
    options.min_bytes_per_s = min_bytes_per_s;
    association_t *a = established(MAX_PDU);
    assert_int_equal(pthread_create(&thread, NULL, trickle, &bytes), 0);
    status_t status = association_read(a, &event, &pdv);
    association_destroy(&a);
    pthread_join(thread, NULL);
    options.stall_timeout_s = 5;
    options.min_bytes_per_s = 0;
    return status;
}

static void a_peer_that_trickles_is_ended(void **state)
{
    (void)state;
    assert_int_equal(read_trickled(1000, 200), STATUS_UNAVAILABLE);
    assert_non_null(strstr(fail_detail(), "fewer than 1000 bytes a second"));
}

static void a_peer_with_a_slow_link_is_heard(void **state)
{
    (void)state;
    assert_int_equal(read_trickled(2, 60), STATUS_OK);
}

static void commands_fit_the_peers_pdu(void **state)
{
    (void)state;
    uint8_t command[300];
    AUTO_BUFFER pdu = {0};
    association_t *a = established(ASSOCIATION_PEER_PDU_MIN + 1);
    memset(command, 7, sizeof command);
    assert_int_equal(association_write_command(a, 1, command, sizeof command), STATUS_OK);
    for (size_t left = sizeof command; left > 0;) {
        size_t length = left < 122 ? left : 122; /* even, and with its head within 129 */
        assert_int_equal(hear(&pdu), 4);
        assert_int_equal(pdu.length, 6 + length);
        left -= length;
        assert_int_equal(pdu.data[3], 2 + length);
        assert_int_equal(pdu.data[5], left ? 1 : 3);
    }
    association_destroy(&a);
}

static void it_aborts(void **state)
{
    (void)state;
    AUTO_BUFFER pdu = {0};
    association_t *a = established(0);
    assert_int_equal(association_abort(a), STATUS_OK);
    assert_int_equal(hear(&pdu), 7);
    association_destroy(&a);
}

#define TEST(name) cmocka_unit_test_teardown(name, hang_up)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_request_is_read),
        TEST(an_answer_names_each_context),
        TEST(malformed_requests_are_aborted),
        TEST(what_is_no_request_is_aborted),
        TEST(another_protocol_is_rejected),
        TEST(a_uid_that_is_too_long_is_none),
        TEST(a_peer_that_takes_nothing_is_not_talked_to),
        TEST(fragments_come_as_they_were_sent),
        TEST(an_abort_is_told),
        TEST(broken_data_is_refused),
        TEST(a_peer_that_trickles_is_ended),
        TEST(a_peer_with_a_slow_link_is_heard),
        TEST(commands_fit_the_peers_pdu),
        TEST(it_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
