#include "dimse/door/refused.h"

#include "base/clock.h"
#include "base/memory.h"
#include "dimse/door/address.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOUR_MINUTES = 60, MINUTE_US = 60 * 1000 * 1000, CLOCK_TEXT_SIZE = 28 };

typedef struct {
    char peer[ADDRESS_TEXT_SIZE], calling[17], called[17], reason[32], detail[160];
    uint64_t count;
    int64_t first_us, last_us;
    uint64_t
        seen; /* grows with every refusal: who is least recently seen, whatever the clock did */
} row_t;

struct refused {
    pthread_mutex_t lock;
    row_t rows[REFUSED_ROWS_MAX];
    size_t row_count;
    uint64_t seen, dropped;
    struct {
        int64_t minute;
        uint64_t count;
    } minutes[HOUR_MINUTES];
};

refused_t *refused_create(void)
{
    refused_t *refused = memory_allocate(sizeof *refused);
    pthread_mutex_init(&refused->lock, NULL);
    return refused;
}

void refused_destroy(refused_t **refused)
{
    if (!*refused)
        return;
    pthread_mutex_destroy(&(*refused)->lock);
    free(*refused);
    *refused = NULL;
}

/* ---- adding ----------------------------------------------------------------------------------- */

static row_t row_of(const refused_entry_t *entry, int64_t now_us)
{
    row_t row = {.first_us = now_us};
    snprintf(row.peer, sizeof row.peer, "%s", entry->peer);
    snprintf(row.calling, sizeof row.calling, "%s", entry->calling);
    snprintf(row.called, sizeof row.called, "%s", entry->called);
    snprintf(row.reason, sizeof row.reason, "%s", entry->reason);
    return row;
}

static bool is_same(const row_t *a, const row_t *b)
{
    return strcmp(a->peer, b->peer) == 0 && strcmp(a->calling, b->calling) == 0 &&
           strcmp(a->called, b->called) == 0 && strcmp(a->reason, b->reason) == 0;
}

static row_t *oldest(refused_t *refused)
{
    row_t *found = refused->rows;
    for (size_t i = 1; i < refused->row_count; i++)
        if (refused->rows[i].seen < found->seen)
            found = &refused->rows[i];
    return found;
}

/* The row that is like wanted, or a new one. */
static row_t *take_row(refused_t *refused, const row_t *wanted)
{
    for (size_t i = 0; i < refused->row_count; i++)
        if (is_same(&refused->rows[i], wanted))
            return &refused->rows[i];
    row_t *row = NULL;
    if (refused->row_count < REFUSED_ROWS_MAX) {
        row = &refused->rows[refused->row_count++];
    } else {
        row = oldest(refused);
        refused->dropped++;
    }
    *row = *wanted;
    return row;
}

static void count_minute(refused_t *refused, int64_t minute)
{
    size_t at = (size_t)(minute % HOUR_MINUTES);
    if (refused->minutes[at].minute != minute)
        refused->minutes[at].count = 0;
    refused->minutes[at].minute = minute;
    refused->minutes[at].count++;
}

void refused_add(refused_t *refused, const refused_entry_t *entry, int64_t now_us)
{
    const row_t wanted = row_of(entry, now_us);
    pthread_mutex_lock(&refused->lock);
    row_t *row = take_row(refused, &wanted);
    row->count++;
    row->last_us = now_us;
    row->seen = ++refused->seen;
    snprintf(row->detail, sizeof row->detail, "%s", entry->detail);
    count_minute(refused, now_us / MINUTE_US);
    pthread_mutex_unlock(&refused->lock);
}

/* ---- telling ---------------------------------------------------------------------------------- */

static uint64_t last_hour(const refused_t *refused, int64_t now_us)
{
    int64_t now_minute = now_us / MINUTE_US;
    uint64_t count = 0;
    for (size_t i = 0; i < HOUR_MINUTES; i++)
        if (refused->minutes[i].minute > now_minute - HOUR_MINUTES)
            count += refused->minutes[i].count;
    return count;
}

static void append_text(buffer_t *out, const char *name, const char *text)
{
    buffer_printf(out, "\"%s\":", name);
    buffer_append_json(out, text, strlen(text));
    buffer_append_byte(out, ',');
}

static void append_row(buffer_t *out, const row_t *row)
{
    char first[CLOCK_TEXT_SIZE], last[CLOCK_TEXT_SIZE];
    clock_format(row->first_us, first);
    clock_format(row->last_us, last);
    buffer_append_byte(out, '{');
    append_text(out, "peer", row->peer);
    append_text(out, "calling", row->calling);
    append_text(out, "called", row->called);
    append_text(out, "reason", row->reason);
    append_text(out, "detail", row->detail);
    buffer_printf(out, "\"count\":%" PRIu64 ",\"first\":\"%s\",\"last\":\"%s\"}", row->count, first,
                  last);
}

static int newest_first(const void *a, const void *b)
{
    const row_t *left = *(const row_t *const *)a, *right = *(const row_t *const *)b;
    return left->seen < right->seen ? 1 : -1; /* no two are equal */
}

static void append_rows(const refused_t *refused, buffer_t *out)
{
    const row_t *order[REFUSED_ROWS_MAX] = {NULL};
    for (size_t i = 0; i < refused->row_count; i++)
        order[i] = &refused->rows[i];
    qsort(order, refused->row_count, sizeof *order, newest_first);
    for (size_t i = 0; i < refused->row_count; i++) {
        if (i)
            buffer_append_byte(out, ',');
        append_row(out, order[i]);
    }
}

void refused_append_json(refused_t *refused, int64_t now_us, buffer_t *out_json)
{
    pthread_mutex_lock(&refused->lock);
    buffer_printf(out_json, "{\"last_hour\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"refused\":[",
                  last_hour(refused, now_us), refused->dropped);
    append_rows(refused, out_json);
    pthread_mutex_unlock(&refused->lock);
    buffer_append_text(out_json, "]}\n");
}
