/* SPDX-License-Identifier: MIT */
/*
 * bytes: numbers and pieces in binary formats, big-endian. What is written grows a buffer; what is
 * read comes from outside and may end anywhere: a read beyond the end gives zeros and makes the
 * cursor bad for good, so that a decoder reads on and asks once, before it believes a length and at
 * the end.
 */
#pragma once

#include "common/buf.h"

void el_bytes_add_u8(struct el_buf *out, uint8_t v);
void el_bytes_add_u16(struct el_buf *out, uint16_t v);
void el_bytes_add_u32(struct el_buf *out, uint32_t v);
void el_bytes_add_u64(struct el_buf *out, uint64_t v);

struct el_bytes {
    struct el_str rest; /* not read yet; borrowed */
    bool is_bad;        /* something was read that is not there */
};

struct el_bytes el_bytes_of(struct el_str s);
uint8_t el_bytes_u8(struct el_bytes *b);
uint16_t el_bytes_u16(struct el_bytes *b);
uint32_t el_bytes_u32(struct el_bytes *b);
uint64_t el_bytes_u64(struct el_bytes *b);
/* n bytes where they lie; empty when there are fewer. */
struct el_str el_bytes_str(struct el_bytes *b, size_t n);
/* n bytes copied; zeros when there are fewer. */
void el_bytes_copy(struct el_bytes *b, void *ret, size_t n);
/* Everything was there, and nothing is left. */
bool el_bytes_is_end(const struct el_bytes *b);
