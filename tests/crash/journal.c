/*
 * A preload that writes down, in one file for all processes of a service, what they do to files: so
 * that the disk after a power loss at any instant can be made from it (power.py).
 *
 *     JOURNAL=file LD_PRELOAD=journal.so program
 *
 * An entry is a header, two names, the bytes; it is appended by one writev(), so that entries of
 * different processes do not mix. Files and folders go by their inode number: a sandboxed process
 * has no names. A write and a cut are noted before they are done, with the time before; a sync after it
 * has come back, with the time after: nothing counts as synced that was not. The descriptor of the
 * journal is kept from close_range(), since processes close what they have inherited.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { JOURNAL_FD = 900 };

typedef enum { WRITE = 1, CUT, SYNC, CREATE, MAKE_FOLDER, RENAME, REMOVE } kind_t;

/* Little-endian, without gaps: "<IIQQQQQIIQ" in power.py. */
typedef struct {
    uint32_t magic, kind;
    uint64_t time_ns, inode, folder, to_folder, offset;
    uint32_t name_length, to_name_length;
    uint64_t length;
} entry_t;

static int journal = -1;

__attribute__((constructor)) static void open_journal(void)
{
    const char *path = getenv("JOURNAL");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND, 0) : -1;
    if (fd < 0)
        return;
    journal = (int)syscall(SYS_fcntl, fd, F_DUPFD, JOURNAL_FD);
    syscall(SYS_close, fd);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void append(entry_t *entry, const char *name, const char *to_name, const void *bytes)
{
    int error = errno;
    entry->magic = 0x4C4E524A;
    entry->name_length = name ? (uint32_t)strlen(name) : 0;
    entry->to_name_length = to_name ? (uint32_t)strlen(to_name) : 0;
    struct iovec parts[] = {{entry, sizeof *entry},
                            {(void *)(uintptr_t)name, entry->name_length},
                            {(void *)(uintptr_t)to_name, entry->to_name_length},
                            {(void *)(uintptr_t)bytes, bytes ? entry->length : 0}};
    size_t length = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len + parts[3].iov_len;
    if (syscall(SYS_writev, journal, parts, 4) != (long)length)
        abort();
    errno = error;
}

/* Pipes and sockets are nobody's disk. */
static uint64_t inode_of(int fd)
{
    struct stat status;
    if (journal < 0 || fstat(fd, &status) != 0)
        return 0;
    return S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) ? status.st_ino : 0;
}

/* ---- bytes --------------------------------------------------------------------------------------- */

static void note_bytes(kind_t kind, int fd, const void *bytes, uint64_t length, uint64_t offset)
{
    entry_t entry = {.kind = kind, .time_ns = now_ns(), .offset = offset, .length = length};
    entry.inode = inode_of(fd);
    if (entry.inode)
        append(&entry, NULL, NULL, bytes);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    note_bytes(WRITE, fd, bytes, length, (uint64_t)offset);
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset)
{
    return pwrite(fd, bytes, length, offset);
}

/* Where it stands is asked after: an appending file stands at its end only then. */
ssize_t write(int fd, const void *bytes, size_t length)
{
    uint64_t inode = inode_of(fd), time_ns = now_ns();
    ssize_t done = syscall(SYS_write, fd, bytes, length);
    if (inode && done > 0) {
        entry_t entry = {.kind = WRITE, .time_ns = time_ns, .inode = inode};
        entry.length = (uint64_t)done;
        entry.offset = (uint64_t)lseek(fd, 0, SEEK_CUR) - entry.length;
        append(&entry, NULL, NULL, bytes);
    }
    return done;
}

int ftruncate(int fd, off_t length)
{
    note_bytes(CUT, fd, NULL, 0, (uint64_t)length);
    return (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off_t length)
{
    return ftruncate(fd, length);
}

static int sync_with(long call, int fd)
{
    int result = (int)syscall(call, fd);
    if (result == 0)
        note_bytes(SYNC, fd, NULL, 0, 0);
    return result;
}

int fsync(int fd)
{
    return sync_with(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_with(SYS_fdatasync, fd);
}

/* ---- names --------------------------------------------------------------------------------------- */

typedef struct {
    char path[PATH_MAX], copy[PATH_MAX];
    const char *name;
    uint64_t folder;
} place_t;

/* The folder that a path lies in, and its name there; false for what is too long to be ours. */
static int find_place(int at, const char *path, place_t *out)
{
    struct stat status;
    if (journal < 0 || strlen(path) >= sizeof out->path)
        return 0;
    strcpy(out->path, path);
    strcpy(out->copy, path);
    out->name = basename(out->copy);
    if (syscall(SYS_newfstatat, at, dirname(out->path), &status, 0) != 0)
        return 0;
    out->folder = status.st_ino;
    return 1;
}

static void note_name(kind_t kind, int at, const char *path, uint64_t time_ns)
{
    place_t place;
    struct stat status;
    entry_t entry = {.kind = kind, .time_ns = time_ns};
    if (!find_place(at, path, &place))
        return;
    entry.folder = place.folder;
    if (kind != REMOVE && syscall(SYS_newfstatat, at, path, &status, 0) == 0)
        entry.inode = status.st_ino;
    append(&entry, place.name, NULL, NULL);
}

static int open_with(int at, const char *path, int flags, mode_t mode)
{
    uint64_t time_ns = now_ns();
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && flags & O_CREAT && (flags & O_TMPFILE) != O_TMPFILE)
        note_name(CREATE, at, path, time_ns);
    if (fd >= 0 && flags & O_TRUNC)
        note_bytes(CUT, fd, NULL, 0, 0);
    return fd;
}

#define OPEN(function, parameters, at)                                                             \
    int function parameters                                                                        \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;               \
        va_end(arguments);                                                                         \
        return open_with(at, path, flags, mode);                                                   \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int at, const char *path, int flags, ...), at)
OPEN(openat64, (int at, const char *path, int flags, ...), at)

int mkdir(const char *path, mode_t mode)
{
    uint64_t time_ns = now_ns();
    int result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (result == 0)
        note_name(MAKE_FOLDER, AT_FDCWD, path, time_ns);
    return result;
}

int rename(const char *from, const char *to)
{
    place_t old, new;
    entry_t entry = {.kind = RENAME, .time_ns = now_ns()};
    int known = find_place(AT_FDCWD, from, &old) && find_place(AT_FDCWD, to, &new);
    int result = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    if (result == 0 && known) {
        entry.folder = old.folder;
        entry.to_folder = new.folder;
        append(&entry, old.name, new.name, NULL);
    }
    return result;
}

int unlinkat(int at, const char *path, int flags)
{
    uint64_t time_ns = now_ns();
    int result = (int)syscall(SYS_unlinkat, at, path, flags);
    if (result == 0)
        note_name(REMOVE, at, path, time_ns);
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

/* ---- descriptors --------------------------------------------------------------------------------- */

static int close_part(unsigned first, unsigned last, int flags)
{
    return first > last ? 0 : (int)syscall(SYS_close_range, first, last, flags);
}

int close_range(unsigned first, unsigned last, int flags)
{
    unsigned kept = (unsigned)journal;
    if (journal < 0 || first > kept || last < kept)
        return close_part(first, last, flags);
    int result = kept > 0 ? close_part(first, kept - 1, flags) : 0;
    return result ? result : close_part(kept + 1, last, flags);
}
