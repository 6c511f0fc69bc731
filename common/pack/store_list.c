#include "base/memory.h"
#include "pack/file.h"
#include "pack/store_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void pack_listing_add(pack_listing_t *listing, const pack_listed_t *pack)
{
    if (listing->count == listing->capacity) {
        listing->capacity = listing->capacity ? 2 * listing->capacity : 64;
        listing->packs = memory_resize(listing->packs, listing->capacity * sizeof *listing->packs);
    }
    listing->packs[listing->count++] = *pack;
}

void pack_listing_destroy(pack_listing_t *listing)
{
    free(listing->packs);
    *listing = (pack_listing_t){0};
}

/* Adds the packs in one folder; a folder that is not there holds none. */
static status_t add_packs(pack_listing_t *listing, const char *path, bool is_open)
{
    DIR *folder = opendir(path);
    if (!folder && errno == ENOENT)
        return STATUS_OK;
    if (!folder)
        return fail(STATUS_UNAVAILABLE, "cannot list %s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(folder));) {
        pack_listed_t pack = {.is_open = is_open};
        struct stat status;
        if (!pack_ulid_from_name(entry->d_name, &pack.pack) ||
            fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(status.st_mode))
            continue;
        pack.size_bytes = (uint64_t)status.st_size;
        pack_listing_add(listing, &pack);
    }
    closedir(folder);
    return STATUS_OK;
}

static int only_digits(const struct dirent *entry)
{
    return entry->d_name[0] && strspn(entry->d_name, "0123456789") == strlen(entry->d_name);
}

/* Names of the folders YYYY, MM or DD in path, sorted; free each, then the array. -1: error. */
static int day_parts(const char *path, struct dirent ***out_parts)
{
    int count = scandir(path, out_parts, only_digits, alphasort);
    return count < 0 && errno == ENOENT ? 0 : count;
}

enum { DAY_LEVELS = 3 }; /* YYYY/MM/DD */

/* Replaces each path by those of its children, one level of YYYY/MM/DD. */
static status_t expand(char ***paths, size_t *count)
{
    char **children = NULL;
    size_t child_count = 0;
    status_t status = STATUS_OK;
    for (size_t i = 0; i < *count; i++) {
        struct dirent **parts = NULL;
        int part_count = day_parts((*paths)[i], &parts);
        if (part_count < 0)
            status = fail(STATUS_UNAVAILABLE, "cannot list %s: %s", (*paths)[i], strerror(errno));
        for (int k = 0; k < part_count; k++) {
            children = memory_resize(children, (child_count + 1) * sizeof *children);
            children[child_count++] = memory_format("%s/%s", (*paths)[i], parts[k]->d_name);
            free(parts[k]);
        }
        if (part_count >= 0)
            free(parts);
        free((*paths)[i]);
    }
    free(*paths);
    *paths = children;
    *count = child_count;
    return status;
}

static status_t add_sealed(pack_listing_t *listing, const char *data_folder)
{
    size_t count = 1;
    char **paths = memory_allocate(sizeof *paths);
    paths[0] = memory_format("%s/packs", data_folder);
    status_t status = STATUS_OK;
    for (int level = 0; level < DAY_LEVELS && status == STATUS_OK; level++)
        status = expand(&paths, &count);
    for (size_t i = 0; i < count; i++) {
        if (status == STATUS_OK)
            status = add_packs(listing, paths[i], false);
        free(paths[i]);
    }
    free(paths);
    return status;
}

static int by_ulid(const void *a, const void *b)
{
    const pack_listed_t *first = a, *second = b;
    int order = strcmp(first->pack.text, second->pack.text);
    return order ? order : (int)first->is_open - (int)second->is_open;
}

/* A pack that was sealed while we looked is in the list twice, sealed first. */
static void remove_doubles(pack_listing_t *listing)
{
    size_t kept = 0;
    for (size_t i = 0; i < listing->count; i++)
        if (kept == 0 ||
            strcmp(listing->packs[i].pack.text, listing->packs[kept - 1].pack.text) != 0)
            listing->packs[kept++] = listing->packs[i];
    listing->count = kept;
}

status_t pack_store_listing(pack_store_t *store, bool sealed_too, pack_listing_t *out_listing)
{
    AUTO_FREE char *open_folder = memory_format("%s/" PACK_FOLDER_OPEN, store_data_folder(store));
    pack_listing_t listing = {0};
    /* open/ first: a pack that moves meanwhile is seen in at least one place */
    status_t status = add_packs(&listing, open_folder, true);
    if (status == STATUS_OK && sealed_too)
        status = add_sealed(&listing, store_data_folder(store));
    if (status != STATUS_OK) {
        pack_listing_destroy(&listing);
        return status;
    }
    if (listing.count > 0)
        qsort(listing.packs, listing.count, sizeof *listing.packs, by_ulid);
    remove_doubles(&listing);
    *out_listing = listing;
    return STATUS_OK;
}

status_t pack_store_list(pack_store_t *store, bool sealed_too,
                         status_t (*visit)(void *context, const ulid_t *pack, uint64_t size_bytes,
                                           bool is_open),
                         void *context)
{
    pack_listing_t listing;
    TRY(pack_store_listing(store, sealed_too, &listing));
    status_t status = STATUS_OK;
    for (size_t i = 0; i < listing.count && status == STATUS_OK; i++) {
        const pack_listed_t *pack = &listing.packs[i];
        status = visit(context, &pack->pack, pack->size_bytes, pack->is_open);
    }
    pack_listing_destroy(&listing);
    return status;
}
