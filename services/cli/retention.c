#include "cli.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* undelete, hold, release, resolve: what stays, and for how long. */

static Index__Scope *everything(void)
{
    static Index__Scope scope;
    index__scope__init(&scope);
    scope.kind = INDEX__SCOPE__KIND__ALL;
    return &scope;
}

static int usage(const char *text)
{
    fprintf(stderr, "usage: zpacs %s\n", text);
    return CLI_USAGE;
}

int cli_undelete(const cli_t *cli, int argc, char **argv)
{
    if (argc < 2 || argc > 4)
        return usage("undelete STUDY [SERIES [INSTANCE]]");
    Index__Undelete what = INDEX__UNDELETE__INIT;
    what.scope = everything();
    what.study_instance_uid = argv[1];
    what.series_instance_uid = argc > 2 ? argv[2] : (char *)"";
    what.sop_instance_uid = argc > 3 ? argv[3] : (char *)"";
    what.user = (char *)(uintptr_t)cli->user;
    what.reason = (char *)"zpacs undelete";
    index_client_t *index = NULL;
    Index__Undeleted *reply = NULL;
    status_t status = cli_index_open(cli, &index);
    if (status == STATUS_OK)
        status = index_client_undelete(index, &what, &reply);
    if (index)
        index_client_close(&index);
    if (status != STATUS_OK)
        return cli_fail("undelete", status);
    uint64_t gone = reply->gone;
    printf("%llu instances are back, %llu are gone for good\n",
           (unsigned long long)reply->instances, (unsigned long long)gone);
    index__undeleted__free_unpacked(reply, NULL);
    return gone ? CLI_FOUND_PROBLEMS : CLI_OK;
}

static int hold_print(index_client_t *index, const char *study)
{
    Index__GetHold query = INDEX__GET_HOLD__INIT;
    Index__HoldState *state = NULL;
    query.scope = everything();
    query.study_instance_uid = (char *)(uintptr_t)study;
    status_t status = index_client_get_hold(index, &query, &state);
    if (status != STATUS_OK)
        return cli_fail("hold", status);
    char since[28];
    clock_format((int64_t)state->since_us, since);
    if (state->held)
        printf("held since %s by %s: %s\n", since, state->user, state->reason);
    else
        puts("not held");
    index__hold_state__free_unpacked(state, NULL);
    return CLI_OK;
}

static int hold_set(const cli_t *cli, index_client_t *index, char *study, char *reason)
{
    Index__Hold what = INDEX__HOLD__INIT;
    what.scope = everything();
    what.study_instance_uid = study;
    what.user = (char *)(uintptr_t)cli->user;
    what.reason = reason;
    status_t status = index_client_hold(index, &what);
    return status == STATUS_OK ? CLI_OK : cli_fail("hold", status);
}

int cli_hold(const cli_t *cli, int argc, char **argv)
{
    bool has_reason = argc == 4 && strcmp(argv[2], "--reason") == 0;
    if (argc != 2 && !has_reason)
        return usage("hold STUDY [--reason TEXT]");
    index_client_t *index = NULL;
    status_t status = cli_index_open(cli, &index);
    if (status != STATUS_OK)
        return cli_fail("hold", status);
    int code = has_reason ? hold_set(cli, index, argv[1], argv[3]) : hold_print(index, argv[1]);
    index_client_close(&index);
    return code;
}

int cli_release(const cli_t *cli, int argc, char **argv)
{
    if (argc != 2)
        return usage("release STUDY");
    Index__Release what = INDEX__RELEASE__INIT;
    what.scope = everything();
    what.study_instance_uid = argv[1];
    what.user = (char *)(uintptr_t)cli->user;
    index_client_t *index = NULL;
    status_t status = cli_index_open(cli, &index);
    if (status == STATUS_OK)
        status = index_client_release(index, &what);
    if (index)
        index_client_close(&index);
    return status == STATUS_OK ? CLI_OK : cli_fail("release", status);
}

static bool outcome_of(const char *name, Index__Resolve__Outcome *out_outcome)
{
    static const struct {
        const char *name;
        Index__Resolve__Outcome outcome;
    } outcomes[] = {{"keep", INDEX__RESOLVE__OUTCOME__KEEP},
                    {"replace", INDEX__RESOLVE__OUTCOME__REPLACE},
                    {"both", INDEX__RESOLVE__OUTCOME__KEEP_BOTH}};
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (strcmp(outcomes[i].name, name) == 0) {
            *out_outcome = outcomes[i].outcome;
            return true;
        }
    return false;
}

/* PACK/SEQUENCE, as `zpacs conflicts` prints it; cuts the text in two. */
static bool origin_of(char *text, Index__Resolve *what)
{
    char *slash = strchr(text, '/');
    if (!slash || !text_to_uint64(slash + 1, &what->origin_sequence))
        return false;
    *slash = 0;
    what->origin_pack = text;
    return true;
}

int cli_resolve(const cli_t *cli, int argc, char **argv)
{
    Index__Resolve what = INDEX__RESOLVE__INIT;
    bool has_origin = argc == 5 && strcmp(argv[3], "--from") == 0 && origin_of(argv[4], &what);
    if ((argc != 3 && !has_origin) || !outcome_of(argv[2], &what.outcome))
        return usage("resolve SOP keep|replace|both [--from PACK/SEQUENCE]");
    what.scope = everything();
    what.sop_instance_uid = argv[1];
    what.user = (char *)(uintptr_t)cli->user;
    what.reason = (char *)"zpacs resolve";
    index_client_t *index = NULL;
    Index__Resolved *reply = NULL;
    status_t status = cli_index_open(cli, &index);
    if (status == STATUS_OK)
        status = index_client_resolve(index, &what, &reply);
    if (index)
        index_client_close(&index);
    if (status != STATUS_OK)
        return cli_fail("resolve", status);
    if (*reply->made_sop_instance_uid)
        printf("kept, too, as %s\n", reply->made_sop_instance_uid);
    index__resolved__free_unpacked(reply, NULL);
    return CLI_OK;
}
