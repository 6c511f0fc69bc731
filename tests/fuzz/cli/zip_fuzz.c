/*
 * A ZIP from anybody: its entries are walked, what is DICOM is stored. It ends with a sentence or with
 * as many records as it says, and each of them holds.
 */
#include "base/memory.h"
#include "cli/import_zip.h"
#include "pack/file.h"
#include "pack/store.h"
#include "../scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Deflated to a thousandth it stays below what the index has to be told of: there is none. */
enum { SIZE_MAX_BYTES = 12 * 1024 };

static char *write_zip(const uint8_t *data, size_t size)
{
    char *path = memory_format("%s/input.zip", data_folder);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size, "input");
    return path;
}

static uint64_t count_records(const ulid_t *pack)
{
    pack_store_t *store = NULL;
    pack_record_t record;
    uint64_t count = 0;
    must(pack_store_open(data_folder, &store) == STATUS_OK, "no store");
    for (uint64_t at = PACK_BLOCK_SIZE; pack_store_record(store, pack, at, &record) == STATUS_OK;
         at = record.next_offset) {
        must(pack_store_verify(store, &record) == STATUS_OK, "a record that does not hold");
        count++;
    }
    pack_store_close(&store);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cli_t cli = {.user = "fuzz", .quiet = true};
    import_t import = {.cli = &cli, .association_id = (char *)"fuzz"};
    if (size > SIZE_MAX_BYTES)
        return 0;
    if (!data_folder[0])
        make_data_folder();
    atexit(remove_data_folder);
    AUTO_FREE char *zip = write_zip(data, size);
    must(pack_writer_create(data_folder, &import.writer) == STATUS_OK, "pack");
    status_t status = import_zip(&import, zip);
    must(status == STATUS_OK || status == STATUS_INVALID || status == STATUS_TOO_LARGE,
         "fails in another way");
    ulid_t pack = pack_writer_pack(import.writer);
    AUTO_FREE char *path = pack_path_open(data_folder, &pack);
    must(count_records(&pack) == import.stored, "not what it says it has stored");
    pack_writer_close(&import.writer);
    unlink(path);
    return 0;
}
