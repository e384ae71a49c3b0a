/* SPDX-License-Identifier: MIT */
/*
 * policy: which chunk leaves first. Pure: values in, an order out.
 *
 *   score = w_age * age + w_replicas * replicas - w_heat * heat, each term 0..1 among the
 * candidates
 *
 * The highest score leaves first. Heat is a count of accesses that decays with a half-life of an
 * hour, expressed as accesses an hour: Hot above 100, Warm 10 to 100, Cold below 10.
 */
#pragma once

#include "cache/cache.h"

struct cache_heat {
    double count;   /* decayed, as of at_ms */
    uint64_t at_ms; /* monotonic */
};

enum cache_temperature { CACHE_COLD, CACHE_WARM, CACHE_HOT };

void cache_heat_touch(struct cache_heat *h, uint64_t now_ms);
/* As steady accesses at that rate would have left it. */
void cache_heat_set(struct cache_heat *h, double per_hour, uint64_t now_ms);
double cache_heat_per_hour(const struct cache_heat *h, uint64_t now_ms);
enum cache_temperature cache_heat_class(double per_hour);

struct cache_candidate {
    uint64_t age_ms;   /* since the last access */
    unsigned replicas; /* copies elsewhere in the cluster that are known */
    double per_hour;   /* heat */
    double score;      /* filled by cache_policy_score */
};

/* Scores all n, each term held against the largest among them. */
void cache_policy_score(const struct cache_weights *w, struct cache_candidate *v, size_t n);
/* Index of the one to leave first; n >= 1. */
size_t cache_policy_worst(const struct cache_candidate *v, size_t n);
