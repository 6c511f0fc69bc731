#include "index/dataset/fold.h"
#include "index/find/match.h"
#include "index/dataset/values.h"

#include <string.h>

#define LAST_CODE_POINT "\xF4\x8F\xBF\xBF" /* U+10FFFF: sorts behind every text */

/* A pattern of '*' and '?' as one of LIKE, whose own signs are escaped.         PS3.4 C.2.2.2.4 */
static void like_append(buffer_t *out, const char *value, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (value[i] == '*') {
            buffer_append_byte(out, '%');
        } else if (value[i] == '?') {
            buffer_append_byte(out, '_');
        } else {
            if (strchr("%_\\", value[i]))
                buffer_append_byte(out, '\\');
            buffer_append_byte(out, (uint8_t)value[i]);
        }
    }
}

/* The index can only be walked along what stands before the first wildcard. */
static status_t prefix_range(condition_t *condition, const char *column, const char *value,
                             size_t length)
{
    int low = 0, high = 0;
    AUTO_BUFFER end = {0};
    buffer_append(&end, value, length);
    buffer_append_text(&end, LAST_CODE_POINT);
    TRY(condition_add_text(condition, value, length, &low));
    TRY(condition_add_text(condition, buffer_text(&end), end.length, &high));
    buffer_printf(&condition->sql, " AND %s >= $%d AND %s < $%d", column, low, column, high);
    return STATUS_OK;
}

static size_t find_wildcard(const char *value, size_t length)
{
    size_t i = 0;
    while (i < length && value[i] != '*' && value[i] != '?')
        i++;
    return i;
}

status_t match_pattern(condition_t *condition, const char *column, const char *value, size_t length)
{
    int number = 0;
    value_trim(&value, &length);
    size_t prefix = find_wildcard(value, length);
    if (prefix == length) {
        TRY(condition_add_text(condition, value, length, &number));
        buffer_printf(&condition->sql, " AND %s = $%d", column, number);
        return STATUS_OK;
    }
    if (length > MATCH_PATTERN_MAX)
        return fail(STATUS_TOO_LARGE, "a value with wildcards has more than %d bytes",
                    MATCH_PATTERN_MAX);
    if (prefix)
        TRY(prefix_range(condition, column, value, prefix));
    if (prefix && prefix + 1 == length && value[prefix] == '*')
        return STATUS_OK;
    AUTO_BUFFER like = {0};
    like_append(&like, value, length);
    TRY(condition_add_text(condition, buffer_text(&like), like.length, &number));
    buffer_printf(&condition->sql, " AND %s LIKE $%d ESCAPE '\\'", column, number);
    return STATUS_OK;
}

/* ---- names ------------------------------------------------------------------------------------- */

static status_t match_in_names(condition_t *condition, uint32_t tag, int word, const char *pattern,
                               size_t length)
{
    buffer_printf(&condition->sql,
                  " AND s.id IN (SELECT n.study FROM names n WHERE n.tag = %u AND n.word = %d", tag,
                  word);
    TRY(match_pattern(condition, "n.name", pattern, length));
    buffer_append_text(&condition->sql, ")");
    return STATUS_OK;
}

/* Each word begins a word of the name, in any order. */
static status_t match_words(condition_t *condition, uint32_t tag, const char *value, size_t length)
{
    AUTO_BUFFER folded = {0}, pattern = {0};
    fold_append(&folded, value, length);
    const char *text = buffer_text(&folded);
    while (*text) {
        size_t word = strcspn(text, " ^=-,.");
        if (word) {
            buffer_clear(&pattern);
            buffer_append(&pattern, text, word);
            if (text[word - 1] != '*')
                buffer_append_byte(&pattern, '*');
            if (pattern.length > strspn(buffer_text(&pattern), "*"))
                TRY(match_in_names(condition, tag, 1, buffer_text(&pattern), pattern.length));
        }
        text += word + (text[word] != 0);
    }
    return STATUS_OK;
}

status_t match_name(condition_t *condition, uint32_t tag, const char *value, bool fuzzy)
{
    if (fuzzy)
        return match_words(condition, tag, value, strlen(value));
    while (*value) {
        size_t length = strcspn(value, "=");
        AUTO_BUFFER folded = {0};
        fold_append_name(&folded, value, length);
        const char *pattern = buffer_text(&folded);
        if (folded.length > strspn(pattern, "*"))
            TRY(match_in_names(condition, tag, 0, pattern, folded.length));
        value += length + (value[length] != 0);
    }
    return STATUS_OK;
}
