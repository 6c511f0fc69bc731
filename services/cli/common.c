#include "cli.h"
#include "base/clock.h"
#include "base/memory.h"
#include "wire/wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

int cli_fail(const char *verb, status_t status)
{
    fprintf(stderr, "zpacs: %s: %s\n", verb, fail_detail());
    return status == STATUS_UNAVAILABLE || status == STATUS_EXPIRED ? CLI_UNAVAILABLE
                                                                    : CLI_FOUND_PROBLEMS;
}

status_t cli_index_open(const cli_t *cli, index_client_t **out_client)
{
    return index_client_open(cli->index_endpoint, cli->keys_folder, "cli", out_client);
}

void cli_progress(const cli_t *cli, bool last, const char *format, ...)
{
    static int64_t next_ms;
    bool terminal = isatty(STDERR_FILENO);
    int64_t now_ms = clock_monotonic_ms();
    if (cli->quiet || (!last && now_ms < next_ms))
        return;
    next_ms = now_ms + (terminal ? 250 : 5000);
    va_list arguments;
    va_start(arguments, format);
    fputs(terminal ? "\r\033[K" : "", stderr);
    vfprintf(stderr, format, arguments);
    fputs(terminal && !last ? "" : "\n", stderr);
    va_end(arguments);
}

int cli_keys(const cli_t *cli, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        status_t status = wire_keys_make(cli->keys_folder, argv[i]);
        if (status != STATUS_OK)
            return cli_fail("keys", status);
    }
    return CLI_OK;
}
