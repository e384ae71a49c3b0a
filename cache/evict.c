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
 * Short objects share slabs, so evicting one frees a slot for another of its size, and not yet a
 * slab. Where that is not enough, because a block needs a whole slab, the victim's neighbours in
 * its slab leave with it unless they are in use or hot: otherwise memory that was once filled with
 * short objects in mixed order would come back only when nearly all of them were gone.
 */
#include "cache/object.h"

#define TAILS_PER_SHARD 2
#define MAX_LOOK        32   /* chunks looked at in a shard for something to evict */
#define MAX_ROUNDS      4096 /* evictions for one block before it counts as starved */
#define ROUNDS_ALONE    8    /* of these, so many before slab mates leave as well */
#define STEP_CHUNKS     2    /* evictions for one new block above the watermark */
#define NO_SLAB         UINT32_MAX

/* What may be touched: the next only where the one before finds nothing. */
enum degree {
    SPARE,  /* neither pinned by an operator, nor soon to be read or written to a disk */
    PINNED, /* what is pinned too */
    AHEAD,  /* and the rest, but for what a reader was woken for */
    DEGREES
};

struct tail {
    struct cache_shard *shard;
    struct cache_chunk *chunk; /* compared only, once the shard was unlocked */
    uint64_t used_ms;
};

/* ---- what may leave ---- */

/*
 * Whether a reader has yet to read the block. Always protected in an object that cannot be fetched
 * in parts; elsewhere as long as anything else may leave (below AHEAD), and only as far ahead as a
 * fill runs. A reader that was woken for a block finds it: each wake-up is progress, however scarce
 * memory is.
 */
static bool is_needed_locked(const struct cache_object *o, uint64_t block, enum degree degree)
{
    uint64_t start = block * CACHE_BLOCK_BYTES;
    uint64_t window = o->n_wide > 0 ? cache_fill_wide_window(o->cache) : o->cache->window;
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &o->readers) {
        const struct cache_reader *r = EL_ENTRY(it, struct cache_reader, link);

        if (r->position >= start + CACHE_BLOCK_BYTES || r->end <= start)
            continue;
        if (o->is_whole_only || (degree < AHEAD && start < r->position + window) ||
            (r->is_due && start <= r->position))
            return true;
    }
    return false;
}

static bool block_may_leave_locked(const struct cache_chunk *c, unsigned i, enum degree degree)
{
    const struct cache_block *b = c->blocks[i];

    if (degree < AHEAD && b != NULL && b->is_offered)
        return false;
    return b != NULL && b->pins == 0 && b->filler == NULL &&
           !is_needed_locked(c->object, (uint64_t)c->index * CACHE_CHUNK_BLOCKS + i, degree);
}

static bool is_idle_locked(const struct cache_object *o)
{
    return o->blocks == 0 && el_list_empty(&o->readers) && el_list_empty(&o->fills);
}

static bool chunk_may_leave_locked(const struct cache_chunk *c, enum degree degree)
{
    if (c->object->is_pinned && degree < PINNED)
        return false;
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        if (block_may_leave_locked(c, i, degree))
            return true;
    }
    return c->object->in_index && is_idle_locked(c->object);
}

/* ---- the first look ---- */

static size_t look_locked(struct cache_shard *s, uint64_t now_ms, enum degree degree,
                          struct tail *tails, struct cache_candidate *v)
{
    struct el_list *l = s->lru.prev, *before;
    size_t n = 0;

    for (unsigned i = 0; i < MAX_LOOK && l != &s->lru && n < TAILS_PER_SHARD; i++, l = before) {
        struct cache_chunk *c = EL_ENTRY(l, struct cache_chunk, lru);

        before = l->prev;
        if (!chunk_may_leave_locked(c, degree)) {
            /* In use, so not among the oldest: it must not hide the others from the next look. */
            el_list_remove(l);
            el_list_prepend(&s->lru, l);
            continue;
        }
        tails[n] = (struct tail){ .shard = s, .chunk = c, .used_ms = c->used_ms };
        v[n++] = (struct cache_candidate){
            .age_ms = now_ms - el_min_u64(c->used_ms, now_ms),
            .per_hour = cache_heat_per_hour(&c->heat, now_ms),
        };
    }
    return n;
}

static bool find_victim(struct cache *c, enum degree degree, struct tail *ret)
{
    struct tail tails[CACHE_SHARDS * TAILS_PER_SHARD];
    struct cache_candidate v[CACHE_SHARDS * TAILS_PER_SHARD];
    uint64_t now_ms = el_clock_mono_ms(c->conf.clock);
    size_t n = 0;

    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        cache_shard_lock(&c->shards[i]);
        n += look_locked(&c->shards[i], now_ms, degree, &tails[n], &v[n]);
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

/* A chunk of which something is nowhere any more; told once no lock is held. */
struct loss {
    bool is_one;
    struct cache_object_id id;
    uint64_t chunk;
};

static void evict_block_locked(struct cache_object *o, uint64_t block, struct loss *loss)
{
    const struct cache_block *b = cache_block_find_locked(o, block);

    if (o->has_id && cache_block_is_whole(o, block, b) && !cache_disk_has_locked(o, block))
        *loss = (struct loss){ true, o->id, block / CACHE_CHUNK_BLOCKS };
    el_counter_add(o->cache->count.evicted_blocks, 1);
    el_counter_add(o->cache->count.evicted_bytes, b->hi - b->lo);
    cache_block_drop_locked(o, block);
}

/*
 * What leaves memory and is not on disk is offered to it once more: there was no time for it when
 * it came, or nobody knew yet that it would be asked for often.
 */
struct last_offers {
    struct cache_object *object; /* referenced when n > 0 */
    uint64_t blocks[CACHE_CHUNK_BLOCKS];
    unsigned n;
};

static bool wants_disk_locked(const struct cache_object *o, uint64_t block,
                              const struct cache_block *b)
{
    return o->cache->l2 != NULL && o->in_index && !o->is_whole_only && !b->is_last_offer &&
           b->has_digest && cache_block_is_whole(o, block, b) && !cache_disk_has_locked(o, block);
}

static void add_offer_locked(struct last_offers *offers, struct cache_object *o, uint64_t block,
                             struct cache_block *b)
{
    b->is_offered = b->is_last_offer = true;
    if (offers->n == 0)
        offers->object = cache_object_ref(o);
    offers->blocks[offers->n++] = block;
}

static void make_offers(struct last_offers *offers)
{
    for (unsigned i = 0; i < offers->n; i++)
        cache_l2_offer(offers->object->cache->l2, offers->object, offers->blocks[i]);
    cache_object_unref(offers->object);
}

/* The object whose index reference the caller drops, or NULL. */
static struct cache_object *leave_index_locked(struct cache_object *o)
{
    if (!(o->is_whole_only && !o->is_kept) && !is_idle_locked(o))
        return NULL;
    return cache_index_remove_locked(o) ? o : NULL;
}

/* *ret_slab: a slab of short pieces that the chunk had a part of, or NO_SLAB. */
static struct cache_object *evict_chunk_locked(struct cache_chunk *c, enum degree degree,
                                               uint32_t *ret_slab, struct last_offers *offers,
                                               struct loss *loss)
{
    struct cache_object *o = c->object;

    *ret_slab = NO_SLAB;
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        uint64_t block = (uint64_t)c->index * CACHE_CHUNK_BLOCKS + i;

        if (!block_may_leave_locked(c, i, degree))
            continue;
        if (degree < AHEAD && wants_disk_locked(o, block, c->blocks[i])) {
            add_offer_locked(offers, o, block, c->blocks[i]);
            continue;
        }
        if (!c->blocks[i]->slot.is_big)
            *ret_slab = c->blocks[i]->slot.slab;
        evict_block_locked(o, block, loss);
    }
    forget_chunk_locked(c);
    return leave_index_locked(o);
}

static void tell_loss(struct cache *c, const struct loss *loss)
{
    if (loss->is_one)
        cache_tell_lost(c, &loss->id, loss->chunk);
}

static void evict_mate(struct cache *c, const struct cache_owner *owner, uint32_t slab)
{
    struct cache_shard *s = &c->shards[owner->hash % CACHE_SHARDS];
    uint64_t now_ms = el_clock_mono_ms(c->conf.clock);
    struct cache_object *o, *left = NULL;
    struct loss loss = { 0 };

    cache_shard_lock(s);
    o = cache_index_owner_locked(s, owner, slab);
    if (o != NULL) {
        const struct cache_chunk *chunk = cache_chunk_get_locked(o, owner->block);
        double per_hour = cache_heat_per_hour(&chunk->heat, now_ms);

        if (cache_heat_class(per_hour) != CACHE_HOT && !o->is_pinned &&
            block_may_leave_locked(chunk, owner->block % CACHE_CHUNK_BLOCKS, SPARE)) {
            evict_block_locked(o, owner->block, &loss);
            left = leave_index_locked(o);
        }
    }
    cache_shard_unlock(s);
    cache_object_unref(left);
    tell_loss(c, &loss);
}

static void evict_mates(struct cache *c, uint32_t slab)
{
    struct cache_owner owners[CACHE_SLAB_SLOTS];
    size_t n = cache_arena_mates(c->arena, slab, owners);

    for (size_t i = 0; i < n; i++)
        evict_mate(c, &owners[i], slab);
}

/* False: nothing in the whole cache may leave. */
static bool evict_one(struct cache *c, bool with_mates)
{
    struct last_offers offers = { .n = 0 };
    struct cache_object *left = NULL;
    struct loss loss = { 0 };
    uint32_t slab = NO_SLAB;
    struct cache_chunk *chunk;
    enum degree degree = SPARE;
    struct tail t;

    while (!find_victim(c, degree, &t)) {
        if (++degree == DEGREES)
            return false;
    }
    cache_shard_lock(t.shard);
    chunk = still_there_locked(&t);
    if (chunk != NULL)
        left = evict_chunk_locked(chunk, degree, &slab, &offers, &loss);
    cache_shard_unlock(t.shard);
    cache_object_unref(left);
    tell_loss(c, &loss);
    make_offers(&offers);
    if (with_mates && slab != NO_SLAB)
        evict_mates(c, slab);
    return true;
}

/* Slots in use move is_evicting between the watermarks; slabs never stay above the limit. */
static bool is_too_full(struct cache *c)
{
    struct cache_arena_stats st;

    cache_arena_stats_get(c->arena, &st);
    if ((double)st.used > c->conf.evict_above * (double)st.budget)
        atomic_store(&c->is_evicting, true);
    else if ((double)st.used <= c->conf.evict_to * (double)st.budget)
        atomic_store(&c->is_evicting, false);
    return st.resident > st.budget || atomic_load(&c->is_evicting);
}

/* What is free goes before what is used. */
void cache_evict_step(struct cache *c)
{
    cache_arena_trim(c->arena);
    for (unsigned i = 0; i < STEP_CHUNKS && is_too_full(c); i++) {
        if (!evict_one(c, false))
            break;
        cache_arena_trim(c->arena);
    }
}

bool cache_evict_chunk(struct cache_object *o, uint64_t index)
{
    struct last_offers none = { .n = 0 };
    struct cache_object *left = NULL;
    struct loss loss = { 0 };
    uint32_t slab;
    bool is_pinned;

    cache_shard_lock(o->shard);
    is_pinned = o->is_pinned;
    if (!is_pinned && index * CACHE_CHUNK_BYTES < o->length)
        left = evict_chunk_locked(cache_chunk_get_locked(o, index * CACHE_CHUNK_BLOCKS), AHEAD,
                                  &slab, &none, &loss);
    cache_shard_unlock(o->shard);
    cache_object_unref(left);
    tell_loss(o->cache, &loss);
    return !is_pinned;
}

/* ---- memory for one block ---- */

/*
 * Blocks 2k and 2k + 1 share a slab when the object has both (arena.h says why), and the second is
 * not so short that half a slab would be wasted on it.
 */
static bool is_pair_locked(const struct cache_object *o, uint64_t block)
{
    uint64_t second_end = ((block | 1) + 1) * CACHE_BLOCK_BYTES;

    return o->length != CACHE_UNKNOWN_LENGTH && o->length > second_end - CACHE_BLOCK_BYTES / 2;
}

static bool take_slot(struct cache_object *o, uint64_t block, struct cache_slot *ret)
{
    const struct cache_owner owner = { o->hash, block };
    struct cache_arena *a = o->cache->arena;
    const struct cache_block *other = NULL;
    bool is_pair, is_taken = false;
    uint32_t bytes;

    cache_shard_lock(o->shard);
    is_pair = is_pair_locked(o, block);
    bytes = cache_block_bytes(o, block);
    if (is_pair)
        other = cache_block_find_locked(o, block ^ 1);
    if (other != NULL && other->slot.is_big)
        is_taken = cache_arena_take_half(a, &other->slot, block & 1, ret);
    cache_shard_unlock(o->shard);
    if (is_taken)
        return true;
    return is_pair ? cache_arena_take_pair(a, block & 1, ret)
                   : cache_arena_take_small(a, bytes, &owner, ret);
}

bool cache_evict_take(struct cache_object *o, uint64_t block, struct cache_slot *ret_slot)
{
    for (unsigned i = 0; i < MAX_ROUNDS; i++) {
        if (take_slot(o, block, ret_slot))
            return true;
        if (!evict_one(o->cache, i >= ROUNDS_ALONE))
            return false;
    }
    return false;
}
