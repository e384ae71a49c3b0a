/* SPDX-License-Identifier: MIT */
/* set: see set.h. */
#include "controlplane/set.h"

#include "controlplane/table.h"

#define BOX_BITS  12u
#define BOX       (1u << BOX_BITS)
#define WORDS     (BOX / 64)
#define FEW       256u /* as many take 512 bytes, which is a bitmap's size */
#define BACK      192u /* a bitmap with fewer becomes a list again: not at each step to and fro */
#define FIRST_CAP 4u

struct cp_box {
    uint32_t key;
    uint16_t n;   /* numbers */
    uint16_t cap; /* of low; 0: it is a bitmap */
    union {
        uint16_t *low;  /* sorted */
        uint64_t *word; /* WORDS of them */
    };
};

void cp_set_deinit(struct cp_set *s)
{
    for (size_t i = 0; i < s->n_boxes; i++)
        free(s->boxes[i].low);
    free(s->boxes);
    *s = (struct cp_set){ 0 };
}

/* The first box whose key is not below. */
static size_t find_box(const struct cp_set *s, uint32_t key)
{
    size_t lo = 0, hi = s->n_boxes;

    if (hi > 0 && s->boxes[hi - 1].key < key)
        return hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (s->boxes[mid].key < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The first of the list that is not below. */
static uint16_t find_low(const struct cp_box *b, uint16_t low)
{
    uint16_t lo = 0, hi = b->n;

    if (hi > 0 && b->low[hi - 1] < low)
        return hi;
    while (lo < hi) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);

        if (b->low[mid] < low)
            lo = (uint16_t)(mid + 1);
        else
            hi = mid;
    }
    return lo;
}

static bool is_bitmap(const struct cp_box *b)
{
    return b->cap == 0;
}

static struct cp_box *insert_box(struct cp_set *s, size_t at, uint32_t key)
{
    struct cp_box *b;

    s->boxes = (struct cp_box *)cp_array_reserve(s->boxes, s->n_boxes, &s->cap, sizeof(*s->boxes));
    b = &s->boxes[at];
    memmove(b + 1, b, (s->n_boxes - at) * sizeof(*b));
    s->n_boxes++;
    *b = (struct cp_box){ .key = key, .cap = FIRST_CAP };
    b->low = (uint16_t *)el_alloc(FIRST_CAP * sizeof(*b->low));
    return b;
}

static void remove_box(struct cp_set *s, size_t at)
{
    struct cp_box *b = &s->boxes[at];

    free(b->low);
    s->n_boxes--;
    memmove(b, b + 1, (s->n_boxes - at) * sizeof(*b));
}

static void to_bitmap(struct cp_box *b)
{
    uint64_t *word = (uint64_t *)el_alloc(WORDS * sizeof(*word));

    for (uint16_t i = 0; i < b->n; i++)
        word[b->low[i] / 64] |= 1ull << b->low[i] % 64;
    free(b->low);
    b->word = word;
    b->cap = 0;
}

static void to_list(struct cp_box *b)
{
    uint16_t *low = (uint16_t *)el_alloc(FEW * sizeof(*low));
    uint16_t n = 0;

    for (unsigned w = 0; w < WORDS; w++) {
        for (uint64_t left = b->word[w]; left != 0; left &= left - 1)
            low[n++] = (uint16_t)(w * 64 + (unsigned)__builtin_ctzll(left));
    }
    free(b->word);
    b->low = low;
    b->cap = FEW;
}

static void grow_list(struct cp_box *b)
{
    b->cap = (uint16_t)(2 * b->cap);
    b->low = (uint16_t *)reallocarray(b->low, b->cap, sizeof(*b->low));
    EL_ASSERT(b->low != NULL);
}

static bool add_to_list(struct cp_box *b, uint16_t low)
{
    uint16_t at = find_low(b, low);

    if (at < b->n && b->low[at] == low)
        return false;
    if (b->n == b->cap)
        grow_list(b);
    memmove(b->low + at + 1, b->low + at, (size_t)(b->n - at) * sizeof(*b->low));
    b->low[at] = low;
    b->n++;
    return true;
}

static bool add_to_bitmap(struct cp_box *b, uint16_t low)
{
    uint64_t bit = 1ull << low % 64;

    if ((b->word[low / 64] & bit) != 0)
        return false;
    b->word[low / 64] |= bit;
    b->n++;
    return true;
}

bool cp_set_add(struct cp_set *s, uint32_t number)
{
    uint32_t key = number >> BOX_BITS;
    size_t at = find_box(s, key);
    struct cp_box *b =
        at < s->n_boxes && s->boxes[at].key == key ? &s->boxes[at] : insert_box(s, at, key);
    uint16_t low = (uint16_t)(number % BOX);
    bool is_new;

    if (!is_bitmap(b) && b->n == FEW)
        to_bitmap(b);
    is_new = is_bitmap(b) ? add_to_bitmap(b, low) : add_to_list(b, low);
    s->n += is_new;
    return is_new;
}

static bool remove_from_list(struct cp_box *b, uint16_t low)
{
    uint16_t at = find_low(b, low);

    if (at == b->n || b->low[at] != low)
        return false;
    b->n--;
    memmove(b->low + at, b->low + at + 1, (size_t)(b->n - at) * sizeof(*b->low));
    return true;
}

static bool remove_from_bitmap(struct cp_box *b, uint16_t low)
{
    uint64_t bit = 1ull << low % 64;

    if ((b->word[low / 64] & bit) == 0)
        return false;
    b->word[low / 64] &= ~bit;
    b->n--;
    if (b->n < BACK)
        to_list(b);
    return true;
}

bool cp_set_remove(struct cp_set *s, uint32_t number)
{
    uint32_t key = number >> BOX_BITS;
    size_t at = find_box(s, key);
    uint16_t low = (uint16_t)(number % BOX);
    struct cp_box *b;

    if (at == s->n_boxes || s->boxes[at].key != key)
        return false;
    b = &s->boxes[at];
    if (!(is_bitmap(b) ? remove_from_bitmap(b, low) : remove_from_list(b, low)))
        return false;
    if (b->n == 0)
        remove_box(s, at);
    s->n--;
    return true;
}

bool cp_set_has(const struct cp_set *s, uint32_t number)
{
    size_t at = find_box(s, number >> BOX_BITS);
    uint16_t low = (uint16_t)(number % BOX), i;
    const struct cp_box *b;

    if (at == s->n_boxes || s->boxes[at].key != number >> BOX_BITS)
        return false;
    b = &s->boxes[at];
    if (is_bitmap(b))
        return (b->word[low / 64] >> low % 64 & 1) != 0;
    i = find_low(b, low);
    return i < b->n && b->low[i] == low;
}

/* The first word at or after `w` that is not 0; WORDS: none. */
static uint32_t next_word(const struct cp_box *b, uint32_t w, uint64_t *ret_mask)
{
    uint16_t i;

    if (is_bitmap(b)) {
        while (w < WORDS && b->word[w] == 0)
            w++;
        if (w < WORDS)
            *ret_mask = b->word[w];
        return w;
    }
    i = w < WORDS ? find_low(b, (uint16_t)(w * 64)) : b->n;
    if (i == b->n)
        return WORDS;
    w = b->low[i] / 64;
    *ret_mask = 0;
    for (; i < b->n && b->low[i] / 64 == w; i++)
        *ret_mask |= 1ull << b->low[i] % 64;
    return w;
}

bool cp_set_next(const struct cp_set *s, uint64_t *base, uint64_t *ret_mask)
{
    uint64_t key = *base >> BOX_BITS;
    uint32_t w = (uint32_t)(*base % BOX / 64);

    if (key > UINT32_MAX >> BOX_BITS)
        return false;
    for (size_t at = find_box(s, (uint32_t)key); at < s->n_boxes; at++) {
        const struct cp_box *b = &s->boxes[at];

        w = next_word(b, b->key == key ? w : 0, ret_mask);
        if (w < WORDS) {
            *base = ((uint64_t)b->key << BOX_BITS) + w * 64;
            return true;
        }
    }
    return false;
}

size_t cp_set_bytes(const struct cp_set *s)
{
    size_t bytes = s->cap * sizeof(*s->boxes);

    for (size_t i = 0; i < s->n_boxes; i++)
        bytes +=
            is_bitmap(&s->boxes[i]) ? WORDS * sizeof(uint64_t) : s->boxes[i].cap * sizeof(uint16_t);
    return bytes;
}
