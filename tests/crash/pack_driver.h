#ifndef ZPACS_TESTS_CRASH_PACK_DRIVER_H
#define ZPACS_TESTS_CRASH_PACK_DRIVER_H

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

/*
 * What pack_commit.c and pack_compact.c share: records that can be told from their files alone, since
 * the provenance is one digit, the record's number, and its bytes follow from that; the ledger; and
 * what the next process would find.
 */
enum { KIB = 1024, MIB = 1024 * KIB, NO_NUMBER = 99 };

/* Exit codes. */
enum { DRIVER_LEAKED = 4, DRIVER_CANNOT_OPEN = 5, DRIVER_FAILED = 6, DRIVER_USAGE = 64 };

static inline size_t open_descriptors(void)
{
    size_t found = 0;
    for (int fd = 0; fd < 256; fd++)
        found += fcntl(fd, F_GETFD) >= 0;
    return found;
}

/* Bytes that differ at every place and for every seed. */
static inline uint8_t *make_bytes(size_t length, uint64_t seed)
{
    uint64_t *words = memory_allocate(length + sizeof *words);
    uint64_t x = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (size_t i = 0; i <= length / sizeof *words; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        words[i] = x;
    }
    return (uint8_t *)words;
}

/* ---- the ledger: synced, with syscall(2), which the preload does not see ------------------------- */

static int ledger = -1;

static inline void ledger_open(const char *path)
{
    ledger = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600);
}

static inline void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void note(const char *format, ...)
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

/* ---- what is there ------------------------------------------------------------------------------- */

/* Whether a record of this number is to look like that; what is in its dataset is not its business. */
typedef bool expected_t(const pack_record_t *record, unsigned number);

/* Fails: INVALID (it does not hold, or is none of ours). */
static inline status_t read_number(pack_store_t *store, const pack_record_t *record,
                                   unsigned *out_number)
{
    AUTO_FREE uint8_t *provenance = NULL;
    size_t length;
    TRY(pack_store_provenance(store, record, &provenance, &length));
    if (length != 1 || provenance[0] < '0' || provenance[0] > '9')
        return fail(STATUS_INVALID, "not the provenance of a record of this test");
    *out_number = (unsigned)(provenance[0] - '0');
    return STATUS_OK;
}

static inline bool is_good(pack_store_t *store, const pack_record_t *record, unsigned number)
{
    if (pack_store_verify(store, record) != STATUS_OK)
        return false;
    pack_view_t view = {0};
    AUTO_FREE uint8_t *bytes = make_bytes(record->dataset_length, number);
    bool same = pack_store_view(store, &record->pack, record->dataset_offset,
                                record->dataset_length, &view) == STATUS_OK &&
                memcmp(view.bytes, bytes, view.length) == 0;
    pack_view_release(&view);
    return same;
}

typedef struct {
    pack_store_t *store;
    expected_t *is_expected;
} check_t;

static inline void check_record(const check_t *check, const pack_record_t *record)
{
    unsigned number = NO_NUMBER;
    bool good = read_number(check->store, record, &number) == STATUS_OK &&
                check->is_expected(record, number) && is_good(check->store, record, number);
    printf("found %u %s %llu %s\n", number, record->pack.text, (unsigned long long)record->offset,
           good ? "good" : "bad");
}

static inline status_t check_pack(void *context, const ulid_t *pack, uint64_t size, bool is_open)
{
    const check_t *check = context;
    pack_record_t record;
    uint64_t at = PACK_BLOCK_SIZE;
    (void)is_open;
    status_t status = pack_store_record(check->store, pack, at, &record);
    while (status == STATUS_OK) {
        check_record(check, &record);
        at = record.next_offset;
        status = pack_store_record(check->store, pack, at, &record);
    }
    if (status != STATUS_NOT_FOUND || at != size)
        printf("damaged %s %llu\n", pack->text, (unsigned long long)at);
    return STATUS_OK;
}

static inline void print_left_open(const char *data_folder)
{
    AUTO_FREE char *path = memory_format("%s/packs/open", data_folder);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            printf("open %s\n", entry->d_name);
    if (folder)
        closedir(folder);
}

static inline void print_taken_over(void *context, const ulid_t *pack, uint64_t durable)
{
    (void)context;
    printf("taken %s %llu\n", pack->text, (unsigned long long)durable);
}

/*
 * Opens the data folder as the next process would, and prints "taken PACK durable" for what is taken
 * over, "found N PACK offset good|bad" for each record, "damaged PACK offset", and "open FILE" for
 * what is left in open/. Returns an exit code.
 */
static inline int check_folder(const char *data_folder, expected_t *is_expected)
{
    pack_pool_t *pool = NULL;
    check_t check = {.is_expected = is_expected};
    size_t before = open_descriptors();
    if (pack_pool_open(data_folder, &pool, print_taken_over, NULL) != STATUS_OK ||
        pack_store_open(data_folder, &check.store) != STATUS_OK ||
        pack_store_list(check.store, true, check_pack, &check) != STATUS_OK) {
        fprintf(stderr, "%s\n", fail_detail());
        return DRIVER_CANNOT_OPEN;
    }
    print_left_open(data_folder);
    pack_store_close(&check.store);
    pack_pool_close(&pool);
    return open_descriptors() == before ? 0 : DRIVER_LEAKED;
}

#endif
