#ifndef ZPACS_BASE_STATUS_H
#define ZPACS_BASE_STATUS_H

/*
 * One vocabulary of outcomes from SQL to HTTP to DIMSE.
 *
 * A function that can fail returns status_t and leaves its out_* arguments untouched on failure.
 * It says why with fail(); the caller that turns the status into an answer or a log line reads
 * the sentence with fail_detail().
 */
typedef enum {
    STATUS_OK = 0,
    STATUS_INVALID,     /* the input breaks a rule; sending it again will not help */
    STATUS_UNSUPPORTED, /* well formed, but not something we do */
    STATUS_NOT_FOUND,
    STATUS_DENIED,
    STATUS_CONFLICT,    /* disagrees with what is stored */
    STATUS_TOO_LARGE,   /* over a named limit */
    STATUS_BUSY,        /* a limit on load; try again soon */
    STATUS_UNAVAILABLE, /* a needed part (database, disk, service) is not there; try again later */
    STATUS_EXPIRED,     /* the deadline has passed */
    STATUS_INTERNAL,    /* a bug */
    STATUS_COUNT
} status_t;

/*
 * Records why (one line, no trailing full stop) for this thread and returns status.
 * At most 511 bytes are kept. Never put a patient's name or id into it.
 */
status_t fail(status_t status, const char *format, ...) __attribute__((format(printf, 2, 3)));
#ifdef __clang_analyzer__ /* reads one file at a time: here it sees that the status comes back */
#define fail(status, ...) ((void)fail(status, __VA_ARGS__), (status))
#endif

/* The sentence of this thread's last fail(); valid until the next fail() in this thread. */
const char *fail_detail(void);

/* "OK", "INVALID", ... for logs and metrics. */
const char *status_name(status_t status);

/* HTTP status code of an outcome (RFC 9110). */
int status_to_http(status_t status);

/* C-STORE status code of an outcome.                                        PS3.4 B.2.3, PS3.7 C */
unsigned status_to_dimse(status_t status);

/* Runs a step that returns status_t and leaves the function with its status if that is not OK. */
#define TRY(step)                                                                                  \
    do {                                                                                           \
        status_t try_status_ = (step);                                                             \
        if (try_status_ != STATUS_OK)                                                              \
            return try_status_;                                                                    \
    } while (0)

#endif
