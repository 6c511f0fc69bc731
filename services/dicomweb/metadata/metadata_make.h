#ifndef ZPACS_DICOMWEB_METADATA_MAKE_H
#define ZPACS_DICOMWEB_METADATA_MAKE_H

#include "dicomweb/metadata/metadata_cache.h"

/* How the cache has an entry made: for metadata_cache.c, which has listed it, and nobody else. */

/*
 * Fills the halves of an entry.
 *
 * out_fits  false with OK: there is no room for all of it
 * Fails: as metadata_build_next() does.
 */
status_t metadata_make(dicomweb_t *dicomweb, const location_t *locations, size_t count,
                       metadata_entry_t *entry, bool *out_fits);

void metadata_half_destroy(metadata_half_t *half); /* none is fine */

/* What an entry costs with so many bytes of JSON. */
size_t metadata_entry_cost(const metadata_entry_t *entry, size_t json);

/* Of the cache: room for so many bytes more; false: there is none. */
bool metadata_cache_reserve(metadata_cache_t *cache, metadata_entry_t *entry, size_t more);
size_t metadata_cache_share(const metadata_cache_t *cache); /* the most that an entry may cost */

#endif
