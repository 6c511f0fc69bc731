/* zpacs export: the archive's instances as Part 10 files, DIR/<study>/<series>/<instance>.dcm */
#include "cli.h"
#include "base/buffer.h"
#include "base/memory.h"
#include "base/text.h"
#include "dicom/dictionary.h"
#include "dicom/file.h"
#include "pack/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TERMS_MAX = 32, CHUNK = 1024 * 1024 };

typedef struct {
    const cli_t *cli;
    index_client_t *index;
    pack_store_t *store;
    int folder; /* of the target */
    uint64_t written, bytes;
} export_t;

/* A UID is digits and full stops; one that could be read as a folder of its own kind is marked. */
static const char *file_name(const char *uid, char out_name[UID_LENGTH_MAX + 8])
{
    snprintf(out_name, UID_LENGTH_MAX + 8, "%s%s", uid[0] == '.' ? "_" : "",
             uid_is_valid(uid) ? uid : "_");
    return out_name;
}

static int open_folder(int parent, const char *name)
{
    if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST)
        return -1;
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static status_t write_all(int fd, const void *bytes, size_t length)
{
    for (const uint8_t *at = bytes; length;) {
        ssize_t put = write(fd, at, length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(STATUS_UNAVAILABLE, "cannot write: %m");
        at += put;
        length -= (size_t)put;
    }
    return STATUS_OK;
}

static status_t write_instance(export_t *export, int fd, const Index__Location *location)
{
    AUTO_BUFFER head = {0};
    dicom_file_write_head(&head, location->sop_class_uid, location->sop_instance_uid,
                          location->transfer_syntax_uid, location->source_ae_title);
    TRY(write_all(fd, head.data, head.length));
    ulid_t pack;
    snprintf(pack.text, sizeof pack.text, "%s", location->pack);
    AUTO_FREE uint8_t *chunk = memory_allocate(CHUNK);
    for (uint64_t done = 0; done < location->dataset_length;) {
        uint64_t left = location->dataset_length - done;
        size_t size = left < CHUNK ? (size_t)left : CHUNK;
        TRY(pack_store_read(export->store, &pack, location->dataset_offset + done, chunk, size));
        TRY(write_all(fd, chunk, size));
        done += size;
    }
    export->bytes += location->dataset_length;
    return STATUS_OK;
}

/* Written under a temporary name first: a file that is there is whole. */
static status_t export_instance(export_t *export, const Index__Location *location)
{
    char study[UID_LENGTH_MAX + 8], series[UID_LENGTH_MAX + 8], name[UID_LENGTH_MAX + 8];
    AUTO_CLOSE int study_folder =
        open_folder(export->folder, file_name(location->study_instance_uid, study));
    AUTO_CLOSE int series_folder =
        study_folder < 0
            ? -1
            : open_folder(study_folder, file_name(location->series_instance_uid, series));
    if (series_folder < 0)
        return fail(STATUS_UNAVAILABLE, "cannot make the folder %s/%s: %m", study, series);
    AUTO_FREE char *final = memory_format("%s.dcm", file_name(location->sop_instance_uid, name));
    AUTO_FREE char *temporary = memory_format("%s.part", final);
    AUTO_CLOSE int fd = openat(series_folder, temporary,
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail(STATUS_UNAVAILABLE, "cannot make %s: %m", temporary);
    TRY(write_instance(export, fd, location));
    if (renameat(series_folder, temporary, series_folder, final) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot rename %s: %m", temporary);
    export->written++;
    cli_progress(export->cli, false, "%llu files, %llu MB", (unsigned long long)export->written,
                 (unsigned long long)(export->bytes >> 20));
    return STATUS_OK;
}

static status_t export_match(export_t *export, const Index__Scope *scope, const Index__Match *match)
{
    AUTO_FREE char *after = memory_copy_text("");
    do {
        Index__Locate query = INDEX__LOCATE__INIT;
        query.scope = (Index__Scope *)scope;
        query.study_instance_uid = match->study_instance_uid;
        query.series_instance_uid = match->series_instance_uid;
        query.sop_instance_uid = match->sop_instance_uid;
        query.after = after;
        Index__Located *located = NULL;
        TRY(index_client_locate(export->index, &query, &located));
        status_t status = STATUS_OK;
        for (size_t i = 0; status == STATUS_OK && i < located->n_locations; i++)
            status = export_instance(export, located->locations[i]);
        free(after);
        after = memory_copy_text(located->next);
        index__located__free_unpacked(located, NULL);
        TRY(status);
    } while (*after);
    return STATUS_OK;
}

static status_t export_query(export_t *export, Index__Find *query)
{
    for (bool more = true; more;) {
        Index__Found *found = NULL;
        TRY(index_client_find(export->index, query, &found));
        status_t status = STATUS_OK;
        for (size_t i = 0; status == STATUS_OK && i < found->n_matches; i++)
            status = export_match(export, query->scope, found->matches[i]);
        query->offset += (uint32_t)found->n_matches;
        more = found->more && found->n_matches > 0;
        index__found__free_unpacked(found, NULL);
        TRY(status);
    }
    return STATUS_OK;
}

/* KEY=VALUE; the level is that of the lowest UID asked for. */
static status_t read_term(char *text, Index__Term *out_term, Index__Level *level)
{
    char *equals = strchr(text, '=');
    if (!equals)
        return fail(STATUS_INVALID, "'%s' is not KEY=VALUE", text);
    *equals = 0;
    if (!dicom_tag_from_text(text, &out_term->tag))
        return fail(STATUS_INVALID, "unknown attribute '%s'", text);
    out_term->value = equals + 1;
    if (out_term->tag == 0x0020000E && *level < INDEX__LEVEL__SERIES)
        *level = INDEX__LEVEL__SERIES;
    if (out_term->tag == 0x00080018)
        *level = INDEX__LEVEL__INSTANCE;
    return STATUS_OK;
}

static status_t run(export_t *export, int argc, char **argv)
{
    Index__Scope scope = INDEX__SCOPE__INIT;
    scope.kind = INDEX__SCOPE__KIND__ALL;
    Index__Find query = INDEX__FIND__INIT;
    query.scope = &scope;
    query.level = INDEX__LEVEL__STUDY;
    Index__Term terms[TERMS_MAX];
    Index__Term *pointers[TERMS_MAX];
    for (int i = 1; i < argc - 1; i++) {
        terms[i - 1] = (Index__Term)INDEX__TERM__INIT;
        pointers[i - 1] = &terms[i - 1];
        TRY(read_term(argv[i], &terms[i - 1], &query.level));
    }
    query.terms = pointers;
    query.n_terms = (size_t)argc - 2;
    export->folder = open_folder(AT_FDCWD, argv[argc - 1]);
    if (export->folder < 0)
        return fail(STATUS_INVALID, "%s: %m", argv[argc - 1]);
    TRY(pack_store_open(export->cli->data_folder, &export->store));
    TRY(cli_index_open(export->cli, &export->index));
    return export_query(export, &query);
}

int cli_export(const cli_t *cli, int argc, char **argv)
{
    if (argc < 2 || argc - 2 > TERMS_MAX) {
        fputs("usage: zpacs export [KEY=VALUE ...] DIR\n"
              "       keys as in QIDO-RS: StudyInstanceUID, PatientID, StudyDate=20260101-, ...\n",
              stderr);
        return CLI_USAGE;
    }
    export_t export = {.cli = cli, .folder = -1};
    status_t status = run(&export, argc, argv);
    if (export.index)
        index_client_close(&export.index);
    if (export.store)
        pack_store_close(&export.store);
    if (export.folder >= 0)
        close(export.folder);
    if (status != STATUS_OK)
        return cli_fail("export", status);
    cli_progress(cli, true, "%llu files, %llu MB", (unsigned long long)export.written,
                 (unsigned long long)(export.bytes >> 20));
    return export.written ? CLI_OK : CLI_FOUND_PROBLEMS;
}
