/* SPDX-License-Identifier: MIT */
/* policy: see policy.h. */
#include "cache/policy.h"

#include <math.h>

#define HOUR_MS       3600000.0
#define HOT_PER_HOUR  100.0
#define WARM_PER_HOUR 10.0
#define LN2           0.69314718055994530942

static double decayed(const struct cache_heat *h, uint64_t now_ms)
{
    double hours = now_ms > h->at_ms ? (double)(now_ms - h->at_ms) / HOUR_MS : 0;

    return h->count * exp2(-hours);
}

void cache_heat_touch(struct cache_heat *h, uint64_t now_ms)
{
    h->count = decayed(h, now_ms) + 1;
    h->at_ms = now_ms;
}

void cache_heat_set(struct cache_heat *h, double per_hour, uint64_t now_ms)
{
    h->count = per_hour / LN2;
    h->at_ms = now_ms;
}

/* A steady rate r an hour settles at a count of r / ln 2. */
double cache_heat_per_hour(const struct cache_heat *h, uint64_t now_ms)
{
    return decayed(h, now_ms) * LN2;
}

enum cache_temperature cache_heat_class(double per_hour)
{
    if (per_hour > HOT_PER_HOUR)
        return CACHE_HOT;
    return per_hour >= WARM_PER_HOUR ? CACHE_WARM : CACHE_COLD;
}

static double share(double v, double max)
{
    return max > 0 ? v / max : 0;
}

void cache_policy_score(const struct cache_weights *w, struct cache_candidate *v, size_t n)
{
    double age = 0, replicas = 0, heat = 0;

    for (size_t i = 0; i < n; i++) {
        age = fmax(age, (double)v[i].age_ms);
        replicas = fmax(replicas, (double)v[i].replicas);
        heat = fmax(heat, v[i].per_hour);
    }
    for (size_t i = 0; i < n; i++)
        v[i].score = w->age * share((double)v[i].age_ms, age) +
                     w->replicas * share((double)v[i].replicas, replicas) -
                     w->heat * share(v[i].per_hour, heat);
}

size_t cache_policy_worst(const struct cache_candidate *v, size_t n)
{
    size_t worst = 0;

    EL_ASSERT(n >= 1);
    for (size_t i = 1; i < n; i++) {
        if (v[i].score > v[worst].score)
            worst = i;
    }
    return worst;
}
