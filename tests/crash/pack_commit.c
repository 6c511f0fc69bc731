/*
 * What the enumeration of the commit path runs.                 tests/crash/test_pack_commit.py
 *
 *     pack_commit run DATA LEDGER   stores instances as an association would: two addresses, all
 *                                   sizes, an aborted one, a roll-over, sealing. Writes into LEDGER,
 *                                   synced: "try N", then "stored N pack offset" or "refused N".
 *     pack_commit check DATA        prints what the next process would find: check_folder().
 *
 * Exit: 0; 4: descriptors leaked; 5: the data folder cannot be opened; 6: a step that must work
 * has failed.
 */
#include "pack_driver.h"

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

/* ---- run ----------------------------------------------------------------------------------------- */

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
            exit(DRIVER_FAILED);
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
    ledger_open(ledger_path);
    size_t before = open_descriptors();
    if (pack_pool_open(data_folder, &pool, NULL, NULL) == STATUS_OK)
        for (uint32_t step = 0; step < STEPS; step++)
            run_step(pool, data_folder, step);
    pack_pool_close(&pool);
    return open_descriptors() == before ? 0 : DRIVER_LEAKED;
}

/* ---- check --------------------------------------------------------------------------------------- */

static bool is_expected(const pack_record_t *record, unsigned step)
{
    return step < STEPS && record->dataset_length == steps[step].length;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "run") == 0)
        return run(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check_folder(argv[2], is_expected);
    fprintf(stderr, "usage: pack_commit run DATA LEDGER | check DATA\n");
    return DRIVER_USAGE;
}
