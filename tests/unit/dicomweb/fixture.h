#ifndef ZPACS_TESTS_UNIT_DICOMWEB_FIXTURE_H
#define ZPACS_TESTS_UNIT_DICOMWEB_FIXTURE_H

#include "base/memory.h"
#include "dicomweb/dicomweb.h"
#include "wire/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The service without its listeners, on a folder of its own, and an index that says what the test has it say. */
typedef struct {
    char folder[32];
    dicomweb_config_t config;
    dicomweb_t *dicomweb;
    wire_server_t *index;
} fixture_t;

static inline status_t fixture_start(fixture_t *fixture, const wire_route_t *index_routes)
{
    AUTO_FREE char *keys = memory_format("%s/keys", fixture->folder);
    AUTO_FREE char *endpoint = memory_format("ipc://%s/index.sock", fixture->folder);
    TRY(wire_keys_make(keys, "index"));
    TRY(wire_keys_make(keys, "dicomweb"));
    TRY(config_load(dicomweb_config_fields, NULL, &fixture->config));
    free(fixture->config.service.data);
    free(fixture->config.index_endpoint);
    fixture->config.service.data = memory_copy_text(fixture->folder);
    fixture->config.index_endpoint = memory_copy_text(endpoint);
    TRY(dicomweb_open(&fixture->config, &fixture->dicomweb));
    wire_server_options_t index = {
        .endpoint = endpoint, .keys_folder = keys, .name = "index", .routes = index_routes};
    return wire_server_start(&index, &fixture->index);
}

/* false: why stands on the standard error. */
static inline bool fixture_open(fixture_t *fixture, const wire_route_t *index_routes)
{
    *fixture = (fixture_t){.folder = "/tmp/dicomweb-test-XXXXXX"};
    if (!mkdtemp(fixture->folder))
        return false;
    if (fixture_start(fixture, index_routes) == STATUS_OK)
        return true;
    fprintf(stderr, "%s\n", fail_detail());
    return false;
}

/* 0: it is all gone. */
static inline int fixture_close(fixture_t *fixture)
{
    wire_server_stop(&fixture->index, 1000);
    dicomweb_close(&fixture->dicomweb);
    config_destroy(dicomweb_config_fields, &fixture->config);
    AUTO_FREE char *command = memory_format("rm -rf '%s'", fixture->folder);
    return system(command);
}

#endif
