#include "index/rows/schema.h"

#include <stdio.h>

/*
 * The index is a view of the packs: what stands here is gone and rebuilt when the way of extracting
 * changes (EXTRACT_VERSION), so columns are added freely.
 *
 * fragment      members of a DICOM JSON object, one per line, ascending by tag (extract.h)
 * first_*       the instance whose attributes the row shows: the smallest (received, origin)
 * version       changes with every change at or below the row, and never comes again
 * origin_*      where a record was first written; stays when its pack is compacted
 *
 * {TEXT} compares byte by byte. The tables of versions 1 and 2 are made anew by version 3. */
static const char version_1[] = "";
static const char version_2[] = "";

static const char version_3[] =
    /* Of before, when there was SQLite alone. */
    "DROP TABLE IF EXISTS settings; DROP TABLE IF EXISTS packs; DROP TABLE IF EXISTS patients;"
    "DROP TABLE IF EXISTS studies; DROP TABLE IF EXISTS names; DROP TABLE IF EXISTS series;"
    "DROP TABLE IF EXISTS instances; DROP TABLE IF EXISTS modalities;"
    "DROP TABLE IF EXISTS copies; DROP TABLE IF EXISTS tombstones; DROP TABLE IF EXISTS resolves;"
    "DROP TABLE IF EXISTS attempts; DROP TABLE IF EXISTS changes; DROP TABLE IF EXISTS sources;"
    "DROP TABLE IF EXISTS counters;"

    "CREATE TABLE settings (name {TEXT} PRIMARY KEY, value {TEXT} NOT NULL);"

    /* How far each pack has been read; moves in the transaction of the rows it covers. The replica
     * that did so has it to itself for a while: two would do the same work, one in vain. */
    "CREATE TABLE packs (pack {TEXT} PRIMARY KEY, committed_offset BIGINT NOT NULL,"
    " sealed BIGINT NOT NULL DEFAULT 0, replica {TEXT} NOT NULL DEFAULT '',"
    " pinned_until_us BIGINT NOT NULL DEFAULT 0);"
    "CREATE INDEX packs_unsealed ON packs (pack) WHERE sealed = 0;"

    "CREATE TABLE patients (id {ROWKEY}, patient_id {TEXT} NOT NULL, issuer {TEXT} NOT NULL,"
    " study_count BIGINT NOT NULL DEFAULT 0, UNIQUE (patient_id, issuer));"

    "CREATE TABLE studies (id {ROWKEY}, study_instance_uid {TEXT} NOT NULL UNIQUE,"
    " patient BIGINT NOT NULL, fragment {TEXT} NOT NULL DEFAULT '',"
    " first_received_us BIGINT NOT NULL, first_pack {TEXT} NOT NULL, first_sequence BIGINT NOT "
    "NULL,"
    " series_count BIGINT NOT NULL DEFAULT 0, instance_count BIGINT NOT NULL DEFAULT 0,"
    " modalities {TEXT} NOT NULL DEFAULT '',"
    " version BIGINT NOT NULL DEFAULT 0, changed_us BIGINT NOT NULL DEFAULT 0,"
    " complete BIGINT NOT NULL DEFAULT 0,"
    " study_date {TEXT} NOT NULL DEFAULT '', study_time {TEXT} NOT NULL DEFAULT '',"
    " accession_number {TEXT} NOT NULL DEFAULT '', timezone_offset {TEXT} NOT NULL DEFAULT '',"
    " study_description {TEXT} NOT NULL DEFAULT '', patient_id {TEXT} NOT NULL DEFAULT '',"
    " patient_id_issuer {TEXT} NOT NULL DEFAULT '', patient_birth_date {TEXT} NOT NULL DEFAULT '',"
    " patient_sex {TEXT} NOT NULL DEFAULT '', patient_age {TEXT} NOT NULL DEFAULT '',"
    " study_id {TEXT} NOT NULL DEFAULT '', procedure_description {TEXT} NOT NULL DEFAULT '');"
    "CREATE INDEX studies_newest ON studies (study_date DESC, study_time DESC, study_instance_uid);"
    "CREATE INDEX studies_patient_id ON studies (patient_id);"
    "CREATE INDEX studies_accession ON studies (accession_number);"
    "CREATE INDEX studies_birth_date ON studies (patient_birth_date);"
    "CREATE INDEX studies_study_id ON studies (study_id);"
    "CREATE INDEX studies_incomplete ON studies (changed_us) WHERE complete = 0;"

    /* Person names, folded: each component group as a whole (word 0), and its components' words
     * (word 1) for fuzzy matching. */
    "CREATE TABLE names (study BIGINT NOT NULL, tag BIGINT NOT NULL, word BIGINT NOT NULL,"
    " name {TEXT} NOT NULL);"
    "CREATE INDEX names_by_name ON names (tag, word, name, study);"
    "CREATE INDEX names_by_study ON names (study);"

    "CREATE TABLE series (id {ROWKEY}, series_instance_uid {TEXT} NOT NULL, study BIGINT NOT NULL,"
    " fragment {TEXT} NOT NULL DEFAULT '',"
    " first_received_us BIGINT NOT NULL, first_pack {TEXT} NOT NULL, first_sequence BIGINT NOT "
    "NULL,"
    " instance_count BIGINT NOT NULL DEFAULT 0, version BIGINT NOT NULL DEFAULT 0,"
    " series_date {TEXT} NOT NULL DEFAULT '', series_time {TEXT} NOT NULL DEFAULT '',"
    " modality {TEXT} NOT NULL DEFAULT '', manufacturer {TEXT} NOT NULL DEFAULT '',"
    " institution_name {TEXT} NOT NULL DEFAULT '', station_name {TEXT} NOT NULL DEFAULT '',"
    " series_description {TEXT} NOT NULL DEFAULT '', department_name {TEXT} NOT NULL DEFAULT '',"
    " model_name {TEXT} NOT NULL DEFAULT '', body_part {TEXT} NOT NULL DEFAULT '',"
    " protocol_name {TEXT} NOT NULL DEFAULT '', patient_position {TEXT} NOT NULL DEFAULT '',"
    " series_number BIGINT, frame_of_reference_uid {TEXT} NOT NULL DEFAULT '',"
    " laterality {TEXT} NOT NULL DEFAULT '', scheduled_step_id {TEXT} NOT NULL DEFAULT '',"
    " performed_date {TEXT} NOT NULL DEFAULT '', performed_time {TEXT} NOT NULL DEFAULT '',"
    " performed_step_id {TEXT} NOT NULL DEFAULT '', performed_description {TEXT} NOT NULL DEFAULT "
    "'',"
    " requested_procedure_id {TEXT} NOT NULL DEFAULT '',"
    " UNIQUE (study, series_instance_uid));"
    "CREATE INDEX series_by_uid ON series (series_instance_uid);"
    "CREATE INDEX series_by_modality ON series (study, modality);"

    "CREATE TABLE instances (id {ROWKEY}, sop_instance_uid {TEXT} NOT NULL UNIQUE,"
    " study BIGINT NOT NULL, series BIGINT NOT NULL, fragment {TEXT} NOT NULL DEFAULT '',"
    " sop_class_uid {TEXT} NOT NULL, transfer_syntax_uid {TEXT} NOT NULL,"
    " pack {TEXT} NOT NULL, record_offset BIGINT NOT NULL, dataset_offset BIGINT NOT NULL,"
    " dataset_length BIGINT NOT NULL, pixel_data_offset BIGINT NOT NULL,"
    " pixel_value_offset BIGINT NOT NULL, pixel_value_length BIGINT NOT NULL,"
    " received_us BIGINT NOT NULL, origin_pack {TEXT} NOT NULL, origin_sequence BIGINT NOT NULL,"
    " sha256 BYTEA NOT NULL, source {TEXT} NOT NULL, source_ae_title {TEXT} NOT NULL,"
    " unreadable BIGINT NOT NULL DEFAULT 0, version BIGINT NOT NULL DEFAULT 0,"
    " modality {TEXT} NOT NULL DEFAULT '',"
    " acquisition_date {TEXT} NOT NULL DEFAULT '', content_date {TEXT} NOT NULL DEFAULT '',"
    " acquisition_time {TEXT} NOT NULL DEFAULT '', content_time {TEXT} NOT NULL DEFAULT '',"
    " acquisition_number BIGINT, instance_number BIGINT,"
    " photometric {TEXT} NOT NULL DEFAULT '', number_of_frames BIGINT, image_rows BIGINT,"
    " image_columns BIGINT, bits_allocated BIGINT, completion_flag {TEXT} NOT NULL DEFAULT '',"
    " verification_flag {TEXT} NOT NULL DEFAULT '', document_title {TEXT} NOT NULL DEFAULT '',"
    " content_label {TEXT} NOT NULL DEFAULT '', content_description {TEXT} NOT NULL DEFAULT '');"
    "CREATE INDEX instances_by_series ON instances (series, instance_number);"
    "CREATE INDEX instances_by_study ON instances (study, modality);"

    /* Of a study's instances: a series may hold several. */
    "CREATE TABLE modalities (study BIGINT NOT NULL, modality {TEXT} NOT NULL,"
    " PRIMARY KEY (study, modality));"

    /* Records of an instance that are not the one served: the same bytes again (a duplicate), or
     * other bytes under the same UID (a conflict). */
    "CREATE TABLE copies (sop_instance_uid {TEXT} NOT NULL, origin_pack {TEXT} NOT NULL,"
    " origin_sequence BIGINT NOT NULL, received_us BIGINT NOT NULL, sha256 BYTEA NOT NULL,"
    " study_instance_uid {TEXT} NOT NULL, series_instance_uid {TEXT} NOT NULL,"
    " pack {TEXT} NOT NULL, record_offset BIGINT NOT NULL,"
    " dataset_length BIGINT NOT NULL, source {TEXT} NOT NULL,"
    " conflict BIGINT NOT NULL, PRIMARY KEY (sop_instance_uid, origin_pack, origin_sequence));"
    "CREATE INDEX copies_by_study ON copies (study_instance_uid);"
    "CREATE INDEX copies_in_conflict ON copies (received_us) WHERE conflict = 1;"

    /* Deletions and decisions: kept, since a record of before may be read after them. */
    "CREATE TABLE tombstones (study_instance_uid {TEXT} NOT NULL, series_instance_uid {TEXT} NOT "
    "NULL,"
    " sop_instance_uid {TEXT} NOT NULL, received_up_to_us BIGINT NOT NULL,"
    " PRIMARY KEY (study_instance_uid, series_instance_uid, sop_instance_uid));"
    "CREATE TABLE resolves (sop_instance_uid {TEXT} PRIMARY KEY, resolved_us BIGINT NOT NULL,"
    " kept_pack {TEXT} NOT NULL, kept_sequence BIGINT NOT NULL);"

    "CREATE TABLE attempts (pack {TEXT} NOT NULL, record_offset BIGINT NOT NULL,"
    " attempts BIGINT NOT NULL, PRIMARY KEY (pack, record_offset));"

    "CREATE TABLE changes (id {ROWKEY}, sequence BIGINT UNIQUE, kind {TEXT} NOT NULL,"
    " study_instance_uid {TEXT} NOT NULL, series_instance_uid {TEXT} NOT NULL,"
    " sop_instance_uid {TEXT} NOT NULL, source {TEXT} NOT NULL, at_us BIGINT NOT NULL);"
    "CREATE INDEX changes_unnumbered ON changes (id) WHERE sequence IS NULL;"

    /* Records that nobody will ask for again, by pack: what compaction looks for. */
    "CREATE TABLE waste (pack {TEXT} PRIMARY KEY, records BIGINT NOT NULL, bytes BIGINT NOT NULL,"
    " since_us BIGINT NOT NULL);"

    "CREATE TABLE sources (source {TEXT} PRIMARY KEY, last_received_us BIGINT NOT NULL,"
    " instances BIGINT NOT NULL);"
    "CREATE TABLE counters (name {TEXT} PRIMARY KEY, value BIGINT NOT NULL);";

/* All of an order falls, so that what stands behind a row is one range of the index. */
static const char version_4[] = "DROP INDEX studies_newest;"
                                "CREATE INDEX studies_newest ON studies"
                                " (study_date DESC, study_time DESC, study_instance_uid DESC);";

/* What is dead is known until its bytes are gone, so that a deletion can be taken back and compaction
 * knows what to leave out. All is read again: the tombstones of before do not say where they stand. */
static const char version_5[] =
    /* retired_us     its living records were copied: the file goes when the grace is over (0: no)
     * condemned      it is being removed: no row may come to point to it any more
     * held_until_us  compaction leaves it alone until then: something was wrong with it */
    "ALTER TABLE packs ADD COLUMN retired_us BIGINT NOT NULL DEFAULT 0;"
    "ALTER TABLE packs ADD COLUMN condemned BIGINT NOT NULL DEFAULT 0;"
    "ALTER TABLE packs ADD COLUMN held_until_us BIGINT NOT NULL DEFAULT 0;"
    "CREATE INDEX packs_retired ON packs (retired_us) WHERE retired_us > 0;"
    "CREATE INDEX packs_by_size ON packs (committed_offset) WHERE sealed = 1 AND retired_us = 0;"

    /* Deletions by the origin of their record. A row says: of this object, the records of this
     * pack up to this sequence are dead. Without a pack: those received up to then. */
    "DROP TABLE tombstones;"
    "CREATE TABLE tombstones (origin_pack {TEXT} NOT NULL, origin_sequence BIGINT NOT NULL,"
    " study_instance_uid {TEXT} NOT NULL, series_instance_uid {TEXT} NOT NULL,"
    " sop_instance_uid {TEXT} NOT NULL, pack {TEXT} NOT NULL, up_to_sequence BIGINT NOT NULL,"
    " received_up_to_us BIGINT NOT NULL, deleted_us BIGINT NOT NULL, instances BIGINT NOT NULL,"
    " PRIMARY KEY (origin_pack, origin_sequence, pack));"
    "CREATE INDEX tombstones_by_study ON tombstones (study_instance_uid, pack);"

    /* Tombstones that were taken back: they have no row above. */
    "CREATE TABLE restores (tombstone_pack {TEXT} NOT NULL, tombstone_sequence BIGINT NOT NULL,"
    " PRIMARY KEY (tombstone_pack, tombstone_sequence));"

    /* What decisions say of single records: the latest one that names a record counts. */
    "CREATE TABLE verdicts (pack {TEXT} NOT NULL, sequence BIGINT NOT NULL,"
    " decided_us BIGINT NOT NULL, event_pack {TEXT} NOT NULL, event_sequence BIGINT NOT NULL,"
    " is_rejected BIGINT NOT NULL, PRIMARY KEY (pack, sequence));"
    "DROP TABLE resolves;"
    "CREATE TABLE resolves (sop_instance_uid {TEXT} PRIMARY KEY, resolved_us BIGINT NOT NULL,"
    " event_pack {TEXT} NOT NULL, event_sequence BIGINT NOT NULL,"
    " kept_pack {TEXT} NOT NULL, kept_sequence BIGINT NOT NULL,"
    " settles_up_to_us BIGINT NOT NULL);"

    /* Released ones stay: an older HOLD may be read later. */
    "CREATE TABLE holds (study_instance_uid {TEXT} PRIMARY KEY, changed_us BIGINT NOT NULL,"
    " event_pack {TEXT} NOT NULL, event_sequence BIGINT NOT NULL, released BIGINT NOT NULL,"
    " user_name {TEXT} NOT NULL, reason {TEXT} NOT NULL);"

    /* Dead INSTANCE records whose bytes are still there. */
    "CREATE TABLE buried (origin_pack {TEXT} NOT NULL, origin_sequence BIGINT NOT NULL,"
    " received_us BIGINT NOT NULL, sop_instance_uid {TEXT} NOT NULL,"
    " study_instance_uid {TEXT} NOT NULL, series_instance_uid {TEXT} NOT NULL,"
    " pack {TEXT} NOT NULL, record_offset BIGINT NOT NULL, dataset_length BIGINT NOT NULL,"
    " since_us BIGINT NOT NULL, PRIMARY KEY (origin_pack, origin_sequence));"
    "CREATE INDEX buried_by_study ON buried (study_instance_uid);"
    "CREATE INDEX buried_by_pack ON buried (pack);"
    "CREATE INDEX buried_since ON buried (since_us);"
    "CREATE INDEX copies_by_pack ON copies (pack);"

    /* Where each record that is no instance lies. */
    "CREATE TABLE events (origin_pack {TEXT} NOT NULL, origin_sequence BIGINT NOT NULL,"
    " pack {TEXT} NOT NULL, record_offset BIGINT NOT NULL,"
    " PRIMARY KEY (origin_pack, origin_sequence));"

    "UPDATE settings SET value = '' WHERE name = 'extract_version';";

/* What comes in the order in which it was received, and images of a source as it is served: both the
 * same after a rebuild. */
static const char version_6[] =
    "CREATE INDEX series_by_arrival ON series (first_received_us);"
    "CREATE INDEX instances_by_arrival ON instances (received_us);"
    "UPDATE sources SET instances ="
    " (SELECT COUNT(*) FROM instances i WHERE i.source = sources.source);";

/* Not every record's digest is a SHA-256. */
static const char version_7[] = "ALTER TABLE instances RENAME COLUMN sha256 TO digest;"
                                "ALTER TABLE copies RENAME COLUMN sha256 TO digest;";

const migration_t schema_migrations[] = {{version_1, NULL}, {version_2, NULL}, {version_3, NULL},
                                         {version_4, NULL}, {version_5, NULL}, {version_6, NULL},
                                         {version_7, NULL}, {NULL, NULL}};

/* For wildcards at the beginning of a value; without the extension such a query reads all rows. */
const char *const schema_optional[] = {
    "CREATE EXTENSION IF NOT EXISTS pg_trgm;",
    "CREATE INDEX IF NOT EXISTS names_trigrams ON names USING gin (name gin_trgm_ops)"
    " WHERE word = 0;",
    "CREATE INDEX IF NOT EXISTS studies_trigrams ON studies USING gin"
    " (patient_id gin_trgm_ops, accession_number gin_trgm_ops, study_description gin_trgm_ops);",
    NULL};

status_t schema_clear(database_t *database)
{
    /* Poisoned records stay known: what crashed the reader once may do so again. */
    return database_execute(database, "{TRUNCATE} packs; {TRUNCATE} patients; {TRUNCATE} studies;"
                                      "{TRUNCATE} names; {TRUNCATE} series; {TRUNCATE} instances;"
                                      "{TRUNCATE} modalities; {TRUNCATE} waste;"
                                      "{TRUNCATE} copies; {TRUNCATE} tombstones;"
                                      "{TRUNCATE} resolves; {TRUNCATE} changes;"
                                      "{TRUNCATE} restores; {TRUNCATE} verdicts;"
                                      "{TRUNCATE} holds; {TRUNCATE} buried;"
                                      "{TRUNCATE} events;"
                                      "{TRUNCATE} sources; {TRUNCATE} counters;");
}

status_t schema_get(database_t *database, const char *name, char *out_value, size_t size)
{
    AUTO_STATEMENT *statement = NULL;
    TRY(database_prepare(database, "SELECT value FROM settings WHERE name = $1", &statement));
    statement_bind_text(statement, 1, name);
    bool row = false;
    TRY(statement_step(statement, &row));
    snprintf(out_value, size, "%s", row ? statement_text(statement, 0) : "");
    return STATUS_OK;
}

status_t schema_set(database_t *database, const char *name, const char *value)
{
    statement_t *statement = NULL;
    TRY(database_prepare(database,
                         "INSERT INTO settings (name, value) VALUES ($1, $2)"
                         " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                         &statement));
    statement_bind_text(statement, 1, name);
    statement_bind_text(statement, 2, value);
    return statement_run(statement);
}
