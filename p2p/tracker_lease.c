/* SPDX-License-Identifier: MIT */
/*
 * tracker_lease: runs, from the grant to the end; see tracker_group.h.
 *
 *   granted --progress--> granted ... all read: over
 *      |  \--its holder is silent, it stands still, or others are far faster--> lost
 *      |                     lost --its holder speaks--> cut, or adopted again
 *      \--failed, given up, not spoken of, node gone: over
 *
 * Whatever a holder says of a run that is not known here is believed as far as it is free: then
 * this tracker is new, or had taken it back, or the run has no lease at all.
 */
#include "p2p/tracker_group.h"

/* A run that its holder does not speak of was lost on its way there, or with the holder. */
#define UNREPORTED_MS 2000u
#define MOST_TTL_MS   60000u
/* Slow: 4 times as long at a block as others, and at least so long. */
#define SLOW_TIMES   4u
#define SLOW_LEAST   2000u
#define SLOW_SAMPLES 3u
#define MOST_TRIES   3u
#define GONE_ON      2u /* blocks each that others have read meanwhile */
#define LEAST_FEW    3u
#define KEPT         8u  /* blocks that one has, others want, and none gets */
#define MUCH_SLOWER  10u /* times as long at a block */
/* Where a block takes less than this, a run has at least so many. */
#define QUICK_MS  10u
#define QUICK_RUN 4u
/* Runs of few takers: a question for each does not matter then, nor who reads one more. */
#define SHORT_MS 2000u
/*
 * And so many runs are out at least: who reads one takes blocks of others beside it, and has a part
 * of its link for it; and all is over before tracker_pace.h could find out.
 */
#define QUICK_OUT   8u
#define BAR_MS      1000u
#define MOST_BAR_MS 8000u

/* ---- blocks ---- */

static void lease_blocks(struct p2p_flight *f, unsigned first, unsigned end)
{
    for (unsigned b = first; b < end; b++) {
        EL_ASSERT(!p2p_blockset_has(&f->leased, b));
        p2p_blockset_add(&f->leased, b);
    }
}

static void free_blocks(struct p2p_flight *f, unsigned first, unsigned end)
{
    for (unsigned b = first; b < end; b++)
        p2p_blockset_remove(&f->leased, b);
}

/* ---- runs ---- */

static struct p2p_run *run_of(struct el_list *m)
{
    return EL_ENTRY(m, struct p2p_run, link);
}

static struct p2p_run *find(struct p2p_flight *f, uint64_t node, uint32_t id)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->runs) {
        if (run_of(it)->node == node && run_of(it)->id == id)
            return run_of(it);
    }
    return NULL;
}

static unsigned runs_of(const struct p2p_flight *f, uint64_t node)
{
    const struct el_list *it;
    unsigned n = 0;

    for (it = f->runs.next; it != &f->runs; it = it->next)
        n += EL_ENTRY(it, struct p2p_run, link)->node == node;
    return n;
}

/* Live ones, by which others are judged. */
static unsigned counted_of(const struct p2p_flight *f, uint64_t node)
{
    const struct el_list *it;
    unsigned n = 0;

    for (it = f->runs.next; it != &f->runs; it = it->next) {
        const struct p2p_run *r = EL_ENTRY(it, const struct p2p_run, link);

        n += r->node == node && !r->is_lost && r->counts;
    }
    return n;
}

bool p2p_runs_has_any(const struct p2p_tgroup *g, uint64_t node)
{
    return runs_of(g->flight, node) > 0;
}

/* Before `counted_out' changes. */
static void pass(struct p2p_flight *f, uint64_t now)
{
    f->counted_ms += (now - f->counted_at) * f->counted_out;
    f->counted_at = now;
}

static struct p2p_run *new_run(struct p2p_flight *f, uint64_t now, uint64_t node, uint32_t id)
{
    struct p2p_run *r = el_new(struct p2p_run);

    r->node = node;
    r->id = id;
    r->counts = id < P2P_LEASE_OWN && !p2p_tgroup_doubts(f->group, node);
    r->ttl_ms = f->ttl_ms;
    r->reported = r->progressed = r->moved = now;
    r->read_reported = r->read_progressed = f->n_read;
    el_list_append(&f->runs, &r->link);
    pass(f, now);
    f->counted_out += r->counts;
    if (f->out++ == 0)
        p2p_pace_resume(&f->pace, now);
    return r;
}

/* A live one that is so no longer. */
static void leave(struct p2p_flight *f, const struct p2p_run *r)
{
    free_blocks(f, r->first + r->done, r->first + r->count);
    f->out--;
    f->counted_out -= r->counts;
}

static void free_run(struct p2p_run *r)
{
    el_list_remove(&r->link);
    free(r);
}

/* Live or lost. */
static void end_run(struct p2p_flight *f, struct p2p_run *r)
{
    if (!r->is_lost)
        leave(f, r);
    free_run(r);
}

unsigned p2p_runs_end(struct p2p_tgroup *g, uint64_t now, uint64_t node)
{
    struct p2p_flight *f = g->flight;
    struct el_list *it, *tmp;
    unsigned live = 0;

    pass(f, now);
    EL_LIST_EACH (it, tmp, &f->runs) {
        if (run_of(it)->node != node)
            continue;
        live += !run_of(it)->is_lost;
        end_run(f, run_of(it));
    }
    return live;
}

void p2p_runs_doubt(struct p2p_flight *f, uint64_t now, uint64_t node)
{
    struct el_list *it, *tmp;

    pass(f, now);
    EL_LIST_EACH (it, tmp, &f->runs) {
        struct p2p_run *r = run_of(it);

        if (r->node != node || !r->counts)
            continue;
        f->counted_out -= !r->is_lost;
        r->counts = false;
    }
}

void p2p_runs_coming(const struct p2p_tgroup *g, uint64_t node, struct p2p_blockset *ret)
{
    const struct el_list *it;

    *ret = g->flight->leased;
    for (it = g->flight->runs.next; it != &g->flight->runs; it = it->next) {
        const struct p2p_run *r = EL_ENTRY(it, struct p2p_run, link);

        for (unsigned b = r->done; r->node == node && !r->is_lost && b < r->count; b++)
            p2p_blockset_remove(ret, r->first + b);
    }
}

/* ---- who has to wait ---- */

static void bar(struct p2p_holder *h, uint64_t now)
{
    struct p2p_taking *k = h->taking;

    k->bar_ms = k->bar_ms == 0 ? BAR_MS : (uint32_t)el_min_u64(2 * k->bar_ms, MOST_BAR_MS);
    k->barred_until = now + k->bar_ms;
}

static bool is_barred(const struct p2p_holder *h, uint64_t now)
{
    return now < h->taking->barred_until;
}

/* Somebody else than the node, and may read now. */
static bool is_other_reader(const struct p2p_holder *h, uint64_t now, uint64_t node)
{
    return h->node != node && h->taking != NULL && h->taking->may_read && !h->taking->has_left &&
           !is_barred(h, now);
}

static void add_all(struct p2p_blockset *s, const struct p2p_blockset *of)
{
    for (size_t w = 0; w < EL_COUNT(s->w); w++)
        s->w[w] |= of->w[w];
}

/* What others want who may read it now. */
static void wanted_by_others(const struct p2p_tgroup *g, uint64_t now, uint64_t node,
                             struct p2p_blockset *ret)
{
    *ret = (struct p2p_blockset){ 0 };
    for (uint32_t i = 0; i < g->n; i++)
        if (is_other_reader(&g->v[i], now, node))
            add_all(ret, &g->v[i].taking->want);
}

/* ---- how long blocks take ---- */

static void remember_time(struct p2p_flight *f, const struct p2p_run *r, uint64_t now, unsigned n)
{
    uint64_t ms = (now - r->progressed) / n;

    if (!r->counts)
        return;
    f->n_read += n;
    f->times[f->n_times++ % P2P_TIMES] =
        (struct p2p_time){ r->node, (uint32_t)el_min_u64(ms, UINT32_MAX), f->n_read,
                           f->counted_ms };
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The median of the others' last blocks; UINT64_MAX: too few of them are known. */
static uint64_t others_time(const struct p2p_flight *f, uint64_t node)
{
    unsigned n = f->n_times < P2P_TIMES ? f->n_times : P2P_TIMES, others = 0;
    uint32_t ms[P2P_TIMES];

    for (unsigned i = 0; i < n; i++) {
        if (f->times[i].node != node)
            ms[others++] = f->times[i].ms;
    }
    if (others < SLOW_SAMPLES)
        return UINT64_MAX;
    qsort(ms, others, sizeof(ms[0]), compare);
    return ms[others / 2];
}

/* The last blocks that were read took so little that a question for each would take as long. */
static bool are_quick(const struct p2p_flight *f)
{
    unsigned n = f->n_times < P2P_TIMES ? f->n_times : P2P_TIMES;
    uint64_t sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += f->times[i].ms;
    return n > 0 && sum < (uint64_t)n * QUICK_MS;
}

/*
 * What a block takes whoever reads, by Little's law: as long as all runs were out in sum, by the
 * blocks that were read. Up to the last of these, so that what hangs now does not count, and with
 * the runs that were out then, not with the few that may be left. UINT64_MAX: none was read yet.
 */
static uint64_t fair_time(const struct p2p_flight *f)
{
    const struct p2p_time *last = &f->times[(f->n_times - 1) % P2P_TIMES];
    struct p2p_time first = { 0 };

    if (f->n_times == 0)
        return UINT64_MAX;
    if (f->n_times > P2P_TIMES)
        first = f->times[f->n_times % P2P_TIMES];
    return (last->counted_ms - first.counted_ms) / (last->n_read - first.n_read);
}

/* The origin does not pause: those who read beside it have gone on meanwhile, if there are any. */
static bool have_others_gone_on(const struct p2p_run *r, unsigned others_out)
{
    return r->read_reported - r->read_progressed >= GONE_ON * others_out;
}

/*
 * By its holder's word: while he is silent it is not known what was read since then. Where all
 * share a slow origin those who came first are faster, and have most of the samples: by the fair
 * time the others are not slow.
 */
static bool is_slow(const struct p2p_flight *f, const struct p2p_run *r, unsigned others_out)
{
    uint64_t ms = r->reported - r->progressed, others = others_time(f, r->node);

    return ms > SLOW_LEAST && have_others_gone_on(r, others_out) && others != UINT64_MAX &&
           ms > SLOW_TIMES * el_max_u64(others, fair_time(f));
}

/* While its holder says that it reads on, and others are no faster, nobody would be. */
static bool has_lapsed(const struct p2p_flight *f, uint64_t now, const struct p2p_run *r,
                       unsigned others_out)
{
    uint64_t ms = now - r->progressed, fair = fair_time(f);

    if (now - r->reported >= r->ttl_ms || ms >= P2P_LEASE_MOST_MS)
        return true;
    return ms >= r->ttl_ms && have_others_gone_on(r, others_out) && fair != UINT64_MAX &&
           ms > SLOW_TIMES * fair;
}

/* Others get something, and have for so long that this one's holder would have said so as well. */
static bool do_others_move(const struct p2p_flight *f, const struct p2p_run *r)
{
    return f->moved >= r->moved + r->ttl_ms / 2 && r->reported >= f->moves_since + 2 * P2P_STILL_MS;
}

/* Its holder reads in one answer what it reports as several runs, and is at another one. */
static bool comes_behind_another(const struct p2p_flight *f, uint64_t now, const struct p2p_run *r)
{
    const struct el_list *it;

    for (it = f->runs.next; r->id >= P2P_LEASE_OWN && it != &f->runs; it = it->next) {
        const struct p2p_run *o = EL_ENTRY(it, const struct p2p_run, link);

        if (o->node == r->node && o->id >= P2P_LEASE_OWN && now - o->moved < r->ttl_ms)
            return true;
    }
    return false;
}

static bool do_others_want(const struct p2p_tgroup *g, uint64_t now, const struct p2p_run *r)
{
    struct p2p_blockset wanted;
    unsigned b;

    wanted_by_others(g, now, r->node, &wanted);
    b = p2p_blockset_next(&wanted, r->first + r->done);
    return b < r->first + r->count;
}

/*
 * Nothing comes, while something does elsewhere. Where all stand still either the origin does, or
 * just these holders cannot reach it: one at a time goes to somebody else, and shows which. Each
 * time that brings nothing the next one has twice the time: an origin that is slow to begin begins.
 */
static bool is_stuck(struct p2p_tgroup *g, uint64_t now, const struct p2p_run *r)
{
    struct p2p_flight *f = g->flight;
    uint64_t patience = (uint64_t)r->ttl_ms << f->tries;

    if (now - r->moved < r->ttl_ms || comes_behind_another(f, now, r))
        return false;
    if (do_others_move(f, r))
        return true;
    if (now - f->any_moved < r->ttl_ms || (f->tries > 0 && now - f->tried < patience) ||
        !do_others_want(g, now, r))
        return false;
    f->tried = now;
    f->tries += f->tries < MOST_TRIES;
    return true;
}

static void lose(struct p2p_flight *f, struct p2p_run *r, bool was_slow)
{
    leave(f, r);
    r->is_lost = true;
    r->was_slow = was_slow;
}

void p2p_runs_lapse(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now)
{
    struct p2p_flight *f = g->flight;
    unsigned out = f->counted_out; /* all are compared with all */
    struct el_list *it, *tmp;

    pass(f, now);
    EL_LIST_EACH (it, tmp, &f->runs) {
        struct p2p_run *r = run_of(it);
        unsigned others;
        bool is_over;

        if (r->is_lost)
            continue;
        others = out - counted_of(f, r->node);
        is_over = has_lapsed(f, now, r, others) || is_stuck(g, now, r);
        if (!is_over && !is_slow(f, r, others))
            continue;
        lose(f, r, !is_over);
        *(is_over ? &t->stats.lapsed : &t->stats.slow) += 1;
        bar(p2p_tgroup_holder(g, r->node), now);
    }
}

/* ---- what holders say ---- */

/* Not one that its holder reads in spite of leases. */
static void cut(struct p2p_located *ret, uint32_t id, unsigned count)
{
    if (id >= P2P_LEASE_OWN)
        return;
    ret->cuts[ret->n_cuts++] = (struct p2p_lease_cut){ id, (uint8_t)count };
}

/* How many blocks from there on are nobody's. */
static unsigned free_from(const struct p2p_flight *f, unsigned first, unsigned n)
{
    unsigned i = 0;

    while (i < n && !p2p_blockset_has(&f->leased, first + i))
        i++;
    return i;
}

/* How long the run is here; 0: there is nothing left of it for this node. */
static unsigned adopt(struct p2p_tracker *t, struct p2p_flight *f, uint64_t now, uint64_t node,
                      const struct p2p_lease_end *e, struct p2p_located *ret)
{
    unsigned n = free_from(f, e->first + e->done, (unsigned)(e->count - e->done));
    struct p2p_run *r;

    if (n < (unsigned)(e->count - e->done))
        cut(ret, e->id, e->done + n);
    if (n == 0)
        return 0;
    r = new_run(f, now, node, e->id);
    r->first = e->first;
    r->done = e->done;
    r->count = e->done + n;
    lease_blocks(f, r->first + r->done, r->first + r->count);
    t->stats.adopted++;
    return r->count;
}

/* It was taken back, and its holder went on. */
static void take_up(struct p2p_tracker *t, struct p2p_flight *f, uint64_t now, struct p2p_run *r,
                    const struct p2p_lease_end *e, struct p2p_located *ret)
{
    uint64_t node = r->node;
    bool goes_on = !r->was_slow && e->done > r->done;

    free_run(r);
    if (!goes_on) {
        cut(ret, e->id, e->done);
        return;
    }
    /* It was not dead: no block comes in that time here. */
    f->ttl_ms = (uint32_t)el_min_u64(2 * f->ttl_ms, MOST_TTL_MS);
    (void)adopt(t, f, now, node, e, ret); /* it was granted before */
}

static void moved(struct p2p_flight *f, uint64_t now, struct p2p_run *r)
{
    r->moved = f->any_moved = now;
    f->tries = 0;
    if (!r->counts)
        return;
    if (now - f->moved > 2 * P2P_STILL_MS)
        f->moves_since = now;
    f->moved = now;
}

static void progress(struct p2p_flight *f, uint64_t now, struct p2p_run *r, unsigned done)
{
    unsigned n;

    r->reported = now;
    r->read_reported = f->n_read;
    if (done <= r->done)
        return;
    n = done - r->done;
    moved(f, now, r);
    remember_time(f, r, now, n);
    p2p_pace_read(&f->pace, now, n);
    free_blocks(f, r->first + r->done, r->first + done);
    r->done = done;
    r->progressed = now;
    r->read_progressed = r->read_reported = f->n_read;
}

/* Its holder gives it back from there on. */
static void shorten(struct p2p_flight *f, struct p2p_run *r, unsigned count)
{
    count = count < r->done ? r->done : count;
    free_blocks(f, r->first + count, r->first + r->count);
    r->count = count;
}

static void on_running(struct p2p_tracker *t, struct p2p_flight *f, uint64_t now,
                       struct p2p_holder *h, const struct p2p_lease_end *e, struct p2p_located *ret)
{
    struct p2p_run *r = find(f, h->node, e->id);

    if (r == NULL || r->first != e->first) {
        h->taking->given += adopt(t, f, now, h->node, e, ret);
        return;
    }
    if (r->is_lost) {
        take_up(t, f, now, r, e, ret);
        return;
    }
    if (!e->still)
        moved(f, now, r);
    progress(f, now, r, e->done < r->count ? e->done : r->count);
    if (e->count > r->count)
        cut(ret, r->id, r->count);
    else if (e->count < r->count)
        shorten(f, r, e->count);
    if (r->done == r->count)
        end_run(f, r);
}

static void on_over(struct p2p_tracker *t, struct p2p_flight *f, uint64_t now, struct p2p_holder *h,
                    const struct p2p_lease_end *e)
{
    struct p2p_run *r = find(f, h->node, e->id);

    if (r == NULL || r->first != e->first)
        return;
    if (!r->is_lost) {
        progress(f, now, r, e->done < r->count ? e->done : r->count);
        *(e->ok || r->done == r->count ? &t->stats.read : &t->stats.failed) += 1;
    }
    end_run(f, r);
    if (e->ok)
        h->taking->bar_ms = 0;
    else
        bar(h, now);
}

static bool is_reported(const struct p2p_locate *l, uint32_t id)
{
    for (size_t i = 0; i < l->n_ended; i++) {
        if (l->ended[i].id == id)
            return true;
    }
    return false;
}

/* Of lost runs nothing need be said any more. */
static void drop_unreported(struct p2p_tracker *t, struct p2p_flight *f, uint64_t now,
                            uint64_t node, const struct p2p_locate *l)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &f->runs) {
        struct p2p_run *r = run_of(it);

        if (r->node != node || now - r->reported < UNREPORTED_MS || is_reported(l, r->id))
            continue;
        t->stats.failed += !r->is_lost;
        end_run(f, r);
    }
}

void p2p_runs_report(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                     struct p2p_holder *h, const struct p2p_locate *l, struct p2p_located *ret)
{
    struct p2p_flight *f = g->flight;

    drop_unreported(t, f, now, h->node, l);
    for (size_t i = 0; i < l->n_ended; i++) {
        h->taking->has_read = h->taking->has_read || l->ended[i].done > 0;
        if (!l->ended[i].ok || l->ended[i].done == l->ended[i].count)
            on_over(t, f, now, h, &l->ended[i]);
    }
    for (size_t i = 0; i < l->n_ended; i++) {
        if (l->ended[i].ok && l->ended[i].done < l->ended[i].count)
            on_running(t, f, now, h, &l->ended[i], ret);
    }
}

/* ---- grants ---- */

static void grant(struct p2p_tracker *t, struct p2p_flight *f, uint64_t now, uint64_t node,
                  unsigned first, unsigned count, struct p2p_located *ret)
{
    struct p2p_run *r;
    uint32_t id;

    do {
        id = t->next_id++ & ~P2P_LEASE_OWN;
    } while (id == 0);
    r = new_run(f, now, node, id);
    r->first = first;
    r->count = count;
    ret->leases[ret->n_leases++] =
        (struct p2p_lease){ id, (uint16_t)first, (uint8_t)count, r->ttl_ms };
    f->has_granted = true;
    t->stats.granted++;
}

/* All know all, and each passes on what it reads. */
static bool are_few(const struct p2p_flight *f)
{
    return f->wanting >= LEAST_FEW && f->wanting <= P2P_FEW && !are_quick(f);
}

/* Of few takers: it takes about SHORT_MS. As long as nothing is known of that it is a block. */
static unsigned short_run(const struct p2p_tracker *t, const struct p2p_flight *f)
{
    uint64_t n = f->n_times == 0 ? 1 : SHORT_MS / el_max_u64(fair_time(f), 1);

    return n < 1 ? 1 : (unsigned)el_min_u64(n, t->conf.limits.short_run);
}

/*
 * Guided self-scheduling: half of what is left, shared by all who want something: runs are long
 * while there is much to do, short when who has one to the end would keep all others waiting. The
 * first one of each is short as well, since it is not known who else will come; and all of them
 * where few take part, so that they can be shared out evenly (is_ahead).
 */
static unsigned run_length(const struct p2p_tracker *t, const struct p2p_flight *f,
                           const struct p2p_taking *k, unsigned left)
{
    unsigned n = f->wanting <= 1 ? P2P_RUN_BLOCKS : left / (2 * f->wanting);
    unsigned most = P2P_RUN_BLOCKS;
    unsigned least = are_quick(f) ? QUICK_RUN : 1;

    if (are_few(f))
        most = short_run(t, f);
    else if (k->given == 0)
        most = t->conf.limits.short_run;
    n = n < least ? least : n;
    return n > most ? most : n;
}

/* Blocks in a row from `first` on, in its chunk. */
static unsigned row_length(const struct p2p_blockset *s, unsigned first)
{
    unsigned n = 0, end = first - first % P2P_RUN_BLOCKS + P2P_RUN_BLOCKS;

    while (first + n < end && p2p_blockset_has(s, first + n))
        n++;
    return n;
}

/* As many as its share; a short rest of the row goes with it, for it would be a run of its own. */
static unsigned share_of_row(const struct p2p_blockset *s, unsigned first, unsigned share)
{
    unsigned row = row_length(s, first);

    return row <= share + share / 4 ? row : share;
}

static bool has_last_block(const struct p2p_flight *f, uint64_t node)
{
    const struct el_list *it;

    for (it = f->runs.next; it != &f->runs; it = it->next) {
        const struct p2p_run *r = EL_ENTRY(it, struct p2p_run, link);

        if (r->node == node && !r->is_lost && r->count > 1 && r->done + 1 == r->count)
            return true;
    }
    return false;
}

/*
 * Where few take part each of them may have one, whatever the pace: it passes on what it reads
 * while it does, and all links are full when each one reads its share (swarm_stream.c). Else:
 * how many more runs may be out. A run of several blocks of which one is left makes room for its
 * holder's next one, so that the origin does not idle between them.
 */
static unsigned room(const struct p2p_flight *f, uint64_t node)
{
    unsigned limit = f->pace.limit;

    if (are_quick(f) && limit < QUICK_OUT)
        limit = QUICK_OUT;
    limit += has_last_block(f, node);

    if (f->out < limit)
        return limit - f->out;
    return f->wanting <= P2P_FEW && runs_of(f, node) == 0;
}

/* Takes its share of what is read: not one that left, or that may only read its own range. */
static bool is_sharing(const struct p2p_holder *h, uint64_t now)
{
    const struct p2p_taking *k = h->taking;

    return k != NULL && k->may_read && !k->is_exact && !k->has_left && !is_barred(h, now) &&
           !p2p_blockset_is_empty(&k->want);
}

/* What those who share were given, in order; of others than this one. */
static uint32_t given_to_others(const struct p2p_tgroup *g, uint64_t now,
                                const struct p2p_holder *h, uint32_t given[P2P_FEW])
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < g->n && n < P2P_FEW; i++)
        if (&g->v[i] != h && is_sharing(&g->v[i], now))
            given[n++] = g->v[i].taking->given;
    qsort(given, n, sizeof(given[0]), compare);
    return n;
}

static uint64_t last_time(const struct p2p_flight *f, uint64_t node)
{
    unsigned n = f->n_times < P2P_TIMES ? f->n_times : P2P_TIMES;

    for (unsigned i = 1; i <= n; i++)
        if (f->times[(f->n_times - i) % P2P_TIMES].node == node)
            return f->times[(f->n_times - i) % P2P_TIMES].ms;
    return UINT64_MAX;
}

/* Then it is not for this one to wait for them. */
static bool are_others_slow(const struct p2p_flight *f, uint64_t node)
{
    uint64_t others = others_time(f, node), own = last_time(f, node);

    return others != UINT64_MAX && own != UINT64_MAX && others > MUCH_SLOWER * own;
}

/*
 * Where few take part all are to read about as much: what one reads beyond that its uplink cannot
 * pass on in time, while those of others have nothing to do. Who comes later begins where the
 * others are. Never when nobody else reads.
 */
static bool is_ahead(const struct p2p_tgroup *g, uint64_t now, const struct p2p_holder *h)
{
    uint32_t given[P2P_FEW], n;

    if (!are_few(g->flight) || g->flight->out == 0)
        return false;
    n = given_to_others(g, now, h, given);
    if (n < LEAST_FEW - 1)
        return false;
    if (h->taking->given == 0 && given[0] > P2P_RUN_BLOCKS)
        h->taking->given = given[0] - P2P_RUN_BLOCKS;
    return h->taking->given > given[n / 2] && !are_others_slow(g->flight, h->node);
}

bool p2p_runs_keeps(const struct p2p_tgroup *g, uint64_t now, const struct p2p_holder *h)
{
    const struct p2p_blockset *have = &h->taking->have;
    struct p2p_blockset others;
    unsigned n = 0;

    if (!are_few(g->flight))
        return false;
    wanted_by_others(g, now, h->node, &others);
    for (unsigned b = p2p_blockset_next(have, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(have, b + 1))
        n += g->flight->had[b] == 1 && p2p_blockset_has(&others, b);
    return n >= KEPT;
}

/* What it reads others do not get. Never when nobody else reads. */
static bool is_unfit(const struct p2p_tgroup *g, const struct p2p_holder *h)
{
    return g->flight->out > 0 && (h->taking->keeps || p2p_tgroup_doubts(g, h->node));
}

static bool goes_last(const struct p2p_tgroup *g, uint64_t now, const struct p2p_holder *h)
{
    return is_barred(h, now) || is_ahead(g, now, h) || is_unfit(g, h);
}

/* What the node may read now: when it goes last, what nobody wants who does not. */
static void grantable(const struct p2p_tgroup *g, uint64_t now, const struct p2p_holder *h,
                      bool is_last, struct p2p_blockset *ret)
{
    const struct p2p_flight *f = g->flight;
    struct p2p_blockset others = { 0 };

    for (uint32_t i = 0; is_last && i < g->n; i++)
        if (is_other_reader(&g->v[i], now, h->node) && !goes_last(g, now, &g->v[i]))
            add_all(&others, &g->v[i].taking->want);
    for (size_t i = 0; i < EL_COUNT(ret->w); i++)
        ret->w[i] = h->taking->want.w[i] & ~(f->known.w[i] | f->leased.w[i] | others.w[i]);
}

/* Whoever comes first is to leave something for those who come a moment later. */
static unsigned may_have(const struct p2p_tracker *t, const struct p2p_flight *f,
                         const struct p2p_holder *h, const struct p2p_locate *l)
{
    unsigned has = runs_of(f, h->node);
    unsigned most = h->taking->has_read ? P2P_MAX_RUNS : t->conf.limits.first_runs;

    return has >= most ? 0 : (unsigned)el_min_size(l->leases, most - has);
}

static void grant_any(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                      struct p2p_holder *h, const struct p2p_locate *l, struct p2p_located *ret)
{
    struct p2p_flight *f = g->flight;
    unsigned n = may_have(t, f, h, l), first = 0, count;
    struct p2p_blockset s;

    grantable(g, now, h, goes_last(g, now, h), &s);
    for (unsigned left = p2p_blockset_count(&s); n > 0 && left > 0; n--, left -= count) {
        if (room(f, h->node) == 0) {
            p2p_pace_full(&f->pace);
            return;
        }
        first = p2p_blockset_next(&s, first);
        count = share_of_row(&s, first, run_length(t, f, h->taking, left));
        grant(t, f, now, h->node, first, count, ret);
        lease_blocks(f, first, first + count);
        h->taking->given += count;
        first += count;
    }
}

/*
 * Whole or not at all: its signature covers just that range. Some of it may be had by others, when
 * some is had by nobody: that part would not come any other way.
 */
static void grant_exact(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                        struct p2p_holder *h, const struct p2p_locate *l, struct p2p_located *ret)
{
    struct p2p_flight *f = g->flight;
    unsigned first = p2p_blockset_next(&h->taking->want, 0), count;
    struct p2p_blockset s;

    if (first == P2P_GROUP_BLOCKS || may_have(t, f, h, l) == 0)
        return;
    grantable(g, now, h, is_barred(h, now), &s);
    count = row_length(&h->taking->want, first);
    if (p2p_blockset_is_empty(&s) || free_from(f, first, count) < count)
        return;
    if (room(f, h->node) == 0) {
        p2p_pace_full(&f->pace);
        return;
    }
    grant(t, f, now, h->node, first, count, ret);
    lease_blocks(f, first, first + count);
}

void p2p_runs_grant(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now, struct p2p_holder *h,
                    const struct p2p_locate *l, struct p2p_located *ret)
{
    h->taking->may_read = l->leases > 0 || p2p_runs_has_any(g, h->node);
    h->taking->is_exact = l->exact;
    h->taking->keeps = p2p_runs_keeps(g, now, h);
    if (now < g->flight->quiet_until)
        return;
    if (l->exact)
        grant_exact(t, g, now, h, l, ret);
    else
        grant_any(t, g, now, h, l, ret);
}
