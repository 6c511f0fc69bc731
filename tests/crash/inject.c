/*
 * A preload that stops a program, or fails one of its system calls, at a chosen place.
 *
 *     INJECT_AT=17 INJECT_ACTION=eio INJECT_MARK=file LD_PRELOAD=inject.so program
 *
 * Counts the calls at the end of this file, from 1; at the INJECT_AT-th it does INJECT_ACTION:
 *
 *     kill     ends the process before the call
 *     tear     a write gets half of its bytes out, then the process ends; only writes count
 *     eio      the call fails with EIO (a sync that fails loses what was to be synced)
 *     gone     as eio, this call and all behind it
 *     enospc   the call fails with ENOSPC
 *     full     as enospc, this call and all behind it but those that make room or need none
 *     short    a write gets half of its bytes out; only writes count
 *     cut      the power fails before the call: what was written to files since their last sync is
 *              lost, new names whose folder was not synced are undone, the process ends
 *     cut-late as cut, but of each unsynced write the second half is there, and the first is lost
 *     cut-early as cut, but the first half is there, and the second is lost; as for cut-late, only
 *              calls at which bytes are unsynced count
 *
 * Then it makes the file INJECT_MARK with the call's name in it: a program that ran to its end
 * without it had fewer calls. A program keeps what it does out of the count with syscall(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef enum {
    NONE,
    KILL,
    TEAR,
    EIO_ONCE,
    EIO_ON,
    ENOSPC_ONCE,
    ENOSPC_ON,
    SHORT,
    CUT,
    CUT_LATE,
    CUT_EARLY
} action_t;

static const struct {
    const char *name;
    action_t action;
} actions[] = {
    {"kill", KILL},          {"tear", TEAR},           {"eio", EIO_ONCE}, {"gone", EIO_ON},
    {"enospc", ENOSPC_ONCE}, {"full", ENOSPC_ON},      {"short", SHORT},  {"cut", CUT},
    {"cut-late", CUT_LATE},  {"cut-early", CUT_EARLY},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long count;

/* ---- what the power would take with it ---------------------------------------------------------- */

enum { UNSYNCED_MAX = 64 };
static struct {
    int fd;
    uint64_t offset;
    size_t length;
    uint64_t size_before; /* of the file */
} unsynced[UNSYNCED_MAX];
static size_t unsynced_count;

static void note_write(int fd, uint64_t offset, size_t length)
{
    struct stat status;
    if (unsynced_count == UNSYNCED_MAX || fstat(fd, &status) != 0)
        abort();
    unsynced[unsynced_count].fd = fd;
    unsynced[unsynced_count].offset = offset;
    unsynced[unsynced_count].length = length;
    unsynced[unsynced_count++].size_before = (uint64_t)status.st_size;
}

static void note_sync(int fd)
{
    size_t kept = 0;
    for (size_t i = 0; i < unsynced_count; i++)
        if (unsynced[i].fd != fd)
            unsynced[kept++] = unsynced[i];
    unsynced_count = kept;
}

static void zero(int fd, uint64_t offset, size_t length)
{
    static const char zeros[4096];
    while (length > 0) {
        size_t part = length < sizeof zeros ? length : sizeof zeros;
        if (syscall(SYS_pwrite64, fd, zeros, part, offset) != (long)part)
            abort();
        offset += part;
        length -= part;
    }
}

/* A rename lasts once the folder of the new name is synced. */
static struct {
    char from[PATH_MAX], to[PATH_MAX];
} renamed[UNSYNCED_MAX];
static size_t renamed_count;

static void note_rename(const char *from, const char *to)
{
    if (renamed_count == UNSYNCED_MAX || strlen(from) >= PATH_MAX || strlen(to) >= PATH_MAX)
        abort();
    strcpy(renamed[renamed_count].from, from);
    strcpy(renamed[renamed_count++].to, to);
}

static void note_folder_sync(int fd)
{
    struct stat synced, folder;
    if (fstat(fd, &synced) != 0 || !S_ISDIR(synced.st_mode))
        return;
    size_t kept = 0;
    for (size_t i = 0; i < renamed_count; i++) {
        char path[PATH_MAX];
        strcpy(path, renamed[i].to);
        if (stat(dirname(path), &folder) != 0 || folder.st_ino != synced.st_ino)
            renamed[kept++] = renamed[i];
    }
    renamed_count = kept;
}

/* Packs only grow between two syncs, or are written again in place where they had grown. */
static void cut_power(action_t action)
{
    for (size_t i = renamed_count; i-- > 0;)
        syscall(SYS_renameat, AT_FDCWD, renamed[i].to, AT_FDCWD, renamed[i].from);
    for (size_t i = unsynced_count; i-- > 0;) {
        size_t half = unsynced[i].length / 2;
        if (action == CUT)
            syscall(SYS_ftruncate, unsynced[i].fd, unsynced[i].size_before);
        else if (action == CUT_LATE)
            zero(unsynced[i].fd, unsynced[i].offset, half);
        else
            zero(unsynced[i].fd, unsynced[i].offset + half, unsynced[i].length - half);
    }
}

/* ---- the choice at each call -------------------------------------------------------------------- */

static void mark(const char *call)
{
    const char *path = getenv("INJECT_MARK");
    int fd =
        path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    if (fd < 0)
        return;
    syscall(SYS_write, fd, call, strlen(call));
    syscall(SYS_close, fd);
}

static void stop(void)
{
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    _exit(137);
}

static action_t wanted(void)
{
    const char *name = getenv("INJECT_ACTION");
    for (size_t i = 0; name && i < sizeof actions / sizeof *actions; i++)
        if (strcmp(name, actions[i].name) == 0)
            return actions[i].action;
    return NONE;
}

/* Whether the action differs here from a plain kill, or from nothing: only such calls count. */
static bool concerns(action_t action, const char *call)
{
    if (action == TEAR || action == SHORT)
        return strstr(call, "write") != NULL;
    if (action == CUT_LATE || action == CUT_EARLY)
        return unsynced_count > 0;
    return true;
}

/* Counts the call; returns what is to happen to it. Those that end the process and touch no bytes
 * of the call itself happen here. */
static action_t count_call(const char *call)
{
    const char *at = getenv("INJECT_AT");
    action_t action = wanted();
    if (!at || action == NONE || !concerns(action, call))
        return NONE;
    pthread_mutex_lock(&lock);
    long number = ++count;
    pthread_mutex_unlock(&lock);
    long chosen = atol(at);
    if (number < chosen || (number > chosen && action != EIO_ON && action != ENOSPC_ON))
        return NONE;
    if (number == chosen)
        mark(call);
    bool cuts = action == CUT || action == CUT_LATE || action == CUT_EARLY;
    if (cuts)
        cut_power(action);
    if (cuts || action == KILL)
        stop();
    return action;
}

/* For a call that writes nothing: 0, or the errno it is to fail with. */
static int injected(const char *call, bool makes_room)
{
    switch (count_call(call)) {
    case TEAR:
        stop();
        return 0;
    case EIO_ONCE:
    case EIO_ON:
        return EIO;
    case ENOSPC_ONCE:
        return ENOSPC;
    case ENOSPC_ON:
        return makes_room ? 0 : ENOSPC;
    default:
        return 0;
    }
}

#define FAIL_IF_INJECTED(call, makes_room)                                                         \
    do {                                                                                           \
        int error_ = injected(call, makes_room);                                                   \
        if (error_) {                                                                              \
            errno = error_;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

/* ---- the calls ----------------------------------------------------------------------------------- */

static int open_with(const char *call, int folder, const char *path, int flags, va_list arguments)
{
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    FAIL_IF_INJECTED(call, !(flags & O_CREAT));
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int fd = open_with("open", AT_FDCWD, path, flags, arguments);
    va_end(arguments);
    return fd;
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int fd = open_with("openat", folder, path, flags, arguments);
    va_end(arguments);
    return fd;
}

static ssize_t write_part(action_t action, int fd, const void *bytes, size_t length, off_t offset,
                          bool positioned)
{
    if (action == EIO_ONCE || action == EIO_ON || action == ENOSPC_ONCE || action == ENOSPC_ON) {
        errno = action == EIO_ONCE || action == EIO_ON ? EIO : ENOSPC;
        return -1;
    }
    size_t part = (action == SHORT || action == TEAR) && length > 1 ? length / 2 : length;
    if (positioned)
        note_write(fd, (uint64_t)offset, part);
    ssize_t written = positioned ? syscall(SYS_pwrite64, fd, bytes, part, offset)
                                 : syscall(SYS_write, fd, bytes, part);
    if (action == TEAR)
        stop();
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    return write_part(count_call("write"), fd, bytes, length, 0, false);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return write_part(count_call("pwrite"), fd, bytes, length, offset, true);
}

/* After a failed sync the kernel takes the pages for clean: what they held may never reach the disk,
 * and the next sync says all is well. */
static void lose_unsynced(int fd)
{
    for (size_t i = 0; i < unsynced_count; i++)
        if (unsynced[i].fd == fd)
            zero(fd, unsynced[i].offset, unsynced[i].length);
    note_sync(fd);
}

#define FAIL_SYNC_IF_INJECTED(call)                                                                \
    do {                                                                                           \
        int error_ = injected(call, false);                                                        \
        if (error_) {                                                                              \
            lose_unsynced(fd);                                                                     \
            errno = error_;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

int fsync(int fd)
{
    FAIL_SYNC_IF_INJECTED("fsync");
    note_sync(fd);
    note_folder_sync(fd);
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    FAIL_SYNC_IF_INJECTED("fdatasync");
    note_sync(fd);
    return (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t length)
{
    FAIL_IF_INJECTED("ftruncate", true);
    note_sync(fd); /* nothing of what was written behind the cut can come back */
    return (int)syscall(SYS_ftruncate, fd, length);
}

int rename(const char *from, const char *to)
{
    FAIL_IF_INJECTED("rename", false);
    note_rename(from, to);
    return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    FAIL_IF_INJECTED("renameat", false);
    return (int)syscall(SYS_renameat, from_folder, from, to_folder, to);
}

int mkdir(const char *path, mode_t mode)
{
    FAIL_IF_INJECTED("mkdir", false);
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int unlink(const char *path)
{
    FAIL_IF_INJECTED("unlink", true);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int unlinkat(int folder, const char *path, int flags)
{
    FAIL_IF_INJECTED("unlinkat", true);
    return (int)syscall(SYS_unlinkat, folder, path, flags);
}

int flock(int fd, int operation)
{
    FAIL_IF_INJECTED("flock", true);
    return (int)syscall(SYS_flock, fd, operation);
}
