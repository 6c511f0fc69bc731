#ifndef ZPACS_TESTS_PACK_FIXTURE_H
#define ZPACS_TESTS_PACK_FIXTURE_H

#include "base/memory.h"
#include "base/status.h"
#include "pack/file.h"
#include "pack/recover.h"
#include "pack/store.h"
#include "pack/writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char data_folder[64];

static inline size_t open_descriptors(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static inline int make_data_folder(void **state)
{
    (void)state;
    snprintf(data_folder, sizeof data_folder, "%s/zpacs-pack-XXXXXX", P_tmpdir);
    return mkdtemp(data_folder) ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *s, int flag, struct FTW *f)
{
    (void)s, (void)flag, (void)f;
    return remove(path);
}

static inline int remove_data_folder(void **state)
{
    (void)state;
    return nftw(data_folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define assert_ok(step)                                                                            \
    do {                                                                                           \
        status_t assert_status_ = (step);                                                          \
        if (assert_status_ != STATUS_OK)                                                           \
            fail_msg("%s: %s: %s", #step, status_name(assert_status_), fail_detail());             \
    } while (0)

#define assert_status(step, expected) assert_string_equal(status_name(step), status_name(expected))

/* Bytes that differ at every place and for every seed. */
static inline uint8_t *make_bytes(size_t length, uint32_t seed)
{
    uint8_t *bytes = memory_allocate(length);
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < length; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        bytes[i] = (uint8_t)x;
    }
    return bytes;
}

static inline uint64_t size_of(int fd)
{
    uint64_t size = 0;
    assert_ok(pack_file_size(fd, &size));
    return size;
}

static const char test_provenance[] = "provenance of this record";

/* One record with make_bytes(length, seed), appended in pieces. */
static inline pack_record_t put_record(pack_writer_t *writer, size_t length, uint32_t seed,
                                       size_t piece)
{
    AUTO_FREE uint8_t *bytes = make_bytes(length, seed);
    pack_record_t record = {.transfer_syntax_uid = "1.2.840.10008.1.2.1", .pixel_data_offset = 7};
    assert_ok(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 512));
    for (size_t done = 0; done < length; done += piece)
        assert_ok(pack_writer_append(writer, bytes + done,
                                     length - done < piece ? length - done : piece));
    assert_ok(pack_writer_commit(writer, test_provenance, sizeof test_provenance, &record));
    return record;
}

static inline void check_record(pack_store_t *store, const pack_record_t *expected, size_t length,
                                uint32_t seed)
{
    pack_record_t record;
    assert_ok(pack_store_record(store, &expected->pack, expected->offset, &record));
    assert_memory_equal(&record, expected, sizeof record);
    AUTO_FREE uint8_t *bytes = make_bytes(length, seed);
    AUTO_FREE uint8_t *provenance = NULL;
    size_t provenance_length;
    pack_view_t view = {0};
    assert_int_equal(record.dataset_length, length);
    assert_ok(pack_store_view(store, &record.pack, record.dataset_offset, length, &view));
    assert_int_equal(view.length, length);
    assert_memory_equal(view.bytes, bytes, length);
    pack_view_release(&view);
    assert_ok(pack_store_provenance(store, &record, &provenance, &provenance_length));
    assert_int_equal(provenance_length, sizeof test_provenance);
    assert_memory_equal(provenance, test_provenance, sizeof test_provenance);
    assert_ok(pack_store_verify(store, &record));
}

static inline void overwrite(int fd, uint64_t offset, const void *bytes, size_t length)
{
    assert_ok(pack_file_write(fd, bytes, length, offset));
}

#endif
