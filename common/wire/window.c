#include "wire/window.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>

slot_t *window_take(window_t *window)
{
    for (size_t i = 0; i < WIRE_WINDOW; i++) {
        size_t index = (window->next + i) % WIRE_WINDOW;
        slot_t *slot = &window->slots[index];
        if (slot->state != SLOT_FREE)
            continue;
        window->next = index + 1;
        slot->request_id = ++window->generation * WIRE_WINDOW + index;
        return slot;
    }
    return NULL;
}

void window_wait(slot_t *slot, peer_t *peer, const ProtobufCMessageDescriptor *reply_type,
                 int64_t deadline_ms)
{
    slot->state = SLOT_WAITING;
    slot->peer = peer;
    slot->reply_type = reply_type;
    slot->deadline_ms = deadline_ms;
    peer->waiting++;
}

slot_t *window_find(window_t *window, const peer_t *peer, uint64_t request_id)
{
    slot_t *slot = &window->slots[request_id % WIRE_WINDOW];
    bool is_it =
        slot->state == SLOT_WAITING && slot->request_id == request_id && slot->peer == peer;
    return is_it ? slot : NULL;
}

slot_t *window_find_arrived(window_t *window)
{
    for (size_t i = 0; i < WIRE_WINDOW; i++)
        if (window->slots[i].state == SLOT_ARRIVED)
            return &window->slots[i];
    return NULL;
}

void window_arrive(slot_t *slot, status_t status, const char *detail, ProtobufCMessage *reply)
{
    slot->peer->waiting--;
    slot->peer = NULL;
    slot->state = SLOT_ARRIVED;
    slot->status = status;
    slot->detail = memory_copy_text(detail);
    slot->reply = reply;
}

void window_expire(window_t *window)
{
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < WIRE_WINDOW; i++) {
        slot_t *slot = &window->slots[i];
        if (slot->state == SLOT_WAITING && now_ms >= slot->deadline_ms)
            window_arrive(slot, STATUS_EXPIRED, "no reply in time", NULL);
    }
}

void window_lose(window_t *window, const peer_t *peer)
{
    for (size_t i = 0; i < WIRE_WINDOW; i++) {
        slot_t *slot = &window->slots[i];
        if (slot->state != SLOT_WAITING || slot->peer != peer)
            continue;
        window_arrive(slot, STATUS_UNAVAILABLE, "the connection broke before the reply", NULL);
        slot->is_lost = true;
    }
}

int64_t window_deadline_ms(const window_t *window)
{
    int64_t earliest_ms = INT64_MAX;
    for (size_t i = 0; i < WIRE_WINDOW; i++) {
        const slot_t *slot = &window->slots[i];
        if (slot->state == SLOT_ARRIVED)
            return 0;
        if (slot->state == SLOT_WAITING && slot->deadline_ms < earliest_ms)
            earliest_ms = slot->deadline_ms;
    }
    return earliest_ms;
}

static void clear(slot_t *slot)
{
    free(slot->detail);
    if (slot->reply)
        protobuf_c_message_free_unpacked(slot->reply, NULL);
    *slot = (slot_t){.state = SLOT_FREE};
}

status_t window_finish(slot_t *slot, ProtobufCMessage **out_reply)
{
    status_t status = slot->status;
    if (status == STATUS_OK) {
        *out_reply = slot->reply;
        slot->reply = NULL;
    } else {
        fail(status, "%s", slot->detail);
    }
    clear(slot);
    return status;
}

void window_clear(window_t *window)
{
    for (size_t i = 0; i < WIRE_WINDOW; i++)
        clear(&window->slots[i]);
}
