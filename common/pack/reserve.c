#include "pack/reserve.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { FREE_TIMES = 3 }; /* its size, twice that must remain */

struct pack_reserve {
    int fd;
    uint64_t size;
    bool is_filled;
};

static status_t choose_size(int fd, uint64_t wanted, uint64_t *out_size)
{
    struct statvfs volume;
    if (fstatvfs(fd, &volume) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot ask for free space: %s", strerror(errno));
    uint64_t most = volume.f_blocks / PACK_RESERVE_SHARE_MAX * volume.f_frsize;
    *out_size = wanted < most ? wanted : most;
    return STATUS_OK;
}

static bool has_all_blocks(int fd, uint64_t size)
{
    struct stat status;
    return fstat(fd, &status) == 0 && (uint64_t)status.st_size == size &&
           (uint64_t)status.st_blocks * 512 >= size;
}

static status_t open_locked(const char *data_folder, int *out_fd)
{
    AUTO_FREE char *path = memory_format("%s/reserve", data_folder);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return fail(STATUS_UNAVAILABLE, "cannot open reserve: %s", strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return fail(errno == EWOULDBLOCK ? STATUS_BUSY : STATUS_UNAVAILABLE,
                    "cannot lock reserve: %s", strerror(errno));
    *out_fd = memory_take_fd(&fd);
    return STATUS_OK;
}

status_t pack_reserve_open(const char *data_folder, uint64_t size_bytes,
                           pack_reserve_t **out_reserve)
{
    AUTO_CLOSE int fd = -1;
    uint64_t size = 0;
    TRY(open_locked(data_folder, &fd));
    TRY(choose_size(fd, size_bytes, &size));
    pack_reserve_t *reserve = memory_allocate(sizeof *reserve);
    bool is_filled = has_all_blocks(fd, size);
    *reserve = (pack_reserve_t){memory_take_fd(&fd), size, is_filled};
    /* No room now: later. What an earlier process left half filled goes. */
    if (!reserve->is_filled && pack_reserve_refill(reserve) != STATUS_OK)
        pack_reserve_release(reserve);
    *out_reserve = reserve;
    return STATUS_OK;
}

bool pack_reserve_is_filled(const pack_reserve_t *reserve)
{
    return reserve->is_filled;
}

status_t pack_reserve_release(pack_reserve_t *reserve)
{
    reserve->is_filled = false;
    /* The sync, because a journal frees blocks only once it has been written. */
    if (ftruncate(reserve->fd, 0) != 0 || fsync(reserve->fd) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot release reserve: %s", strerror(errno));
    return STATUS_OK;
}

static status_t check_room(const pack_reserve_t *reserve)
{
    struct statvfs volume;
    if (fstatvfs(reserve->fd, &volume) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot ask for free space: %s", strerror(errno));
    uint64_t room = (uint64_t)volume.f_bavail * volume.f_frsize;
    if (room / FREE_TIMES < reserve->size)
        return fail(STATUS_BUSY, "%llu bytes are free, too few for a reserve of %llu",
                    (unsigned long long)room, (unsigned long long)reserve->size);
    return STATUS_OK;
}

status_t pack_reserve_refill(pack_reserve_t *reserve)
{
    if (reserve->is_filled || reserve->size == 0)
        return STATUS_OK;
    TRY(check_room(reserve));
    int error = posix_fallocate(reserve->fd, 0, (off_t)reserve->size);
    if (error == 0 && fsync(reserve->fd) != 0)
        error = errno;
    if (error != 0) {
        status_t ignored = pack_reserve_release(reserve);
        (void)ignored;
        return fail(STATUS_UNAVAILABLE, "cannot fill reserve: %s", strerror(error));
    }
    reserve->is_filled = true;
    return STATUS_OK;
}

void pack_reserve_close(pack_reserve_t **reserve)
{
    if (!*reserve)
        return;
    close((*reserve)->fd);
    free(*reserve);
    *reserve = NULL;
}
