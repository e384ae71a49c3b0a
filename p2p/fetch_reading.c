/* SPDX-License-Identifier: MIT */
/*
 * fetch_reading: blocks that this node reads from the origin, for itself and for all who follow
 * it: runs that a tracker has leased to it, and those that an answer to a client's own request
 * brings.
 */
#include "common/log.h"
#include "p2p/fetch.h"
#include "p2p/give.h"

#define RUN_MAGIC   0x52554e21u
#define MOST_TAKERS 64u

static uint64_t run_end(const struct p2p_reading *r)
{
    return el_min_u64((r->first + r->count) * CACHE_BLOCK_BYTES,
                      cache_object_length(r->fetch->object));
}

/* How many of its blocks are here, from the first. */
static unsigned run_progress(const struct p2p_reading *r)
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

static void run_over(struct p2p_reading *r)
{
    struct p2p_fetch *f = r->fetch;
    bool ok = r->code == EL_OK || r->code == EL_ECANCELED || r->is_former;
    bool is_refused = r->code == EL_EFORBIDDEN && r->ticket != NULL && !r->is_former;

    r->done = run_progress(r);
    if (!ok) {
        f->failure = r->err;
        f->is_gone = f->is_gone || r->code == EL_ECHANGED;
        el_log_error(EL_INFO, EV_RUN_FAILED, &r->err);
    }
    if (is_refused)
        p2p_feeds_refused(f, r);
    ok |= p2p_feeds_set_reach(f) &&
          is_refused; /* others may ask, and there is no reason for a pause */
    p2p_swarm_on_run_over(f->download, p2p_now(f->p), r->number, r->done, ok);
    el_list_remove(&r->link);
    cache_fill_unref(r->fill);
    tell_coming(f, r->first);
    r->magic = 0;
    free(r);
    p2p_fetch_let_go(f);
}

static void on_run_over(struct el_msg *m)
{
    struct p2p_reading *r = EL_ENTRY(m, struct p2p_reading, msg);
    struct p2p *p = r->fetch->p;

    EL_ASSERT(r->magic == RUN_MAGIC);
    run_over(r);
    p2p_pump(p);
}

/* Thread: any. */
static void told_over(struct cache_fill_watch *w, enum el_err code, const struct el_error *err,
                      uint64_t position)
{
    struct p2p_reading *r = EL_ENTRY(w, struct p2p_reading, watch);

    (void)position; /* the map of the object knows better */
    r->code = code;
    if (err != NULL)
        r->err = *err;
    el_msgq_post(r->fetch->p->queue, &r->msg);
}

static struct p2p_reading *run_new(struct p2p_fetch *f, uint32_t number, uint64_t first,
                                   unsigned count)
{
    struct p2p_reading *r = el_new(struct p2p_reading);

    r->magic = RUN_MAGIC;
    r->fetch = f;
    r->number = number;
    r->first = first;
    r->count = r->most = count;
    r->held_at = UINT64_MAX;
    r->watch.over = told_over;
    el_msg_init(&r->msg, on_run_over);
    el_list_append(&f->runs, &r->link);
    return r;
}

/* ---- what clients' own requests bring ---- */

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

void p2p_readings_adopt(struct p2p_fetch *f)
{
    uint64_t first = 0;
    uint64_t end = el_min_u64(cache_blocks_of(cache_object_length(f->object)), P2P_GROUP_BLOCKS);
    struct p2p_reading *r;
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

/* No request that is left may ask for it, something else brings it, or it is here by now. */
static void end_at_once(struct p2p_reading *r, enum el_err code, const char *why)
{
    r->code = code;
    if (code != EL_OK)
        el_fail(&r->err, code, 0, "%s", why);
    el_msgq_post(r->fetch->p->queue, &r->msg);
}

static void look_whether_it_moves(struct p2p_reading *r)
{
    uint64_t came = r->done * CACHE_BLOCK_BYTES;

    if (r->done < r->count)
        came += cache_object_came(r->fetch->object, r->first + r->done);
    if (came > r->seen)
        p2p_swarm_on_run_moved(r->fetch->download, p2p_now(r->fetch->p), r->number);
    r->seen = came;
}

/* Where it is to pause; UINT64_MAX: nowhere. What a reader here waits for goes on in any case. */
static uint64_t pause_of(struct p2p_reading *r)
{
    struct p2p_fetch *f = r->fetch;
    uint64_t block = r->first + r->done;
    uint32_t sent[MOST_TAKERS], lead;
    size_t n = p2p_stream_sent(f->p, f->id.object, block, sent, EL_COUNT(sent));

    lead = p2p_lead(&r->lead, p2p_now(f->p), block, p2p_swarm_stream_ms(f->p->swarm), sent, n);
    if (lead == P2P_LEAD_ALL || p2p_fetch_is_urgent(f->p, &f->id, block))
        return UINT64_MAX;
    return block * CACHE_BLOCK_BYTES + lead;
}

static void hold(struct p2p_reading *r, uint64_t at)
{
    if (r->held_at == at)
        return;
    r->held_at = at;
    cache_fill_hold(r->fill, at);
}

void p2p_readings_hold(struct p2p_fetch *f)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->runs) {
        struct p2p_reading *r = EL_ENTRY(it, struct p2p_reading, link);

        if (r->fill != NULL && r->done < r->count)
            hold(r, pause_of(r));
    }
}

/* What brings an adopted run has its own end, of which nobody tells. */
void p2p_readings_look(struct p2p_fetch *f)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->runs) {
        struct p2p_reading *r = EL_ENTRY(it, struct p2p_reading, link);

        look_whether_it_moves(r);
        if (r->fill == NULL && r->done < r->count &&
            cache_object_coming(f->object, r->first + r->done, r->count - r->done) == 0)
            end_at_once(r, EL_ECANCELED, "the answer that brought it has ended");
    }
}

/* ---- leases ---- */

void p2p_reading_begin(struct p2p *p, const struct p2p_move *m)
{
    struct p2p_fetch *f = p2p_download_arg(m->download);
    struct p2p_reading *r = run_new(f, m->run, m->first, m->count);
    uint64_t at = m->first * CACHE_BLOCK_BYTES;
    struct p2p_feed *feed = p2p_feeds_speaker(f, at, run_end(r));

    if (feed != NULL) {
        r->ticket = cache_fill_ticket(feed->fill);
        r->fill = cache_fill_open(f->object, p->origin, r->ticket, at, run_end(r), &r->watch);
    }
    if (r->fill != NULL) {
        el_counter_add(p->count.reasons[m->reason], run_end(r) - at);
        tell_coming(f, r->first);
    } else {
        if (run_progress(r) < r->count)
            p2p_swarm_on_run_vain(f->download, p2p_now(p));
        end_at_once(r, EL_OK, NULL);
    }
    if (f->is_exact) /* the next range may be read beside it */
        (void)p2p_feeds_set_reach(f);
}

static struct p2p_reading *run_find(struct p2p_fetch *f, uint32_t number)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->runs) {
        struct p2p_reading *r = EL_ENTRY(it, struct p2p_reading, link);

        if (r->number == number)
            return r;
    }
    return NULL;
}

/*
 * The rest of the run is somebody else's from now on, but for a block that others are given while
 * it is read: they could not take it from anybody else without a new link to this node.
 */
void p2p_reading_cut(struct p2p *p, const struct p2p_move *m)
{
    struct p2p_reading *r = run_find(p2p_download_arg(m->download), m->run);

    if (r == NULL)
        return;
    r->most = m->count;
    if (r->most == r->done && r->done < r->count &&
        p2p_stream_has_begun(p, r->fetch->id.object, r->first + r->done))
        r->most++;
    if (r->fill != NULL && r->done >= r->most)
        cache_fill_cancel(r->fill);
}

/* ---- how far they are ---- */

static void run_block(struct p2p_reading *r, uint64_t number)
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
    if (r->fill != NULL)
        hold(r, UINT64_MAX); /* of the next block nobody has had anything yet */
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
    p2p_fetch_put(p, chunk, number);
    EL_LIST_EACH (it, tmp, &f->runs)
        run_block(EL_ENTRY(it, struct p2p_reading, link), number);
    if (f->is_exact)
        (void)p2p_feeds_set_reach(f);
}

uint32_t p2p_fetch_stopped(struct p2p *p, const struct el_chunk_id *chunk)
{
    struct p2p_fetch *f = p2p_fetch_find(p, chunk->object);
    struct el_list *it, *tmp;
    uint32_t bits = 0;

    if (f == NULL)
        return 0;
    EL_LIST_EACH (it, tmp, &f->runs) {
        const struct p2p_reading *r = EL_ENTRY(it, const struct p2p_reading, link);

        for (unsigned i = r->most; i < r->count; i++) {
            if ((r->first + i) / CACHE_CHUNK_BLOCKS == chunk->index)
                bits |= (uint32_t)1 << (r->first + i) % CACHE_CHUNK_BLOCKS;
        }
    }
    return bits;
}

void p2p_readings_stop(struct p2p_fetch *f, const char *why)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->runs) {
        struct p2p_reading *r = EL_ENTRY(it, struct p2p_reading, link);

        r->is_former = true;
        if (r->fill != NULL)
            cache_fill_cancel(r->fill);
        else
            end_at_once(r, EL_ECANCELED, why);
    }
}
