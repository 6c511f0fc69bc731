#include "dicomweb/context.h"

#include <stdbool.h>
#include <stddef.h>

#define T dicomweb_config_t

/* dicomweb.yaml has the same in words. */
const config_field_t dicomweb_config_fields[] = {
    SERVICE_CONFIG_FIELDS(T, "127.0.0.1:30093"),
    CONFIG_TEXT(T, address, "127.0.0.1:30081", "ZPACS_DICOMWEB_ADDRESS", "all but STOW-RS"),
    CONFIG_TEXT(T, stow_address, "127.0.0.1:30082", "ZPACS_STOW_ADDRESS", "STOW-RS"),
    CONFIG_TEXT(T, gate_secret_file, "", "ZPACS_GATE_SECRET_FILE", "what X-Zpacs-Gate must hold"),
    CONFIG_TEXT(T, index_endpoint, "", "ZPACS_INDEX_ENDPOINT", "the index; ipc in the data folder"),
    CONFIG_TEXT(T, index_changes_endpoint, "", "ZPACS_INDEX_CHANGES_ENDPOINT",
                "doorbell of its changes; ipc in the data folder, none if index_endpoint is set"),
    CONFIG_NUMBER(T, index_connections, "32", 1, 1024, "ZPACS_INDEX_CONNECTIONS",
                  "connections to the index"),
    CONFIG_NUMBER(T, threads, "64", 1, 1024, "ZPACS_DICOMWEB_THREADS", "connections of address"),
    CONFIG_NUMBER(T, stow_threads, "16", 1, 256, "ZPACS_STOW_THREADS", "connections of STOW-RS"),
    CONFIG_NUMBER(T, stow_max_bytes, "17179869184", 1024, INT64_MAX, "ZPACS_STOW_MAX_BYTES",
                  "of one STOW-RS request"),
    CONFIG_TEXT(T, public_url, "", "ZPACS_PUBLIC_URL", "base of URLs in answers; empty: from Host"),
    CONFIG_NUMBER(T, query_limit, "1000", 1, 1000000, "ZPACS_QUERY_LIMIT",
                  "answers of a query without limit"),
    CONFIG_NUMBER(T, query_limit_max, "1000", 1, 1000000, "ZPACS_QUERY_LIMIT_MAX",
                  "answers of any query"),
    CONFIG_NUMBER(T, metadata_cache_bytes, "268435456", 0, INT64_MAX, "ZPACS_METADATA_CACHE_BYTES",
                  "ready /metadata of series"),
    CONFIG_NUMBER(T, frame_cache_bytes, "67108864", 0, INT64_MAX, "ZPACS_FRAME_CACHE_BYTES",
                  "tables of frames"),
    CONFIG_NUMBER(T, inflated_bytes, "536870912", 268435456, INT64_MAX, "ZPACS_INFLATED_BYTES",
                  "deflated instances, inflated"),
    CONFIG_NUMBER(T, space_low, "2147483648", 0, INT64_MAX, "ZPACS_SPACE_LOW",
                  "bytes free below which nothing is taken"),
    CONFIG_NUMBER(T, space_high, "3221225472", 0, INT64_MAX, "ZPACS_SPACE_HIGH",
                  "bytes free from which it is again"),
    CONFIG_NUMBER(T, pack_open_seconds, "1800", 1, 86400, "ZPACS_PACK_OPEN_SECONDS",
                  "a pack is sealed so long after it was made, however busy"),
    CONFIG_END};
