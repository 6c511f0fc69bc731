#include "pack/pool.h"

#include "base/clock.h"
#include "base/memory.h"
#include "pack/file.h"
#include "pack/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { WAITING_MAX = 64 }; /* packs between two leases; one more seals the longest waiting */

typedef struct {
    pack_writer_t *writer;
    char *address;
    int64_t since_ms;
} waiting_t;

struct pack_pool {
    char *data_folder;
    int64_t open_ms; /* of a new pack, until it is due */
    waiting_t waiting[WAITING_MAX];
    size_t count;
};

/* ---- taking over what dead processes left ------------------------------------------------------ */

typedef struct {
    const char *data_folder;
    void (*taken_over)(void *context, const ulid_t *pack, uint64_t durable);
    void *context;
} take_over_t;

static void tell(const take_over_t *task, const ulid_t *pack, uint64_t durable)
{
    if (task->taken_over)
        task->taken_over(task->context, pack, durable);
}

/* One pack that cannot be recovered must not keep the others, and the service, from starting. */
static status_t take_over(void *context, const ulid_t *pack, uint64_t size, bool is_open)
{
    const take_over_t *task = context;
    pack_writer_t *writer = NULL;
    (void)size, (void)is_open;
    status_t status = pack_writer_open(task->data_folder, pack, &writer);
    if (status == STATUS_BUSY || status == STATUS_NOT_FOUND)
        return STATUS_OK; /* somebody's, or sealed meanwhile */
    if (status != STATUS_OK) {
        tell(task, pack, 0);
        return STATUS_OK;
    }
    uint64_t durable = pack_writer_durable_offset(writer);
    pack_writer_seal(task->data_folder, &writer); /* if it fails: once more at the next start */
    if (durable > PACK_BLOCK_SIZE)
        tell(task, pack, durable);
    return STATUS_OK;
}

/* A process died while it made a pack. One that is alive holds the lock, or will notice. */
static void remove_unborn(int folder_fd, const char *name)
{
    AUTO_CLOSE int fd = openat(folder_fd, name, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(folder_fd, name, 0);
}

static status_t remove_all_unborn(const char *data_folder)
{
    AUTO_FREE char *path = memory_format("%s/" PACK_FOLDER_OPEN, data_folder);
    DIR *folder = opendir(path);
    if (!folder)
        return fail(STATUS_UNAVAILABLE, "cannot list open packs: %s", strerror(errno));
    for (struct dirent *entry; (entry = readdir(folder));) {
        const char *dot = strchr(entry->d_name, '.');
        if (dot && strcmp(dot, ".new") == 0)
            remove_unborn(dirfd(folder), entry->d_name);
    }
    closedir(folder);
    return STATUS_OK;
}

static status_t take_over_all(const take_over_t *task)
{
    pack_store_t *store = NULL;
    TRY(pack_store_open(task->data_folder, &store));
    status_t status = pack_store_list(store, false, take_over, (void *)task);
    pack_store_close(&store);
    return status;
}

status_t pack_pool_open(const char *data_folder, pack_pool_t **out_pool,
                        void (*taken_over)(void *context, const ulid_t *pack, uint64_t durable),
                        void *context)
{
    TRY(pack_folder_make(data_folder, PACK_FOLDER_OPEN));
    TRY(remove_all_unborn(data_folder));
    TRY(take_over_all(&(take_over_t){data_folder, taken_over, context}));
    pack_pool_t *pool = memory_allocate(sizeof *pool);
    pool->data_folder = memory_copy_text(data_folder);
    pool->open_ms = PACK_SEAL_OPEN_MS;
    *out_pool = pool;
    return STATUS_OK;
}

status_t pack_pool_sweep(pack_pool_t *pool,
                         void (*taken_over)(void *context, const ulid_t *pack, uint64_t durable),
                         void *context)
{
    return take_over_all(&(take_over_t){pool->data_folder, taken_over, context});
}

void pack_pool_seal_after(pack_pool_t *pool, int64_t open_ms)
{
    pool->open_ms = open_ms;
}

/* ---- leases ------------------------------------------------------------------------------------ */

static pack_writer_t *take_waiting(pack_pool_t *pool, size_t index)
{
    pack_writer_t *writer = pool->waiting[index].writer;
    free(pool->waiting[index].address);
    pool->count--;
    memmove(&pool->waiting[index], &pool->waiting[index + 1],
            (pool->count - index) * sizeof *pool->waiting);
    return writer;
}

/* A pack whose sealing fails stays in open/ unlocked: the next start takes it over. */
static void seal_waiting(pack_pool_t *pool, size_t index)
{
    pack_writer_t *writer = take_waiting(pool, index);
    pack_writer_seal(pool->data_folder, &writer);
}

status_t pack_pool_lease_new(pack_pool_t *pool, pack_writer_t **out_writer)
{
    TRY(pack_writer_create(pool->data_folder, out_writer));
    pack_writer_set_due(*out_writer, clock_monotonic_ms() + pool->open_ms);
    return STATUS_OK;
}

static void seal_due(pack_pool_t *pool)
{
    for (size_t i = pool->count; i-- > 0;)
        if (pack_writer_is_due(pool->waiting[i].writer))
            seal_waiting(pool, i);
}

status_t pack_pool_lease_waiting(pack_pool_t *pool, const char *address, pack_writer_t **out_writer,
                                 int64_t *out_since_ms)
{
    seal_due(pool);
    for (size_t i = 0; i < pool->count; i++) {
        if (strcmp(pool->waiting[i].address, address) == 0) {
            *out_since_ms = pool->waiting[i].since_ms;
            *out_writer = take_waiting(pool, i);
            return STATUS_OK;
        }
    }
    return fail(STATUS_NOT_FOUND, "no pack waits for this address");
}

status_t pack_pool_lease(pack_pool_t *pool, const char *address, pack_writer_t **out_writer)
{
    int64_t since_ms;
    if (pack_pool_lease_waiting(pool, address, out_writer, &since_ms) == STATUS_OK)
        return STATUS_OK;
    return pack_pool_lease_new(pool, out_writer);
}

/* Those that wait are in order: the first has waited longest. */
static void put_waiting(pack_pool_t *pool, const waiting_t *pack)
{
    if (pool->count == WAITING_MAX)
        seal_waiting(pool, 0);
    size_t at = pool->count;
    while (at > 0 && pool->waiting[at - 1].since_ms > pack->since_ms)
        at--;
    memmove(&pool->waiting[at + 1], &pool->waiting[at], (pool->count - at) * sizeof *pack);
    pool->waiting[at] = *pack;
    pool->count++;
}

void pack_pool_return(pack_pool_t *pool, const char *address, pack_writer_t **writer)
{
    uint64_t quarantined = 0;
    pack_writer_abort(*writer); /* refused when no record is in progress: then there is no need */
    if (pack_writer_refresh(pool->data_folder, *writer, 0, &quarantined) != STATUS_OK) {
        pack_writer_seal(pool->data_folder, writer); /* of a dead one: removed if it is empty */
        return;
    }
    if (pack_writer_is_due(*writer) || quarantined > 0) {
        pack_writer_seal(pool->data_folder, writer);
        return;
    }
    put_waiting(pool, &(waiting_t){*writer, memory_copy_text(address), clock_monotonic_ms()});
    *writer = NULL;
}

void pack_pool_return_unused(pack_pool_t *pool, const char *address, pack_writer_t **writer,
                             int64_t since_ms)
{
    if (pack_writer_is_due(*writer)) {
        pack_writer_seal(pool->data_folder, writer);
        return;
    }
    put_waiting(pool, &(waiting_t){*writer, memory_copy_text(address), since_ms});
    *writer = NULL;
}

void pack_pool_discard(pack_pool_t *pool, pack_writer_t **writer)
{
    bool is_known = pack_writer_refresh(pool->data_folder, *writer, 0, NULL) == STATUS_OK;
    if (is_known && pack_writer_durable_offset(*writer) > PACK_BLOCK_SIZE)
        pack_writer_close(writer);
    else
        pack_writer_seal(pool->data_folder, writer);
}

void pack_pool_visit(const pack_pool_t *pool,
                     void (*visit)(void *context, const ulid_t *pack, uint64_t durable),
                     void *context)
{
    for (size_t i = 0; i < pool->count; i++) {
        ulid_t pack = pack_writer_pack(pool->waiting[i].writer);
        visit(context, &pack, pack_writer_durable_offset(pool->waiting[i].writer));
    }
}

void pack_pool_tick(pack_pool_t *pool)
{
    int64_t long_ago = clock_monotonic_ms() - PACK_SEAL_IDLE_MS;
    while (pool->count > 0 && pool->waiting[0].since_ms <= long_ago)
        seal_waiting(pool, 0);
    seal_due(pool);
}

void pack_pool_close(pack_pool_t **pool)
{
    if (!*pool)
        return;
    while ((*pool)->count > 0)
        seal_waiting(*pool, 0);
    free((*pool)->data_folder);
    free(*pool);
    *pool = NULL;
}
