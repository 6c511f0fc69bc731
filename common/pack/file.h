#ifndef ZPACS_PACK_FILE_H
#define ZPACS_PACK_FILE_H

#include "pack/format.h"

/* System calls and file names of packs. Used inside common/pack only. */

#define PACK_FOLDER_OPEN       "packs/open"
#define PACK_FOLDER_QUARANTINE "quarantine"

/* Writes all of it; a short write goes on, an error does not. Fails: UNAVAILABLE. */
status_t pack_file_write(int fd, const void *bytes, size_t length, uint64_t offset);

/* Reads length bytes. Fails: INVALID (the file ends before), UNAVAILABLE (I/O error). */
status_t pack_file_read(int fd, void *out_bytes, size_t length, uint64_t offset);

status_t pack_file_sync(int fd);                 /* one fdatasync */
status_t pack_file_cut(int fd, uint64_t length); /* ftruncate */
status_t pack_file_size(int fd, uint64_t *out_size);
status_t pack_file_identity(int fd, pack_identity_t *out_identity); /* reads the file header */

/* Header of the record at offset. Fails: NOT_FOUND (offset is the end of the file or behind it),
 * INVALID (no valid header, or its record goes beyond the end of the file), UNAVAILABLE. */
status_t pack_file_record(int fd, const pack_identity_t *identity, uint64_t offset, uint64_t size,
                          pack_record_t *out_record);

/* Names; the caller frees. The folder of a sealed pack is the UTC day of its ULID's time. */
char *pack_path_open(const char *data_folder, const ulid_t *pack);
char *pack_path_unborn(const char *data_folder,
                       const ulid_t *pack);        /* no scan takes it for a pack */
char *pack_path_sealed_folder(const ulid_t *pack); /* relative to the data folder */
char *pack_path_sealed(const char *data_folder, const ulid_t *pack);
bool pack_ulid_from_name(const char *name, ulid_t *out_pack); /* "<ulid>.pack" */

/* Makes each part of the relative path below root and syncs each of their parents, also when the
 * part was there: whoever made it may have died before the sync. */
status_t pack_folder_make(const char *root, const char *relative);
status_t pack_folder_sync(const char *root, const char *relative);

#endif
