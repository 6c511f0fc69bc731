#ifndef ZPACS_INDEX_FIND_H
#define ZPACS_INDEX_FIND_H

#include "database/database.h"
#include "index.pb-c.h"

enum {
    FIND_LIMIT_MAX = 1000,      /* matches of one page */
    FIND_PAGE_MAX = 480 * 1024, /* bytes of one page with its framing */
    FIND_WARNINGS_MAX = 32,
    FIND_INCLUDES_MAX = 256
};

/* Answers a query from a read-only connection. Fails as match_terms() and statement_step() do. */
status_t find_run(database_t *reader, const Index__Find *query, Index__Found *reply);

/* Only ALL is known until the authorizer exists; anything else sees nothing. */
bool scope_sees_all(const Index__Scope *scope);

#endif
