#include "wire/keys.h"

#include "base/memory.h"
#include "wire/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 32 };

static bool name_is_valid(const char *name)
{
    size_t length = strlen(name);
    return length >= 1 && length <= NAME_MAX_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

status_t keys_make_folder(const char *path, bool is_private)
{
    AUTO_FREE char *partial = memory_copy_text(path);
    for (char *slash = partial + 1; *slash; slash++) {
        if (*slash != '/')
            continue;
        *slash = 0;
        if (mkdir(partial, 0755) && errno != EEXIST)
            return fail(STATUS_UNAVAILABLE, "%s: %s", partial, strerror(errno));
        *slash = '/';
    }
    if (mkdir(partial, is_private ? 0700 : 0755) && errno != EEXIST)
        return fail(STATUS_UNAVAILABLE, "%s: %s", partial, strerror(errno));
    return STATUS_OK;
}

/* Written beside and moved into place, so that nobody ever reads half a key. */
static status_t write_file(const char *path, const char *text, mode_t mode, bool may_replace)
{
    AUTO_FREE char *temporary = memory_format("%s.%d.tmp", path, (int)getpid());
    unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return fail(STATUS_UNAVAILABLE, "%s: %s", temporary, strerror(errno));
    size_t length = strlen(text);
    bool is_written =
        write(fd, text, length) == (ssize_t)length && fchmod(fd, mode) == 0 && fsync(fd) == 0;
    close(fd);
    if (is_written && may_replace)
        is_written = rename(temporary, path) == 0;
    else if (is_written)
        is_written = link(temporary, path) == 0 || errno == EEXIST;
    status_t status =
        is_written ? STATUS_OK : fail(STATUS_UNAVAILABLE, "%s: %s", path, strerror(errno));
    unlink(temporary);
    return status;
}

static char *certificate_text(const char *name, const char *public_key, const char *secret_key)
{
    if (secret_key)
        return memory_format("metadata\n    name = \"%s\"\ncurve\n    public-key = \"%s\"\n"
                             "    secret-key = \"%s\"\n",
                             name, public_key, secret_key);
    return memory_format("metadata\n    name = \"%s\"\ncurve\n    public-key = \"%s\"\n", name,
                         public_key);
}

/* link(2) decides between two makers: whoever comes second uses the first one's key. */
static status_t make_secret(const char *path, const char *name)
{
    char public_key[41], secret_key[41];
    if (zmq_curve_keypair(public_key, secret_key))
        return fail(STATUS_UNAVAILABLE, "libzmq was built without CURVE");
    AUTO_FREE char *text = certificate_text(name, public_key, secret_key);
    status_t status = write_file(path, text, 0600, false);
    explicit_bzero(secret_key, sizeof secret_key);
    explicit_bzero(text, strlen(text));
    return status;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/*
 * <name>.pub is written last: while it is missing the pair is unfinished and is finished by the
 * next caller; once it is there, a certificate that was taken out of allowed/ stays out.
 */
status_t wire_keys_make(const char *keys_folder, const char *name)
{
    if (!name_is_valid(name))
        return fail(STATUS_INVALID, "'%.40s' cannot name a key pair", name);
    AUTO_FREE char *secret_path = memory_format("%s/%s.key", keys_folder, name);
    AUTO_FREE char *public_path = memory_format("%s/%s.pub", keys_folder, name);
    if (exists(secret_path) && exists(public_path))
        return STATUS_OK;
    AUTO_FREE char *allowed = memory_format("%s/allowed", keys_folder);
    TRY(keys_make_folder(keys_folder, true));
    TRY(keys_make_folder(allowed, true));
    if (!exists(secret_path))
        TRY(make_secret(secret_path, name));

    zcert_t *pair = NULL;
    TRY(keys_load(keys_folder, name, true, &pair));
    AUTO_FREE char *text = certificate_text(name, zcert_public_txt(pair), NULL);
    zcert_destroy(&pair);
    AUTO_FREE char *allowed_path = memory_format("%s/%s.pub", allowed, name);
    TRY(write_file(allowed_path, text, 0644, true));
    return write_file(public_path, text, 0644, true);
}

status_t keys_load(const char *keys_folder, const char *name, bool with_secret, zcert_t **out_cert)
{
    if (!name_is_valid(name))
        return fail(STATUS_INVALID, "'%.40s' cannot name a key pair", name);
    AUTO_FREE char *path =
        memory_format("%s/%s.%s", keys_folder, name, with_secret ? "key" : "pub");
    zcert_t *cert = exists(path) ? zcert_load(path) : NULL;
    if (!cert)
        return fail(STATUS_UNAVAILABLE, "no usable key in %s", path);
    static const char none[] = "0000000000000000000000000000000000000000";
    if (with_secret && strcmp(zcert_secret_txt(cert), none) == 0) {
        zcert_destroy(&cert);
        return fail(STATUS_UNAVAILABLE, "%s holds no secret key", path);
    }
    *out_cert = cert;
    return STATUS_OK;
}
