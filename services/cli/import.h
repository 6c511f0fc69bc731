#ifndef ZPACS_CLI_IMPORT_H
#define ZPACS_CLI_IMPORT_H

#include "cli.h"
#include "pack/pool.h"

#include <sys/types.h>

enum {
    IMPORT_ENTRIES_MAX = 1000 * 1000, /* files in one ZIP */
    IMPORT_RATIO_MAX = 200,           /* unpacked bytes per packed byte of a ZIP */
    IMPORT_DEPTH_MAX = 64,            /* folders within folders */
};
#define IMPORT_FILE_MAX (UINT64_C(64) << 30) /* bytes of one instance */

typedef struct {
    const cli_t *cli;
    pack_pool_t *pool;
    pack_writer_t *writer;
    index_client_t *index;
    char *association_id;
    uint64_t announced_offset; /* of the current pack */
    uint64_t stored, duplicates, conflicts, skipped, failed;
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

/* Stores the entries of a ZIP; their names are data, never paths. */
status_t import_zip(import_t *import, const char *path);

#endif
