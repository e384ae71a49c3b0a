/* SPDX-License-Identifier: MIT */
/*
 * The origin without a lease, in swarm.h: where no tracker answers, and where what others were to
 * bring does not come (hedges).
 */
#include "p2p/swarm_in.h"

/* Runs without a lease at a time, where there is no tracker: the gap between two is filled. */
#define OWN_RUNS 2u
/* Of one of them: soon the others see what is there. */
#define ALONE_BLOCKS 4u
/* A lease of somebody else that brings nothing lapses at the tracker first, if that lives. */
#define COMING_PATIENCE_MS (P2P_LEASE_TTL_MS + 2000u)
#define MOST_PATIENCE_MS   (P2P_LEASE_MOST_MS + 2000u)
#define LEAST_PATIENCE_MS  50u
/* Blocks that are coming may take so many times as long as others took. */
#define SLOW_TIMES       2.0
#define MAX_SLOW_MS      P2P_LEASE_MOST_MS
#define BUSY_PATIENCE_MS 15000u

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

bool p2p_swarm_needs_origin(const struct p2p_download *d, uint64_t first, uint64_t end)
{
    const struct p2p_sw_group *g = d->groups[first / P2P_GROUP_BLOCKS];

    for (uint64_t at = first; g != NULL && at < end; at++) {
        unsigned b = (unsigned)(at % P2P_GROUP_BLOCKS);

        if (!p2p_blockset_has(&g->here, b) && !p2p_blockset_has(&g->mine, b) &&
            !p2p_blockset_has(&g->asked, b) && !has_giver(g, b))
            return true;
    }
    return g == NULL;
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

bool p2p_sw_may_ask_origin(const struct p2p_download *d)
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
        if (p2p_sw_exact_open(g) == 0)
            return false;
        first = (unsigned)(d->reach_first % P2P_GROUP_BLOCKS);
        n = (unsigned)(d->reach_end - d->reach_first);
    } else {
        n = stretch(g, first, most);
    }
    if (n == 0 || g->n_runs >= P2P_SW_MAX_RUNS)
        return false;
    p2p_sw_run_start(g, first, n, 0, reason);
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

void p2p_sw_read_without_tracker(struct p2p_sw_group *g)
{
    while (g->n_runs < OWN_RUNS) {
        unsigned first = start_of(g);

        if (first == P2P_GROUP_BLOCKS ||
            !read_unleased(g, first, ALONE_BLOCKS, P2P_REASON_NO_TRACKER))
            return;
    }
}

/* ---- what nobody brings ---- */

/* Of the one range that can be read the first block that lacks; NULL: nobody is to read it. */
static struct p2p_sw_group *in_reach(const struct p2p_download *d, unsigned *ret_block)
{
    struct p2p_sw_group *g = d->groups[d->reach_first / P2P_GROUP_BLOCKS];
    unsigned b = (unsigned)(d->reach_first % P2P_GROUP_BLOCKS);

    if (g == NULL || p2p_sw_exact_open(g) == 0)
        return NULL;
    while (p2p_blockset_has(&g->here, b))
        b++;
    *ret_block = b;
    return g;
}

/*
 * Where the reader waits; else the first block that lacks. NULL: none does. Where one range is all
 * that can be read, nothing can be done elsewhere, whoever waits there.
 */
static struct p2p_sw_group *foremost(const struct p2p_download *d, unsigned *ret_block)
{
    struct p2p_sw_group *best = NULL;

    if (d->reach == P2P_REACH_EXACT)
        return in_reach(d, ret_block);
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

        if (p2p_sw_lacks(g) && (best == NULL || g->number < best->number))
            best = g;
    }
    for (unsigned b = 0; best != NULL && b < best->blocks; b++)
        if (p2p_blockset_has(&best->want, b) && !p2p_blockset_has(&best->here, b)) {
            *ret_block = b;
            break;
        }
    return best;
}

/* So many times what blocks take here; 0: not known. */
static uint64_t slow_times(const struct p2p_sw_group *g, double times)
{
    const struct p2p_swarm *s = g->d->s;
    double took = s->took;

    if (took < s->stream_took && !p2p_blockset_is_empty(&g->streams))
        took = s->stream_took;
    return el_min_u64((uint64_t)(times * took), MAX_SLOW_MS);
}

/* Where blocks take long nothing has stalled because none came for a while. */
static uint64_t slow_patience(const struct p2p_sw_group *g)
{
    uint64_t ms = slow_times(g, SLOW_TIMES);

    return ms == 0 ? BUSY_PATIENCE_MS : ms;
}

/* Of a reader whose block others have, while other blocks come. */
static uint64_t busy_patience(const struct p2p_sw_group *g)
{
    return el_max_u64(BUSY_PATIENCE_MS, slow_times(g, 2 * SLOW_TIMES));
}

/* The origin may be slow for all; the tracker takes back what others would read faster. */
static uint64_t coming_patience(const struct p2p_sw_group *g)
{
    return g->failed == 0 && g->d->s->now - g->located_at < COMING_PATIENCE_MS ? MOST_PATIENCE_MS
                                                                               : COMING_PATIENCE_MS;
}

/*
 * Nobody reads it, and this node asks to, or reads what it was given: what others read goes first.
 * The tracker lets so many read as make the origin fastest, and leases it when one of them is done.
 */
static bool is_in_line(const struct p2p_sw_group *g, unsigned block)
{
    return g->holders[block] == 0 && !p2p_blockset_is_empty(&g->coming) &&
           (g->asked_leases || g->n_runs > 0);
}

/* A reader that waits while other blocks come has much patience, if somebody has its block. */
static bool is_stalled(const struct p2p_download *d, const struct p2p_sw_group *g, unsigned block)
{
    uint64_t now = d->s->now, patience = el_max_u64(d->patience >> d->hedges, LEAST_PATIENCE_MS);

    if (!p2p_blockset_is_empty(&g->begun))
        patience = el_max_u64(patience, slow_patience(g));
    if (g->asked_of[block] != 0)
        patience = el_max_u64(patience, slow_times(g, SLOW_TIMES));
    if (p2p_blockset_has(&g->coming, block))
        patience = el_max_u64(patience, coming_patience(g));
    else if (is_in_line(g, block))
        patience = el_max_u64(patience, COMING_PATIENCE_MS);
    if (now - d->moved_at > patience)
        return true;
    if (g->holders[block] > 0)
        patience = el_max_u64(patience, busy_patience(g));
    return p2p_sw_number(g, block) == d->urgent && now - d->urgent_at > patience;
}

static void hedge(struct p2p_sw_group *g, unsigned block)
{
    struct p2p_download *d = g->d;

    if (p2p_sw_may_ask_origin(d) &&
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
    p2p_sw_wait_dry(g, P2P_SW_DRY_AGAIN_MS);
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
