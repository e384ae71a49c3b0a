/* SPDX-License-Identifier: MIT */
/* The tracker and the origin, as swarm.h sees them: questions, leases, and what is read without. */
#include "p2p/swarm_in.h"

/* Runs of a group that this node reads at a time, and those of which the tracker has to hear. */
#define MAX_RUNS    16u
#define SHARED_RUNS 8u /* divided by how many others take part */
/* Who has less than half of what most have reads nothing for them. */
#define BEHIND_TIMES  2u
#define BEHIND_BLOCKS 8u
#define MAX_ENDED     (P2P_MAX_RUNS - MAX_RUNS)
/* Runs without a lease at a time, where there is no tracker: the gap between two is filled. */
#define OWN_RUNS 2u
/* Of one of them: soon the others see what is there. */
#define ALONE_BLOCKS 4u
/* Questions in a row that fail before there is no tracker, and when the next one goes out. */
#define NO_TRACKER   2u
#define ALONE_MS     300u /* and up to two times as long again: not all at once */
#define RETRY_MS     100u
#define MAX_RETRY_MS 5000u
/* A run is reported so many times in its time to live. */
#define REPORTS 3u
/* A lease of somebody else that brings nothing lapses at the tracker first. */
#define COMING_PATIENCE_MS (P2P_LEASE_TTL_MS + 2000u)
#define LEAST_PATIENCE_MS  50u
/* Blocks that are coming may take so many times as long as others took. */
#define SLOW_TIMES       2.0
#define MAX_SLOW_MS      60000u
#define BUSY_PATIENCE_MS 15000u
/* At first longer than a tracker that is new grants nothing. */
#define DRY_MS       2000u
#define DRY_AGAIN_MS 150u
/* Whom nothing reaches for so long (so long for each block that has begun, which share its link),
 * and for so many times what blocks take, tells the tracker. */
#define STARVE_MS       500u
#define STARVE_LINK_MS  2000u /* while a link to somebody is made, which may take a second */
#define STARVE_BEGUN_MS 1000u
#define STARVE_AGAIN_MS 250u
#define MS_A_TAKER      2u /* so that a tracker has no more questions than it asks for itself */
#define STARVE_TIMES    4.0
#define LIED_MS         5000u /* who was given a bad block says so for so long */
#define FAILED_MS       500u
#define MAX_FAILED_MS   30000u

const char *p2p_reason_name(enum p2p_reason reason)
{
    switch (reason) {
    case P2P_REASON_LEASE:
        return "lease";
    case P2P_REASON_NO_TRACKER:
        return "no_tracker";
    case P2P_REASON_HEDGE:
        return "hedge";
    }
    return "";
}

/* ---- runs ---- */

static struct p2p_sw_run *run_by_id(const struct p2p_sw_group *g, uint32_t id)
{
    for (struct el_list *it = g->runs.next; it != &g->runs; it = it->next) {
        struct p2p_sw_run *r = EL_ENTRY(it, struct p2p_sw_run, in_group);

        if (r->id == id)
            return r;
    }
    return NULL;
}

static struct p2p_sw_run *run_by_number(const struct p2p_download *d, uint32_t number,
                                        struct p2p_sw_group **ret_group)
{
    for (struct el_list *it = d->active.next; it != &d->active; it = it->next) {
        struct p2p_sw_group *g = EL_ENTRY(it, struct p2p_sw_group, in_download);

        for (struct el_list *r = g->runs.next; r != &g->runs; r = r->next) {
            struct p2p_sw_run *run = EL_ENTRY(r, struct p2p_sw_run, in_group);

            if (run->number != number)
                continue;
            *ret_group = g;
            return run;
        }
    }
    return NULL;
}

static struct p2p_sw_run *new_run(struct p2p_sw_group *g, unsigned first, unsigned count)
{
    struct p2p_swarm *s = g->d->s;
    struct p2p_sw_run *r = el_new(struct p2p_sw_run);

    s->next_run = (s->next_run + 1) % P2P_LEASE_OWN;
    r->number = s->next_run;
    r->id = P2P_LEASE_OWN | r->number;
    r->first = (uint16_t)first;
    r->count = r->granted = (uint8_t)count;
    r->moved_at = g->fed_at = s->now;
    el_list_append(&g->runs, &r->in_group);
    g->n_runs++;
    for (unsigned b = first; b < first + count; b++) {
        if (!p2p_blockset_has(&g->here, b))
            p2p_blockset_add(&g->mine, b);
        /* Else two nodes could wait for the block from each other. */
        if (!p2p_blockset_has(&g->begun, b))
            p2p_sw_take_back(g, b);
    }
    return r;
}

static void start_run(struct p2p_sw_group *g, unsigned first, unsigned count, uint32_t lease,
                      enum p2p_reason reason)
{
    struct p2p_sw_run *r = new_run(g, first, count);

    r->reason = reason;
    if (reason == P2P_REASON_LEASE)
        r->id = lease;
    else
        g->locate_at = g->d->s->now; /* the sooner the tracker knows, the fewer read the same */
    p2p_sw_push(g->d->s, &(struct p2p_move){ .kind = P2P_MOVE_FETCH,
                                             .download = g->d,
                                             .run = r->number,
                                             .first = p2p_sw_number(g, first),
                                             .count = count,
                                             .reason = reason });
}

bool p2p_sw_run_adopt(struct p2p_sw_group *g, unsigned first, unsigned count, uint32_t *ret_run)
{
    struct p2p_sw_run *r;

    for (unsigned b = first; b < first + count; b++)
        if (p2p_blockset_has(&g->mine, b) || p2p_blockset_has(&g->asked, b))
            return false;
    if (g->n_runs >= MAX_RUNS)
        return false;
    r = new_run(g, first, count);
    r->is_adopted = true;
    *ret_run = r->number;
    g->locate_at = g->d->s->now;
    p2p_sw_dirty(g);
    return true;
}

static void note_end(struct p2p_sw_group *g, const struct p2p_lease_end *e)
{
    g->locate_at = g->d->s->now;
    p2p_sw_dirty(g);
    /* Where too many wait for an answer the tracker lets the lease lapse. */
    if (g->n_ended < MAX_ENDED)
        g->ended[g->n_ended++] = *e;
}

static struct p2p_lease_end report_of(const struct p2p_sw_run *r, bool ok)
{
    return (struct p2p_lease_end){
        .id = r->id, .first = r->first, .count = r->count, .done = r->done, .ok = ok
    };
}

static void drop_run(struct p2p_sw_group *g, struct p2p_sw_run *r)
{
    for (unsigned b = r->first; b < (unsigned)r->first + r->count; b++)
        p2p_blockset_remove(&g->mine, b);
    el_list_remove(&r->in_group);
    free(r);
    g->n_runs--;
}

void p2p_sw_runs_free(struct p2p_sw_group *g)
{
    while (!el_list_empty(&g->runs))
        drop_run(g, EL_ENTRY(g->runs.next, struct p2p_sw_run, in_group));
}

static void count_reads(struct p2p_swarm *s, enum p2p_reason reason, unsigned n)
{
    switch (reason) {
    case P2P_REASON_LEASE:
        s->stats.blocks_lease += n;
        break;
    case P2P_REASON_NO_TRACKER:
        s->stats.blocks_no_tracker += n;
        break;
    case P2P_REASON_HEDGE:
        s->stats.blocks_hedge += n;
        break;
    }
}

/* One that reads its last block makes room for the next: the origin shall not idle in between. */
static bool ends_soon(const struct p2p_sw_run *r)
{
    return r->count > 1 && r->done + 1 >= r->count;
}

static void progress(struct p2p_sw_group *g, struct p2p_sw_run *r, unsigned done)
{
    struct p2p_download *d = g->d;

    if (done > r->count)
        done = r->count;
    if (done <= r->done)
        return;
    count_reads(d->s, r->reason, done - r->done);
    for (unsigned b = r->first; b < (unsigned)r->first + done; b++)
        p2p_blockset_remove(&g->mine, b);
    r->done = (uint8_t)done;
    r->moved_at = d->s->now;
    d->origin_failures = 0;
    if (r->reason == P2P_REASON_LEASE)
        d->hedges = 0;
    if (r->done < r->count && ends_soon(r)) {
        g->locate_at = d->s->now;
        p2p_sw_dirty(g);
    }
}

void p2p_swarm_on_run_progress(struct p2p_download *d, uint64_t now, uint32_t run, unsigned done)
{
    struct p2p_sw_group *g;
    struct p2p_sw_run *r = run_by_number(d, run, &g);

    d->s->now = now;
    if (r != NULL)
        progress(g, r, done);
}

/* The origin gave nothing, and nobody else will bring the block: whoever waits for it is told. */
static void failed(struct p2p_sw_group *g, unsigned block)
{
    struct p2p_download *d = g->d;
    unsigned n = d->origin_failures < 8 ? d->origin_failures : 8;

    d->origin_at = d->s->now + el_min_u64((uint64_t)FAILED_MS << n, MAX_FAILED_MS);
    d->origin_failures++;
    if (g->holders[block] > 0 || p2p_blockset_has(&g->here, block) ||
        p2p_blockset_has(&g->coming, block))
        return;
    p2p_sw_push(d->s, &(struct p2p_move){ .kind = P2P_MOVE_FAIL,
                                          .download = d,
                                          .first = p2p_sw_number(g, block),
                                          .code = EL_EORIGIN });
}

void p2p_swarm_on_run_over(struct p2p_download *d, uint64_t now, uint32_t run, unsigned done,
                           bool ok)
{
    struct p2p_sw_group *g;
    struct p2p_sw_run *r = run_by_number(d, run, &g);
    struct p2p_lease_end e;
    unsigned next;

    d->s->now = now;
    if (r == NULL)
        return;
    progress(g, r, done);
    e = report_of(r, ok && r->done == r->count && !r->gives_back);
    if (r->gives_back)
        e.count = r->granted;
    next = (unsigned)r->first + r->done;
    drop_run(g, r);
    note_end(g, &e);
    if (!ok && next < g->blocks)
        failed(g, next);
    p2p_sw_wake(g);
}

/* ---- the tracker ---- */

static bool lacks(const struct p2p_sw_group *g)
{
    for (unsigned i = 0; i < EL_COUNT(g->want.w); i++)
        if ((g->want.w[i] & ~g->here.w[i]) != 0)
            return true;
    return false;
}

/*
 * How many blocks nobody brings of the one range that can be read; 0 if it does not lie in this
 * group, or some of it is on its way, or none is wanted yet. What is wanted may end within it.
 */
static unsigned exact_open(const struct p2p_sw_group *g)
{
    const struct p2p_download *d = g->d;
    uint64_t base = (uint64_t)g->number * P2P_GROUP_BLOCKS;
    bool any = false;
    unsigned n = 0;

    if (d->reach_first < base || d->reach_end > base + g->blocks)
        return 0;
    for (unsigned b = (unsigned)(d->reach_first - base); b < d->reach_end - base; b++) {
        if (p2p_blockset_has(&g->asked, b) || p2p_blockset_has(&g->mine, b))
            return 0;
        if (p2p_blockset_has(&g->here, b))
            continue;
        any = any || p2p_blockset_has(&g->want, b);
        n++;
    }
    return any ? n : 0;
}

static unsigned count_others(const struct p2p_sw_group *g)
{
    unsigned n = 0;

    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        n += g->nb[i].peer != NULL && g->nb[i].is_taking;
    return n;
}

/* The more take part, the fewer runs each: blocks that one node reads wait for its one uplink. */
static unsigned most_runs(const struct p2p_sw_group *g)
{
    unsigned others = count_others(g);

    if (others == 0)
        return g->is_located ? MAX_RUNS : 1;
    return others < SHARED_RUNS ? SHARED_RUNS / others : 1;
}

/* Who take part besides and lack something: neighbours, or as many as the tracker knew of. */
static unsigned others_that_lack(const struct p2p_sw_group *g)
{
    unsigned n = 0;

    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        n += g->nb[i].peer != NULL && g->nb[i].is_taking && g->nb[i].n_has < g->blocks;
    return n > g->taking ? n : g->taking;
}

static bool are_few(const struct p2p_sw_group *g)
{
    return others_that_lack(g) <= P2P_FEW;
}

static unsigned runs_that_last(const struct p2p_sw_group *g)
{
    unsigned n = 0;

    for (struct el_list *it = g->runs.next; it != &g->runs; it = it->next)
        n += !ends_soon(EL_ENTRY(it, const struct p2p_sw_run, in_group));
    return n;
}

static void shorten(struct p2p_sw_run *r, struct p2p_sw_group *g, unsigned count)
{
    for (unsigned b = r->first + count; b < (unsigned)r->first + r->count; b++)
        p2p_blockset_remove(&g->mine, b);
    r->count = (uint8_t)count;
}

/* Most others that take part have more than so many blocks. */
static bool most_have_more(const struct p2p_sw_group *g, unsigned far)
{
    unsigned n = 0, ahead = 0;

    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++) {
        if (g->nb[i].peer == NULL || !g->nb[i].is_taking)
            continue;
        n++;
        ahead += g->nb[i].n_has > far;
    }
    return n > 0 && ahead >= n - n / 2;
}

/* Most others have far more: what this node read they would wait for, its links are slow. */
static bool is_behind(const struct p2p_sw_group *g)
{
    return most_have_more(g, BEHIND_TIMES * p2p_blockset_count(&g->here) + BEHIND_BLOCKS);
}

/* What it has begun it reads to the end of the block; the rest is for others. */
static void give_back(struct p2p_sw_group *g)
{
    for (struct el_list *it = g->runs.next; it != &g->runs; it = it->next) {
        struct p2p_sw_run *r = EL_ENTRY(it, struct p2p_sw_run, in_group);

        if (r->is_adopted || r->reason != P2P_REASON_LEASE || r->done + 1 >= r->count)
            continue;
        p2p_sw_push(g->d->s, &(struct p2p_move){ .kind = P2P_MOVE_STOP,
                                                 .download = g->d,
                                                 .run = r->number,
                                                 .count = r->done + 1u });
        shorten(r, g, r->done + 1u);
        r->gives_back = true;
    }
}

/* A link to somebody who may have it is being made, or has just been: ports may be shut. */
static bool waits_for_link(const struct p2p_sw_group *g)
{
    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        if (g->nb[i].peer != NULL && g->nb[i].peer->is_connecting)
            return true;
    return g->d->s->now - g->linked_at < STARVE_MS;
}

/* Nothing of it comes from anywhere, and has not for a while. */
static bool starves(const struct p2p_sw_group *g)
{
    const struct p2p_swarm *s = g->d->s;
    uint64_t patience = el_max_u64(STARVE_MS, STARVE_BEGUN_MS * p2p_blockset_count(&g->begun));

    patience = el_max_u64(patience, (uint64_t)(STARVE_TIMES * s->took));
    if (waits_for_link(g))
        patience = el_max_u64(patience, STARVE_LINK_MS);
    return g->is_located && g->n_runs == 0 && s->now - g->fed_at > patience && lacks(g);
}

/* Of those that are said to have what it lacks. */
static bool complains(const struct p2p_sw_group *g)
{
    bool was_lied_to = g->lied_at != 0 && g->d->s->now - g->lied_at < LIED_MS;

    return was_lied_to || starves(g);
}

/* The more take, the rarer: its tracker has 500 questions a second of the group, not more. */
static bool may_complain(const struct p2p_sw_group *g)
{
    uint64_t since = g->d->s->now - g->located_at;

    return g->n_runs == 0 && since >= el_max_u64(STARVE_AGAIN_MS, MS_A_TAKER * g->taking);
}

static uint8_t runs_wanted(const struct p2p_sw_group *g)
{
    const struct p2p_download *d = g->d;

    unsigned most = most_runs(g);

    unsigned n = runs_that_last(g);

    if (d->reach == P2P_REACH_NONE || d->s->now < d->origin_at || n >= most || is_behind(g))
        return 0;
    if (d->reach == P2P_REACH_EXACT)
        return exact_open(g) == d->reach_end - d->reach_first; /* leased as a whole */
    return (uint8_t)(most - n);
}

/* All that is wanted; or, where only one range can be read, that. */
static void fill_want(const struct p2p_sw_group *g, struct p2p_locate *ret)
{
    const struct p2p_download *d = g->d;
    uint64_t base = (uint64_t)g->number * P2P_GROUP_BLOCKS;

    if (ret->leases > 0 && d->reach == P2P_REACH_EXACT) {
        ret->exact = true;
        for (uint64_t b = d->reach_first; b < d->reach_end; b++)
            p2p_blockset_add(&ret->want, (unsigned)(b - base));
        return;
    }
    for (unsigned i = 0; i < EL_COUNT(ret->want.w); i++)
        ret->want.w[i] = g->want.w[i] & ~(g->here.w[i] | g->mine.w[i]);
}

static void fill_runs(struct p2p_sw_group *g, struct p2p_locate *ret)
{
    memcpy(ret->ended, g->ended, g->n_ended * sizeof(g->ended[0]));
    ret->n_ended = g->n_reported = g->n_ended;
    for (struct el_list *it = g->runs.next; it != &g->runs; it = it->next) {
        const struct p2p_sw_run *r = EL_ENTRY(it, const struct p2p_sw_run, in_group);

        if (ret->n_ended < P2P_MAX_RUNS)
            ret->ended[ret->n_ended++] = report_of(r, true);
    }
}

void p2p_sw_locate_fill(struct p2p_sw_group *g, struct p2p_locate *ret)
{
    *ret = (struct p2p_locate){ .blocks = g->blocks, .have = g->here, .again = g->is_located };
    memcpy(ret->group.version, g->d->version, P2P_VERSION_BYTES);
    ret->group.number = g->number;
    ret->leaves = !lacks(g) && g->n_runs == 0;
    fill_runs(g, ret);
    if (ret->leaves)
        return;
    ret->leases = runs_wanted(g);
    ret->complains = complains(g);
    g->asked_leases = ret->leases > 0;
    ret->peers = (uint8_t)el_min_u64(p2p_sw_places(g) * 2, P2P_MAX_NAMED);
    ret->others = (uint8_t)(are_few(g) ? others_that_lack(g) : 0);
    fill_want(g, ret);
}

static void locate(struct p2p_sw_group *g)
{
    g->is_locating = true;
    p2p_sw_push(g->d->s, &(struct p2p_move){
                             .kind = P2P_MOVE_LOCATE, .download = g->d, .first = g->number });
}

void p2p_sw_farewell(struct p2p_sw_group *g)
{
    struct p2p_swarm *s = g->d->s;
    struct p2p_sw_farewell *f;

    if (!g->is_located || g->is_quiet)
        return;
    f = el_new(struct p2p_sw_farewell);
    while (!el_list_empty(&g->runs)) {
        struct p2p_sw_run *r = EL_ENTRY(g->runs.next, struct p2p_sw_run, in_group);
        struct p2p_lease_end e = report_of(r, false);

        drop_run(g, r);
        note_end(g, &e);
    }
    memset(&g->want, 0, sizeof(g->want));
    p2p_sw_locate_fill(g, &f->locate);
    el_list_append(&s->farewells, &f->in_swarm);
}

static void take_lease(struct p2p_sw_group *g, const struct p2p_lease *l)
{
    unsigned end = (unsigned)l->first + l->count, last_chunk = (end - 1) / P2P_CHUNK_BLOCKS;
    bool any = false;

    if (l->count == 0 || end > g->blocks || l->first / P2P_CHUNK_BLOCKS != last_chunk ||
        (l->id & P2P_LEASE_OWN) != 0 || run_by_id(g, l->id) != NULL)
        return;
    for (unsigned b = l->first; b < end; b++)
        any = any || !p2p_blockset_has(&g->here, b);
    if (!any || g->n_runs >= MAX_RUNS || g->d->reach == P2P_REACH_NONE) {
        note_end(g, &(struct p2p_lease_end){ .id = l->id, .first = l->first, .count = l->count });
        return;
    }
    start_run(g, l->first, l->count, l->id, P2P_REASON_LEASE);
    g->locate_at = el_min_u64(g->locate_at, g->d->s->now + l->ttl_ms / REPORTS);
}

static void cut(struct p2p_sw_group *g, const struct p2p_lease_cut *c)
{
    struct p2p_sw_run *r = run_by_id(g, c->id);

    if (r == NULL || c->count >= r->count)
        return;
    shorten(r, g, c->count > r->done ? c->count : r->done);
    p2p_sw_push(g->d->s,
                &(struct p2p_move){
                    .kind = P2P_MOVE_STOP, .download = g->d, .run = r->number, .count = r->count });
}

/* The more are in the same need, the longer: the first ones give to the others. */
static void wait_dry(struct p2p_sw_group *g, uint64_t least_ms)
{
    uint64_t others = count_others(g);

    g->dry_until =
        g->d->s->now + least_ms + el_rng_below(&g->d->s->rng, (1 + others) * DRY_AGAIN_MS);
}

void p2p_sw_dry(struct p2p_sw_group *g)
{
    if (g->dry_until != UINT64_MAX)
        wait_dry(g, 0);
}

/*
 * No lease was to be had, and nobody read, nor this node: then the tracker believes that all is had
 * by somebody. It stays so until there is a lease again.
 */
static void note_dry(struct p2p_sw_group *g, const struct p2p_located *located)
{
    if (located->n_leases > 0)
        g->dry_until = UINT64_MAX;
    else if (g->dry_until == UINT64_MAX && g->asked_leases && g->n_runs == 0 &&
             p2p_blockset_is_empty(&located->coming))
        wait_dry(g, DRY_MS);
}

void p2p_swarm_on_located(struct p2p_download *d, uint64_t now, uint32_t group,
                          const struct p2p_located *located)
{
    struct p2p_sw_group *g = group < d->n_groups ? d->groups[group] : NULL;

    d->s->now = now;
    if (g == NULL || !g->is_locating)
        return;
    g->is_locating = false;
    if (!g->is_located)
        g->began_at = g->fed_at = now;
    g->is_located = true;
    g->failed = 0;
    g->n_ended -= g->n_reported;
    memmove(g->ended, g->ended + g->n_reported, g->n_ended * sizeof(g->ended[0]));
    g->n_reported = 0;
    g->located_at = now;
    g->coming = located->coming;
    if (located->taking > 0)
        g->taking = located->taking - 1u;
    note_dry(g, located);
    g->locate_at = g->n_ended > 0 || g->asks_anew ? now : now + located->again_ms;
    g->asks_anew = false;
    for (size_t i = 0; i < located->n_cuts && i < P2P_MAX_RUNS; i++)
        cut(g, &located->cuts[i]);
    for (size_t i = 0; i < located->n_leases && i < P2P_MAX_RUNS; i++)
        take_lease(g, &located->leases[i]);
    p2p_sw_takers(g, located->takers, el_min_size(located->n_takers, P2P_MAX_NAMED));
}

void p2p_swarm_on_locate_failed(struct p2p_download *d, uint64_t now, uint32_t group)
{
    struct p2p_sw_group *g = group < d->n_groups ? d->groups[group] : NULL;
    uint64_t ms;

    d->s->now = now;
    if (g == NULL || !g->is_locating)
        return;
    g->is_locating = false;
    g->n_reported = 0;
    ms = el_min_u64((uint64_t)RETRY_MS << (g->failed < 8 ? g->failed : 8), MAX_RETRY_MS);
    g->locate_at = now + ms + el_rng_below(&d->s->rng, ms);
    if (++g->failed == NO_TRACKER)
        g->alone_at = now + ALONE_MS + el_rng_below(&d->s->rng, 2 * ALONE_MS);
    p2p_sw_dirty(g);
}

void p2p_swarm_located_by(struct p2p_download *d, uint32_t group, uint64_t node)
{
    struct p2p_sw_group *g = group < d->n_groups ? d->groups[group] : NULL;

    if (g == NULL || g->tracker == node)
        return;
    g->tracker_before = g->tracker;
    g->tracker = node;
}

/* Many that read nothing would overrun the next one: they ask it when they would have asked. */
static void ask_next(struct p2p_sw_group *g)
{
    if (g->n_runs == 0 && !are_few(g))
        return;
    g->asks_anew = g->is_locating; /* that question may speak of the one that is gone */
    g->locate_at = g->d->s->now;
    p2p_sw_dirty(g);
}

void p2p_swarm_tracker_lost(struct p2p_swarm *s, uint64_t now, uint64_t node)
{
    struct el_list *d, *it;

    s->now = now;
    for (d = s->downloads.next; d != &s->downloads; d = d->next) {
        struct el_list *active = &EL_ENTRY(d, struct p2p_download, in_swarm)->active;

        for (it = active->next; it != active; it = it->next) {
            struct p2p_sw_group *g = EL_ENTRY(it, struct p2p_sw_group, in_download);

            if (g->tracker == node || g->tracker_before == node)
                ask_next(g);
        }
    }
}

void p2p_swarm_on_named(struct p2p_download *d, uint64_t now, uint32_t group,
                        const struct p2p_taker *takers, size_t n)
{
    struct p2p_sw_group *g = group < d->n_groups ? d->groups[group] : NULL;

    d->s->now = now;
    if (g != NULL && g->failed > 0)
        p2p_sw_takers(g, takers, n);
}

/* ---- the origin, without a lease ---- */

/* Somebody who may be asked, and who has not kept us waiting for nothing. */
static bool has_giver(const struct p2p_sw_group *g, unsigned block)
{
    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++) {
        const struct p2p_sw_peer *p = g->nb[i].peer;

        if (p != NULL && p->slow == 0 && p2p_blockset_has(&g->nb[i].has, block) &&
            p2p_sw_peer_may_be_asked(g->d->s, p))
            return true;
    }
    return false;
}

/* Blocks from here on, in the chunk, that this node does not read, and behind the first nobody
 * gives. */
static unsigned stretch(const struct p2p_sw_group *g, unsigned first, unsigned most)
{
    unsigned end = (first / P2P_CHUNK_BLOCKS + 1) * P2P_CHUNK_BLOCKS, n = 0;

    while (n < most && first + n < end && first + n < g->blocks &&
           p2p_blockset_has(&g->want, first + n) && !p2p_blockset_has(&g->here, first + n) &&
           !p2p_blockset_has(&g->mine, first + n) && (n == 0 || !has_giver(g, first + n)))
        n++;
    return n;
}

static bool may_ask_origin(const struct p2p_download *d)
{
    return d->reach != P2P_REACH_NONE && d->s->now >= d->origin_at;
}

/* False: not in the reach, or there already. */
static bool read_unleased(struct p2p_sw_group *g, unsigned first, unsigned most,
                          enum p2p_reason reason)
{
    struct p2p_download *d = g->d;
    unsigned n;

    if (d->reach == P2P_REACH_EXACT) {
        if (exact_open(g) == 0)
            return false;
        first = (unsigned)(d->reach_first % P2P_GROUP_BLOCKS);
        n = (unsigned)(d->reach_end - d->reach_first);
    } else {
        n = stretch(g, first, most);
    }
    if (n == 0 || g->n_runs >= MAX_RUNS)
        return false;
    start_run(g, first, n, 0, reason);
    return true;
}

static bool is_orphan(const struct p2p_sw_group *g, unsigned block)
{
    return stretch(g, block, 1) == 1 && !p2p_blockset_has(&g->coming, block) &&
           !has_giver(g, block);
}

/* Where the reader waits, otherwise anywhere: others are in the same need, and start elsewhere. */
static unsigned start_of(struct p2p_sw_group *g)
{
    uint64_t base = (uint64_t)g->number * P2P_GROUP_BLOCKS, urgent = g->d->urgent;
    unsigned from = (unsigned)el_rng_below(&g->d->s->rng, g->blocks);

    if (urgent >= base && urgent < base + g->blocks && is_orphan(g, (unsigned)(urgent - base)) &&
        el_rng_below(&g->d->s->rng, 4) == 0)
        return (unsigned)(urgent - base);
    for (unsigned i = 0; i < g->blocks; i++)
        if (is_orphan(g, (from + i) % g->blocks))
            return (from + i) % g->blocks;
    return P2P_GROUP_BLOCKS;
}

static void read_without_tracker(struct p2p_sw_group *g)
{
    while (g->n_runs < OWN_RUNS) {
        unsigned first = start_of(g);

        if (first == P2P_GROUP_BLOCKS ||
            !read_unleased(g, first, ALONE_BLOCKS, P2P_REASON_NO_TRACKER))
            return;
    }
}

void p2p_sw_runs(struct p2p_sw_group *g)
{
    uint64_t now = g->d->s->now;
    bool wants = lacks(g) || g->n_runs > 0;

    if (wants)
        g->is_quiet = false;
    else if (!g->is_located || g->is_quiet)
        return;
    if (may_complain(g) && complains(g))
        g->locate_at = now;
    if (!g->is_locating && (now >= g->locate_at || !wants)) {
        g->is_quiet = !wants;
        locate(g);
    }
    if (g->n_runs > 0 && is_behind(g))
        give_back(g);
    if (g->failed >= NO_TRACKER && wants && now >= g->alone_at && may_ask_origin(g->d))
        read_without_tracker(g);
}

/* ---- what nobody brings ---- */

/* Where the reader waits; else the first block that lacks. NULL: none does. */
static struct p2p_sw_group *foremost(const struct p2p_download *d, unsigned *ret_block)
{
    struct p2p_sw_group *best = NULL;

    if (d->urgent < d->blocks) {
        unsigned b = (unsigned)(d->urgent % P2P_GROUP_BLOCKS);

        best = d->groups[d->urgent / P2P_GROUP_BLOCKS];
        *ret_block = b;
        if (best != NULL && p2p_blockset_has(&best->want, b) && !p2p_blockset_has(&best->here, b))
            return best;
    }
    best = NULL;
    for (struct el_list *it = d->active.next; it != &d->active; it = it->next) {
        struct p2p_sw_group *g = EL_ENTRY(it, struct p2p_sw_group, in_download);

        if (lacks(g) && (best == NULL || g->number < best->number))
            best = g;
    }
    for (unsigned b = 0; best != NULL && b < best->blocks; b++)
        if (p2p_blockset_has(&best->want, b) && !p2p_blockset_has(&best->here, b)) {
            *ret_block = b;
            break;
        }
    return best;
}

/* Where blocks take long nothing has stalled because none came for a while. */
static uint64_t slow_patience(const struct p2p_swarm *s)
{
    double took = s->took > s->stream_took ? s->took : s->stream_took;

    return took == 0 ? BUSY_PATIENCE_MS : el_min_u64((uint64_t)(SLOW_TIMES * took), MAX_SLOW_MS);
}

/* A reader that waits while other blocks come has much patience, if somebody has its block. */
static bool is_stalled(const struct p2p_download *d, const struct p2p_sw_group *g, unsigned block)
{
    uint64_t now = d->s->now, patience = el_max_u64(d->patience >> d->hedges, LEAST_PATIENCE_MS);

    if (!p2p_blockset_is_empty(&g->begun))
        patience = el_max_u64(patience, slow_patience(d->s));
    if (p2p_blockset_has(&g->coming, block))
        patience = el_max_u64(patience, COMING_PATIENCE_MS);
    if (now - d->moved_at > patience)
        return true;
    if (g->holders[block] > 0)
        patience = el_max_u64(patience, BUSY_PATIENCE_MS);
    return p2p_sw_number(g, block) == d->urgent && now - d->urgent_at > patience;
}

static void hedge(struct p2p_sw_group *g, unsigned block)
{
    struct p2p_download *d = g->d;

    if (may_ask_origin(d) &&
        read_unleased(g, block, 1u << (d->hedges < 4 ? d->hedges : 4), P2P_REASON_HEDGE))
        d->hedges += d->hedges < 8;
}

/* What only liars and the mute have the tracker does not lease. */
static void adopt_orphans(struct p2p_sw_group *g)
{
    const struct p2p_download *d = g->d;
    unsigned block;

    if (g->n_runs > 0 || d->s->now < g->dry_until || g->dry_until == UINT64_MAX)
        return;
    wait_dry(g, DRY_AGAIN_MS);
    block = start_of(g);
    if (block < P2P_GROUP_BLOCKS)
        hedge(g, block);
}

void p2p_sw_hedge(struct p2p_download *d)
{
    unsigned block = 0;
    struct p2p_sw_group *g = foremost(d, &block);

    for (struct el_list *it = d->active.next; it != &d->active; it = it->next)
        adopt_orphans(EL_ENTRY(it, struct p2p_sw_group, in_download));
    if (g == NULL || p2p_blockset_has(&g->mine, block) || !is_stalled(d, g, block))
        return;
    if (d->reach != P2P_REACH_NONE) {
        hedge(g, block);
        return;
    }
    d->moved_at = d->urgent_at = d->s->now;
    p2p_sw_push(d->s, &(struct p2p_move){ .kind = P2P_MOVE_FAIL,
                                          .download = d,
                                          .first = p2p_sw_number(g, block),
                                          .code = EL_ENOTCACHED });
}

uint64_t p2p_sw_due(const struct p2p_sw_group *g)
{
    uint64_t due = g->d->s->ticked_at + P2P_SW_TICK_MS;

    if (!lacks(g) && g->n_runs == 0)
        return UINT64_MAX;
    return g->is_locating ? due : el_min_u64(due, g->locate_at);
}
