#ifndef ZPACS_INDEX_CONFIG_H
#define ZPACS_INDEX_CONFIG_H

#include "service/service.h"

typedef struct {
    service_config_t service;
    char *index_endpoint;         /* where the others connect; "" is ipc://<data>/run/index.sock */
    char *index_changes_endpoint; /* of the doorbell; "": beside the default of the one above */
    char *index_database;         /* "": a SQLite file */
    char *replica;                /* "": the name of the host */
    int64_t reading_lanes;        /* threads that answer questions */
    int64_t stable_seconds;       /* without a new instance a study counts as complete */
} index_config_t;

extern const config_field_t index_config_fields[];

#endif
