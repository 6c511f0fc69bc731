#include "database/postgres.h"

#include <string.h>

/*
 * PostgreSQL Appendix A, by the beginning of the SQLSTATE; the first row that fits counts. The
 * server's own sentence is passed on only where it tells of names and places, never of values;
 * its DETAIL (which shows the row) nowhere.
 */
static const struct {
    const char *beginning, *condition;
    status_t status;
    bool quotable;
} conditions[] = {
    {"08", "connection exception", STATUS_UNAVAILABLE, false},
    {"22021", "a text is not UTF-8 or holds a NUL", STATUS_INVALID, false},
    {"22", "data exception", STATUS_INTERNAL, false},
    {"23502", "not-null violation", STATUS_CONFLICT, false},
    {"23503", "foreign key violation", STATUS_CONFLICT, false},
    {"23505", "unique violation", STATUS_CONFLICT, false},
    {"23514", "check violation", STATUS_CONFLICT, false},
    {"23", "constraint violation", STATUS_CONFLICT, false},
    {"25006", "the transaction is read-only", STATUS_UNAVAILABLE, false},
    {"28", "the role is refused", STATUS_UNAVAILABLE, false},
    {"3D", "there is no such database", STATUS_UNAVAILABLE, false},
    {"40P01", "deadlock", STATUS_BUSY, false},
    {"40", "serialization failure", STATUS_BUSY, false},
    {"42", "the statement is wrong or not permitted", STATUS_INTERNAL, true},
    {"53", "the server lacks resources", STATUS_UNAVAILABLE, true},
    {"54", "a limit of the server", STATUS_TOO_LARGE, false},
    {"55P03", "a lock was not free in time", STATUS_BUSY, false},
    {"57014", "the statement took too long", STATUS_EXPIRED, false},
    {"57P", "the server closed the connection", STATUS_UNAVAILABLE, true},
    {"58", "system error of the server", STATUS_UNAVAILABLE, true},
    {"", "error", STATUS_INTERNAL, false},
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
