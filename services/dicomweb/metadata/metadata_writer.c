#include "dicomweb/metadata/metadata_writer.h"

#include "dicomweb/form/parts.h"
#include "dicomweb/form/xml.h"

#include <string.h>

/* ---- the pieces of JSON ---------------------------------------------------------------------- */

static status_t put(const metadata_writer_t *writer, const void *bytes, size_t length)
{
    return http_write(writer->ask->request, bytes, length)
               ? STATUS_OK
               : fail(STATUS_UNAVAILABLE, "the client is gone");
}

static status_t put_text(metadata_writer_t *writer, const char *text)
{
    uint8_t block[GZIP_TEXT_HEAD + GZIP_TEXT_MAX];
    if (!writer->ask->gzip)
        return put(writer, text, strlen(text));
    size_t length = gzip_text(&writer->sum, text, block);
    return put(writer, block, length);
}

static status_t put_piece(metadata_writer_t *writer, const gzip_piece_t *piece)
{
    gzip_count(&writer->sum, piece);
    return put(writer, piece->blocks.data, piece->blocks.length);
}

static status_t put_json(metadata_writer_t *writer, const buffer_t *json)
{
    if (!writer->ask->gzip)
        return put(writer, json->data, json->length);
    gzip_piece_t piece;
    gzip_piece_make(json->data, json->length, &piece);
    status_t status = put_piece(writer, &piece);
    gzip_piece_destroy(&piece);
    return status;
}

static status_t put_bracket(metadata_writer_t *writer)
{
    bool is_first = writer->is_first;
    writer->is_first = false;
    return put_text(writer, is_first ? "[" : ",");
}

/* ---- XML ------------------------------------------------------------------------------------- */

static status_t put_xml(metadata_writer_t *writer, const buffer_t *json,
                        const metadata_slice_t *slices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *object = (const char *)json->data + slices[i].offset;
        buffer_clear(&writer->part);
        parts_append_head(&writer->part, writer->ask->dicomweb, writer->is_first, XML_MEDIA_TYPE,
                          NULL, NULL);
        writer->is_first = false;
        TRY(xml_append_model(object, slices[i].length, &writer->part));
        TRY(put(writer, writer->part.data, writer->part.length));
    }
    return STATUS_OK;
}

static status_t put_xml_end(metadata_writer_t *writer)
{
    buffer_clear(&writer->part);
    parts_append_end(&writer->part, writer->ask->dicomweb);
    return put(writer, writer->part.data, writer->part.length);
}

/* ---- an answer ------------------------------------------------------------------------------- */

static const char *const json_types[] = {
    [METADATA_JSON] = "application/dicom+json", [METADATA_PLAIN_JSON] = "application/json"};

void metadata_write_begin(metadata_writer_t *writer, const metadata_ask_t *ask, int64_t length)
{
    *writer = (metadata_writer_t){.ask = ask, .is_first = true};
    if (ask->form == METADATA_XML) {
        AUTO_BUFFER type = {0};
        parts_append_type(&type, ask->dicomweb, XML_MEDIA_TYPE);
        http_begin(ask->request, 200, buffer_text(&type), length);
        return;
    }
    if (ask->gzip)
        http_add_header(ask->request, "Content-Encoding", "gzip");
    http_begin(ask->request, 200, json_types[ask->form], length);
    if (ask->gzip) {
        uint8_t head[GZIP_HEAD_SIZE];
        (void)put(writer, head, gzip_head(head));
    }
}

status_t metadata_write_objects(metadata_writer_t *writer, const buffer_t *json,
                                const metadata_slice_t *slices, size_t count)
{
    if (writer->ask->form == METADATA_XML)
        return put_xml(writer, json, slices, count);
    TRY(put_bracket(writer));
    return put_json(writer, json);
}

status_t metadata_write_run(metadata_writer_t *writer, const metadata_run_t *run)
{
    for (size_t i = 0; i < METADATA_HALVES; i++) {
        const metadata_half_t *half = &run->entry->halves[i];
        if (half->count == 0)
            continue;
        if (!writer->ask->gzip || !run->is_packed) {
            TRY(metadata_write_objects(writer, &half->json, half->slices, half->count));
            continue;
        }
        TRY(put_bracket(writer));
        TRY(put_piece(writer, &half->gzip));
    }
    return STATUS_OK;
}

static status_t put_end(metadata_writer_t *writer)
{
    uint8_t tail[GZIP_TAIL_SIZE];
    if (writer->ask->form == METADATA_XML)
        return put_xml_end(writer);
    TRY(put_text(writer, "]"));
    return writer->ask->gzip ? put(writer, tail, gzip_tail(&writer->sum, tail)) : STATUS_OK;
}

void metadata_write_end(metadata_writer_t *writer, status_t status)
{
    if (status == STATUS_OK)
        status = put_end(writer);
    if (status == STATUS_OK)
        http_end(writer->ask->request);
    else
        http_fail(writer->ask->request, status);
    buffer_destroy(&writer->part);
}

int64_t metadata_length(const metadata_ask_t *ask, const metadata_run_t *runs, size_t count)
{
    size_t text = ask->gzip ? GZIP_TEXT_HEAD + 1 : 1; /* a bracket or comma */
    size_t length = text + (ask->gzip ? GZIP_HEAD_SIZE + GZIP_TAIL_SIZE : 0);
    if (ask->form == METADATA_XML)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (ask->gzip && !runs[i].is_packed)
            return -1;
        for (size_t k = 0; k < METADATA_HALVES; k++) {
            const metadata_half_t *half = &runs[i].entry->halves[k];
            if (half->count > 0)
                length += text + (ask->gzip ? half->gzip.blocks.length : half->json.length);
        }
    }
    return (int64_t)length;
}
