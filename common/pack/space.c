#include "pack/space.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct pack_space {
    int folder;
    uint64_t low_bytes, high_bytes;
    pthread_mutex_t lock; /* of all below */
    int64_t looked_ms;
    pack_space_state_t state;
};

static uint64_t mark(uint64_t bytes, uint64_t volume_bytes, unsigned percent)
{
    uint64_t most = volume_bytes / 100 * percent;
    return bytes < most ? bytes : most;
}

bool pack_space_is_full(uint64_t low_bytes, uint64_t high_bytes, uint64_t volume_bytes,
                        uint64_t free_bytes, bool was_full)
{
    uint64_t low = mark(low_bytes, volume_bytes, PACK_SPACE_LOW_PERCENT);
    uint64_t high = mark(high_bytes, volume_bytes, PACK_SPACE_HIGH_PERCENT);
    if (low == 0)
        return false;
    return free_bytes < (was_full && high > low ? high : low);
}

/* The lock is held, or nobody else knows the space yet. */
static status_t look(pack_space_t *space)
{
    struct statvfs volume;
    if (fstatvfs(space->folder, &volume) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot ask for free space: %s", strerror(errno));
    bool was_full = space->state.is_full;
    space->state.free_bytes = (uint64_t)volume.f_bavail * volume.f_frsize;
    space->state.is_full = pack_space_is_full(space->low_bytes, space->high_bytes,
                                              (uint64_t)volume.f_blocks * volume.f_frsize,
                                              space->state.free_bytes, was_full);
    space->state.has_changed = space->state.is_full != was_full;
    return STATUS_OK;
}

status_t pack_space_open(const char *data_folder, uint64_t low_bytes, uint64_t high_bytes,
                         pack_space_t **out_space)
{
    AUTO_CLOSE int folder = open(data_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return fail(STATUS_UNAVAILABLE, "no data folder: %s", strerror(errno));
    pack_space_t *space = memory_allocate(sizeof *space);
    space->folder = memory_take_fd(&folder);
    space->low_bytes = low_bytes;
    space->high_bytes = high_bytes;
    pthread_mutex_init(&space->lock, NULL);
    space->looked_ms = clock_monotonic_ms() - PACK_SPACE_CACHE_MS;
    *out_space = space;
    return STATUS_OK;
}

void pack_space_close(pack_space_t **space)
{
    if (!*space)
        return;
    close((*space)->folder);
    pthread_mutex_destroy(&(*space)->lock);
    free(*space);
    *space = NULL;
}

pack_space_state_t pack_space_look(pack_space_t *space)
{
    pthread_mutex_lock(&space->lock);
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - space->looked_ms >= PACK_SPACE_CACHE_MS && look(space) == STATUS_OK)
        space->looked_ms = now_ms;
    pack_space_state_t state = space->state;
    space->state.has_changed = false;
    pthread_mutex_unlock(&space->lock);
    return state;
}
