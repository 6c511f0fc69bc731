#include "dimse/door/refusal.h"

#include "base/clock.h"
#include "log/log.h"
#include "service/metrics.h"

#define REFUSED(reason)                                                                            \
    {                                                                                              \
        .name = "zpacs_associations_refused_total", .help = "Associations refused.",               \
        .kind = METRIC_KIND_COUNTER, .labels = "reason=\"" reason "\""                             \
    }

static const struct {
    const char *name, *meaning;
} reasons[REFUSAL_COUNT] = {
    [REFUSAL_LIMIT_TOTAL] = {"limit_total", "too many at once, see max_associations"},
    [REFUSAL_LIMIT_ADDRESS] = {"limit_address",
                               "too many at once, see max_associations_per_address"},
    [REFUSAL_DRAINING] = {"draining", "we were being shut down"},
    [REFUSAL_PROXY_HEADER] = {"proxy_header", "an address in 'proxies' must send a PROXY header"},
    [REFUSAL_REQUEST] = {"request", "not an association request"},
    [REFUSAL_TIMEOUT] = {"timeout", "no association request within request_timeout_s"},
    [REFUSAL_APPLICATION] = {"application", "the application context is not DICOM's"},
    [REFUSAL_CALLING_AE] = {"calling_ae", "no rule allows this title from this address, see 'aes'"},
    [REFUSAL_CALLED_AE] = {"called_ae", "the called title is not ours, see check_called_aet"},
    [REFUSAL_INTERNAL] = {"internal", "no process or descriptor could be had"},
};

static metric_t counters[REFUSAL_COUNT] = {
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
        metric_register(&counters[i]);
}

static const char *known(const char *text)
{
    return text ? text : "";
}

void refusal_note(refused_t *refused, const refusal_report_t *report)
{
    refusal_t why = (unsigned)report->why < REFUSAL_COUNT ? report->why : REFUSAL_INTERNAL;
    const refused_entry_t entry = {
        .peer = known(report->peer),
        .calling = known(report->calling),
        .called = known(report->called),
        .reason = reasons[why].name,
        .detail = *known(report->detail) ? report->detail : reasons[why].meaning,
    };
    metric_add(&counters[why], 1);
    refused_add(refused, &entry, clock_wall_us());
    log_warning("association.refused", LOG_TEXT("reason", entry.reason),
                LOG_TEXT("association", known(report->association)), LOG_TEXT("peer", entry.peer),
                LOG_TEXT("calling", entry.calling), LOG_TEXT("called", entry.called),
                LOG_TEXT("detail", entry.detail));
}
