/* SPDX-License-Identifier: MIT */
/*
 * buf: bytes that grow. Invariants: when p is not NULL, p[n] is NUL and cap > n; a zeroed struct is
 * an empty buffer. Growing aborts when memory is out, so whoever appends what comes from outside
 * bounds it first.
 */
#pragma once

#include <stdarg.h>

#include "common/str.h"

struct el_buf {
    char *p;
    size_t n, cap;
};

void el_buf_init(struct el_buf *b);
void el_buf_deinit(struct el_buf *b); /* empty and reusable afterwards */
void el_buf_clear(struct el_buf *b);  /* keeps the memory */

void el_buf_reserve(struct el_buf *b, size_t more);
void el_buf_add(struct el_buf *b, const void *bytes, size_t n);
void el_buf_add_str(struct el_buf *b, struct el_str s);
void el_buf_add_byte(struct el_buf *b, char byte);
void el_buf_addf(struct el_buf *b, const char *fmt, ...) EL_PRINTF(2, 3);
void el_buf_vaddf(struct el_buf *b, const char *fmt, va_list args);
void el_buf_add_u64(struct el_buf *b, uint64_t v); /* decimal; the hot path's printf */
/* For one line of text: what breaks it, quotes, or is not visible ASCII becomes "\x0A". */
void el_buf_add_visible(struct el_buf *b, struct el_str s);

/* Drops the first n bytes. */
void el_buf_consume(struct el_buf *b, size_t n);
/* Borrowed until the buffer changes. */
struct el_str el_buf_str(const struct el_buf *b);
/* The bytes, NUL-terminated, now the caller's to free(); the buffer is empty. Never NULL. */
char *el_buf_take(struct el_buf *b);
