#include "dimse/config.h"

#include "base/memory.h"
#include "association/association.h"

#define GIB (INT64_C(1) << 30)

/*
 * Where an organisation's own UIDs begin: the arcs of ISO members and bodies that register
 * organisations, and 2.25 for UIDs made from UUIDs (PS3.5 9.1, annex B).
 */
#define PRIVATE_ROOTS                                                                              \
    "1.2.36,1.2.40,1.2.56,1.2.124,1.2.156,1.2.203,1.2.208,1.2.246,1.2.250,1.2.276,1.2.300,1.2."    \
    "348,"                                                                                         \
    "1.2.356,1.2.372,1.2.376,1.2.392,1.2.410,1.2.528,1.2.554,1.2.578,1.2.616,1.2.620,1.2.642,"     \
    "1.2.643,1.2.702,1.2.710,1.2.724,1.2.752,1.2.756,1.2.764,1.2.792,1.2.804,1.2.826,1.2.840,1.3," \
    "2.16,2.25"

const config_field_t dimse_config_fields[] = {
    SERVICE_CONFIG_FIELDS(dimse_config_t, "127.0.0.1:30092"),
    CONFIG_TEXT(dimse_config_t, bind, "127.0.0.1", "ZPACS_BIND", "address to listen on"),
    CONFIG_NUMBER(dimse_config_t, dicom_port, "11112", 1, 65535, "ZPACS_DICOM_PORT", "DICOM port"),
    CONFIG_TEXT(dimse_config_t, aet, "ZPACS", "ZPACS_AET", "our AE title"),
    CONFIG_BOOL(dimse_config_t, check_called_aet, "false", "ZPACS_DIMSE_CHECK_CALLED_AET",
                "refuse other called AE titles"),
    CONFIG_LIST(dimse_config_t, aes, "", "ZPACS_DIMSE_AES", "who may connect: AE@cidr"),
    CONFIG_LIST(dimse_config_t, proxies, "", "ZPACS_DIMSE_PROXIES",
                "who sends PROXY headers: cidr"),
    CONFIG_LIST(dimse_config_t, private_roots, PRIVATE_ROOTS, "ZPACS_DIMSE_PRIVATE_ROOTS",
                "roots of private SOP classes"),
    CONFIG_NUMBER(dimse_config_t, max_associations, "200", 1, 4096, "ZPACS_DIMSE_MAX_ASSOCIATIONS",
                  "associations at once"),
    CONFIG_NUMBER(dimse_config_t, max_associations_per_address, "64", 1, 4096,
                  "ZPACS_DIMSE_MAX_ASSOCIATIONS_PER_ADDRESS", "the same for one peer address"),
    CONFIG_NUMBER(dimse_config_t, associations_per_process, "200", 1, 200,
                  "ZPACS_DIMSE_ASSOCIATIONS_PER_PROCESS",
                  "of one address, one after the other; 1: each has its own"),
    CONFIG_NUMBER(dimse_config_t, max_pdu_bytes, "131072", ASSOCIATION_PDU_MIN, ASSOCIATION_PDU_MAX,
                  "ZPACS_DIMSE_MAX_PDU_BYTES", "largest PDU we take"),
    CONFIG_NUMBER(dimse_config_t, max_dataset_bytes, "8589934592", 1024, 1024 * GIB,
                  "ZPACS_DIMSE_MAX_DATASET_BYTES", "largest dataset we take"),
    CONFIG_NUMBER(dimse_config_t, space_low, "2147483648", 0, INT64_MAX, "ZPACS_SPACE_LOW",
                  "bytes free below which nothing is taken"),
    CONFIG_NUMBER(dimse_config_t, space_high, "3221225472", 0, INT64_MAX, "ZPACS_SPACE_HIGH",
                  "bytes free from which it is again"),
    CONFIG_NUMBER(dimse_config_t, pack_open_seconds, "1800", 1, 86400, "ZPACS_PACK_OPEN_SECONDS",
                  "a pack is sealed so long after it was made, however busy"),
    CONFIG_NUMBER(dimse_config_t, request_timeout_s, "10", 1, 600, "ZPACS_DIMSE_REQUEST_TIMEOUT_S",
                  "ARTIM: the association request must have come"),
    CONFIG_NUMBER(dimse_config_t, idle_timeout_s, "60", 1, 600, "ZPACS_DIMSE_IDLE_TIMEOUT_S",
                  "between two messages"),
    CONFIG_NUMBER(dimse_config_t, stall_timeout_s, "30", 1, 3600, "ZPACS_DIMSE_STALL_TIMEOUT_S",
                  "silence within a message"),
    CONFIG_NUMBER(dimse_config_t, min_bytes_per_s, "1000", 0, 1000000,
                  "ZPACS_DIMSE_MIN_BYTES_PER_S", "of a message, over each stall_timeout_s"),
    CONFIG_TEXT(dimse_config_t, index_endpoint, "", "ZPACS_INDEX_ENDPOINT", "of the service index"),
    CONFIG_END,
};

char *dimse_config_index_endpoint(const dimse_config_t *config)
{
    return *config->index_endpoint ? memory_copy_text(config->index_endpoint)
                                   : memory_format("ipc://%s/run/index.sock", config->service.data);
}

char *dimse_config_keys(const dimse_config_t *config)
{
    return *config->service.keys ? memory_copy_text(config->service.keys)
                                 : memory_format("%s/keys", config->service.data);
}
