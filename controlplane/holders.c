/* SPDX-License-Identifier: MIT */
/*
 * holders: see holders.h. The lowest two bits say how to read the word; pointers have them clear:
 *   0  numbers in the word: bits 2..3 how many, then 16 bits each from bit 16, sorted
 *   1  struct list   2  struct bitmap
 */
#include "controlplane/holders.h"

#define TAG_MASK  3ull
#define TAG_LIST  1ull
#define TAG_MAP   2ull
#define IN_WORD   3u
#define MAP_SPARE 1024u /* bits beyond the highest number when a bitmap is made */

struct list {
    uint16_t n, cap;
    uint16_t node[];
};

struct bitmap {
    uint32_t n, words;
    uint64_t word[];
};

static uint64_t tag_of(const struct cp_holders *h)
{
    return h->word & TAG_MASK;
}

static struct list *list_of(const struct cp_holders *h)
{
    return (struct list *)(uintptr_t)(h->word & ~TAG_MASK);
}

static struct bitmap *bitmap_of(const struct cp_holders *h)
{
    return (struct bitmap *)(uintptr_t)(h->word & ~TAG_MASK);
}

static unsigned small_count(uint64_t word)
{
    return (unsigned)(word >> 2 & 3);
}

static uint16_t small_get(uint64_t word, unsigned i)
{
    return (uint16_t)(word >> (16 * (i + 1)));
}

static uint64_t small_of(const uint16_t *node, unsigned n)
{
    uint64_t word = (uint64_t)n << 2;

    for (unsigned i = 0; i < n; i++)
        word |= (uint64_t)node[i] << (16 * (i + 1));
    return word;
}

static unsigned small_read(uint64_t word, uint16_t node[IN_WORD])
{
    unsigned n = small_count(word);

    for (unsigned i = 0; i < n; i++)
        node[i] = small_get(word, i);
    return n;
}

void cp_holders_deinit(struct cp_holders *h)
{
    if (tag_of(h) != 0)
        free((void *)(uintptr_t)(h->word & ~TAG_MASK));
    h->word = 0;
}

/* The first of n sorted numbers that is not below. */
static size_t find(const uint16_t *node, size_t n, uint16_t wanted)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (node[mid] < wanted)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void insert(uint16_t *node, size_t n, size_t at, uint16_t new)
{
    memmove(node + at + 1, node + at, (n - at) * sizeof(*node));
    node[at] = new;
}

static void set_list(struct cp_holders *h, struct list *l)
{
    h->word = (uint64_t)(uintptr_t)l | TAG_LIST;
}

static struct list *resize_list(struct list *l, uint16_t cap)
{
    bool is_new = l == NULL;

    l = (struct list *)realloc(l, sizeof(*l) + cap * sizeof(l->node[0]));
    EL_ASSERT(l != NULL);
    if (is_new)
        l->n = 0;
    l->cap = cap;
    return l;
}

static void small_to_list(struct cp_holders *h)
{
    uint16_t node[IN_WORD];
    unsigned n = small_read(h->word, node);
    struct list *l = resize_list(NULL, 6);

    memcpy(l->node, node, n * sizeof(*node));
    l->n = (uint16_t)n;
    set_list(h, l);
}

/* Bits for numbers up to this one. */
static uint32_t words_for(uint32_t node)
{
    return (node + MAP_SPARE) / 64;
}

static void list_to_map(struct cp_holders *h)
{
    struct list *l = list_of(h);
    uint32_t words = words_for(l->node[l->n - 1]);
    struct bitmap *m = (struct bitmap *)el_alloc(sizeof(*m) + words * sizeof(m->word[0]));

    m->words = words;
    m->n = l->n;
    for (uint16_t i = 0; i < l->n; i++)
        m->word[l->node[i] / 64] |= 1ull << l->node[i] % 64;
    free(l);
    h->word = (uint64_t)(uintptr_t)m | TAG_MAP;
}

static void map_to_list(struct cp_holders *h)
{
    struct bitmap *m = bitmap_of(h);
    struct list *l = resize_list(NULL, (uint16_t)(m->n + 2));

    for (uint32_t w = 0; w < m->words; w++) {
        for (uint64_t left = m->word[w]; left != 0; left &= left - 1)
            l->node[l->n++] = (uint16_t)(w * 64 + (unsigned)__builtin_ctzll(left));
    }
    free(m);
    set_list(h, l);
}

static bool add_small(struct cp_holders *h, uint16_t node)
{
    uint16_t all[IN_WORD];
    unsigned n = small_read(h->word, all);
    size_t at = find(all, n, node);

    if (at < n && all[at] == node)
        return false;
    if (n == IN_WORD) {
        small_to_list(h);
        return cp_holders_add(h, node);
    }
    insert(all, n, at, node);
    h->word = small_of(all, n + 1);
    return true;
}

static bool add_list(struct cp_holders *h, uint16_t node)
{
    struct list *l = list_of(h);
    size_t at = find(l->node, l->n, node);

    if (at < l->n && l->node[at] == node)
        return false;
    if (l->n >= 4 * words_for(l->node[l->n - 1])) {
        list_to_map(h);
        return cp_holders_add(h, node);
    }
    if (l->n == l->cap) {
        l = resize_list(l, (uint16_t)(l->cap + l->cap / 2 + 2));
        set_list(h, l);
    }
    insert(l->node, l->n, at, node);
    l->n++;
    return true;
}

static struct bitmap *widen(struct cp_holders *h, uint16_t node)
{
    struct bitmap *m = bitmap_of(h);
    uint32_t words = words_for(node);
    struct bitmap *wide = (struct bitmap *)realloc(m, sizeof(*m) + words * sizeof(m->word[0]));

    EL_ASSERT(wide != NULL);
    memset(wide->word + wide->words, 0, (words - wide->words) * sizeof(wide->word[0]));
    wide->words = words;
    h->word = (uint64_t)(uintptr_t)wide | TAG_MAP;
    return wide;
}

static bool add_map(struct cp_holders *h, uint16_t node)
{
    struct bitmap *m = bitmap_of(h);
    uint64_t bit = 1ull << node % 64;

    if (node / 64 >= m->words)
        m = widen(h, node);
    if ((m->word[node / 64] & bit) != 0)
        return false;
    m->word[node / 64] |= bit;
    m->n++;
    return true;
}

bool cp_holders_add(struct cp_holders *h, uint16_t node)
{
    if (tag_of(h) == TAG_LIST)
        return add_list(h, node);
    return tag_of(h) == TAG_MAP ? add_map(h, node) : add_small(h, node);
}

static bool remove_small(struct cp_holders *h, uint16_t node)
{
    uint16_t all[IN_WORD];
    unsigned n = small_read(h->word, all);
    size_t at = find(all, n, node);

    if (at == n || all[at] != node)
        return false;
    memmove(all + at, all + at + 1, (n - at - 1) * sizeof(*all));
    h->word = small_of(all, n - 1);
    if (n == 1)
        h->word = 0;
    return true;
}

static bool remove_list(struct cp_holders *h, uint16_t node)
{
    struct list *l = list_of(h);
    size_t at = find(l->node, l->n, node);

    if (at == l->n || l->node[at] != node)
        return false;
    l->n--;
    memmove(l->node + at, l->node + at + 1, (l->n - at) * sizeof(l->node[0]));
    if (l->n == IN_WORD) {
        h->word = small_of(l->node, IN_WORD);
        free(l);
    }
    return true;
}

static bool remove_map(struct cp_holders *h, uint16_t node)
{
    struct bitmap *m = bitmap_of(h);
    uint64_t bit = 1ull << node % 64;

    if (node / 64 >= m->words || (m->word[node / 64] & bit) == 0)
        return false;
    m->word[node / 64] &= ~bit;
    m->n--;
    if (m->n < 2 * m->words)
        map_to_list(h);
    return true;
}

bool cp_holders_remove(struct cp_holders *h, uint16_t node)
{
    if (tag_of(h) == TAG_LIST)
        return remove_list(h, node);
    return tag_of(h) == TAG_MAP ? remove_map(h, node) : remove_small(h, node);
}

bool cp_holders_has(const struct cp_holders *h, uint16_t node)
{
    uint32_t at = node;

    return cp_holders_next(h, &at) && at == node;
}

size_t cp_holders_count(const struct cp_holders *h)
{
    if (tag_of(h) == TAG_LIST)
        return list_of(h)->n;
    return tag_of(h) == TAG_MAP ? bitmap_of(h)->n : small_count(h->word);
}

static bool next_in(const uint16_t *node, size_t n, uint32_t *from)
{
    size_t at = *from > UINT16_MAX ? n : find(node, n, (uint16_t)*from);

    if (at == n)
        return false;
    *from = node[at];
    return true;
}

static bool next_bit(const struct bitmap *m, uint32_t *from)
{
    uint32_t w = *from / 64;
    uint64_t left;

    if (w >= m->words)
        return false;
    left = m->word[w] & ~0ull << *from % 64;
    while (left == 0) {
        if (++w == m->words)
            return false;
        left = m->word[w];
    }
    *from = w * 64 + (uint32_t)__builtin_ctzll(left);
    return true;
}

bool cp_holders_next(const struct cp_holders *h, uint32_t *node)
{
    uint16_t all[IN_WORD];

    if (tag_of(h) == TAG_LIST)
        return next_in(list_of(h)->node, list_of(h)->n, node);
    if (tag_of(h) == TAG_MAP)
        return next_bit(bitmap_of(h), node);
    return next_in(all, small_read(h->word, all), node);
}

size_t cp_holders_bytes(const struct cp_holders *h)
{
    if (tag_of(h) == TAG_LIST)
        return sizeof(struct list) + list_of(h)->cap * sizeof(uint16_t);
    if (tag_of(h) == TAG_MAP)
        return sizeof(struct bitmap) + bitmap_of(h)->words * sizeof(uint64_t);
    return 0;
}
