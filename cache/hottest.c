/* SPDX-License-Identifier: MIT */
/* hottest: which objects in memory are asked for most: for whoever tells people (cache.h). */
#include "cache/object.h"

/* Sorted, hottest first; of equals the one that came first. The last one leaves when it is full. */
static size_t insert(struct cache_hot *v, size_t n, size_t max, const struct cache_hot *hot)
{
    size_t at = n < max ? n : max - 1;

    for (; at > 0 && v[at - 1].per_hour < hot->per_hour; at--)
        v[at] = v[at - 1];
    v[at] = *hot;
    return n < max ? n + 1 : n;
}

/* It is as hot as its hottest chunk. */
static size_t note(struct cache_hot *v, size_t n, size_t max, const struct cache_hot *hot)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i].object != hot->object)
            continue;
        if (v[i].per_hour >= hot->per_hour)
            return n;
        memmove(v + i, v + i + 1, (n - i - 1) * sizeof(*v));
        return insert(v, n - 1, max, hot);
    }
    if (n == max && v[n - 1].per_hour >= hot->per_hour)
        return n;
    return insert(v, n, max, hot);
}

/* Referenced. */
static size_t of_shard(struct cache_shard *s, uint64_t now_ms, struct cache_hot *v, size_t max)
{
    struct el_list *it, *tmp;
    size_t n = 0;

    cache_shard_lock(s);
    EL_LIST_EACH (it, tmp, &s->lru) {
        const struct cache_chunk *c = EL_ENTRY(it, struct cache_chunk, lru);
        const struct cache_hot hot = { c->object, cache_heat_per_hour(&c->heat, now_ms) };

        if (hot.per_hour > 0 && c->object->has_id && c->object->in_index && !c->object->is_dead)
            n = note(v, n, max, &hot);
    }
    for (size_t i = 0; i < n; i++)
        (void)cache_object_ref(v[i].object);
    cache_shard_unlock(s);
    return n;
}

size_t cache_hottest(struct cache *c, struct cache_hot *ret, size_t max)
{
    uint64_t now_ms = el_clock_mono_ms(c->conf.clock);
    struct cache_hot some[CACHE_MAX_HOTTEST];
    size_t n = 0;

    EL_ASSERT(max > 0 && max <= CACHE_MAX_HOTTEST);
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        size_t k = of_shard(&c->shards[i], now_ms, some, max);

        for (size_t j = 0; j < k; j++) {
            struct cache_object *loser = n == max ? ret[max - 1].object : NULL;

            if (loser != NULL && ret[max - 1].per_hour >= some[j].per_hour)
                loser = some[j].object;
            else
                n = insert(ret, n, max, &some[j]);
            cache_object_unref(loser);
        }
    }
    return n;
}
