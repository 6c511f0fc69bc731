#include "dicomweb/instance/header_json.h"

#include "base/memory.h"
#include "dicom/reader.h"
#include "dicomweb/instance/stored.h"
#include "dicomweb/form/url.h"
#include "log/log.h"

#include <stdlib.h>
#include <string.h>

enum {
    INLINE_MAX = 2048,             /* palettes of 1024 entries; longer binary values become URIs */
    TEXT_INLINE_MAX = 64 * 1024,   /* of a UT, LT, ST or UN value */
    HEADER_READ_MAX = 1024 * 1024, /* longer headers are mapped, not read */
    ELEMENT_HEAD = 8,              /* tag, and VR or length */
    TRAILER_MAX = 8,               /* the delimiter of encapsulated pixel data, and no element */
};

/* The instance ends with its pixel data: then the bytes before it are all of the metadata. */
static bool ends_with_pixel_data(const location_t *location)
{
    uint64_t end = location->pixel_value_offset + location->pixel_value_length;
    return end <= location->dataset_length && location->dataset_length - end <= TRAILER_MAX;
}

static bool is_header_enough(const stored_t *stored)
{
    const location_t *location = &stored->location;
    return !stored->syntax->deflated && location->pixel_data_offset > 0 &&
           location->pixel_data_offset <= HEADER_READ_MAX &&
           location->pixel_data_offset + ELEMENT_HEAD <= location->dataset_length &&
           ends_with_pixel_data(location);
}

/* head is the first bytes of the element: PS3.5 7.1.2, 7.1.3; without VR: PS3.5 A.1. */
static void append_pixel_data(const stored_t *stored, const uint8_t *head, const char *uri,
                              buffer_t *out)
{
    bool big = stored->syntax->big_endian;
    uint32_t tag = DICOM_TAG(dicom_uint16(head, big), dicom_uint16(head + 2, big));
    char said[3] = {(char)head[4], (char)head[5], '\0'};
    const char *vr = tag == 0x7FE00008 ? "OF" : tag == 0x7FE00009 ? "OD" : "OW";
    if (stored->syntax->explicit_vr && dicom_vr_is_known(DICOM_VR(head[4], head[5])))
        vr = said;
    out->length--; /* the object goes on */
    if (out->data[out->length - 1] != '{')
        buffer_append_byte(out, ',');
    buffer_printf(out, "\"%08X\":{\"vr\":\"%s\"", tag, vr);
    if (stored->location.pixel_value_length > 0)
        buffer_printf(out, ",\"BulkDataURI\":\"%s/%08X\"", uri, tag);
    buffer_append_text(out, "}}");
}

static status_t append_from_header(const stored_t *stored, const dicom_json_options_t *options,
                                   buffer_t *out)
{
    size_t length = (size_t)stored->location.pixel_data_offset;
    AUTO_FREE uint8_t *bytes = memory_resize(NULL, length + ELEMENT_HEAD);
    TRY(stored_read(stored, 0, bytes, length + ELEMENT_HEAD));
    TRY(dicom_json_write(bytes, length, stored->location.transfer_syntax, options, out));
    append_pixel_data(stored, bytes + length, options->bulk_data_uri, out);
    return STATUS_OK;
}

static status_t append_from_dataset(dicomweb_t *dicomweb, const stored_t *stored,
                                    const dicom_json_options_t *options, buffer_t *out)
{
    dataset_t dataset;
    TRY(dataset_open(dicomweb, stored, &dataset));
    status_t status = dicom_json_write(dataset.bytes, dataset.length,
                                       stored->location.transfer_syntax, options, out);
    dataset_close(&dataset);
    return status;
}

static void append_uids(const location_t *location, buffer_t *out)
{
    buffer_printf(out,
                  "{\"00080016\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},"
                  "\"00080018\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},"
                  "\"0020000D\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},"
                  "\"0020000E\":{\"vr\":\"UI\",\"Value\":[\"%s\"]}}",
                  location->sop_class, location->instance, location->study, location->series);
}

uint64_t header_json_size(const stored_t *stored)
{
    return is_header_enough(stored) ? stored->location.pixel_data_offset + ELEMENT_HEAD : 0;
}

status_t header_json_append(dicomweb_t *dicomweb, const stored_t *stored, const char *base,
                            dicom_json_repeat_t *repeat, buffer_t *out)
{
    const location_t *location = &stored->location;
    AUTO_BUFFER uri = {0};
    buffer_append_text(&uri, base);
    url_append_target(&uri, location->study, location->series, location->instance);
    buffer_append_text(&uri, "/bulkdata");
    dicom_json_options_t options = {.bulk_data_uri = buffer_text(&uri),
                                    .inline_max = INLINE_MAX,
                                    .text_inline_max = TEXT_INLINE_MAX,
                                    .repeat = repeat};
    size_t start = out->length;
    status_t status = is_header_enough(stored)
                          ? append_from_header(stored, &options, out)
                          : append_from_dataset(dicomweb, stored, &options, out);
    if (status == STATUS_INVALID || status == STATUS_TOO_LARGE) {
        log_warning("metadata.unreadable", LOG_TEXT("instance", location->instance),
                    LOG_TEXT("why", fail_detail()));
        out->length = start;
        append_uids(location, out);
        status = STATUS_OK;
    }
    return status;
}
