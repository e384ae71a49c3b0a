/* SPDX-License-Identifier: MIT */
/*
 * evict: makes room. Two occasions: a fill needs memory and there is none; or the upper watermark
 * was passed, and each new block pays for a few old ones until the lower one is reached. Always on
 * a thread that fills, never on one that serves hits.
 *
 * A victim is found in two looks, because two shards are never locked together: the least recently
 * used chunks of every shard are scored against each other (policy.c), then the shard of the worst
 * is locked again and the chunk evicted if it is still what it was.
 *
 * Short objects share slabs, so evicting one frees a slot and not yet a slab. Neighbours in a slab
 * were written at about the same time and leave at about the same time; a slab that holds one hot
 * object among cold ones stays, and its free slots serve objects of its class.
 */
#include "cache/object.h"

#define TAILS_PER_SHARD 2
#define MAX_LOOK        32   /* chunks looked at in a shard for something to evict */
#define MAX_ROUNDS      4096 /* evictions for one block before it counts as starved */
#define STEP_CHUNKS     2    /* evictions for one new block above the watermark */

struct tail {
    struct cache_shard *shard;
    struct cache_chunk *chunk; /* compared only, once the shard was unlocked */
    uint64_t used_ms;
};

/* ---- what may leave ---- */

/*
 * Whether a reader has yet to read the block. Always protected in an object that cannot be fetched
 * in parts; elsewhere as long as anything else may leave (`gently`), and only as far ahead as a
 * fill runs.
 */
static bool is_needed_locked(const struct cache_object *o, uint64_t block, bool gently)
{
    uint64_t start = block * CACHE_BLOCK_BYTES;
    struct el_list *it, *tmp;

    if (!o->is_whole_only && !gently)
        return false;
    EL_LIST_EACH (it, tmp, &o->readers) {
        const struct cache_reader *r = EL_ENTRY(it, struct cache_reader, link);

        if (r->position < start + CACHE_BLOCK_BYTES &&
            (o->is_whole_only || start < r->position + o->cache->window))
            return true;
    }
    return false;
}

static bool block_may_leave_locked(const struct cache_chunk *c, unsigned i, bool gently)
{
    const struct cache_block *b = c->blocks[i];

    return b != NULL && b->pins == 0 && !b->is_filling &&
           !is_needed_locked(c->object, (uint64_t)c->index * CACHE_CHUNK_BLOCKS + i, gently);
}

static bool is_idle_locked(const struct cache_object *o)
{
    return o->blocks == 0 && el_list_empty(&o->readers) && el_list_empty(&o->fills);
}

static bool chunk_may_leave_locked(const struct cache_chunk *c, bool gently)
{
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        if (block_may_leave_locked(c, i, gently))
            return true;
    }
    return c->object->in_index && is_idle_locked(c->object);
}

/* ---- the first look ---- */

static size_t look_locked(struct cache_shard *s, uint64_t now_ms, bool gently, struct tail *tails,
                          struct cache_candidate *v)
{
    struct el_list *l = s->lru.prev;
    size_t n = 0;

    for (unsigned i = 0; i < MAX_LOOK && l != &s->lru && n < TAILS_PER_SHARD; i++, l = l->prev) {
        struct cache_chunk *c = EL_ENTRY(l, struct cache_chunk, lru);

        if (!chunk_may_leave_locked(c, gently))
            continue;
        tails[n] = (struct tail){ .shard = s, .chunk = c, .used_ms = c->used_ms };
        v[n++] = (struct cache_candidate){
            .age_ms = now_ms - el_min_u64(c->used_ms, now_ms),
            .per_hour = cache_heat_per_hour(&c->heat, now_ms),
        };
    }
    return n;
}

static bool find_victim(struct cache *c, bool gently, struct tail *ret)
{
    struct tail tails[CACHE_SHARDS * TAILS_PER_SHARD];
    struct cache_candidate v[CACHE_SHARDS * TAILS_PER_SHARD];
    uint64_t now_ms = el_clock_mono_ms(c->conf.clock);
    size_t n = 0;

    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        cache_shard_lock(&c->shards[i]);
        n += look_locked(&c->shards[i], now_ms, gently, &tails[n], &v[n]);
        cache_shard_unlock(&c->shards[i]);
    }
    if (n == 0)
        return false;
    cache_policy_score(&c->conf.weights, v, n);
    *ret = tails[cache_policy_worst(v, n)];
    return true;
}

/* ---- the second look ---- */

static struct cache_chunk *still_there_locked(const struct tail *t)
{
    struct el_list *l = t->shard->lru.prev;

    for (unsigned i = 0; i < 2 * MAX_LOOK && l != &t->shard->lru; i++, l = l->prev) {
        struct cache_chunk *c = EL_ENTRY(l, struct cache_chunk, lru);

        if (c == t->chunk && c->used_ms == t->used_ms)
            return c;
    }
    return NULL;
}

static void forget_chunk_locked(struct cache_chunk *c)
{
    struct cache_object *o = c->object;

    if (c->index == 0 || c->n_blocks > 0)
        return;
    o->pages[c->index / CACHE_PAGE_CHUNKS]->v[c->index % CACHE_PAGE_CHUNKS] = NULL;
    el_list_remove(&c->lru);
    o->shard->n_chunks--;
    free(c);
}

/* The object whose index reference the caller drops, or NULL. */
static struct cache_object *evict_chunk_locked(struct cache *cache, struct cache_chunk *c,
                                               bool gently)
{
    struct cache_object *o = c->object;
    uint64_t block = (uint64_t)c->index * CACHE_CHUNK_BLOCKS;

    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        if (!block_may_leave_locked(c, i, gently))
            continue;
        atomic_fetch_add(&cache->n_evicted, 1);
        atomic_fetch_add(&cache->evicted_bytes, c->blocks[i]->hi - c->blocks[i]->lo);
        cache_block_drop_locked(o, block + i);
    }
    forget_chunk_locked(c);
    if (!(o->is_whole_only && !o->is_kept) && !is_idle_locked(o))
        return NULL;
    return cache_index_remove_locked(o) ? o : NULL;
}

/* False: nothing in the whole cache may leave. */
static bool evict_one(struct cache *c)
{
    struct cache_object *left = NULL;
    struct cache_chunk *chunk;
    struct tail t;
    bool gently = find_victim(c, true, &t);

    if (!gently && !find_victim(c, false, &t))
        return false;
    cache_shard_lock(t.shard);
    chunk = still_there_locked(&t);
    if (chunk != NULL)
        left = evict_chunk_locked(c, chunk, gently);
    cache_shard_unlock(t.shard);
    cache_object_unref(left);
    return true;
}

void cache_evict_step(struct cache *c)
{
    struct cache_arena_stats st;

    for (unsigned i = 0; i <= STEP_CHUNKS; i++) {
        cache_arena_stats_get(c->arena, &st);
        if ((double)st.used > c->conf.evict_above * (double)st.budget)
            atomic_store(&c->is_evicting, true);
        else if ((double)st.used <= c->conf.evict_to * (double)st.budget)
            atomic_store(&c->is_evicting, false);
        if (!atomic_load(&c->is_evicting) || i == STEP_CHUNKS || !evict_one(c))
            return;
    }
}

/* ---- memory for one block ---- */

/* Blocks 2k and 2k + 1 share a slab when the object has both; see arena.h for why. */
static bool take_slot(struct cache_object *o, uint64_t block, struct cache_slot *ret)
{
    struct cache_arena *a = o->cache->arena;
    uint64_t partner = block ^ 1;
    const struct cache_block *other = NULL;
    uint32_t bytes;
    bool is_pair, is_taken = false;

    cache_shard_lock(o->shard);
    is_pair = o->length != CACHE_UNKNOWN_LENGTH && partner * CACHE_BLOCK_BYTES < o->length;
    bytes = cache_block_bytes(o, block);
    if (is_pair)
        other = cache_block_find_locked(o, partner);
    if (other != NULL && other->slot.is_big)
        is_taken = cache_arena_take_half(a, &other->slot, block & 1, ret);
    cache_shard_unlock(o->shard);
    if (is_taken)
        return true;
    return is_pair ? cache_arena_take_pair(a, block & 1, ret)
                   : cache_arena_take_small(a, bytes, ret);
}

bool cache_evict_take(struct cache_object *o, uint64_t block, struct cache_slot *ret_slot)
{
    for (unsigned i = 0; i < MAX_ROUNDS; i++) {
        if (take_slot(o, block, ret_slot))
            return true;
        if (!evict_one(o->cache))
            return false;
    }
    return false;
}
