/* SPDX-License-Identifier: MIT */
/*
 * bandwidth: a token bucket that is exact: over any time t it gives out at most burst + rate * t
 * bytes, and not one less when more is asked for, however odd the rate and the moments of asking:
 * fractions of a byte are kept. Pure.
 *
 * What cannot wait (a Ping, an answer) is spent without asking, and the debt is paid before
 * anything else is given.
 */
#pragma once

#include "common/base.h"

struct p2p_bucket {
    uint64_t bps;   /* bytes a second; 0: no limit */
    uint64_t burst; /* bytes: the most that is saved up */
    int64_t level;  /* bytes that may go now; negative: debt */
    uint64_t part;  /* of a byte, in units of 1e-9: below 1e9 */
    uint64_t at_ns; /* of level */
};

/* Full. The burst is what 10 ms bring, and at least 64 KiB: a timer's tick loses nothing. */
void p2p_bucket_init(struct p2p_bucket *b, uint64_t bps, uint64_t now_ns);
/* Another rate from now on; what is owed stays owed. */
void p2p_bucket_set(struct p2p_bucket *b, uint64_t bps, uint64_t now_ns);
/* How many of `bytes` may go now; they are taken. */
uint64_t p2p_bucket_take(struct p2p_bucket *b, uint64_t now_ns, uint64_t bytes);
/* Taken before, and not used. */
void p2p_bucket_give_back(struct p2p_bucket *b, uint64_t bytes);
/* They have gone without asking. */
void p2p_bucket_spend(struct p2p_bucket *b, uint64_t now_ns, uint64_t bytes);
/* How long until `bytes` (the burst at most) may go at once; 0: now. */
uint64_t p2p_bucket_wait_ns(struct p2p_bucket *b, uint64_t now_ns, uint64_t bytes);
