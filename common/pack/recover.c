#include "pack/recover.h"

#include "base/clock.h"
#include "base/memory.h"
#include "pack/file.h"
#include "pack/recover_from.h"
#include "pack/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Leaves a note for the operator; a note that is there already says the same. */
static status_t note_quarantine(const char *data_folder, const ulid_t *pack, uint64_t from,
                                uint64_t to)
{
    TRY(pack_folder_make(data_folder, PACK_FOLDER_QUARANTINE));
    AUTO_FREE char *path = memory_format("%s/" PACK_FOLDER_QUARANTINE "/%s-%llu", data_folder,
                                         pack->text, (unsigned long long)from);
    char found_at[28];
    clock_format(clock_wall_us(), found_at);
    AUTO_FREE char *text = memory_format(
        "pack: %s\nfrom: %llu\nto: %llu\nfound: %s\n"
        "The bytes in this range are no record; valid records lie before and behind it.\n",
        pack->text, (unsigned long long)from, (unsigned long long)to, found_at);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return fail(STATUS_UNAVAILABLE, "cannot note quarantine: %s", strerror(errno));
    TRY(pack_file_write(fd, text, strlen(text), 0));
    TRY(pack_file_sync(fd));
    return pack_folder_sync(data_folder, PACK_FOLDER_QUARANTINE);
}

typedef struct {
    int fd;
    const char *data_folder;
    const pack_identity_t *identity;
    uint64_t size;
    pack_recovery_t *found;
    pack_record_t last; /* the valid record that ends at found->durable_offset, if records */
} walk_t;

/* Goes from record to record, over damaged ranges, until no valid header follows. */
static status_t walk(walk_t *walk)
{
    pack_recovery_t *found = walk->found;
    for (;;) {
        pack_record_t record;
        uint64_t at = found->durable_offset;
        status_t status = pack_file_record(walk->fd, walk->identity, at, walk->size, &record);
        if (status == STATUS_INVALID)
            status = pack_scan_next(walk->fd, walk->identity, at, walk->size, &record);
        if (status == STATUS_NOT_FOUND)
            return STATUS_OK;
        TRY(status);
        if (record.offset != at) {
            TRY(note_quarantine(walk->data_folder, &walk->identity->pack, at, record.offset));
            found->quarantined++;
        }
        found->records++;
        found->last_sequence = record.sequence;
        found->durable_offset = record.next_offset;
        walk->last = record;
    }
}

/*
 * The record at the very end of the file may have reached the disk in part, its header before its
 * bytes: it counts only if all of it holds. Every other record was synced before bytes were
 * written behind it, so a damaged one is rot, which is for verify to tell.
 */
static status_t check_last(walk_t *walk, uint64_t from, uint64_t last_sequence)
{
    pack_recovery_t *found = walk->found;
    if (found->durable_offset == from || found->durable_offset != walk->size)
        return STATUS_OK;
    status_t status = pack_scan_check(walk->fd, &walk->last);
    if (status != STATUS_INVALID)
        return status;
    found->records--;
    found->durable_offset = walk->last.offset;
    found->last_sequence = found->records ? walk->last.sequence - 1 : last_sequence;
    return STATUS_OK;
}

status_t pack_recover_from(int fd, const char *data_folder, const pack_identity_t *identity,
                           uint64_t from, uint64_t last_sequence, pack_recovery_t *out_found)
{
    pack_recovery_t found = {.durable_offset = from, .last_sequence = last_sequence};
    walk_t state = {.fd = fd, .data_folder = data_folder, .identity = identity, .found = &found};
    TRY(pack_file_sync(fd));
    TRY(pack_file_size(fd, &state.size));
    if (state.size < from)
        return fail(STATUS_INVALID, "pack %s ends at %llu, before its durable end %llu",
                    identity->pack.text, (unsigned long long)state.size, (unsigned long long)from);
    TRY(walk(&state));
    TRY(check_last(&state, from, last_sequence));
    found.torn_bytes = state.size - found.durable_offset;
    if (found.torn_bytes > 0) {
        TRY(pack_file_cut(fd, found.durable_offset));
        TRY(pack_file_sync(fd));
    }
    *out_found = found;
    return STATUS_OK;
}

status_t pack_recover(int fd, const char *data_folder, pack_recovery_t *out_found)
{
    pack_identity_t identity;
    TRY(pack_file_identity(fd, &identity));
    return pack_recover_from(fd, data_folder, &identity, PACK_BLOCK_SIZE, 0, out_found);
}
