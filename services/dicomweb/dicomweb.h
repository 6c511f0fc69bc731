#ifndef ZPACS_DICOMWEB_DICOMWEB_H
#define ZPACS_DICOMWEB_DICOMWEB_H

#include "dicomweb/index_pool.h"
#include "http/http.h"
#include "pack/pool.h"
#include "pack/space.h"
#include "pack/store.h"
#include "service/service.h"

#include <pthread.h>
#include <stdint.h>

/*
 * What the handlers of this service share. One per process; the context of every HTTP route.
 * context.c fills it at start and clears it at stop.
 */
typedef struct {
    service_config_t service;     /* first: SERVICE_CONFIG_FIELDS */
    char *address;                /* of everything but STOW */
    char *stow_address;           /* of STOW-RS alone: uploads must not starve readers of threads */
    char *gate_secret_file;       /* "" for none; else only who knows its content is served */
    char *index_endpoint;         /* "" means ipc://<data>/run/index.sock */
    char *index_changes_endpoint; /* "": beside that, or none if index_endpoint is set */
    int64_t index_connections;
    int64_t threads, stow_threads;
    int64_t stow_max_bytes;  /* of one STOW-RS request */
    char *public_url;        /* "https://pacs.example.org"; "": URLs are built from Host */
    int64_t query_limit;     /* answers of a query that names no limit */
    int64_t query_limit_max; /* answers of any query */
    int64_t metadata_cache_bytes, frame_cache_bytes, inflated_bytes;
    int64_t space_low, space_high; /* bytes free: STOW-RS pauses below, goes on above */
} dicomweb_config_t;

enum { DICOMWEB_INFLATE_WAIT_MS = 10 * 1000 }; /* for others to give back what they have inflated */
enum { DICOMWEB_INDEX_WAIT_MS = 15 * 1000 };   /* for a connection: as long as the index may take */

typedef struct {
    const dicomweb_config_t *config;
    const char *data_folder; /* config->service.data */
    pack_store_t *store;     /* safe for many threads */
    struct {                 /* the open packs of STOW-RS; see store/ */
        pthread_mutex_t lock;
        pack_pool_t *pool;
        pack_space_t *space; /* safe for many threads */
    } packs;
    index_pool_t *index;              /* by dicomweb_index_take() */
    struct doorbell *doorbell;        /* doorbell.h; NULL: none */
    struct location_cache *locations; /* location.h */
    struct metadata_cache *metadata;  /* metadata_cache.h */
    struct frame_cache *frames;       /* frame_cache.h */
    struct inflated_cache *inflated;  /* inflated.h */
    char *gate_secret;                /* NULL: no gate */
    char boundary[40];                /* between parts: random, the same for the whole process */
} dicomweb_t;

extern const config_field_t dicomweb_config_fields[]; /* config.c */
extern const http_route_t dicomweb_routes[];          /* routes.c: of `address` */
extern const http_route_t dicomweb_stow_routes[];     /* of `stow_address` */

/* context.c */
status_t dicomweb_open(const dicomweb_config_t *config, dicomweb_t **out_dicomweb);
void dicomweb_close(dicomweb_t **dicomweb);
bool dicomweb_admit(void *context, http_request_t *request); /* the gate */

/* A question to the index that got no answer in time means: no index now (503, not 504). */
status_t dicomweb_index_status(status_t status);

/* What was read of the index may not hold any longer: call it behind a deletion. */
void dicomweb_forget_locations(dicomweb_t *dicomweb);

/*
 * A connection to the index for one question: give it back before the answer is written, since
 * whoever reads slowly would keep it from others. Fails: UNAVAILABLE.                  context.c
 */
status_t dicomweb_index_take(dicomweb_t *dicomweb, int wait_ms, index_client_t **out_client);
void dicomweb_index_give(dicomweb_t *dicomweb, index_client_t **client); /* NULL is fine */

/* The index's figures; caller frees. Fails: UNAVAILABLE.                              system.c */
status_t dicomweb_index_statistics(dicomweb_t *dicomweb, Index__Statistics **out_statistics);

/* ---- handlers (context is the dicomweb_t) ---------------------------------------------------- */
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

/*
 * The open packs of STOW-RS.                                                   store/packs.c
 * open: also takes over what a dead process left in open/; tick: call it about every second, tells
 * the index what it has not answered for; close: seals all.
 */
status_t dicomweb_packs_open(dicomweb_t *dicomweb);
void dicomweb_packs_tick(dicomweb_t *dicomweb);
void dicomweb_packs_close(dicomweb_t *dicomweb);

#endif
