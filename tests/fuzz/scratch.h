#ifndef ZPACS_TESTS_FUZZ_SCRATCH_H
#define ZPACS_TESTS_FUZZ_SCRATCH_H

/* The data folder of a target that writes packs: in memory, where there is such a folder. */
#include "must.h"
#include "pack/file.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char data_folder[64];

static inline int scratch_remove_one(const char *path, const struct stat *info, int type,
                                     struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static inline void remove_data_folder(void)
{
    nftw(data_folder, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void make_data_folder(void)
{
    const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : P_tmpdir;
    snprintf(data_folder, sizeof data_folder, "%s/zpacs-fuzz-XXXXXX", root);
    must(mkdtemp(data_folder) != NULL, "no folder");
    must(pack_folder_make(data_folder, PACK_FOLDER_OPEN) == STATUS_OK, "no open/");
}

#endif
