#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/dcmtrans.h"
#include "dcmtk/dcmnet/dul.h"
#include "dcmtk/ofstd/ofstd.h"

#include "dcmtk/association.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

struct association {
    T_ASC_Network *network;
    T_ASC_Association *handle; /* NULL until a request has come */
    int socket;                /* -1 when DCMTK owns it */
    char calling[17], called[17];
    bool has_pdv;
    DUL_PDV pdv;
};

namespace
{

status_t fail_condition(status_t status, const char *what, const OFCondition &condition)
{
    return fail(status, "%s: %s", what, condition.text());
}

/* No exception leaves this file. */
template <typename Step> status_t guarded(Step step)
{
    try {
        return step();
    } catch (const std::exception &error) {
        return fail(STATUS_INTERNAL, "upper layer: %s", error.what());
    } catch (...) {
        return fail(STATUS_INTERNAL, "upper layer: unknown exception");
    }
}

/* Titles are padded with spaces on either side (PS3.8 9.3.2). */
void copy_title(char (&out)[17], const char *title)
{
    size_t length = strnlen(title, 16);
    while (length && *title == ' ')
        title++, length--;
    while (length && title[length - 1] == ' ')
        length--;
    memcpy(out, title, length);
    out[length] = 0;
}

/* The status of a condition that ended the reading of a PDU. */
status_t classify(const OFCondition &condition)
{
    return condition == DUL_NETWORKCLOSED || condition == DUL_READTIMEOUT ||
                   condition == DUL_PEERABORTEDASSOCIATION
               ? STATUS_UNAVAILABLE
               : STATUS_INVALID;
}

status_t receive(association_t *a, const association_options_t *options)
{
    int on = 1; /* DCMTK leaves Nagle's algorithm on: an answer would wait for the peer's ACK */
    if (setsockopt(a->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        return fail(STATUS_UNAVAILABLE, "TCP_NODELAY: %s", strerror(errno));
    dcmSocketReceiveTimeout.set(options->stall_timeout_s);
    dcmSocketSendTimeout.set(options->stall_timeout_s);
    dcmExternalSocketHandle.set(a->socket);
    OFCondition condition =
        ASC_initializeNetwork(NET_ACCEPTOR, 0, options->stall_timeout_s, &a->network);
    if (condition.bad())
        return fail_condition(STATUS_UNAVAILABLE, "network", condition);
    condition = ASC_receiveAssociation(a->network, &a->handle, (long)options->max_pdu_bytes);
    if (a->handle && a->handle->DULassociation &&
        DUL_getTransportConnection(a->handle->DULassociation))
        a->socket = -1; /* closed by DCMTK with the association */
    if (condition.bad())
        return fail_condition(classify(condition), "association request", condition);
    copy_title(a->calling, a->handle->params->DULparams.callingAPTitle);
    copy_title(a->called, a->handle->params->DULparams.calledAPTitle);
    OFStandard::strlcpy(a->handle->params->ourImplementationClassUID,
                        options->implementation_class_uid,
                        sizeof a->handle->params->ourImplementationClassUID);
    OFStandard::strlcpy(a->handle->params->ourImplementationVersionName,
                        options->implementation_version,
                        sizeof a->handle->params->ourImplementationVersionName);
    return STATUS_OK;
}

/* All bytes, over whatever transport the association has. */
status_t write_all(association_t *a, const unsigned char *bytes, size_t length)
{
    DcmTransportConnection *connection = DUL_getTransportConnection(a->handle->DULassociation);
    if (!connection)
        return fail(STATUS_UNAVAILABLE, "the connection is closed");
    while (length) {
        ssize_t written = connection->write(const_cast<unsigned char *>(bytes), length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail(STATUS_UNAVAILABLE, "write: %s", strerror(errno));
        bytes += written;
        length -= (size_t)written;
    }
    return STATUS_OK;
}

void put_uint32(unsigned char *out, size_t value)
{
    out[0] = (unsigned char)(value >> 24);
    out[1] = (unsigned char)(value >> 16);
    out[2] = (unsigned char)(value >> 8);
    out[3] = (unsigned char)value;
}

/*
 * A P-DATA-TF with one fragment of a command set.                       PS3.8 tables 9-22 and 9-23
 *
 *     0    1    2         6          10        11        12
 *     | 04 | 00 | length  | length   | context | control | fragment …
 *     '-- PDU header -----'-- PDV header ----------------'
 */
constexpr size_t PDU_HEADER = 6, PDV_HEADER = 6;

status_t write_fragment(association_t *a, uint8_t context_id, const uint8_t *bytes, size_t length,
                        bool last)
{
    unsigned char *pdu = (unsigned char *)calloc(1, PDU_HEADER + PDV_HEADER + length);
    if (!pdu)
        abort();
    pdu[0] = DUL_TYPEDATA;
    put_uint32(pdu + 2, PDV_HEADER + length);
    put_uint32(pdu + 6, 2 + length);
    pdu[10] = context_id;
    pdu[11] = (unsigned char)(0x01 | (last ? 0x02 : 0)); /* PS3.8 E.2: command, last fragment */
    memcpy(pdu + 12, bytes, length);
    status_t status = write_all(a, pdu, PDU_HEADER + PDV_HEADER + length);
    free(pdu);
    return status;
}

status_t read_pdv(association_t *a, association_event_t *out_event)
{
    DUL_ASSOCIATIONKEY **key = &a->handle->DULassociation;
    /* A PDU may hold no PDV at all; the limit keeps a peer from feeding us those for ever. */
    for (int empty = 0; empty < 16; empty++) {
        OFCondition condition = DUL_ReadPDVs(key, NULL, DUL_BLOCK, 0);
        if (condition == DUL_PEERREQUESTEDRELEASE) {
            *out_event = ASSOCIATION_EVENT_RELEASE;
            return STATUS_OK;
        }
        if (condition == DUL_PEERABORTEDASSOCIATION) {
            *out_event = ASSOCIATION_EVENT_ABORT;
            return STATUS_OK;
        }
        if (condition != DUL_PDATAPDUARRIVED)
            return fail_condition(classify(condition), "reading", condition);
        if (DUL_NextPDV(key, &a->pdv).good()) {
            *out_event = ASSOCIATION_EVENT_PDV;
            return STATUS_OK;
        }
    }
    return fail(STATUS_INVALID, "P-DATA without a fragment");
}

} // namespace

status_t association_prepare(void)
{
    return guarded([]() -> status_t {
        /* Reverse DNS would stall an association for seconds; stderr belongs to nobody. */
        dcmDisableGethostbyaddr.set(OFTrue);
        OFLog::configure(OFLogger::OFF_LOG_LEVEL);
        return STATUS_OK;
    });
}

status_t association_receive(int socket, const association_options_t *options,
                             association_t **out_association)
{
    association_t *a = (association_t *)calloc(1, sizeof *a);
    if (!a)
        abort();
    a->socket = socket;
    status_t status = guarded([&]() -> status_t { return receive(a, options); });
    if (status == STATUS_OK)
        *out_association = a;
    else
        association_destroy(&a);
    return status;
}

void association_destroy(association_t **association)
{
    association_t *a = *association;
    if (!a)
        return;
    *association = NULL;
    guarded([&]() -> status_t {
        if (a->handle) {
            ASC_dropAssociation(a->handle);
            ASC_destroyAssociation(&a->handle);
        }
        if (a->network)
            ASC_dropNetwork(&a->network);
        return STATUS_OK;
    });
    if (a->socket >= 0)
        close(a->socket);
    free(a);
}

const char *association_calling_ae_title(const association_t *association)
{
    return association->calling;
}

const char *association_called_ae_title(const association_t *association)
{
    return association->called;
}

const char *association_peer_implementation(const association_t *association)
{
    return association->handle->params->DULparams.callingImplementationClassUID;
}

bool association_is_dicom(const association_t *association)
{
    return strcmp(association->handle->params->DULparams.applicationContextName,
                  UID_StandardApplicationContext) == 0;
}

size_t association_context_count(const association_t *association)
{
    int count = ASC_countPresentationContexts(association->handle->params);
    return count < 0 ? 0 : (size_t)count;
}

status_t association_context(const association_t *association, size_t index,
                             association_context_t *out_context)
{
    return guarded([&]() -> status_t {
        T_ASC_PresentationContext context;
        memset(&context, 0, sizeof context);
        OFCondition condition =
            ASC_getPresentationContext(association->handle->params, (int)index, &context);
        if (condition.bad())
            return fail_condition(STATUS_NOT_FOUND, "presentation context", condition);
        memset(out_context, 0, sizeof *out_context);
        out_context->id = context.presentationContextID;
        uid_copy(out_context->abstract_syntax_uid, context.abstractSyntax,
                 strnlen(context.abstractSyntax, UID_LENGTH_MAX));
        for (size_t i = 0; i < context.transferSyntaxCount && i < ASSOCIATION_TRANSFER_SYNTAXES_MAX;
             i++)
            uid_copy(out_context->transfer_syntax_uids[out_context->transfer_syntax_count++],
                     context.proposedTransferSyntaxes[i],
                     strnlen(context.proposedTransferSyntaxes[i], UID_LENGTH_MAX));
        return STATUS_OK;
    });
}

status_t association_accept_context(association_t *association, uint8_t id,
                                    const char *transfer_syntax_uid)
{
    return guarded([&]() -> status_t {
        OFCondition condition =
            ASC_acceptPresentationContext(association->handle->params, id, transfer_syntax_uid);
        return condition.good() ? STATUS_OK : fail_condition(STATUS_INVALID, "context", condition);
    });
}

status_t association_refuse_context(association_t *association, uint8_t id,
                                    association_refusal_t why)
{
    return guarded([&]() -> status_t {
        OFCondition condition = ASC_refusePresentationContext(association->handle->params, id,
                                                              (T_ASC_P_ResultReason)why);
        return condition.good() ? STATUS_OK : fail_condition(STATUS_INVALID, "context", condition);
    });
}

status_t association_acknowledge(association_t *association)
{
    return guarded([&]() -> status_t {
        unsigned long peer_max = association->handle->params->DULparams.peerMaxPDU;
        if (peer_max && peer_max < ASSOCIATION_PEER_PDU_MIN)
            return fail(STATUS_INVALID, "the peer takes PDUs of %lu bytes only", peer_max);
        OFCondition condition = ASC_acknowledgeAssociation(association->handle);
        return condition.good() ? STATUS_OK
                                : fail_condition(STATUS_UNAVAILABLE, "acknowledge", condition);
    });
}

status_t association_reject(association_t *association, association_rejection_t rejection)
{
    return guarded([&]() -> status_t {
        T_ASC_RejectParameters parameters;
        parameters.result = (T_ASC_RejectParametersResult)rejection.result;
        parameters.source = (T_ASC_RejectParametersSource)rejection.source;
        /* DCMTK keeps source and reason in one number. */
        parameters.reason =
            (T_ASC_RejectParametersReason)((rejection.source << 8) | rejection.reason);
        OFCondition condition = ASC_rejectAssociation(association->handle, &parameters);
        return condition.good() ? STATUS_OK
                                : fail_condition(STATUS_UNAVAILABLE, "reject", condition);
    });
}

bool association_has_pending(const association_t *association)
{
    return association->has_pdv;
}

status_t association_read(association_t *association, association_event_t *out_event,
                          association_pdv_t *out_pdv)
{
    return guarded([&]() -> status_t {
        association_event_t event = ASSOCIATION_EVENT_PDV;
        if (!association->has_pdv) {
            status_t status = read_pdv(association, &event);
            if (status != STATUS_OK)
                return status;
        }
        *out_event = event;
        if (event != ASSOCIATION_EVENT_PDV)
            return STATUS_OK;
        const DUL_PDV &pdv = association->pdv;
        out_pdv->context_id = pdv.presentationContextID;
        out_pdv->is_command = pdv.pdvType == DUL_COMMANDPDV;
        out_pdv->is_last = pdv.lastPDV;
        out_pdv->bytes = (const uint8_t *)pdv.data;
        out_pdv->length = pdv.fragmentLength;
        /* Fetched ahead, so that the caller knows whether to wait on the socket. The bytes of all
         * fragments of a PDU lie in one buffer until the next PDU is read. */
        association->has_pdv =
            DUL_NextPDV(&association->handle->DULassociation, &association->pdv).good();
        return STATUS_OK;
    });
}

status_t association_write_command(association_t *association, uint8_t context_id,
                                   const uint8_t *bytes, size_t length)
{
    return guarded([&]() -> status_t {
        unsigned long peer_max = association->handle->params->DULparams.peerMaxPDU;
        size_t room = peer_max ? peer_max - PDV_HEADER : length;
        room -= room > 1 ? room % 2 : 0; /* PS3.8 annex E: fragments have an even length */
        while (length > room) {
            status_t status = write_fragment(association, context_id, bytes, room, false);
            if (status != STATUS_OK)
                return status;
            bytes += room;
            length -= room;
        }
        return write_fragment(association, context_id, bytes, length, true);
    });
}

status_t association_confirm_release(association_t *association)
{
    return guarded([&]() -> status_t {
        OFCondition condition = ASC_acknowledgeRelease(association->handle);
        return condition.good() ? STATUS_OK
                                : fail_condition(STATUS_UNAVAILABLE, "release", condition);
    });
}

status_t association_abort(association_t *association)
{
    /* Not through DCMTK: it would wait for the peer to close, for as long as a stall may last. */
    static const unsigned char pdu[] = {DUL_TYPEABORT, 0, 0, 0, 0, 4, 0, 0, 0, 0};
    return guarded([&]() -> status_t { return write_all(association, pdu, sizeof pdu); });
}
