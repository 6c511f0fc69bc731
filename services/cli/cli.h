#ifndef ZPACS_CLI_CLI_H
#define ZPACS_CLI_CLI_H

#include "base/status.h"
#include "client/index_client.h"

#include <stdbool.h>
#include <stdint.h>

/* What every verb of the operator's command needs; from the environment that ./zpacs sets. */
typedef struct {
    const char *data_folder;    /* ZPACS_DATA */
    const char *keys_folder;    /* ZPACS_KEYS, default <data>/keys */
    const char *index_endpoint; /* ZPACS_INDEX_ENDPOINT, default ipc in <data>/run */
    const char *user;           /* who runs the command, for provenance and tombstones */
    bool quiet;                 /* -q: no progress */
} cli_t;

/* Exit codes of a verb. */
enum { CLI_OK = 0, CLI_FOUND_PROBLEMS = 1, CLI_USAGE = 64, CLI_UNAVAILABLE = 69 };

typedef int cli_verb_t(const cli_t *cli, int argc, char **argv);

cli_verb_t cli_import, cli_export, cli_verify, cli_reindex, cli_delete, cli_conflicts, cli_undelete,
    cli_hold, cli_release, cli_resolve, cli_keys;

/* Prints "zpacs: <verb>: <why>" to stderr and returns the exit code of the status. */
int cli_fail(const char *verb, status_t status);

/* Connects to the index as "cli"; exits nothing: the caller reports the failure. */
status_t cli_index_open(const cli_t *cli, index_client_t **out_client);

/*
 * One line of progress on stderr, rewritten in place on a terminal and at most four times a second;
 * in a log file one line every five seconds.
 */
void cli_progress(const cli_t *cli, bool last, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
