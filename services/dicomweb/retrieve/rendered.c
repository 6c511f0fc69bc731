/* Rendered images come with the service render; until then 406 to all that exists. PS3.18 10.4.1.1.3 */
#include "dicomweb/handlers.h"
#include "dicomweb/location/location.h"
#include "dicomweb/form/negotiate.h"

void dicomweb_rendered(void *context, http_request_t *request)
{
    target_t target;
    locations_t page = {0};
    status_t status = target_read(request, &target);
    if (status == STATUS_OK)
        status = locate_page(context, &target, NULL, 0, &page);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    locations_destroy(&page);
    negotiate_refuse(request, "a rendered image");
}
