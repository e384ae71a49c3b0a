/* SPDX-License-Identifier: MIT */
/* bandwidth: see bandwidth.h. */
#include "p2p/bandwidth.h"

#define SECOND     1000000000u
#define LEAST      (64 * EL_KIB)
#define MAX_BPS    ((uint64_t)1 << 50)
#define MAX_DEBT   ((int64_t)1 << 50)
#define MAX_REFILL ((uint64_t)3600 * SECOND) /* longer pauses fill it as well */

static uint64_t burst_of(uint64_t bps)
{
    return el_max_u64(bps / 100, LEAST);
}

/* Saved up since it was last looked at. */
static void refill(struct p2p_bucket *b, uint64_t now_ns)
{
    uint64_t pause = now_ns > b->at_ns ? now_ns - b->at_ns : 0;
    unsigned __int128 parts = (unsigned __int128)b->bps * el_min_u64(pause, MAX_REFILL) + b->part;
    uint64_t bytes = (uint64_t)(parts / SECOND);
    int64_t room = (int64_t)b->burst - b->level;

    b->at_ns = el_max_u64(now_ns, b->at_ns);
    b->part = (uint64_t)(parts % SECOND);
    if ((int64_t)bytes >= room) {
        bytes = (uint64_t)room;
        b->part = 0; /* what is full has no use for fractions */
    }
    b->level += (int64_t)bytes;
}

void p2p_bucket_init(struct p2p_bucket *b, uint64_t bps, uint64_t now_ns)
{
    bps = el_min_u64(bps, MAX_BPS);
    *b = (struct p2p_bucket){ .bps = bps, .burst = burst_of(bps), .at_ns = now_ns };
    b->level = (int64_t)b->burst;
}

void p2p_bucket_set(struct p2p_bucket *b, uint64_t bps, uint64_t now_ns)
{
    bool had_limit = b->bps != 0;

    refill(b, now_ns);
    b->bps = el_min_u64(bps, MAX_BPS);
    b->burst = burst_of(b->bps);
    if (!had_limit || b->level > (int64_t)b->burst)
        b->level = (int64_t)b->burst;
}

uint64_t p2p_bucket_take(struct p2p_bucket *b, uint64_t now_ns, uint64_t bytes)
{
    if (b->bps == 0)
        return bytes;
    refill(b, now_ns);
    if (b->level <= 0)
        return 0;
    bytes = el_min_u64(bytes, (uint64_t)b->level);
    b->level -= (int64_t)bytes;
    return bytes;
}

void p2p_bucket_give_back(struct p2p_bucket *b, uint64_t bytes)
{
    if (b->bps != 0)
        b->level += (int64_t)el_min_u64(bytes, (uint64_t)((int64_t)b->burst - b->level));
}

void p2p_bucket_spend(struct p2p_bucket *b, uint64_t now_ns, uint64_t bytes)
{
    if (b->bps == 0)
        return;
    refill(b, now_ns);
    if (b->level > -MAX_DEBT)
        b->level -= (int64_t)el_min_u64(bytes, (uint64_t)MAX_DEBT);
}

uint64_t p2p_bucket_wait_ns(struct p2p_bucket *b, uint64_t now_ns, uint64_t bytes)
{
    unsigned __int128 lacks;

    if (b->bps == 0)
        return 0;
    refill(b, now_ns);
    bytes = el_min_u64(bytes, b->burst);
    if (b->level >= (int64_t)bytes)
        return 0;
    lacks = (unsigned __int128)((int64_t)bytes - b->level) * SECOND - b->part;
    return (uint64_t)el_min_u64((uint64_t)((lacks + b->bps - 1) / b->bps), MAX_REFILL);
}
