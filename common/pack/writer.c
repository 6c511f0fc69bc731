#include "pack/writer.h"

#include "base/clock.h"
#include "base/memory.h"
#include "pack/file.h"
#include "pack/writer_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

pack_writer_t *writer_make(int fd, const pack_identity_t *identity, uint64_t durable,
                           uint64_t last_sequence)
{
    pack_writer_t *writer = memory_allocate(sizeof *writer);
    writer->fd = fd;
    writer->identity = *identity;
    writer->durable = durable;
    writer->last_sequence = last_sequence;
    writer->digest = digest_create(writer->digest_kind);
    writer->chunk_digest = digest_create(writer->digest_kind);
    return writer;
}

status_t writer_die(pack_writer_t *writer)
{
    /* Best effort: without it, recovery may find the record complete in the page cache although
     * the disk has refused it. */
    int ignored = ftruncate(writer->fd, (off_t)writer->durable);
    (void)ignored;
    writer->state = WRITER_DEAD;
    return STATUS_UNAVAILABLE; /* the failed call's sentence stands */
}

static void drop_view(pack_writer_t *writer)
{
    if (writer->view)
        munmap(writer->view, writer->view_length);
    writer->view = NULL;
}

static status_t require(pack_writer_t *writer, writer_state_t state)
{
    drop_view(writer);
    if (writer->state == WRITER_DEAD)
        return fail(STATUS_UNAVAILABLE, "pack %s: an earlier write failed",
                    writer->identity.pack.text);
    if (writer->state != state)
        return fail(STATUS_INTERNAL, "pack %s: %s", writer->identity.pack.text,
                    state == WRITER_IDLE ? "a record is in progress" : "no record is in progress");
    return STATUS_OK;
}

int pack_writer_fd(const pack_writer_t *writer)
{
    return writer->fd;
}

ulid_t pack_writer_pack(const pack_writer_t *writer)
{
    return writer->identity.pack;
}

uint64_t pack_writer_durable_offset(const pack_writer_t *writer)
{
    return writer->durable;
}

pack_end_t pack_writer_end(const pack_writer_t *writer)
{
    return (pack_end_t){writer->durable, writer->last_sequence};
}

bool pack_writer_is_full(const pack_writer_t *writer)
{
    return writer->durable >= PACK_SEAL_SIZE;
}

void pack_writer_set_due(pack_writer_t *writer, int64_t due_ms)
{
    writer->due_ms = due_ms;
}

bool pack_writer_is_due(const pack_writer_t *writer)
{
    return pack_writer_is_full(writer) ||
           (writer->due_ms && clock_monotonic_ms() >= writer->due_ms);
}

bool pack_writer_is_dead(const pack_writer_t *writer)
{
    return writer->state == WRITER_DEAD;
}

status_t pack_writer_begin(pack_writer_t *writer, pack_record_type_t type, size_t provenance_room)
{
    TRY(require(writer, WRITER_IDLE));
    if (provenance_room > PACK_PROVENANCE_MAX)
        return fail(STATUS_TOO_LARGE, "provenance of %zu bytes, limit %d", provenance_room,
                    PACK_PROVENANCE_MAX);
    if (!writer->buffer) /* of many writers only the descriptor is used */
        writer->buffer = memory_allocate(WRITER_BUFFER_SIZE);
    writer->state = WRITER_RECORD;
    writer->type = type;
    writer->written = writer->synced = writer->durable;
    writer->buffered = (size_t)pack_align(PACK_RECORD_HEADER_SIZE + provenance_room, 8);
    memset(writer->buffer, 0, writer->buffered);
    writer->dataset_offset = writer->durable + writer->buffered;
    writer->dataset_length = writer->digested = 0;
    writer_use_digest(writer, DIGEST_BLAKE3);
    digest_reset(writer->digest);
    buffer_clear(&writer->table);
    return STATUS_OK;
}

/* ---- digests ---------------------------------------------------------------------------------- */

void writer_use_digest(pack_writer_t *writer, digest_kind_t kind)
{
    if (kind == writer->digest_kind)
        return;
    digest_destroy(&writer->digest);
    digest_destroy(&writer->chunk_digest);
    writer->digest_kind = kind;
    writer->digest = digest_create(kind);
    writer->chunk_digest = digest_create(kind);
}

/* The first chunk's digest is the dataset's digest up to there: small datasets are hashed once. */
static void finish_chunk(pack_writer_t *writer)
{
    uint8_t digest[DIGEST_SIZE];
    digest_read(writer->table.length == 0 ? writer->digest : writer->chunk_digest, digest);
    buffer_append(&writer->table, digest, sizeof digest);
    digest_reset(writer->chunk_digest);
}

static void digest_bytes(pack_writer_t *writer, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        size_t in_chunk = (size_t)(writer->digested % PACK_CHUNK_SIZE);
        if (in_chunk == 0 && writer->digested > 0)
            finish_chunk(writer);
        size_t part = PACK_CHUNK_SIZE - in_chunk;
        if (part > length)
            part = length;
        digest_update(writer->digest, bytes, part);
        if (writer->table.length > 0)
            digest_update(writer->chunk_digest, bytes, part);
        writer->digested += part;
        bytes += part;
        length -= part;
    }
}

/* What of the dataset came since the last time: all of it is still in the buffer, at its end. BLAKE3 takes
 * sixteen pieces of 1 KiB at once, and so half as long again for what it gets in a sender's small ones. */
static void digest_buffered(pack_writer_t *writer)
{
    size_t length = (size_t)(writer->dataset_length - writer->digested);
    digest_bytes(writer, writer->buffer + writer->buffered - length, length);
}

/* ---- bytes ------------------------------------------------------------------------------------ */

/* What is on the disk before its commit counts for nothing: where its header will be are zeros. */
static status_t sync_early(pack_writer_t *writer)
{
    if (writer->is_unborn || writer->written - writer->synced < WRITER_UNSYNCED_MAX)
        return STATUS_OK;
    if (pack_file_sync(writer->fd) != STATUS_OK)
        return writer_die(writer);
    writer->synced = writer->written;
    return STATUS_OK;
}

/* Writes the whole blocks in the buffer and keeps the rest, so that each write starts on a block. */
static status_t flush_blocks(pack_writer_t *writer)
{
    digest_buffered(writer);
    size_t whole = writer->buffered - writer->buffered % PACK_BLOCK_SIZE;
    if (pack_file_write(writer->fd, writer->buffer, whole, writer->written) != STATUS_OK)
        return writer_die(writer);
    writer->written += whole;
    writer->buffered -= whole;
    memmove(writer->buffer, writer->buffer + whole, writer->buffered);
    return sync_early(writer);
}

/* As much as fits, at least a byte. */
static status_t put_some(pack_writer_t *writer, const uint8_t *bytes, size_t length,
                         size_t *out_put)
{
    if (writer->buffered == WRITER_BUFFER_SIZE)
        TRY(flush_blocks(writer));
    size_t room = WRITER_BUFFER_SIZE - writer->buffered;
    size_t part = length < room ? length : room;
    memcpy(writer->buffer + writer->buffered, bytes, part);
    writer->buffered += part;
    *out_put = part;
    return STATUS_OK;
}

/* Of what is no dataset; that is all digested. */
static status_t put_bytes(pack_writer_t *writer, const uint8_t *bytes, size_t length)
{
    for (size_t part; length > 0; bytes += part, length -= part)
        TRY(put_some(writer, bytes, length, &part));
    return STATUS_OK;
}

static status_t put_zeros(pack_writer_t *writer, size_t length)
{
    static const uint8_t zeros[PACK_BLOCK_SIZE];
    return put_bytes(writer, zeros, length);
}

status_t pack_writer_append(pack_writer_t *writer, const void *bytes, size_t length)
{
    TRY(require(writer, WRITER_RECORD));
    if (length > PACK_DATASET_MAX - writer->dataset_length)
        return fail(STATUS_TOO_LARGE, "dataset of more than %llu bytes",
                    (unsigned long long)PACK_DATASET_MAX);
    const uint8_t *at = bytes;
    for (size_t part; length > 0; at += part, length -= part) {
        TRY(put_some(writer, at, length, &part));
        writer->dataset_length += part;
    }
    return STATUS_OK;
}

status_t pack_writer_view(pack_writer_t *writer, const uint8_t **out_bytes, size_t *out_length)
{
    TRY(require(writer, WRITER_RECORD));
    size_t before = (size_t)(writer->dataset_offset - writer->durable);
    if (writer->written == writer->durable) {
        *out_bytes = writer->buffer + before;
        *out_length = (size_t)writer->dataset_length;
        return STATUS_OK;
    }
    TRY(flush_blocks(writer));
    if (pack_file_write(writer->fd, writer->buffer, writer->buffered, writer->written) != STATUS_OK)
        return writer_die(writer); /* stays buffered too: the block's end is still to come */
    size_t length = before + (size_t)writer->dataset_length;
    /* Private, since a sandbox that allows shared mappings allows writing through one. */
    void *view = mmap(NULL, length, PROT_READ, MAP_PRIVATE, writer->fd, (off_t)writer->durable);
    if (view == MAP_FAILED)
        return fail(STATUS_UNAVAILABLE, "cannot map pack: %s", strerror(errno));
    writer->view = view;
    writer->view_length = length;
    *out_bytes = (const uint8_t *)view + before;
    *out_length = (size_t)writer->dataset_length;
    return STATUS_OK;
}

/* ---- the end of a record ---------------------------------------------------------------------- */

/* Appends the digest table, if there is one, and zeros up to the next block. */
static status_t put_tail(pack_writer_t *writer, pack_record_t *record)
{
    uint64_t end = record->dataset_offset + record->dataset_length;
    if (writer->table.length > 0) {
        finish_chunk(writer);
        record->table_offset = pack_align(end, PACK_TABLE_ALIGNMENT);
        record->table_crc32 = crypto_crc32(writer->table.data, writer->table.length);
        TRY(put_zeros(writer, (size_t)(record->table_offset - end)));
        TRY(put_bytes(writer, writer->table.data, writer->table.length));
        end = record->table_offset + writer->table.length;
    }
    record->next_offset = pack_align(end, PACK_BLOCK_SIZE);
    return put_zeros(writer, (size_t)(record->next_offset - end));
}

static void fill_record(const pack_writer_t *writer, const void *provenance,
                        size_t provenance_length, pack_record_t *record)
{
    record->type = writer->type;
    record->pack = writer->identity.pack;
    record->offset = writer->durable;
    record->sequence = writer->last_sequence + 1;
    if (!record->origin_pack.text[0]) {
        record->origin_pack = record->pack;
        record->origin_sequence = record->sequence;
    }
    record->provenance_offset = record->offset + PACK_RECORD_HEADER_SIZE;
    record->provenance_length = (uint32_t)provenance_length;
    record->provenance_crc32 = crypto_crc32(provenance, provenance_length);
    record->dataset_offset = writer->dataset_offset;
    record->dataset_length = writer->dataset_length;
    record->digest_kind = writer->digest_kind;
    digest_read(writer->digest, record->dataset_digest);
    record->table_offset = 0;
    record->table_crc32 = 0;
}

/* Header and provenance go into the buffer while the record's start is still in it: one write. */
static status_t put_head(pack_writer_t *writer, const uint8_t *head, size_t length)
{
    if (writer->written == writer->durable) {
        memcpy(writer->buffer, head, length);
        return STATUS_OK;
    }
    return pack_file_write(writer->fd, head, length, writer->durable);
}

static status_t write_record(pack_writer_t *writer, const void *provenance,
                             size_t provenance_length, const pack_record_t *record)
{
    AUTO_BUFFER head = {0};
    buffer_reserve(&head, PACK_RECORD_HEADER_SIZE + provenance_length);
    pack_put_record_header(&writer->identity, record, head.data);
    head.length = PACK_RECORD_HEADER_SIZE;
    buffer_append(&head, provenance, provenance_length);
    TRY(put_head(writer, head.data, head.length));
    TRY(pack_file_write(writer->fd, writer->buffer, writer->buffered, writer->written));
    return writer->is_unborn ? STATUS_OK : pack_file_sync(writer->fd);
}

status_t pack_writer_commit(pack_writer_t *writer, const void *provenance, size_t provenance_length,
                            pack_record_t *record)
{
    TRY(require(writer, WRITER_RECORD));
    size_t room = (size_t)(writer->dataset_offset - writer->durable) - PACK_RECORD_HEADER_SIZE;
    if (provenance_length > room)
        return fail(STATUS_INVALID, "provenance of %zu bytes, room for %zu", provenance_length,
                    room);
    pack_record_t done = *record;
    digest_buffered(writer);
    fill_record(writer, provenance, provenance_length, &done);
    TRY(put_tail(writer, &done));
    if (write_record(writer, provenance, provenance_length, &done) != STATUS_OK)
        return writer_die(writer);
    writer->state = WRITER_IDLE;
    writer->durable = done.next_offset;
    writer->last_sequence = done.sequence;
    *record = done;
    return STATUS_OK;
}

status_t pack_writer_abort(pack_writer_t *writer)
{
    TRY(require(writer, WRITER_RECORD));
    if (writer->written > writer->durable &&
        pack_file_cut(writer->fd, writer->durable) != STATUS_OK)
        return writer_die(writer);
    writer->state = WRITER_IDLE;
    return STATUS_OK;
}

status_t writer_go_back(pack_writer_t *writer, uint64_t durable, uint64_t last_sequence)
{
    drop_view(writer);
    if (writer->state == WRITER_DEAD)
        return STATUS_UNAVAILABLE;
    if (pack_file_cut(writer->fd, durable) != STATUS_OK)
        return writer_die(writer);
    writer->state = WRITER_IDLE;
    writer->durable = durable;
    writer->last_sequence = last_sequence;
    return STATUS_OK;
}

void pack_writer_forget(pack_writer_t *writer)
{
    drop_view(writer);
    if (writer->buffer)
        explicit_bzero(writer->buffer, WRITER_BUFFER_SIZE);
}

void pack_writer_close(pack_writer_t **writer)
{
    pack_writer_t *closing = *writer;
    if (!closing)
        return;
    if (closing->state == WRITER_RECORD && pack_writer_abort(closing) != STATUS_OK)
        closing->state = WRITER_DEAD; /* recovery cuts it */
    drop_view(closing);
    close(closing->fd);
    digest_destroy(&closing->digest);
    digest_destroy(&closing->chunk_digest);
    buffer_destroy(&closing->table);
    free(closing->buffer);
    free(closing);
    *writer = NULL;
}
