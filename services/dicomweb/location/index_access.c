#include "dicomweb/location/index_access.h"

#include "log/log.h"

#include <stdio.h>

static _Thread_local char trace_of_thread[33];

void dicomweb_index_set_trace(const char *trace)
{
    snprintf(trace_of_thread, sizeof trace_of_thread, "%s", trace);
    log_set_trace(trace_of_thread);
}

const char *dicomweb_index_trace(void)
{
    return trace_of_thread;
}

status_t dicomweb_index_take(dicomweb_t *dicomweb, int wait_ms, index_client_t **out_client)
{
    TRY(index_pool_take(dicomweb->index, wait_ms, out_client));
    index_client_set_trace(*out_client, trace_of_thread);
    return STATUS_OK;
}

void dicomweb_index_give(dicomweb_t *dicomweb, index_client_t **client)
{
    index_pool_give(dicomweb->index, client);
}

status_t dicomweb_index_status(status_t status)
{
    if (status == STATUS_EXPIRED)
        return fail(STATUS_UNAVAILABLE, "the index does not answer; try again");
    return status;
}

status_t dicomweb_index_statistics(dicomweb_t *dicomweb, Index__Statistics **out_statistics)
{
    index_client_t *client = NULL;
    TRY(dicomweb_index_take(dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_statistics(client, out_statistics));
    dicomweb_index_give(dicomweb, &client);
    return status;
}
