/* SPDX-License-Identifier: MIT */
/*
 * fetch: the cache's fills as downloads. What is missing here becomes a window of demand of the
 * swarm; what the swarm wants done about it (ask a peer, ask the tracker, read a run from the
 * origin) is carried out here.
 *
 *   cache: start(fill) -> feed --+
 *                                +--> fetch (one for each version) <--> download of the swarm
 *   another reader:      feed ---+          |
 *                                           +--> runs: fills of the origin's source, on behalf of
 *                                                a feed whose ticket may ask for them
 *
 * A feed is a fill of ours: its demand is looked at again whenever the cache says so (resume). A
 * fetch lives as long as it has feeds, runs or questions that are not answered.
 */
#include "common/log.h"
#include "p2p/engine.h"
#include "p2p/tracker_wire.h"

#define FEED_MAGIC 0x46454544u
#define RUN_MAGIC  0x52554e21u
#define LOCATE_MS  5000u /* a tracker has so long; one that is dead is found out sooner */

enum order { ORDER_BEGIN = 1, ORDER_RESUME = 2, ORDER_CANCEL = 4 };

struct p2p_feed {
    uint32_t magic;
    struct p2p *p;
    struct cache_fill *fill;
    _Atomic unsigned orders;
    struct el_msg msg;
    /* the engine's */
    struct p2p_fetch *fetch; /* NULL: not begun */
    struct el_list link;
    uint64_t first, end, urgent; /* blocks that are wanted; first == end: none */
    bool is_refused;             /* the origin gives nothing for its ticket any more */
};

/* Blocks that this node reads from the origin for all. */
struct run {
    uint32_t magic;
    struct el_list link;
    struct p2p_fetch *fetch;
    uint32_t number;            /* the swarm's */
    uint64_t first;             /* block of the object */
    unsigned count, done, most; /* most: read no more than so many */
    struct cache_fill *fill; /* a reference; NULL: the answer to a client's own request brings it */
    struct cache_ticket *ticket; /* it is read with; after that compared only */
    struct cache_fill_watch watch;
    struct el_msg msg;
    enum el_err code; /* set before msg is posted */
    struct el_error err;
};

/* A Cancel without its Ack. */
struct cancel {
    struct el_list link;
    struct el_chunk_id chunk;
    struct p2p_blocks blocks;
};

/* ---- fetches by version ---- */

static uint64_t blocks_of(uint64_t length)
{
    return (length + CACHE_BLOCK_BYTES - 1) / CACHE_BLOCK_BYTES;
}

static struct p2p_fetch **slot_of(struct p2p *p, const uint8_t version[16])
{
    struct p2p_fetch **at = &p->fetches[version[0]]; /* P2P_TABLE of them */

    _Static_assert(P2P_TABLE == 256, "by the first byte");
    while (*at != NULL && memcmp((*at)->id.object, version, 16) != 0)
        at = &(*at)->next;
    return at;
}

struct p2p_fetch *p2p_fetch_find(struct p2p *p, const uint8_t version[16])
{
    return *slot_of(p, version);
}

/* What is here already, in memory or on disk. */
static void note_present(struct p2p_fetch *f)
{
    uint64_t n = blocks_of(cache_object_length(f->object)), bits[16];

    for (uint64_t at = 0; at < n; at += P2P_GROUP_BLOCKS) {
        size_t some = (size_t)el_min_u64(n - at, P2P_GROUP_BLOCKS);

        cache_object_map(f->object, at, some, bits);
        for (size_t i = 0; i < some; i++) {
            if ((bits[i / 64] >> i % 64 & 1) != 0)
                p2p_swarm_have(f->download, p2p_now(f->p), at + i);
        }
    }
}

static void fetch_let_go(struct p2p_fetch *f)
{
    struct p2p_fetch **at = slot_of(f->p, f->id.object);

    if (!el_list_empty(&f->feeds) || !el_list_empty(&f->runs) || f->n_calls > 0)
        return;
    p2p_swarm_close(f->download, p2p_now(f->p));
    *at = f->next;
    f->p->n_fetches--;
    cache_object_unref(f->object);
    free(f);
}

/* ---- runs ---- */

static uint64_t run_end(const struct run *r)
{
    return el_min_u64((r->first + r->count) * CACHE_BLOCK_BYTES,
                      cache_object_length(r->fetch->object));
}

/* How many of its blocks are here, from the first. */
static unsigned run_progress(const struct run *r)
{
    uint64_t bits[1];
    unsigned done = 0;

    cache_object_map(r->fetch->object, r->first, r->count, bits);
    while (done < r->count && (bits[0] >> done & 1) != 0)
        done++;
    return done;
}

/* Who follows the chunk hears that its blocks are being read, or are not any more. */
static void tell_coming(struct p2p_fetch *f, uint64_t block)
{
    struct el_chunk_id chunk = f->id;

    chunk.index = (uint32_t)(block / CACHE_CHUNK_BLOCKS);
    p2p_give_block(f->p, f->object, &chunk);
}

static bool set_reach(struct p2p_fetch *f);
static void feed_end(struct p2p_feed *feed, enum el_err code, const struct el_error *err);

/*
 * A signature has expired, say: the origin is asked on behalf of others from now on, and what they
 * read is for all. The one range that a signature covers nobody else may ask for.
 */
static void refuse(struct p2p_fetch *f, const struct run *r)
{
    struct el_list *it, *tmp;

    f->n_calls++; /* it stays while its parts go */
    EL_LIST_EACH (it, tmp, &f->feeds) {
        struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);

        if (cache_fill_ticket(feed->fill) != r->ticket)
            continue;
        feed->is_refused = true;
        if (cache_fill_ticket(feed->fill)->exact)
            feed_end(feed, r->code, &r->err);
    }
    f->n_calls--;
}

static void run_over(struct run *r)
{
    struct p2p_fetch *f = r->fetch;
    bool ok = r->code == EL_OK || r->code == EL_ECANCELED;
    bool is_refused = r->code == EL_EFORBIDDEN && r->ticket != NULL;

    r->done = run_progress(r);
    if (!ok) {
        f->failure = r->err;
        el_log_error(EL_INFO, EV_RUN_FAILED, &r->err);
    }
    if (is_refused)
        refuse(f, r);
    ok |= set_reach(f) && is_refused; /* others may ask, and there is no reason for a pause */
    p2p_swarm_on_run_over(f->download, p2p_now(f->p), r->number, r->done, ok);
    el_list_remove(&r->link);
    cache_fill_unref(r->fill);
    tell_coming(f, r->first);
    r->magic = 0;
    free(r);
    fetch_let_go(f);
}

static void on_run_over(struct el_msg *m)
{
    struct run *r = EL_ENTRY(m, struct run, msg);
    struct p2p *p = r->fetch->p;

    EL_ASSERT(r->magic == RUN_MAGIC);
    run_over(r);
    p2p_pump(p);
}

/* Thread: any. */
static void told_over(struct cache_fill_watch *w, enum el_err code, const struct el_error *err,
                      uint64_t position)
{
    struct run *r = EL_ENTRY(w, struct run, watch);

    (void)position; /* the map of the object knows better */
    r->code = code;
    if (err != NULL)
        r->err = *err;
    el_msgq_post(r->fetch->p->queue, &r->msg);
}

static struct run *run_new(struct p2p_fetch *f, uint32_t number, uint64_t first, unsigned count)
{
    struct run *r = el_new(struct run);

    r->magic = RUN_MAGIC;
    r->fetch = f;
    r->number = number;
    r->first = first;
    r->count = r->most = count;
    r->watch.over = told_over;
    el_msg_init(&r->msg, on_run_over);
    el_list_append(&f->runs, &r->link);
    return r;
}

/* The blocks from `first` on, below `end`, that a client's own answer brings. */
static bool next_coming(struct p2p_fetch *f, uint64_t *first, uint64_t end, unsigned *ret_n)
{
    uint64_t bits;
    size_t n;

    for (; *first < end; *first += n) {
        n = (size_t)el_min_u64(end - *first, CACHE_CHUNK_BLOCKS - *first % CACHE_CHUNK_BLOCKS);
        bits = cache_object_coming(f->object, *first, n);
        if (bits == 0)
            continue;
        *first += (unsigned)__builtin_ctzll(bits);
        bits >>= __builtin_ctzll(bits);
        *ret_n = (unsigned)__builtin_ctzll(~bits);
        return true;
    }
    return false;
}

static void adopt_coming(struct p2p_fetch *f)
{
    uint64_t first = 0;
    uint64_t end = el_min_u64(blocks_of(cache_object_length(f->object)), P2P_GROUP_BLOCKS);
    struct run *r;
    unsigned n;

    while (next_coming(f, &first, end, &n)) {
        r = run_new(f, 0, first, n);
        if (!p2p_swarm_adopt(f->download, p2p_now(f->p), first, n, &r->number)) {
            el_list_remove(&r->link);
            free(r);
            return;
        }
        first += n;
    }
}

/* Before anything is wanted: what a client's own request has begun is not read twice. */
static struct p2p_fetch *fetch_get(struct p2p *p, struct cache_object *o)
{
    const struct cache_object_id *id = cache_object_id(o);
    struct p2p_fetch **at = slot_of(p, id->v), *f = *at;

    if (f != NULL)
        return f;
    f = el_new(struct p2p_fetch);
    f->p = p;
    f->object = cache_object_ref(o);
    memcpy(f->id.object, id->v, sizeof(f->id.object));
    el_list_init(&f->feeds);
    el_list_init(&f->runs);
    *at = f;
    p->n_fetches++;
    p2p_gave_begin(p->gave, f->id.object);
    f->download = p2p_swarm_open(p->swarm, p2p_now(p), id->v, cache_object_length(o), f);
    note_present(f);
    adopt_coming(f);
    p2p_progress_begin(f);
    return f;
}

/* ---- demand ---- */

/* What the feeds want together. Readers far apart want what lies between them too early, never
 * wrongly. */
static void set_window(struct p2p_fetch *f)
{
    uint64_t first = UINT64_MAX, end = 0, urgent = P2P_NO_BLOCK;
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->feeds) {
        const struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);

        if (feed->first == feed->end)
            continue;
        first = el_min_u64(first, feed->first);
        end = el_max_u64(end, feed->end);
        urgent = el_min_u64(urgent, feed->urgent);
    }
    if (end == 0)
        first = 0;
    p2p_swarm_want(f->download, p2p_now(f->p), first, end, urgent);
}

/*
 * On whose behalf the origin may be asked; NULL: a command wants it, and that is nobody's, or the
 * origin has refused it.
 */
static const struct cache_ticket *asker(const struct p2p_feed *feed)
{
    const struct cache_ticket *t = cache_fill_ticket(feed->fill);

    return feed->is_refused || p2p_is_of_order(t) ? NULL : t;
}

/* Whose ticket asks the origin: one that may ask for any part, if there is one. */
static struct p2p_feed *speaker(struct p2p_fetch *f, uint64_t first, uint64_t end)
{
    struct p2p_feed *exact = NULL;
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->feeds) {
        struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);
        const struct cache_ticket *t = asker(feed);

        if (t != NULL && !t->exact)
            return feed;
        if (t != NULL && t->first <= first && end <= t->end)
            exact = feed;
    }
    return exact;
}

/* Whole blocks within a signed range; the last one of the object may be short. */
static void exact_blocks(struct cache_object *o, const struct cache_ticket *t, uint64_t *first,
                         uint64_t *end)
{
    uint64_t length = cache_object_length(o);

    *first = (t->first + CACHE_BLOCK_BYTES - 1) / CACHE_BLOCK_BYTES;
    *end = t->end >= length ? blocks_of(length) : t->end / CACHE_BLOCK_BYTES;
}

/*
 * What its client wants now, of a range that is read as a whole. Or on its way; what the client has
 * had may be gone again.
 */
static bool is_all_here(struct cache_object *o, const struct p2p_feed *feed)
{
    uint64_t first, end, bits[1] = { 0 };

    exact_blocks(o, asker(feed), &first, &end);
    first = el_max_u64(first, feed->first);
    end = el_min_u64(end, feed->end);
    if (first >= end)
        return true;
    cache_object_map(o, first, (size_t)(end - first), bits);
    bits[0] |= cache_object_coming(o, first, (size_t)(end - first));
    return bits[0] == ((uint64_t)1 << (end - first)) - 1;
}

/* Of those that may ask for one range the first of which nothing brings some; or one; or NULL. */
static struct p2p_feed *any_asker(struct p2p_fetch *f)
{
    struct p2p_feed *any = NULL;
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->feeds) {
        struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);

        if (asker(feed) == NULL)
            continue;
        if (!is_all_here(f->object, feed))
            return feed;
        any = any != NULL ? any : feed;
    }
    return any;
}

/* False: nobody may ask the origin. */
static bool set_reach(struct p2p_fetch *f)
{
    struct p2p_feed *feed = speaker(f, 0, UINT64_MAX); /* one for any part */
    const struct cache_ticket *t;
    uint64_t first, end;

    if (feed == NULL)
        feed = any_asker(f);
    t = feed != NULL ? asker(feed) : NULL;
    f->is_exact = t != NULL && t->exact;
    if (t == NULL) {
        p2p_swarm_set_reach(f->download, p2p_now(f->p), P2P_REACH_NONE, 0, 0);
    } else if (!t->exact) {
        p2p_swarm_set_reach(f->download, p2p_now(f->p), P2P_REACH_ANY, 0, 0);
    } else {
        exact_blocks(f->object, t, &first, &end);
        p2p_swarm_set_reach(f->download, p2p_now(f->p), P2P_REACH_EXACT, first, end);
    }
    return t != NULL;
}

/* ---- feeds ---- */

/* The cache may call while the feed ends here: the mutex keeps it alive. */
static void order(struct p2p *p, struct cache_fill *fill, unsigned what)
{
    struct p2p_feed *feed;

    EL_ASSERT(pthread_mutex_lock(&p->feeds_mtx) == 0);
    feed = cache_fill_data(fill);
    if (feed != NULL) {
        atomic_fetch_or(&feed->orders, what);
        el_msgq_post(p->queue, &feed->msg);
    }
    EL_ASSERT(pthread_mutex_unlock(&p->feeds_mtx) == 0);
}

static void feed_forget(struct p2p_feed *feed)
{
    struct p2p *p = feed->p;

    EL_ASSERT(pthread_mutex_lock(&p->feeds_mtx) == 0);
    cache_fill_set_data(feed->fill, NULL);
    EL_ASSERT(pthread_mutex_unlock(&p->feeds_mtx) == 0);
    el_msgq_cancel(p->queue, &feed->msg);
}

/* Its fill is done or somebody else's. */
static void feed_free(struct p2p_feed *feed)
{
    struct p2p_fetch *f = feed->fetch;

    feed->magic = 0;
    if (f != NULL) {
        el_list_remove(&feed->link);
        set_window(f);
        (void)set_reach(f);
        fetch_let_go(f);
    }
    free(feed);
}

static void feed_end(struct p2p_feed *feed, enum el_err code, const struct el_error *err)
{
    feed_forget(feed);
    cache_fill_done(feed->fill, code, err);
    feed_free(feed);
}

static void feed_fail(struct p2p_feed *feed, enum el_err code, const char *why)
{
    struct el_error err;

    el_fail(&err, code, 0, "%s", why);
    feed_end(feed, code, &err);
}

static void feed_look(struct p2p_feed *feed)
{
    uint64_t first = 0, end = 0, urgent = UINT64_MAX;

    feed->first = feed->end = 0;
    feed->urgent = P2P_NO_BLOCK;
    switch (cache_fill_demand(feed->fill, &first, &end, &urgent)) {
    case CACHE_TAKE_OVER:
        feed_end(feed, EL_OK, NULL);
        return;
    case CACHE_TAKE_WAIT:
        break;
    case CACHE_TAKE_ROOM:
        feed->first = first / CACHE_BLOCK_BYTES;
        feed->end = blocks_of(end);
        feed->urgent = urgent;
        break;
    }
    set_window(feed->fetch);
    (void)set_reach(feed->fetch);
}

static void hand_over(struct p2p_feed *feed)
{
    if (p2p_is_of_order(cache_fill_ticket(feed->fill))) {
        feed_fail(feed, EL_ENOTCACHED, "no other node can be asked for it");
        return;
    }
    feed_forget(feed);
    cache_fill_hand_over(feed->fill, feed->p->origin);
    feed_free(feed);
}

/*
 * A signed range can be read for all when it is whole blocks of one chunk of which none is here.
 * Other ones are the caller's own affair.
 */
static bool is_leasable(struct cache_object *o, const struct cache_ticket *t)
{
    uint64_t first, end, here[1] = { 0 };

    if (t == NULL || !t->exact)
        return true;
    exact_blocks(o, t, &first, &end);
    if (first >= end || first / CACHE_CHUNK_BLOCKS != (end - 1) / CACHE_CHUNK_BLOCKS)
        return false;
    cache_object_map(o, first, (size_t)(end - first), here);
    return here[0] == 0;
}

static void feed_begin(struct p2p_feed *feed)
{
    struct p2p *p = feed->p;
    struct cache_object *o = cache_fill_object(feed->fill);
    struct p2p_fetch *f;

    if (atomic_load(&p->is_stopping) || atomic_load(&p->n_live) <= 1 || !p2p_is_shareable(o) ||
        !is_leasable(o, asker(feed))) {
        hand_over(feed);
        return;
    }
    f = fetch_get(p, o);
    feed->fetch = f;
    el_list_append(&f->feeds, &feed->link);
    feed_look(feed);
}

static void on_orders(struct el_msg *m)
{
    struct p2p_feed *feed = EL_ENTRY(m, struct p2p_feed, msg);
    struct p2p *p = feed->p;
    unsigned orders = atomic_exchange(&feed->orders, 0);

    EL_ASSERT(feed->magic == FEED_MAGIC);
    if ((orders & ORDER_CANCEL) != 0)
        feed_fail(feed, EL_ECANCELED, "nobody needs the rest");
    else if ((orders & ORDER_BEGIN) != 0)
        feed_begin(feed);
    else
        feed_look(feed);
    p2p_pump(p);
}

static struct p2p *p2p_of(struct cache_source *s)
{
    return EL_ENTRY(s, struct p2p, source);
}

static void start(struct cache_source *s, struct cache_fill *fill)
{
    struct p2p *p = p2p_of(s);
    struct p2p_feed *feed;
    bool is_alone;

    feed = el_new(struct p2p_feed);
    feed->magic = FEED_MAGIC;
    feed->p = p;
    feed->fill = fill;
    el_list_init(&feed->link);
    el_msg_init(&feed->msg, on_orders);
    atomic_init(&feed->orders, ORDER_BEGIN);
    EL_ASSERT(pthread_mutex_lock(&p->feeds_mtx) == 0);
    is_alone = (!atomic_load(&p->is_running) || atomic_load(&p->n_live) <= 1) &&
               !p2p_is_of_order(cache_fill_ticket(fill)); /* those never go to the origin */
    if (!is_alone) {
        cache_fill_set_data(fill, feed);
        el_msgq_post(p->queue, &feed->msg);
    }
    EL_ASSERT(pthread_mutex_unlock(&p->feeds_mtx) == 0);
    if (is_alone) {
        free(feed);
        cache_fill_hand_over(fill, p->origin);
    }
}

static void resume(struct cache_source *s, struct cache_fill *fill)
{
    order(p2p_of(s), fill, ORDER_RESUME);
}

static void cancel(struct cache_source *s, struct cache_fill *fill)
{
    order(p2p_of(s), fill, ORDER_CANCEL);
}

const struct cache_source_ops p2p_source_ops = {
    .label = "peer",
    .from = CACHE_FROM_PEER,
    .is_wide = true,
    .start = start,
    .resume = resume,
    .cancel = cancel,
};

/* ---- reading for all ---- */

/* Nobody here can ask for it, or it is here by now. */
static void end_at_once(struct run *r, enum el_err code, const char *why)
{
    r->code = code;
    if (code != EL_OK)
        el_fail(&r->err, code, 0, "%s", why);
    el_msgq_post(r->fetch->p->queue, &r->msg);
}

static void read_run(struct p2p *p, const struct p2p_move *m)
{
    struct p2p_fetch *f = p2p_download_arg(m->download);
    struct run *r = run_new(f, m->run, m->first, m->count);
    struct p2p_feed *feed = speaker(f, m->first * CACHE_BLOCK_BYTES, run_end(r));

    el_counter_add(p->count.reasons[m->reason], run_end(r) - m->first * CACHE_BLOCK_BYTES);
    if (feed == NULL) {
        end_at_once(r, EL_EFORBIDDEN, "no request of this node may ask for these bytes");
        return;
    }
    r->ticket = cache_fill_ticket(feed->fill);
    r->fill = cache_fill_open(f->object, p->origin, r->ticket, m->first * CACHE_BLOCK_BYTES,
                              run_end(r), &r->watch);
    if (r->fill == NULL)
        end_at_once(r, EL_OK, NULL);
    else
        tell_coming(f, r->first);
    if (f->is_exact) /* the next range may be read beside it */
        (void)set_reach(f);
}

static struct run *run_find(struct p2p_fetch *f, uint32_t number)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->runs) {
        struct run *r = EL_ENTRY(it, struct run, link);

        if (r->number == number)
            return r;
    }
    return NULL;
}

/*
 * The rest of the run is somebody else's from now on, but for a block that others are given while
 * it is read: they could not take it from anybody else without a new link to this node.
 */
static void cut_run(struct p2p *p, const struct p2p_move *m)
{
    struct run *r = run_find(p2p_download_arg(m->download), m->run);

    if (r == NULL)
        return;
    r->most = m->count;
    if (r->most == r->done && r->done < r->count &&
        p2p_stream_has_begun(p, r->fetch->id.object, r->first + r->done))
        r->most++;
    if (r->fill != NULL && r->done >= r->most)
        cache_fill_cancel(r->fill);
}

static void run_block(struct run *r, uint64_t number)
{
    struct p2p_fetch *f = r->fetch;
    unsigned done;

    if (number < r->first || number >= r->first + r->count)
        return;
    done = run_progress(r);
    if (done == r->done)
        return;
    r->done = done;
    p2p_swarm_on_run_progress(f->download, p2p_now(f->p), r->number, done);
    if (r->fill != NULL && done >= r->most && done < r->count)
        cache_fill_cancel(r->fill);
    else if (r->fill == NULL && done == r->count)
        end_at_once(r, EL_OK, NULL);
}

void p2p_fetch_block(struct p2p *p, const struct el_chunk_id *chunk, uint64_t number)
{
    struct p2p_fetch *f = p2p_fetch_find(p, chunk->object);
    struct el_list *it, *tmp;

    if (f == NULL)
        return;
    f->came_bytes += CACHE_BLOCK_BYTES;
    p2p_swarm_have(f->download, p2p_now(p), number);
    EL_LIST_EACH (it, tmp, &f->runs)
        run_block(EL_ENTRY(it, struct run, link), number);
    if (f->is_exact)
        (void)set_reach(f);
}

uint32_t p2p_fetch_stopped(struct p2p *p, const struct el_chunk_id *chunk)
{
    struct p2p_fetch *f = p2p_fetch_find(p, chunk->object);
    struct el_list *it, *tmp;
    uint32_t bits = 0;

    if (f == NULL)
        return 0;
    EL_LIST_EACH (it, tmp, &f->runs) {
        const struct run *r = EL_ENTRY(it, const struct run, link);

        for (unsigned i = r->most; i < r->count; i++) {
            if ((r->first + i) / CACHE_CHUNK_BLOCKS == chunk->index)
                bits |= (uint32_t)1 << (r->first + i) % CACHE_CHUNK_BLOCKS;
        }
    }
    return bits;
}

void p2p_fetch_put(struct p2p *p, const struct el_chunk_id *chunk, uint64_t number)
{
    struct p2p_fetch *f = p2p_fetch_find(p, chunk->object);
    uint64_t bits[1] = { 0 };

    if (f == NULL)
        return;
    cache_object_map(f->object, number, 1, bits);
    if (bits[0] != 0)
        p2p_swarm_have(f->download, p2p_now(p), number);
}

void p2p_fetch_lost(struct p2p_fetch *f, uint64_t chunk)
{
    uint64_t first = chunk * CACHE_CHUNK_BLOCKS, bits[1];
    uint64_t end =
        el_min_u64(blocks_of(cache_object_length(f->object)), first + CACHE_CHUNK_BLOCKS);

    if (first >= end)
        return;
    cache_object_map(f->object, first, (size_t)(end - first), bits);
    for (uint64_t i = 0; i < end - first; i++) {
        if ((bits[0] >> i & 1) == 0)
            p2p_swarm_lost(f->download, p2p_now(f->p), first + i);
    }
}

/* What brings an adopted run has its own end, of which nobody tells. */
static void look_at_adopted(struct p2p_fetch *f)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->runs) {
        struct run *r = EL_ENTRY(it, struct run, link);

        if (r->fill == NULL && r->done < r->count &&
            cache_object_coming(f->object, r->first + r->done, r->count - r->done) == 0)
            end_at_once(r, EL_ECANCELED, "the answer that brought it has ended");
    }
}

bool p2p_fetch_is_urgent(struct p2p *p, const struct el_chunk_id *chunk, uint64_t number)
{
    struct p2p_fetch *f = p2p_fetch_find(p, chunk->object);
    struct el_list *it, *tmp;

    if (f == NULL)
        return false;
    EL_LIST_EACH (it, tmp, &f->feeds) {
        struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);

        /* A block in hand is no demand any more, but its reader stands there. */
        if (feed->urgent == number || cache_fill_position(feed->fill) / CACHE_BLOCK_BYTES == number)
            return true;
    }
    return false;
}

void p2p_fetch_tick(struct p2p *p)
{
    p2p_stream_tick(p);
    for (size_t i = 0; i < P2P_TABLE; i++) {
        for (struct p2p_fetch *f = p->fetches[i]; f != NULL; f = f->next)
            look_at_adopted(f);
    }
}

/* ---- moves ---- */

static void follow(struct p2p *p, const struct p2p_move *m)
{
    const struct p2p_request request = { .flags = P2P_WANT_HAVE };
    struct el_buf frames;

    el_buf_init(&frames);
    p2p_request_add(&frames, p2p_node_version(p, m->node), &m->chunk, 0, &request);
    (void)p2p_node_send(p, m->node, &frames); /* peer_down() is told if it cannot */
}

static void withdraw(struct p2p *p, const struct p2p_move *m, struct p2p_blocks blocks)
{
    struct p2p_node *n = p2p_node_find(p, m->node);
    struct el_buf frames;
    struct cancel *c;

    if (n == NULL || n->asking == NULL)
        return;
    c = el_new(struct cancel);
    c->chunk = m->chunk;
    c->blocks = blocks;
    el_list_append(&n->asking->cancels, &c->link);
    el_buf_init(&frames);
    p2p_cancel_add(&frames, p2p_remote_version(n->asking), &m->chunk, &blocks);
    p2p_remote_send(n->asking, &frames);
}

static struct p2p_feed *feed_for(struct p2p_fetch *f, uint64_t block)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->feeds) {
        struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);

        if (feed->first <= block && block < feed->end)
            return feed;
    }
    return NULL;
}

static void expect(struct p2p *p, struct p2p_remote *r, const struct p2p_move *m)
{
    struct p2p_fetch *f = p2p_fetch_find(p, m->chunk.object);

    for (uint32_t i = 0; i < m->blocks.count; i++) {
        uint32_t block = m->blocks.first + i;
        struct p2p_feed *feed =
            f != NULL ? feed_for(f, (uint64_t)m->chunk.index * CACHE_CHUNK_BLOCKS + block) : NULL;

        p2p_arrive_expect(r, &m->chunk, block, feed != NULL ? feed->fill : NULL, m->is_coming);
    }
}

static void request(struct p2p *p, const struct p2p_move *m)
{
    const struct p2p_request request = {
        .blocks = m->blocks, .flags = P2P_WANT_MANIFEST | (m->is_coming ? P2P_WANT_COMING : 0)
    };
    struct p2p_node *n = p2p_node_find(p, m->node);
    struct el_buf frames;

    if (n == NULL || n->asking == NULL)
        return; /* peer_down() is on its way */
    expect(p, n->asking, m);
    el_buf_init(&frames);
    p2p_request_add(&frames, p2p_remote_version(n->asking), &m->chunk, 0, &request);
    p2p_remote_send(n->asking, &frames);
}

/* ---- trackers ---- */

struct question {
    struct p2p_fetch *fetch; /* NULL: a farewell */
    uint32_t group, blocks;
    uint64_t chunks; /* of the group, that are wanted */
    bool is_ours;    /* the swarm has not asked it */
};

/* NULL: nobody answered. */
static void tell_swarm(struct p2p_fetch *f, uint32_t group, uint64_t node,
                       const struct p2p_located *located)
{
    if (located == NULL) {
        p2p_swarm_on_locate_failed(f->download, p2p_now(f->p), group);
        return;
    }
    p2p_swarm_on_located(f->download, p2p_now(f->p), group, located);
    p2p_swarm_located_by(f->download, group, node);
}

static void on_located(struct p2p *p, void *arg, uint64_t node, struct el_str body,
                       enum el_err code)
{
    struct question *q = arg;
    struct p2p_fetch *f = q->fetch;
    struct p2p_located located;
    struct el_error err;

    if (f != NULL) {
        f->n_calls--;
        if (code == EL_OK)
            code = p2p_located_decode(body, q->blocks, &located, &err);
        if (!q->is_ours)
            tell_swarm(f, q->group, node, code == EL_OK ? &located : NULL);
        if (!q->is_ours && code != EL_OK)
            p2p_second_ask(f, q->group, q->chunks);
        if (f->owes_record) {
            f->owes_record = false;
            p2p_find_tell(p, f->object);
        }
        fetch_let_go(f);
    }
    free(q);
}

static void locate(struct p2p *p, const struct p2p_move *m, bool is_ours)
{
    struct question *q = el_new(struct question);
    uint8_t key[DISC_KEY_BYTES];
    struct el_buf body;

    q->fetch = m->download != NULL ? p2p_download_arg(m->download) : NULL;
    q->group = m->locate->group.number;
    q->blocks = m->locate->blocks;
    q->chunks = p2p_named_chunks(&m->locate->want);
    q->is_ours = is_ours;
    if (q->fetch != NULL)
        q->fetch->n_calls++;
    p2p_group_key(&m->locate->group, key);
    el_buf_init(&body);
    p2p_locate_put(&body, m->locate);
    p2p_call_ask(p, key, 0, P2P_LOCATE, &body, LOCATE_MS, on_located, q);
}

/*
 * Others hear of the object only when the tracker of its blocks knows what is here, or comes here:
 * or the first of them would be told to read it once more.
 */
static void tell_present(struct p2p_fetch *f)
{
    struct p2p_locate l = { .leaves = true };
    uint64_t n = el_min_u64(blocks_of(cache_object_length(f->object)), P2P_GROUP_BLOCKS);
    const struct p2p_move m = { .download = f->download, .locate = &l };

    memcpy(l.group.version, f->id.object, sizeof(l.group.version));
    l.blocks = (uint32_t)n;
    cache_object_map(f->object, 0, (size_t)n, l.have.w);
    locate(f->p, &m, true);
}

void p2p_fetch_adopt(struct p2p *p, struct cache_object *o)
{
    struct p2p_fetch *f = fetch_get(p, o);

    f->owes_record = true;
    if (el_list_empty(&f->runs))
        tell_present(f);
    fetch_let_go(f);
}

static void blame(struct p2p *p, const struct p2p_move *m)
{
    struct p2p_node *n = p2p_node_find(p, m->node);
    const char *name = n != NULL && n->asking != NULL ? p2p_link_peer(n->asking->link)->name : "";
    char chunk[EL_CHUNK_ID_CHARS + 1];

    el_chunk_id_text(&m->chunk, chunk);
    el_counter_add(p->count.bad, 1);
    el_log(EL_WARN, EV_PEER_BLAMED,
           "peer=%016llx name=%s chunk=%s block=%u for_ms=%llu reason=\"the block is not what its "
           "manifest says\"",
           (unsigned long long)m->node, EL_LOG_Q(el_str_of(name)), chunk, m->blocks.first,
           (unsigned long long)(m->until - el_min_u64(m->until, p2p_now(p))));
}

/* The origin does not give it, and nobody else has it: who waits for it hears why. */
static void fail_feeds(const struct p2p_move *m)
{
    struct p2p_fetch *f = p2p_download_arg(m->download);
    struct el_error err = f->failure;
    struct p2p_feed *feed;

    if (err.code == EL_OK)
        el_fail(&err, m->code, 0, "neither a peer nor the origin gave the block");
    f->n_calls++; /* it stays while its parts go */
    while ((feed = feed_for(f, m->first)) != NULL)
        feed_end(feed, err.code, &err);
    f->n_calls--;
    fetch_let_go(f);
}

static void carry_out(struct p2p *p, const struct p2p_move *m)
{
    switch (m->kind) {
    case P2P_MOVE_CONNECT:
        p2p_node_connect(p, m->node);
        break;
    case P2P_MOVE_FOLLOW:
        follow(p, m);
        break;
    case P2P_MOVE_UNFOLLOW:
        withdraw(p, m, (struct p2p_blocks){ 0, 0 });
        break;
    case P2P_MOVE_REQUEST:
        request(p, m);
        break;
    case P2P_MOVE_CANCEL:
        withdraw(p, m, m->blocks);
        break;
    case P2P_MOVE_LOCATE:
        locate(p, m, false);
        break;
    case P2P_MOVE_FETCH:
        read_run(p, m);
        break;
    case P2P_MOVE_STOP:
        cut_run(p, m);
        break;
    case P2P_MOVE_BLAME:
        blame(p, m);
        break;
    case P2P_MOVE_FAIL:
        fail_feeds(m);
        break;
    }
}

void p2p_fetch_pump(struct p2p *p)
{
    struct p2p_move m;

    while (p2p_swarm_next(p->swarm, &m))
        carry_out(p, &m);
}

/* ---- what peers say ---- */

static void malformed(struct p2p_remote *r, const struct el_error *err)
{
    el_log_error(EL_WARN, EV_PEER_MALFORMED, err);
    p2p_link_close(r->link, err);
}

static void note_have(struct p2p_remote *r, const struct p2p_frame *f, const struct p2p_have *have)
{
    p2p_orders_have(r->p, r->node->hash, &f->chunk, have);
    p2p_swarm_on_have(r->p->swarm, p2p_now(r->p), r->node->hash, &f->chunk, have);
}

void p2p_fetch_have(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct p2p_have have;
    struct el_error err;

    if (p2p_have_decode(f, &have, &err) != EL_OK)
        malformed(r, &err);
    else
        note_have(r, f, &have);
}

void p2p_fetch_error(struct p2p_remote *r, const struct el_chunk_id *chunk,
                     const struct p2p_refusal *refusal)
{
    p2p_arrive_forget(r, chunk, refusal->blocks);
    p2p_orders_refused(r->p, r->node->hash, chunk);
    if (r->node->asking == r)
        p2p_swarm_on_refusal(r->p->swarm, p2p_now(r->p), r->node->hash, chunk, refusal->blocks,
                             refusal->code, refusal->retry_after_ms);
}

static struct cancel *take_cancel(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &r->cancels) {
        struct cancel *c = EL_ENTRY(it, struct cancel, link);

        if (el_chunk_id_eq(&c->chunk, &f->chunk) && c->blocks.first == f->sequence) {
            el_list_remove(&c->link);
            return c;
        }
    }
    return NULL;
}

void p2p_fetch_ack(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct cancel *c;
    struct el_error err;
    uint32_t type;

    if (p2p_ack_decode(f, &type, &err) != EL_OK) {
        malformed(r, &err);
        return;
    }
    c = f->has_chunk ? take_cancel(r, f) : NULL;
    if (c == NULL)
        return;
    /* The last word about them, whatever came before it. */
    if (c->blocks.count > 0) {
        p2p_arrive_forget(r, &c->chunk, c->blocks);
        if (r->node->asking == r)
            p2p_swarm_on_cancelled(r->p->swarm, p2p_now(r->p), r->node->hash, &c->chunk, c->blocks);
    }
    free(c);
}

/* One that is dead or has left may have read what others pass on. */
static bool is_signed_by_member(struct p2p *p, const struct p2p_manifest *m)
{
    struct disc_member member;
    struct el_digest fingerprint;

    el_key_fingerprint(m->key, &fingerprint);
    return disc_members_find(p->members, p2p_hash_of(&fingerprint), &member);
}

void p2p_fetch_manifest(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct p2p *p = r->p;
    struct p2p_manifest m;
    struct p2p_fetch *fetch;
    struct el_error err;

    if (p2p_manifest_decode(f, &m, &err) != EL_OK) {
        malformed(r, &err);
        return;
    }
    if (!is_signed_by_member(p, &m)) {
        el_log(EL_WARN, EV_MANIFEST_REFUSED, "peer=%016llx reason=\"its signer is no member\"",
               (unsigned long long)r->node->hash);
    } else if (p2p_vouch_take(p->vouch, &m, &err) != EL_OK) {
        fetch = p2p_fetch_find(p, m.chunk.object);
        if (fetch != NULL)
            p2p_swarm_distrust_chunk(fetch->download, p2p_now(p), m.chunk.index);
        el_log_error(EL_WARN, EV_CHUNK_DISTRUSTED, &err);
    }
    p2p_arrive_signed(r);
    p2p_manifest_deinit(&m);
}

void p2p_fetch_remote_down(struct p2p_remote *r)
{
    struct el_list *l;

    while ((l = el_list_pop(&r->cancels)) != NULL)
        free(EL_ENTRY(l, struct cancel, link));
}

/* ---- the end ---- */

static void stop_fetch(struct p2p_fetch *f)
{
    struct el_list *it, *tmp;

    f->n_calls++; /* it stays while its parts go */
    EL_LIST_EACH (it, tmp, &f->feeds)
        feed_fail(EL_ENTRY(it, struct p2p_feed, link), EL_ESHUTDOWN, "the node stops");
    EL_LIST_EACH (it, tmp, &f->runs) {
        struct run *r = EL_ENTRY(it, struct run, link);

        if (r->fill != NULL)
            cache_fill_cancel(r->fill);
        else
            end_at_once(r, EL_ECANCELED, "the node stops");
    }
    f->n_calls--;
    fetch_let_go(f);
}

void p2p_fetch_stop(struct p2p *p)
{
    struct p2p_fetch *next;

    for (size_t i = 0; i < P2P_TABLE; i++) {
        for (struct p2p_fetch *f = p->fetches[i]; f != NULL; f = next) {
            next = f->next;
            stop_fetch(f);
        }
    }
}

bool p2p_fetch_is_idle(const struct p2p *p)
{
    return p->n_fetches == 0;
}
