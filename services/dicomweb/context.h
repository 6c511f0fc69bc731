#ifndef ZPACS_DICOMWEB_CONTEXT_H
#define ZPACS_DICOMWEB_CONTEXT_H

#include "dicomweb/location/index_pool.h"
#include "pack/pool.h"
#include "pack/space.h"
#include "pack/store.h"
#include "service/service.h"

#include <pthread.h>
#include <stdint.h>

/*
 * The bottom of this service: its configuration, and what all handlers share. Names no file above;
 * who needs a part includes the part's own header.
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
    int64_t pack_open_seconds;     /* between the making of a pack and its sealing */
} dicomweb_config_t;

enum { DICOMWEB_INFLATE_WAIT_MS = 10 * 1000 }; /* for others to give back what they have inflated */

/*
 * One per process, the context of every HTTP route; read by all threads. dicomweb.c creates and
 * destroys all parts; each part is safe for many threads, except where its own lock is named.
 */
typedef struct {
    const dicomweb_config_t *config;
    const char *data_folder; /* config->service.data */
    pack_store_t *store;
    struct {                  /* the open packs of STOW-RS: store/packs.h */
        pthread_mutex_t lock; /* of pool */
        pack_pool_t *pool;
        pack_space_t *space;
    } packs;
    index_pool_t *index;              /* by dicomweb_index_take(): index_access.h */
    struct doorbell *doorbell;        /* doorbell.h; NULL: none */
    struct location_cache *locations; /* location_cache.h */
    struct metadata_cache *metadata;  /* metadata_cache.h */
    struct metadata_plans *plans;     /* metadata_plan.h */
    struct frame_cache *frames;       /* frame_cache.h */
    struct inflated_cache *inflated;  /* inflated.h */
    char *gate_secret;                /* gate.h; NULL: no gate */
    char boundary[40];                /* between parts: random, the same for the whole process */
} dicomweb_t;

extern const config_field_t dicomweb_config_fields[]; /* config.c */

#endif
