/* SPDX-License-Identifier: MIT */
/*
 * l2_read: from disk to memory: the source of fills of what a store has. Blocks are read into their
 * place in the arena, a few ahead of the reader, and shown to nobody before their hash is right.
 *
 *   start() -> take room -> read -> verify -> put -> take room ... -> done(EL_OK)
 *                            |       |
 *                            |       +-- mismatch: the block is dropped; done(EL_OK): readers look
 * again, |           and find that somebody else has to be asked
 *                            +-- error, or late: done(EL_EDISK): readers shun the disk here
 *
 * A read that is late keeps its memory until the kernel lets go of it, and nobody waits for it.
 * Blocks are hashed by other threads (l2_verify.c).
 */
#include "cache/l2_store.h"

#include <errno.h>

#define READ_MAGIC  0x4c325244u
#define PIECE_MAGIC 0x4c325043u
#define AHEAD       4           /* blocks of a fill being read at a time, */
#define IN_HAND     (2 * AHEAD) /* and with those that are being verified */

enum read_orders { ORDER_BEGIN = 1, ORDER_RESUME = 2, ORDER_CANCEL = 4 };

struct l2_read {
    uint32_t magic;
    struct el_msg msg;
    _Atomic unsigned orders;
    struct l2_store *store;
    struct cache_fill *fill;
    struct el_list pieces; /* of l2_piece.of_read */
    unsigned n_pieces;     /* in there, */
    unsigned n_reading;    /* and not verified already */
    struct el_list hungry; /* of the store: there is too much being read already */
    bool is_over;          /* nothing more is taken */
    enum el_err code;      /* how it ends */
};

struct l2_piece {
    uint32_t magic;
    struct el_list link; /* of the store's reading */
    struct el_list of_read;
    struct l2_store *store;
    struct l2_read *read;        /* NULL: stranded */
    struct cache_object *object; /* referenced */
    struct cache_room room;
    struct l2_block at;
    struct el_ring_op op;
    struct l2_verify verify;
};

/* ---- the end of a fill ---- */

static void assign(struct cache_l2 *l2, struct cache_fill *fill, struct l2_read *r)
{
    EL_ASSERT(pthread_mutex_lock(&l2->fills_mtx) == 0);
    cache_fill_set_data(fill, r);
    EL_ASSERT(pthread_mutex_unlock(&l2->fills_mtx) == 0);
}

static void finish(struct l2_read *r)
{
    struct l2_store *s = r->store;
    struct el_error err = { 0 };

    EL_ASSERT(el_list_empty(&r->pieces));
    el_list_remove(&r->hungry);
    assign(s->l2, r->fill, NULL);
    el_msgq_cancel(el_ring_queue(s->ring), &r->msg); /* nobody finds it any more */
    if (r->code != EL_OK)
        el_fail(&err, r->code, 0, "the cache directory could not be read");
    cache_fill_done(r->fill, r->code, r->code == EL_OK ? NULL : &err);
    r->magic = 0;
    free(r);
}

/* ---- one block ---- */

static void free_piece(struct l2_piece *p)
{
    cache_object_unref(p->object);
    p->magic = 0;
    free(p);
}

static struct l2_chunk *chunk_at(const struct l2_piece *p, unsigned *ret_bit)
{
    *ret_bit = p->room.number % CACHE_CHUNK_BLOCKS;
    return l2_map_chunk(p->store->map, &p->object->id,
                        (uint32_t)(p->room.number / CACHE_CHUNK_BLOCKS));
}

/* What stands there is not what was written, or cannot be read: it is fetched again. */
static void drop_block(struct l2_piece *p)
{
    unsigned bit;
    struct l2_chunk *c = chunk_at(p, &bit);
    const struct l2_block *b = c != NULL ? l2_chunk_block(c, bit) : NULL;

    if (b != NULL && b->region == p->at.region && b->offset == p->at.offset)
        l2_remove_block(p->store, c, bit);
    cache_disk_remove(p->object, p->room.number / CACHE_CHUNK_BLOCKS, (uint16_t)(1u << bit));
}

static void judge(struct l2_piece *p)
{
    struct l2_store *s = p->store;
    struct l2_read *r = p->read;

    if (memcmp(&p->verify.digest, &p->at.digest, sizeof(p->at.digest)) != 0) {
        el_counter_add(s->count.mismatches, 1);
        el_log(EL_WARN, EV_DISK_MISMATCH, "dir=%s region=%u offset=%u", s->dir, p->at.region,
               p->at.offset);
        drop_block(p);
        cache_fill_give_back(r->fill, &p->room);
        r->is_over = true;
        return;
    }
    el_counter_add(s->count.read_blocks, 1);
    el_counter_add(s->count.read_bytes, p->room.bytes);
    l2_note_health(s, L2_GOOD);
    cache_fill_put(r->fill, &p->room, &p->verify.digest);
}

static void fail(struct l2_piece *p)
{
    struct l2_store *s = p->store;

    el_counter_add(s->count.read_errors, 1);
    l2_note_health(s, l2_outcome_of(-p->op.result));
    drop_block(p);
    cache_fill_give_back(p->read->fill, &p->room);
    p->read->is_over = true;
    p->read->code = EL_EDISK;
}

static void pump(struct l2_read *r);

static bool may_read_more(const struct l2_store *s)
{
    return s->reading_bytes < s->l2->busy_bytes;
}

/* Nothing ends a late read: who waited for those alone would wait for as long as the disk. */
static bool is_all_late(const struct l2_store *s)
{
    return s->late_bytes == s->reading_bytes;
}

static void feed_hungry(struct l2_store *s)
{
    struct el_list *l;

    while ((may_read_more(s) || is_all_late(s)) && (l = el_list_pop(&s->hungry)) != NULL)
        pump(EL_ENTRY(l, struct l2_read, hungry));
}

static void strand_ends(struct l2_piece *p)
{
    p->store->late_bytes -= p->room.bytes;
    cache_room_free(p->object, &p->room);
}

/* The piece is dealt with; its memory is the fill's again, or freed. */
static void end_piece(struct l2_piece *p)
{
    struct l2_store *s = p->store;
    struct l2_read *r = p->read;

    s->reading_bytes -= p->room.bytes;
    el_list_remove(&p->of_read);
    if (r == NULL)
        strand_ends(p);
    else
        r->n_pieces--;
    free_piece(p);
    if (r != NULL)
        pump(r);
    feed_hungry(s);
}

static void on_verified(struct el_msg *m)
{
    struct l2_piece *p = EL_ENTRY(m, struct l2_piece, verify.done);

    EL_ASSERT(p->magic == PIECE_MAGIC);
    if (p->read != NULL)
        judge(p);
    end_piece(p);
}

/* The disk gets its next block before this one is hashed. */
static void verify(struct l2_piece *p)
{
    p->verify.mem = p->room.mem;
    p->verify.bytes = p->room.bytes;
    p->verify.queue = el_ring_queue(p->store->ring);
    el_msg_init(&p->verify.done, on_verified);
    l2_verify_give(p->store->l2->verifiers, &p->verify);
    pump(p->read);
}

static void on_read(struct el_ring_op *op)
{
    struct l2_piece *p = EL_ENTRY(op, struct l2_piece, op);

    EL_ASSERT(p->magic == PIECE_MAGIC);
    el_list_remove(&p->link);
    l2_region_busy(p->store->regions, p->at.region, -1);
    if (p->read != NULL)
        p->read->n_reading--;
    if (p->read != NULL && op->result == 0) {
        verify(p);
        return;
    }
    if (p->read != NULL)
        fail(p);
    end_piece(p);
}

static void start_deadline(struct l2_store *s)
{
    const struct l2_piece *oldest;

    if (el_list_empty(&s->reading) || !el_list_empty(&s->deadline_timer.link))
        return;
    oldest = EL_ENTRY(s->reading.next, struct l2_piece, link);
    el_timer_start(el_ring_timers(s->ring), &s->deadline_timer,
                   oldest->op.submitted_ms + s->l2->conf.read_deadline_ms);
}

static void submit(struct l2_read *r, const struct cache_room *room, const struct l2_block *at)
{
    struct l2_store *s = r->store;
    struct l2_piece *p = el_new(struct l2_piece);

    p->magic = PIECE_MAGIC;
    p->store = s;
    p->read = r;
    p->object = cache_object_ref(cache_fill_object(r->fill));
    p->room = *room;
    p->at = *at;
    p->op = (struct el_ring_op){
        .what = EL_RING_READ,
        .fd = s->fd,
        .mem = room->mem,
        .bytes = (room->bytes + L2_ALIGN - 1) / L2_ALIGN * L2_ALIGN,
        .offset = (uint64_t)at->region * L2_REGION_BYTES + at->offset,
        .on_done = on_read,
    };
    el_list_append(&s->reading, &p->link);
    el_list_init(&p->of_read);
    el_list_append(&r->pieces, &p->of_read);
    r->n_pieces++;
    r->n_reading++;
    s->reading_bytes += room->bytes;
    l2_region_busy(s->regions, at->region, 1);
    el_ring_submit(s->ring, &p->op);
    start_deadline(s);
}

/* ---- the fill ---- */

/* The map's entry of the block; NULL: it went away since the fill began. */
static const struct l2_block *find(struct l2_read *r, uint64_t number, uint32_t bytes)
{
    const struct cache_object *o = cache_fill_object(r->fill);
    unsigned bit = number % CACHE_CHUNK_BLOCKS;
    struct l2_chunk *c =
        l2_map_chunk(r->store->map, &o->id, (uint32_t)(number / CACHE_CHUNK_BLOCKS));
    const struct l2_block *b;

    if (c == NULL || (c->bitmap >> bit & 1) == 0)
        return NULL;
    b = l2_chunk_block(c, bit);
    return b->bytes == bytes ? b : NULL;
}

static void begin_block(struct l2_read *r, const struct cache_room *room)
{
    const struct l2_block *at = find(r, room->number, room->bytes);

    if (at != NULL) {
        submit(r, room, at);
        return;
    }
    cache_disk_remove(cache_fill_object(r->fill), room->number / CACHE_CHUNK_BLOCKS,
                      (uint16_t)(1u << room->number % CACHE_CHUNK_BLOCKS));
    cache_fill_give_back(r->fill, room);
    r->is_over = true;
}

static void refuse(struct l2_read *r)
{
    l2_note_health(r->store, L2_LATE);
    r->is_over = true;
    r->code = EL_EDISK;
}

static void pump(struct l2_read *r)
{
    struct cache_room room;

    while (!r->is_over && r->n_reading < AHEAD && r->n_pieces < IN_HAND) {
        if (!may_read_more(r->store)) {
            if (!is_all_late(r->store)) {
                if (el_list_empty(&r->hungry))
                    el_list_append(&r->store->hungry, &r->hungry);
                return;
            }
            refuse(r);
            break;
        }
        switch (cache_fill_take(r->fill, &room)) {
        case CACHE_TAKE_ROOM:
            begin_block(r, &room);
            break;
        case CACHE_TAKE_WAIT:
            return;
        case CACHE_TAKE_OVER:
            r->is_over = true;
            break;
        }
    }
    if (r->is_over && el_list_empty(&r->pieces))
        finish(r);
}

static void on_order(struct el_msg *m)
{
    struct l2_read *r = EL_ENTRY(m, struct l2_read, msg);
    unsigned orders = atomic_exchange(&r->orders, 0);

    EL_ASSERT(r->magic == READ_MAGIC);
    if ((orders & ORDER_BEGIN) != 0 && !l2_health_may_read(&r->store->health)) {
        r->is_over = true;
        r->code = EL_EDISK;
    }
    if ((orders & ORDER_CANCEL) != 0) {
        r->is_over = true;
        if (r->code == EL_OK)
            r->code = EL_ECANCELED;
    }
    pump(r);
}

/* ---- deadlines ---- */

/* The fill ends now; its reads keep their memory until they are over. */
static void give_up(struct l2_read *r)
{
    struct el_list *l;

    while ((l = el_list_pop(&r->pieces)) != NULL) {
        struct l2_piece *p = EL_ENTRY(l, struct l2_piece, of_read);

        cache_fill_strand(r->fill, &p->room);
        el_list_remove(&p->link); /* judged once */
        r->store->late_bytes += p->room.bytes;
        p->read = NULL;
    }
    r->is_over = true;
    r->code = EL_EDISK;
    finish(r);
}

/* What the late ones keep may be all there is to read to. */
static void give_up_hungry(struct l2_store *s)
{
    struct el_list *l;

    while ((l = el_list_pop(&s->hungry)) != NULL) {
        struct l2_read *r = EL_ENTRY(l, struct l2_read, hungry);

        r->is_over = true;
        r->code = EL_EDISK;
        if (el_list_empty(&r->pieces))
            finish(r);
    }
}

static void on_deadline(struct el_timer *t)
{
    struct l2_store *s = EL_ENTRY(t, struct l2_store, deadline_timer);
    uint64_t now = l2_now_ms();

    while (!el_list_empty(&s->reading)) {
        struct l2_piece *p = EL_ENTRY(s->reading.next, struct l2_piece, link);

        if (p->op.submitted_ms + s->l2->conf.read_deadline_ms > now)
            break;
        el_counter_add(s->count.late_reads, 1);
        l2_note_health(s, L2_LATE);
        give_up(p->read);
        give_up_hungry(s);
    }
    start_deadline(s);
}

void l2_read_init(struct l2_store *s)
{
    el_timer_init(&s->deadline_timer, on_deadline);
}

/* ---- cache/source.h ---- */

static void start(struct cache_source *source, struct cache_fill *fill)
{
    struct cache_l2 *l2 = EL_ENTRY(source, struct cache_l2, source);
    const struct cache_object *o = cache_fill_object(fill);
    struct l2_read *r = el_new(struct l2_read);

    r->magic = READ_MAGIC;
    r->store = l2_store_of(l2, &o->id, cache_fill_position(fill) / CACHE_CHUNK_BYTES);
    r->fill = fill;
    el_list_init(&r->pieces);
    el_list_init(&r->hungry);
    atomic_init(&r->orders, ORDER_BEGIN);
    el_msg_init(&r->msg, on_order);
    assign(l2, fill, r);
    el_ring_post(r->store->ring, &r->msg);
}

/* The cache may call while the fill ends on the ring's thread; the mutex keeps the read alive. */
static void order(struct cache_source *source, struct cache_fill *fill, unsigned what)
{
    struct cache_l2 *l2 = EL_ENTRY(source, struct cache_l2, source);
    struct l2_read *r;

    EL_ASSERT(pthread_mutex_lock(&l2->fills_mtx) == 0);
    r = cache_fill_data(fill);
    if (r != NULL) {
        atomic_fetch_or(&r->orders, what);
        el_ring_post(r->store->ring, &r->msg);
    }
    EL_ASSERT(pthread_mutex_unlock(&l2->fills_mtx) == 0);
}

static void resume(struct cache_source *source, struct cache_fill *fill)
{
    order(source, fill, ORDER_RESUME);
}

static void cancel(struct cache_source *source, struct cache_fill *fill)
{
    order(source, fill, ORDER_CANCEL);
}

const struct cache_source_ops l2_source_ops = {
    .label = "disk",
    .from = CACHE_FROM_DISK,
    .start = start,
    .resume = resume,
    .cancel = cancel,
};
