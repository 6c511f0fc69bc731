#include "database/postgres.h"

#include <string.h>

/*
 * PostgreSQL Appendix A, by the beginning of the SQLSTATE; the first row that fits counts. The
 * server's own sentence is passed on only where it tells of names and places, never of values;
 * its DETAIL (which shows the row) nowhere.
 */
static const struct {
    const char *beginning;
    status_t status;
    const char *condition;
    bool quotable;
} conditions[] = {
    {"08", STATUS_UNAVAILABLE, "connection exception", false},
    {"22021", STATUS_INVALID, "a text is not UTF-8 or holds a NUL", false},
    {"22", STATUS_INTERNAL, "data exception", false},
    {"23502", STATUS_CONFLICT, "not-null violation", false},
    {"23503", STATUS_CONFLICT, "foreign key violation", false},
    {"23505", STATUS_CONFLICT, "unique violation", false},
    {"23514", STATUS_CONFLICT, "check violation", false},
    {"23", STATUS_CONFLICT, "constraint violation", false},
    {"25006", STATUS_UNAVAILABLE, "the transaction is read-only", false},
    {"28", STATUS_UNAVAILABLE, "the role is refused", false},
    {"3D", STATUS_UNAVAILABLE, "there is no such database", false},
    {"40P01", STATUS_BUSY, "deadlock", false},
    {"40", STATUS_BUSY, "serialization failure", false},
    {"42", STATUS_INTERNAL, "the statement is wrong or not permitted", true},
    {"53", STATUS_UNAVAILABLE, "the server lacks resources", true},
    {"54", STATUS_TOO_LARGE, "a limit of the server", false},
    {"55P03", STATUS_BUSY, "a lock was not free in time", false},
    {"57014", STATUS_EXPIRED, "the statement took too long", false},
    {"57P", STATUS_UNAVAILABLE, "the server closed the connection", true},
    {"58", STATUS_UNAVAILABLE, "system error of the server", true},
    {"", STATUS_INTERNAL, "error", false},
};

status_t postgres_error(const PGresult *result, const char *what)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    if (!state)
        return fail(STATUS_UNAVAILABLE, "database: %s: the connection is lost", what);
    size_t row = 0;
    while (strncmp(state, conditions[row].beginning, strlen(conditions[row].beginning)) != 0)
        row++;
    const char *more = conditions[row].quotable ? message : constraint;
    return fail(conditions[row].status, "database: %s: SQLSTATE %s, %s%s%s", what, state,
                conditions[row].condition, more ? ": " : "", more ? more : "");
}
