#include "dimse/association/child_peer.h"
#include "dimse/association/operations.h"

status_t echo_run(child_t *child, const request_t *request)
{
    if (request->command.dataset_type != COMMAND_NO_DATASET)
        return fail(STATUS_INVALID, "a C-ECHO with a dataset"); /* PS3.7 9.3.5.1 */
    return child_answer(child, request, 0x0000, 0, NULL);
}
