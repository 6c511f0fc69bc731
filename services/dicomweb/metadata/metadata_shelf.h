#ifndef ZPACS_DICOMWEB_METADATA_SHELF_H
#define ZPACS_DICOMWEB_METADATA_SHELF_H

#include "dicomweb/metadata/metadata_cache.h"

#include <pthread.h>

/*
 * Which entries are kept, and what they cost: the inside of metadata_cache.c. All of it is called
 * under the lock.
 *
 *     listed, used       found, and being sent or made
 *     listed, unused     found; goes when room is needed
 *     unlisted, used     replaced or forgotten while it is sent: freed when its last user leaves
 */
struct metadata_cache {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* an entry has been made, or packed */
    size_t bytes, bytes_max;
    uint64_t clock, generation;
    metadata_entry_t *slots[METADATA_CACHE_SLOTS];
    uint64_t
        hashes[METADATA_CACHE_SLOTS]; /* of the slots in use, so that to find one reads no other */
};

size_t shelf_find(const metadata_cache_t *cache, const char *study, const char *series,
                  const char *base); /* SIZE_MAX: there is none */

/* Without a free slot it stays unlisted. */
void shelf_list(metadata_cache_t *cache, metadata_entry_t *entry);
void shelf_unlist(metadata_cache_t *cache, size_t slot);
void shelf_unlist_entry(metadata_cache_t *cache, const metadata_entry_t *entry);

metadata_entry_t *shelf_hold(metadata_cache_t *cache, metadata_entry_t *entry);
void shelf_let_go(metadata_cache_t *cache, metadata_entry_t *entry);

/* Gives the entry room for what it will cost; others go for it. false: it stays as it was. */
bool shelf_make_room(metadata_cache_t *cache, metadata_entry_t *entry, size_t cost);
void shelf_set_cost(metadata_cache_t *cache, metadata_entry_t *entry, size_t cost);

#endif
