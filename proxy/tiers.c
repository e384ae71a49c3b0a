/* SPDX-License-Identifier: MIT */
/* tiers: see tiers.h. */
#include "proxy/tiers.h"

#include "cache/cache.h"

const char *proxy_tier_name(enum proxy_tier t)
{
    static const char *const names[PROXY_TIERS] = { "memory", "disk", "peer", "origin" };

    EL_ASSERT(t < PROXY_TIERS);
    return names[t];
}

void proxy_tiers_register(struct proxy_tier_counters *c, struct el_metrics *m)
{
    for (enum proxy_tier t = 0; t < PROXY_TIERS; t++) {
        char label[32];

        (void)snprintf(label, sizeof(label), "tier=\"%s\"", proxy_tier_name(t));
        c->requests[t] = el_metrics_counter(
            m, "eliop2p_tier_requests_total",
            "Requests answered, by the slowest tier that had a part in it.", label);
        c->bytes[t] =
            el_metrics_counter(m, "eliop2p_tier_bytes_total",
                               "Bytes of bodies sent to clients, by who gave them.", label);
    }
}

static enum proxy_tier slowest_of(unsigned from)
{
    if ((from & CACHE_FROM_ORIGIN) != 0)
        return PROXY_TIER_ORIGIN;
    if ((from & CACHE_FROM_PEER) != 0)
        return PROXY_TIER_PEER;
    return (from & CACHE_FROM_DISK) != 0 ? PROXY_TIER_DISK : PROXY_TIER_MEMORY;
}

void proxy_tiers_note(struct proxy_tier_share *s, unsigned from, size_t n)
{
    s->bytes[slowest_of(from)] += n;
}

void proxy_tiers_count(struct proxy_tier_counters *c, const struct proxy_tier_share *s,
                       enum proxy_tier bare)
{
    enum proxy_tier slowest = PROXY_TIERS;

    for (enum proxy_tier t = 0; t < PROXY_TIERS; t++) {
        if (s->bytes[t] == 0)
            continue;
        el_counter_add(c->bytes[t], s->bytes[t]);
        slowest = t;
    }
    if (slowest == PROXY_TIERS)
        slowest = bare;
    if (slowest < PROXY_TIERS)
        el_counter_add(c->requests[slowest], 1);
}

void proxy_tiers_sum(const struct proxy_tier_counters *c, struct proxy_tier_sums *ret)
{
    for (enum proxy_tier t = 0; t < PROXY_TIERS; t++) {
        ret->requests[t] = el_counter_get(c->requests[t]);
        ret->bytes[t] = el_counter_get(c->bytes[t]);
    }
}
