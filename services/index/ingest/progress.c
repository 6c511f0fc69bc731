#include "index/ingest/progress.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The file. `busy` is set last and cleared first. */
struct progress_page {
    char pack[ULID_LENGTH + 1];
    uint64_t offset;
    atomic_int busy;
};

status_t progress_open(const char *path, progress_t *out_progress, ulid_t *out_pack,
                       uint64_t *out_offset)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(STATUS_UNAVAILABLE, "%s: %s", path, strerror(errno));
    /* With its block: to write to a mapped hole on a full disk is a SIGBUS. */
    int error = posix_fallocate(fd, 0, sizeof(struct progress_page));
    if (error)
        return fail(STATUS_UNAVAILABLE, "%s: %s", path, strerror(error));
    struct progress_page *page =
        mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return fail(STATUS_UNAVAILABLE, "%s: %s", path, strerror(errno));
    page->pack[ULID_LENGTH] = 0;
    memset(out_pack, 0, sizeof *out_pack);
    if (page->busy && ulid_is_valid(page->pack)) {
        memcpy(out_pack->text, page->pack, sizeof out_pack->text);
        *out_offset = page->offset;
    }
    page->busy = 0;
    out_progress->page = page;
    return STATUS_OK;
}

void progress_enter(progress_t *progress, const ulid_t *pack, uint64_t offset)
{
    memcpy(progress->page->pack, pack->text, sizeof pack->text);
    progress->page->offset = offset;
    progress->page->busy = 1;
}

void progress_leave(progress_t *progress)
{
    progress->page->busy = 0;
}

void progress_close(progress_t *progress)
{
    if (progress->page)
        munmap(progress->page, sizeof *progress->page);
    progress->page = NULL;
}
