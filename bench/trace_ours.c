/* SPDX-License-Identifier: MIT */
/*
 * trace_ours: the node's own regions, sketch and scores, as a store uses them, without a disk.
 *
 *   access -> counted by the sketch -> there: touch
 *                                   -> not there, free region: taken
 *                                   -> not there, none: is it worth the victim's place?
 *                                      yes: the victim's region is given up, what is hot in a log
 * is written again, then taken
 */
#include "bench/trace.h"
#include "cache/sketch.h"
#include "common/rng.h"

#define NOBODY    UINT32_MAX
#define RESERVE   2  /* free regions: for pieces that move before their own is free */
#define LOOKED_AT 32 /* pieces of a log, to tell how often they are asked for */

struct ours {
    const struct trace *t;
    struct l2_regions *regions;
    struct cache_sketch *sketch;
    struct el_rng rng;
    uint32_t *where; /* the region of each thing, or L2_NO_REGION */
    uint32_t *next;  /* of each thing: another one in its region, or NOBODY */
    uint32_t *first; /* of each region */
    uint64_t now_ms;
    uint64_t written_bytes;
};

static void ours_deinit(struct ours *o)
{
    l2_regions_free(o->regions);
    cache_sketch_free(o->sketch);
    free(o->where);
    free(o->next);
    free(o->first);
}

static bool ours_init(struct ours *o, const struct trace *t)
{
    static const struct cache_weights weights = { .age = 1.0, .replicas = 0.5, .heat = 0.3 };

    *o = (struct ours){
        .t = t,
        .regions = l2_regions_new(t->regions, &weights),
        .sketch = cache_sketch_new(t->regions),
        .where = (uint32_t *)el_try_alloc(t->n_things * sizeof(*o->where)),
        .next = (uint32_t *)el_try_alloc(t->n_things * sizeof(*o->next)),
        .first = (uint32_t *)el_try_alloc(t->regions * sizeof(*o->first)),
    };
    if (o->regions == NULL || o->sketch == NULL || o->where == NULL || o->next == NULL ||
        o->first == NULL) {
        ours_deinit(o);
        return false;
    }
    el_rng_seed(&o->rng, 99);
    for (uint32_t i = 0; i < t->n_things; i++)
        o->where[i] = L2_NO_REGION;
    for (uint32_t i = 0; i < t->regions; i++)
        o->first[i] = NOBODY;
    return true;
}

static uint64_t hash_of(uint32_t thing)
{
    return (thing + UINT64_C(1)) * 0x9e3779b97f4a7c15u;
}

static bool is_chunk(const struct ours *o, uint32_t thing)
{
    return o->t->bytes[thing] == L2_REGION_BYTES;
}

/* How often what stands in a region is asked for: the mean of its first pieces. */
static unsigned region_count(const struct ours *o, uint32_t region)
{
    unsigned sum = 0, n = 0;

    for (uint32_t i = o->first[region]; i != NOBODY && n < LOOKED_AT; i = o->next[i], n++)
        sum += cache_sketch_count(o->sketch, hash_of(i));
    return n > 0 ? sum / n : 0;
}

static void stand_in(struct ours *o, uint32_t thing, uint32_t region)
{
    o->where[thing] = region;
    o->next[thing] = o->first[region];
    o->first[region] = thing;
    l2_region_add(o->regions, region, o->t->bytes[thing]);
    o->written_bytes += o->t->bytes[thing];
}

/* False: no region is free. */
static bool put(struct ours *o, uint32_t thing)
{
    uint32_t region, offset;

    if (!is_chunk(o, thing)) {
        if (!l2_region_take_piece(o->regions, o->t->bytes[thing], o->now_ms, &region, &offset))
            return false;
        stand_in(o, thing, region);
        return true;
    }
    region = l2_region_take_chunk(o->regions, o->now_ms);
    if (region == L2_NO_REGION)
        return false;
    stand_in(o, thing, region);
    l2_region_close(o->regions, region);
    return true;
}

/* Pieces that are asked for more often than the mean of their region move, up to half of it. */
static void give_up(struct ours *o, uint32_t region)
{
    uint32_t thing = o->first[region], moved = 0, next;
    unsigned mean = region_count(o, region);

    l2_region_give_up(o->regions, region);
    o->first[region] = NOBODY;
    for (; thing != NOBODY; thing = next) {
        uint32_t bytes = o->t->bytes[thing];

        next = o->next[thing];
        o->where[thing] = L2_NO_REGION;
        (void)l2_region_drop(o->regions, region, bytes, false); /* it is leaving already */
        if (!is_chunk(o, thing) && cache_sketch_count(o->sketch, hash_of(thing)) > mean &&
            moved + bytes <= L2_REGION_BYTES / 2 && put(o, thing))
            moved += bytes;
    }
    l2_region_freed(o->regions, region);
}

/* Stores it, or not. */
static void offer(struct ours *o, uint32_t thing)
{
    uint64_t random = el_rng_u64(&o->rng);
    uint32_t victim;

    if (l2_regions_free_count(o->regions) > RESERVE) {
        (void)put(o, thing); /* there is room */
        return;
    }
    victim = l2_region_victim(o->regions, o->now_ms, random);
    if (victim == L2_NO_REGION ||
        !cache_sketch_admits(o->sketch, hash_of(thing), region_count(o, victim), random >> 32))
        return;
    if (is_chunk(o, thing) || l2_regions_free_count(o->regions) < RESERVE)
        give_up(o, victim);
    (void)put(o, thing); /* otherwise the moved pieces took the room */
}

bool trace_ours(const struct trace *t, struct outcome *ret)
{
    struct ours o;

    if (!ours_init(&o, t))
        return false;
    for (size_t i = 0; i < t->n; i++) {
        uint32_t thing = t->asked[i];
        bool is_hit = o.where[thing] != L2_NO_REGION;

        o.now_ms = i * TRACE_STEP_MS;
        cache_sketch_touch(o.sketch, hash_of(thing));
        outcome_count(ret, t->bytes[thing], is_hit, false);
        if (is_hit)
            l2_region_touch(o.regions, o.where[thing], o.now_ms);
        else
            offer(&o, thing);
    }
    ret->written_bytes = o.written_bytes;
    ours_deinit(&o);
    return true;
}
