/* SPDX-License-Identifier: MIT */
/*
 * rng: a seedable generator (xoshiro256**) that is handed to code that decides. Not for keys: those
 * come from OpenSSL.
 */
#pragma once

#include "common/base.h"

struct el_rng {
    uint64_t s[4];
};

void el_rng_seed(struct el_rng *r, uint64_t seed);
/* From the kernel's generator. */
void el_rng_seed_random(struct el_rng *r);
uint64_t el_rng_u64(struct el_rng *r);
/* Uniform in [0, bound); bound > 0. */
uint64_t el_rng_below(struct el_rng *r, uint64_t bound);
/* Uniform in [0, 1). */
double el_rng_unit(struct el_rng *r);
