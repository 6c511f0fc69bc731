#ifndef ZPACS_DICOMWEB_HANDLERS_H
#define ZPACS_DICOMWEB_HANDLERS_H

#include "http/http.h"

/* What answers HTTP requests, and the tables that lead to it. The context is the dicomweb_t. */
http_handler_t dicomweb_query_studies, dicomweb_query_series,
    dicomweb_query_instances;         /* query.c */
http_handler_t dicomweb_retrieve;     /* retrieve.c: a study, series or instance */
http_handler_t dicomweb_metadata;     /* metadata.c: of the three */
http_handler_t dicomweb_frames;       /* frames.c */
http_handler_t dicomweb_bulkdata;     /* bulkdata.c */
http_handler_t dicomweb_rendered;     /* rendered.c: rendered and thumbnail */
http_handler_t dicomweb_capabilities; /* routes.c */
http_handler_t dicomweb_api_system, dicomweb_api_changes; /* system.c */
http_handler_t dicomweb_api_undelete, dicomweb_api_get_hold, dicomweb_api_put_hold,
    dicomweb_api_delete_hold, dicomweb_api_conflicts, dicomweb_api_resolve; /* retention.c */
http_handler_t dicomweb_store; /* store/store.c: POST studies, POST studies/{study} */
http_handler_t
    dicomweb_delete; /* store/delete.c: DELETE studies/{study}[/series/{series}[/instances/{instance}]] */

extern const http_route_t dicomweb_routes[];      /* routes.c: of `address` */
extern const http_route_t dicomweb_stow_routes[]; /* of `stow_address` */

#endif
