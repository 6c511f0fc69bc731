#ifndef ZPACS_CLI_IMPORT_FILE_H
#define ZPACS_CLI_IMPORT_FILE_H

#include "cli.h"
#include "pack/pool.h"

#include <sys/types.h>

/* One run of the verb. */
typedef struct {
    const cli_t *cli;
    pack_pool_t *pool;
    pack_writer_t *writer;
    index_client_t *index;
    char *association_id;
    uint64_t announced_offset; /* of the current pack */
    uint64_t stored, duplicates, conflicts, skipped, failed, disguised;
} import_t;

/* A stream of one file's bytes: > 0 bytes, 0 at the end, < 0 on failure (fail() was called). */
typedef struct {
    ssize_t (*read)(void *context, void *out_bytes, size_t size);
    void *context;
    const char *name; /* for messages only; never a path that is opened */
} import_source_t;

/*
 * Stores one file. Not DICOM, or unusable: counted as skipped, named with the reason, OK.
 * Fails: UNAVAILABLE (disk) - the import ends.
 */
status_t import_file(import_t *import, const import_source_t *source);

/* Counts it as skipped, and says why: fail_detail(). */
void import_skip(import_t *import, const import_source_t *source);

/* import_announce.c */

/* Returns the pack, if there is one, and leases the next. Fails: UNAVAILABLE. */
status_t import_next_pack(import_t *import);

/* Has the index take in what is durable and waits for it. */
status_t import_announce(import_t *import);

#endif
