/* SPDX-License-Identifier: MIT */
/*
 * l2_clean: what leaves a store, and how the rest is looked after.
 *
 * Room is made a region at a time. A region of one chunk is simply given up; before one of the log
 * is, those of its pieces that were asked for lately, or are pinned, are *moved*: read, verified,
 * written into the log again. The *scrubber* reads everything now and then, slowly, and drops what
 * has changed on the disk before somebody waits for it.
 */
#include "cache/l2_store.h"

#include <errno.h>

#define RESERVE_SHARE  64 /* a 64th of the regions is kept free, */
#define RESERVE_MAX    64 /* but not more than so many */
#define PIECES_COUNTED 32
#define SCRUB_IDLE_MS  10000

/* ---- leaving ---- */

static void remove_empty_object(struct l2_store *s, struct l2_object *o)
{
    l2_batch_del(&s->commits[s->open].batch, L2_TABLE_OBJECT,
                 (struct el_str){ (const char *)o->id.v, sizeof(o->id.v) });
    l2_commit_soon(s, s->l2->conf.commit_ms);
    l2_known_drop(s->known, o->url_hash);
    s->n_stale -= o->is_stale;
    l2_drop_pin(s, o);
    l2_map_object_remove(s->map, o);
}

static void give_up_home(struct l2_store *s, uint32_t home)
{
    if (home == L2_NO_REGION || l2_region_get(s->regions, home)->state != L2_OPEN)
        return;
    l2_region_give_up(s->regions, home);
    l2_note_leaving(s, home);
}

static void remove_empty_chunk(struct l2_store *s, struct l2_chunk *c)
{
    struct l2_object *o = c->object;

    l2_note_dirty(s, c);
    give_up_home(s, c->home);
    l2_map_chunk_remove(s->map, c);
    if (o->n_chunks == 0)
        remove_empty_object(s, o);
}

void l2_remove_block(struct l2_store *s, struct l2_chunk *c, unsigned block)
{
    const struct l2_block *b = l2_chunk_block(c, block);

    if (b != NULL && (c->bitmap >> block & 1) != 0) {
        struct l2_block at = *b;

        l2_map_region_remove(s->map, at.region, c, block);
        l2_chunk_block_remove(c, block);
        cache_disk_lost(s->l2->cache, &c->object->id, c->chunk, (uint16_t)(1u << block));
        if (l2_region_drop(s->regions, at.region, at.bytes, c->object->is_pinned))
            l2_note_leaving(s, at.region);
        l2_note_dirty(s, c);
    } else if (b != NULL) {
        l2_chunk_block_remove(c, block); /* its write finds that it has no place any more */
    }
    if (c->n == 0)
        remove_empty_chunk(s, c);
}

void l2_remove_chunk(struct l2_store *s, struct l2_chunk *c)
{
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        bool is_last = c->n == 1 && l2_chunk_block(c, i) != NULL;

        if (l2_chunk_block(c, i) != NULL)
            l2_remove_block(s, c, i);
        if (is_last)
            return; /* and the chunk is gone */
    }
}

void l2_remove_object(struct l2_store *s, struct l2_object *o)
{
    struct l2_chunk *c, *next;

    if (o->n_chunks == 0) {
        remove_empty_object(s, o);
        return;
    }
    for (c = o->chunks; c != NULL; c = next) {
        next = c->next_chunk; /* the object goes with the last one */
        l2_remove_chunk(s, c);
    }
}

/* ---- giving up a region ---- */

static void evict_piece(void *arg, struct l2_chunk *c, unsigned block)
{
    struct l2_store *s = arg;

    l2_map_region_remove(s->map, l2_chunk_block(c, block)->region, c, block);
    l2_chunk_block_remove(c, block);
    cache_disk_lost(s->l2->cache, &c->object->id, c->chunk, (uint16_t)(1u << block));
    l2_note_dirty(s, c);
    if (c->n > 0)
        return;
    el_counter_add(s->count.evicted_chunks, 1);
    remove_empty_chunk(s, c);
}

static void give_up(struct l2_store *s, uint32_t region)
{
    enum l2_region_state state = l2_region_get(s->regions, region)->state;

    if (state != L2_OPEN && state != L2_FULL)
        return; /* it has emptied itself meanwhile */
    l2_region_give_up(s->regions, region);
    l2_map_region_each(s->map, region, evict_piece, s);
    l2_note_leaving(s, region);
}

/* ---- one piece, read back and verified ---- */

struct l2_piece_ref {
    struct cache_object_id id;
    uint32_t chunk;
    unsigned block;
};

struct l2_check {
    struct l2_store *store;
    struct l2_piece_ref ref;
    struct l2_block at;
    uint8_t *buffer; /* CACHE_BLOCK_BYTES; owned */
    struct el_ring_op op;
};

static void check_init(struct l2_check *k, struct l2_store *s)
{
    k->store = s;
    k->buffer = aligned_alloc(L2_ALIGN, CACHE_BLOCK_BYTES);
    EL_ASSERT(k->buffer != NULL);
}

static struct l2_chunk *check_chunk(const struct l2_check *k)
{
    struct l2_chunk *c = l2_map_chunk(k->store->map, &k->ref.id, k->ref.chunk);

    return c != NULL && (c->bitmap >> k->ref.block & 1) != 0 ? c : NULL;
}

/* The chunk, if its block still stands where it was read. */
static struct l2_chunk *check_still(const struct l2_check *k)
{
    struct l2_chunk *c = check_chunk(k);
    const struct l2_block *b = c != NULL ? l2_chunk_block(c, k->ref.block) : NULL;

    return b != NULL && b->region == k->at.region && b->offset == k->at.offset ? c : NULL;
}

/* False: the block is not there any more. */
static bool check_begin(struct l2_check *k, const struct l2_piece_ref *ref,
                        void (*on_done)(struct el_ring_op *))
{
    struct l2_store *s = k->store;
    struct l2_chunk *c;

    k->ref = *ref;
    c = check_chunk(k);
    if (c == NULL)
        return false;
    k->at = *l2_chunk_block(c, ref->block);
    l2_region_busy(s->regions, k->at.region, 1);
    k->op = (struct el_ring_op){
        .what = EL_RING_READ,
        .fd = s->fd,
        .mem = k->buffer,
        .bytes = (k->at.bytes + L2_ALIGN - 1) / L2_ALIGN * L2_ALIGN,
        .offset = (uint64_t)k->at.region * L2_REGION_BYTES + k->at.offset,
        .on_done = on_done,
    };
    el_ring_submit(s->ring, &k->op);
    return true;
}

/* What was read is what was written; otherwise the block is dropped. */
static bool check_end(struct l2_check *k)
{
    struct l2_store *s = k->store;
    struct l2_chunk *c = check_still(k);
    struct el_digest digest;

    l2_region_busy(s->regions, k->at.region, -1);
    if (k->op.result != 0) {
        el_counter_add(s->count.read_errors, 1);
        l2_note_health(s, l2_outcome_of(-k->op.result));
    } else {
        el_sha256_of(k->buffer, k->at.bytes, &digest);
        if (memcmp(&digest, &k->at.digest, sizeof(digest)) == 0)
            return c != NULL;
        el_counter_add(s->count.mismatches, 1);
        el_log(EL_WARN, EV_DISK_MISMATCH, "dir=%s region=%u offset=%u", s->dir, k->at.region,
               k->at.offset);
    }
    if (c != NULL)
        l2_remove_block(s, c, k->ref.block);
    return false;
}

/* ---- the pieces of a region ---- */

struct l2_pieces {
    struct l2_store *store;
    struct l2_piece_ref *v; /* owned */
    size_t n, cap, next;
    unsigned above; /* for moving: the count that a piece has to exceed */
    uint32_t bytes;
};

static void add_piece(struct l2_pieces *p, const struct l2_chunk *c, unsigned block)
{
    if (p->n == p->cap) {
        p->cap = p->cap == 0 ? 64 : 2 * p->cap;
        p->v = realloc(p->v, p->cap * sizeof(p->v[0]));
        EL_ASSERT(p->v != NULL);
    }
    p->v[p->n++] = (struct l2_piece_ref){ c->object->id, c->chunk, block };
}

static void add_any(void *arg, struct l2_chunk *c, unsigned block)
{
    add_piece(arg, c, block);
}

/* How often what stands in a region was asked for lately: the mean of its first pieces. */
struct l2_tally {
    struct l2_store *store;
    unsigned sum, n;
};

static unsigned count_of(struct l2_store *s, const struct l2_chunk *c)
{
    return cache_sketch_count(s->sketch, l2_heat_key(&c->object->id, c->chunk));
}

static void add_count(void *arg, struct l2_chunk *c, unsigned block)
{
    struct l2_tally *t = arg;

    (void)block;
    if (t->n == PIECES_COUNTED)
        return;
    t->sum += count_of(t->store, c);
    t->n++;
}

static unsigned region_count(struct l2_store *s, uint32_t region)
{
    struct l2_tally t = { .store = s };

    l2_map_region_each(s->map, region, add_count, &t);
    return t.n > 0 ? t.sum / t.n : 0;
}

/* What was asked for more often than its region on the whole, up to half of the region; and all
 * that is pinned. */
static void add_worthy(void *arg, struct l2_chunk *c, unsigned block)
{
    struct l2_pieces *p = arg;
    uint32_t bytes = l2_chunk_block(c, block)->bytes;

    if (!c->object->is_pinned &&
        (count_of(p->store, c) <= p->above || p->bytes + bytes > L2_REGION_BYTES / 2))
        return;
    p->bytes += bytes;
    add_piece(p, c, block);
}

/* ---- moving ---- */

struct l2_mover {
    struct l2_check check; /* first: on_done recovers the mover from its op */
    struct l2_pieces pieces;
    uint32_t from;
    uint32_t region, offset; /* where the piece goes */
};

static void move_next(struct l2_mover *v);

/* The piece stands in its new place: the map says so from now on. */
static void settle(struct l2_mover *v, struct l2_chunk *c)
{
    struct l2_store *s = v->check.store;
    struct l2_block *b = l2_chunk_block(c, v->check.ref.block);

    l2_map_region_remove(s->map, b->region, c, v->check.ref.block);
    if (l2_region_drop(s->regions, b->region, b->bytes, c->object->is_pinned))
        l2_note_leaving(s, b->region);
    b->region = v->region;
    b->offset = v->offset;
    l2_region_add(s->regions, b->region, b->bytes);
    l2_map_region_add(s->map, b->region, c, v->check.ref.block);
    if (c->object->is_pinned)
        l2_region_pin(s->regions, b->region, true);
    l2_note_dirty(s, c);
    el_counter_add(s->count.moved_blocks, 1);
}

static void on_moved(struct el_ring_op *op)
{
    struct l2_mover *v = EL_ENTRY(op, struct l2_mover, check.op);
    struct l2_store *s = v->check.store;
    struct l2_chunk *c = check_still(&v->check);

    l2_region_busy(s->regions, v->region, -1);
    if (op->result != 0) {
        el_counter_add(s->count.write_errors, 1);
        l2_note_health(s, l2_outcome_of(-op->result));
    } else if (c != NULL) {
        settle(v, c);
    }
    move_next(v);
}

static void on_read_to_move(struct el_ring_op *op)
{
    struct l2_mover *v = EL_ENTRY(op, struct l2_mover, check.op);
    struct l2_store *s = v->check.store;

    if (!check_end(&v->check) ||
        !l2_region_take_piece(s->regions, v->check.at.bytes, l2_now_ms(), &v->region, &v->offset)) {
        move_next(v);
        return;
    }
    l2_region_busy(s->regions, v->region, 1);
    op->what = EL_RING_WRITE;
    op->offset = (uint64_t)v->region * L2_REGION_BYTES + v->offset;
    op->on_done = on_moved;
    el_ring_submit(s->ring, op);
}

static void end_move(struct l2_mover *v)
{
    struct l2_store *s = v->check.store;

    l2_region_busy(s->regions, v->from, -1);
    s->mover = NULL;
    give_up(s, v->from);
    free(v->pieces.v);
    free(v->check.buffer);
    free(v);
}

static void move_next(struct l2_mover *v)
{
    bool is_closing = atomic_load(&v->check.store->phase) == L2_CLOSING;

    while (!is_closing && v->pieces.next < v->pieces.n) {
        if (check_begin(&v->check, &v->pieces.v[v->pieces.next++], on_read_to_move))
            return;
    }
    end_move(v);
}

/* Moves what is worth it, then gives the region up. */
static void empty(struct l2_store *s, uint32_t region)
{
    struct l2_mover *v;

    if (!l2_region_get(s->regions, region)->is_log) {
        give_up(s, region);
        return;
    }
    if (s->mover != NULL)
        return; /* one at a time */
    v = el_new(struct l2_mover);
    check_init(&v->check, s);
    v->pieces.store = s;
    v->pieces.above = region_count(s, region);
    v->from = region;
    s->mover = v;
    l2_region_busy(s->regions, region, 1);
    l2_map_region_each(s->map, region, add_worthy, &v->pieces);
    move_next(v);
}

/* ---- room ---- */

bool l2_make_room(struct l2_store *s, const struct cache_object_id *id, uint64_t chunk)
{
    uint32_t n = l2_regions_count(s->regions), victim;
    uint32_t reserve = (uint32_t)el_min_u64(1 + n / RESERVE_SHARE, RESERVE_MAX);
    uint32_t coming = (uint32_t)(s->commits[0].n_leaving + s->commits[1].n_leaving);
    const struct l2_chunk *c = l2_map_chunk(s->map, id, (uint32_t)chunk);

    coming += l2_regions_free_count(s->regions) + (s->mover != NULL);
    if (coming > 2 * reserve || (c != NULL && c->home != L2_NO_REGION))
        return true;
    victim = l2_region_victim(s->regions, l2_now_ms(), el_rng_u64(&s->rng));
    if (victim == L2_NO_REGION)
        return coming > 0;
    if (c == NULL && !cache_sketch_admits(s->sketch, l2_heat_key(id, chunk),
                                          region_count(s, victim), el_rng_u64(&s->rng)))
        return false;
    if (coming <= reserve) {
        empty(s, victim);
        if (l2_regions_free_count(s->regions) == 0)
            l2_commit_now(s);
    }
    return true;
}

/* ---- scrubbing ---- */

struct l2_scrubber {
    struct l2_check check; /* first: as in the mover */
    struct l2_pieces pieces;
    struct el_timer timer;
    uint32_t region; /* the next one */
    bool is_reading, is_stopping;
};

static void scrub_next(struct l2_scrubber *b)
{
    struct l2_store *s = b->check.store;
    uint64_t rate = s->l2->conf.scrub_bytes_s;
    uint64_t pause_ms = SCRUB_IDLE_MS;

    if (b->check.at.bytes > 0)
        pause_ms = b->check.at.bytes * 1000 / rate;
    b->check.at.bytes = 0;
    el_timer_start(el_ring_timers(s->ring), &b->timer, l2_now_ms() + pause_ms);
}

static void free_scrubber(struct l2_scrubber *b)
{
    b->check.store->scrubber = NULL;
    el_timer_stop(&b->timer);
    free(b->pieces.v);
    free(b->check.buffer);
    free(b);
}

static void on_scrubbed(struct el_ring_op *op)
{
    struct l2_scrubber *b = EL_ENTRY(op, struct l2_scrubber, check.op);

    b->is_reading = false;
    if (check_end(&b->check))
        el_counter_add(b->check.store->count.scrubbed_bytes, b->check.at.bytes);
    if (b->is_stopping)
        free_scrubber(b);
    else
        scrub_next(b);
}

/* The pieces of the next region that has any; false: the round is over. */
static bool next_region(struct l2_scrubber *b)
{
    struct l2_store *s = b->check.store;

    b->pieces.n = b->pieces.next = 0;
    while (b->pieces.n == 0 && b->region < l2_regions_count(s->regions))
        l2_map_region_each(s->map, b->region++, add_any, &b->pieces);
    if (b->pieces.n == 0)
        b->region = 0;
    return b->pieces.n > 0;
}

static void on_scrub_timer(struct el_timer *t)
{
    struct l2_scrubber *b = EL_ENTRY(t, struct l2_scrubber, timer);

    if (b->check.store->health.state == L2_OK && (b->pieces.next < b->pieces.n || next_region(b))) {
        while (!b->is_reading && b->pieces.next < b->pieces.n)
            b->is_reading = check_begin(&b->check, &b->pieces.v[b->pieces.next++], on_scrubbed);
    }
    if (!b->is_reading)
        scrub_next(b);
}

void l2_scrub_start(struct l2_store *s)
{
    struct l2_scrubber *b;

    if (s->l2->conf.scrub_bytes_s == 0)
        return;
    b = el_new(struct l2_scrubber);
    check_init(&b->check, s);
    el_timer_init(&b->timer, on_scrub_timer);
    s->scrubber = b;
    scrub_next(b);
}

void l2_clean_stop(struct l2_store *s)
{
    if (s->scrubber != NULL && s->scrubber->is_reading)
        s->scrubber->is_stopping = true;
    else if (s->scrubber != NULL)
        free_scrubber(s->scrubber);
}
