/* SPDX-License-Identifier: MIT */
/* base: the few functions behind the assertions and allocations that every file uses. */
#include "common/base.h"

#include <stdio.h>

_Noreturn void el_assert_failed(const char *claim, const char *file, int line)
{
    (void)fprintf(stderr, "assertion failed: %s (%s:%d)\n", claim, file, line);
    abort();
}

void *el_alloc(size_t bytes)
{
    void *p = calloc(1, bytes > 0 ? bytes : 1);

    if (p == NULL)
        el_assert_failed("memory is left", __FILE__, __LINE__);
    return p;
}

void *el_try_alloc(size_t bytes)
{
    return calloc(1, bytes > 0 ? bytes : 1);
}

char *el_strndup(const char *s, size_t n)
{
    char *copy = el_alloc(n + 1);

    if (n > 0)
        memcpy(copy, s, n);
    return copy;
}
