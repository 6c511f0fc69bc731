#ifndef ZPACS_INDEX_CONFIG_H
#define ZPACS_INDEX_CONFIG_H

#include "service/service.h"

typedef struct {
    service_config_t service;
    char *index_endpoint;          /* where the others connect; "" is ipc://<data>/run/index.sock */
    char *index_changes_endpoint;  /* of the doorbell; "": beside the default of the one above */
    char *index_database;          /* "": a SQLite file */
    char *replica;                 /* "": the name of the host */
    int64_t reading_lanes;         /* threads that answer questions */
    int64_t stable_seconds;        /* without a new instance a study counts as complete */
    int64_t pack_open_seconds;     /* between the making of a pack of ours and its sealing */
    int64_t compact_after_seconds; /* what is deleted can be brought back for so long */
    int64_t retire_grace_seconds;  /* between the copy of a pack and its end */
    int64_t compact_bytes_per_second;
} index_config_t;

extern const config_field_t index_config_fields[];

#endif
