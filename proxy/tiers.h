/* SPDX-License-Identifier: MIT */
/*
 * tiers: who gave the bytes that clients got, and so what each tier of the cache is worth. Bytes
 * are counted one by one; a request counts for the slowest tier that had a part in it.
 *
 * What a request takes from a fill that another one started came from where the fill came from.
 */
#pragma once

#include "common/metrics.h"

/* The fastest first. */
enum proxy_tier {
    PROXY_TIER_MEMORY,
    PROXY_TIER_DISK,
    PROXY_TIER_PEER,
    PROXY_TIER_ORIGIN,
    PROXY_TIERS,
};

const char *proxy_tier_name(enum proxy_tier t);

/* Of all requests. Thread: any. */
struct proxy_tier_counters {
    struct el_counter *requests[PROXY_TIERS], *bytes[PROXY_TIERS];
};
void proxy_tiers_register(struct proxy_tier_counters *c, struct el_metrics *m);

struct proxy_tier_sums {
    uint64_t requests[PROXY_TIERS], bytes[PROXY_TIERS];
};
void proxy_tiers_sum(const struct proxy_tier_counters *c, struct proxy_tier_sums *ret);

/* Of one request; begins zeroed. */
struct proxy_tier_share {
    uint64_t bytes[PROXY_TIERS];
};
/* n bytes went to the client; from: enum cache_origin_flags of cache/cache.h. */
void proxy_tiers_note(struct proxy_tier_share *s, unsigned from, size_t n);
/* The request is over; where no tier gave any bytes of it, it counts for `bare`. PROXY_TIERS: not
 * at all. */
void proxy_tiers_count(struct proxy_tier_counters *c, const struct proxy_tier_share *s,
                       enum proxy_tier bare);
