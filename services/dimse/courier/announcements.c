#include "dimse/courier/announcements.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* For each message of a round, before the next: a transaction takes in all that came meanwhile. */
    PACE_MS = 8,
    PACE_MAX_MS = 32,
    FULL_RETRY_MS = 100, /* the window of requests is full */
    RETRY_MS = 1000,
    BUSY_RETRY_MS = 200 /* another replica has the pack, for two seconds at most if it has died */
};

typedef struct {
    ulid_t pack;
    uint64_t newest; /* to be told */
    uint64_t told;   /* with the request under way */
    uint64_t request_id;
    bool under_way;
    int64_t due_ms; /* while under way: when it is told again, whatever became of the message */
} announcement_t;

struct announcements {
    announcement_t rows[ANNOUNCEMENTS_MAX];
    size_t count;
    int64_t next_ms; /* the first after a rest goes at once */
    bool is_failing; /* logged once, until it works again */
};

announcements_t *announcements_create(void)
{
    return memory_allocate(sizeof(announcements_t));
}

void announcements_destroy(announcements_t **announcements)
{
    free(*announcements);
    *announcements = NULL;
}

size_t announcements_count(const announcements_t *announcements)
{
    return announcements->count;
}

void announcements_put(announcements_t *announcements, const ulid_t *pack, uint64_t durable_offset)
{
    for (size_t i = 0; i < announcements->count; i++) {
        announcement_t *row = &announcements->rows[i];
        if (strcmp(row->pack.text, pack->text) != 0)
            continue;
        if (row->newest < durable_offset)
            row->newest = durable_offset;
        return;
    }
    if (announcements->count < ANNOUNCEMENTS_MAX)
        announcements->rows[announcements->count++] =
            (announcement_t){.pack = *pack, .newest = durable_offset};
}

static void note_outcome(announcements_t *announcements, status_t status)
{
    if (status == STATUS_BUSY) /* somebody is there, and will take it */
        return;
    bool fails = status != STATUS_OK;
    if (fails && !announcements->is_failing)
        log_warning("index.not_told", LOG_TEXT("status", status_name(status)),
                    LOG_TEXT("detail", fail_detail()), LOG_NUMBER("packs", announcements->count));
    if (!fails && announcements->is_failing)
        log_info("index.told_again");
    announcements->is_failing = fails;
}

static void take_reply(announcements_t *announcements, uint64_t request_id, status_t status)
{
    note_outcome(announcements, status);
    for (size_t i = 0; i < announcements->count; i++) {
        announcement_t *row = &announcements->rows[i];
        if (!row->under_way || row->request_id != request_id)
            continue;
        row->under_way = false;
        row->due_ms = 0;
        if (status == STATUS_NOT_FOUND || status == STATUS_INVALID) {
            log_error("pack.not_taken", LOG_TEXT("pack", row->pack.text),
                      LOG_TEXT("status", status_name(status)), LOG_TEXT("detail", fail_detail()));
            *row = announcements->rows[--announcements->count]; /* asking again changes nothing */
        } else if (status != STATUS_OK) {
            row->due_ms = clock_monotonic_ms() + (status == STATUS_BUSY ? BUSY_RETRY_MS : RETRY_MS);
        } else if (row->newest == row->told) {
            *row = announcements->rows[--announcements->count];
        }
        return;
    }
}

int announcements_wait_ms(const announcements_t *announcements, int most_ms)
{
    int64_t now_ms = clock_monotonic_ms(), due_ms = now_ms + most_ms;
    for (size_t i = 0; i < announcements->count; i++) {
        const announcement_t *row = &announcements->rows[i];
        if (row->due_ms < due_ms)
            due_ms = row->due_ms;
    }
    if (due_ms < announcements->next_ms)
        due_ms = announcements->next_ms;
    int64_t wait_ms = due_ms - now_ms;
    return wait_ms < 0 ? 0 : wait_ms > most_ms ? most_ms : (int)wait_ms;
}

static void send_due(announcements_t *announcements, index_client_t *client, int64_t now_ms)
{
    int pace_ms = 0;
    for (size_t i = 0; i < announcements->count; i++) {
        announcement_t *row = &announcements->rows[i];
        if (now_ms < row->due_ms)
            continue;
        if (index_client_tell_pack_appended(client, row->pack.text, row->newest,
                                            &row->request_id) != STATUS_OK) {
            announcements->next_ms = now_ms + FULL_RETRY_MS; /* or nobody is there */
            return;
        }
        row->under_way = true;
        row->due_ms = now_ms + RETRY_MS;
        row->told = row->newest;
        pace_ms = pace_ms + PACE_MS < PACE_MAX_MS ? pace_ms + PACE_MS : PACE_MAX_MS;
        announcements->next_ms = now_ms + pace_ms;
    }
}

void announcements_exchange(announcements_t *announcements, index_client_t *client)
{
    uint64_t request_id, committed;
    status_t answer;
    while (index_client_take_pack_indexed(client, &request_id, &answer, &committed) == STATUS_OK)
        take_reply(announcements, request_id, answer);
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms >= announcements->next_ms)
        send_due(announcements, client, now_ms);
}
