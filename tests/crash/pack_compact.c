/*
 * What the enumeration of compaction runs.                     tests/crash/test_pack_compact.py
 *
 *     pack_compact prepare DATA      makes two sealed packs with five records each, 0 to 9; those with
 *                                    an even number live, the others are deleted.
 *     pack_compact run DATA LEDGER   does what the index does: copies the live records of every sealed
 *                                    pack that has deleted ones, seals, unlinks the old packs. Writes
 *                                    into LEDGER, synced: "copied PACK", "sealed PACK",
 *                                    "unlinked PACK", or "failed STEP".
 *     pack_compact check DATA        prints what the next process would find: check_folder().
 *
 * Exit: 0; 4: descriptors leaked; 5: the data folder cannot be opened; 6: a step that must work
 * has failed.
 */
#include "pack/compact.h"
#include "pack_driver.h"

enum { PACKS_MAX = 4 };

static const size_t lengths[] = {KIB, 2 * KIB, 2 * MIB + 7, 3 * KIB, 0, KIB, MIB + 1, 5, 4096, MIB};
enum { RECORDS = sizeof lengths / sizeof *lengths, PER_PACK = RECORDS / 2 };

static bool is_live(unsigned number)
{
    return number % 2 == 0;
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
            return DRIVER_FAILED;
        for (unsigned i = 0; i < PER_PACK; i++, number++)
            if (put_record(writer, number) != STATUS_OK)
                return DRIVER_FAILED;
        if (pack_writer_seal(data_folder, &writer) != STATUS_OK)
            return DRIVER_FAILED;
    }
    return 0;
}

/* ---- run ----------------------------------------------------------------------------------------- */

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
    ledger_open(ledger_path);
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
    return open_descriptors() == before ? 0 : DRIVER_LEAKED;
}

/* ---- check --------------------------------------------------------------------------------------- */

static bool is_expected(const pack_record_t *record, unsigned number)
{
    return number < RECORDS && record->dataset_length == lengths[number] &&
           record->origin_sequence == number % PER_PACK + 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "prepare") == 0)
        return prepare(argv[2]);
    if (argc == 4 && strcmp(argv[1], "run") == 0)
        return run(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check_folder(argv[2], is_expected);
    fprintf(stderr, "usage: pack_compact prepare DATA | run DATA LEDGER | check DATA\n");
    return DRIVER_USAGE;
}
