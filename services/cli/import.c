/* zpacs import: every regular file below the paths, and the entries of ZIPs. */
#include "base/memory.h"
#include "cli.h"
#include "config/config.h"
#include "dicom/preamble.h"
#include "import_file.h"
#include "import_zip.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMPORT_DEPTH_MAX = 64 }; /* folders within folders */

/* What import shares with the services that write packs. */
typedef struct {
    int64_t pack_open_seconds;
} settings_t;

static const config_field_t settings_fields[] = {
    CONFIG_NUMBER(settings_t, pack_open_seconds, "1800", 1, 86400, "ZPACS_PACK_OPEN_SECONDS",
                  "a pack is sealed so long after it was made, however busy"),
    CONFIG_END};

static ssize_t read_descriptor(void *context, void *out_bytes, size_t size)
{
    ssize_t got;
    do
        got = read(*(int *)context, out_bytes, size);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        fail(STATUS_INVALID, "cannot be read: %m");
    return got;
}

/* A file of DICOM with a ZIP's head as its preamble is one of DICOM. */
static bool is_zip(const char *path)
{
    static const char magic[] = {'P', 'K', 3, 4}, prefix[] = {'D', 'I', 'C', 'M'};
    char head[DICOM_PREAMBLE_SIZE + sizeof prefix] = "";
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, head, sizeof head) >= (ssize_t)sizeof magic &&
           memcmp(head, magic, sizeof magic) == 0 &&
           memcmp(head + DICOM_PREAMBLE_SIZE, prefix, sizeof prefix) != 0;
}

static status_t import_path(import_t *import, const char *path)
{
    if (is_zip(path))
        return import_zip(import, path);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    import_source_t source = {read_descriptor, &fd, path};
    if (fd < 0) {
        fail(STATUS_INVALID, "cannot be opened: %m");
        import_skip(import, &source);
        return STATUS_OK;
    }
    return import_file(import, &source);
}

/* Regular files below the paths; links are not followed. */
static status_t import_tree(import_t *import, char **paths)
{
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!tree)
        return fail(STATUS_NOT_FOUND, "%s: %m", paths[0]);
    status_t status = STATUS_OK;
    for (FTSENT *entry; status == STATUS_OK && (entry = fts_read(tree));) {
        import_source_t source = {.name = entry->fts_path};
        if (entry->fts_info == FTS_F)
            status = import_path(import, entry->fts_accpath);
        else if (entry->fts_info == FTS_D && entry->fts_level > IMPORT_DEPTH_MAX)
            fts_set(tree, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR ||
                 entry->fts_info == FTS_DNR) {
            fail(STATUS_NOT_FOUND, "%s", strerror(entry->fts_errno));
            import_skip(import, &source);
            import->failed++;
        }
    }
    fts_close(tree);
    return status;
}

static status_t packs_open(import_t *import)
{
    settings_t settings;
    TRY(config_load(settings_fields, NULL, &settings));
    TRY(pack_pool_open(import->cli->data_folder, &import->pool, NULL, NULL));
    pack_pool_seal_after(import->pool, settings.pack_open_seconds * 1000);
    return import_next_pack(import);
}

int cli_import(const cli_t *cli, int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: zpacs import DIR|FILE|ZIP ...\n", stderr);
        return CLI_USAGE;
    }
    ulid_t association = ulid_make();
    import_t import = {.cli = cli, .association_id = association.text};
    AUTO_FREE char *why = NULL; /* of a failure, kept over what closing may say */
    status_t status = cli_index_open(cli, &import.index);
    if (status == STATUS_OK)
        status = packs_open(&import);
    if (status == STATUS_OK)
        status = import_tree(&import, argv + 1);
    if (import.writer) {
        status_t told = import_announce(&import);
        status = status == STATUS_OK ? told : status;
        why = memory_copy_text(fail_detail());
        pack_pool_return(import.pool, "import", &import.writer);
    }
    if (import.pool)
        pack_pool_close(&import.pool);
    if (import.index)
        index_client_close(&import.index);
    cli_progress(cli, true,
                 "%llu stored (%llu of them were there already, %llu conflicts), %llu skipped",
                 (unsigned long long)import.stored, (unsigned long long)import.duplicates,
                 (unsigned long long)import.conflicts, (unsigned long long)import.skipped);
    if (import.disguised)
        fprintf(stderr,
                "%llu of the stored are programs, archives or pages by their preamble, too\n",
                (unsigned long long)import.disguised);
    if (status != STATUS_OK)
        return cli_fail("import", why ? fail(status, "%s", why) : status);
    return import.failed || import.conflicts ? CLI_FOUND_PROBLEMS : CLI_OK;
}
