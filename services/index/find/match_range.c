#include "index/find/match.h"
#include "index/dataset/values.h"

#include <string.h>

/* "a-b", "a-", "-b" or a single value. Empty ends are open. */
typedef struct {
    const char *low, *high;
    size_t low_length, high_length;
    bool is_range;
} range_t;

static range_t range_split(const char *value)
{
    size_t length = strlen(value);
    value_trim(&value, &length);
    range_t range = {value, value, length, length, false};
    const char *dash = memchr(value, '-', length);
    if (!dash)
        return range;
    range.is_range = true;
    range.low_length = (size_t)(dash - value);
    range.high = dash + 1;
    range.high_length = length - range.low_length - 1;
    value_trim(&range.low, &range.low_length);
    value_trim(&range.high, &range.high_length);
    return range;
}

/* The ends in the stored form; "" where open. */
static status_t dates_read(const char *value, date_text_t out_low, date_text_t out_high)
{
    range_t range = range_split(value);
    out_low[0] = out_high[0] = 0;
    if ((range.low_length == 0 && range.high_length == 0) ||
        (range.low_length && !value_date(range.low, range.low_length, out_low)) ||
        (range.high_length && !value_date(range.high, range.high_length, out_high)))
        return fail(STATUS_INVALID, "a date to match is not YYYYMMDD or a range of those");
    return STATUS_OK;
}

static status_t times_read(const char *value, time_text_t out_low, time_text_t out_high)
{
    range_t range = range_split(value);
    out_low[0] = out_high[0] = 0;
    if ((range.low_length == 0 && range.high_length == 0) ||
        (range.low_length && !value_time(range.low, range.low_length, false, out_low)) ||
        (range.high_length && !value_time(range.high, range.high_length, true, out_high)))
        return fail(STATUS_INVALID, "a time to match is not HHMMSS.FFFFFF or a range of those");
    return STATUS_OK;
}

/*
 * " AND column >= low AND column <= high"; what has no value is in no range. One day is " AND column =
 * low": of that PostgreSQL knows how many rows there are without the value, and plans it once.
 */
static status_t between(condition_t *condition, const char *column, const char *low,
                        const char *high)
{
    int number = 0;
    if (*low && strcmp(low, high) == 0) {
        TRY(condition_add_text(condition, low, strlen(low), &number));
        buffer_printf(&condition->sql, " AND %s = $%d", column, number);
        return STATUS_OK;
    }
    TRY(condition_add_text(condition, *low ? low : "0", *low ? strlen(low) : 1, &number));
    buffer_printf(&condition->sql, " AND %s >= $%d", column, number);
    if (!*high)
        return STATUS_OK;
    TRY(condition_add_text(condition, high, strlen(high), &number));
    buffer_printf(&condition->sql, " AND %s <= $%d", column, number);
    return STATUS_OK;
}

status_t match_date(condition_t *condition, const char *column, const char *value)
{
    date_text_t low, high;
    TRY(dates_read(value, low, high));
    return between(condition, column, low, high);
}

status_t match_time(condition_t *condition, const char *column, const char *value)
{
    time_text_t low, high;
    TRY(times_read(value, low, high));
    return between(condition, column, low, high);
}

status_t match_instants(condition_t *condition, const char *date_column, const char *dates,
                        const char *time_column, const char *times)
{
    date_text_t low_date, high_date;
    time_text_t low_time, high_time;
    int date = 0, time = 0;
    TRY(dates_read(dates, low_date, high_date));
    TRY(times_read(times, low_time, high_time));
    TRY(condition_add_text(condition, *low_date ? low_date : "0", *low_date ? 8 : 1, &date));
    TRY(condition_add_text(condition, low_time, strlen(low_time), &time));
    buffer_printf(&condition->sql, " AND (%s, %s) >= ($%d, $%d)", date_column, time_column, date,
                  time);
    if (!*high_date)
        return STATUS_OK;
    if (!*high_time)
        memcpy(high_time, "999999999999", sizeof high_time);
    TRY(condition_add_text(condition, high_date, 8, &date));
    TRY(condition_add_text(condition, high_time, strlen(high_time), &time));
    buffer_printf(&condition->sql, " AND (%s, %s) <= ($%d, $%d)", date_column, time_column, date,
                  time);
    return STATUS_OK;
}
