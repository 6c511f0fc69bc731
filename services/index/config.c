#include "index/config.h"

const config_field_t index_config_fields[] = {
    SERVICE_CONFIG_FIELDS(index_config_t, "127.0.0.1:30091"),
    CONFIG_TEXT(index_config_t, index_endpoint, "", "ZPACS_INDEX_ENDPOINT",
                "address to bind; default ipc://<data>/run/index.sock"),
    CONFIG_TEXT(index_config_t, index_changes_endpoint, "", "ZPACS_INDEX_CHANGES_ENDPOINT",
                "address to bind for the doorbell of changes; default"
                " ipc://<data>/run/index-changes.sock, or none if index_endpoint is set"),
    CONFIG_TEXT(index_config_t, index_database, "", "ZPACS_INDEX_DATABASE",
                "postgresql://... ; default a SQLite file, <data>/index/index.db"),
    CONFIG_TEXT(index_config_t, replica, "", "ZPACS_INDEX_REPLICA",
                "name of this process among those that share the database; default the host's"),
    CONFIG_NUMBER(index_config_t, reading_lanes, "2", 1, 64, "ZPACS_INDEX_READING_LANES",
                  "threads that answer questions"),
    CONFIG_NUMBER(index_config_t, stable_seconds, "60", 1, 86400, "ZPACS_STABLE_SECONDS",
                  "a study is complete when no instance has come for so long"),
    CONFIG_NUMBER(index_config_t, pack_open_seconds, "1800", 1, 86400, "ZPACS_PACK_OPEN_SECONDS",
                  "a pack is sealed so long after it was made, however busy"),
    CONFIG_NUMBER(index_config_t, compact_after_seconds, "3600", 1, 31536000,
                  "ZPACS_COMPACT_AFTER_SECONDS",
                  "what is deleted can be brought back for so long; then its bytes go"),
    CONFIG_NUMBER(
        index_config_t, retire_grace_seconds, "600", 1, 86400, "ZPACS_RETIRE_GRACE_SECONDS",
        "a pack whose living records were copied stays for so long: longer than a request"),
    CONFIG_NUMBER(index_config_t, compact_bytes_per_second, "33554432", 65536, 1099511627776,
                  "ZPACS_COMPACT_BYTES_PER_SECOND", "how fast living records are copied"),
    CONFIG_END};
