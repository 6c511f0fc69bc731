#include "http/route.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

status_t http_percent_decode(const char *text, size_t length, char *out_text, size_t *out_length)
{
    size_t out = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '%') {
            int high = length - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = length - i > 2 ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return fail(STATUS_INVALID, "broken %%-sequence at byte %zu", i);
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0')
            return fail(STATUS_INVALID, "NUL at byte %zu", i);
        out_text[out++] = c;
    }
    out_text[out] = '\0';
    *out_length = out;
    return STATUS_OK;
}

static status_t check_segment(const char *segment, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)segment[i];
        if (c < 0x20 || c == 0x7f)
            return fail(STATUS_INVALID, "control byte in the path");
        if (c == '/' || c == '\\')
            return fail(STATUS_INVALID, "encoded slash or backslash in the path");
    }
    if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
        return fail(STATUS_INVALID, "dot segment in the path");
    if (!text_is_utf8(segment, length))
        return fail(STATUS_INVALID, "the path is not UTF-8");
    return STATUS_OK;
}

status_t http_path_split(const char *raw, http_path_t *out_path)
{
    size_t length = strlen(raw);
    if (length > HTTP_URI_MAX)
        return fail(STATUS_TOO_LARGE, "the path has over %d bytes", HTTP_URI_MAX);
    if (raw[0] != '/')
        return fail(STATUS_INVALID, "the path does not begin with '/'");
    out_path->count = 0;
    char *out = out_path->text;
    for (const char *at = raw + 1;;) {
        size_t segment_length = strcspn(at, "/");
        bool last = at[segment_length] == '\0';
        if (segment_length == 0 && !last)
            return fail(STATUS_INVALID, "empty segment in the path");
        if (out_path->count == HTTP_SEGMENTS_MAX)
            return fail(STATUS_TOO_LARGE, "the path has over %d segments", HTTP_SEGMENTS_MAX);
        size_t decoded = 0;
        TRY(http_percent_decode(at, segment_length, out, &decoded));
        TRY(check_segment(out, decoded));
        out_path->segments[out_path->count++] = out;
        out += decoded + 1; /* a segment and its NUL: never longer than segment and slash were */
        if (last)
            return STATUS_OK;
        at += segment_length + 1;
    }
}

static bool takes_rest(const char *part, size_t length)
{
    return length > 5 && memcmp(part + length - 4, "...}", 4) == 0;
}

/* Joins the segments from first on with '/' as the value of "{name...}". */
static void join_rest(const http_path_t *path, size_t first, http_match_t *match)
{
    size_t at = 0;
    for (size_t i = first; i < path->count; i++) {
        size_t length = strlen(path->segments[i]);
        if (i > first)
            match->rest[at++] = '/';
        memcpy(match->rest + at, path->segments[i], length);
        at += length;
    }
    match->rest[at] = '\0';
}

static void add_parameter(http_match_t *match, const char *name, size_t length, const char *value)
{
    if (match->count < HTTP_PARAMETERS_MAX)
        match->parameters[match->count++] = (http_parameter_t){name, length, value};
}

static bool template_matches(const char *pattern, const http_path_t *path, http_match_t *match)
{
    match->count = 0;
    const char *part = pattern + 1;
    for (size_t i = 0; i < path->count; i++) {
        size_t length = strcspn(part, "/");
        bool is_parameter = length > 2 && part[0] == '{' && part[length - 1] == '}';
        if (is_parameter && takes_rest(part, length)) {
            join_rest(path, i, match);
            add_parameter(match, part + 1, length - 5, match->rest);
            return true;
        }
        if (is_parameter) {
            if (path->segments[i][0] == '\0')
                return false;
            add_parameter(match, part + 1, length - 2, path->segments[i]);
        } else if (strlen(path->segments[i]) != length ||
                   memcmp(path->segments[i], part, length) != 0) {
            return false;
        }
        part += length;
        if (*part == '\0')
            return i + 1 == path->count;
        part++;
    }
    return false;
}

static void allow_method(http_match_t *match, const char *method)
{
    size_t used = strlen(match->allow);
    snprintf(match->allow + used, sizeof match->allow - used, "%s%s", used ? ", " : "", method);
}

void http_route_find(const http_route_t *routes, const char *method, const http_path_t *path,
                     http_match_t *out_match)
{
    out_match->route = NULL;
    out_match->allow[0] = '\0';
    for (const http_route_t *route = routes; route->method; route++) {
        if (!template_matches(route->path, path, out_match))
            continue;
        bool is_get = strcmp(route->method, "GET") == 0;
        if (strcmp(route->method, method) == 0 || (is_get && strcmp(method, "HEAD") == 0)) {
            out_match->route = route;
            return;
        }
        if (!strstr(out_match->allow, route->method))
            allow_method(out_match, route->method);
        if (is_get && !strstr(out_match->allow, "HEAD"))
            allow_method(out_match, "HEAD");
    }
}
