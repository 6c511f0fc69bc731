#ifndef ZPACS_DIMSE_LIMITS_H
#define ZPACS_DIMSE_LIMITS_H

#include "dimse/door/address.h"

#include <stddef.h>

/* How many associations there are, in all and per address. For several threads. */
typedef struct limits limits_t;

typedef enum { LIMITS_OK, LIMITS_TOTAL, LIMITS_ADDRESS } limits_answer_t;

limits_t *limits_create(size_t total, size_t per_address);
void limits_destroy(limits_t **limits);

limits_answer_t limits_take(limits_t *limits, const address_t *address);
void limits_give(limits_t *limits, const address_t *address); /* once for each take that was OK */
size_t limits_in_use(limits_t *limits);

#endif
