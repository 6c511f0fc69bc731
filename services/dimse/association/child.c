#include "dimse/association/child.h"

#include "base/memory.h"
#include "dicom/file.h"
#include "dimse/association/child_courier.h"
#include "dimse/association/child_peer.h"
#include "dimse/association/operations.h"
#include "dimse/door/refusal.h"
#include "dimse/association/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { EXIT_SANDBOX = 70 };

/* ---- one message after the other --------------------------------------------------------------- */

/* One message. out_over: the peer has released or aborted. */
static status_t serve_one(child_t *child, bool *out_over)
{
    association_event_t event;
    association_pdv_t pdv;
    TRY(child_wait_for_peer(child));
    TRY(association_read(child->association, &event, &pdv));
    if (event == ASSOCIATION_EVENT_RELEASE) {
        *out_over = true;
        fail(STATUS_OK, "released");
        return association_confirm_release(child->association);
    }
    if (event == ASSOCIATION_EVENT_ABORT) {
        *out_over = true;
        fail(STATUS_OK, "aborted by the peer");
        return STATUS_OK;
    }
    request_t request;
    TRY(child_read_command(child, &pdv, &request));
    TRY(operations_run(child, &request));
    return child->state == CHILD_STOPPING ? fail(STATUS_EXPIRED, "shutting down") : STATUS_OK;
}

static void serve(child_t *child)
{
    bool over = false;
    status_t status = STATUS_OK;
    while (status == STATUS_OK && !over)
        status = serve_one(child, &over);
    child_tell(child, CHANNEL_ENDED, (uint32_t)status, fail_detail());
    if (!over)
        association_abort(child->association);
}

/* ---- the beginning ---------------------------------------------------------------------------- */

static void reject(child_t *child, association_rejection_t rejection, refusal_t why)
{
    child_tell(child, CHANNEL_REFUSED, why, "");
    association_reject(child->association, rejection);
}

/* Whether the association may be; if not, it has been rejected. */
static bool is_welcome(child_t *child)
{
    const dimse_config_t *config = child->settings->config;
    if (!association_is_dicom(child->association))
        reject(child, ASSOCIATION_REJECT_APPLICATION, REFUSAL_APPLICATION);
    else if (config->check_called_aet && strcmp(child->self.called, config->aet) != 0)
        reject(child, ASSOCIATION_REJECT_CALLED_AE, REFUSAL_CALLED_AE);
    else if (!rules_allow(child->settings->rules, child->self.calling, &child->self.address))
        reject(child, ASSOCIATION_REJECT_CALLING_AE, REFUSAL_CALLING_AE);
    else
        return true;
    return false;
}

static status_t receive_request(child_t *child)
{
    const dimse_config_t *config = child->settings->config;
    association_options_t options = {.max_pdu_bytes = config->max_pdu_bytes,
                                     .stall_timeout_s = (int)config->stall_timeout_s,
                                     .min_bytes_per_s = (int)config->min_bytes_per_s,
                                     .implementation_class_uid = DICOM_IMPLEMENTATION_CLASS_UID,
                                     .implementation_version = DICOM_IMPLEMENTATION_VERSION_NAME};
    /* ARTIM: SIGALRM ends this process, however slowly the bytes trickle in. PS3.8 9.1.5 */
    alarm((unsigned)config->request_timeout_s);
    status_t status = association_receive(child->socket, &options, &child->association);
    alarm(0);
    return status;
}

/* Up to the acknowledged association; false when there is none. */
static bool establish(child_t *child)
{
    if (receive_request(child) != STATUS_OK) {
        child_tell(child, CHANNEL_REFUSED, REFUSAL_REQUEST, fail_detail());
        return false;
    }
    snprintf(child->self.calling, sizeof child->self.calling, "%s",
             association_calling_ae_title(child->association));
    snprintf(child->self.called, sizeof child->self.called, "%s",
             association_called_ae_title(child->association));
    if (!is_welcome(child))
        return false;
    if (negotiation_run(child->association, &child->settings->config->private_roots,
                        child->contexts) != STATUS_OK ||
        association_acknowledge(child->association) != STATUS_OK) {
        child_tell(child, CHANNEL_REFUSED, REFUSAL_REQUEST, fail_detail());
        association_abort(child->association);
        return false;
    }
    child_tell(child, CHANNEL_ACCEPTED, 0, association_peer_implementation(child->association));
    return true;
}

/*
 * Waits for the courier's first message, which may be a while. A pack that holds records of other
 * associations comes with it or never: whoever takes this process over later finds the sandbox closed
 * around that pack.
 */
static status_t start(child_t *child, sandbox_t *sandbox)
{
    int fds[CHANNEL_FDS_MAX];
    TRY(channel_receive(child->channel, &child->self, fds, true));
    if (child->self.kind != CHANNEL_START || fds[0] < 0)
        return fail(STATUS_INTERNAL, "the first message is none to start with");
    child->socket = sandbox->socket = fds[0];
    child->lent = child->pinned = sandbox->pack = fds[1];
    child->lent_end = child->self.end;
    sandbox->pack_start = child->lent_end.durable_offset;
    address_format(&child->self.address, child->peer_address);
    prctl(PR_SET_NAME, "dimse-assoc");
    return STATUS_OK;
}

static status_t enclose(child_t *child)
{
    sandbox_t sandbox = {.channel = child->channel};
    TRY(start(child, &sandbox));
    return sandbox_enter(&sandbox);
}

int child_main(const child_settings_t *settings, int channel)
{
    child_t *child = memory_allocate(sizeof *child);
    child->settings = settings;
    child->channel = channel;
    status_t status = enclose(child);
    if (status == STATUS_NOT_FOUND)
        return 0; /* there will be no association */
    if (status != STATUS_OK) {
        child_tell(child, CHANNEL_REFUSED, REFUSAL_INTERNAL, fail_detail());
        return EXIT_SANDBOX;
    }
    if (establish(child))
        serve(child);
    pack_writer_close(&child->writer);
    association_destroy(&child->association);
    buffer_destroy(&child->answer);
    free(child);
    return 0;
}
