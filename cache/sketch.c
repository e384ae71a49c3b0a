/* SPDX-License-Identifier: MIT */
/*
 * sketch: see sketch.h. Four rows of 4-bit counters, sixteen to a word. A thing has one counter in
 * each row; its count is the least of them, and only those that are the least are raised
 * (conservative update), since the others are known to count somebody else as well.
 */
#include "cache/sketch.h"

#define ROWS          4
#define COUNT_MAX     15u
#define MIN_THINGS    16
#define MAX_THINGS    ((size_t)1 << 25) /* 512 MiB of counters */
#define PER_WORD      16
#define PER_THING     8 /* counters in a row: fewer, and the counts of a long tail run together */
#define SAMPLE        10
#define TIES_ADMITTED 64 /* one in so many */
#define HALF_MASK     UINT64_C(0x7777777777777777)

struct cache_sketch {
    uint64_t width;  /* counters in a row, a power of two */
    uint64_t sample; /* accesses after which they are halved */
    uint64_t seen;   /* accesses that are in the counters, those halved as half */
    uint64_t words[];
};

static uint64_t row_words(const struct cache_sketch *s)
{
    return s->width / PER_WORD;
}

struct cache_sketch *cache_sketch_new(size_t things)
{
    uint64_t bounded = el_max_u64(el_min_u64(things, MAX_THINGS), MIN_THINGS);
    uint64_t width = MIN_THINGS;
    struct cache_sketch *s;

    while (width < PER_THING * bounded)
        width *= 2;
    s = (struct cache_sketch *)el_try_alloc(sizeof(*s) +
                                            ROWS * (width / PER_WORD) * sizeof(s->words[0]));
    if (s == NULL)
        return NULL;
    s->width = width;
    s->sample = SAMPLE * bounded;
    return s;
}

void cache_sketch_free(struct cache_sketch *s)
{
    free(s);
}

/* Hashes of ours may share bits (of a url, a chunk number): mixed once more (splitmix64). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Which counter of the row: double hashing, an odd step. */
static uint64_t column(const struct cache_sketch *s, uint64_t mixed, unsigned row)
{
    uint64_t step = (mixed >> 32) | 1;

    return (mixed + row * step) & (s->width - 1);
}

static uint64_t *word_of(struct cache_sketch *s, unsigned row, uint64_t column)
{
    return &s->words[row * row_words(s) + column / PER_WORD];
}

static unsigned shift_of(uint64_t column)
{
    return (unsigned)(column % PER_WORD) * 4;
}

static unsigned counter(const struct cache_sketch *s, unsigned row, uint64_t column)
{
    uint64_t word = s->words[row * row_words(s) + column / PER_WORD];

    return (unsigned)(word >> shift_of(column)) & COUNT_MAX;
}

static unsigned least(const struct cache_sketch *s, uint64_t mixed)
{
    unsigned min = COUNT_MAX;

    for (unsigned row = 0; row < ROWS; row++) {
        unsigned c = counter(s, row, column(s, mixed, row));

        min = c < min ? c : min;
    }
    return min;
}

/* All sixteen of a word at once: what a shift brings in from the neighbour is masked. */
static void halve(struct cache_sketch *s)
{
    for (uint64_t i = 0; i < ROWS * row_words(s); i++)
        s->words[i] = (s->words[i] >> 1) & HALF_MASK;
    s->seen /= 2;
}

void cache_sketch_touch(struct cache_sketch *s, uint64_t hash)
{
    uint64_t mixed = mix(hash);
    unsigned min = least(s, mixed);

    for (unsigned row = 0; row < ROWS && min < COUNT_MAX; row++) {
        uint64_t c = column(s, mixed, row);

        if (counter(s, row, c) == min)
            *word_of(s, row, c) += UINT64_C(1) << shift_of(c);
    }
    if (++s->seen >= s->sample)
        halve(s);
}

unsigned cache_sketch_count(const struct cache_sketch *s, uint64_t hash)
{
    return least(s, mix(hash));
}

bool cache_sketch_admits(const struct cache_sketch *s, uint64_t newcomer, unsigned victim_count,
                         uint64_t random)
{
    unsigned count = cache_sketch_count(s, newcomer);

    if (count == victim_count + 1)
        return random % TIES_ADMITTED == 0;
    return count > victim_count + 1;
}
