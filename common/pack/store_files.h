#ifndef ZPACS_PACK_STORE_FILES_H
#define ZPACS_PACK_STORE_FILES_H

#include "pack/format.h"
#include "pack/store.h"

/* The open files of a store. Used by store*.c only. */

typedef struct {
    int fd;
    uint64_t size; /* at the time of taking */
    pack_identity_t identity;
    struct store_entry *entry_; /* NULL: not taken, or not in the cache */
    pack_store_t *store_;       /* NULL: nothing to release */
} store_file_t;

/* Takes the pack's file, open or sealed. Fails: NOT_FOUND, INVALID (no valid header), UNAVAILABLE. */
status_t store_take(pack_store_t *store, const ulid_t *pack, store_file_t *out_file);
void store_release(store_file_t *file); /* `{0}` is fine */

#define AUTO_RELEASE __attribute__((cleanup(store_release)))

const char *store_data_folder(const pack_store_t *store);

#endif
