#include "dicomweb/handlers.h"
#include "dicomweb/form/url.h"

#define STUDIES  URL_DICOMWEB "/studies"
#define STUDY    STUDIES "/{study}"
#define SERIES   STUDY "/series/{series}"
#define INSTANCE SERIES "/instances/{instance}"

/* What `address` answers, with the permission it needs and the event that audit will see. */
const http_route_t dicomweb_routes[] = {
    /* QIDO-RS, PS3.18 10.6.1 */
    {"GET", STUDIES, "view", "query", dicomweb_query_studies},
    {"GET", STUDY "/series", "view", "query", dicomweb_query_series},
    {"GET", SERIES "/instances", "view", "query", dicomweb_query_instances},
    {"GET", STUDY "/instances", "view", "query", dicomweb_query_instances},
    {"GET", URL_DICOMWEB "/series", "view", "query", dicomweb_query_series},
    {"GET", URL_DICOMWEB "/instances", "view", "query", dicomweb_query_instances},
    /* WADO-RS, PS3.18 10.4.1 */
    {"GET", STUDY, "view", "retrieve", dicomweb_retrieve},
    {"GET", SERIES, "view", "retrieve", dicomweb_retrieve},
    {"GET", INSTANCE, "view", "retrieve", dicomweb_retrieve},
    {"GET", STUDY "/metadata", "view", "retrieve", dicomweb_metadata},
    {"GET", SERIES "/metadata", "view", "retrieve", dicomweb_metadata},
    {"GET", INSTANCE "/metadata", "view", "retrieve", dicomweb_metadata},
    {"GET", INSTANCE "/frames/{frames}", "view", "retrieve", dicomweb_frames},
    {"GET", INSTANCE "/bulkdata/{path...}", "view", "retrieve", dicomweb_bulkdata},
    {"GET", STUDY "/rendered", "view", "retrieve", dicomweb_rendered},
    {"GET", SERIES "/rendered", "view", "retrieve", dicomweb_rendered},
    {"GET", INSTANCE "/rendered", "view", "retrieve", dicomweb_rendered},
    {"GET", INSTANCE "/frames/{frames}/rendered", "view", "retrieve", dicomweb_rendered},
    {"GET", STUDY "/thumbnail", "view", "retrieve", dicomweb_rendered},
    {"GET", SERIES "/thumbnail", "view", "retrieve", dicomweb_rendered},
    {"GET", INSTANCE "/thumbnail", "view", "retrieve", dicomweb_rendered},
    {"GET", INSTANCE "/frames/{frames}/thumbnail", "view", "retrieve", dicomweb_rendered},
    /* Deletion is not in the standard: as other archives do it. */
    {"DELETE", STUDY, "delete", "delete", dicomweb_delete},
    {"DELETE", SERIES, "delete", "delete", dicomweb_delete},
    {"DELETE", INSTANCE, "delete", "delete", dicomweb_delete},
    {"OPTIONS", URL_DICOMWEB "/", "view", "query", dicomweb_capabilities},
    {"OPTIONS", URL_DICOMWEB, "view", "query", dicomweb_capabilities},
    {"GET", "/api/system", "view", "query", dicomweb_api_system},
    {"GET", "/api/changes", "view", "query", dicomweb_api_changes},
    /* What stays, and for how long. */
    {"POST", "/api/studies/{study}/undelete", "delete", "undelete", dicomweb_api_undelete},
    {"GET", "/api/studies/{study}/hold", "view", "query", dicomweb_api_get_hold},
    {"PUT", "/api/studies/{study}/hold", "delete", "hold", dicomweb_api_put_hold},
    {"DELETE", "/api/studies/{study}/hold", "delete", "release", dicomweb_api_delete_hold},
    {"GET", "/api/conflicts", "view", "query", dicomweb_api_conflicts},
    {"POST", "/api/conflicts/{instance}", "modify", "resolve", dicomweb_api_resolve},
    {NULL, NULL, NULL, NULL, NULL}};

/* STOW-RS, PS3.18 10.5.1, on an address of its own. */
const http_route_t dicomweb_stow_routes[] = {{"POST", STUDIES, "upload", "store", dicomweb_store},
                                             {"POST", STUDY, "upload", "store", dicomweb_store},
                                             {NULL, NULL, NULL, NULL, NULL}};

static void append_routes(buffer_t *out, const http_route_t *routes, bool *is_first)
{
    for (const http_route_t *route = routes; route->method; route++) {
        buffer_printf(out, "%s{\"method\":\"%s\",\"path\":\"%s\"}", *is_first ? "" : ",",
                      route->method, route->path);
        *is_first = false;
    }
}

/* PS3.18 8.9 asks for a description without fixing its form: the tables above. */
void dicomweb_capabilities(void *context, http_request_t *request)
{
    (void)context;
    AUTO_BUFFER out = {0};
    bool is_first = true;
    buffer_append_text(&out, "{\"resources\":[");
    append_routes(&out, dicomweb_routes, &is_first);
    append_routes(&out, dicomweb_stow_routes, &is_first);
    buffer_append_text(&out, "]}\n");
    http_respond(request, 200, "application/json", out.data, out.length);
}
