/*
 * A dataset as DICOM JSON, and that as XML: whatever the dataset holds, the JSON is one that a parser
 * of others takes, and the XML is well-formed. The first byte chooses the transfer syntax.
 */
#include "dicom/json.h"
#include "dicomweb/form/xml.h"

#include "../dicom/pick_syntax.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH_MAX = 256 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Behind the tag that begins at *at; its name goes on or off the stack. */
static const char *read_tag(const char *at, const char *stack[DEPTH_MAX], size_t *depth)
{
    bool is_end = at[1] == '/', is_empty;
    const char *name = at + 1 + is_end;
    size_t length = strcspn(name, " />");
    must(length > 0 || at[1] == '?');
    for (at = name; *at != '>'; at++) {
        must(*at && *at != '<');
        if (*at == '"') {
            at = strchr(at + 1, '"');
            must(at != NULL);
        }
    }
    is_empty = at[-1] == '/' || at[-1] == '?';
    if (is_end) {
        must(*depth > 0);
        const char *open = stack[--*depth];
        must(strncmp(open, name, length) == 0 && strcspn(open, " />") == length);
    } else if (!is_empty) {
        must(*depth < DEPTH_MAX);
        stack[(*depth)++] = name;
    }
    return at + 1;
}

static void check_well_formed(const char *at)
{
    static const char *const entities[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&apos;", "&#"};
    const char *stack[DEPTH_MAX];
    size_t depth = 0;
    while (*at) {
        must((unsigned char)*at >= ' ' || strchr("\t\n\r", *at));
        if (*at == '<') {
            at = read_tag(at, stack, &depth);
            continue;
        }
        bool is_known = *at != '&';
        for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
            is_known |= strncmp(at, entities[i], strlen(entities[i])) == 0;
        must(is_known);
        at++;
    }
    must(depth == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const dicom_json_options_t options = {
        .bulk_data_uri = "/b", .inline_max = 64, .text_inline_max = 256};
    AUTO_BUFFER json = {0}, xml = {0};
    if (size < 1 ||
        dicom_json_write(data + 1, size - 1, pick_syntax(data[0]), &options, &json) != STATUS_OK)
        return 0;
    must(xml_append_model(buffer_text(&json), json.length, &xml) == STATUS_OK);
    must(strlen(buffer_text(&xml)) == xml.length);
    check_well_formed(buffer_text(&xml));
    return 0;
}
