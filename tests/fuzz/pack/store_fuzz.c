/*
 * A pack file with arbitrary bytes: reading, resuming, verifying and recovering it must end, stay
 * within the file, and leave a pack that takes a record and gives it back. Compacted, its records are
 * all in the new pack and hold, or none is.
 *
 * The input's first byte says what the rest is: bit 0: the bytes behind a valid file header, else
 * the whole file; bit 1: the MAC of whatever looks like a record header is made right, so that the
 * fields behind it are reached (a peer cannot do that; a broken writer could).
 */
#include "base/memory.h"
#include "pack/compact.h"
#include "pack/file.h"
#include "pack/format.h"
#include "pack/store.h"
#include "pack/writer.h"
#include "../scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BEHIND_HEADER = 1, WITH_MACS = 2, MAC_OFFSET = PACK_RECORD_HEADER_SIZE - MAC_SIZE };

/* Fixed, so that the corpus holds records that are valid. */
static const pack_identity_t identity = {{"01JDFZZPACKFVZZJVSTANAME00"}, "fuzz fuzz fuzz "};
static void make_macs(uint8_t *body, size_t length)
{
    for (size_t at = 0; at + PACK_RECORD_HEADER_SIZE <= length; at += PACK_BLOCK_SIZE)
        if (pack_has_record_magic(body + at))
            crypto_mac(identity.key, PACK_KEY_SIZE, body + at, MAC_OFFSET, body + at + MAC_OFFSET);
}

static void write_pack(const uint8_t *data, size_t size)
{
    AUTO_FREE char *path = pack_path_open(data_folder, &identity.pack);
    AUTO_FREE uint8_t *body = memory_copy(data + 1, size - 1);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint8_t header[PACK_BLOCK_SIZE];
    uint64_t at = 0;
    if (data[0] & WITH_MACS)
        make_macs(body, size - 1);
    if (data[0] & BEHIND_HEADER) {
        pack_put_file_header(&identity, header);
        must(pack_file_write(fd, header, sizeof header, 0) == STATUS_OK, "write");
        at = PACK_BLOCK_SIZE;
    }
    must(pack_file_write(fd, body, size - 1, at) == STATUS_OK, "write");
}

static void read_record(pack_store_t *store, const pack_record_t *record)
{
    AUTO_FREE uint8_t *provenance = NULL;
    size_t length;
    pack_view_t view = {0};
    unsigned sum = 0;
    pack_store_provenance(store, record, &provenance, &length);
    must(pack_store_view(store, &record->pack, record->dataset_offset,
                         (size_t)record->dataset_length, &view) == STATUS_OK,
         "a record's dataset is not within its pack");
    for (size_t i = 0; i < view.length; i++)
        sum += view.bytes[i];
    must(sum <= view.length * 255, "sum");
    pack_view_release(&view);
    pack_store_verify(store, record);
}

/* Returns the number of records. */
static size_t read_all(pack_store_t *store)
{
    size_t count = 0;
    uint64_t at = PACK_BLOCK_SIZE;
    for (;;) {
        pack_record_t record;
        status_t status = pack_store_record(store, &identity.pack, at, &record);
        if (status == STATUS_INVALID)
            status = pack_store_resume(store, &identity.pack, at, &at);
        else if (status == STATUS_OK) {
            must(record.next_offset > at, "a record does not end behind its start");
            read_record(store, &record);
            at = record.next_offset;
            count++;
        }
        if (status != STATUS_OK)
            return count;
    }
}

static void recover_and_append(pack_store_t *store, size_t count)
{
    pack_writer_t *writer = NULL;
    pack_record_t record = {.transfer_syntax_uid = "1.2"};
    if (pack_writer_open(data_folder, &identity.pack, &writer) != STATUS_OK)
        return;
    must(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 10) == STATUS_OK, "begin");
    must(pack_writer_append(writer, "dataset", 7) == STATUS_OK, "append");
    must(pack_writer_commit(writer, "p", 1, &record) == STATUS_OK, "commit");
    must(pack_store_verify(store, &record) == STATUS_OK, "the new record does not hold");
    size_t now = read_all(store);
    must(now == count + 1 || now == count, "recovery lost more than the last record");
    pack_writer_close(&writer);
}

/* ---- compaction ---------------------------------------------------------------------------------- */

enum { LIVE_MAX = 64 };

static size_t find_all(pack_store_t *store, const ulid_t *pack, bool must_hold,
                       uint64_t out_offsets[LIVE_MAX])
{
    size_t count = 0;
    for (uint64_t at = PACK_BLOCK_SIZE; count < LIVE_MAX;) {
        pack_record_t record;
        status_t status = pack_store_record(store, pack, at, &record);
        if (status == STATUS_OK) {
            must(!must_hold || pack_store_verify(store, &record) == STATUS_OK,
                 "a copy does not hold");
            out_offsets[count++] = at;
            at = record.next_offset;
        } else if (must_hold || pack_store_resume(store, pack, at, &at) != STATUS_OK) {
            break;
        }
    }
    return count;
}

static void compact_and_unlink(pack_store_t *store)
{
    pack_writer_t *writer = NULL;
    pack_compact_t *compact = NULL;
    pack_compacted_t done;
    uint64_t live[LIVE_MAX], copies[LIVE_MAX];
    if (pack_writer_open(data_folder, &identity.pack, &writer) != STATUS_OK ||
        pack_writer_seal(data_folder, &writer) != STATUS_OK)
        return;
    size_t count = find_all(store, &identity.pack, false, live);
    const pack_compact_options_t options = {.despite_damage = true};
    must(pack_compact_begin(data_folder, &options, &compact) == STATUS_OK, "begin");
    status_t status = pack_compact_copy(compact, &identity.pack, live, count);
    must(status == STATUS_OK || status == STATUS_INVALID, "copying fails in another way");
    must(pack_compact_finish(&compact, &done) == STATUS_OK, "finish");
    must(done.records == (status == STATUS_OK ? count : 0), "a pack was copied in part");
    if (done.records > 0) {
        must(find_all(store, &done.pack, true, copies) == count, "copies are missing");
        must(pack_store_unlink(store, &done.pack) == STATUS_OK, "unlink");
    }
    must(pack_store_unlink(store, &identity.pack) == STATUS_OK, "unlink");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pack_store_t *store = NULL;
    if (size == 0)
        return 0;
    if (!data_folder[0])
        make_data_folder();
    atexit(remove_data_folder);
    write_pack(data, size);
    must(pack_store_open(data_folder, &store) == STATUS_OK, "no store");
    recover_and_append(store, read_all(store));
    compact_and_unlink(store);
    pack_store_close(&store);
    return 0;
}
