/* SPDX-License-Identifier: MIT */
/*
 * sketch: how often something was asked for lately, in a fixed amount of memory: a count-min sketch
 * of 4-bit counters that are halved once ten times as many accesses were seen as there are things
 * in the cache (the ageing of TinyLFU: Einziger, Friedman, Manes 2017), and admission by it. Pure.
 */
#pragma once

#include "common/base.h"

struct cache_sketch; /* Thread: one at a time */

/*
 * For about so many different things in the cache at a time: 16 to 32 bytes each. With more a shift
 * is followed later, with fewer what is read once in a long while is forgotten; the number of its
 * regions serves a store well, also one with many short objects. NULL: memory is out.
 */
struct cache_sketch *cache_sketch_new(size_t things);
void cache_sketch_free(struct cache_sketch *s); /* NULL is fine */
void cache_sketch_touch(struct cache_sketch *s, uint64_t hash);
unsigned cache_sketch_count(const struct cache_sketch *s, uint64_t hash); /* 0..15 */

/*
 * Whether a newcomer, whose access was counted already, is worth the place of what would leave for
 * it. While there is free room everything is; otherwise it has to have been asked for more often
 * before than the victim, so that one pass over a large dataset does not flush what is asked for
 * again and again, nor the part of the dataset that is there from the pass before. A newcomer that
 * ties gets in one time in 64 (`random`), so that a set that shifts is followed.
 */
bool cache_sketch_admits(const struct cache_sketch *s, uint64_t newcomer, unsigned victim_count,
                         uint64_t random);
