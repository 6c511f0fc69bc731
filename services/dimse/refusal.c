#include "dimse/refusal.h"

#include "log/log.h"
#include "service/metrics.h"

#define REFUSED(reason)                                                                            \
    {                                                                                              \
        .name = "zpacs_associations_refused_total", .help = "Associations refused.",               \
        .kind = METRIC_KIND_COUNTER, .labels = "reason=\"" reason "\""                             \
    }

static const char *const names[REFUSAL_COUNT] = {
    [REFUSAL_LIMIT_TOTAL] = "limit_total", [REFUSAL_LIMIT_ADDRESS] = "limit_address",
    [REFUSAL_DRAINING] = "draining",       [REFUSAL_PROXY_HEADER] = "proxy_header",
    [REFUSAL_REQUEST] = "request",         [REFUSAL_TIMEOUT] = "timeout",
    [REFUSAL_APPLICATION] = "application", [REFUSAL_CALLING_AE] = "calling_ae",
    [REFUSAL_CALLED_AE] = "called_ae",     [REFUSAL_INTERNAL] = "internal",
};

static metric_t refused[REFUSAL_COUNT] = {
    [REFUSAL_LIMIT_TOTAL] = REFUSED("limit_total"),
    [REFUSAL_LIMIT_ADDRESS] = REFUSED("limit_address"),
    [REFUSAL_DRAINING] = REFUSED("draining"),
    [REFUSAL_PROXY_HEADER] = REFUSED("proxy_header"),
    [REFUSAL_REQUEST] = REFUSED("request"),
    [REFUSAL_TIMEOUT] = REFUSED("timeout"),
    [REFUSAL_APPLICATION] = REFUSED("application"),
    [REFUSAL_CALLING_AE] = REFUSED("calling_ae"),
    [REFUSAL_CALLED_AE] = REFUSED("called_ae"),
    [REFUSAL_INTERNAL] = REFUSED("internal"),
};

void refusal_register(void)
{
    for (int i = 0; i < REFUSAL_COUNT; i++)
        metric_register(&refused[i]);
}

void refusal_note(refusal_t why, const char *association, const char *peer_address,
                  const char *calling_ae_title, const char *detail)
{
    refusal_t known = (unsigned)why < REFUSAL_COUNT ? why : REFUSAL_INTERNAL;
    metric_add(&refused[known], 1);
    log_warning("association.refused", LOG_TEXT("reason", names[known]),
                LOG_TEXT("association", association), LOG_TEXT("peer", peer_address),
                LOG_TEXT("calling", calling_ae_title), LOG_TEXT("detail", detail));
}
