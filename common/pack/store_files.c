#include "pack/store_files.h"

#include "base/memory.h"
#include "pack/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 128 };

typedef struct store_entry {
    int fd; /* -1: free */
    pack_identity_t identity;
    unsigned users;
    uint64_t last_used; /* store->clock when it was taken */
    bool gone;          /* unlinked: closed when the last user leaves, found no more */
} store_entry_t;

struct pack_store {
    char *data_folder;
    pthread_mutex_t lock; /* of all below */
    uint64_t clock;
    store_entry_t entries[FILES_MAX];
};

status_t pack_store_open(const char *data_folder, pack_store_t **out_store)
{
    struct stat status;
    if (stat(data_folder, &status) != 0 || !S_ISDIR(status.st_mode))
        return fail(STATUS_UNAVAILABLE, "no data folder %s", data_folder);
    pack_store_t *store = memory_allocate(sizeof *store);
    store->data_folder = memory_copy_text(data_folder);
    pthread_mutex_init(&store->lock, NULL);
    for (size_t i = 0; i < FILES_MAX; i++)
        store->entries[i].fd = -1;
    *out_store = store;
    return STATUS_OK;
}

void pack_store_close(pack_store_t **store)
{
    if (!*store)
        return;
    for (size_t i = 0; i < FILES_MAX; i++)
        if ((*store)->entries[i].fd >= 0)
            close((*store)->entries[i].fd);
    pthread_mutex_destroy(&(*store)->lock);
    free((*store)->data_folder);
    free(*store);
    *store = NULL;
}

const char *store_data_folder(const pack_store_t *store)
{
    return store->data_folder;
}

/* ---- finding ----------------------------------------------------------------------------------- */

static int open_one(char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    return fd;
}

/* A pack moves from open/ to its day once: one that is not in open/ any more is in the other place
 * before we look there. */
static status_t locate(const pack_store_t *store, const ulid_t *pack, int *out_fd)
{
    if (!ulid_is_valid(pack->text))
        return fail(STATUS_NOT_FOUND, "not the name of a pack");
    int fd = open_one(pack_path_open(store->data_folder, pack));
    if (fd < 0 && errno == ENOENT)
        fd = open_one(pack_path_sealed(store->data_folder, pack));
    if (fd < 0)
        return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_UNAVAILABLE,
                    "cannot open pack %s: %s", pack->text, strerror(errno));
    *out_fd = fd;
    return STATUS_OK;
}

static status_t open_pack(const pack_store_t *store, const ulid_t *pack, store_file_t *out_file)
{
    AUTO_CLOSE int fd = -1;
    pack_identity_t identity;
    TRY(locate(store, pack, &fd));
    TRY(pack_file_identity(fd, &identity));
    if (strcmp(identity.pack.text, pack->text) != 0)
        return fail(STATUS_INVALID, "pack %s says it is %s", pack->text, identity.pack.text);
    out_file->fd = memory_take_fd(&fd);
    out_file->identity = identity;
    return STATUS_OK;
}

/* ---- the cache; the lock is held ---------------------------------------------------------------- */

static store_entry_t *find(pack_store_t *store, const ulid_t *pack)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        store_entry_t *entry = &store->entries[i];
        if (entry->fd >= 0 && !entry->gone && strcmp(entry->identity.pack.text, pack->text) == 0)
            return entry;
    }
    return NULL;
}

/* A free entry, or the one nobody uses that was used longest ago; NULL when all are in use. */
static store_entry_t *make_room(pack_store_t *store)
{
    store_entry_t *oldest = NULL;
    for (size_t i = 0; i < FILES_MAX; i++) {
        store_entry_t *entry = &store->entries[i];
        if (entry->fd < 0)
            return entry;
        if (entry->users == 0 && (!oldest || entry->last_used < oldest->last_used))
            oldest = entry;
    }
    if (oldest) {
        close(oldest->fd);
        oldest->fd = -1;
    }
    return oldest;
}

static void use(pack_store_t *store, store_entry_t *entry, store_file_t *out_file)
{
    entry->users++;
    entry->last_used = ++store->clock;
    out_file->fd = entry->fd;
    out_file->identity = entry->identity;
    out_file->entry_ = entry;
}

static void leave(store_entry_t *entry)
{
    if (--entry->users == 0 && entry->gone) {
        close(entry->fd);
        *entry = (store_entry_t){.fd = -1};
    }
}

static void drop_if_gone(store_entry_t *entry)
{
    struct stat status;
    if (entry->fd < 0 || entry->gone || fstat(entry->fd, &status) != 0 || status.st_nlink > 0)
        return;
    entry->gone = true;
    entry->users++;
    leave(entry);
}

void pack_store_tick(pack_store_t *store)
{
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < FILES_MAX; i++)
        drop_if_gone(&store->entries[i]);
    pthread_mutex_unlock(&store->lock);
}

/* ---- taking ------------------------------------------------------------------------------------ */

static bool take_cached(pack_store_t *store, const ulid_t *pack, store_file_t *file)
{
    pthread_mutex_lock(&store->lock);
    store_entry_t *entry = find(store, pack);
    if (entry)
        use(store, entry, file);
    pthread_mutex_unlock(&store->lock);
    return entry != NULL;
}

/* Another thread may have opened the same pack meanwhile: its file is used then. When all entries
 * are in use the file stays out of the cache and is closed on release. */
static void keep(pack_store_t *store, store_file_t *file)
{
    pthread_mutex_lock(&store->lock);
    store_entry_t *entry = find(store, &file->identity.pack);
    if (entry) {
        close(file->fd);
    } else if ((entry = make_room(store))) {
        *entry = (store_entry_t){.fd = file->fd, .identity = file->identity};
    }
    if (entry)
        use(store, entry, file);
    pthread_mutex_unlock(&store->lock);
}

static void mark_gone(pack_store_t *store, store_entry_t *entry)
{
    pthread_mutex_lock(&store->lock);
    if (entry)
        entry->gone = true;
    pthread_mutex_unlock(&store->lock);
}

status_t store_take(pack_store_t *store, const ulid_t *pack, store_file_t *out_file)
{
    store_file_t file = {.fd = -1};
    struct stat status;
    if (!take_cached(store, pack, &file)) {
        TRY(open_pack(store, pack, &file));
        keep(store, &file);
    }
    file.store_ = store;
    if (fstat(file.fd, &status) != 0) {
        store_release(&file);
        return fail(STATUS_UNAVAILABLE, "cannot stat pack %s", pack->text);
    }
    if (status.st_nlink == 0) { /* compacted away: a cached file must not hide that */
        mark_gone(store, file.entry_);
        store_release(&file);
        return fail(STATUS_NOT_FOUND, "pack %s is gone", pack->text);
    }
    file.size = (uint64_t)status.st_size;
    *out_file = file;
    return STATUS_OK;
}

void store_release(store_file_t *file)
{
    if (!file->store_)
        return;
    if (file->entry_) {
        pthread_mutex_lock(&file->store_->lock);
        leave(file->entry_);
        pthread_mutex_unlock(&file->store_->lock);
    } else {
        close(file->fd);
    }
    *file = (store_file_t){0};
}
