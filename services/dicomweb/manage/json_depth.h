#ifndef ZPACS_DICOMWEB_JSON_DEPTH_H
#define ZPACS_DICOMWEB_JSON_DEPTH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether no place of a JSON text lies deeper than max brackets. To be asked of a stranger's text before jansson is:
 * that one calls itself for each level, 2048 of them, and a thread of CivetWeb has a stack of 100 KB. Text
 * that is no JSON gets an answer, too; what it is worth is jansson's to say.
 */
bool json_is_shallow(const void *text, size_t length, size_t max);

#endif
