/* SPDX-License-Identifier: MIT */
/*
 * fill: one download per missing range, however many readers want it. Request path 4 of 7: a reader
 * that lacks a byte waits for a fill that will bring it soon, or starts one; its source (storage, 7
 * of 7) gives the bytes, and whoever waits for them is woken as they come.
 *
 * Happy path: cache_fill_for_locked() -> start() -> give() ... give() -> done(EL_OK).
 *
 * - A fill owns the block that it is writing (block->filler): bytes are copied and hashed without
 * the shard's mutex, and become visible by moving `hi` under it.
 * - It runs at most a window ahead of its foremost reader, then give() takes less than it was
 * offered and the fill is *paused*. A reader that moves, or the last one that leaves, lets it go
 * on; with no reader left it ends at its limit. So a fast reader drives the fill, slow ones hold
 * nobody back, and memory stays bounded.
 * - Without memory it is *starved*, which is a pause that ends when a block is let go.
 * - Bytes that somebody else has, or is bringing, are passed over.
 *
 * A *run* is a fill that others wait for, not only readers here: neither demand nor other fills
 * limit it. A *wide* fill (fill_wide.c) has no order; it and all others overlap as they like.
 */
#include "cache/object.h"

#define FILL_MAGIC 0x46494c4cu

/* So far before its end the next chunk on disk is begun: a little more than is read at a time. */
#define LEAD_BLOCKS 8

/* ---- life ---- */

struct cache_fill *cache_fill_ref(struct cache_fill *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void cache_fill_unref(struct cache_fill *f)
{
    if (f == NULL || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    cache_object_unref(f->object);
    cache_ticket_unref(f->ticket);
    el_sha256_free(f->hash);
    f->magic = 0;
    free(f);
}

static uint64_t window_of(const struct cache_object *o)
{
    return o->is_whole_only ? o->cache->whole_window : o->cache->window;
}

/* Two references: the source's, which done() drops, and the caller's. */
static struct cache_fill *fill_new_locked(struct cache_object *o, struct cache_ticket *t,
                                          struct cache_source *source, uint64_t first, uint64_t end)
{
    struct cache_fill *f = el_new(struct cache_fill);

    f->magic = FILL_MAGIC;
    atomic_init(&f->refs, 2);
    f->object = cache_object_ref(o);
    f->ticket = t != NULL ? cache_ticket_ref(t) : NULL;
    f->source = source;
    f->hash = el_sha256_new();
    f->position = first;
    f->end = end;
    f->limit = cache_round_up(first + window_of(o));
    f->urgent = f->held_at = UINT64_MAX;
    el_list_init(&f->starved);
    el_list_append(&o->fills, &f->link);
    atomic_fetch_add(&o->cache->n_running, 1);
    if (cache_fill_is_wide(f)) {
        f->limit = cache_round_up(first + cache_fill_wide_window(o->cache));
        o->n_wide++;
        atomic_fetch_add(&o->cache->n_wide, 1);
    }
    return f;
}

static struct cache_fill *fill_begin_locked(struct cache_object *o, struct cache_ticket *t,
                                            struct cache_source *source, uint64_t first,
                                            uint64_t end)
{
    el_counter_add(o->cache->count.fills, 1);
    return fill_new_locked(o, t, source, first, end);
}

/* It is none of the object's fills any more. */
static void fill_leave_locked(struct cache_fill *f)
{
    f->is_over = true;
    el_list_remove(&f->link);
    atomic_fetch_sub(&f->object->cache->n_running, 1);
    if (cache_fill_is_wide(f)) {
        f->object->n_wide--;
        atomic_fetch_sub(&f->object->cache->n_wide, 1);
    }
}

/* ---- where fills begin and end ---- */

static bool covers(const struct cache_fill *f, uint64_t position)
{
    return f->position <= position && position < f->end;
}

static bool is_exact(const struct cache_fill *f)
{
    return f->ticket != NULL && f->ticket->exact;
}

/*
 * A fill that will bring the byte soon enough to be waited for, or, however far away it is, one
 * that brings it for others or for the signed range of `own`.
 */
static bool brings_locked(const struct cache_fill *f, uint64_t position,
                          const struct cache_ticket *own)
{
    if (cache_fill_is_wide(f))
        return cache_fill_wide_brings_locked(f, position);
    return covers(f, position) &&
           (f->object->is_whole_only || f->is_run || position - f->position <= CACHE_NEAR_BYTES ||
            (is_exact(f) && f->ticket == own));
}

/* The byte is in hand, and it is not a wide fill that has it, nor one that waits for demand. */
static bool is_in_order_locked(struct cache_object *o, uint64_t position)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &o->fills) {
        const struct cache_fill *f = EL_ENTRY(it, struct cache_fill, link);

        if (!cache_fill_is_wide(f) && (f->is_run || !f->is_paused) &&
            brings_locked(f, position, NULL))
            return true;
    }
    return false;
}

static bool is_coming_locked(struct cache_object *o, uint64_t position,
                             const struct cache_ticket *own, bool with_wide)
{
    const struct cache_block *block = cache_block_find_locked(o, position / CACHE_BLOCK_BYTES);
    struct el_list *it, *tmp;

    if (block != NULL && block->is_room)
        return true;
    EL_LIST_EACH (it, tmp, &o->fills) {
        const struct cache_fill *f = EL_ENTRY(it, struct cache_fill, link);

        if ((with_wide || !cache_fill_is_wide(f)) && brings_locked(f, position, own))
            return true;
    }
    return false;
}

/* Where what is there of the block from that byte on ends; the byte itself when it is not there. */
static uint64_t end_of_bytes_locked(struct cache_object *o, uint64_t position)
{
    const struct cache_block *b = cache_block_find_locked(o, position / CACHE_BLOCK_BYTES);
    uint64_t off = position % CACHE_BLOCK_BYTES;

    return b != NULL && b->lo <= off && b->hi > off ? position - off + b->hi : position;
}

/* The first byte that the reader lacks: of who wants whole blocks, the rest of one may be coming.
 */
static uint64_t lacked_locked(const struct cache_reader *r)
{
    return end_of_bytes_locked(r->object, r->position);
}

/* Wide fills follow demand, and who has no ticket is none. */
bool cache_fill_is_coming_locked(const struct cache_reader *r)
{
    return is_coming_locked(r->object, lacked_locked(r), r->ticket, r->ticket != NULL);
}

void cache_fill_wait_for_locked(const struct cache_reader *r)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &r->object->fills) {
        struct cache_fill *f = EL_ENTRY(it, struct cache_fill, link);

        if (cache_fill_is_wide(f) && cache_fill_is_for(f, r) &&
            cache_fill_wide_brings_locked(f, r->position))
            cache_fill_wide_join_locked(f, r);
    }
}

/* Whether a byte of the next few MiB is neither there nor on its way. */
static bool lacks_some_locked(struct cache_object *o, uint64_t first, uint64_t end)
{
    end = el_min_u64(el_min_u64(end, o->length), first + CACHE_NEAR_BYTES);
    for (uint64_t b = first / CACHE_BLOCK_BYTES; b * CACHE_BLOCK_BYTES < end; b++) {
        const struct cache_block *block = cache_block_find_locked(o, b);
        uint64_t from = end_of_bytes_locked(o, el_max_u64(first, b * CACHE_BLOCK_BYTES));

        if ((block == NULL || !cache_block_is_whole(o, b, block)) && !cache_disk_has_locked(o, b) &&
            !is_coming_locked(o, from, NULL, true))
            return true;
    }
    return false;
}

/* The same of a run: wide fills do not count, since they rely on runs. */
static bool run_lacks_locked(struct cache_object *o, uint64_t first, uint64_t end)
{
    for (uint64_t b = first / CACHE_BLOCK_BYTES; b * CACHE_BLOCK_BYTES < end; b++) {
        const struct cache_block *block = cache_block_find_locked(o, b);

        if ((block == NULL || (!cache_block_is_whole(o, b, block) && !block->is_room)) &&
            !cache_disk_has_locked(o, b) &&
            !is_in_order_locked(o, el_max_u64(first, b * CACHE_BLOCK_BYTES)))
            return true;
    }
    return false;
}

/* The end of the hole that begins at `first`: where another fill, or a block that is there, begins.
 * Wide fills bring what nobody else does. */
static uint64_t hole_end_locked(struct cache_object *o, uint64_t first, uint64_t end)
{
    uint64_t block = first / CACHE_BLOCK_BYTES, end_block;
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &o->fills) {
        const struct cache_fill *f = EL_ENTRY(it, struct cache_fill, link);

        if (!cache_fill_is_wide(f) && f->position > first && f->position < end)
            end = f->position - f->position % CACHE_BLOCK_BYTES;
    }
    end_block = cache_round_up(end) / CACHE_BLOCK_BYTES;
    while ((block = cache_object_next_block_locked(o, block + 1, end_block)) < end_block) {
        const struct cache_block *b = cache_block_find_locked(o, block);

        if (b->filler != NULL || cache_block_is_whole(o, block, b))
            return block * CACHE_BLOCK_BYTES;
    }
    return end > first ? end : cache_round_up(first + 1);
}

/* Where the bytes behind those of the block at `first` begin that the disk has. */
static uint64_t disk_begin_locked(const struct cache_object *o, uint64_t first, uint64_t end)
{
    uint64_t block = first / CACHE_BLOCK_BYTES + 1;

    return cache_disk_next_locked(
               o, block, el_max_u64(cache_round_up(end) / CACHE_BLOCK_BYTES, block), true) *
           CACHE_BLOCK_BYTES;
}

/*
 * Fills that would get there late end where the new one begins. Whoever waits for such a fill waits
 * for a nearer byte, so nobody is left waiting; a signed range cannot be cut, and is not. Neither
 * is a run, for which others wait, nor a wide one, which is never late.
 */
static void clip_locked(struct cache_object *o, uint64_t first)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &o->fills) {
        struct cache_fill *f = EL_ENTRY(it, struct cache_fill, link);

        if (covers(f, first) && f->position < first && !is_exact(f) && !f->is_run &&
            !cache_fill_is_wide(f))
            f->end = first;
    }
}

/* Where a fill for the position begins: at its block, or where what is there of the block ends. */
static uint64_t fill_first_locked(struct cache_object *o, uint64_t position)
{
    uint64_t first = position - position % CACHE_BLOCK_BYTES;
    const struct cache_block *b = cache_block_find_locked(o, position / CACHE_BLOCK_BYTES);
    bool is_begun = b != NULL && b->filler == NULL && b->lo == 0 && first + b->hi <= position;

    return is_begun ? first + b->hi : first;
}

/* What the disk has from the block on, within a chunk: those of a chunk stand together. */
static struct cache_fill *from_disk_locked(struct cache_reader *r, uint64_t block)
{
    struct cache_object *o = r->object;
    uint64_t end_block = block - block % CACHE_CHUNK_BLOCKS + CACHE_CHUNK_BLOCKS, end;

    if (r->shuns_disk || block * CACHE_BLOCK_BYTES >= el_min_u64(o->length, r->end) ||
        !cache_disk_has_locked(o, block))
        return NULL;
    end_block = cache_disk_next_locked(o, block, end_block, false);
    end = el_min_u64(el_min_u64(end_block * CACHE_BLOCK_BYTES, cache_round_up(r->end)), o->length);
    end = hole_end_locked(o, block * CACHE_BLOCK_BYTES, end);
    clip_locked(o, block * CACHE_BLOCK_BYTES);
    return fill_begin_locked(o, NULL, cache_l2_source(o->cache->l2), block * CACHE_BLOCK_BYTES,
                             end);
}

struct cache_fill *cache_fill_from_disk_locked(struct cache_reader *r)
{
    return from_disk_locked(r, r->position / CACHE_BLOCK_BYTES);
}

struct cache_fill *cache_fill_ahead_locked(struct cache_reader *r)
{
    struct cache_object *o = r->object;
    uint64_t block = r->position / CACHE_BLOCK_BYTES;
    uint64_t next = block - block % CACHE_CHUNK_BLOCKS + CACHE_CHUNK_BLOCKS;

    if (next - block > LEAD_BLOCKS || !cache_disk_has_locked(o, next) ||
        cache_block_find_locked(o, next) != NULL ||
        is_coming_locked(o, next * CACHE_BLOCK_BYTES, r->ticket, r->ticket != NULL))
        return NULL;
    return from_disk_locked(r, next);
}

/* The hole at the position, at most to `end`, for a fill that brings it in order. */
static void fit_into_hole_locked(struct cache_object *o, bool shuns_disk, uint64_t *first,
                                 uint64_t *end)
{
    uint64_t most = *end;

    *first = fill_first_locked(o, *first);
    *end = hole_end_locked(o, *first, *end);
    if (!shuns_disk)
        *end = el_min_u64(*end, disk_begin_locked(o, *first, *end));
    *end = el_min_u64(*end, most);
    clip_locked(o, *first);
}

struct cache_fill *cache_fill_for_locked(struct cache_reader *r)
{
    struct cache_source *source = r->object->cache->conf.source;
    const struct cache_ticket *t = r->ticket;
    struct cache_object *o = r->object;
    uint64_t most = el_min_u64(o->length, CACHE_MAX_LENGTH);
    uint64_t first = r->position - r->position % CACHE_BLOCK_BYTES;
    uint64_t end = el_min_u64(cache_round_up(r->end), most);
    struct cache_fill *f;

    if (r->position >= most || (t->exact && (r->position < t->first || r->position >= t->end)))
        return NULL;
    if (t->exact) {
        first = t->first;
        end = el_min_u64(t->end, most);
    } else if (!source->ops->is_wide) {
        first = r->position;
        fit_into_hole_locked(o, r->shuns_disk, &first, &end);
    }
    f = fill_begin_locked(o, r->ticket, source, first, end);
    f->shuns_disk = r->shuns_disk;
    return f;
}

struct cache_fill *cache_fill_beside_locked(struct cache_reader *r)
{
    struct cache_object *o = r->object;
    struct cache_source *source = o->cache->conf.source;
    uint64_t end = el_min_u64(el_min_u64(r->end, o->length), r->position + 2 * CACHE_CHUNK_BYTES);

    if (!source->ops->is_wide || !atomic_load(&source->runs_ahead) || o->n_wide > 0 ||
        r->ticket == NULL || r->ticket->exact || o->is_whole_only ||
        o->length == CACHE_UNKNOWN_LENGTH || !run_lacks_locked(o, r->position, end))
        return NULL;
    return cache_fill_for_locked(r);
}

void cache_fill_start(struct cache_fill *f)
{
    f->source->ops->start(f->source, f);
    cache_fill_unref(f);
}

struct cache_fill *cache_fill_adopt(struct cache_object *o, struct cache_source *s,
                                    struct cache_ticket *t, uint64_t first, uint64_t end)
{
    struct cache_fill *f = NULL;

    cache_shard_lock(o->shard);
    if (first < CACHE_MAX_LENGTH && lacks_some_locked(o, first, end)) {
        clip_locked(o, first);
        f = fill_begin_locked(o, t, s, first, end);
    }
    cache_shard_unlock(o->shard);
    cache_fill_unref(f); /* the source has the other one */
    return f;
}

/* ---- runs ---- */

static struct cache_fill *run_new_locked(struct cache_object *o, struct cache_source *s,
                                         struct cache_ticket *t, uint64_t first, uint64_t end)
{
    struct cache_fill *f;

    if (first >= end || !run_lacks_locked(o, first, end))
        return NULL;
    f = fill_begin_locked(o, t, s, first, end);
    f->is_run = true;
    f->limit = end;
    return cache_fill_ref(f);
}

struct cache_fill *cache_fill_open(struct cache_object *o, struct cache_source *s,
                                   struct cache_ticket *t, uint64_t first, uint64_t end,
                                   struct cache_fill_watch *w)
{
    struct cache_fill *f;

    EL_ASSERT(!s->ops->is_wide);
    cache_shard_lock(o->shard);
    EL_ASSERT(o->length != CACHE_UNKNOWN_LENGTH);
    end = el_min_u64(end, el_min_u64(o->length, CACHE_MAX_LENGTH));
    f = run_new_locked(o, s, t, first, end);
    if (f != NULL)
        f->watch = w;
    cache_shard_unlock(o->shard);
    if (f != NULL)
        cache_fill_start(f);
    return f;
}

void cache_fill_hold(struct cache_fill *f, uint64_t at)
{
    EL_ASSERT(f->is_run);
    cache_shard_lock(f->object->shard);
    f->held_at = at;
    cache_fill_unpause_and_unlock(f->object);
}

/* The reference keeps what the source looks at, should it just end. */
void cache_fill_cancel(struct cache_fill *f)
{
    EL_ASSERT(f->magic == FILL_MAGIC && f->is_run);
    f->source->ops->cancel(f->source, f);
}

/* ---- what a source may ask ---- */

struct cache_object *cache_fill_object(struct cache_fill *f)
{
    return f->object;
}

struct cache_ticket *cache_fill_ticket(struct cache_fill *f)
{
    return f->ticket;
}

uint64_t cache_fill_position(struct cache_fill *f)
{
    uint64_t position;

    cache_shard_lock(f->object->shard);
    position = f->position;
    cache_shard_unlock(f->object->shard);
    return position;
}

uint64_t cache_fill_end(struct cache_fill *f)
{
    uint64_t end;

    cache_shard_lock(f->object->shard);
    end = f->end;
    cache_shard_unlock(f->object->shard);
    return end;
}

void cache_fill_set_data(struct cache_fill *f, void *data)
{
    f->data = data;
}

void *cache_fill_data(struct cache_fill *f)
{
    return f->data;
}

bool cache_fill_shuns_disk(const struct cache_fill *f)
{
    return f->shuns_disk;
}

/* ---- demand ---- */

/* Who has no ticket would not have caused the fill, unless its source is the disk. */
bool cache_fill_is_for(const struct cache_fill *f, const struct cache_reader *r)
{
    return r->ticket != NULL || f->ticket == NULL;
}

/* Whether any reader wants what the fill has yet to bring; raises the limit by the foremost one. */
static bool is_wanted_locked(struct cache_fill *f)
{
    struct el_list *it, *tmp;
    bool is_wanted = false;

    EL_LIST_EACH (it, tmp, &f->object->readers) {
        const struct cache_reader *r = EL_ENTRY(it, struct cache_reader, link);

        if (r->end <= f->position || r->position >= f->end || !cache_fill_is_for(f, r))
            continue;
        is_wanted = true;
        f->limit = el_max_u64(f->limit, cache_round_up(r->position + window_of(f->object)));
    }
    return is_wanted;
}

static void resume(struct cache_fill *f)
{
    f->source->ops->resume(f->source, f);
    cache_fill_unref(f);
}

/* A fill that is paused: whether there is something to be said to its source. */
static bool may_go_on_locked(struct cache_fill *f)
{
    if (cache_fill_is_wide(f))
        return cache_fill_wide_changed_locked(f);
    if (f->position >= f->held_at)
        return false;
    return f->is_run || !is_wanted_locked(f) || f->position < f->limit;
}

/* At most max, referenced; returns how many. */
static size_t unpause_locked(struct cache_object *o, struct cache_fill *ret[], size_t max)
{
    struct el_list *it, *tmp;
    size_t n = 0;

    EL_LIST_EACH (it, tmp, &o->fills) {
        struct cache_fill *f = EL_ENTRY(it, struct cache_fill, link);

        if (n < max && f->is_paused && may_go_on_locked(f)) {
            f->is_paused = false;
            ret[n++] = cache_fill_ref(f);
        }
    }
    return n;
}

void cache_fill_unpause_and_unlock(struct cache_object *o)
{
    struct cache_shard *s = o->shard; /* the object may go with the last fill */
    struct cache_fill *f[8];
    size_t n = unpause_locked(o, f, EL_COUNT(f));
    bool is_more = n == EL_COUNT(f);

    if (is_more)
        (void)cache_object_ref(o);
    cache_shard_unlock(s);
    while (n > 0)
        resume(f[--n]);
    if (!is_more)
        return;
    cache_shard_lock(s);
    cache_fill_unpause_and_unlock(o);
    cache_object_unref(o);
}

/* ---- memory ---- */

static void starve(struct cache_fill *f)
{
    struct cache *c = f->object->cache;

    EL_ASSERT(pthread_mutex_lock(&c->starved_mtx) == 0);
    if (el_list_empty(&f->starved)) {
        el_list_append(&c->starved, &f->starved);
        (void)cache_fill_ref(f);
        atomic_fetch_add(&c->n_starved, 1);
        el_counter_add(c->count.starved, 1);
    }
    EL_ASSERT(pthread_mutex_unlock(&c->starved_mtx) == 0);
}

void cache_fill_feed_starved(struct cache *c)
{
    struct el_list all, *l;

    if (atomic_load(&c->n_starved) == 0)
        return;
    EL_ASSERT(pthread_mutex_lock(&c->starved_mtx) == 0);
    el_list_move(&all, &c->starved);
    atomic_store(&c->n_starved, 0);
    EL_ASSERT(pthread_mutex_unlock(&c->starved_mtx) == 0);
    for (;;) {
        /* A member of `all` may be looked at by starve() of its own fill: one at a time, under the
         * mutex. */
        EL_ASSERT(pthread_mutex_lock(&c->starved_mtx) == 0);
        l = el_list_pop(&all);
        EL_ASSERT(pthread_mutex_unlock(&c->starved_mtx) == 0);
        if (l == NULL)
            return;
        resume(EL_ENTRY(l, struct cache_fill, starved));
    }
}

/* ---- giving ---- */

void cache_fill_wake_locked(struct cache_object *o, uint64_t from, uint64_t to)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &o->readers) {
        struct cache_reader *r = EL_ENTRY(it, struct cache_reader, link);

        if (r->is_waiting && r->position >= from && r->position < to) {
            r->is_waiting = false;
            r->is_due = true;
            el_msgq_post(r->queue, &r->msg);
        }
    }
}

/* An object that is only good as a whole and too long to be kept is let go behind its reader. */
static void note_length_locked(struct cache_object *o, uint64_t position)
{
    if (o->is_whole_only && position > o->cache->whole_limit) {
        o->is_kept = false;
        o->wants_index = false;
    }
}

void cache_fill_attach_locked(struct cache_fill *f, struct cache_block *b, uint64_t block,
                              uint32_t lo)
{
    struct cache_object *o = f->object;
    struct cache_chunk *c = cache_chunk_get_locked(o, block);

    b->object = o;
    b->number = (uint32_t)block;
    b->lo = b->hi = lo;
    b->done_at = UINT64_MAX;
    b->filler = f;
    b->from = (uint8_t)f->source->ops->from;
    c->blocks[block % CACHE_CHUNK_BLOCKS] = b;
    c->n_blocks++;
    o->blocks++;
    o->shard->n_blocks++;
}

void cache_fill_drop_part_locked(struct cache_object *o, uint64_t block)
{
    struct cache_block *b = cache_block_find_locked(o, block);
    bool was_kept = o->is_kept;

    if (b == NULL || b->filler != NULL || cache_block_is_whole(o, block, b))
        return;
    cache_block_drop_locked(o, block);
    o->is_kept = was_kept;
}

bool cache_fill_take_slot(struct cache_fill *f, uint64_t block, struct cache_slot *ret)
{
    struct cache_object *o = f->object;

    cache_evict_step(o->cache);
    if (cache_evict_take(o, block, ret))
        return true;
    /* Once more after it is known that we wait: what was freed in between woke nobody. */
    starve(f);
    return cache_evict_take(o, block, ret);
}

/* Memory for the block at the position. False: there is none; resume() will come. */
static bool take_block(struct cache_fill *f, uint64_t block)
{
    struct cache_object *o = f->object;
    struct cache_block *b = el_new(struct cache_block), *old;

    if (!cache_fill_take_slot(f, block, &b->slot)) {
        free(b);
        return false;
    }
    cache_shard_lock(o->shard);
    cache_fill_drop_part_locked(o, block); /* a part that does not reach to the position */
    old = cache_block_find_locked(o, block);
    if (old == NULL) {
        cache_fill_attach_locked(f, b, block, (uint32_t)(f->position % CACHE_BLOCK_BYTES));
        f->block = b;
    }
    cache_shard_unlock(o->shard);
    if (old != NULL) {
        cache_arena_free(o->cache->arena, &b->slot);
        free(b);
    } else {
        el_sha256_reset(f->hash);
        f->is_hashed = f->block->lo == 0;
    }
    return true;
}

/* The block is written to its end: its digest, then everybody may know. */
static void digest_block(struct cache_fill *f, struct cache_block *b, uint32_t bytes)
{
    if (b->lo != 0)
        return;
    if (f->is_hashed)
        el_sha256_final(f->hash, &b->digest);
    else
        el_sha256_of(b->slot.mem, bytes, &b->digest);
    b->has_digest = true;
}

/* The fill writes no more of its block. */
static void block_done_locked(struct cache_object *o, struct cache_block *b)
{
    b->filler = NULL;
    b->is_room = false;
    b->done_at = atomic_fetch_add(&o->cache->moment, 1) + 1;
    if (cache_block_is_whole(o, b->number, b)) {
        o->whole_blocks++;
        return;
    }
    o->gaps++;
    if (b->hi == b->lo || o->length == CACHE_UNKNOWN_LENGTH)
        cache_block_drop_locked(o, b->number);
}

/*
 * What is only good as a whole is whole now. Before its reader is told: whoever has read it to its
 * end and asks again finds it.
 */
static void publish_whole_locked(struct cache_object *o, struct cache_object **replaced,
                                 size_t *ret_n)
{
    *ret_n = 0;
    if (o->wants_index && o->is_kept && cache_object_is_complete_locked(o))
        (void)cache_index_add_locked(o, replaced, ret_n);
}

/*
 * The fill's block has its last byte. The disk and the others are told of a whole one only: one
 * that was begun within has no digest. It may be gone when this returns.
 */
static void note_end_and_unlock(struct cache_fill *f, struct cache_block *b)
{
    struct cache_object *o = f->object, *replaced[CACHE_MAX_VARIANTS];
    struct cache_l2 *l2 = o->cache->l2;
    bool is_from_disk = l2 != NULL && f->source == cache_l2_source(l2);
    bool is_news = b->has_digest && !is_from_disk, is_offered = is_news && l2 != NULL;
    uint64_t number = b->number, start = number * CACHE_BLOCK_BYTES;
    struct el_digest digest = b->digest;
    size_t n_replaced;

    b->is_offered = is_offered;
    block_done_locked(o, b);
    cache_fill_wake_locked(o, start,
                           start + CACHE_BLOCK_BYTES); /* also those that want nothing less */
    publish_whole_locked(o, replaced, &n_replaced);
    /* Others may have waited for this block to be let go, or for memory that it now is. */
    cache_fill_unpause_and_unlock(o);
    while (n_replaced > 0)
        cache_object_replaced(replaced[--n_replaced]);
    if (is_offered)
        cache_l2_offer(l2, o, number);
    if (is_news)
        cache_tell_block(o, number, &digest);
    cache_fill_feed_starved(o->cache);
}

static size_t write_block(struct cache_fill *f, uint64_t block, const void *bytes, size_t n)
{
    struct cache_object *o = f->object;
    struct cache_block *b = f->block;
    uint32_t size = cache_block_bytes(o, block), hi = b->hi;
    bool is_done = hi + n == size;

    memcpy(b->slot.mem + hi, bytes, n);
    if (f->is_hashed)
        el_sha256_update(f->hash, bytes, n);
    if (is_done)
        digest_block(f, b, size);
    cache_shard_lock(o->shard);
    b->hi += (uint32_t)n;
    f->position += n;
    note_length_locked(o, f->position);
    cache_fill_wake_locked(o, f->position - n, f->position);
    if (!is_done) {
        cache_shard_unlock(o->shard);
        return n;
    }
    f->block = NULL;
    note_end_and_unlock(f, b);
    return n;
}

enum next_move { OVER, PAUSE, PASS_OVER, NEED_BLOCK, WRITE };

/* At the limit: is there demand for more? */
static enum next_move at_limit_locked(struct cache_fill *f)
{
    f->is_stopped = !is_wanted_locked(f) || f->position >= CACHE_MAX_LENGTH;
    if (f->is_stopped)
        return OVER;
    f->is_paused = f->position >= f->limit;
    return f->is_paused ? PAUSE : WRITE;
}

/*
 * At a block of which something is there. Up to *stop, lowered here, it is passed over. Where its
 * filler will not bring the bytes, it is at most a block away from letting go of it: that is waited
 * for.
 */
static enum next_move at_block_locked(struct cache_fill *f, struct cache_block *b, uint64_t *stop)
{
    uint64_t off = f->position % CACHE_BLOCK_BYTES;

    if (cache_block_is_whole(f->object, b->number, b) || b->is_room)
        return PASS_OVER;
    if (b->filler != NULL && b->lo <= off && f->position < b->filler->end) {
        *stop = el_min_u64(*stop, b->filler->end);
        return PASS_OVER;
    }
    if (b->filler != NULL) {
        f->is_paused = true;
        return PAUSE;
    }
    if (b->hi != off)
        return NEED_BLOCK;
    /* A part that ends right here is continued. */
    b->filler = f;
    f->block = b;
    f->is_hashed = false;
    return WRITE;
}

static enum next_move next_move_locked(struct cache_fill *f, uint64_t *stop)
{
    struct cache_block *b;
    enum next_move move;

    if (f->position >= f->end)
        return OVER;
    f->is_paused = f->position >= f->held_at;
    if (f->is_paused)
        return PAUSE;
    *stop = el_min_u64(*stop, f->held_at);
    if (f->position >= el_min_u64(f->limit, CACHE_MAX_LENGTH)) {
        move = at_limit_locked(f);
        if (move != WRITE)
            return move;
    }
    if (f->block != NULL)
        return WRITE;
    b = cache_block_find_locked(f->object, f->position / CACHE_BLOCK_BYTES);
    return b != NULL ? at_block_locked(f, b, stop) : NEED_BLOCK;
}

/* Bytes taken, 0: paused, -1: over. */
static ssize_t give_some(struct cache_fill *f, const void *bytes, size_t n)
{
    struct cache_shard *s = f->object->shard;
    enum next_move move;
    uint64_t block, stop;

    cache_shard_lock(s);
    block = f->position / CACHE_BLOCK_BYTES;
    stop = el_min_u64(f->end, (block + 1) * CACHE_BLOCK_BYTES);
    move = next_move_locked(f, &stop);
    if (move != OVER)
        n = (size_t)el_min_u64(n, stop - f->position);
    if (move == PASS_OVER)
        f->position += n;
    cache_shard_unlock(s);
    switch (move) {
    case OVER:
        return -1;
    case PAUSE:
        return 0;
    case PASS_OVER:
        return (ssize_t)n;
    case NEED_BLOCK:
        return take_block(f, block) ? give_some(f, bytes, n) : 0;
    case WRITE:
        return (ssize_t)write_block(f, block, bytes, n);
    }
    return -1;
}

ssize_t cache_fill_give(struct cache_fill *f, const void *bytes, size_t n)
{
    size_t taken = 0;

    EL_ASSERT(f->magic == FILL_MAGIC);
    while (taken < n) {
        ssize_t some = give_some(f, (const char *)bytes + taken, n - taken);

        if (some < 0)
            return -1;
        if (some == 0)
            break;
        taken += (size_t)some;
    }
    return (ssize_t)taken;
}

/* ---- whole blocks ---- */

void cache_fill_make_room_locked(struct cache_fill *f, struct cache_block *b,
                                 struct cache_room *ret)
{
    b->is_room = true;
    (void)cache_fill_ref(f);
    *ret =
        (struct cache_room){ b, b->number, b->slot.mem, cache_block_bytes(f->object, b->number) };
}

/* The block at the position, which take_block() has attached; false: somebody else was faster. */
static bool make_next_room_locked(struct cache_fill *f, uint64_t number, struct cache_room *ret)
{
    if (f->block == NULL)
        return false;
    cache_fill_make_room_locked(f, f->block, ret);
    f->block = NULL;
    f->position = (number + 1) * CACHE_BLOCK_BYTES;
    return true;
}

enum cache_take cache_fill_take(struct cache_fill *f, struct cache_room *ret_room)
{
    struct cache_shard *s = f->object->shard;

    EL_ASSERT(f->magic == FILL_MAGIC);
    for (;;) {
        enum next_move move;
        uint64_t block, stop;
        bool has_room;

        cache_shard_lock(s);
        block = f->position / CACHE_BLOCK_BYTES;
        stop = el_min_u64(f->end, (block + 1) * CACHE_BLOCK_BYTES);
        move = next_move_locked(f, &stop);
        /* Where its filler ends within the block, the end of this fill wakes who wants the rest. */
        if (move == PASS_OVER)
            f->position = (block + 1) * CACHE_BLOCK_BYTES;
        cache_shard_unlock(s);
        if (move == OVER)
            return CACHE_TAKE_OVER;
        if (move == PAUSE || (move == NEED_BLOCK && !take_block(f, block)))
            return CACHE_TAKE_WAIT;
        if (move == PASS_OVER)
            continue;
        EL_ASSERT(move == NEED_BLOCK); /* it begins at a block, so none is continued */
        cache_shard_lock(s);
        has_room = make_next_room_locked(f, block, ret_room);
        cache_shard_unlock(s);
        if (has_room)
            return CACHE_TAKE_ROOM;
    }
}

void cache_fill_put(struct cache_fill *f, const struct cache_room *room,
                    const struct el_digest *digest)
{
    struct cache_block *b = room->block;

    cache_shard_lock(f->object->shard);
    EL_ASSERT(b->is_room && b->filler == f);
    b->hi = room->bytes;
    b->digest = *digest;
    b->has_digest = true;
    note_end_and_unlock(f, b);
    cache_fill_unref(f);
}

/* Readers may have no other reason to look again: the fill goes on elsewhere, or is over. */
static void room_failed_and_unlock(struct cache_fill *f, const struct cache_room *room)
{
    struct cache_object *o = f->object;
    uint64_t start = room->number * CACHE_BLOCK_BYTES;

    block_done_locked(o, room->block);
    if (cache_fill_is_wide(f))
        cache_fill_wake_locked(o, start, start + CACHE_BLOCK_BYTES);
    cache_fill_unpause_and_unlock(o);
}

void cache_fill_give_back(struct cache_fill *f, const struct cache_room *room)
{
    cache_shard_lock(f->object->shard);
    EL_ASSERT(room->block->is_room && room->block->filler == f);
    room_failed_and_unlock(f, room);
    cache_fill_feed_starved(f->object->cache);
    cache_fill_unref(f);
}

void cache_fill_strand(struct cache_fill *f, const struct cache_room *room)
{
    cache_shard_lock(f->object->shard);
    EL_ASSERT(room->block->is_room && room->block->filler == f);
    cache_block_pin_locked(f->object, room->block);
    room_failed_and_unlock(f, room);
    cache_fill_unref(f);
}

void cache_room_free(struct cache_object *o, const struct cache_room *room)
{
    cache_shard_lock(o->shard);
    cache_block_unpin_locked(o, room->block);
    cache_shard_unlock(o->shard);
    cache_fill_feed_starved(o->cache);
}

/* ---- the end ---- */

/* The last block of an object whose length was not known is whole only now. */
static void settle_block_locked(struct cache_fill *f)
{
    struct cache_block *b = f->block;

    if (b == NULL)
        return;
    if (f->object->length != CACHE_UNKNOWN_LENGTH && f->is_hashed && b->hi > 0 &&
        b->hi == cache_block_bytes(f->object, b->number))
        digest_block(f, b, b->hi);
    f->block = NULL;
    block_done_locked(f->object, b);
}

static void wake_all_locked(struct cache_fill *f, enum el_err code, const struct el_error *err)
{
    struct cache_object *o = f->object;
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &o->readers) {
        struct cache_reader *r = EL_ENTRY(it, struct cache_reader, link);

        if (!r->is_waiting)
            continue;
        r->is_waiting = false;
        r->is_due = true;
        if (code != EL_OK && !f->is_run && !cache_fill_is_coming_locked(r)) {
            r->failed = f->ticket;
            r->shuns_disk |= code == EL_EDISK;
            if (err != NULL)
                r->failure = *err;
            r->failure.code = code;
        }
        el_msgq_post(r->queue, &r->msg);
    }
}

/* A fill that nobody wanted to the end has not failed, but an object that is only good as a whole
 * has. */
static enum el_err outcome_locked(const struct cache_fill *f, enum el_err code)
{
    bool is_short = f->is_stopped || (f->end != CACHE_UNKNOWN_LENGTH && f->position < f->end);

    return code == EL_OK && is_short && f->object->is_whole_only ? EL_ECANCELED : code;
}

/* What the end of the fill means for the object; true: the index's reference is the caller's to
 * drop. */
static bool conclude_locked(struct cache_object *o, enum el_err code, uint64_t position)
{
    if (code == EL_OK && o->length == CACHE_UNKNOWN_LENGTH)
        o->length = position;
    if (code != EL_ECHANGED && code != EL_EHASH && (code == EL_OK || !o->is_whole_only))
        return false;
    o->is_changed = code == EL_ECHANGED;
    o->is_wrong |= code == EL_EHASH;
    o->is_dead = true;
    return cache_index_remove_locked(o);
}

void cache_fill_done(struct cache_fill *f, enum el_err code, const struct el_error *err)
{
    struct cache_object *o = f->object, *replaced[CACHE_MAX_VARIANTS];
    struct cache *c = o->cache;
    struct cache_fill_watch *watch = f->watch;
    uint64_t position;
    size_t n;
    bool was_in_index, is_dead;

    EL_ASSERT(f->magic == FILL_MAGIC && !f->is_over);
    cache_shard_lock(o->shard);
    code = outcome_locked(f, code);
    fill_leave_locked(f);
    position = f->position;
    was_in_index = conclude_locked(o, code, f->position);
    settle_block_locked(f);
    publish_whole_locked(o, replaced, &n);
    is_dead = o->is_dead;
    wake_all_locked(f, code, err);
    cache_fill_unpause_and_unlock(o); /* those that waited for the block it had */
    while (n > 0)
        cache_object_replaced(replaced[--n]);
    if (is_dead)
        cache_object_died(o);
    if (was_in_index)
        cache_object_unref(o);
    if (watch != NULL)
        watch->over(watch, code, code == EL_OK ? NULL : err, position);
    cache_fill_unref(f);
    cache_fill_feed_starved(c);
}

/* ---- another source instead ---- */

/* What is left of the fill, as one of that source. NULL: nothing is. */
static struct cache_fill *successor_locked(struct cache_fill *f, struct cache_source *to)
{
    uint64_t first = f->position, end = f->end;
    struct cache_fill *next;

    if (first >= end)
        return NULL;
    if (!is_exact(f) && !to->ops->is_wide)
        fit_into_hole_locked(f->object, f->shuns_disk, &first, &end);
    next = fill_new_locked(f->object, f->ticket, to, first, end);
    next->shuns_disk = f->shuns_disk;
    return next;
}

void cache_fill_hand_over(struct cache_fill *f, struct cache_source *to)
{
    struct cache_object *o = f->object;
    struct cache_fill *next;

    EL_ASSERT(f->magic == FILL_MAGIC && !f->is_over && !f->is_run && f->block == NULL);
    cache_shard_lock(o->shard);
    fill_leave_locked(f);
    next = successor_locked(f, to);
    wake_all_locked(f, EL_OK, NULL); /* it may reach less far: they look again */
    cache_fill_unpause_and_unlock(o);
    if (next != NULL)
        cache_fill_start(next);
    cache_fill_unref(f);
}
