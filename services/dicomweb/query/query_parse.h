#ifndef ZPACS_DICOMWEB_QUERY_PARSE_H
#define ZPACS_DICOMWEB_QUERY_PARSE_H

#include "base/status.h"
#include "http/query.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QUERY_TERMS_MAX = 64, /* as index.v1.Find allows */
    QUERY_FIELDS_MAX = 256,
    QUERY_PATH_MAX = 64 /* sequences in one attribute path */
};

/* A QIDO-RS query string, understood.                                               PS3.18 8.3.4 */
typedef struct {
    struct {
        uint32_t tag;
        const char *value; /* borrowed from the http_query_t */
    } terms[QUERY_TERMS_MAX];
    size_t term_count;
    uint32_t fields[QUERY_FIELDS_MAX]; /* includefield: top-level tags */
    size_t field_count;
    bool include_all, fuzzy;
    bool has_limit;
    uint64_t limit, offset;
    bool warn_empty_values; /* emptyvaluematching=true: asked for, not done */
} qido_query_t;

/*
 * Reads the parameters. Equal ones may come twice; limit and offset only with one value.
 *
 * Fails: INVALID (an attribute that the dictionary does not know, a path into a sequence as a key, a
 * malformed number ...; the sentence names the parameter, never its value), TOO_LARGE.
 */
status_t qido_query_parse(const http_query_t *query, qido_query_t *out_query);

/* "PatientName", "00100010", "00400275.00400009", "RequestAttributesSequence.…": the first tag. */
status_t qido_attribute_parse(const char *text, size_t length, uint32_t *out_tag,
                              bool *out_is_path);

/*
 * Where (0008,1190) belongs in a DICOM JSON object with ascending keys: an offset behind a '{' or
 * before a key's quote. Only as much of the object as has lower keys is looked at.
 */
size_t qido_url_position(const char *json, size_t length);

#endif
