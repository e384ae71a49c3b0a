/* SPDX-License-Identifier: MIT */
/* rng: xoshiro256** seeded by splitmix64 (Blackman and Vigna, 2018). */
#include "common/rng.h"

#include <sys/random.h>

static uint64_t rotl(uint64_t x, unsigned b)
{
    return (x << b) | (x >> (64 - b));
}

void el_rng_seed(struct el_rng *r, uint64_t seed)
{
    for (size_t i = 0; i < EL_COUNT(r->s); i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

void el_rng_seed_random(struct el_rng *r)
{
    uint64_t seed;

    EL_ASSERT(getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed));
    el_rng_seed(r, seed);
}

uint64_t el_rng_u64(struct el_rng *r)
{
    uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t el_rng_below(struct el_rng *r, uint64_t bound)
{
    uint64_t v, limit;

    EL_ASSERT(bound > 0);
    limit = UINT64_MAX - UINT64_MAX % bound;
    do {
        v = el_rng_u64(r);
    } while (v >= limit);
    return v % bound;
}

double el_rng_unit(struct el_rng *r)
{
    return (double)(el_rng_u64(r) >> 11) * 0x1.0p-53;
}
