/* SPDX-License-Identifier: MIT */
/*
 * fetch_feed: fills of the cache that peers, or this node for all, are to bring. The demand of a
 * feed is looked at whenever the cache says so; all feeds of a version are one window of the swarm.
 * The origin is asked on behalf of one of them.
 */
#include "p2p/fetch.h"

#define FEED_MAGIC 0x46454544u

enum order { ORDER_BEGIN = 1, ORDER_RESUME = 2, ORDER_CANCEL = 4 };

/* ---- demand ---- */

/* What the feeds want together. */
static void set_window(struct p2p_fetch *f)
{
    struct el_list *it, *tmp;
    struct p2p_span *spans;
    uint64_t urgent = P2P_NO_BLOCK;
    size_t n = 0;

    EL_LIST_EACH (it, tmp, &f->feeds)
        n++;
    spans = el_alloc((n + 1) * sizeof(spans[0]));
    n = 0;
    EL_LIST_EACH (it, tmp, &f->feeds) {
        const struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);

        spans[n++] = (struct p2p_span){ feed->first, feed->end };
        if (feed->first < feed->end)
            urgent = el_min_u64(urgent, feed->urgent);
    }
    p2p_swarm_want(f->download, p2p_now(f->p), spans, n, urgent);
    free(spans);
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

struct p2p_feed *p2p_feeds_speaker(struct p2p_fetch *f, uint64_t first, uint64_t end)
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

/* The blocks of a signed range; the last one of the object may be short. */
static void exact_blocks(struct cache_object *o, const struct cache_ticket *t, uint64_t *first,
                         uint64_t *end)
{
    uint64_t length = cache_object_length(o);

    *first = cache_blocks_of(t->first);
    *end = t->end >= length ? cache_blocks_of(length) : t->end / CACHE_BLOCK_BYTES;
}

/* How much a signed range is in need of the origin. */
enum need {
    NEED_NONE,  /* what its client wants is here or on its way */
    NEED_LATER, /* neighbours are to give the rest */
    NEED_NOW,
};

/* Of what its client wants now; what the client has had may be gone again. */
static enum need need_of(struct p2p_fetch *f, const struct p2p_feed *feed)
{
    uint64_t first, end, bits[1] = { 0 };

    exact_blocks(f->object, asker(feed), &first, &end);
    first = el_max_u64(first, feed->first);
    end = el_min_u64(end, feed->end);
    if (first >= end)
        return NEED_NONE;
    cache_object_map(f->object, first, (size_t)(end - first), bits);
    bits[0] |= cache_object_coming(f->object, first, (size_t)(end - first));
    if (bits[0] == ((uint64_t)1 << (end - first)) - 1)
        return NEED_NONE;
    return p2p_swarm_needs_origin(f->download, first, end) ? NEED_NOW : NEED_LATER;
}

/*
 * Of those that may ask for one range the first that nothing else brings; else one that others are
 * to bring, should they not; else any. NULL: there is none.
 */
static struct p2p_feed *any_asker(struct p2p_fetch *f)
{
    struct p2p_feed *best = NULL;
    enum need most = NEED_NONE;
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->feeds) {
        struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);
        enum need need = asker(feed) != NULL ? need_of(f, feed) : NEED_NONE;

        if (asker(feed) == NULL || (best != NULL && need <= most))
            continue;
        best = feed;
        most = need;
        if (need == NEED_NOW)
            break;
    }
    return best;
}

bool p2p_feeds_set_reach(struct p2p_fetch *f)
{
    struct p2p_feed *feed = NULL;
    const struct cache_ticket *t;
    uint64_t first, end;

    if (!f->is_gone)
        feed = p2p_feeds_speaker(f, 0, UINT64_MAX); /* one for any part */
    if (feed == NULL && !f->is_gone)
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

struct p2p_feed *p2p_feeds_at(struct p2p_fetch *f, uint64_t block)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->feeds) {
        struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);

        if (feed->first <= block && block < feed->end)
            return feed;
    }
    return NULL;
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
        (void)p2p_feeds_set_reach(f);
        p2p_fetch_let_go(f);
    }
    free(feed);
}

void p2p_feed_end(struct p2p_feed *feed, enum el_err code, const struct el_error *err)
{
    feed_forget(feed);
    cache_fill_done(feed->fill, code, err);
    feed_free(feed);
}

static void feed_fail(struct p2p_feed *feed, enum el_err code, const char *why)
{
    struct el_error err;

    el_fail(&err, code, 0, "%s", why);
    p2p_feed_end(feed, code, &err);
}

/*
 * A signature has expired, say: the origin is asked on behalf of others from now on, and what they
 * read is for all. The one range that a signature covers nobody else may ask for.
 */
void p2p_feeds_refused(struct p2p_fetch *f, const struct p2p_reading *r)
{
    struct el_list *it, *tmp;

    f->n_calls++; /* it stays while its parts go */
    EL_LIST_EACH (it, tmp, &f->feeds) {
        struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);

        if (cache_fill_ticket(feed->fill) != r->ticket)
            continue;
        feed->is_refused = true;
        if (cache_fill_ticket(feed->fill)->exact)
            p2p_feed_end(feed, r->code, &r->err);
    }
    f->n_calls--;
}

/* False: nothing more is wanted of it, and it is gone. */
static bool note_demand(struct p2p_feed *feed)
{
    uint64_t first = 0, end = 0, urgent = UINT64_MAX;

    feed->first = feed->end = 0;
    feed->urgent = P2P_NO_BLOCK;
    switch (cache_fill_demand(feed->fill, &first, &end, &urgent)) {
    case CACHE_TAKE_OVER:
        p2p_feed_end(feed, EL_OK, NULL);
        return false;
    case CACHE_TAKE_WAIT:
        break;
    case CACHE_TAKE_ROOM:
        feed->first = first / CACHE_BLOCK_BYTES;
        feed->end = cache_blocks_of(end);
        feed->urgent = urgent;
        break;
    }
    return true;
}

static void feed_look(struct p2p_feed *feed)
{
    struct p2p_fetch *f = feed->fetch;

    if (!note_demand(feed))
        return;
    set_window(f);
    (void)p2p_feeds_set_reach(f);
}

void p2p_feeds_look(struct p2p_fetch *f)
{
    struct el_list *it, *tmp;

    if (el_list_empty(&f->feeds) || f->feeds.next == f->feeds.prev)
        return;
    f->n_calls++; /* it stays while its parts go */
    EL_LIST_EACH (it, tmp, &f->feeds)
        (void)note_demand(EL_ENTRY(it, struct p2p_feed, link));
    set_window(f);
    (void)p2p_feeds_set_reach(f);
    f->n_calls--;
    p2p_fetch_let_go(f);
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

static bool is_whole_blocks(struct cache_object *o, const struct cache_ticket *t)
{
    return t->first % CACHE_BLOCK_BYTES == 0 &&
           (t->end % CACHE_BLOCK_BYTES == 0 || t->end >= cache_object_length(o));
}

/*
 * A signed range can be read for all when it is whole blocks of one chunk of which none is here.
 * Other ones are the caller's own affair: nobody could read the rest of a block at their ends.
 */
static bool is_leasable(struct cache_object *o, const struct cache_ticket *t)
{
    uint64_t first, end, here[1] = { 0 };

    if (t == NULL || !t->exact)
        return true;
    exact_blocks(o, t, &first, &end);
    if (!is_whole_blocks(o, t) || first >= end ||
        first / CACHE_CHUNK_BLOCKS != (end - 1) / CACHE_CHUNK_BLOCKS)
        return false;
    cache_object_map(o, first, (size_t)(end - first), here);
    return here[0] == 0;
}

/*
 * Straight to the origin. For a command the control plane has named who has it; the origin is not
 * asked then, so whoever is there has to do.
 */
static bool goes_direct(struct p2p *p, const struct cache_ticket *t)
{
    return p2p_is_of_order(t) ? atomic_load(&p->n_live) <= 1 : !atomic_load(&p->asks_others);
}

static void feed_begin(struct p2p_feed *feed)
{
    struct p2p *p = feed->p;
    struct cache_object *o = cache_fill_object(feed->fill);
    struct p2p_fetch *f;

    /* What a disk has counts as here, also when it does not give it. */
    if (atomic_load(&p->is_stopping) || goes_direct(p, cache_fill_ticket(feed->fill)) ||
        !p2p_is_shareable(o) || !is_leasable(o, asker(feed)) || cache_fill_shuns_disk(feed->fill)) {
        hand_over(feed);
        return;
    }
    f = p2p_fetch_get(p, o);
    if (f == NULL) {
        hand_over(feed);
        return;
    }
    feed->fetch = f;
    f->is_gone = false; /* whoever has it begin has found it there again */
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
    is_alone = (!atomic_load(&p->is_running) || !atomic_load(&p->asks_others)) &&
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

void p2p_feeds_stop(struct p2p_fetch *f)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->feeds)
        feed_fail(EL_ENTRY(it, struct p2p_feed, link), EL_ESHUTDOWN, "the node stops");
}

void p2p_feeds_hand_over(struct p2p_fetch *f)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->feeds)
        hand_over(EL_ENTRY(it, struct p2p_feed, link));
}
