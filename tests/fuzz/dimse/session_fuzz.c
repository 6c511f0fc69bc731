/*
 * The courier's side of an association whose process a stranger has taken over: it says anything over
 * its channel, and writes anything to the packs that it was lent, behind the lease's start (the sandbox
 * sees to that). The courier is not led astray: the record of an association before stays whole, one
 * refusal is one, and the pack that comes back can be written to. A child that rests gets another association.
 *
 * The input is a list of steps:
 *
 *     0        1             3
 *     | what | length (LE) | bytes … |      SAY: a message, cut or filled with zeros to its size
 *                                           SAY_RAW: a message of just these bytes
 *                                           WRITE: to the pack, `what >> 2` blocks behind the start
 */
#include "dimse/door/refusal.h"
#include "dimse/courier/session.h"

#include "base/memory.h"
#include "log/log.h"
#include "pack/file.h"
#include "pack/store.h"
#include "../scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAY, SAY_RAW, WRITE, STEP_KINDS, STEP_HEAD = 3, STEPS_MAX = 64 };

typedef struct {
    dimse_config_t config;
    announcements_t *announcements;
    session_parts_t parts;
    ulid_t pack; /* that holds a record of an association before */
    pack_record_t before;
    int zygote, channel, lent; /* their ends of the channels; -1: the child has no pack */
    uint64_t start;
    int associations;
} world_t;

/* ---- the world --------------------------------------------------------------------------------- */

static void append(pack_writer_t *writer, pack_record_t *record)
{
    snprintf(record->transfer_syntax_uid, sizeof record->transfer_syntax_uid, "1.2");
    must(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 1) == STATUS_OK &&
             pack_writer_append(writer, "bytes", 5) == STATUS_OK &&
             pack_writer_commit(writer, "p", 1, record) == STATUS_OK,
         "a pack takes no record");
}

/* A pack waits for the peer, as an association before has left it. */
static void leave_pack(world_t *world)
{
    lease_t lease = {.association = "before", .peer = "127.0.0.1"};
    must(packs_lend_new(world->parts.packs, &lease) == STATUS_OK, "lend");
    world->pack = pack_writer_pack(lease.writer);
    append(lease.writer, &world->before);
    packs_take_back(world->parts.packs, &lease, CHILD_GONE);
}

static void open_world(world_t *world)
{
    make_data_folder();
    world->config.service.data = data_folder;
    world->config.request_timeout_s = 30;
    world->config.pack_open_seconds = 1800;
    world->config.associations_per_process = 200;
    world->announcements = announcements_create();
    world->parts = (session_parts_t){.config = &world->config, .refused = refused_create()};
    world->parts.limits = limits_create(10, 10);
    must(packs_open(&world->config, world->announcements, &world->parts.packs) == STATUS_OK,
         "packs");
    world->lent = -1;
    leave_pack(world);
}

static void close_world(world_t *world)
{
    packs_close(&world->parts.packs);
    announcements_destroy(&world->announcements);
    refused_destroy(&world->parts.refused);
    limits_destroy(&world->parts.limits);
    remove_data_folder();
}

/* ---- the child --------------------------------------------------------------------------------- */

/* Takes what the courier sends: of packs the newest. The first message has the socket before its pack. */
static void hear(world_t *world)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    while (channel_receive(world->channel, &message, fds, false) == STATUS_OK) {
        int pack = message.kind == CHANNEL_START ? fds[1] : fds[0];
        if (message.kind == CHANNEL_START)
            close(fds[0]);
        if (pack < 0)
            continue;
        if (world->lent >= 0)
            close(world->lent);
        world->lent = pack;
        world->start = message.end.durable_offset;
    }
}

/* A child is made: from then on it is here. */
static void spawn(world_t *world)
{
    channel_message_t message;
    int fds[CHANNEL_FDS_MAX];
    must(channel_receive(world->zygote, &message, fds, false) == STATUS_OK &&
             message.kind == CHANNEL_SPAWN,
         "no child");
    world->channel = fds[0];
}

static void step(world_t *world, uint8_t what, const uint8_t *bytes, size_t length)
{
    channel_message_t message = {.kind = 0};
    switch (what % STEP_KINDS) {
    case SAY:
        memcpy(&message, bytes, length < sizeof message ? length : sizeof message);
        send(world->channel, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case SAY_RAW:
        send(world->channel, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    default:
        if (world->lent >= 0 && length > 0)
            must(pack_file_write(world->lent, bytes, length,
                                 world->start + (uint64_t)(what >> 2) * PACK_BLOCK_SIZE) ==
                     STATUS_OK,
                 "write");
    }
}

/* Another association in the same child; what its sandbox then keeps is known here, too. */
static session_t *follow(world_t *world, session_t *resting)
{
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make()};
    start.address = resting->self.address;
    session_give_place(resting, &world->parts);
    must(limits_take(world->parts.limits, &start.address) == LIMITS_OK, "a place is not free");
    session_t *session = session_create(&start, dup(STDERR_FILENO));
    must(session_follow(session, resting) == STATUS_OK, "a child that rests is not there");
    session_end(&resting, &world->parts, false);
    world->start = session->lease.start;
    world->associations++;
    return session;
}

static session_t *live(world_t *world, session_t *session, const uint8_t *data, size_t size)
{
    for (int i = 0; size >= STEP_HEAD && i < STEPS_MAX; i++) {
        size_t length = (size_t)data[1] | (size_t)data[2] << 8;
        if (length > size - STEP_HEAD)
            length = size - STEP_HEAD;
        step(world, data[0], data + STEP_HEAD, length);
        must(session_serve(session, &world->parts), "a child that is there is taken for gone");
        if (session->state == SESSION_RESTS)
            session = follow(world, session);
        hear(world);
        data += STEP_HEAD + length;
        size -= STEP_HEAD + length;
    }
    return session;
}

/* ---- afterwards -------------------------------------------------------------------------------- */

static void check(world_t *world)
{
    pack_store_t *store = NULL;
    lease_t lease = {.association = "after", .peer = "127.0.0.1"};
    pack_record_t record = {.sequence = 0};
    AUTO_BUFFER json = {0};
    must(pack_store_open(data_folder, &store) == STATUS_OK, "store");
    must(pack_store_verify(store, &world->before) == STATUS_OK, "an earlier record is damaged");
    if (packs_lend_waiting(world->parts.packs, &lease) != STATUS_OK)
        must(packs_lend_new(world->parts.packs, &lease) == STATUS_OK, "no pack");
    append(lease.writer, &record);
    must(pack_store_verify(store, &record) == STATUS_OK, "a new record does not hold");
    packs_take_back(world->parts.packs, &lease, CHILD_GONE);
    must(announcements_count(world->announcements) < ANNOUNCEMENTS_MAX, "announcements");
    refused_append_json(world->parts.refused, INT64_MAX / 2, &json);
    long refused = 0;
    for (const char *row = buffer_text(&json); (row = strstr(row, "\"count\":")); row++)
        refused += strtol(row + sizeof "\"count\":" - 1, NULL, 10);
    must(refused <= world->associations, "one association is refused twice");
    pack_store_close(&store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_t world = {.lent = -1, .associations = 1};
    channel_message_t start = {.kind = CHANNEL_START, .association = ulid_make()};
    int channel[2];
    log_set_level(LOG_ERROR + 1);
    open_world(&world);
    must(address_parse("127.0.0.1", &start.address) == STATUS_OK, "address");
    must(channel_make(channel) == STATUS_OK, "channel");
    must(limits_take(world.parts.limits, &start.address) == LIMITS_OK, "no place");
    world.zygote = channel[1];
    world.parts.spares = spares_create(channel[0]);
    session_t *session = session_create(&start, dup(STDERR_FILENO));
    must(session_start(session, &world.parts) == STATUS_OK, "no child");
    spawn(&world);
    hear(&world);
    must(world.lent >= 0, "no pack was lent");
    session = live(&world, session, data, size);
    close(world.channel);
    session_serve(session, &world.parts);
    session_end(&session, &world.parts, false);
    if (world.lent >= 0)
        close(world.lent);
    check(&world);
    spares_destroy(&world.parts.spares);
    close(channel[0]);
    close(world.zygote);
    close_world(&world);
    return 0;
}
