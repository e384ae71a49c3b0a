/* SPDX-License-Identifier: MIT */
/* chunk_id: see chunk_id.h. */
#include "common/chunk_id.h"

#include "common/sha256.h"

#define OBJECT_CHARS (2 * EL_CHUNK_ID_OBJECT_BYTES)
#define INDEX_BYTES  4

bool el_chunk_id_eq(const struct el_chunk_id *a, const struct el_chunk_id *b)
{
    return a->index == b->index && memcmp(a->object, b->object, sizeof(a->object)) == 0;
}

void el_chunk_id_text(const struct el_chunk_id *id, char ret[EL_CHUNK_ID_CHARS + 1])
{
    uint8_t index[INDEX_BYTES];

    for (unsigned i = 0; i < INDEX_BYTES; i++)
        index[i] = (uint8_t)(id->index >> (24 - 8 * i));
    el_hex(id->object, sizeof(id->object), ret);
    ret[OBJECT_CHARS] = '-';
    el_hex(index, sizeof(index), ret + OBJECT_CHARS + 1);
}

/* -1: it is no lower-case digit. */
static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 2 * n digits. */
static bool parse_hex(const char *digits, size_t n, uint8_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        int high = digit_of(digits[2 * i]), low = digit_of(digits[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool el_chunk_id_parse(struct el_str s, struct el_chunk_id *ret)
{
    struct el_chunk_id id = { 0 };
    uint8_t index[INDEX_BYTES];

    if (s.n != EL_CHUNK_ID_CHARS || s.p[OBJECT_CHARS] != '-' ||
        !parse_hex(s.p, sizeof(id.object), id.object) ||
        !parse_hex(s.p + OBJECT_CHARS + 1, sizeof(index), index))
        return false;
    for (unsigned i = 0; i < INDEX_BYTES; i++)
        id.index = id.index << 8 | index[i];
    *ret = id;
    return true;
}

uint64_t el_chunk_id_digest(const struct el_chunk_id *id)
{
    char text[EL_CHUNK_ID_CHARS + 1];
    struct el_digest hash;
    uint64_t v = 0;

    el_chunk_id_text(id, text);
    el_sha256_of(text, EL_CHUNK_ID_CHARS, &hash);
    for (unsigned i = 0; i < sizeof(v); i++)
        v = v << 8 | hash.b[i];
    return v;
}
