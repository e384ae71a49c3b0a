/* SPDX-License-Identifier: MIT */
/*
 * fill_wide: fills of a source that brings blocks in any order, from many places at a time. Beside
 * Request path 4 of 7 (fill.c), which has what all fills share.
 *
 *   cache_fill_demand() -> these bytes are wanted -> cache_fill_take_at(any of them) -> put()
 *           ^                                        |
 *           +--------- resume(): it changed <--------+
 *
 * - One wide fill serves every reader within its reach, which is the window ahead of the foremost
 * of them; a reader beyond that gets one of its own. They overlap: what is there, or in hand, is
 * simply not brought again.
 * - What the disk has is the disk's to bring, unless the reader that caused the fill shuns it.
 * - While some parts are brought by runs, the fill still covers them: a reader waits for it until
 * the block is there, whoever had the block meanwhile and gave it up.
 *
 * Invariant: who waits for a wide fill stands below its limit, and the limit stays above him as
 * long as he waits (join, and then demand_locked() counts him).
 */
#include "cache/object.h"

/* The demand is told anew when its end has moved by this part of the window. */
#define STEP_SHARE 8

bool cache_fill_is_wide(const struct cache_fill *f)
{
    return f->source->ops->is_wide;
}

uint64_t cache_fill_wide_window(const struct cache *c)
{
    uint64_t n = el_max_u64(atomic_load(&c->n_wide), 1);

    return el_max_u64(el_min_u64(c->wide_window, c->wide_bytes / n), c->window);
}

/* ---- what is wanted ---- */

static bool is_there_locked(const struct cache_fill *f, uint64_t block, const struct cache_block *b)
{
    return (b != NULL && cache_block_is_whole(f->object, block, b)) ||
           (!f->shuns_disk && cache_disk_has_locked(f->object, block));
}

static bool is_missing_locked(const struct cache_fill *f, uint64_t block)
{
    const struct cache_block *b = cache_block_find_locked(f->object, block);

    return !is_there_locked(f, block, b) && (b == NULL || b->filler == NULL);
}

bool cache_fill_wide_brings_locked(const struct cache_fill *f, uint64_t position)
{
    if (position < f->position || position >= f->end || position >= f->limit + CACHE_NEAR_BYTES)
        return false;
    /* Who shuns the disk where the fill counts on it needs another one. */
    return f->shuns_disk || !cache_disk_has_locked(f->object, position / CACHE_BLOCK_BYTES);
}

struct demand {
    bool is_wanted;
    uint64_t end;    /* bytes */
    uint64_t urgent; /* block; UINT64_MAX: none */
};

static uint64_t reach_of(const struct cache_reader *r, uint64_t window)
{
    return el_min_u64(cache_round_up(r->end), cache_round_up(r->position + window));
}

static void add_reader_locked(const struct cache_fill *f, const struct cache_reader *r,
                              uint64_t window, struct demand *d)
{
    uint64_t block = r->position / CACHE_BLOCK_BYTES;

    d->is_wanted = true;
    d->end = el_max_u64(d->end, reach_of(r, window));
    if (r->is_waiting && cache_fill_wide_brings_locked(f, r->position) &&
        is_missing_locked(f, block))
        d->urgent = el_min_u64(d->urgent, block);
}

/* The fill is neither far behind the reader, nor so far ahead that it must be somebody else's. */
static bool is_within_reach(const struct cache_fill *f, const struct cache_reader *r)
{
    return r->position < el_min_u64(f->end, f->limit + CACHE_NEAR_BYTES) && r->end > f->position &&
           cache_round_up(r->position + f->object->cache->wide_window) >= f->position;
}

static struct demand demand_locked(const struct cache_fill *f)
{
    struct demand d = { .urgent = UINT64_MAX };
    uint64_t window = cache_fill_wide_window(f->object->cache);
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->object->readers) {
        const struct cache_reader *r = EL_ENTRY(it, struct cache_reader, link);

        if (is_within_reach(f, r) && cache_fill_is_for(f, r))
            add_reader_locked(f, r, window, &d);
    }
    d.end = el_min_u64(d.end, f->end);
    return d;
}

void cache_fill_wide_join_locked(struct cache_fill *f, const struct cache_reader *r)
{
    uint64_t window = cache_fill_wide_window(f->object->cache);

    f->limit = el_max_u64(f->limit, el_min_u64(f->end, reach_of(r, window)));
}

bool cache_fill_wide_changed_locked(struct cache_fill *f)
{
    struct demand d = demand_locked(f);
    uint64_t step = cache_fill_wide_window(f->object->cache) / STEP_SHARE;
    uint64_t moved = d.end > f->told_end ? d.end - f->told_end : f->told_end - d.end;
    bool is_urgent = d.urgent != UINT64_MAX && d.urgent != f->urgent;

    f->urgent = d.urgent; /* the same block is worth telling again when it was in hand meanwhile */
    return !d.is_wanted || is_urgent || moved >= step || (moved > 0 && d.end == f->end) ||
           (f->is_idle && f->seen_gaps != f->object->gaps);
}

/* Over what is there, so that it is not looked at again. */
static void move_on_locked(struct cache_fill *f, uint64_t end)
{
    while (f->position < end) {
        uint64_t block = f->position / CACHE_BLOCK_BYTES;

        if (!is_there_locked(f, block, cache_block_find_locked(f->object, block)))
            return;
        f->position = el_min_u64((block + 1) * CACHE_BLOCK_BYTES, f->end);
    }
}

static uint64_t first_missing_locked(const struct cache_fill *f, uint64_t end)
{
    uint64_t block = f->position / CACHE_BLOCK_BYTES;

    while (block * CACHE_BLOCK_BYTES < end && !is_missing_locked(f, block))
        block++;
    return block * CACHE_BLOCK_BYTES;
}

static enum cache_take demand_of_locked(struct cache_fill *f, uint64_t *ret_first,
                                        uint64_t *ret_end, uint64_t *ret_urgent)
{
    struct demand d = demand_locked(f);

    move_on_locked(f, d.end);
    d = demand_locked(f); /* of who wants more than was passed over */
    if (!d.is_wanted || f->position >= f->end)
        return CACHE_TAKE_OVER;
    *ret_end = el_min_u64(cache_round_up(d.end), f->object->length);
    *ret_first = el_min_u64(first_missing_locked(f, *ret_end), *ret_end);
    *ret_urgent = d.urgent;
    f->limit = f->told_end = d.end;
    f->urgent = d.urgent;
    f->is_idle = *ret_first == *ret_end;
    f->seen_gaps = f->object->gaps;
    f->is_paused = true;
    return f->is_idle ? CACHE_TAKE_WAIT : CACHE_TAKE_ROOM;
}

enum cache_take cache_fill_demand(struct cache_fill *f, uint64_t *ret_first, uint64_t *ret_end,
                                  uint64_t *ret_urgent)
{
    enum cache_take take = CACHE_TAKE_OVER;

    cache_shard_lock(f->object->shard);
    if (!f->is_over)
        take = demand_of_locked(f, ret_first, ret_end, ret_urgent);
    cache_shard_unlock(f->object->shard);
    return take;
}

/* ---- blocks ---- */

/* Whether the block is still to be brought, by this fill. */
static bool is_open_locked(const struct cache_fill *f, uint64_t number)
{
    return !f->is_over && number < CACHE_MAX_LENGTH / CACHE_BLOCK_BYTES &&
           number * CACHE_BLOCK_BYTES < f->end && (number + 1) * CACHE_BLOCK_BYTES > f->position &&
           is_missing_locked(f, number);
}

static bool is_open(struct cache_fill *f, uint64_t number)
{
    bool is;

    cache_shard_lock(f->object->shard);
    is = is_open_locked(f, number);
    cache_shard_unlock(f->object->shard);
    return is;
}

static bool try_attach(struct cache_fill *f, uint64_t number, struct cache_block *b,
                       struct cache_room *ret)
{
    struct cache_object *o = f->object;
    bool is;

    cache_shard_lock(o->shard);
    is = is_open_locked(f, number);
    if (is) {
        cache_fill_drop_part_locked(o, number);
        cache_fill_attach_locked(f, b, number, 0);
        cache_fill_make_room_locked(f, b, ret);
    }
    cache_shard_unlock(o->shard);
    return is;
}

enum cache_take cache_fill_take_at(struct cache_fill *f, uint64_t number,
                                   struct cache_room *ret_room)
{
    struct cache_arena *arena = f->object->cache->arena;
    struct cache_block *b;

    EL_ASSERT(cache_fill_is_wide(f));
    if (!is_open(f, number))
        return CACHE_TAKE_OVER;
    b = el_new(struct cache_block);
    if (!cache_fill_take_slot(f, number, &b->slot)) {
        free(b);
        if (is_open(f, number))
            return CACHE_TAKE_WAIT;
        cache_fill_feed_starved(f->object->cache); /* its end may have come before it waited */
        return CACHE_TAKE_OVER;
    }
    if (try_attach(f, number, b, ret_room))
        return CACHE_TAKE_ROOM;
    cache_arena_free(arena, &b->slot);
    free(b);
    return CACHE_TAKE_OVER;
}
