#ifndef ZPACS_LOG_LOG_H
#define ZPACS_LOG_LOG_H

#include <stdbool.h>
#include <stdint.h>

/*
 * One JSON object per line on stdout:
 *     {"ts":"...","level":"info","service":"dimse","event":"association.accepted","trace":"...",...}
 * Never a patient's name, id or birth date, never a token. A line is at most 8 KiB.
 * Libraries return statuses; programs log.
 *
 *     log_info("pack.sealed", LOG_TEXT("pack", ulid), LOG_NUMBER("size_bytes", size));
 */
typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR } log_level_t;

typedef struct {
    const char *name; /* NULL ends the list */
    const char *text; /* NULL: the value is number */
    int64_t number;
} log_field_t;

#define LOG_TEXT(field, value)   ((log_field_t){(field), (value), 0})
#define LOG_NUMBER(field, value) ((log_field_t){(field), NULL, (int64_t)(value)})

void log_open(const char *service, log_level_t threshold);
void log_set_level(log_level_t threshold);
int log_level_from_text(const char *text); /* "debug" ... "error"; -1 when it is none of them */
void log_set_trace(const char *trace_id);  /* this thread's, at most 32 bytes; "" for none */

/*
 * From now on what this thread logs below warning waits for log_pass_on(), since each write wakes whoever
 * reads it: for a loop that comes by soon, with many lines. A warning takes along what waits; so does the
 * 32nd KiB of it. A process that is killed takes it with it.
 */
void log_hold(void);
bool log_is_held(void); /* lines of this thread wait */
void log_pass_on(void);

void log_write(log_level_t level, const char *event, const log_field_t *fields);

/* The first element is there for lists without fields (cppcheck does not know __VA_OPT__). */
#define LOG_FIELDS_(...)                                                                           \
    ((const log_field_t[]){{NULL, NULL, 0}, ##__VA_ARGS__, {NULL, NULL, 0}} + 1)
#define log_debug(event, ...)   log_write(LOG_DEBUG, event, LOG_FIELDS_(__VA_ARGS__))
#define log_info(event, ...)    log_write(LOG_INFO, event, LOG_FIELDS_(__VA_ARGS__))
#define log_warning(event, ...) log_write(LOG_WARNING, event, LOG_FIELDS_(__VA_ARGS__))
#define log_error(event, ...)   log_write(LOG_ERROR, event, LOG_FIELDS_(__VA_ARGS__))

#endif
