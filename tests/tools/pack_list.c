/*
 * Lists the instances in the packs of a data folder that nobody writes to, a line each:
 *
 *   pack_list DATA
 *   SOP-INSTANCE-UID STUDY SERIES RECEIVED-US ORIGIN-PACK ORIGIN-SEQUENCE SHA-256-OF-ITS-BYTES
 */
#include "crypto/crypto.h"
#include "pack/message.h"
#include "pack/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the bytes that are there, whatever the record says of them. */
static status_t hash_print(pack_store_t *store, const pack_record_t *record)
{
    pack_view_t view = {0};
    uint8_t digest[SHA256_SIZE];
    char text[2 * SHA256_SIZE + 1];
    TRY(pack_store_view(store, &record->pack, record->dataset_offset,
                        (size_t)record->dataset_length, &view));
    crypto_sha256(view.bytes, view.length, digest);
    pack_view_release(&view);
    crypto_hex(digest, sizeof digest, text);
    puts(text);
    return STATUS_OK;
}

static status_t instance_print(pack_store_t *store, const pack_record_t *record)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    TRY(pack_store_provenance(store, record, &bytes, &length));
    Pack__Provenance *provenance = pack__provenance__unpack(&pack_memory, length, bytes);
    free(bytes);
    if (!provenance)
        return fail(STATUS_INVALID, "a provenance is not readable");
    printf("%s %s %s %" PRIu64 " %s %" PRIu64 " ", provenance->sop_instance_uid,
           provenance->study_instance_uid, provenance->series_instance_uid, provenance->received_us,
           record->origin_pack.text, record->origin_sequence);
    pack__provenance__free_unpacked(provenance, &pack_memory);
    return hash_print(store, record);
}

/* Over torn and damaged ranges, as a reindex goes. */
static status_t record_find(pack_store_t *store, const ulid_t *pack, uint64_t offset,
                            pack_record_t *out_record)
{
    status_t status = pack_store_record(store, pack, offset, out_record);
    if (status != STATUS_INVALID)
        return status;
    TRY(pack_store_resume(store, pack, offset + PACK_BLOCK_SIZE, &offset));
    return pack_store_record(store, pack, offset, out_record);
}

static status_t pack_print(void *context, const ulid_t *pack, uint64_t size, bool is_open)
{
    pack_store_t *store = context;
    pack_record_t record = {.next_offset = PACK_BLOCK_SIZE};
    (void)size, (void)is_open;
    for (;;) {
        status_t status = record_find(store, pack, record.next_offset, &record);
        if (status == STATUS_NOT_FOUND)
            return STATUS_OK;
        TRY(status);
        if (record.type == PACK_RECORD_INSTANCE)
            TRY(instance_print(store, &record));
    }
}

int main(int argc, char **argv)
{
    pack_store_t *store = NULL;
    if (argc != 2) {
        fputs("usage: pack_list DATA\n", stderr);
        return 2;
    }
    status_t status = pack_store_open(argv[1], &store);
    if (status == STATUS_OK)
        status = pack_store_list(store, true, pack_print, store);
    if (status != STATUS_OK)
        fprintf(stderr, "pack_list: %s\n", fail_detail());
    pack_store_close(&store);
    return status != STATUS_OK;
}
