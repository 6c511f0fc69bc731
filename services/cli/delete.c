#include "cli.h"
#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

int cli_delete(const cli_t *cli, int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fputs("usage: zpacs delete STUDY [SERIES [INSTANCE]]\n", stderr);
        return CLI_USAGE;
    }
    Index__Scope scope = INDEX__SCOPE__INIT;
    scope.kind = INDEX__SCOPE__KIND__ALL;
    Index__Delete what = INDEX__DELETE__INIT;
    what.scope = &scope;
    what.study_instance_uid = argv[1];
    what.series_instance_uid = argc > 2 ? argv[2] : (char *)"";
    what.sop_instance_uid = argc > 3 ? argv[3] : (char *)"";
    what.user = (char *)cli->user;
    what.reason = (char *)"zpacs delete";
    index_client_t *index = NULL;
    Index__Deleted *reply = NULL;
    status_t status = cli_index_open(cli, &index);
    if (status == STATUS_OK)
        status = index_client_delete(index, &what, &reply);
    if (index)
        index_client_close(&index);
    if (status != STATUS_OK)
        return cli_fail("delete", status);
    printf("%llu instances deleted\n", (unsigned long long)reply->instances);
    index__deleted__free_unpacked(reply, NULL);
    return CLI_OK;
}

static void conflicts_print(const Index__ConflictList *list)
{
    for (size_t i = 0; i < list->n_conflicts; i++) {
        const Index__Conflict *conflict = list->conflicts[i];
        char received[28];
        clock_format((int64_t)conflict->received_us, received);
        printf("%s  %s  from %s  study %s  record %s/%llu\n", received, conflict->sop_instance_uid,
               conflict->source, conflict->study_instance_uid, conflict->origin_pack,
               (unsigned long long)conflict->origin_sequence);
    }
}

int cli_conflicts(const cli_t *cli, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    index_client_t *index = NULL;
    bool found = false;
    AUTO_FREE char *after = memory_copy_text("");
    status_t status = cli_index_open(cli, &index);
    for (bool more = true; status == STATUS_OK && more;) {
        Index__ConflictList *list = NULL;
        status = index_client_conflicts(index, 0, after, &list);
        if (status != STATUS_OK)
            break;
        conflicts_print(list);
        found |= list->n_conflicts > 0;
        more = *list->next;
        free(after);
        after = memory_copy_text(list->next);
        index__conflict_list__free_unpacked(list, NULL);
    }
    if (index)
        index_client_close(&index);
    if (status != STATUS_OK)
        return cli_fail("conflicts", status);
    return found ? CLI_FOUND_PROBLEMS : CLI_OK;
}
