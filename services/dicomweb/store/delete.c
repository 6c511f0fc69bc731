
#include "base/text.h"
#include "dicomweb/handlers.h"
#include "dicomweb/location/index_access.h"
#include "dicomweb/location/location_cache.h"
#include "log/log.h"

/* DELETE of a study, series or instance. PS3.18 has none; the form is the one other archives use:
 * the address of the resource, 204 when it is gone, 404 when it was not there. */

static status_t read_target(const http_request_t *request, Index__Delete *out_what)
{
    const struct {
        const char *name;
        char **uid;
    } parts[] = {{"study", &out_what->study_instance_uid},
                 {"series", &out_what->series_instance_uid},
                 {"instance", &out_what->sop_instance_uid}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *uid = http_path_parameter(request, parts[i].name);
        if (uid && !uid_is_valid(uid))
            return fail(STATUS_INVALID, "the %s of the URL is not a UID", parts[i].name);
        if (uid)
            *parts[i].uid = (char *)uid;
    }
    return STATUS_OK;
}

static status_t delete_target(dicomweb_t *dicomweb, const http_request_t *request)
{
    Index__Scope scope = INDEX__SCOPE__INIT;
    Index__Delete what = INDEX__DELETE__INIT;
    Index__Deleted *reply = NULL;
    scope.kind = INDEX__SCOPE__KIND__ALL;
    what.scope = &scope;
    what.reason = (char *)"DELETE over HTTP";
    TRY(read_target(request, &what));
    index_client_t *client = NULL;
    TRY(dicomweb_index_take(dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_delete(client, &what, &reply));
    dicomweb_index_give(dicomweb, &client);
    TRY(status);
    log_info("dicomweb.deleted", LOG_TEXT("study", what.study_instance_uid),
             LOG_TEXT("series", what.series_instance_uid),
             LOG_TEXT("instance", what.sop_instance_uid), LOG_NUMBER("instances", reply->instances),
             LOG_TEXT("peer", http_peer(request)));
    index__deleted__free_unpacked(reply, NULL);
    location_cache_clear(dicomweb->locations);
    return STATUS_OK;
}

void dicomweb_delete(void *context, http_request_t *request)
{
    status_t status = delete_target(context, request);
    if (status == STATUS_OK)
        http_respond(request, 204, NULL, NULL, 0);
    else
        http_fail(request, status);
}
