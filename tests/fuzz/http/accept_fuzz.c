/* An Accept header from anybody. */
#include "base/memory.h"
#include "http/accept.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = memory_copy_text_n((const char *)data, size);
    http_accept_t accept;
    if (http_accept_parse(text, &accept) == STATUS_OK) {
        if (accept.count < 1 || accept.count > HTTP_ACCEPT_MAX)
            abort();
        for (size_t i = 0; i < accept.count; i++) {
            if (accept.ranges[i].quality_millis < 0 || accept.ranges[i].quality_millis > 1000 ||
                (i > 0 && accept.ranges[i].quality_millis > accept.ranges[i - 1].quality_millis))
                abort();
            http_media_range_takes(&accept.ranges[i], "application/dicom+json");
        }
    }
    free(text);
    return 0;
}
