/* SPDX-License-Identifier: MIT */
/*
 * Questions of swarm.h to trackers: when one is due, what it says, and what follows from the
 * answer: leases, cuts, who takes part, complaints about those who give nothing.
 */
#include "p2p/swarm_in.h"

#define SHARED_RUNS 8u /* divided by how many others take part */
/* Who lacks so many more blocks that most have than it has itself reads nothing for them. */
#define BEHIND_BLOCKS 8u
/* Who has read at one block for so long: what comes faster has left the origin by then. */
#define GIVE_BACK_MS 100u
/* Questions in a row that fail before there is no tracker, and when the next one goes out. */
#define NO_TRACKER   2u
#define ALONE_MS     300u /* and up to two times as long again: not all at once */
#define RETRY_MS     100u
#define MAX_RETRY_MS 5000u
/* A run is reported so many times in its time to live. */
#define REPORTS 3u
/* So long at first: the next answer may have a lease. */
#define DRY_MS 2000u
/* Whom nothing reaches for so long (so long for each block that has begun, which share its link),
 * and for so many times what blocks take, tells the tracker. */
#define STARVE_MS       500u
#define STARVE_LINK_MS  2000u /* while a link to somebody is made, which may take a second */
#define STARVE_BEGUN_MS 1000u
#define STARVE_AGAIN_MS 250u
#define MS_A_TAKER      2u /* so that a tracker has no more questions than it asks for itself */
#define STARVE_TIMES    4.0
#define LIED_MS         5000u /* who was given a bad block says so for so long */

/* ---- what a question says ---- */

bool p2p_sw_lacks(const struct p2p_sw_group *g)
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
unsigned p2p_sw_exact_open(const struct p2p_sw_group *g)
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
        return g->is_located ? P2P_SW_MAX_RUNS : 1;
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

bool p2p_sw_are_few(const struct p2p_sw_group *g)
{
    return others_that_lack(g) <= P2P_FEW;
}

static unsigned runs_that_last(const struct p2p_sw_group *g)
{
    unsigned n = 0;

    for (struct el_list *it = g->runs.next; it != &g->runs; it = it->next)
        n += !p2p_sw_run_ends_soon(EL_ENTRY(it, const struct p2p_sw_run, in_group));
    return n;
}

static void shorten(struct p2p_sw_run *r, struct p2p_sw_group *g, unsigned count)
{
    for (unsigned b = r->first + count; b < (unsigned)r->first + r->count; b++)
        p2p_blockset_remove(&g->mine, b);
    r->count = (uint8_t)count;
}

/* Blocks that are wanted here and that this neighbour has. */
static unsigned could_give(const struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb)
{
    unsigned n = 0;

    for (size_t i = 0; i < EL_COUNT(g->want.w); i++)
        n += (unsigned)__builtin_popcountll(nb->has.w[i] & g->want.w[i] & ~g->here.w[i]);
    return n;
}

/*
 * Most others that take part have far more of what is wanted here: what this node read they would
 * wait for, its links are slow. What they have elsewhere says nothing: they may read another part.
 */
static bool is_behind(const struct p2p_sw_group *g)
{
    unsigned far = p2p_blockset_count(&g->here) + BEHIND_BLOCKS;
    unsigned n = 0, ahead = 0;

    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++) {
        if (g->nb[i].peer == NULL || !g->nb[i].is_taking)
            continue;
        n++;
        ahead += could_give(g, &g->nb[i]) > far;
    }
    return n > 0 && ahead >= n - n / 2;
}

void p2p_sw_locate_now(struct p2p_sw_group *g)
{
    g->locate_at = g->d->s->now;
    g->asks_anew = g->asks_anew || g->is_locating; /* what is under way was said before */
    p2p_sw_dirty(g);
}

/*
 * What it has begun it reads to the end of the block; the rest is for others. Not of a signed
 * range: whoever reads the rest has to read all of it.
 */
static void give_back(struct p2p_sw_group *g)
{
    for (struct el_list *it = g->runs.next; it != &g->runs; it = it->next) {
        struct p2p_sw_run *r = EL_ENTRY(it, struct p2p_sw_run, in_group);

        if (r->is_adopted || r->is_exact || r->reason != P2P_REASON_LEASE ||
            r->done + 1 >= r->count || g->d->s->now - r->block_at < GIVE_BACK_MS)
            continue;
        p2p_sw_push(g->d->s, &(struct p2p_move){ .kind = P2P_MOVE_STOP,
                                                 .download = g->d,
                                                 .run = r->number,
                                                 .count = r->done + 1u });
        shorten(r, g, r->done + 1u);
        r->gives_back = true;
        p2p_sw_locate_now(g);
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

/* Others are said to have some of what it lacks: whom it follows, or, as nobody reads, anybody. */
static bool is_had(const struct p2p_sw_group *g)
{
    for (unsigned b = p2p_blockset_next(&g->want, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&g->want, b + 1))
        if (g->holders[b] > 0 && !p2p_blockset_has(&g->here, b))
            return true;
    return p2p_blockset_is_empty(&g->coming);
}

/* Nothing of it comes from anywhere, and has not for a while. */
static bool starves(const struct p2p_sw_group *g)
{
    const struct p2p_swarm *s = g->d->s;
    uint64_t patience = el_max_u64(STARVE_MS, STARVE_BEGUN_MS * p2p_blockset_count(&g->begun));

    patience = el_max_u64(patience, (uint64_t)(STARVE_TIMES * s->took));
    if (waits_for_link(g))
        patience = el_max_u64(patience, STARVE_LINK_MS);
    return g->is_located && g->n_runs == 0 && s->now - g->fed_at > patience && p2p_sw_lacks(g) &&
           is_had(g);
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
        return p2p_sw_exact_open(g) == d->reach_end - d->reach_first; /* leased as a whole */
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
            ret->ended[ret->n_ended++] = p2p_sw_run_report(r, g->d->s->now, true);
    }
}

void p2p_sw_locate_fill(struct p2p_sw_group *g, struct p2p_locate *ret)
{
    *ret = (struct p2p_locate){ .blocks = g->blocks, .have = g->here, .again = g->is_located };
    memcpy(ret->group.version, g->d->version, P2P_VERSION_BYTES);
    ret->group.number = g->number;
    ret->leaves = !p2p_sw_lacks(g) && g->n_runs == 0;
    fill_runs(g, ret);
    if (ret->leaves)
        return;
    ret->leases = runs_wanted(g);
    ret->complains = complains(g);
    g->asked_leases = ret->leases > 0;
    ret->peers = (uint8_t)el_min_u64(p2p_sw_places(g) * 2, P2P_MAX_NAMED);
    ret->others = (uint8_t)(p2p_sw_are_few(g) ? others_that_lack(g) : 0);
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
        struct p2p_lease_end e = p2p_sw_run_report(r, s->now, false);

        p2p_sw_run_drop(g, r);
        p2p_sw_run_ended(g, &e);
    }
    memset(&g->want, 0, sizeof(g->want));
    p2p_sw_locate_fill(g, &f->locate);
    el_list_append(&s->farewells, &f->in_swarm);
}

/* ---- what the answer says ---- */

static void take_lease(struct p2p_sw_group *g, const struct p2p_lease *l)
{
    unsigned end = (unsigned)l->first + l->count, last_chunk = (end - 1) / P2P_CHUNK_BLOCKS;
    bool any = false;

    if (l->count == 0 || end > g->blocks || l->first / P2P_CHUNK_BLOCKS != last_chunk ||
        (l->id & P2P_LEASE_OWN) != 0 || p2p_sw_run_by_id(g, l->id) != NULL)
        return;
    for (unsigned b = l->first; b < end; b++)
        any = any || !p2p_blockset_has(&g->here, b);
    if (!any || g->n_runs >= P2P_SW_MAX_RUNS || g->d->reach == P2P_REACH_NONE) {
        p2p_sw_run_ended(
            g, &(struct p2p_lease_end){ .id = l->id, .first = l->first, .count = l->count });
        return;
    }
    p2p_sw_run_start(g, l->first, l->count, l->id, P2P_REASON_LEASE);
    g->locate_at = el_min_u64(g->locate_at, g->d->s->now + l->ttl_ms / REPORTS);
}

static void cut(struct p2p_sw_group *g, const struct p2p_lease_cut *c)
{
    struct p2p_sw_run *r = p2p_sw_run_by_id(g, c->id);

    if (r == NULL || c->count >= r->count)
        return;
    shorten(r, g, c->count > r->done ? c->count : r->done);
    p2p_sw_push(g->d->s,
                &(struct p2p_move){
                    .kind = P2P_MOVE_STOP, .download = g->d, .run = r->number, .count = r->count });
}

/* The more are in the same need, the longer: the first ones give to the others. */
void p2p_sw_wait_dry(struct p2p_sw_group *g, uint64_t least_ms)
{
    uint64_t others = count_others(g);

    g->dry_until =
        g->d->s->now + least_ms + el_rng_below(&g->d->s->rng, (1 + others) * P2P_SW_DRY_AGAIN_MS);
}

void p2p_sw_dry(struct p2p_sw_group *g)
{
    if (g->dry_until != UINT64_MAX)
        p2p_sw_wait_dry(g, 0);
}

/*
 * No lease was to be had, and nobody read, nor this node: then the tracker believes that all is had
 * by somebody. It stays so until there is a lease again. One that only listens grants nothing yet.
 */
static void note_dry(struct p2p_sw_group *g, const struct p2p_located *located)
{
    if (located->n_leases > 0)
        g->dry_until = UINT64_MAX;
    else if (g->dry_until == UINT64_MAX && located->taking > 0 && g->asked_leases &&
             g->n_runs == 0 && p2p_blockset_is_empty(&located->coming))
        p2p_sw_wait_dry(g, DRY_MS);
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
    if (g->n_runs == 0 && !p2p_sw_are_few(g))
        return;
    p2p_sw_locate_now(g); /* the question under way may speak of the one that is gone */
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

/* ---- when ---- */

void p2p_sw_runs(struct p2p_sw_group *g)
{
    uint64_t now = g->d->s->now;
    bool wants = p2p_sw_lacks(g) || g->n_runs > 0;

    if (wants)
        g->is_quiet = false;
    else if (!g->is_located || g->is_quiet)
        return;
    if (may_complain(g) && complains(g))
        g->locate_at = now;
    if (g->n_runs > 0 && is_behind(g))
        give_back(g);
    if (!g->is_locating && (now >= g->locate_at || !wants)) {
        g->is_quiet = !wants;
        locate(g);
    }
    if (g->failed >= NO_TRACKER && wants && now >= g->alone_at && p2p_sw_may_ask_origin(g->d))
        p2p_sw_read_without_tracker(g);
}

uint64_t p2p_sw_due(const struct p2p_sw_group *g)
{
    uint64_t due = g->d->s->ticked_at + P2P_SW_TICK_MS;

    if (!p2p_sw_lacks(g) && g->n_runs == 0)
        return UINT64_MAX;
    return g->is_locating ? due : el_min_u64(due, g->locate_at);
}
