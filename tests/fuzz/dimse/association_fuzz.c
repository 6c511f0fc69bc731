/*
 * The process of an association, with whatever a peer may send: PDUs, command sets, datasets, into a
 * pack that holds a record of another association. It ends, says so once, and the pack holds that record
 * and exactly the instances that it told the courier of.
 *
 * The first byte of the input says what the rest is. With FRAMED it is a list of fragments
 *
 *     0         1         2             4
 *     | context | control | length (LE) | bytes … |
 *
 * which are sent behind an association request that is fine, each as a P-DATA-TF of its own; else it
 * is the whole stream. Then the connection is closed. With AGAIN the same comes in a second association of the process,
 * if that is ready for one.
 */
#include "base/memory.h"
#include "dimse/association/child.h"
#include "dimse/association/sandbox.h"
#include "pack/file.h"
#include "pack/store.h"
#include "../scratch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FRAMED = 1,
    RELEASED = 2,  /* a release request behind the fragments */
    DISK_FULL = 4, /* the courier says so before the first message */
    DRAINING = 8,
    STOPPING = 16,
    UNWRITABLE = 32, /* the pack's descriptor: as when the disk fails */
    AGAIN = 64
};

enum { STREAM_MAX = 20 * 1024, MESSAGES_BYTES = 1 << 20 };

/* ---- what is not there ------------------------------------------------------------------------- */

static int lent = -1; /* the child's descriptor of the pack */

/* It would close around the fuzzer. sandbox_test.c is about it. */
status_t sandbox_enter(const sandbox_t *sandbox)
{
    lent = sandbox->pack;
    return STATUS_OK;
}

/* A child rests: it gets another association, or is let go. */
static void go_on(void);
status_t sandbox_keep(const sandbox_t *sandbox)
{
    (void)sandbox;
    go_on();
    return STATUS_OK;
}

/* libFuzzer's own clock. A stream is there as a whole, so nothing waits. */
unsigned alarm(unsigned seconds)
{
    (void)seconds;
    return 0;
}

/* ---- the peer ---------------------------------------------------------------------------------- */

/* Verification on context 1, CT Image Storage on 3, in implicit and explicit little endian. */
static const uint8_t request_pdu[] = {0x01,        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
                                      0x00,        0x00, /* A-ASSOCIATE-RQ; length below */
                                      'Z',         'P',  'A',  'C',  'S',  ' ',  ' ',  ' ',
                                      ' ',         ' ',  ' ',  ' ',  ' ',  ' ',  ' ',  ' ',
                                      'F',         'U',  'Z',  'Z',  ' ',  ' ',  ' ',  ' ',
                                      ' ',         ' ',  ' ',  ' ',  ' ',  ' ',  ' ',  ' ',
                                      [74] = 0x10, 0,    0,    21, /* application context */
                                      '1',         '.',  '2',  '.',  '8',  '4',  '0',  '.',
                                      '1',         '0',  '0',  '0',  '8',  '.',  '3',  '.',
                                      '1',         '.',  '1',  '.',  '1'};

static void put_item(buffer_t *out, uint8_t type, const char *text)
{
    size_t length = strlen(text);
    buffer_append_byte(out, type);
    buffer_append_byte(out, 0);
    buffer_append_byte(out, (uint8_t)(length >> 8));
    buffer_append_byte(out, (uint8_t)length);
    buffer_append(out, text, length);
}

/* PS3.8 table 9-13 */
static void put_context(buffer_t *out, uint8_t id, const char *abstract_syntax)
{
    AUTO_BUFFER body = {0};
    const uint8_t head[] = {id, 0, 0, 0};
    buffer_append(&body, head, sizeof head);
    put_item(&body, 0x30, abstract_syntax);
    put_item(&body, 0x40, id == 3 ? "1.2.840.10008.1.2.1" : "1.2.840.10008.1.2");
    const uint8_t item[] = {0x20, 0, (uint8_t)(body.length >> 8), (uint8_t)body.length};
    buffer_append(out, item, sizeof item);
    buffer_append(out, body.data, body.length);
}

static void put_request(buffer_t *out)
{
    static const uint8_t user[] = {0x50, 0, 0, 8, 0x51, 0, 0, 4, 0, 0, 0x40, 0};
    buffer_append(out, request_pdu, sizeof request_pdu);
    put_context(out, 1, "1.2.840.10008.1.1");
    put_context(out, 3, "1.2.840.10008.5.1.4.1.1.2");
    buffer_append(out, user, sizeof user);
    size_t length = out->length - 6;
    out->data[4] = (uint8_t)(length >> 8);
    out->data[5] = (uint8_t)length;
}

static void put_fragments(buffer_t *out, const uint8_t *data, size_t size)
{
    while (size >= 4) {
        size_t length = (size_t)data[2] | (size_t)data[3] << 8;
        if (length > size - 4)
            length = size - 4;
        const uint32_t sizes[] = {htonl((uint32_t)length + 6), htonl((uint32_t)length + 2)};
        buffer_append(out, "\x04\x00", 2);
        buffer_append(out, sizes, sizeof sizes);
        buffer_append(out, data, 2);
        buffer_append(out, data + 4, length);
        data += 4 + length;
        size -= 4 + length;
    }
}

static void put_stream(buffer_t *out, const uint8_t *data, size_t size)
{
    static const uint8_t release[] = {0x05, 0, 0, 0, 0, 4, 0, 0, 0, 0};
    if (!(data[0] & FRAMED)) {
        buffer_append(out, data + 1, size - 1);
        return;
    }
    put_request(out);
    put_fragments(out, data + 1, size - 1);
    if (data[0] & RELEASED)
        buffer_append(out, release, sizeof release);
}

/*
 * Both ends of a connection. Each peer has an address of its own, since ports rest after use. libFuzzer's own
 * alarm would interrupt a call that waits for a busy machine.
 */
static void connect_pair(int out_ends[2])
{
    sigset_t alarms, before;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarms, &before);
    static int listener = -1;
    static struct sockaddr_in here = {.sin_family = AF_INET};
    static uint32_t count;
    socklen_t length = sizeof here;
    if (listener < 0) {
        here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        must(bind(listener, (struct sockaddr *)&here, length) == 0 && listen(listener, 4) == 0 &&
                 getsockname(listener, (struct sockaddr *)&here, &length) == 0,
             "no listener");
    }
    struct sockaddr_in peer = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(0x7F010001u + count++ % 0xFE0000u)};
    out_ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(out_ends[0], (struct sockaddr *)&peer, sizeof peer) == 0 &&
             connect(out_ends[0], (struct sockaddr *)&here, sizeof here) == 0,
         "no connection");
    out_ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    must(out_ends[1] >= 0, "no connection");
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* ---- the courier ------------------------------------------------------------------------------- */

static void tell(int channel, channel_kind_t kind)
{
    const channel_message_t message = {.kind = kind};
    must(channel_send(channel, &message, NULL, 0, false) == STATUS_OK, "channel");
}

static void tell_beginning(int channel, int socket, uint8_t flags, const pack_end_t *end,
                           const char *path)
{
    AUTO_CLOSE int pack = open(path, (flags & UNWRITABLE ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make(), .end = *end};
    must(address_parse("127.0.0.1", &start.address) == STATUS_OK, "address");
    must(channel_send(channel, &start, (int[]){socket, pack}, 2, false) == STATUS_OK, "channel");
    if (flags & DISK_FULL)
        tell(channel, CHANNEL_FULL);
    if (flags & DRAINING)
        tell(channel, CHANNEL_DRAIN);
    if (flags & STOPPING)
        tell(channel, CHANNEL_STOP);
}

/* A pack with a record of an association before. */
static pack_writer_t *make_pack(void)
{
    pack_writer_t *writer = NULL;
    pack_record_t record = {.transfer_syntax_uid = "1.2.840.10008.1.2"};
    must(pack_writer_create(data_folder, &writer) == STATUS_OK &&
             pack_writer_begin(writer, PACK_RECORD_INSTANCE, 1) == STATUS_OK &&
             pack_writer_append(writer, "before", 6) == STATUS_OK &&
             pack_writer_commit(writer, "p", 1, &record) == STATUS_OK,
         "pack");
    return writer;
}

static const buffer_t *second; /* what comes in the second association; NULL: there is none */
static int second_peer = -1;
static int courier_end = -1;
static size_t associations;

static void send_stream(int peer, const buffer_t *stream)
{
    must(send(peer, stream->data, stream->length, MSG_DONTWAIT) == (ssize_t)stream->length,
         "a stream does not fit the socket");
    shutdown(peer, SHUT_WR);
}

static void go_on(void)
{
    int ends[2];
    if (!second) {
        tell(courier_end, CHANNEL_STOP);
        return;
    }
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make()};
    must(address_parse("127.0.0.1", &start.address) == STATUS_OK, "address");
    connect_pair(ends);
    send_stream(ends[0], second);
    must(channel_send(courier_end, &start, &ends[1], 1, false) == STATUS_OK, "channel");
    close(ends[1]);
    second_peer = ends[0];
    second = NULL;
    associations++;
}

/* Hears the child out; returns how many instances it says it has stored, and how far. */
static size_t hear(int channel, uint64_t *out_durable)
{
    size_t stored = 0, ends = 0;
    channel_message_t message;
    int none[CHANNEL_FDS_MAX];
    while (channel_receive(channel, &message, none, true) == STATUS_OK) {
        if (message.kind == CHANNEL_APPENDED) {
            must(message.offset > *out_durable, "a pack that does not grow");
            *out_durable = message.offset;
            stored++;
        }
        ends += message.kind == CHANNEL_REFUSED || message.kind == CHANNEL_ENDED ||
                message.kind == CHANNEL_RESTS;
    }
    must(ends == associations, "no last words, or more than once");
    return stored;
}

static void check_pack(const ulid_t *pack, size_t stored, uint64_t durable)
{
    pack_store_t *store = NULL;
    pack_record_t record;
    must(pack_store_open(data_folder, &store) == STATUS_OK, "no store");
    uint64_t at = PACK_BLOCK_SIZE;
    stored++; /* the one before */
    for (; pack_store_record(store, pack, at, &record) == STATUS_OK; at = record.next_offset) {
        must(stored-- > 0, "a record that nobody was told of");
        must(record.type == PACK_RECORD_INSTANCE, "a record of another type");
        must(pack_store_verify(store, &record) == STATUS_OK, "a record that does not hold");
    }
    must(stored == 0, "an instance was acknowledged and is not there");
    must(at == durable, "the pack ends elsewhere");
    pack_store_close(&store);
}

/* ---- one association --------------------------------------------------------------------------- */

static dimse_config_t *configuration(void)
{
    static dimse_config_t config;
    if (!config.bind) {
        must(config_parse(dimse_config_fields, "fuzz", "", 0, &config) == STATUS_OK, "config");
        config.stall_timeout_s = 1;
        config.max_dataset_bytes = 8 * 1024;
    }
    return &config;
}

static void serve(int peer, const buffer_t *stream, int channel)
{
    static const rules_t rules;
    const child_settings_t settings = {configuration(), &rules};
    send_stream(peer, stream);
    child_main(&settings, channel);
    close(lent); /* if the child never wrote to it: its process would end now */
    close(peer);
    if (second_peer >= 0)
        close(second_peer);
    second_peer = -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUFFER stream = {0};
    int channel[2], ends[2], room = MESSAGES_BYTES;
    if (size < 2 || size > STREAM_MAX)
        return 0;
    if (!data_folder[0])
        make_data_folder();
    atexit(remove_data_folder);
    put_stream(&stream, data, size);
    second = data[0] & AGAIN ? &stream : NULL;
    associations = 1;
    must(channel_make(channel) == STATUS_OK, "channel");
    setsockopt(channel[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    pack_writer_t *writer = make_pack();
    const ulid_t pack = pack_writer_pack(writer);
    const pack_end_t end = pack_writer_end(writer);
    uint64_t durable = end.durable_offset;
    AUTO_FREE char *path = pack_path_open(data_folder, &pack);
    connect_pair(ends);
    courier_end = channel[0];
    tell_beginning(channel[0], ends[1], data[0], &end, path);
    close(ends[1]);
    serve(ends[0], &stream, channel[1]);
    close(channel[1]);
    size_t stored = hear(channel[0], &durable);
    close(channel[0]);
    check_pack(&pack, stored, durable);
    pack_writer_close(&writer);
    unlink(path);
    return 0;
}
