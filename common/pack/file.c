#include "pack/file.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char suffix[] = ".pack";

status_t pack_file_write(int fd, const void *bytes, size_t length, uint64_t offset)
{
    const uint8_t *next = bytes;
    while (length > 0) {
        ssize_t written = pwrite(fd, next, length, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail(STATUS_UNAVAILABLE, "cannot write pack: %s",
                        written ? strerror(errno) : "nothing written");
        next += written;
        offset += (uint64_t)written;
        length -= (size_t)written;
    }
    return STATUS_OK;
}

status_t pack_file_read(int fd, void *out_bytes, size_t length, uint64_t offset)
{
    uint8_t *next = out_bytes;
    while (length > 0) {
        ssize_t got = pread(fd, next, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(STATUS_UNAVAILABLE, "cannot read pack: %s", strerror(errno));
        if (got == 0)
            return fail(STATUS_INVALID, "pack ends at %llu", (unsigned long long)offset);
        next += got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return STATUS_OK;
}

status_t pack_file_sync(int fd)
{
    if (fdatasync(fd) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot sync pack: %s", strerror(errno));
    return STATUS_OK;
}

status_t pack_file_cut(int fd, uint64_t length)
{
    if (ftruncate(fd, (off_t)length) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot cut pack: %s", strerror(errno));
    return STATUS_OK;
}

status_t pack_file_size(int fd, uint64_t *out_size)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot stat pack: %s", strerror(errno));
    *out_size = (uint64_t)status.st_size;
    return STATUS_OK;
}

status_t pack_file_identity(int fd, pack_identity_t *out_identity)
{
    uint8_t block[PACK_BLOCK_SIZE];
    TRY(pack_file_read(fd, block, sizeof block, 0));
    return pack_get_file_header(block, out_identity);
}

status_t pack_file_record(int fd, const pack_identity_t *identity, uint64_t offset, uint64_t size,
                          pack_record_t *out_record)
{
    uint8_t bytes[PACK_RECORD_HEADER_SIZE];
    pack_record_t record;
    if (offset >= size)
        return fail(STATUS_NOT_FOUND, "pack ends at %llu", (unsigned long long)size);
    if (offset % PACK_BLOCK_SIZE != 0 || offset == 0)
        return fail(STATUS_INVALID, "no record starts at %llu", (unsigned long long)offset);
    TRY(pack_file_read(fd, bytes, sizeof bytes, offset));
    TRY(pack_get_record_header(identity, offset, bytes, &record));
    if (record.next_offset > size)
        return fail(STATUS_INVALID, "record goes beyond the end of its pack");
    *out_record = record;
    return STATUS_OK;
}

char *pack_path_open(const char *data_folder, const ulid_t *pack)
{
    return memory_format("%s/" PACK_FOLDER_OPEN "/%s%s", data_folder, pack->text, suffix);
}

char *pack_path_unborn(const char *data_folder, const ulid_t *pack)
{
    return memory_format("%s/" PACK_FOLDER_OPEN "/%s.new", data_folder, pack->text);
}

static int64_t ulid_seconds(const ulid_t *ulid)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t milliseconds = 0;
    for (int i = 0; i < 10; i++)
        milliseconds = milliseconds << 5 | (uint64_t)(strchr(alphabet, ulid->text[i]) - alphabet);
    return (int64_t)(milliseconds / 1000 % UINT64_C(250000000000)); /* keeps the year below 10000 */
}

char *pack_path_sealed_folder(const ulid_t *pack)
{
    time_t seconds = (time_t)ulid_seconds(pack);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    return memory_format("packs/%04d/%02d/%02d", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday);
}

char *pack_path_sealed(const char *data_folder, const ulid_t *pack)
{
    AUTO_FREE char *folder = pack_path_sealed_folder(pack);
    return memory_format("%s/%s/%s%s", data_folder, folder, pack->text, suffix);
}

bool pack_ulid_from_name(const char *name, ulid_t *out_pack)
{
    ulid_t pack = {{0}};
    if (strlen(name) != ULID_LENGTH + strlen(suffix) || strcmp(name + ULID_LENGTH, suffix) != 0)
        return false;
    memcpy(pack.text, name, ULID_LENGTH);
    if (!ulid_is_valid(pack.text))
        return false;
    *out_pack = pack;
    return true;
}

status_t pack_folder_sync(const char *root, const char *relative)
{
    AUTO_FREE char *path = memory_format("%s/%s", root, relative);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot sync folder %s: %s", relative, strerror(errno));
    return STATUS_OK;
}

status_t pack_folder_make(const char *root, const char *relative)
{
    size_t parent_length = 0, length;
    for (; relative[parent_length]; parent_length = length) {
        length = parent_length + (parent_length > 0);
        length += strcspn(relative + length, "/");
        AUTO_FREE char *part = memory_copy_text_n(relative, length);
        AUTO_FREE char *parent = memory_copy_text_n(relative, parent_length);
        AUTO_FREE char *path = memory_format("%s/%s", root, part);
        if (mkdir(path, 0750) != 0 && errno != EEXIST)
            return fail(STATUS_UNAVAILABLE, "cannot make folder %s: %s", part, strerror(errno));
        TRY(pack_folder_sync(root, parent));
    }
    return STATUS_OK;
}
