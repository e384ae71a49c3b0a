/* SPDX-License-Identifier: MIT */
/* vouch_set: see vouch_set.h. Open addressing; what is removed leaves no mark. */
#include "p2p/vouch_set.h"

#define FLAGS     ((uint64_t)3)
#define FIRST_CAP 1024u /* a power of two, as all are */

/* Its flags are 0; it is not 0 itself. */
static uint64_t name_of(const struct el_chunk_id *chunk)
{
    uint64_t h;

    memcpy(&h, chunk->object, sizeof(h));
    h ^= (chunk->index + 1) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    h &= ~FLAGS;
    return h != 0 ? h : FLAGS + 1;
}

static size_t home_of(const struct p2p_vouch_set *s, uint64_t entry)
{
    return (size_t)(entry >> 2) & (s->cap - 1);
}

/* Where it is, or where it would go. There is always a free one. */
static size_t place_of(const struct p2p_vouch_set *s, uint64_t name)
{
    size_t i = home_of(s, name);

    while (s->v[i] != 0 && (s->v[i] & ~FLAGS) != name)
        i = (i + 1) & (s->cap - 1);
    return i;
}

void p2p_vouch_set_deinit(struct p2p_vouch_set *s)
{
    free(s->v);
    *s = (struct p2p_vouch_set){ 0 };
}

/* Room for so many. */
static bool reserve(struct p2p_vouch_set *s, size_t n)
{
    struct p2p_vouch_set bigger = { .cap = s->cap > 0 ? s->cap : FIRST_CAP };

    while (n > bigger.cap / 4 * 3) {
        if (bigger.cap > SIZE_MAX / 2 / sizeof(*s->v))
            return false;
        bigger.cap *= 2;
    }
    if (bigger.cap == s->cap)
        return true;
    bigger.v = el_try_alloc(bigger.cap * sizeof(*bigger.v));
    if (bigger.v == NULL)
        return false;
    for (size_t i = 0; i < s->cap; i++) {
        if (s->v[i] != 0)
            bigger.v[place_of(&bigger, s->v[i] & ~FLAGS)] = s->v[i];
    }
    bigger.n = s->n;
    free(s->v);
    *s = bigger;
    return true;
}

bool p2p_vouch_set_put(struct p2p_vouch_set *s, const struct el_chunk_id *chunk, unsigned flags)
{
    uint64_t name = name_of(chunk);
    size_t i;

    if (!reserve(s, s->n + 1))
        return false;
    i = place_of(s, name);
    s->n += s->v[i] == 0;
    s->v[i] = name | (flags & FLAGS);
    return true;
}

bool p2p_vouch_set_get(const struct p2p_vouch_set *s, const struct el_chunk_id *chunk,
                       unsigned *ret_flags)
{
    uint64_t entry = s->cap > 0 ? s->v[place_of(s, name_of(chunk))] : 0;

    if (entry != 0 && ret_flags != NULL)
        *ret_flags = (unsigned)(entry & FLAGS);
    return entry != 0;
}

/* What stands behind a gap moves into it, unless that is in front of its home. */
static void close_gap(struct p2p_vouch_set *s, size_t gap)
{
    size_t mask = s->cap - 1;

    for (size_t i = (gap + 1) & mask; s->v[i] != 0; i = (i + 1) & mask) {
        if (((i - home_of(s, s->v[i])) & mask) < ((i - gap) & mask))
            continue;
        s->v[gap] = s->v[i];
        gap = i;
    }
    s->v[gap] = 0;
}

void p2p_vouch_set_remove(struct p2p_vouch_set *s, const struct el_chunk_id *chunk)
{
    size_t i;

    if (s->cap == 0)
        return;
    i = place_of(s, name_of(chunk));
    if (s->v[i] == 0)
        return;
    s->n--;
    close_gap(s, i);
}

void p2p_vouch_set_unmeet(struct p2p_vouch_set *s)
{
    for (size_t i = 0; i < s->cap; i++)
        s->v[i] &= ~(uint64_t)P2P_VOUCH_MET;
}
