/* SPDX-License-Identifier: MIT */
/*
 * arrive: blocks that come in. What was asked for is *expected*: a net thread that sees a block
 * begin takes room for it from the cache, so that it is received where it belongs; when it is
 * there the engine holds it against the manifest, and only then anybody can read it.
 *
 * Which of several blocks of a chunk arrives is known at its end only. It goes to the room of the
 * one that was asked for first, which is nearly always right; when it is not, it is copied.
 */
#include "common/log.h"
#include "p2p/engine.h"

/*
 * A block that a reader waits for, from a peer as slow as that, is soon asked of another one,
 * unless others are nearly as slow: where all links are, nothing is gained.
 */
#define STILL_MS   2000u
#define LEAST_RATE (256u * 1024u) /* bytes a second */
#define STILL_RATE (32u * 1024u)  /* is slow whatever others are */
#define SLOWER     4u             /* times as slow as what comes elsewhere, on average */
#define SAMPLE_MS  1000u
/* Any block. */
#define MOST_BLOCK_MS    15000u /* at less than */
#define LEAST_BLOCK_RATE (64u * 1024u)
#define MOST_EVER_MS     60000u
/* Streams come as fast as the origin gives them, and it may be slow: one that does not move at all.
 */
#define STREAM_STILL_MS 8000u
#define MOST_STREAM_MS  P2P_LEASE_MOST_MS
/* Its manifest comes behind a stream, and may come behind any block; then it is too late. */
#define UNSIGNED_MS 1000u
/* It should have come by now: it is asked for. */
#define FORGOTTEN_MS 100u

struct expect {
    struct el_list link; /* in its remote's expects, or arrived */
    struct el_chunk_id chunk;
    uint32_t block;
    struct cache_fill *fill; /* a reference; NULL: it is not wanted any more */
    bool is_placed;          /* the room is taken, and somebody writes there, */
    uint64_t began_ms;       /* since then, or since its head came */
    bool is_forgotten;       /* it does not come: what is written there is another one */
    bool is_stranded;        /* the room's memory is kept for that; others may bring the block */
    bool is_needless;        /* it is here by now, or somebody else brings it */
    struct cache_room room;
    bool is_stream;
    bool has_begun, was_told; /* its head has come; the swarm knows */
    /* arrived */
    bool has_room;
    uint64_t arrived_ms;
    bool has_asked; /* for the hash, once more */
    struct el_digest hash;
};

static void lock(struct p2p_remote *r)
{
    EL_ASSERT(pthread_mutex_lock(&r->mtx) == 0);
}

static void unlock(struct p2p_remote *r)
{
    EL_ASSERT(pthread_mutex_unlock(&r->mtx) == 0);
}

static void expect_free(struct expect *x)
{
    cache_fill_unref(x->fill);
    free(x);
}

/* Nobody writes there any more, and it is of no use. */
static void give_room_back(struct expect *x)
{
    if (x->is_stranded)
        cache_room_free(cache_fill_object(x->fill), &x->room);
    else
        cache_fill_give_back(x->fill, &x->room);
    x->is_placed = x->is_stranded = false;
}

static uint64_t number_of(const struct expect *x)
{
    return (uint64_t)x->chunk.index * CACHE_CHUNK_BLOCKS + x->block;
}

void p2p_arrive_expect(struct p2p_remote *r, const struct el_chunk_id *chunk, uint32_t block,
                       struct cache_fill *fill, bool is_stream)
{
    struct expect *x = el_new(struct expect);

    x->is_stream = is_stream;
    x->chunk = *chunk;
    x->block = block;
    x->fill = fill != NULL ? cache_fill_ref(fill) : NULL;
    lock(r);
    el_list_append(&r->expects, &x->link);
    unlock(r);
}

void p2p_arrive_forget(struct p2p_remote *r, const struct el_chunk_id *chunk,
                       struct p2p_blocks blocks)
{
    struct el_list *it, *tmp, gone;

    el_list_init(&gone);
    lock(r);
    EL_LIST_EACH (it, tmp, &r->expects) {
        struct expect *x = EL_ENTRY(it, struct expect, link);
        bool is_named = blocks.count == 0 ||
                        (x->block >= blocks.first && x->block < blocks.first + blocks.count);

        if (!is_named || !el_chunk_id_eq(&x->chunk, chunk))
            continue;
        x->is_forgotten = true;
        if (!x->is_placed) {
            el_list_remove(&x->link);
            el_list_append(&gone, &x->link);
        }
    }
    unlock(r);
    while ((it = el_list_pop(&gone)) != NULL)
        expect_free(EL_ENTRY(it, struct expect, link));
}

void p2p_arrive_strand(struct p2p_remote *r, const struct el_chunk_id *chunk,
                       struct p2p_blocks blocks)
{
    struct el_list *it, *tmp;

    lock(r);
    EL_LIST_EACH (it, tmp, &r->expects) {
        struct expect *x = EL_ENTRY(it, struct expect, link);

        /* Of what has just begun the swarm is about to hear, and then it is to come. */
        if (!x->is_placed || x->is_stranded || !x->was_told || x->block < blocks.first ||
            x->block >= blocks.first + blocks.count || !el_chunk_id_eq(&x->chunk, chunk))
            continue;
        cache_fill_strand(x->fill, &x->room);
        x->is_stranded = true;
    }
    unlock(r);
}

/* ---- on a net thread ---- */

static bool take_room(struct expect *x, uint64_t now)
{
    enum cache_take take = CACHE_TAKE_WAIT;

    if (x->fill != NULL)
        take = cache_fill_take_at(x->fill, number_of(x), &x->room);
    x->is_placed = take == CACHE_TAKE_ROOM;
    x->began_ms = now;
    x->is_needless = take == CACHE_TAKE_OVER;
    return x->is_placed;
}

static bool is_of(const struct expect *x, const struct el_chunk_id *chunk)
{
    return !x->is_placed && !x->is_forgotten && el_chunk_id_eq(&x->chunk, chunk);
}

/* The first one of the chunk: more than one is hardly ever asked of a link at a time. */
static void note_begun(struct p2p_remote *r, const struct el_chunk_id *chunk)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &r->expects) {
        struct expect *x = EL_ENTRY(it, struct expect, link);

        if (x->has_begun || x->is_forgotten || !el_chunk_id_eq(&x->chunk, chunk))
            continue;
        x->has_begun = true;
        x->began_ms = p2p_now(r->p);
        el_msgq_post(r->p->queue, &r->msg);
        return;
    }
}

void *p2p_arrive_place(void *arg, struct p2p_link *link, const struct el_chunk_id *chunk,
                       uint32_t n)
{
    struct p2p_remote *r = p2p_link_arg(link);
    struct el_list *it, *tmp;
    void *mem = NULL;

    (void)arg;
    if (r == NULL)
        return NULL; /* nothing was asked for yet */
    lock(r);
    note_begun(r, chunk);
    EL_LIST_EACH (it, tmp, &r->expects) {
        struct expect *x = EL_ENTRY(it, struct expect, link);

        if (!is_of(x, chunk))
            continue;
        if (take_room(x, p2p_now(r->p))) {
            if (x->room.bytes == n) {
                mem = x->room.mem;
                break;
            }
            give_room_back(x);
        }
    }
    unlock(r);
    return mem;
}

static struct expect *find_room(struct p2p_remote *r, const void *mem)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &r->expects) {
        struct expect *x = EL_ENTRY(it, struct expect, link);

        if (x->is_placed && x->room.mem == mem)
            return x;
    }
    return NULL;
}

static struct expect *find_block(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &r->expects) {
        struct expect *x = EL_ENTRY(it, struct expect, link);

        if (x->block == f->sequence && el_chunk_id_eq(&x->chunk, &f->chunk))
            return x;
    }
    return NULL;
}

/* It went to the room of another one. */
static void move_over(struct expect *from, struct expect *to)
{
    if (to != NULL && !to->is_placed && take_room(to, from->began_ms)) {
        if (to->room.bytes == from->room.bytes) {
            memcpy(to->room.mem, from->room.mem, to->room.bytes);
        } else {
            give_room_back(to);
        }
    }
    give_room_back(from);
}

/* What was forgotten while its room was written to. */
static struct expect *take_forgotten(struct expect *x)
{
    if (!x->is_forgotten)
        return NULL;
    el_list_remove(&x->link);
    return x;
}

void p2p_arrive_block(void *arg, struct p2p_link *link, const struct p2p_frame *f)
{
    struct p2p_remote *r = p2p_link_arg(link);
    struct expect *placed, *x, *gone = NULL;

    (void)arg;
    if (r == NULL)
        return;
    lock(r);
    placed = f->data.p != NULL ? find_room(r, f->data.p) : NULL;
    x = find_block(r, f);
    if (placed != NULL && placed != x) {
        move_over(placed, x);
        gone = take_forgotten(placed);
    }
    if (x != NULL) {
        if (x->is_stranded)
            give_room_back(x);
        x->has_room = x->is_placed;
        x->arrived_ms = p2p_now(r->p);
        x->hash = f->hash;
        el_list_remove(&x->link);
        el_list_append(&r->arrived, &x->link);
        el_msgq_post(r->p->queue, &r->msg);
    }
    unlock(r);
    if (gone != NULL)
        expect_free(gone);
}

void p2p_arrive_unplaced(void *arg, struct p2p_link *link, const struct el_chunk_id *chunk,
                         void *mem)
{
    struct p2p_remote *r = p2p_link_arg(link);
    struct expect *x, *gone;

    (void)arg;
    (void)chunk;
    lock(r);
    x = find_room(r, mem);
    EL_ASSERT(x != NULL);
    give_room_back(x);
    gone = take_forgotten(x);
    unlock(r);
    if (gone != NULL)
        expect_free(gone);
}

/* ---- what stands still ---- */

/* Bytes a second over the last while; UINT64_MAX: not known yet. */
static uint64_t rate_of(struct p2p_remote *r)
{
    uint64_t now = p2p_now(r->p), ms = now - r->sampled_ms;
    struct p2p_link_stats stats;

    if (ms >= SAMPLE_MS) {
        p2p_link_stats(r->link, &stats);
        if (stats.in_bytes != r->sampled_bytes)
            r->moved_ms = now;
        r->rate = r->sampled_ms == 0 ? UINT64_MAX : (stats.in_bytes - r->sampled_bytes) * 1000 / ms;
        r->sampled_bytes = stats.in_bytes;
        r->sampled_ms = now;
    }
    return r->rate;
}

static bool is_slow(const struct p2p_remote *r, uint64_t rate)
{
    return rate < STILL_RATE || (rate < LEAST_RATE && SLOWER * rate < r->p->usual_rate);
}

static bool is_stuck(struct p2p_remote *r, const struct expect *x, uint64_t rate)
{
    uint64_t now = p2p_now(r->p), age = now - x->began_ms;

    if (age < STILL_MS || !(x->is_placed || (x->is_stream && x->has_begun)))
        return false;
    if (x->is_stream)
        return age > MOST_STREAM_MS ||
               (age > STREAM_STILL_MS && now - r->moved_ms > STREAM_STILL_MS);
    return age > MOST_EVER_MS || (age > MOST_BLOCK_MS && rate < LEAST_BLOCK_RATE) ||
           (is_slow(r, rate) && p2p_fetch_is_urgent(r->p, &x->chunk, number_of(x)));
}

void p2p_arrive_look(struct p2p_remote *r, struct p2p_arrivals *all)
{
    uint64_t rate = rate_of(r);
    struct el_list *it, *tmp;
    bool is_any_stuck = false, comes = false, is_stream = false;
    struct el_error err;

    lock(r);
    EL_LIST_EACH (it, tmp, &r->expects) {
        const struct expect *x = EL_ENTRY(it, const struct expect, link);

        comes |= x->is_placed;
        is_any_stuck |= is_stuck(r, x, rate);
        is_stream |= x->is_stream && (x->is_placed || x->has_begun);
    }
    unlock(r);
    if (comes && rate != UINT64_MAX) {
        all->sum += rate;
        all->n++;
    }
    p2p_arrive_signed(r);
    if (is_any_stuck) {
        /* With a stream it may be the origin that stands still: that says nothing of the peer. */
        el_fail(&err, is_stream ? EL_ENOTCACHED : EL_ETIMEOUT, 0,
                "%s: a block that has begun does not come", p2p_link_peer(r->link)->address);
        p2p_link_close(r->link, &err);
    }
}

/* ---- the engine's judgement ---- */

static void put(struct p2p_remote *r, struct expect *x)
{
    struct p2p *p = r->p;

    el_counter_add(p->count.blocks_in, 1);
    el_counter_add(p->count.bytes_in, x->room.bytes);
    p2p_gave_note(p->gave, x->chunk.object, r->node->hash, p2p_link_peer(r->link)->name,
                  x->room.bytes);
    cache_fill_put(x->fill, &x->room, &x->hash);
    p2p_swarm_on_block(p->swarm, p2p_now(p), r->node->hash, &x->chunk, x->block);
    p2p_fetch_put(p, &x->chunk, number_of(x));
}

/* It came, and nobody is to blame that it is of no use. */
static void drop(struct p2p_remote *r, struct expect *x, bool is_known)
{
    struct p2p *p = r->p;
    uint32_t known = p2p_vouch_known(p->vouch, &x->chunk);

    el_counter_add(p->count.dropped, 1);
    if (x->is_needless) {
        p2p_swarm_on_block(p->swarm, p2p_now(p), r->node->hash, &x->chunk, x->block);
        p2p_fetch_put(p, &x->chunk, number_of(x));
    } else if (!is_known && !p2p_vouch_can_tell(p->vouch, &x->chunk, (uint32_t)1 << x->block)) {
        p2p_swarm_on_unsigned(p->swarm, p2p_now(p), r->node->hash, &x->chunk, x->block, known);
    } else {
        p2p_swarm_on_dropped(p->swarm, p2p_now(p), r->node->hash, &x->chunk, x->block);
    }
}

/* The link has had them once, and takes them for known; here they were forgotten meanwhile. */
static void ask_hashes(struct p2p_remote *r, const struct el_chunk_id *chunk)
{
    const struct p2p_request request = { .flags = P2P_WANT_MANIFEST };
    struct el_buf frames;

    el_buf_init(&frames);
    p2p_request_add(&frames, p2p_remote_version(r), chunk, 0, &request);
    p2p_remote_send(r, &frames);
}

/* False: not yet. */
static bool judge(struct p2p_remote *r, struct expect *x)
{
    struct el_digest right;
    bool is_known = p2p_vouch_hash(r->p->vouch, &x->chunk, x->block, &right), is_right;

    if (!is_known && !x->has_asked && p2p_now(r->p) - x->arrived_ms >= FORGOTTEN_MS) {
        x->has_asked = true;
        ask_hashes(r, &x->chunk);
    }
    if (!is_known && p2p_now(r->p) - x->arrived_ms < UNSIGNED_MS)
        return false;
    is_right = is_known && memcmp(&right, &x->hash, sizeof(right)) == 0;
    if (is_right && x->has_room) {
        put(r, x);
        return true;
    }
    if (x->has_room)
        cache_fill_give_back(x->fill, &x->room);
    if (is_known && !is_right)
        p2p_swarm_on_bad(r->p->swarm, p2p_now(r->p), r->node->hash, &x->chunk, x->block);
    else
        drop(r, x, is_known);
    return true;
}

/* False: there is none more that the swarm does not know of. */
static bool take_begun(struct p2p_remote *r, struct el_chunk_id *ret)
{
    struct el_list *it, *tmp;
    bool found = false;

    lock(r);
    EL_LIST_EACH (it, tmp, &r->expects) {
        struct expect *x = EL_ENTRY(it, struct expect, link);

        if (found || !x->has_begun || x->was_told)
            continue;
        x->was_told = found = true;
        *ret = x->chunk;
    }
    unlock(r);
    return found;
}

/* What has no manifest yet waits for it. */
static void judge_all(struct p2p_remote *r, struct el_list *some)
{
    struct el_list *l;

    while ((l = el_list_pop(some)) != NULL) {
        struct expect *x = EL_ENTRY(l, struct expect, link);

        if (judge(r, x))
            expect_free(x);
        else
            el_list_append(&r->unsigned_blocks, &x->link);
    }
}

static void on_arrived(struct el_msg *m)
{
    struct p2p_remote *r = EL_ENTRY(m, struct p2p_remote, msg);
    struct p2p *p = r->p;
    struct el_list some;
    struct el_chunk_id begun;

    while (take_begun(r, &begun))
        p2p_swarm_on_begun(p->swarm, p2p_now(p), r->node->hash, &begun);
    lock(r);
    el_list_move(&some, &r->arrived);
    unlock(r);
    judge_all(r, &some);
    p2p_pump(p);
}

void p2p_arrive_signed(struct p2p_remote *r)
{
    struct el_list some;

    el_list_move(&some, &r->unsigned_blocks);
    judge_all(r, &some);
}

void p2p_arrive_init(struct p2p_remote *r)
{
    EL_ASSERT(pthread_mutex_init(&r->mtx, NULL) == 0);
    el_list_init(&r->expects);
    el_list_init(&r->arrived);
    el_list_init(&r->unsigned_blocks);
    el_msg_init(&r->msg, on_arrived);
}

/* The link is down: nothing is placed any more. */
void p2p_arrive_deinit(struct p2p_remote *r)
{
    struct el_list *l;

    el_msgq_cancel(r->p->queue, &r->msg);
    while ((l = el_list_pop(&r->unsigned_blocks)) != NULL)
        el_list_append(&r->arrived, l);
    while ((l = el_list_pop(&r->arrived)) != NULL) {
        struct expect *x = EL_ENTRY(l, struct expect, link);

        if (x->has_room)
            cache_fill_give_back(x->fill, &x->room);
        expect_free(x);
    }
    while ((l = el_list_pop(&r->expects)) != NULL) {
        struct expect *x = EL_ENTRY(l, struct expect, link);

        EL_ASSERT(!x->is_placed);
        expect_free(x);
    }
    EL_ASSERT(pthread_mutex_destroy(&r->mtx) == 0);
}
