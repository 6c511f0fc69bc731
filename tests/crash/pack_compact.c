/*
 * What the enumeration of compaction runs.                     tests/crash/test_pack_compact.py
 *
 *     pack_compact prepare DATA      makes two sealed packs with five records each, 0 to 9; those with
 *                                    an even number live, the others are deleted.
 *     pack_compact run DATA LEDGER   does what the index does: copies the live records of every sealed
 *                                    pack that has deleted ones, seals, unlinks the old packs. Writes
 *                                    into LEDGER, synced: "copied PACK", "sealed PACK",
 *                                    "unlinked PACK", or "failed STEP".
 *     pack_compact check DATA        opens the data folder as the next process would, and prints
 *                                    "found N pack offset good|bad" for each record, "damaged",
 *                                    "open FILE" for what is left in open/.
 *
 * Exit: 0; 4: descriptors leaked; 5: the data folder cannot be opened; 6: a step that must work
 * has failed. The ledger is written with syscall(2), which the preload does not see.
 */
#include "base/memory.h"
#include "base/status.h"
#include "pack/compact.h"
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

enum { KIB = 1024, MIB = 1024 * KIB, PACKS_MAX = 4 };

static const size_t lengths[] = {KIB, 2 * KIB, 2 * MIB + 7, 3 * KIB, 0, KIB, MIB + 1, 5, 4096, MIB};
enum { RECORDS = sizeof lengths / sizeof *lengths, PER_PACK = RECORDS / 2 };

static bool is_live(unsigned number)
{
    return number % 2 == 0;
}

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

/* ---- prepare ------------------------------------------------------------------------------------- */

/* The provenance is the record's number, so that it can be told from its file alone. */
static status_t put_record(pack_writer_t *writer, unsigned number)
{
    AUTO_FREE uint8_t *bytes = make_bytes(lengths[number], number);
    pack_record_t record = {.transfer_syntax_uid = "1.2.840.10008.1.2"};
    char digit = (char)('0' + number);
    TRY(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 1));
    TRY(pack_writer_append(writer, bytes, lengths[number]));
    return pack_writer_commit(writer, &digit, 1, &record);
}

static int prepare(const char *data_folder)
{
    for (unsigned number = 0; number < RECORDS;) {
        pack_writer_t *writer = NULL;
        if (pack_writer_create(data_folder, &writer) != STATUS_OK)
            return 6;
        for (unsigned i = 0; i < PER_PACK; i++, number++)
            if (put_record(writer, number) != STATUS_OK)
                return 6;
        if (pack_writer_seal(data_folder, &writer) != STATUS_OK)
            return 6;
    }
    return 0;
}

/* ---- records ------------------------------------------------------------------------------------- */

/* Fails: INVALID (it does not hold, or is none of ours). */
static status_t read_number(pack_store_t *store, const pack_record_t *record, unsigned *out_number)
{
    AUTO_FREE uint8_t *provenance = NULL;
    size_t length;
    TRY(pack_store_provenance(store, record, &provenance, &length));
    if (length != 1 || provenance[0] < '0' || provenance[0] > '9')
        return fail(STATUS_INVALID, "not the provenance of a record of this test");
    *out_number = (unsigned)(provenance[0] - '0');
    return STATUS_OK;
}

static bool is_good(pack_store_t *store, const pack_record_t *record, unsigned number)
{
    if (record->dataset_length != lengths[number] ||
        record->origin_sequence != number % PER_PACK + 1 ||
        pack_store_verify(store, record) != STATUS_OK)
        return false;
    pack_view_t view = {0};
    AUTO_FREE uint8_t *bytes = make_bytes(lengths[number], number);
    bool same = pack_store_view(store, &record->pack, record->dataset_offset, lengths[number],
                                &view) == STATUS_OK &&
                memcmp(view.bytes, bytes, view.length) == 0;
    pack_view_release(&view);
    return same;
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

typedef struct {
    pack_store_t *store;
    pack_compact_t *compact;
    ulid_t copied[PACKS_MAX];
    size_t count;
} run_t;

static status_t copy_pack(void *context, const ulid_t *pack, uint64_t size, bool is_open)
{
    run_t *state = context;
    uint64_t live[RECORDS];
    size_t count = 0;
    bool has_dead = false;
    pack_record_t record;
    (void)size;
    if (is_open)
        return STATUS_OK;
    for (uint64_t at = PACK_BLOCK_SIZE; count < RECORDS; at = record.next_offset) {
        unsigned number = 0;
        status_t status = pack_store_record(state->store, pack, at, &record);
        if (status == STATUS_NOT_FOUND)
            break;
        TRY(status);
        TRY(read_number(state->store, &record, &number));
        if (is_live(number))
            live[count++] = at;
        else
            has_dead = true;
    }
    if (!has_dead || state->count == PACKS_MAX)
        return STATUS_OK;
    TRY(pack_compact_copy(state->compact, pack, live, count));
    state->copied[state->count++] = *pack;
    note("copied %s\n", pack->text);
    return STATUS_OK;
}

static status_t compact_all(const char *data_folder, run_t *state)
{
    const pack_compact_options_t options = {0};
    pack_compacted_t done;
    TRY(pack_compact_begin(data_folder, &options, &state->compact));
    status_t status = pack_store_list(state->store, true, copy_pack, state);
    if (status != STATUS_OK) {
        pack_compact_cancel(&state->compact);
        return status;
    }
    TRY(pack_compact_finish(&state->compact, &done));
    if (done.records > 0)
        note("sealed %s\n", done.pack.text);
    for (size_t i = 0; i < state->count; i++) {
        TRY(pack_store_unlink(state->store, &state->copied[i]));
        note("unlinked %s\n", state->copied[i].text);
    }
    return STATUS_OK;
}

static int run(const char *data_folder, const char *ledger_path)
{
    run_t state = {.count = 0};
    pack_pool_t *pool = NULL;
    ledger = (int)syscall(SYS_openat, AT_FDCWD, ledger_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    size_t before = open_descriptors();
    status_t status = pack_pool_open(data_folder, &pool, NULL, NULL);
    if (status == STATUS_OK)
        status = pack_store_open(data_folder, &state.store);
    if (status == STATUS_OK)
        status = compact_all(data_folder, &state);
    if (status != STATUS_OK)
        note("failed %s\n", status_name(status));
    if (state.store)
        pack_store_close(&state.store);
    pack_pool_close(&pool);
    return open_descriptors() == before ? 0 : 4;
}

/* ---- check --------------------------------------------------------------------------------------- */

static status_t check_pack(void *context, const ulid_t *pack, uint64_t size, bool is_open)
{
    pack_store_t *store = context;
    pack_record_t record;
    uint64_t at = PACK_BLOCK_SIZE;
    (void)is_open;
    for (;; at = record.next_offset) {
        unsigned number = 99;
        status_t status = pack_store_record(store, pack, at, &record);
        if (status == STATUS_NOT_FOUND)
            break;
        if (status != STATUS_OK) {
            printf("damaged %s %llu\n", pack->text, (unsigned long long)at);
            return STATUS_OK;
        }
        bool good =
            read_number(store, &record, &number) == STATUS_OK && is_good(store, &record, number);
        printf("found %u %s %llu %s\n", number, pack->text, (unsigned long long)at,
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

static int check(const char *data_folder)
{
    pack_pool_t *pool = NULL;
    pack_store_t *store = NULL;
    size_t before = open_descriptors();
    if (pack_pool_open(data_folder, &pool, NULL, NULL) != STATUS_OK ||
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
    if (argc == 3 && strcmp(argv[1], "prepare") == 0)
        return prepare(argv[2]);
    if (argc == 4 && strcmp(argv[1], "run") == 0)
        return run(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check(argv[2]);
    fprintf(stderr, "usage: pack_compact prepare DATA | run DATA LEDGER | check DATA\n");
    return 64;
}
