#include "dimse/association/operations.h"

#include "dimse/association/child_peer.h"

enum {
    STATUS_SOP_CLASS_NOT_SUPPORTED = 0x0122, /* PS3.7 C.5.6 */
    STATUS_UNRECOGNIZED_OPERATION = 0x0211   /* PS3.7 C.5.25 */
};

const operation_t operations[] = {
    {COMMAND_C_ECHO_RQ, SERVICE_VERIFICATION, echo_run},
    {COMMAND_C_STORE_RQ, SERVICE_STORAGE, store_run},
    {0, SERVICE_NONE, NULL},
};

/* Passes over the dataset, if there is one, and answers. */
static status_t refuse(child_t *child, const request_t *request, uint16_t status)
{
    status_t taken;
    if (request->command.dataset_type != COMMAND_NO_DATASET)
        TRY(child_read_dataset(child, request, NULL, NULL, &taken));
    return child_answer(child, request, status, 0, NULL);
}

status_t operations_run(child_t *child, const request_t *request)
{
    /* PS3.7 9.3.2.3: nothing is under way between two messages, so there is nothing to cancel. */
    if (request->command.field == COMMAND_C_CANCEL_RQ)
        return STATUS_OK;
    for (const operation_t *row = operations; row->field; row++) {
        if (row->field != request->command.field)
            continue;
        if (row->service != request->context->service)
            return refuse(child, request, STATUS_SOP_CLASS_NOT_SUPPORTED);
        return row->run(child, request);
    }
    if (request->command.field & COMMAND_RESPONSE)
        return fail(STATUS_INVALID, "a response %04X to nothing", request->command.field);
    return refuse(child, request, STATUS_UNRECOGNIZED_OPERATION);
}
