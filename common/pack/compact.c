#include "pack/compact.h"

#include "base/clock.h"
#include "base/memory.h"
#include "pack/file.h"
#include "pack/rate.h"
#include "pack/writer_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PIECE_SIZE = 256 * 1024, /* read, paid for and written at once */
    SYNC_SIZE =
        32 * 1024 * 1024, /* so that the disk feels the rate, too, and no burst at the end */
    STEP_MS = 20,         /* of a sleep: how soon a stop is seen */
};

struct pack_compact {
    char *data_folder;
    pack_compact_options_t options;
    pack_writer_t *writer;
    rate_t rate;
    uint64_t unsynced;
    pack_compacted_t done;
    uint8_t piece[PIECE_SIZE];
};

/* A sealed pack that is copied from. */
typedef struct {
    int fd;
    pack_identity_t identity;
    uint64_t size;
} source_t;

status_t pack_compact_begin(const char *data_folder, const pack_compact_options_t *options,
                            pack_compact_t **out_compact)
{
    pack_writer_t *writer = NULL;
    TRY(writer_create_unborn(data_folder, &writer));
    pack_compact_t *compact = memory_allocate(sizeof *compact);
    compact->data_folder = memory_copy_text(data_folder);
    compact->options = *options;
    compact->writer = writer;
    compact->rate.bytes_per_second = options->bytes_per_second;
    *out_compact = compact;
    return STATUS_OK;
}

/* ---- the source -------------------------------------------------------------------------------- */

static status_t open_source(const char *data_folder, const ulid_t *pack, source_t *out_source)
{
    if (!ulid_is_valid(pack->text))
        return fail(STATUS_NOT_FOUND, "not the name of a pack");
    AUTO_FREE char *path = pack_path_sealed(data_folder, pack);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_UNAVAILABLE,
                    "cannot open sealed pack %s: %s", pack->text, strerror(errno));
    source_t source = {.fd = -1};
    TRY(pack_file_identity(fd, &source.identity));
    if (strcmp(source.identity.pack.text, pack->text) != 0)
        return fail(STATUS_INVALID, "pack %s says it is %s", pack->text, source.identity.pack.text);
    TRY(pack_file_size(fd, &source.size));
    source.fd = memory_take_fd(&fd);
    *out_source = source;
    return STATUS_OK;
}

/* Says which record; what was wrong with it stands in the last failure's sentence. */
static status_t name_record(const source_t *source, uint64_t offset, status_t status)
{
    AUTO_FREE char *detail = memory_copy_text(fail_detail());
    return fail(status, "pack %s, offset %llu: %s", source->identity.pack.text,
                (unsigned long long)offset, detail);
}

/* A record that cannot be found may be a live one that nobody knows of: its bytes must not go. */
static status_t check_whole(const source_t *source)
{
    for (uint64_t at = PACK_BLOCK_SIZE; at < source->size;) {
        pack_record_t record;
        status_t status =
            pack_file_record(source->fd, &source->identity, at, source->size, &record);
        if (status != STATUS_OK)
            return name_record(source, at, status);
        at = record.next_offset;
    }
    return STATUS_OK;
}

/* ---- one record -------------------------------------------------------------------------------- */

static status_t pace(pack_compact_t *compact, uint64_t bytes)
{
    int64_t left_ms = rate_take(&compact->rate, bytes, clock_monotonic_ms());
    for (;;) {
        if (compact->options.stop && atomic_load(compact->options.stop))
            return fail(STATUS_EXPIRED, "compaction was stopped");
        if (left_ms <= 0)
            return STATUS_OK;
        struct timespec step = {0, (left_ms < STEP_MS ? left_ms : STEP_MS) * 1000000};
        nanosleep(&step, NULL);
        left_ms -= STEP_MS;
    }
}

static status_t sync_sometimes(pack_compact_t *compact, uint64_t bytes)
{
    compact->unsynced += bytes;
    if (compact->unsynced < SYNC_SIZE)
        return STATUS_OK;
    compact->unsynced = 0;
    return pack_file_sync(compact->writer->fd) == STATUS_OK ? STATUS_OK
                                                            : writer_die(compact->writer);
}

static status_t copy_dataset(pack_compact_t *compact, const source_t *source,
                             const pack_record_t *record)
{
    for (uint64_t done = 0, left = record->dataset_length; left > 0;) {
        size_t length = left < PIECE_SIZE ? (size_t)left : PIECE_SIZE;
        TRY(pace(compact, length));
        TRY(pack_file_read(source->fd, compact->piece, length, record->dataset_offset + done));
        TRY(pack_writer_append(compact->writer, compact->piece, length));
        TRY(sync_sometimes(compact, length));
        done += length;
        left -= length;
    }
    return STATUS_OK;
}

/* The writer has hashed the bytes it was given: they must be those that the old header speaks of.
 * The table of chunk digests is made anew; its CRC tells that it is the old one. */
static status_t compare(const pack_record_t *from, const pack_record_t *to)
{
    if (!crypto_equal(from->dataset_digest, to->dataset_digest, DIGEST_SIZE))
        return fail(STATUS_INVALID, "the dataset is damaged");
    if (from->table_crc32 != to->table_crc32)
        return fail(STATUS_INVALID, "the digest table is damaged");
    return STATUS_OK;
}

static status_t copy_parts(pack_compact_t *compact, const source_t *source,
                           const pack_record_t *from)
{
    AUTO_FREE uint8_t *provenance = memory_allocate(from->provenance_length);
    TRY(pack_file_read(source->fd, provenance, from->provenance_length, from->provenance_offset));
    if (crypto_crc32(provenance, from->provenance_length) != from->provenance_crc32)
        return fail(STATUS_INVALID, "the provenance is damaged");
    TRY(pack_writer_begin(compact->writer, from->type, from->provenance_length));
    writer_use_digest(compact->writer, from->digest_kind);
    TRY(copy_dataset(compact, source, from));
    pack_record_t to = {.origin_pack = from->origin_pack,
                        .origin_sequence = from->origin_sequence,
                        .pixel_data_offset = from->pixel_data_offset,
                        .pixel_value_offset = from->pixel_value_offset,
                        .pixel_value_length = from->pixel_value_length};
    memcpy(to.transfer_syntax_uid, from->transfer_syntax_uid, sizeof to.transfer_syntax_uid);
    TRY(pack_writer_commit(compact->writer, provenance, from->provenance_length, &to));
    TRY(compare(from, &to));
    compact->done.records++;
    compact->done.dataset_bytes += to.dataset_length;
    return STATUS_OK;
}

static status_t copy_record(pack_compact_t *compact, const source_t *source, uint64_t offset)
{
    pack_record_t record;
    TRY(pace(compact, 0));
    status_t status =
        pack_file_record(source->fd, &source->identity, offset, source->size, &record);
    if (status == STATUS_NOT_FOUND)
        status = STATUS_INVALID; /* somebody knows of a record there */
    if (status == STATUS_OK)
        status = copy_parts(compact, source, &record);
    return status == STATUS_OK || status == STATUS_EXPIRED ? status
                                                           : name_record(source, offset, status);
}

/* ---- one pack ---------------------------------------------------------------------------------- */

static status_t copy_all(pack_compact_t *compact, const source_t *source, const uint64_t *offsets,
                         size_t count)
{
    if (!compact->options.despite_damage)
        TRY(check_whole(source));
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && offsets[i] <= offsets[i - 1])
            return fail(STATUS_INVALID, "pack %s: offsets do not ascend",
                        source->identity.pack.text);
        TRY(copy_record(compact, source, offsets[i]));
    }
    return STATUS_OK;
}

status_t pack_compact_copy(pack_compact_t *compact, const ulid_t *pack, const uint64_t *offsets,
                           size_t count)
{
    source_t source = {.fd = -1};
    TRY(open_source(compact->data_folder, pack, &source));
    const pack_compacted_t before = compact->done;
    uint64_t durable = compact->writer->durable, last_sequence = compact->writer->last_sequence;
    status_t status = copy_all(compact, &source, offsets, count);
    close(source.fd);
    if (status == STATUS_OK)
        return STATUS_OK;
    compact->done = before;
    /* Without the cut the records of this pack would still be in it: nothing may follow. */
    AUTO_FREE char *detail = memory_copy_text(fail_detail());
    if (writer_go_back(compact->writer, durable, last_sequence) != STATUS_OK)
        status = STATUS_UNAVAILABLE;
    return fail(status, "%s", detail);
}

bool pack_compact_is_full(const pack_compact_t *compact)
{
    return pack_writer_is_full(compact->writer);
}

/* ---- the end ----------------------------------------------------------------------------------- */

static void destroy(pack_compact_t **compact)
{
    pack_writer_close(&(*compact)->writer);
    free((*compact)->data_folder);
    free(*compact);
    *compact = NULL;
}

/* While the lock is held; should it fail, the next process removes the file. */
static void remove_unborn(const pack_compact_t *compact)
{
    AUTO_FREE char *path = pack_path_unborn(compact->data_folder, &compact->writer->identity.pack);
    unlink(path);
}

status_t pack_compact_finish(pack_compact_t **compact, pack_compacted_t *out_done)
{
    pack_compact_t *it = *compact;
    pack_compacted_t done = it->done;
    ulid_t pack = pack_writer_pack(it->writer);
    status_t status = pack_writer_seal(it->data_folder, &it->writer);
    if (status != STATUS_OK) {
        AUTO_FREE char *path = pack_path_unborn(it->data_folder, &pack);
        unlink(path);
    } else {
        if (done.records > 0)
            done.pack = pack;
        *out_done = done;
    }
    destroy(compact);
    return status;
}

void pack_compact_cancel(pack_compact_t **compact)
{
    if (!*compact)
        return;
    remove_unborn(*compact);
    destroy(compact);
}
