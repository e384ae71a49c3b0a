/* SPDX-License-Identifier: MIT */
/*
 * base: what every file may use without thinking: assertions that stay on in release, containers of
 * embedded members, checked recovery of `void *`, allocation of small fixed-size objects, and the
 * list of libc calls this code base does not use.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EL_KIB ((uint64_t)1024)
#define EL_MIB (1024 * EL_KIB)
#define EL_GIB (1024 * EL_MIB)

#define EL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define EL_COUNT(array)      (sizeof(array) / sizeof((array)[0]))

/* What we promise. What the network, the disk, a peer or the operator sends is never asserted. */
#define EL_ASSERT(claim) ((claim) ? (void)0 : el_assert_failed(#claim, __FILE__, __LINE__))

_Noreturn void el_assert_failed(const char *claim, const char *file, int line);

/* The structure in which `ptr` is the member `member`. */
#define EL_ENTRY(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * A type that travels through `void *` starts with `uint32_t magic`, set to its own constant;
 * EL_CAST recovers it and asserts that it is what it claims to be.
 */
#define EL_CAST(ptr, type, value)                                    \
    ({                                                               \
        type *el_cast_p = (type *)(ptr);                             \
        EL_ASSERT(el_cast_p != NULL && el_cast_p->magic == (value)); \
        el_cast_p;                                                   \
    })

/* Zeroed; aborts when memory is out. Only for small objects of fixed size; free() releases it. */
#define el_new(type) ((type *)el_alloc(sizeof(type)))
void *el_alloc(size_t bytes);

/* Zeroed; NULL when memory is out. For anything whose size came from outside, after bounding it. */
void *el_try_alloc(size_t bytes);

/* A copy with a terminating NUL; aborts when memory is out. free() releases it. */
char *el_strndup(const char *s, size_t n);

static inline uint64_t el_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t el_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline size_t el_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* False on overflow, and then *ret is untouched. */
static inline bool el_add_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

/*
 * Unbounded, locale-bound or not reentrant; str.h and buf.h have the replacements. The headers that
 * declare them are included above, since a declaration after this would be an error as well.
 */
#ifndef __cplusplus
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atoll gets localtime gmtime
#endif
