/* SPDX-License-Identifier: MIT */
/* bytes: see bytes.h. */
#include "common/bytes.h"

static void add_number(struct el_buf *out, uint64_t v, unsigned n)
{
    char be[8];

    for (unsigned i = 0; i < n; i++)
        be[i] = (char)(uint8_t)(v >> (8 * (n - 1 - i)));
    el_buf_add(out, be, n);
}

void el_bytes_add_u8(struct el_buf *out, uint8_t v)
{
    add_number(out, v, 1);
}

void el_bytes_add_u16(struct el_buf *out, uint16_t v)
{
    add_number(out, v, 2);
}

void el_bytes_add_u32(struct el_buf *out, uint32_t v)
{
    add_number(out, v, 4);
}

void el_bytes_add_u64(struct el_buf *out, uint64_t v)
{
    add_number(out, v, 8);
}

struct el_bytes el_bytes_of(struct el_str s)
{
    return (struct el_bytes){ .rest = s };
}

struct el_str el_bytes_str(struct el_bytes *b, size_t n)
{
    struct el_str s;

    if (b->is_bad || n > b->rest.n) {
        b->is_bad = true;
        return (struct el_str){ NULL, 0 };
    }
    s = el_str_first(b->rest, n);
    b->rest = el_str_from(b->rest, n);
    return s;
}

static uint64_t number(struct el_bytes *b, unsigned n)
{
    struct el_str s = el_bytes_str(b, n);
    uint64_t v = 0;

    for (size_t i = 0; i < s.n; i++)
        v = v << 8 | (uint8_t)s.p[i];
    return v;
}

uint8_t el_bytes_u8(struct el_bytes *b)
{
    return (uint8_t)number(b, 1);
}

uint16_t el_bytes_u16(struct el_bytes *b)
{
    return (uint16_t)number(b, 2);
}

uint32_t el_bytes_u32(struct el_bytes *b)
{
    return (uint32_t)number(b, 4);
}

uint64_t el_bytes_u64(struct el_bytes *b)
{
    return number(b, 8);
}

void el_bytes_copy(struct el_bytes *b, void *ret, size_t n)
{
    struct el_str s = el_bytes_str(b, n);

    if (s.n > 0)
        memcpy(ret, s.p, n);
    else if (n > 0)
        memset(ret, 0, n);
}

bool el_bytes_is_end(const struct el_bytes *b)
{
    return !b->is_bad && b->rest.n == 0;
}
