/*
 * A preload that lets calls of a whole service fail, and its clock jump, as a page of memory says
 * that all of its processes and the test share:
 *
 *     FAULTS=file LD_PRELOAD=faults.so program
 *
 * The test writes what is to be counted (kind, depth of forks), which call is to fail (number) and
 * how (error), then sets armed; the call with that number fails, once, and hits says so. Sandboxed
 * children have the page from their parent. The clock of the calendar is offset_ns beside the true one.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { ALLOCATE = 1, WRITE = 2, SYNC = 3 };

/* "<IIIIQQQqQ" in faults.py */
typedef struct {
    _Atomic uint32_t armed, kind, depth, error;
    _Atomic uint64_t number, count, hits;
    _Atomic int64_t offset_ns;
    _Atomic uint64_t size; /* of an allocation; 0: any */
} page_t;

static page_t *page;
static uint32_t depth; /* 0: the service, and a program that it starts; 1: a child of either */

__attribute__((constructor)) static void open_page(void)
{
    const char *path = getenv("FAULTS");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR, 0) : -1;
    if (fd < 0)
        return;
    void *bytes = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (bytes != MAP_FAILED)
        page = bytes;
}

static bool is_to_fail(uint32_t kind)
{
    if (!page || !page->armed || page->kind != kind || page->depth != depth)
        return false;
    if (atomic_fetch_add(&page->count, 1) + 1 != page->number)
        return false;
    atomic_fetch_add(&page->hits, 1);
    errno = (int)page->error;
    return true;
}

pid_t fork(void)
{
    static pid_t (*real)(void);
    if (!real)
        real = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
    pid_t pid = real();
    if (pid == 0)
        depth++;
    return pid;
}

static bool is_allocation_to_fail(size_t size)
{
    return page && (page->size == 0 || page->size == size) && is_to_fail(ALLOCATE);
}

/* ---- memory -------------------------------------------------------------------------------------- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

void *malloc(size_t size)
{
    return is_allocation_to_fail(size) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return is_allocation_to_fail(count * size) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return size > 0 && is_allocation_to_fail(size) ? NULL : __libc_realloc(block, size);
}

/* ---- files --------------------------------------------------------------------------------------- */

/* Writing to files: what a pipe or a socket does is the other side's death, and kill -9 has that. */
static bool is_file(int fd)
{
    struct stat status;
    return page && page->armed && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    return is_file(fd) && is_to_fail(WRITE) ? -1 : syscall(SYS_write, fd, bytes, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return is_to_fail(WRITE) ? -1 : syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset)
{
    return pwrite(fd, bytes, length, offset);
}

int fsync(int fd)
{
    return is_to_fail(SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return is_to_fail(SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

/* ---- the clock of the calendar ------------------------------------------------------------------- */

static void shift(struct timespec *at)
{
    int64_t ns = page ? page->offset_ns : 0;
    int64_t total = (int64_t)at->tv_nsec + ns % 1000000000;
    at->tv_sec += ns / 1000000000 + (total >= 1000000000) - (total < 0);
    at->tv_nsec = (total + 1000000000) % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    if (result == 0 && clock == CLOCK_REALTIME)
        shift(out);
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
