#ifndef ZPACS_TESTS_PACK_VOLUME_H
#define ZPACS_TESTS_PACK_VOLUME_H

#include "fixture.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

/* A small file system of its own at data_folder: needs root; without it the test is skipped. */

enum { VOLUME_MIB = 16 };

static inline void mount_volume(void)
{
    AUTO_FREE char *options = memory_format("size=%dm,mode=700", VOLUME_MIB);
    if (mount("zpacs-test", data_folder, "tmpfs", 0, options) != 0) {
        print_message("skipped: cannot mount a small file system: %s\n", strerror(errno));
        skip();
    }
}

/* Also behind a test that has failed: the folder is removed next. */
static inline int unmount_volume(void **state)
{
    umount2(data_folder, MNT_DETACH);
    return remove_data_folder(state);
}

static inline uint64_t free_bytes(void)
{
    struct statvfs volume;
    assert_int_equal(statvfs(data_folder, &volume), 0);
    return (uint64_t)volume.f_bavail * volume.f_frsize;
}

/* Leaves that many bytes free (a multiple of the page size), whatever was free before. */
static inline void leave_free(uint64_t bytes)
{
    AUTO_FREE char *path = memory_format("%s/filler", data_folder);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(free_bytes() - bytes)), 0);
    assert_int_equal(free_bytes(), bytes);
}

#endif
