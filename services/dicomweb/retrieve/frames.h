#ifndef ZPACS_DICOMWEB_FRAMES_H
#define ZPACS_DICOMWEB_FRAMES_H

#include "dicomweb/retrieve/frame_list.h"
#include "dicomweb/form/negotiate.h"
#include "dicomweb/instance/stored.h"

/*
 * Answers with frames of an open instance; list->count 0 means all of them. Used by /frames/ and by the
 * BulkDataURI of encapsulated pixel data (PS3.18 10.4.1.1.5: a part for each frame).
 */
void frames_answer(dicomweb_t *dicomweb, http_request_t *request, const stored_t *stored,
                   const frame_list_t *list, const http_accept_t *accept);

#endif
