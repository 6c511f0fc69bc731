#ifndef ZPACS_DICOMWEB_DICOMWEB_H
#define ZPACS_DICOMWEB_DICOMWEB_H

#include "client/index_client.h"
#include "http/http.h"
#include "pack/pool.h"
#include "pack/store.h"
#include "service/service.h"

#include <pthread.h>
#include <stdint.h>

/*
 * What the handlers of this service share. One per process; the context of every HTTP route.
 * context.c fills it at start and clears it at stop.
 */
typedef struct {
    service_config_t service; /* first: SERVICE_CONFIG_FIELDS */
    char *address;            /* of everything but STOW */
    char *stow_address;       /* of STOW-RS alone: uploads must not starve readers of threads */
    char *gate_secret_file;   /* "" for none; else only who knows its content is served */
    char *index_endpoint;     /* "" means ipc://<data>/run/index.sock */
    int64_t threads, stow_threads;
    int64_t stow_max_bytes;   /* of one STOW-RS request */
} dicomweb_config_t;

typedef struct {
    const dicomweb_config_t *config;
    const char *data_folder;  /* config->service.data */
    pack_store_t *store;      /* safe for many threads */
    struct {                  /* the open packs of STOW-RS; see store/ */
        pthread_mutex_t lock;
        pack_pool_t *pool;
    } packs;
} dicomweb_t;

/*
 * This thread's connection to the index: made at its first use, closed when the thread ends.
 * NULL when it cannot be made; fail_detail() says why.                              context.c
 */
index_client_t *dicomweb_index(dicomweb_t *dicomweb);

/* ---- handlers (context is the dicomweb_t) ---------------------------------------------------- */
http_handler_t dicomweb_store;  /* store/store.c: POST studies, POST studies/{study} */
http_handler_t dicomweb_delete; /* store/delete.c: DELETE studies/{study}[/series/{series}[/instances/{instance}]] */

/*
 * The open packs of STOW-RS.                                                   store/packs.c
 * open: also takes over what a dead process left in open/ (index told by the doorbell of tick);
 * tick: call it about every second; close: seals all.
 */
status_t dicomweb_packs_open(dicomweb_t *dicomweb);
void dicomweb_packs_tick(dicomweb_t *dicomweb);
void dicomweb_packs_close(dicomweb_t *dicomweb);

#endif
