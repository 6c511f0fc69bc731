#ifndef ZPACS_INDEX_SCHEMA_H
#define ZPACS_INDEX_SCHEMA_H

#include "database/database.h"

/* The tables, by version. A column of attributes.c must stand here under the same name. */
extern const migration_t schema_migrations[];

/* What PostgreSQL may refuse: the index works without, only slower. */
extern const char *const schema_optional[];

/* Forgets every row: before a rebuild. The change feed and its epoch go too. */
status_t schema_clear(database_t *database);

/* Single values: "epoch", "extract_version", "rebuilding", ... "" when there is none. */
status_t schema_get(database_t *database, const char *name, char *out_value, size_t size);
status_t schema_set(database_t *database, const char *name, const char *value);

#endif
