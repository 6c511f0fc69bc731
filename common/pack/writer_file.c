#include "base/memory.h"
#include "pack/file.h"
#include "pack/recover_from.h"
#include "pack/scan.h"
#include "pack/writer_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CREATE_TRIES = 3 };

/* ---- making ------------------------------------------------------------------------------------
 * A new pack is called <ulid>.new until its header is durable, so that every <ulid>.pack in open/
 * is whole and locked from its first instant on.
 */

static status_t write_file_header(int fd, const pack_identity_t *identity)
{
    uint8_t block[PACK_BLOCK_SIZE];
    pack_put_file_header(identity, block);
    TRY(pack_file_write(fd, block, sizeof block, 0));
    return pack_file_sync(fd);
}

static status_t lock_file(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return STATUS_OK;
    if (errno == EWOULDBLOCK)
        return fail(STATUS_BUSY, "pack is in use");
    return fail(STATUS_UNAVAILABLE, "cannot lock pack: %s", strerror(errno));
}

/* Fails: BUSY (a cleaner took the new file between open and lock: try another), NOT_FOUND (no
 * folder), UNAVAILABLE. */
static status_t make_unborn(const char *data_folder, pack_identity_t *identity, int *out_fd)
{
    identity->pack = ulid_make();
    AUTO_FREE char *path = pack_path_unborn(data_folder, &identity->pack);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_UNAVAILABLE, "cannot make pack: %s",
                    strerror(errno));
    status_t status = lock_file(fd);
    if (status == STATUS_OK)
        status = write_file_header(fd, identity);
    if (status != STATUS_OK) {
        unlink(path);
        return status;
    }
    *out_fd = memory_take_fd(&fd);
    return STATUS_OK;
}

static status_t name_open(const char *data_folder, const ulid_t *pack)
{
    AUTO_FREE char *path = pack_path_open(data_folder, pack);
    AUTO_FREE char *new_path = pack_path_unborn(data_folder, pack);
    if (rename(new_path, path) != 0) {
        status_t status = errno == ENOENT
                              ? fail(STATUS_BUSY, "new pack was cleaned away")
                              : fail(STATUS_UNAVAILABLE, "cannot name pack: %s", strerror(errno));
        unlink(new_path);
        return status;
    }
    status_t status = pack_folder_sync(data_folder, PACK_FOLDER_OPEN);
    if (status != STATUS_OK)
        unlink(path); /* nobody was told of it, and it is empty */
    return status;
}

static status_t make_open(const char *data_folder, pack_identity_t *identity, int *out_fd)
{
    AUTO_CLOSE int fd = -1;
    TRY(make_unborn(data_folder, identity, &fd));
    TRY(name_open(data_folder, &identity->pack));
    *out_fd = memory_take_fd(&fd);
    return STATUS_OK;
}

/* For a pack that keeps its first name: a cleaner that won the lock before us has removed it. */
static status_t make_lasting_unborn(const char *data_folder, pack_identity_t *identity, int *out_fd)
{
    AUTO_CLOSE int fd = -1;
    TRY(make_unborn(data_folder, identity, &fd));
    AUTO_FREE char *path = pack_path_unborn(data_folder, &identity->pack);
    if (access(path, F_OK) != 0)
        return fail(STATUS_BUSY, "new pack was cleaned away");
    *out_fd = memory_take_fd(&fd);
    return STATUS_OK;
}

static status_t create(const char *data_folder,
                       status_t (*make)(const char *data_folder, pack_identity_t *identity,
                                        int *out_fd),
                       pack_writer_t **out_writer)
{
    pack_identity_t identity = {0};
    crypto_random(identity.key, sizeof identity.key);
    int fd = -1;
    status_t status = make(data_folder, &identity, &fd);
    for (int tries = 1; tries < CREATE_TRIES && status != STATUS_OK; tries++) {
        if (status == STATUS_UNAVAILABLE)
            return status;
        if (status == STATUS_NOT_FOUND)
            TRY(pack_folder_make(data_folder, PACK_FOLDER_OPEN));
        status = make(data_folder, &identity, &fd);
    }
    if (status != STATUS_OK)
        return fail(STATUS_UNAVAILABLE, "cannot make pack in %s", data_folder);
    *out_writer = writer_make(fd, &identity, PACK_BLOCK_SIZE, 0);
    return STATUS_OK;
}

status_t pack_writer_create(const char *data_folder, pack_writer_t **out_writer)
{
    return create(data_folder, make_open, out_writer);
}

status_t writer_create_unborn(const char *data_folder, pack_writer_t **out_writer)
{
    TRY(create(data_folder, make_lasting_unborn, out_writer));
    (*out_writer)->is_unborn = true;
    return STATUS_OK;
}

/* ---- taking over ------------------------------------------------------------------------------ */

/* The lock may have been won after its holder sealed the pack: then the name is gone. */
static status_t lock_named(int fd, const char *path)
{
    struct stat by_fd, by_name;
    TRY(lock_file(fd));
    if (fstat(fd, &by_fd) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot stat pack: %s", strerror(errno));
    if (stat(path, &by_name) != 0 || by_fd.st_ino != by_name.st_ino ||
        by_fd.st_dev != by_name.st_dev)
        return fail(STATUS_NOT_FOUND, "pack is no longer open");
    return STATUS_OK;
}

static status_t quarantine_file(const char *data_folder, const char *path, const ulid_t *pack)
{
    TRY(pack_folder_make(data_folder, PACK_FOLDER_QUARANTINE));
    AUTO_FREE char *target =
        memory_format("%s/" PACK_FOLDER_QUARANTINE "/%s.pack", data_folder, pack->text);
    if (rename(path, target) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot quarantine pack: %s", strerror(errno));
    TRY(pack_folder_sync(data_folder, PACK_FOLDER_QUARANTINE));
    return pack_folder_sync(data_folder, PACK_FOLDER_OPEN);
}

static status_t check_identity(int fd, const ulid_t *pack, pack_identity_t *out_identity)
{
    pack_identity_t identity;
    TRY(pack_file_identity(fd, &identity));
    if (strcmp(identity.pack.text, pack->text) != 0)
        return fail(STATUS_INVALID, "pack %s says it is %s", pack->text, identity.pack.text);
    *out_identity = identity;
    return STATUS_OK;
}

status_t pack_writer_open(const char *data_folder, const ulid_t *pack, pack_writer_t **out_writer)
{
    AUTO_FREE char *path = pack_path_open(data_folder, pack);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_UNAVAILABLE,
                    "cannot open pack %s: %s", pack->text, strerror(errno));
    TRY(lock_named(fd, path));
    pack_identity_t identity;
    status_t status = check_identity(fd, pack, &identity);
    if (status == STATUS_INVALID) {
        TRY(quarantine_file(data_folder, path, pack));
        return fail(STATUS_INVALID, "pack %s has no valid header: quarantined", pack->text);
    }
    TRY(status);
    pack_recovery_t found;
    TRY(pack_recover_from(fd, data_folder, &identity, PACK_BLOCK_SIZE, 0, &found));
    *out_writer =
        writer_make(memory_take_fd(&fd), &identity, found.durable_offset, found.last_sequence);
    return STATUS_OK;
}

status_t pack_writer_adopt(int fd, const pack_end_t *end, pack_writer_t **out_writer)
{
    pack_identity_t identity;
    uint64_t size;
    TRY(pack_file_identity(fd, &identity));
    TRY(pack_file_size(fd, &size));
    if (size != end->durable_offset)
        return fail(STATUS_INVALID, "pack %s was not recovered", identity.pack.text);
    *out_writer = writer_make(fd, &identity, size, end->sequence);
    return STATUS_OK;
}

/* Whether whole records, and nothing else, lead from the durable end to size; goes on there. */
static bool follow_headers(pack_writer_t *writer, uint64_t size)
{
    pack_record_t record = {.next_offset = writer->durable, .sequence = writer->last_sequence};
    while (record.next_offset < size)
        if (pack_file_record(writer->fd, &writer->identity, record.next_offset, size, &record) !=
            STATUS_OK)
            return false;
    writer->durable = size;
    writer->last_sequence = record.sequence;
    return true;
}

status_t pack_writer_refresh(const char *data_folder, pack_writer_t *writer, uint64_t told,
                             uint64_t *out_quarantined)
{
    pack_recovery_t found;
    if (writer->state != WRITER_IDLE)
        return fail(STATUS_UNAVAILABLE, "pack %s is not idle", writer->identity.pack.text);
    uint64_t size;
    if (pack_file_size(writer->fd, &size) == STATUS_OK &&
        (size == writer->durable || (size == told && follow_headers(writer, size))))
        return STATUS_OK;
    status_t status = pack_recover_from(writer->fd, data_folder, &writer->identity, writer->durable,
                                        writer->last_sequence, &found);
    if (status != STATUS_OK) {
        writer->state = WRITER_DEAD; /* without a cut: what the other process wrote may be good */
        return status;
    }
    writer->durable = found.durable_offset;
    writer->last_sequence = found.last_sequence;
    if (out_quarantined)
        *out_quarantined = found.quarantined;
    return STATUS_OK;
}

/* ---- sealing ---------------------------------------------------------------------------------- */

static char *path_now(const char *data_folder, const pack_writer_t *writer)
{
    return writer->is_unborn ? pack_path_unborn(data_folder, &writer->identity.pack)
                             : pack_path_open(data_folder, &writer->identity.pack);
}

static status_t move_to_sealed(const char *data_folder, const pack_writer_t *writer)
{
    const ulid_t *pack = &writer->identity.pack;
    AUTO_FREE char *from = path_now(data_folder, writer);
    AUTO_FREE char *to = pack_path_sealed(data_folder, pack);
    AUTO_FREE char *folder = pack_path_sealed_folder(pack);
    TRY(pack_folder_make(data_folder, folder));
    if (rename(from, to) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot seal pack %s: %s", pack->text, strerror(errno));
    TRY(pack_folder_sync(data_folder, folder));
    return pack_folder_sync(data_folder, PACK_FOLDER_OPEN);
}

static status_t remove_empty(const char *data_folder, const pack_writer_t *writer)
{
    AUTO_FREE char *path = path_now(data_folder, writer);
    if (unlink(path) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot remove pack %s: %s", writer->identity.pack.text,
                    strerror(errno));
    return STATUS_OK; /* should the name come back after a power cut, it is an empty pack again */
}

static status_t seal(const char *data_folder, pack_writer_t *writer)
{
    uint64_t size;
    if (writer->state == WRITER_RECORD)
        TRY(pack_writer_abort(writer));
    /* The size decides, since a dead writer may not know what others have put there. */
    if (writer->durable == PACK_BLOCK_SIZE && pack_file_size(writer->fd, &size) == STATUS_OK &&
        size == PACK_BLOCK_SIZE)
        return remove_empty(data_folder, writer);
    if (writer->state == WRITER_DEAD)
        return fail(STATUS_UNAVAILABLE, "pack %s: an earlier write failed",
                    writer->identity.pack.text);
    TRY(pack_file_sync(writer->fd));
    return move_to_sealed(data_folder, writer);
}

status_t pack_writer_seal(const char *data_folder, pack_writer_t **writer)
{
    status_t status = seal(data_folder, *writer);
    pack_writer_close(writer);
    return status;
}
