#include "base/memory.h"
#include "pack/file.h"
#include "pack/store_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The last name must be gone for the bytes to go. */
static status_t check_links(int fd, const ulid_t *pack)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return fail(STATUS_UNAVAILABLE, "cannot stat pack %s: %s", pack->text, strerror(errno));
    if (status.st_nlink > 0)
        return fail(STATUS_CONFLICT, "pack %s is removed, but its bytes have %llu other name(s)",
                    pack->text, (unsigned long long)status.st_nlink);
    return STATUS_OK;
}

/* Syncs also when the name was gone: whoever removed it may have died before the sync. */
static status_t remove_name(const char *data_folder, const ulid_t *pack)
{
    AUTO_FREE char *path = pack_path_sealed(data_folder, pack);
    AUTO_FREE char *folder = pack_path_sealed_folder(pack);
    AUTO_FREE char *folder_path = memory_format("%s/%s", data_folder, folder);
    if (unlink(path) != 0 && errno != ENOENT)
        return fail(STATUS_UNAVAILABLE, "cannot remove pack %s: %s", pack->text, strerror(errno));
    if (access(folder_path, F_OK) != 0 && errno == ENOENT)
        return STATUS_OK; /* no such day: nothing of it was ever there */
    return pack_folder_sync(data_folder, folder);
}

/* "<ulid>-<offset>": a note; "<ulid>.pack": a file that called itself so. */
static bool is_about(const char *name, const ulid_t *pack)
{
    return strncmp(name, pack->text, ULID_LENGTH) == 0 &&
           (name[ULID_LENGTH] == '-' || name[ULID_LENGTH] == '.');
}

static status_t remove_all_about(DIR *folder, const ulid_t *pack)
{
    for (struct dirent *entry; (entry = readdir(folder));)
        if (is_about(entry->d_name, pack) && unlinkat(dirfd(folder), entry->d_name, 0) != 0 &&
            errno != ENOENT)
            return fail(STATUS_UNAVAILABLE, "cannot remove %s from quarantine: %s", entry->d_name,
                        strerror(errno));
    return STATUS_OK;
}

static status_t clean_quarantine(const char *data_folder, const ulid_t *pack)
{
    AUTO_FREE char *path = memory_format("%s/" PACK_FOLDER_QUARANTINE, data_folder);
    DIR *folder = opendir(path);
    if (!folder && errno == ENOENT)
        return STATUS_OK;
    if (!folder)
        return fail(STATUS_UNAVAILABLE, "cannot list quarantine: %s", strerror(errno));
    status_t status = remove_all_about(folder, pack);
    closedir(folder);
    TRY(status);
    return pack_folder_sync(data_folder, PACK_FOLDER_QUARANTINE);
}

status_t pack_store_unlink(pack_store_t *store, const ulid_t *pack)
{
    const char *data_folder = store_data_folder(store);
    if (!ulid_is_valid(pack->text))
        return fail(STATUS_NOT_FOUND, "not the name of a pack");
    AUTO_FREE char *open_path = pack_path_open(data_folder, pack);
    if (access(open_path, F_OK) == 0)
        return fail(STATUS_BUSY, "pack %s is not sealed", pack->text);
    AUTO_FREE char *path = pack_path_sealed(data_folder, pack);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return fail(STATUS_UNAVAILABLE, "cannot open pack %s: %s", pack->text, strerror(errno));
    TRY(remove_name(data_folder, pack));
    pack_store_tick(store);
    TRY(clean_quarantine(data_folder, pack));
    return fd < 0 ? STATUS_OK : check_links(fd, pack);
}
