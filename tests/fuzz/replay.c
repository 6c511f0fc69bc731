/* Stands in for libFuzzer where there is none: runs a target once over each file of folders. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay_file(int folder, const char *name)
{
    struct stat info;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode)) {
        fprintf(stderr, "%s: %m\n", name);
        exit(1);
    }
    size_t size = (size_t)info.st_size;
    uint8_t *bytes = malloc(size ? size : 1); /* of exactly this size: a sanitizer sees its end */
    if (!bytes || read(fd, bytes, size) != (ssize_t)size) {
        fprintf(stderr, "%s: %m\n", name);
        exit(1);
    }
    close(fd);
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            fprintf(stderr, "%s: %m\n", argv[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(folder));)
            if (entry->d_name[0] != '.') {
                replay_file(dirfd(folder), entry->d_name);
                count++;
            }
        closedir(folder);
    }
    printf("%d files\n", count);
    return count > 0 ? 0 : 1;
}
