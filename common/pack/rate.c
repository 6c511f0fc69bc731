#include "pack/rate.h"

enum { MS_PER_SECOND = 1000, WAIT_MAX_MS = 60 * 60 * MS_PER_SECOND };

int64_t rate_take(rate_t *rate, uint64_t bytes, int64_t now_ms)
{
    if (rate->bytes_per_second == 0)
        return 0;
    if (rate->free_at_ms < now_ms - RATE_BURST_MS)
        rate->free_at_ms = now_ms - RATE_BURST_MS;
    uint64_t cost_ms;
    if (__builtin_mul_overflow(bytes, (uint64_t)MS_PER_SECOND, &cost_ms))
        cost_ms = UINT64_MAX;
    cost_ms /= rate->bytes_per_second;
    rate->free_at_ms += cost_ms > WAIT_MAX_MS ? (int64_t)WAIT_MAX_MS : (int64_t)cost_ms;
    return rate->free_at_ms > now_ms ? rate->free_at_ms - now_ms : 0;
}
