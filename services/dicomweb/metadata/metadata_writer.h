#ifndef ZPACS_DICOMWEB_METADATA_WRITER_H
#define ZPACS_DICOMWEB_METADATA_WRITER_H

#include "base/buffer.h"
#include "dicomweb/form/gzip.h"
#include "dicomweb/metadata/metadata_ask.h"
#include "dicomweb/metadata/metadata_build.h"
#include "dicomweb/metadata/metadata_cache.h"

/*
 * Puts an answer together of runs of objects, each a series or a batch, as JSON, gzip or XML:
 *
 *     JSON   [ run , run ]              what is kept is sent from where it lies
 *     gzip   the same as one member     gzip.h: what was compressed is not compressed again
 *     XML    a part for each object     PS3.18 10.4.1.1.2, PS3.19 A.1
 */
typedef struct {
    metadata_entry_t *entry;
    bool is_packed; /* false: what is compressed is made when it is sent */
} metadata_run_t;

typedef struct {
    const metadata_ask_t *ask;
    bool is_first;
    gzip_sum_t sum;
    buffer_t part; /* of XML */
} metadata_writer_t;

/* length: of the body, from metadata_length(); < 0: not known, sent in chunks. */
void metadata_write_begin(metadata_writer_t *writer, const metadata_ask_t *ask, int64_t length);

/* Fails: INTERNAL (no DICOM JSON), UNAVAILABLE (the client is gone). */
status_t metadata_write_objects(metadata_writer_t *writer, const buffer_t *json,
                                const metadata_slice_t *slices, size_t count);
status_t metadata_write_run(metadata_writer_t *writer, const metadata_run_t *run);

/* With what has come of it: OK ends the answer; else it becomes an error, or breaks off. */
void metadata_write_end(metadata_writer_t *writer, status_t status);

/* How long the body of these runs will be; -1: that shows when it is sent. */
int64_t metadata_length(const metadata_ask_t *ask, const metadata_run_t *runs, size_t count);

#endif
