#ifndef ZPACS_DATABASE_DRIVER_H
#define ZPACS_DATABASE_DRIVER_H

#include "database/database.h"

/*
 * What one kind of database does; database.c does all that both have in common. A driver's own
 * structs begin with these two, so that a pointer to the one is a pointer to the other.
 */
typedef struct database_driver database_driver_t;

struct database {
    const database_driver_t *driver;
    statement_t *statements[DATABASE_STATEMENTS_MAX]; /* the cache */
    size_t statement_count;
    uint64_t uses;
};

struct statement {
    database_t *database;
    char *sql; /* as the caller wrote it: the key of the cache */
    bool in_use, too_large;
    uint64_t last_used;
};

typedef enum { DIALECT_SQLITE, DIALECT_POSTGRES, DIALECT_COUNT } dialect_t;

/* The SQL with the words in braces replaced; the caller frees. */
char *dialect_apply(const char *sql, dialect_t dialect);

/* What the verbs of database.h do is said there. SQL arrives with its words replaced. */
struct database_driver {
    dialect_t dialect;
    status_t (*open)(const char *location, bool read_only, database_t **out_database);
    void (*close)(database_t *database); /* frees it; its statements are finalized */
    status_t (*execute)(database_t *database, const char *sql);
    bool (*is_connected)(database_t *database);
    uint64_t (*session)(database_t *database);

    status_t (*begin)(database_t *database);
    status_t (*begin_migration)(database_t *database); /* alone, without limits of time */
    status_t (*commit)(database_t *database);
    void (*rollback)(database_t *database);
    void (*set_deadline)(database_t *database, int64_t deadline_ms);
    int64_t (*changed_rows)(database_t *database);
    void (*checkpoint)(database_t *database);

    status_t (*lock)(database_t *database, const int64_t *keys, size_t count);
    status_t (*try_lock)(database_t *database, int64_t key, bool *out_locked);
    void (*unlock)(database_t *database, int64_t key);

    status_t (*prepare)(database_t *database, const char *sql, statement_t **out_statement);
    void (*finalize)(statement_t *statement);
    void (*bind_text)(statement_t *statement, int number, const char *text, size_t length);
    void (*bind_int64)(statement_t *statement, int number, int64_t value);
    void (*bind_blob)(statement_t *statement, int number, const void *bytes, size_t length);
    void (*bind_null)(statement_t *statement, int number);
    status_t (*step)(statement_t *statement, bool *out_row);
    status_t (*post)(statement_t *statement, bool must_change_one); /* NULL: stepped to the end */
    void (*reset)(statement_t *statement);

    int64_t (*int64)(statement_t *statement, int column);
    const char *(*text)(statement_t *statement, int column);
    const void *(*blob)(statement_t *statement, int column, size_t *out_length);
    bool (*is_null)(statement_t *statement, int column);
};

extern const database_driver_t sqlite_driver, postgres_driver;

#endif
