#ifndef ZPACS_DICOMWEB_VIDEO_H
#define ZPACS_DICOMWEB_VIDEO_H

#include "dicomweb/form/negotiate.h"
#include "dicomweb/instance/stored.h"

/*
 * A video has many frames in one stream, which lies in one fragment or is cut into several at any
 * place (PS3.5 8.2.5 to 8.2.9): its frames cannot be told apart without decoding it.
 */
bool video_is(const stored_t *stored);

/* Answers 406: not by frames. */
void video_refuse_frames(http_request_t *request);

/*
 * Answers with the whole stream: the fragments of value (as dicom_bulk_find() gave it, a part of
 * dataset) one behind the other; with Range, so that a browser can wind.     PS3.18 10.4.1.1.5
 */
void video_answer(dicomweb_t *dicomweb, http_request_t *request, const stored_t *stored,
                  const dataset_t *dataset, const uint8_t *value, size_t length, const char *path,
                  const http_accept_t *accept);

#endif
