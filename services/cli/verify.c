#include "cli.h"
#include "pack/store.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    const cli_t *cli;
    pack_store_t *store;
    uint64_t bytes_total, bytes_done, records, damaged, packs;
} verify_t;

static status_t measure(void *context, const ulid_t *pack, uint64_t size_bytes, bool is_open)
{
    (void)pack;
    (void)is_open;
    verify_t *verify = context;
    verify->bytes_total += size_bytes;
    return STATUS_OK;
}

static void report(verify_t *verify, const ulid_t *pack, uint64_t offset)
{
    verify->damaged++;
    fprintf(stderr, "\ndamaged: pack %s offset %llu: %s\n", pack->text, (unsigned long long)offset,
            fail_detail());
}

/* One record: its header holds already; now the provenance's CRC and the dataset's hash.
 * Fails: NOT_FOUND (the pack was compacted away meanwhile: its records lie elsewhere). */
static status_t verify_record(verify_t *verify, const pack_record_t *record)
{
    uint8_t *provenance = NULL;
    size_t length;
    status_t status = pack_store_provenance(verify->store, record, &provenance, &length);
    if (status == STATUS_OK)
        status = pack_store_verify(verify->store, record);
    free(provenance);
    if (status == STATUS_NOT_FOUND)
        return status;
    if (status != STATUS_OK)
        report(verify, &record->pack, record->offset);
    verify->records++;
    return STATUS_OK;
}

static status_t verify_pack(void *context, const ulid_t *pack, uint64_t size_bytes, bool is_open)
{
    verify_t *verify = context;
    uint64_t offset = PACK_BLOCK_SIZE;
    uint64_t before = verify->bytes_done;
    while (offset < size_bytes) {
        pack_record_t record;
        status_t status = pack_store_record(verify->store, pack, offset, &record);
        if (status == STATUS_OK) {
            if (verify_record(verify, &record) != STATUS_OK)
                break; /* gone */
            offset = record.next_offset;
        } else if (status == STATUS_UNAVAILABLE) {
            return status;
        } else if (pack_store_resume(verify->store, pack, offset, &offset) == STATUS_OK) {
            report(verify, pack, offset);
        } else if (is_open || status == STATUS_NOT_FOUND) {
            break; /* a record in progress, a tail that recovery will cut, or the pack is gone */
        } else {
            report(verify, pack, offset);
            break;
        }
        verify->bytes_done = before + (offset < size_bytes ? offset : size_bytes);
        cli_progress(
            verify->cli, false, "%3d %%  %llu records, %llu damaged",
            (int)(verify->bytes_total ? 100 * verify->bytes_done / verify->bytes_total : 100),
            (unsigned long long)verify->records, (unsigned long long)verify->damaged);
    }
    verify->bytes_done = before + size_bytes;
    verify->packs++;
    return STATUS_OK;
}

int cli_verify(const cli_t *cli, int argc, char **argv)
{
    (void)argv;
    if (argc != 1) {
        fputs("usage: zpacs verify\n", stderr);
        return CLI_USAGE;
    }
    verify_t verify = {.cli = cli};
    status_t status = pack_store_open(cli->data_folder, &verify.store);
    if (status == STATUS_OK)
        status = pack_store_list(verify.store, true, measure, &verify);
    if (status == STATUS_OK)
        status = pack_store_list(verify.store, true, verify_pack, &verify);
    if (verify.store)
        pack_store_close(&verify.store);
    if (status != STATUS_OK)
        return cli_fail("verify", status);
    cli_progress(cli, true, "%llu packs, %llu records, %llu damaged",
                 (unsigned long long)verify.packs, (unsigned long long)verify.records,
                 (unsigned long long)verify.damaged);
    return verify.damaged ? CLI_FOUND_PROBLEMS : CLI_OK;
}
