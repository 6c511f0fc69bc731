#include "log/log.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 8 * 1024, /* with its newline */
    TAIL_ROOM = 32,            /* kept free for the note that something was cut, and the end */
    SERVICE_MAX = 32,
    TRACE_MAX = 32,
    HELD_MAX = 32 * 1024, /* bytes of lines that wait */
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};
enum { LEVELS = sizeof level_names / sizeof *level_names };

static char service_name[SERVICE_MAX + 1] = "zpacs";
static atomic_int level_threshold = LOG_INFO;
static _Thread_local char thread_trace[TRACE_MAX + 1];
static pthread_mutex_t output_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool holds;
static _Thread_local buffer_t held;

void log_open(const char *service, log_level_t threshold)
{
    snprintf(service_name, sizeof service_name, "%s", service);
    log_set_level(threshold);
}

void log_set_level(log_level_t threshold)
{
    atomic_store(&level_threshold, (int)threshold);
}

int log_level_from_text(const char *text)
{
    for (int level = 0; level < LEVELS; level++)
        if (strcmp(text, level_names[level]) == 0)
            return level;
    return -1;
}

void log_set_trace(const char *trace_id)
{
    snprintf(thread_trace, sizeof thread_trace, "%s", trace_id);
}

static void append_name(buffer_t *line, const char *name)
{
    buffer_append_byte(line, ',');
    buffer_append_json(line, name, strlen(name));
    buffer_append_byte(line, ':');
}

static void append_field(buffer_t *line, const log_field_t *field, size_t text_length)
{
    append_name(line, field->name);
    if (field->text)
        buffer_append_json(line, field->text, text_length);
    else
        buffer_printf(line, "%lld", (long long)field->number);
}

/* Appends a field that keeps the line within its limit, its text halved until it fits; false when
 * something had to go. */
static bool append_field_bounded(buffer_t *line, const log_field_t *field)
{
    size_t before = line->length;
    size_t whole = field->text ? strnlen(field->text, LINE_MAX_BYTES) : 0;
    for (size_t length = whole;; length /= 2) {
        append_field(line, field, length);
        if (line->length <= LINE_MAX_BYTES - TAIL_ROOM)
            return length == whole;
        line->length = before;
        if (length == 0)
            return false;
    }
}

/* One write(2) for a line, or some. Only a signal or a pipe's limit cuts it short; the lock keeps the rest
 * from mixing with another thread's line. A log that cannot be written stops nobody. */
static void write_lines(const uint8_t *bytes, size_t length)
{
    pthread_mutex_lock(&output_lock);
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        bytes += written;
        length -= (size_t)written;
    }
    pthread_mutex_unlock(&output_lock);
}

void log_hold(void)
{
    holds = true;
}

bool log_is_held(void)
{
    return held.length > 0;
}

void log_pass_on(void)
{
    int saved_errno = errno;
    write_lines(held.data, held.length);
    buffer_destroy(&held);
    errno = saved_errno;
}

static void put_line(log_level_t level, const buffer_t *line)
{
    if (holds) {
        buffer_append(&held, line->data, line->length);
        if (level >= LOG_WARNING || held.length >= HELD_MAX)
            log_pass_on();
    } else {
        write_lines(line->data, line->length);
    }
}

void log_write(log_level_t level, const char *event, const log_field_t *fields)
{
    if ((int)level < atomic_load(&level_threshold) || (unsigned)level >= LEVELS)
        return;
    int saved_errno = errno;
    char timestamp[28];
    clock_format(clock_wall_us(), timestamp);

    AUTO_BUFFER line = {0};
    buffer_printf(&line, "{\"ts\":\"%s\",\"level\":\"%s\"", timestamp, level_names[level]);
    bool complete = append_field_bounded(&line, &LOG_TEXT("service", service_name));
    complete &= append_field_bounded(&line, &LOG_TEXT("event", event));
    if (thread_trace[0])
        complete &= append_field_bounded(&line, &LOG_TEXT("trace", thread_trace));
    for (; fields && fields->name; fields++)
        complete &= append_field_bounded(&line, fields);
    buffer_append_text(&line, complete ? "}\n" : ",\"truncated\":true}\n");
    put_line(level, &line);
    errno = saved_errno;
}
