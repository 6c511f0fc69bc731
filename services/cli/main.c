/*
 * The operator's command. The repository's ./zpacs installs and builds what is missing, sets the
 * environment and hands every verb that works on the archive itself to this program.
 */
#include "cli.h"
#include "base/memory.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    cli_verb_t *run;
    const char *usage;
} verbs[] = {
    {"import", cli_import, "import DIR|FILE|ZIP ...          store what is DICOM in there"},
    {"export", cli_export, "export [KEY=VALUE ...] DIR       write Part 10 files, chosen by query"},
    {"verify", cli_verify, "verify                           hash every stored byte again"},
    {"reindex", cli_reindex, "reindex                          rebuild the index from the packs"},
    {"delete", cli_delete, "delete STUDY [SERIES [INSTANCE]] delete by UID"},
    {"undelete", cli_undelete, "undelete STUDY [SERIES [INSTANCE]]  take the latest deletion back"},
    {"hold", cli_hold,
     "hold STUDY [--reason TEXT]       keep from deletion; without a reason: is it?"},
    {"release", cli_release, "release STUDY                    hold it no longer"},
    {"resolve", cli_resolve,
     "resolve SOP keep|replace|both [--from PACK/SEQUENCE]  end a conflict"},
    {"conflicts", cli_conflicts, "conflicts                        instances kept aside"},
    {"keys", cli_keys, "keys NAME ...                    make CURVE keys for services"},
};

enum { VERBS = sizeof verbs / sizeof *verbs };

static int usage(void)
{
    fputs("usage: zpacs [-q] VERB ...\n", stderr);
    for (size_t i = 0; i < VERBS; i++)
        fprintf(stderr, "    %s\n", verbs[i].usage);
    return CLI_USAGE;
}

static const char *environment_or(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

int main(int argc, char **argv)
{
    const struct passwd *user = getpwuid(getuid());
    const char *data = environment_or("ZPACS_DATA", "/var/lib/zpacs");
    AUTO_FREE char *keys = memory_format("%s/keys", data);
    AUTO_FREE char *endpoint = memory_format("ipc://%s/run/index.sock", data);
    cli_t cli = {
        .data_folder = data,
        .keys_folder = environment_or("ZPACS_KEYS", keys),
        .index_endpoint = environment_or("ZPACS_INDEX_ENDPOINT", endpoint),
        .user = environment_or("ZPACS_USER", user ? user->pw_name : "operator"),
    };
    int first = 1;
    if (first < argc && strcmp(argv[first], "-q") == 0) {
        cli.quiet = true;
        first++;
    }
    if (first >= argc)
        return usage();
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(argv[first], verbs[i].name) == 0)
            return verbs[i].run(&cli, argc - first, argv + first);
    fprintf(stderr, "zpacs: unknown verb '%s'\n", argv[first]);
    return usage();
}
