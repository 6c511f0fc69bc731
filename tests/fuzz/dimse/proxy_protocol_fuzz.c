/* PROXY headers: an answer for any bytes; one that is taken is a prefix, and stays it. */
#include "dimse/door/proxy_protocol.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    proxy_header_t header = {0}, again = {0};
    status_t status = proxy_header_parse(bytes, length, &header);
    if (status == STATUS_BUSY && length >= PROXY_HEADER_MAX)
        abort(); /* nobody could ever satisfy it */
    if (status != STATUS_OK)
        return 0;
    if (!header.length || header.length > length || header.length > PROXY_HEADER_MAX)
        abort();
    if (proxy_header_parse(bytes, header.length, &again) != STATUS_OK ||
        again.length != header.length || again.has_source != header.has_source)
        abort();
    return 0;
}
