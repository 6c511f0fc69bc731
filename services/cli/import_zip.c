#include "import_zip.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>

enum {
    IMPORT_ENTRIES_MAX = 1000 * 1000, /* files in one ZIP */
    IMPORT_RATIO_MAX = 200            /* unpacked bytes per packed byte of a ZIP */
};

typedef struct {
    struct archive *archive;
    uint64_t unpacked;
} zip_t;

/* Unpacked bytes are measured against the packed ones read so far, so a bomb ends early. */
static ssize_t read_entry(void *context, void *out_bytes, size_t size)
{
    zip_t *zip = context;
    la_ssize_t got = archive_read_data(zip->archive, out_bytes, size);
    if (got < 0) {
        fail(STATUS_INVALID, "damaged in the ZIP: %s", archive_error_string(zip->archive));
        return -1;
    }
    zip->unpacked += (uint64_t)got;
    uint64_t packed = (uint64_t)archive_filter_bytes(zip->archive, -1);
    if (zip->unpacked > (packed + 1024 * 1024) * IMPORT_RATIO_MAX) {
        fail(STATUS_TOO_LARGE, "unpacks to more than %d times its size", IMPORT_RATIO_MAX);
        return -1;
    }
    return got;
}

status_t import_zip(import_t *import, const char *path)
{
    zip_t zip = {.archive = archive_read_new()};
    archive_read_support_format_zip(zip.archive);
    status_t status = STATUS_OK;
    if (archive_read_open_filename(zip.archive, path, 1024 * 1024) != ARCHIVE_OK) {
        status = fail(STATUS_INVALID, "%s: %s", path, archive_error_string(zip.archive));
        archive_read_free(zip.archive);
        return status;
    }
    struct archive_entry *entry;
    for (int entries = 0; status == STATUS_OK; entries++) {
        int result = archive_read_next_header(zip.archive, &entry);
        if (result == ARCHIVE_EOF)
            break;
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
            status = fail(STATUS_INVALID, "%s: %s", path, archive_error_string(zip.archive));
        } else if (entries >= IMPORT_ENTRIES_MAX) {
            status =
                fail(STATUS_TOO_LARGE, "%s has more than %d entries", path, IMPORT_ENTRIES_MAX);
        } else if (archive_entry_filetype(entry) == AE_IFREG) {
            const char *name = archive_entry_pathname(entry);
            import_source_t source = {read_entry, &zip, name ? name : "(unnamed)"};
            status = import_file(import, &source);
        }
    }
    archive_read_free(zip.archive);
    return status;
}
