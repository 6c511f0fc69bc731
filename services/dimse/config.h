#ifndef ZPACS_DIMSE_CONFIG_H
#define ZPACS_DIMSE_CONFIG_H

#include "service/service.h"

/* dimse.yaml has the meaning of each key. */
typedef struct {
    service_config_t service;
    char *bind;
    int64_t dicom_port;
    char *aet;
    bool check_called_aet;
    config_list_t aes;
    config_list_t proxies;
    config_list_t private_roots;
    int64_t max_associations;
    int64_t max_associations_per_address;
    int64_t associations_per_process;
    int64_t max_pdu_bytes;
    int64_t max_dataset_bytes;
    int64_t space_low, space_high;
    int64_t pack_open_seconds;
    int64_t request_timeout_s;
    int64_t idle_timeout_s;
    int64_t stall_timeout_s;
    int64_t min_bytes_per_s;
    char *index_endpoint;
} dimse_config_t;

extern const config_field_t dimse_config_fields[];

/* The index's endpoint: as configured, or its socket in the data folder. Caller frees. */
char *dimse_config_index_endpoint(const dimse_config_t *config);

/* The folder of keys: as configured, or in the data folder. Caller frees. */
char *dimse_config_keys(const dimse_config_t *config);

#endif
