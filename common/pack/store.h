#ifndef ZPACS_PACK_STORE_H
#define ZPACS_PACK_STORE_H

#include "pack/record.h"

#include <stdbool.h>

/*
 * Reading packs of one data folder. Safe for use by many threads. Keeps a bounded number of files
 * open; finds a pack by its ULID whether it is open or sealed.
 */
typedef struct pack_store pack_store_t;

status_t pack_store_open(const char *data_folder, pack_store_t **out_store);
void pack_store_close(pack_store_t **store);

/*
 * Reads and checks the header (magic, MAC, own offset, pack) of the record at offset.
 * Fails: NOT_FOUND (no such pack, or nothing at that offset yet), INVALID (there are bytes but no
 * valid header: torn or damaged).
 */
status_t pack_store_record(pack_store_t *store, const ulid_t *pack, uint64_t offset,
                           pack_record_t *out_record);

/* Reads length bytes at offset; INVALID when the file ends before. */
status_t pack_store_read(pack_store_t *store, const ulid_t *pack, uint64_t offset, void *out_bytes,
                         size_t length);

/* The packed provenance of a record, checked against its CRC; caller frees. */
status_t pack_store_provenance(pack_store_t *store, const pack_record_t *record,
                               uint8_t **out_bytes, size_t *out_length);

/* A mapped range of a pack, read-only. bytes points at the wanted offset. */
typedef struct {
    const uint8_t *bytes;
    size_t length;
    void *base_;
    size_t base_length_;
} pack_view_t;

status_t pack_store_view(pack_store_t *store, const ulid_t *pack, uint64_t offset, size_t length,
                         pack_view_t *out_view);
void pack_view_release(pack_view_t *view); /* `{0}` is fine */

/*
 * Of the range only some places far apart will be read: a page that is not in memory yet is read by
 * itself. Else the kernel reads as much around it as the disk's readahead says, which may be megabytes.
 */
void pack_view_at_random(const pack_view_t *view);

/* A descriptor of the pack for pread or sendfile; caller closes. */
status_t pack_store_file(pack_store_t *store, const ulid_t *pack, int *out_fd, uint64_t *out_size);

/*
 * Goes behind a record that does not hold: the next offset at or after from with a valid header,
 * or NOT_FOUND when there is none (then it was the torn tail).
 */
status_t pack_store_resume(pack_store_t *store, const ulid_t *pack, uint64_t from,
                           uint64_t *out_offset);

/* Hashes the dataset and compares. Fails: INVALID (damaged), UNAVAILABLE (I/O error). */
status_t pack_store_verify(pack_store_t *store, const pack_record_t *record);

/*
 * Removes a sealed pack, durably, with what quarantine/ holds of it. Only for who has just made sure
 * that nothing points to it (compact.h: step 4). A pack that is gone already is OK, so that what a
 * crash has cut short can be done again.
 *
 * Fails: BUSY (it is still in open/), UNAVAILABLE (it may be there still, or come back: do it
 * again), CONFLICT (it is gone, but its bytes have another name: somebody has made a hard link).
 */
status_t pack_store_unlink(pack_store_t *store, const ulid_t *pack);

/*
 * Closes the files of packs that were unlinked since they were opened: until then their bytes stay
 * on the disk. Call it every few seconds where packs are read.
 */
void pack_store_tick(pack_store_t *store);

typedef struct {
    ulid_t pack;
    uint64_t size_bytes;
    bool is_open;
} pack_listed_t;

typedef struct {
    pack_listed_t *packs;
    size_t count, capacity;
} pack_listing_t;

/* Lists the packs in open/ (and, with sealed_too, all others), each once, in the order of ULIDs. */
status_t pack_store_listing(pack_store_t *store, bool sealed_too, pack_listing_t *out_listing);
void pack_listing_add(pack_listing_t *listing, const pack_listed_t *pack); /* at the end */
void pack_listing_destroy(pack_listing_t *listing);                        /* `{0}` is fine */

/* Calls visit for each of these, until one fails. */
status_t pack_store_list(pack_store_t *store, bool sealed_too,
                         status_t (*visit)(void *context, const ulid_t *pack, uint64_t size_bytes,
                                           bool is_open),
                         void *context);

#endif
