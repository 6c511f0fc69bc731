#include "dimse/association/negotiation.h"

#include "dicom/transfer_syntax.h"

#include <string.h>

static const char verification_uid[] = "1.2.840.10008.1.1";
static const char dicom_root[] = "1.2.840.10008";
static const char transfer_syntax_root[] = "1.2.840.10008.1.2";

/* Where the storage SOP classes of the standard lie: new ones appear below the first. PS3.4 B.5, GG */
static const char *const storage_roots[] = {
    "1.2.840.10008.5.1.4.1.1",   /* composite image, document, radiotherapy ... storage */
    "1.2.840.10008.5.1.4.34.7",  /* RT Beams Delivery Instruction Storage */
    "1.2.840.10008.5.1.4.34.10", /* RT Brachy Application Setup Delivery Instruction Storage */
    "1.2.840.10008.5.1.4.38.1",  /* Hanging Protocol Storage */
    "1.2.840.10008.5.1.4.39.1",  /* Color Palette Storage */
    "1.2.840.10008.5.1.4.43.1",  /* Generic Implant Template Storage */
    "1.2.840.10008.5.1.4.44.1",  /* Implant Assembly Template Storage */
    "1.2.840.10008.5.1.4.45.1",  /* Implant Template Group Storage */
    "1.2.840.10008.5.1.1.27",    /* Stored Print Storage (retired) */
    "1.2.840.10008.5.1.1.29",    /* Hardcopy Grayscale Image Storage (retired) */
    "1.2.840.10008.5.1.1.30",    /* Hardcopy Color Image Storage (retired) */
};

static bool is_at_or_below(const char *uid, const char *root)
{
    size_t length = strlen(root);
    return strncmp(uid, root, length) == 0 && (uid[length] == 0 || uid[length] == '.');
}

static bool is_private(const char *uid, const config_list_t *private_roots)
{
    if (is_at_or_below(uid, dicom_root))
        return false;
    for (size_t i = 0; i < private_roots->count; i++)
        if (is_at_or_below(uid, private_roots->items[i]))
            return true;
    return false;
}

dimse_service_t negotiation_service(const char *abstract_syntax_uid,
                                    const config_list_t *private_roots)
{
    if (!uid_is_valid(abstract_syntax_uid))
        return SERVICE_NONE;
    if (strcmp(abstract_syntax_uid, verification_uid) == 0)
        return SERVICE_VERIFICATION;
    for (size_t i = 0; i < sizeof storage_roots / sizeof *storage_roots; i++)
        if (is_at_or_below(abstract_syntax_uid, storage_roots[i]))
            return SERVICE_STORAGE;
    return is_private(abstract_syntax_uid, private_roots) ? SERVICE_STORAGE : SERVICE_NONE;
}

static bool takes(const char *uid, const config_list_t *private_roots)
{
    if (!uid_is_valid(uid))
        return false;
    return *dicom_transfer_syntax_find(uid)->uid || is_at_or_below(uid, transfer_syntax_root) ||
           is_private(uid, private_roots);
}

const char *negotiation_transfer_syntax(const association_context_t *context,
                                        const config_list_t *private_roots)
{
    for (size_t i = 0; i < context->transfer_syntax_count; i++)
        if (takes(context->transfer_syntax_uids[i], private_roots))
            return context->transfer_syntax_uids[i];
    return NULL;
}

static status_t answer(association_t *association, const association_context_t *context,
                       const config_list_t *private_roots, accepted_context_t *out_accepted)
{
    dimse_service_t service = negotiation_service(context->abstract_syntax_uid, private_roots);
    if (service == SERVICE_NONE)
        return association_refuse_context(association, context->id,
                                          ASSOCIATION_CONTEXT_ABSTRACT_SYNTAX);
    const char *transfer_syntax = negotiation_transfer_syntax(context, private_roots);
    if (!transfer_syntax)
        return association_refuse_context(association, context->id,
                                          ASSOCIATION_CONTEXT_TRANSFER_SYNTAXES);
    TRY(association_accept_context(association, context->id, transfer_syntax));
    accepted_context_t *accepted = &out_accepted[context->id];
    accepted->service = service;
    memcpy(accepted->abstract_syntax_uid, context->abstract_syntax_uid, sizeof(uid_text_t));
    memcpy(accepted->transfer_syntax_uid, transfer_syntax, strlen(transfer_syntax) + 1);
    return STATUS_OK;
}

status_t negotiation_run(association_t *association, const config_list_t *private_roots,
                         accepted_context_t *out_accepted)
{
    size_t count = association_context_count(association);
    for (size_t i = 0; i < count; i++) {
        association_context_t context;
        TRY(association_context(association, i, &context));
        TRY(answer(association, &context, private_roots, out_accepted));
    }
    return STATUS_OK;
}
