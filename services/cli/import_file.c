#include "import_file.h"

#include "base/memory.h"
#include "dicom/file.h"
#include "pack/instance.h"

#include <stdio.h>
#include <unistd.h>

enum { CHUNK = 1024 * 1024, ANNOUNCE_EVERY_BYTES = 16 * 1024 * 1024 };
#define IMPORT_FILE_MAX (UINT64_C(64) << 30) /* bytes of one instance */

/*
 * A name in a stranger's ZIP may hold what a terminal obeys: control bytes, also the C1 ones of UTF-8 (C2 80 to
 * C2 9F), and marks that turn the direction of writing (E2 80 AA to AE, E2 81 A6 to A9). They come out as '?'.
 */
static void print_name(const char *name)
{
    const uint8_t *at = (const uint8_t *)name;
    for (size_t step; *at; at += step) {
        bool is_c1 = at[0] == 0xC2 && at[1] < 0xA0;
        bool turns = at[0] == 0xE2 && ((at[1] == 0x80 && at[2] >= 0xAA && at[2] <= 0xAE) ||
                                       (at[1] == 0x81 && at[2] >= 0xA6 && at[2] <= 0xA9));
        step = turns ? 3 : is_c1 && at[1] ? 2 : 1;
        if (is_c1 || turns || *at < 0x20 || *at == 0x7F)
            fputc('?', stderr);
        else
            fputc(*at, stderr);
    }
}

static void tell(const import_t *import, const char *what, const import_source_t *source,
                 const char *why)
{
    if (import->cli->quiet)
        return;
    fprintf(stderr, isatty(STDERR_FILENO) ? "\r\033[K%s " : "%s ", what);
    print_name(source->name);
    fprintf(stderr, ": %s\n", why);
}

void import_skip(import_t *import, const import_source_t *source)
{
    import->skipped++;
    tell(import, "skipped", source, fail_detail());
}

/* It is kept as it came, and goes out with a preamble of zeros; but somebody should look where it is from. */
static void warn_of_disguise(import_t *import, const import_source_t *source, const char *kind)
{
    import->disguised++;
    AUTO_FREE char *why = memory_format("by its preamble %s, too", kind);
    tell(import, "stored", source, why);
}

static ssize_t read_full(const import_source_t *source, uint8_t *out_bytes, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = source->read(source->context, out_bytes + have, size - have);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

/* Everything between begin and commit; on failure the caller aborts the record. */
static status_t copy_dataset(import_t *import, const import_source_t *source, const uint8_t *first,
                             size_t first_length, uint8_t *chunk)
{
    uint64_t total = first_length;
    TRY(pack_writer_append(import->writer, first, first_length));
    for (;;) {
        ssize_t got = source->read(source->context, chunk, CHUNK);
        if (got < 0)
            return STATUS_INVALID;
        if (got == 0)
            return STATUS_OK;
        total += (uint64_t)got;
        if (total > IMPORT_FILE_MAX)
            return fail(STATUS_TOO_LARGE, "larger than %llu bytes",
                        (unsigned long long)IMPORT_FILE_MAX);
        TRY(pack_writer_append(import->writer, chunk, (size_t)got));
    }
}

static status_t commit(import_t *import, const dicom_file_t *file, const uint8_t *head)
{
    const uint8_t *dataset;
    size_t length;
    dicom_instance_t instance;
    TRY(pack_writer_view(import->writer, &dataset, &length));
    TRY(dicom_instance_scan(dataset, length, file->transfer_syntax_uid, &instance));

    Pack__Provenance provenance = PACK__PROVENANCE__INIT;
    provenance.source = (char *)"import";
    provenance.user = (char *)import->cli->user;
    provenance.association_id = import->association_id;
    pack_provenance_take_head(&provenance, file, head);
    pack_record_t record;
    return pack_commit_instance(import->writer, &instance, file->transfer_syntax_uid, &provenance,
                                &record);
}

status_t import_file(import_t *import, const import_source_t *source)
{
    AUTO_FREE uint8_t *head = memory_allocate(DICOM_FILE_HEAD_MAX);
    ssize_t head_length = read_full(source, head, DICOM_FILE_HEAD_MAX);
    dicom_file_t file;
    if (head_length < 0 || dicom_file_open(head, (size_t)head_length, &file) != STATUS_OK) {
        import_skip(import, source);
        return STATUS_OK;
    }
    if (pack_writer_is_due(import->writer))
        TRY(import_next_pack(import));
    AUTO_FREE uint8_t *chunk = memory_allocate(CHUNK);
    TRY(pack_writer_begin(import->writer, PACK_RECORD_INSTANCE, file.dataset_offset + 1024));
    status_t status = copy_dataset(import, source, head + file.dataset_offset,
                                   (size_t)head_length - file.dataset_offset, chunk);
    if (status == STATUS_OK)
        status = commit(import, &file, head);
    if (status == STATUS_UNAVAILABLE)
        return status;
    if (status != STATUS_OK) {
        import_skip(import, source);
        return pack_writer_abort(import->writer);
    }
    import->stored++;
    if (file.preamble_kind)
        warn_of_disguise(import, source, file.preamble_kind);
    if (pack_writer_durable_offset(import->writer) - import->announced_offset >
        ANNOUNCE_EVERY_BYTES)
        TRY(import_announce(import));
    cli_progress(import->cli, false, "%llu stored, %llu skipped",
                 (unsigned long long)import->stored, (unsigned long long)import->skipped);
    return STATUS_OK;
}
