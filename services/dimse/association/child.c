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

/* One message, unless the peer has released or aborted. */
static status_t serve_one(child_t *child, association_event_t *out_event)
{
    association_pdv_t pdv;
    TRY(child_wait_for_peer(child));
    TRY(association_read(child->association, out_event, &pdv));
    if (*out_event != ASSOCIATION_EVENT_PDV)
        return STATUS_OK;
    request_t request;
    TRY(child_read_command(child, &pdv, &request));
    TRY(operations_run(child, &request));
    return child->state == CHILD_STOPPING ? fail(STATUS_EXPIRED, "shutting down") : STATUS_OK;
}

/* The courier hears of it first: who hears that it has been released may come again at once. */
static bool release(child_t *child)
{
    bool may_rest = child->state == CHILD_SERVING && !child->has_refused &&
                    child->nth < child->settings->config->associations_per_process;
    if (may_rest)
        child_tell_rest(child, "released");
    else
        child_tell(child, CHANNEL_ENDED, STATUS_OK, "released");
    association_confirm_release(child->association);
    return may_rest;
}

/* False: this process is to end. */
static bool serve(child_t *child)
{
    association_event_t event = ASSOCIATION_EVENT_PDV;
    status_t status = STATUS_OK;
    while (status == STATUS_OK && event == ASSOCIATION_EVENT_PDV)
        status = serve_one(child, &event);
    if (event == ASSOCIATION_EVENT_RELEASE)
        return release(child);
    bool is_abort = event == ASSOCIATION_EVENT_ABORT;
    child_tell(child, CHANNEL_ENDED, (uint32_t)status,
               is_abort ? "aborted by the peer" : fail_detail());
    if (!is_abort)
        association_abort(child->association);
    return false;
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
    child->socket = fds[0];
    child->lent = child->pinned = sandbox->pack = fds[1];
    child->lent_end = child->self.end;
    child->kept = sandbox->pack_start = child->lent_end.durable_offset;
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

/* ---- one association after the other ----------------------------------------------------------- */

/* What the association has stored is from now on an earlier one's. */
static status_t keep_records(child_t *child)
{
    sandbox_t sandbox = {.channel = child->channel, .pack = -1};
    if (child->writer && pack_writer_durable_offset(child->writer) > child->kept) {
        child->pinned = sandbox.pack = pack_writer_fd(child->writer);
        child->kept = sandbox.pack_start = pack_writer_durable_offset(child->writer);
    }
    return sandbox_keep(&sandbox);
}

static void forget(child_t *child)
{
    if (child->writer)
        pack_writer_forget(child->writer);
    memset(child->contexts, 0, sizeof child->contexts);
    memset(&child->self, 0, sizeof child->self);
    memset(child->peer_address, 0, sizeof child->peer_address);
    buffer_destroy(&child->answer);
    child->unannounced_bytes = 0;
    child->socket = -1;
    child->nth++;
}

/* Waits for another association. False: there will be none. */
static bool rest(child_t *child)
{
    channel_kind_t kind;
    forget(child);
    while (child->socket < 0 && child->state != CHILD_STOPPING)
        if (child_take_message(child, &kind) != STATUS_OK)
            return false;
    return child->socket >= 0;
}

static status_t run(child_t *child)
{
    for (bool goes_on = true; goes_on;) {
        goes_on = establish(child) && serve(child);
        association_destroy(&child->association); /* with its socket */
        if (goes_on) {
            TRY(keep_records(child));
            goes_on = rest(child);
        }
    }
    return STATUS_OK;
}

int child_main(const child_settings_t *settings, int channel)
{
    child_t *child = memory_allocate(sizeof *child);
    child->settings = settings;
    child->channel = channel;
    child->nth = 1;
    status_t status = enclose(child);
    if (status == STATUS_NOT_FOUND)
        return 0; /* there will be no association */
    if (status == STATUS_OK)
        status = run(child);
    if (status != STATUS_OK) {
        child_tell(child, CHANNEL_REFUSED, REFUSAL_INTERNAL, fail_detail());
        return EXIT_SANDBOX;
    }
    pack_writer_close(&child->writer);
    buffer_destroy(&child->answer);
    free(child);
    return 0;
}
