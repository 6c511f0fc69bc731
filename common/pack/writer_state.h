#ifndef ZPACS_PACK_WRITER_STATE_H
#define ZPACS_PACK_WRITER_STATE_H

#include "base/buffer.h"
#include "pack/format.h"
#include "pack/writer.h"

/* What writer.c (records), writer_file.c (files) and compact.c (copies) share, and nobody else. */

typedef enum {
    WRITER_IDLE,   /* between records: the file ends at durable */
    WRITER_RECORD, /* a record is in progress */
    WRITER_DEAD    /* a write or sync failed: nothing is trusted, nothing is retried */
} writer_state_t;

enum {
    /* Header, a provenance, a dataset of 192 KiB and padding: such a record is one pwrite. No more, since a
     * process that writes one CT and ends pays for each page it has touched. A
     * multiple of PACK_BLOCK_SIZE, so that all writes of a large record start on a block. */
    WRITER_BUFFER_SIZE = 256 * 1024,

    /* A larger record is synced while it comes, each time that much is new. Else gigabytes of it lie
     * unwritten in the page cache, are mapped dirty when the record is looked over, and hold up all
     * who sync meanwhile, its own commit first. */
    WRITER_UNSYNCED_MAX = 32 * 1024 * 1024,
};

struct pack_writer {
    int fd;
    writer_state_t state;
    bool is_unborn; /* <ulid>.new until it is sealed: nothing in it counts, so no commit syncs */
    pack_identity_t identity;
    uint64_t durable;       /* end of the last commit; where the next record starts */
    uint64_t last_sequence; /* of the last commit */
    int64_t due_ms;         /* monotonic: to be sealed from then on; 0: only when it is full */

    /* The record in progress: bytes [durable, written) are in the file, the rest in buffer. */
    pack_record_type_t type;
    uint64_t dataset_offset, dataset_length;
    uint64_t digested; /* bytes of the dataset that the digests have seen; the rest is in buffer */
    uint64_t written;
    uint64_t synced; /* up to where the record has been synced while it came */
    uint8_t *buffer; /* WRITER_BUFFER_SIZE bytes, from the first record on */
    size_t buffered;
    digest_kind_t digest_kind;
    digest_t *digest;       /* of the dataset */
    digest_t *chunk_digest; /* of the chunk in progress, from the second chunk on */
    buffer_t table;         /* digests of the finished chunks; empty up to PACK_CHUNK_SIZE */

    void *view; /* mapping of pack_writer_view, or NULL */
    size_t view_length;
};

pack_writer_t *writer_make(int fd, const pack_identity_t *identity, uint64_t durable,
                           uint64_t last_sequence);

/*
 * Makes <data>/packs/open/<ulid>.new with its header, locked: until pack_writer_seal() no scan
 * takes it for a pack, and whoever finds it unlocked removes it. Fails: as pack_writer_create().
 */
status_t writer_create_unborn(const char *data_folder, pack_writer_t **out_writer);

/* Of the record that has begun, and of which no byte has come: a copy has digests of the kind of its
 * original. Others have BLAKE3. */
void writer_use_digest(pack_writer_t *writer, digest_kind_t kind);

/* Cuts back to where a commit ended earlier, and drops a record in progress; of an unborn writer. */
status_t writer_go_back(pack_writer_t *writer, uint64_t durable, uint64_t last_sequence);

/* Cuts the record in progress off, as well as that still goes, and refuses everything from now on.
 * Returns UNAVAILABLE with the reason that was there. */
status_t writer_die(pack_writer_t *writer);

#endif
