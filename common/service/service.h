#ifndef ZPACS_SERVICE_SERVICE_H
#define ZPACS_SERVICE_SERVICE_H

#include "base/status.h"
#include "config/config.h"
#include "service/page.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The process skeleton. A service is a table; main hands it over:
 *
 *     int main(int argc, char **argv) { return service_main(&service, argc, argv); }
 *
 * Start order: block signals, options, log, strict configuration (exit 78), keys, start(), READY.
 * Then a signalfd loop: the first SIGTERM or SIGINT drains, the second ends at once; SIGHUP is
 * ignored. Flags: --config FILE, --check, --health, --version.
 * Exit codes: 0, 69 (a needed part is missing: start() failed), 78 (configuration), 134 (bug).
 *
 * Every service's configuration struct begins with service_config_t, and its table with
 * SERVICE_CONFIG_FIELDS(type).
 */
typedef struct {
    char *data;          /* the data folder */
    char *keys;          /* CURVE keys; default <data>/keys */
    char *log_level;     /* debug, info, warning, error */
    char *admin_address; /* "127.0.0.1:port" of /metrics and /healthz; "" for none */
    int64_t drain_ms;
    char *path; /* the file that all this was read from; NULL: none */
} service_config_t;

/* ADMIN: the default admin address as a literal, e.g. "127.0.0.1:11401". */
#define SERVICE_CONFIG_FIELDS(type_, ADMIN)                                                        \
    CONFIG_TEXT(type_, service.data, "/var/lib/zpacs", "ZPACS_DATA", "data folder"),               \
        CONFIG_TEXT(type_, service.keys, "", "ZPACS_KEYS", "folder of CURVE keys"),                \
        CONFIG_TEXT(type_, service.log_level, "info", "ZPACS_LOG_LEVEL", "debug ... error"),       \
        CONFIG_TEXT(type_, service.admin_address, ADMIN, "ZPACS_ADMIN", "metrics and health"),     \
        CONFIG_NUMBER(type_, service.drain_ms, "30000", 0, 3600000, "ZPACS_DRAIN_MS",              \
                      "drain limit")

typedef struct {
    const char *name;
    const config_field_t *config;
    size_t config_size;
    /* What the table alone cannot tell of a configuration; may be NULL. Fails: INVALID (exit 78). */
    status_t (*check)(const void *config);
    /* Starts everything and returns; *out_state is handed to the others. config is borrowed for the
     * life of the process. */
    status_t (*start)(void *config, void **out_state);
    void (*drain)(void *state);      /* stop taking new work; may be NULL */
    bool (*is_drained)(void *state); /* polled while draining; NULL: at once */
    void (*stop)(void *state);
    /* Of /healthz, in the admin thread; NULL: alive is healthy. */
    status_t (*health)(void *state);
    const service_page_t *pages;    /* may be NULL */
    void (*loop_tick)(void *state); /* about every second in the main thread; may be NULL */
} service_t;

int service_main(const service_t *service, int argc, char **argv);

/* The text for --version and /metrics. */
const char *service_version(void);

#endif
