#ifndef ZPACS_TESTS_FUZZ_MUST_H
#define ZPACS_TESTS_FUZZ_MUST_H

#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* The end of a broken promise. */
static inline void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s (%s)\n", what, fail_detail());
        abort();
    }
}

#endif
