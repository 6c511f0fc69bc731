#include "cli.h"

#include <stdio.h>
#include <unistd.h>

enum { POLL_US = 200 * 1000 };

int cli_reindex(const cli_t *cli, int argc, char **argv)
{
    (void)argv;
    if (argc != 1) {
        fputs("usage: zpacs reindex\n", stderr);
        return CLI_USAGE;
    }
    index_client_t *index = NULL;
    status_t status = cli_index_open(cli, &index);
    if (status == STATUS_OK)
        status = index_client_rebuild(index);
    bool rebuilding = status == STATUS_OK;
    while (rebuilding) {
        Index__Statistics *now = NULL;
        usleep(POLL_US);
        status = index_client_statistics(index, &now);
        if (status != STATUS_OK)
            break;
        rebuilding = now->rebuilding;
        cli_progress(cli, !rebuilding, "%llu instances indexed",
                     (unsigned long long)(rebuilding ? now->rebuilt_instances : now->instances));
        index__statistics__free_unpacked(now, NULL);
    }
    if (index)
        index_client_close(&index);
    return status == STATUS_OK ? CLI_OK : cli_fail("reindex", status);
}
