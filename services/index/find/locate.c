#include "index/find/find.h"
#include "index/index.h"

#include "base/memory.h"
#include "index/rows/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LOCATIONS_MAX = 900 /* of a page: at most 540 bytes each, below 512 KiB */ };

/* Where a page ends: the order's key of its last row. Objects without a number come last; among
 * those of one number what was received first comes first. */
typedef struct {
    int64_t series_number, instance_number;
    origin_t series, instance;
} place_t;

#define NO_NUMBER       "9223372036854775807"
#define SERIES_NUMBER   "COALESCE(e.series_number, " NO_NUMBER ")"
#define INSTANCE_NUMBER "COALESCE(i.instance_number, " NO_NUMBER ")"
#define ORDER                                                                                      \
    SERIES_NUMBER ", e.first_received_us, e.first_pack, e.first_sequence, " INSTANCE_NUMBER        \
                  ", i.received_us, i.origin_pack, i.origin_sequence"

enum {
    COLUMN_FRAMES = 13,
    COLUMN_STUDY_VERSION,
    COLUMN_SERIES_VERSION,
    COLUMN_INSTANCE_VERSION,
    COLUMN_ORDER
};

#define COLUMNS                                                                                    \
    "s.study_instance_uid, e.series_instance_uid, i.sop_instance_uid, i.sop_class_uid,"            \
    " i.transfer_syntax_uid, i.pack, i.source_ae_title, i.record_offset, i.dataset_offset,"        \
    " i.dataset_length, i.pixel_data_offset, i.pixel_value_offset, i.pixel_value_length,"          \
    " i.number_of_frames, s.version, e.version, i.version"

static const char locate_sql[] =
    "SELECT " COLUMNS ", " ORDER
    " FROM studies s JOIN series e ON e.study = s.id JOIN instances i ON i.series = e.id"
    " WHERE s.study_instance_uid = $1 AND ($2 = '' OR e.series_instance_uid = $2)"
    " AND (" ORDER ") > ($3, $4, $5, $6, $7, $8, $9, $10) ORDER BY " ORDER " LIMIT $11";

/* From the instance upwards: four rows, where its series may have thousands. */
static const char locate_instance_sql[] =
    "SELECT " COLUMNS " FROM instances i JOIN series e ON e.id = i.series"
    " JOIN studies s ON s.id = i.study WHERE i.sop_instance_uid = $1"
    " AND ($2 = '' OR s.study_instance_uid = $2) AND ($3 = '' OR e.series_instance_uid = $3)";

static Index__Location *location_make(statement_t *find)
{
    Index__Location *location = memory_allocate(sizeof *location);
    index__location__init(location);
    char **const texts[] = {&location->study_instance_uid,  &location->series_instance_uid,
                            &location->sop_instance_uid,    &location->sop_class_uid,
                            &location->transfer_syntax_uid, &location->pack,
                            &location->source_ae_title};
    uint64_t *const numbers[] = {&location->record_offset,      &location->dataset_offset,
                                 &location->dataset_length,     &location->pixel_data_offset,
                                 &location->pixel_value_offset, &location->pixel_value_length};
    for (int i = 0; i < 7; i++)
        *texts[i] = memory_copy_text(statement_text(find, i));
    for (int i = 0; i < 6; i++)
        *numbers[i] = (uint64_t)statement_int64(find, 7 + i);
    int64_t frames = statement_int64(find, COLUMN_FRAMES);
    location->number_of_frames = frames > 0 && frames <= UINT32_MAX ? (uint32_t)frames : 1;
    return location;
}

/* The feed's number of the last change below, mixed with its epoch: a rebuild counts anew. */
static status_t version_mix(database_t *reader, int64_t change, uint64_t *out_version)
{
    char epoch[64];
    TRY(schema_get(reader, "epoch", epoch, sizeof epoch));
    uint64_t hash = UINT64_C(0xCBF29CE484222325); /* FNV-1a */
    for (const char *c = epoch; *c; c++)
        hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001B3);
    *out_version = hash ^ (uint64_t)change;
    return STATUS_OK;
}

/* Whoever has the locations of this version needs none of them. */
static status_t version_find(database_t *reader, const char *study, const char *series,
                             uint64_t *out_version)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(reader,
                         *series ? "SELECT e.version FROM series e JOIN studies s ON s.id = e.study"
                                   " WHERE s.study_instance_uid = $1 AND e.series_instance_uid = $2"
                                 : "SELECT version FROM studies WHERE study_instance_uid = $1",
                         &find));
    statement_bind_text(find, 1, study);
    if (*series)
        statement_bind_text(find, 2, series);
    bool row = false;
    TRY(statement_step(find, &row));
    return row ? version_mix(reader, statement_int64(find, 0), out_version) : STATUS_OK;
}

static origin_t origin_read(statement_t *find, int first_column)
{
    origin_t origin = {.received_us = statement_int64(find, first_column),
                       .sequence = statement_int64(find, first_column + 2)};
    snprintf(origin.pack.text, sizeof origin.pack.text, "%s",
             statement_text(find, first_column + 1));
    return origin;
}

static place_t place_of(statement_t *find)
{
    return (place_t){.series_number = statement_int64(find, COLUMN_ORDER),
                     .series = origin_read(find, COLUMN_ORDER + 1),
                     .instance_number = statement_int64(find, COLUMN_ORDER + 4),
                     .instance = origin_read(find, COLUMN_ORDER + 5)};
}

static char *place_write(const place_t *place)
{
    return memory_format(
        "%" PRId64 ".%" PRId64 ".%s.%" PRId64 ".%" PRId64 ".%" PRId64 ".%s.%" PRId64,
        place->series_number, place->series.received_us, place->series.pack.text,
        place->series.sequence, place->instance_number, place->instance.received_us,
        place->instance.pack.text, place->instance.sequence);
}

static status_t page_read(database_t *reader, statement_t *find, int version_column,
                          Index__Located *reply)
{
    place_t place = {0};
    reply->locations = memory_allocate(LOCATIONS_MAX * sizeof *reply->locations);
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        if (reply->n_locations == 0)
            TRY(version_mix(reader, statement_int64(find, version_column), &reply->version));
        if (reply->n_locations == LOCATIONS_MAX) {
            reply->next = place_write(&place);
            return STATUS_OK;
        }
        reply->locations[reply->n_locations++] = location_make(find);
        if (reply->n_locations == LOCATIONS_MAX)
            place = place_of(find);
    }
}

static status_t place_read(const char *after, place_t *out_place)
{
    int end = 0;
    *out_place = (place_t){.series_number = INT64_MIN};
    if (!*after)
        return STATUS_OK;
    if (sscanf(after,
               "%" SCNd64 ".%" SCNd64 ".%26[0-9A-Z].%" SCNd64 ".%" SCNd64 ".%" SCNd64
               ".%26[0-9A-Z].%" SCNd64 "%n",
               &out_place->series_number, &out_place->series.received_us,
               out_place->series.pack.text, &out_place->series.sequence,
               &out_place->instance_number, &out_place->instance.received_us,
               out_place->instance.pack.text, &out_place->instance.sequence, &end) != 8 ||
        after[end])
        return fail(STATUS_INVALID, "`after` is not what `next` was");
    return STATUS_OK;
}

/* From $3 on, and how many. */
static void place_bind(statement_t *find, const place_t *place)
{
    const origin_t *origins[] = {&place->series, &place->instance};
    statement_bind_int64(find, 3, place->series_number);
    statement_bind_int64(find, 7, place->instance_number);
    for (int i = 0; i < 2; i++) {
        statement_bind_int64(find, 4 + 4 * i, origins[i]->received_us);
        statement_bind_text(find, 5 + 4 * i, origins[i]->pack.text);
        statement_bind_int64(find, 6 + 4 * i, origins[i]->sequence);
    }
    statement_bind_int64(find, 11, LOCATIONS_MAX + 1);
}

/* A page of one: behind it (`after`) there is nothing. */
static status_t locate_instance(database_t *reader, const Index__Locate *query,
                                Index__Located *reply)
{
    AUTO_STATEMENT *find = NULL;
    if (*query->after)
        return STATUS_OK;
    TRY(database_prepare(reader, locate_instance_sql, &find));
    statement_bind_text(find, 1, query->sop_instance_uid);
    statement_bind_text(find, 2, query->study_instance_uid);
    statement_bind_text(find, 3, query->series_instance_uid);
    TRY(page_read(reader, find, COLUMN_INSTANCE_VERSION, reply));
    return reply->n_locations ? STATUS_OK
                              : fail(STATUS_NOT_FOUND, "there is no such instance there");
}

static status_t locate_all(database_t *reader, const Index__Locate *query, const place_t *place,
                           Index__Located *reply)
{
    const char *study = query->study_instance_uid, *series = query->series_instance_uid;
    if (query->known_version && !*query->after) {
        TRY(version_find(reader, study, series, &reply->version));
        if (reply->version == query->known_version)
            return STATUS_OK;
    }
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(reader, locate_sql, &find));
    statement_bind_text(find, 1, study);
    statement_bind_text(find, 2, series);
    place_bind(find, place);
    TRY(page_read(reader, find, *series ? COLUMN_SERIES_VERSION : COLUMN_STUDY_VERSION, reply));
    return reply->n_locations || *query->after ? STATUS_OK
                                               : fail(STATUS_NOT_FOUND, "there is no such object");
}

static status_t locate(database_t *reader, const Index__Locate *query, Index__Located *reply)
{
    place_t place;
    TRY(place_read(query->after, &place));
    return *query->sop_instance_uid ? locate_instance(reader, query, reply)
                                    : locate_all(reader, query, &place, reply);
}

status_t locate_run(database_t *reader, const Index__Locate *query, Index__Located *reply)
{
    if (!scope_sees_all(query->scope))
        return fail(STATUS_NOT_FOUND, "there is no such object");
    if (!*query->study_instance_uid && !*query->sop_instance_uid)
        return fail(STATUS_INVALID, "to locate needs a study or an instance");
    TRY(database_begin(reader));
    status_t status = locate(reader, query, reply);
    database_rollback(reader);
    return status;
}

static status_t newest_find(database_t *reader, uid_text_t out_sop)
{
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    TRY(database_prepare(
        reader, "SELECT sop_instance_uid FROM instances ORDER BY received_us DESC LIMIT 1", &find));
    TRY(statement_step(find, &row));
    if (!row)
        return fail(STATUS_NOT_FOUND, "there is no instance");
    snprintf(out_sop, sizeof(uid_text_t), "%s", statement_text(find, 0));
    return STATUS_OK;
}

void locate_warm(database_t *reader)
{
    uid_text_t sop;
    if (newest_find(reader, sop) != STATUS_OK)
        return;
    Index__Scope scope = INDEX__SCOPE__INIT;
    Index__Locate query = INDEX__LOCATE__INIT;
    Index__Located *reply = memory_allocate(sizeof *reply);
    scope.kind = INDEX__SCOPE__KIND__ALL;
    query.scope = &scope;
    query.sop_instance_uid = sop;
    index__located__init(reply);
    (void)locate_run(reader, &query, reply);
    index__located__free_unpacked(reply, NULL);
}
