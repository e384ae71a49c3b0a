/* SPDX-License-Identifier: MIT */
/* buf: see buf.h for the invariants. */
#include "common/buf.h"

#include <stdio.h>

void el_buf_init(struct el_buf *b)
{
    *b = (struct el_buf){ 0 };
}

void el_buf_deinit(struct el_buf *b)
{
    free(b->p);
    el_buf_init(b);
}

void el_buf_clear(struct el_buf *b)
{
    b->n = 0;
    if (b->p != NULL)
        b->p[0] = '\0';
}

void el_buf_reserve(struct el_buf *b, size_t more)
{
    size_t need = b->n + more + 1, cap = b->cap;

    EL_ASSERT(b->n < SIZE_MAX / 4 && more < SIZE_MAX / 4);
    if (need <= cap)
        return;
    cap = cap < 64 ? 64 : cap;
    while (cap < need)
        cap *= 2;
    b->p = realloc(b->p, cap);
    EL_ASSERT(b->p != NULL);
    b->cap = cap;
    b->p[b->n] = '\0';
}

void el_buf_add(struct el_buf *b, const void *bytes, size_t n)
{
    el_buf_reserve(b, n);
    if (n > 0)
        memcpy(b->p + b->n, bytes, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void el_buf_add_str(struct el_buf *b, struct el_str s)
{
    el_buf_add(b, s.p, s.n);
}

void el_buf_add_byte(struct el_buf *b, char byte)
{
    el_buf_add(b, &byte, 1);
}

void el_buf_vaddf(struct el_buf *b, const char *fmt, va_list args)
{
    va_list again;
    int n;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    EL_ASSERT(n >= 0);
    el_buf_reserve(b, (size_t)n);
    (void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

void el_buf_addf(struct el_buf *b, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    el_buf_vaddf(b, fmt, args);
    va_end(args);
}

void el_buf_add_u64(struct el_buf *b, uint64_t v)
{
    char digits[20];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    el_buf_add(b, digits + i, sizeof(digits) - i);
}

void el_buf_add_visible(struct el_buf *b, struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\')
            el_buf_addf(b, "\\x%02X", c);
        else
            el_buf_add_byte(b, (char)c);
    }
}

void el_buf_consume(struct el_buf *b, size_t n)
{
    EL_ASSERT(n <= b->n);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n + 1);
    b->n -= n;
}

struct el_str el_buf_str(const struct el_buf *b)
{
    return (struct el_str){ b->p, b->n };
}

char *el_buf_take(struct el_buf *b)
{
    char *p;

    el_buf_reserve(b, 0);
    p = b->p;
    el_buf_init(b);
    return p;
}
