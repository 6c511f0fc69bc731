#include "dicomweb/store/store.h"

#include "base/clock.h"
#include "base/memory.h"
#include "dicomweb/handlers.h"
#include "dicomweb/form/negotiate.h"
#include "dicomweb/store/room.h"
#include "log/log.h"
#include "service/metrics.h"

#include <stdlib.h>
#include <string.h>

static metric_t stored_total =
    METRIC_COUNTER("zpacs_stow_instances_stored_total", "Instances stored by STOW-RS.");
static metric_t failed_total =
    METRIC_COUNTER("zpacs_stow_instances_failed_total", "Instances STOW-RS did not store.");
static metric_t stored_bytes_total =
    METRIC_COUNTER("zpacs_stow_bytes_stored_total", "Bytes of datasets stored by STOW-RS.");

static metric_t disguised_total = METRIC_COUNTER(
    "zpacs_stow_instances_disguised_total",
    "Instances stored by STOW-RS whose preamble makes a program or page of the file.");

/* ---- before the body ------------------------------------------------------------------------- */

static const char *const answer_types[] = {"application/dicom+json", "application/json"};

/* The type of the response message, or NULL when the client takes none of ours.  PS3.18 10.5.4 */
static const char *choose_type(const http_accept_t *accept)
{
    for (size_t i = 0; i < accept->count; i++)
        for (size_t k = 0; k < sizeof answer_types / sizeof *answer_types; k++)
            if (http_media_range_takes(&accept->ranges[i], answer_types[k]))
                return answer_types[k];
    return NULL;
}

static status_t check_request(const store_t *store, const http_request_t *request,
                              multipart_type_t *out_type)
{
    TRY(multipart_type_parse(http_header(request, "Content-Type"), out_type));
    if (out_type->type[0] && strcmp(out_type->type, "application/dicom") != 0)
        return fail(STATUS_UNSUPPORTED, "parts of type %s are not taken, only application/dicom",
                    out_type->type);
    if (store->study_instance_uid && !uid_is_valid(store->study_instance_uid))
        return fail(STATUS_INVALID, "the study of the URL is not a UID");
    if (http_content_length(request) > store->dicomweb->config->stow_max_bytes)
        return fail(STATUS_TOO_LARGE, "the request has over %lld bytes",
                    (long long)store->dicomweb->config->stow_max_bytes);
    return STATUS_OK;
}

/* ---- the body -------------------------------------------------------------------------------- */

static status_t receive_body(store_t *store, multipart_t *multipart)
{
    AUTO_FREE uint8_t *bytes = memory_allocate(STORE_READ_SIZE);
    int64_t left = store->dicomweb->config->stow_max_bytes;
    for (;;) {
        ssize_t got = http_read(store->request, bytes, STORE_READ_SIZE);
        if (got < 0)
            return fail(STATUS_INVALID, "the request broke off, or came too slowly");
        if (got == 0)
            return multipart_finish(multipart);
        if (got > left)
            return fail(STATUS_TOO_LARGE, "the request has over %lld bytes",
                        (long long)store->dicomweb->config->stow_max_bytes);
        left -= got;
        TRY(multipart_feed(multipart, bytes, (size_t)got));
    }
}

/* ---- the answer ------------------------------------------------------------------------------ */

typedef struct {
    size_t stored, failed;
    size_t unconfirmed, conflicts; /* of the stored */
} tally_t;

static tally_t count_results(const store_t *store)
{
    tally_t tally = {0};
    for (size_t i = 0; i < store->count; i++) {
        const store_result_t *result = &store->results[i];
        tally.conflicts += result->conflict;
        if (result->failure != STORE_REASON_NONE)
            tally.failed++;
        else
            tally.stored++;
        if (result->failure == STORE_REASON_NONE && !result->confirmed)
            tally.unconfirmed++;
    }
    return tally;
}

/* PS3.18 table 10.5.3-1. A conflicting instance is kept aside: accepted, though not served. */
static int choose_status(const tally_t *tally)
{
    if (tally->stored == 0)
        return 409;
    return tally->failed || tally->conflicts || tally->unconfirmed ? 202 : 200;
}

static void respond_report(store_t *store, const tally_t *tally, const char *type)
{
    AUTO_BUFFER body = {0};
    store_report(store, &body);
    if (tally->unconfirmed)
        http_add_header(store->request, "Warning", "%s",
                        "299 zpacs \"stored; the index has not confirmed all instances yet\"");
    http_respond(store->request, choose_status(tally), type, body.data, body.length);
}

static void respond(store_t *store, status_t received, const char *type)
{
    tally_t tally = count_results(store);
    if (received == STATUS_OK || tally.stored) {
        respond_report(store, &tally, type);
    } else if (store->out_of_resources) {
        http_add_header(store->request, "Retry-After", "%d", STORE_RETRY_AFTER_S);
        http_respond_error(store->request, 503, fail_detail());
    } else {
        http_fail(store->request, received);
    }
    metric_add(&stored_total, (int64_t)tally.stored);
    metric_add(&failed_total, (int64_t)tally.failed);
    metric_add(&stored_bytes_total, (int64_t)store->stored_bytes);
    metric_add(&disguised_total, (int64_t)store->disguised);
}

static void log_request(const store_t *store, int64_t started_ms)
{
    tally_t tally = count_results(store);
    log_info("stow.finished", LOG_TEXT("association", store->id.text),
             LOG_TEXT("peer", http_peer(store->request)), LOG_NUMBER("stored", tally.stored),
             LOG_NUMBER("unconfirmed", tally.unconfirmed), LOG_NUMBER("conflicts", tally.conflicts),
             LOG_NUMBER("failed", tally.failed), LOG_NUMBER("bytes", store->stored_bytes),
             LOG_NUMBER("duration_ms", clock_monotonic_ms() - started_ms));
    if (store
            ->disguised) /* once for a request: a line for each would let a sender roll the log over */
        log_warning("stow.disguised", LOG_TEXT("association", store->id.text),
                    LOG_TEXT("peer", http_peer(store->request)),
                    LOG_NUMBER("instances", store->disguised),
                    LOG_TEXT("preamble", store->disguised_kind));
}

/* The rest of a body that broke a rule after instances had been stored: they are acknowledged, and
 * the answer says that not all is well. */
static void add_rest_failed(store_t *store, status_t received)
{
    if (!store->out_of_resources) /* else the instance it happened to is in the list */
        store_add_result(store)->failure = received == STATUS_TOO_LARGE
                                               ? STORE_REASON_OUT_OF_RESOURCES
                                               : STORE_REASON_NOT_UNDERSTOOD;
}

static void run(store_t *store, const multipart_type_t *type, const char *answer_type)
{
    int64_t started_ms = clock_monotonic_ms();
    multipart_t *multipart = multipart_create(type->boundary, &store_events, store);
    status_t received = receive_body(store, multipart);
    AUTO_FREE char *detail = memory_copy_text(received == STATUS_OK ? "" : fail_detail());
    multipart_destroy(&multipart);
    store_confirm(store, true);
    store_destroy(store);
    if (received != STATUS_OK) {
        add_rest_failed(store, received);
        fail(received, "%s", detail);
        log_warning("stow.refused", LOG_TEXT("association", store->id.text),
                    LOG_TEXT("status", status_name(received)), LOG_TEXT("detail", detail));
    }
    respond(store, received, answer_type);
    log_request(store, started_ms);
    buffer_destroy(&store->head);
    free(store->results);
}

void dicomweb_store(void *context, http_request_t *request)
{
    store_t store = {.dicomweb = context,
                     .request = request,
                     .study_instance_uid = http_path_parameter(request, "study"),
                     .id = ulid_make()};
    multipart_type_t type;
    http_accept_t accept;
    status_t status = negotiate_read(request, &accept);
    const char *answer_type = status == STATUS_OK ? choose_type(&accept) : NULL;
    if (status == STATUS_OK && !answer_type) {
        negotiate_refuse(request, "the answer is application/dicom+json");
        return;
    }
    if (status == STATUS_OK)
        status = check_request(&store, request, &type);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    run(&store, &type, answer_type);
}
