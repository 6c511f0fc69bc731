#include "database/driver.h"

static status_t version_read(database_t *database, int64_t *out_version)
{
    TRY(database_execute(database, "CREATE TABLE IF NOT EXISTS schema_version"
                                   " (version BIGINT NOT NULL)"));
    AUTO_STATEMENT *statement = NULL;
    TRY(database_prepare(database, "SELECT COALESCE(MAX(version), 0) FROM schema_version",
                         &statement));
    bool row = false;
    TRY(statement_step(statement, &row));
    *out_version = row ? statement_int64(statement, 0) : 0;
    return STATUS_OK;
}

static status_t step_run(database_t *database, const migration_t *migration, int64_t version)
{
    TRY(database_execute(database, migration->sql));
    if (migration->postgres_sql && database->driver->dialect == DIALECT_POSTGRES)
        TRY(database_execute(database, migration->postgres_sql));
    statement_t *statement = NULL;
    TRY(database_prepare(database, "INSERT INTO schema_version (version) VALUES ($1)", &statement));
    statement_bind_int64(statement, 1, version);
    return statement_run(statement);
}

status_t database_migrate(database_t *database, const migration_t *migrations)
{
    int64_t newest = 0, version = 0;
    while (migrations[newest].sql)
        newest++;
    TRY(database->driver->begin_migration(database));
    status_t status = version_read(database, &version);
    if (status == STATUS_OK && version > newest)
        status = fail(STATUS_UNSUPPORTED, "the schema has version %lld, this program knows %lld",
                      (long long)version, (long long)newest);
    for (; status == STATUS_OK && version < newest; version++)
        status = step_run(database, &migrations[version], version + 1);
    if (status == STATUS_OK)
        return database_commit(database);
    database_rollback(database);
    return status;
}

static status_t optional_run(database_t *database, const char *sql)
{
    TRY(database->driver->begin_migration(database));
    status_t status = database_execute(database, sql);
    if (status == STATUS_OK)
        return database_commit(database);
    database_rollback(database);
    return status;
}

status_t database_migrate_optional(database_t *database, const char *const *postgres_sql,
                                   bool *out_all)
{
    bool all = true;
    if (database->driver->dialect == DIALECT_POSTGRES)
        for (; *postgres_sql; postgres_sql++) {
            status_t status = optional_run(database, *postgres_sql);
            if (status == STATUS_UNAVAILABLE)
                return status;
            all = all && status == STATUS_OK;
        }
    *out_all = all;
    return STATUS_OK;
}
