/*
 * What the index keeps of a dataset: UTF-8 below its limits, the same when it is read again (a
 * rebuild has to come to the same rows), and nothing when the dataset cannot be read. The first
 * byte chooses the transfer syntax.
 */
#include "base/text.h"
#include "index/find/answer.h"
#include "index/dataset/extract.h"
#include "index/dataset/fold.h"

#include "../dicom/pick_syntax.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool is_same(const buffer_t *a, const buffer_t *b)
{
    return a->length == b->length && (!a->length || memcmp(a->data, b->data, a->length) == 0);
}

/* Members, a line each, ascending by tag. */
static void check_fragment(buffer_t *fragment)
{
    const char *before = "";
    must(fragment->length <= EXTRACT_FRAGMENT_MAX);
    must(text_is_utf8(buffer_text(fragment), fragment->length));
    for (const char *line = buffer_text(fragment); *line;) {
        size_t length = strcspn(line, "\n");
        must(line[length] == '\n' && length > 12 && length <= EXTRACT_MEMBER_MAX);
        must(line[0] == '"' && strncmp(line + 9, "\":{", 3) == 0 && line[length - 1] == '}');
        must(strncmp(before, line, 10) < 0);
        before = line;
        line += length + 1;
    }
}

/* A database takes nothing but UTF-8. Searched is what is folded; folded once more it stays. */
static void check_text(const char *text)
{
    AUTO_BUFFER once = {0}, twice = {0}, name = {0}, again = {0};
    must(strlen(text) <= EXTRACT_TEXT_MAX && text_is_utf8(text, strlen(text)));
    fold_append(&once, text, strlen(text));
    fold_append(&twice, buffer_text(&once), once.length);
    must(is_same(&once, &twice));
    fold_append_name(&name, text, strlen(text));
    fold_append_name(&again, buffer_text(&name), name.length);
    must(is_same(&name, &again));
}

static void check_answer(extract_t *extract)
{
    for (int level = LEVEL_STUDY; level <= LEVEL_INSTANCE; level++) {
        AUTO_BUFFER json = {0};
        answer_shape_t shape = {.wanted = {0}};
        answer_row_t row = {.level = (level_t)level,
                            .study_instance_uid = "1.2",
                            .series_instance_uid = "1.2.3",
                            .sop_instance_uid = "1.2.3.4",
                            .sop_class_uid = "1.2.840.10008.5.1.4.1.1.2",
                            .modalities = "CT\\MR"};
        for (int k = LEVEL_STUDY; k < LEVEL_COUNT; k++)
            row.fragments[k] = buffer_text(&extract->fragments[k]);
        answer_shape_default(&shape, (level_t)level, false, false);
        answer_append(&json, &shape, &row);
        must(json.length > 2 && json.data[0] == '{' && json.data[json.length - 1] == '}');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static extract_t first, second;
    if (size < 1)
        return 0;
    const char *syntax = pick_syntax(data[0]);
    status_t status = extract_dataset(data + 1, size - 1, syntax, &first);
    must(extract_dataset(data + 1, size - 1, syntax, &second) == status);
    for (int level = 0; level < LEVEL_COUNT; level++) {
        must(is_same(&first.fragments[level], &second.fragments[level]));
        must(status == STATUS_OK || first.fragments[level].length == 0);
        check_fragment(&first.fragments[level]);
    }
    for (size_t i = 0; i < attribute_count; i++) {
        must(first.values[i].known == second.values[i].known &&
             first.values[i].number == second.values[i].number);
        must(status == STATUS_OK || !first.values[i].known);
        if (attributes[i].match == MATCH_NUMBER)
            continue;
        must(strcmp(extract_text(&first, i), extract_text(&second, i)) == 0);
        check_text(extract_text(&first, i));
    }
    if (status == STATUS_OK)
        check_answer(&first);
    return 0;
}
