/*
 * What the enumeration of the commit path runs.                 tests/crash/test_pack_commit.py
 *
 *     pack_commit run DATA LEDGER   stores instances as an association would: two addresses, all
 *                                   sizes, an aborted one, a roll-over, sealing. Writes into LEDGER,
 *                                   synced: "try N", then "stored N pack offset" or "refused N".
 *     pack_commit check DATA        opens the data folder as the next process would, and prints
 *                                   "found N pack offset good|bad" for each record, "damaged",
 *                                   "open FILE" for what is left in open/.
 *
 * Exit: 0; 4: descriptors leaked; 5: the data folder cannot be opened; 6: a step that must work
 * has failed. The ledger is written with syscall(2), which the preload does not see.
 */
#include "base/memory.h"
#include "base/status.h"
#include "pack/pool.h"
#include "pack/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * KIB };

static const struct {
    const char *address;
    size_t length, piece;
    bool is_viewed, is_aborted, rolls_over;
} steps[] = {
    {"192.0.2.1", KIB, KIB, false, false, false},
    {"192.0.2.1", 512 * KIB, 16 * KIB, true, false, false},
    {"192.0.2.1", 2 * MIB + 7, 128 * KIB, true, false, false},
    {"192.0.2.1", MIB + 512 * KIB, 128 * KIB, false, true, false},
    {"192.0.2.2", 0, 1, false, false, false},
    {"192.0.2.2", KIB, KIB, false, true, false},
    {"192.0.2.2", 5 * KIB, KIB, false, false, true},
    {"192.0.2.1", MIB + 1, 128 * KIB, false, false, true},
    {"192.0.2.1", 2 * KIB, KIB, false, false, false},
    {"192.0.2.2", KIB, KIB, false, true, false},
};
enum { STEPS = sizeof steps / sizeof *steps };

static size_t open_descriptors(void)
{
    size_t found = 0;
    for (int fd = 0; fd < 256; fd++)
        found += fcntl(fd, F_GETFD) >= 0;
    return found;
}

/* Bytes that differ at every place and for every seed. */
static uint8_t *make_bytes(size_t length, uint64_t seed)
{
    uint64_t *words = memory_allocate(length + sizeof *words);
    uint64_t x = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (size_t i = 0; i <= length / sizeof *words; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        words[i] = x;
    }
    return (uint8_t *)words;
}

/* ---- run ----------------------------------------------------------------------------------------- */

static int ledger = -1;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    char line[128];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (syscall(SYS_write, ledger, line, (size_t)length) != length ||
        syscall(SYS_fdatasync, ledger) != 0)
        abort();
}

/* The provenance is the step's number, so that a record can be told from its file alone. */
static status_t store_record(pack_writer_t *writer, uint32_t step, pack_record_t *out_record)
{
    AUTO_FREE uint8_t *bytes = make_bytes(steps[step].length, step);
    AUTO_FREE char *provenance = memory_format("%u", step);
    const uint8_t *view;
    size_t length = steps[step].length, piece = steps[step].piece, viewed;
    TRY(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 300));
    for (size_t done = 0; done < length; done += piece)
        TRY(pack_writer_append(writer, bytes + done,
                               length - done < piece ? length - done : piece));
    if (steps[step].is_viewed) {
        TRY(pack_writer_view(writer, &view, &viewed));
        if (viewed != length || memcmp(view, bytes, length) != 0)
            exit(6);
    }
    if (steps[step].is_aborted)
        return pack_writer_abort(writer);
    *out_record = (pack_record_t){.transfer_syntax_uid = "1.2.840.10008.1.2"};
    return pack_writer_commit(writer, provenance, strlen(provenance), out_record);
}

static void run_step(pack_pool_t *pool, const char *data_folder, uint32_t step)
{
    pack_writer_t *writer = NULL;
    pack_record_t record = {.offset = 0};
    note("try %u\n", step);
    if (pack_pool_lease(pool, steps[step].address, &writer) != STATUS_OK) {
        note("refused %u\n", step);
        return;
    }
    status_t status = store_record(writer, step, &record);
    if (status != STATUS_OK)
        note("refused %u\n", step);
    else if (!steps[step].is_aborted)
        note("stored %u %s %llu\n", step, record.pack.text, (unsigned long long)record.offset);
    if (steps[step].rolls_over)
        pack_writer_seal(data_folder, &writer);
    else
        pack_pool_return(pool, steps[step].address, &writer);
}

static int run(const char *data_folder, const char *ledger_path)
{
    pack_pool_t *pool = NULL;
    ledger = (int)syscall(SYS_openat, AT_FDCWD, ledger_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    size_t before = open_descriptors();
    if (pack_pool_open(data_folder, &pool, NULL, NULL) == STATUS_OK)
        for (uint32_t step = 0; step < STEPS; step++)
            run_step(pool, data_folder, step);
    pack_pool_close(&pool);
    return open_descriptors() == before ? 0 : 4;
}

/* ---- check --------------------------------------------------------------------------------------- */

static bool is_good(pack_store_t *store, const pack_record_t *record, unsigned long *out_step)
{
    AUTO_FREE uint8_t *provenance = NULL;
    size_t length;
    if (pack_store_verify(store, record) != STATUS_OK ||
        pack_store_provenance(store, record, &provenance, &length) != STATUS_OK || length != 1)
        return false;
    *out_step = provenance[0] - '0';
    if (*out_step >= STEPS || record->dataset_length != steps[*out_step].length)
        return false;
    pack_view_t view = {0};
    AUTO_FREE uint8_t *bytes = make_bytes(record->dataset_length, *out_step);
    bool same = pack_store_view(store, &record->pack, record->dataset_offset,
                                record->dataset_length, &view) == STATUS_OK &&
                memcmp(view.bytes, bytes, view.length) == 0;
    pack_view_release(&view);
    return same;
}

static status_t check_pack(void *context, const ulid_t *pack, uint64_t size, bool is_open)
{
    pack_store_t *store = context;
    pack_record_t record;
    uint64_t at = PACK_BLOCK_SIZE;
    (void)is_open;
    for (;; at = record.next_offset) {
        status_t status = pack_store_record(store, pack, at, &record);
        if (status == STATUS_NOT_FOUND)
            break;
        if (status != STATUS_OK) {
            printf("damaged %s %llu\n", pack->text, (unsigned long long)at);
            return STATUS_OK;
        }
        unsigned long step = 99;
        bool good = is_good(store, &record, &step);
        printf("found %lu %s %llu %s\n", step, pack->text, (unsigned long long)at,
               good ? "good" : "bad");
    }
    if (at != size)
        printf("damaged %s %llu\n", pack->text, (unsigned long long)at);
    return STATUS_OK;
}

static void print_left_open(const char *data_folder)
{
    AUTO_FREE char *path = memory_format("%s/packs/open", data_folder);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            printf("open %s\n", entry->d_name);
    if (folder)
        closedir(folder);
}

static void print_taken_over(void *context, const ulid_t *pack, uint64_t durable)
{
    (void)context;
    printf("taken %s %llu\n", pack->text, (unsigned long long)durable);
}

static int check(const char *data_folder)
{
    pack_pool_t *pool = NULL;
    pack_store_t *store = NULL;
    size_t before = open_descriptors();
    if (pack_pool_open(data_folder, &pool, print_taken_over, NULL) != STATUS_OK ||
        pack_store_open(data_folder, &store) != STATUS_OK ||
        pack_store_list(store, true, check_pack, store) != STATUS_OK) {
        fprintf(stderr, "%s\n", fail_detail());
        return 5;
    }
    print_left_open(data_folder);
    pack_store_close(&store);
    pack_pool_close(&pool);
    return open_descriptors() == before ? 0 : 4;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "run") == 0)
        return run(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check(argv[2]);
    fprintf(stderr, "usage: pack_commit run DATA LEDGER | check DATA\n");
    return 64;
}
