/* SPDX-License-Identifier: MIT */
/*
 * tracker_locate: a question and its answer; see tracker_group.h. First what the node says counts:
 * how its runs went, what it has. Then what it is given.
 */
#include "p2p/tracker_group.h"

/* So that a group has no more than 500 questions a second, however many take it. */
#define MS_A_TAKER  2u
#define LEAST_AGAIN 250u
#define MOST_AGAIN  10000u
#define NOTHING_NEW 1000u
#define WITH_RUNS   (P2P_LEASE_TTL_MS / 4)

/*
 * In which those who take a group are all heard, when this has just become its tracker, or is asked
 * in place of one that lives: then what is granted before is what somebody reads already, or has.
 */
#define QUIET_MS 1500u
/* Who waits for that asks every 0.25 s (silence.h): they have all been answered by the other one.
 */
#define LULL_MS 1000u
/* All who take ask more often, or are so many that some do: then another one is asked. */
#define FORSAKEN_MS 5000u

/* Who says that it was located before, and is not known here: it was by another tracker. */
static bool is_from_another(const struct p2p_tgroup *g, uint64_t from, const struct p2p_locate *l)
{
    const struct p2p_holder *h = p2p_tgroup_holder(g, from);

    return l->again && !l->leaves && (h == NULL || h->taking == NULL);
}

/* What it has, and what its runs have brought. */
static void said(const struct p2p_locate *l, struct p2p_blockset *ret_have,
                 struct p2p_blockset *ret_want)
{
    *ret_have = l->have;
    *ret_want = l->want;
    for (size_t i = 0; i < l->n_ended; i++) {
        for (unsigned b = 0; b < l->ended[i].done; b++) {
            p2p_blockset_add(ret_have, l->ended[i].first + b);
            p2p_blockset_remove(ret_want, l->ended[i].first + b);
        }
    }
}

/*
 * Of those who were located elsewhere before as many as they say that there are, by the highest
 * number. Who comes for the first time has nothing to say, and may be known to nobody yet.
 */
static bool are_all_heard(const struct p2p_tgroup *g)
{
    unsigned most = 0, heard = 0;

    for (uint32_t i = 0; i < g->n; i++) {
        const struct p2p_taking *k = g->v[i].taking;

        if (k == NULL || k->has_left || !k->has_moved)
            continue;
        heard++;
        most = k->others > most ? k->others : most;
    }
    return most > 0 && heard > most;
}

static bool has_moved(const struct p2p_tgroup *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (g->v[i].taking != NULL && g->v[i].taking->has_moved)
            return true;
    return false;
}

/* The other tracker granted meanwhile, and this one did not. */
static bool is_asked_anew(const struct p2p_flight *f, uint64_t now)
{
    return now == f->began || (!f->has_granted && now - f->heard >= LULL_MS);
}

static void hear(struct p2p_tgroup *g, uint64_t now, struct p2p_holder *h,
                 const struct p2p_locate *l, bool is_new, bool stands_in)
{
    struct p2p_flight *f = g->flight;
    bool begins = stands_in && is_asked_anew(f, now), is_over;

    f->heard = now;
    h->taking->others = l->others;
    h->taking->has_moved = h->taking->has_moved || is_new;
    f->stands_in = f->stands_in || begins;
    if (is_new || begins)
        f->quiet_until = el_max_u64(f->quiet_until, (begins ? now : f->began) + QUIET_MS);
    /* The other is gone, and nobody has said that it had granted anything. */
    is_over = f->stands_in && !stands_in && !has_moved(g);
    if (now < f->quiet_until && (is_over || are_all_heard(g)))
        f->quiet_until = now;
}

static uint32_t again_ms(struct p2p_tracker *t, const struct p2p_tgroup *g,
                         const struct p2p_holder *h)
{
    struct p2p_blockset open;
    uint64_t ms = el_max_u64((uint64_t)g->flight->takers * MS_A_TAKER, LEAST_AGAIN);

    for (size_t i = 0; i < EL_COUNT(open.w); i++)
        open.w[i] = h->taking->want.w[i] & ~(g->flight->known.w[i] | g->flight->leased.w[i]);
    ms = el_min_u64(ms, MOST_AGAIN);
    if (p2p_runs_has_any(g, h->node))
        ms = el_min_u64(ms, WITH_RUNS);
    else if (p2p_blockset_is_empty(&open))
        ms = el_max_u64(ms, NOTHING_NEW);
    return (uint32_t)(ms - ms / 5 + el_rng_below(&t->rng, 2 * (ms / 5) + 1));
}

static void answer(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now, struct p2p_holder *h,
                   const struct p2p_locate *l, struct p2p_located *ret)
{
    struct p2p_blockset have, want;
    uint64_t node = h->node;

    p2p_runs_lapse(t, g, now);
    p2p_runs_report(t, g, now, h, l, ret);
    said(l, &have, &want);
    p2p_tgroup_doubt(t, g, now, h, l, &have);
    h = p2p_tgroup_holder(g, node);
    p2p_tgroup_said(g, h, &have, &want);
    if (l->leaves) {
        p2p_tgroup_leave(t, g, now, h);
        return;
    }
    p2p_runs_grant(t, g, now, h, l, ret);
    p2p_runs_coming(g, h->node, &ret->coming);
    p2p_name_takers(t, g, h, l, ret);
    if (now >= g->flight->quiet_until)
        ret->taking = (uint16_t)el_min_u64(g->flight->takers, UINT16_MAX);
    ret->again_ms = again_ms(t, g, h);
}

/* What they said when this node was last asked in place of another is not true any more. */
static void forget_forsaken(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now)
{
    if (g->flight != NULL && now - g->flight->heard >= FORSAKEN_MS)
        p2p_tgroup_forsake(t, g, now);
}

static void doubt_silent(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                         const struct p2p_in_place *in_place)
{
    if (in_place == NULL || in_place->may_answer)
        return;
    for (size_t i = 0; i < in_place->n; i++)
        p2p_tgroup_doubt_silent(t, g, now, in_place->nodes[i]);
}

enum el_err p2p_tracker_locate(struct p2p_tracker *t, uint64_t now, uint64_t from,
                               const struct p2p_in_place *in_place, const struct p2p_locate *locate,
                               struct p2p_located *ret)
{
    struct p2p_tgroup *g;
    struct p2p_holder *h;
    enum el_err rc = EL_EFULL;
    bool is_new;

    EL_ASSERT(p2p_locate_is_fine(locate));
    g = p2p_tgroup_get(t, &locate->group);
    if (g == NULL)
        return EL_EFULL;
    if (g->blocks == 0)
        g->blocks = locate->blocks;
    if (g->blocks != locate->blocks)
        return EL_EINVAL;
    if (in_place != NULL)
        forget_forsaken(t, g, now);
    is_new = is_from_another(g, from, locate);
    h = p2p_tgroup_taker(t, g, now, from);
    if (h != NULL) {
        hear(g, now, h, locate, is_new, in_place != NULL && in_place->may_answer);
        doubt_silent(t, g, now, in_place);
        h = p2p_tgroup_holder(g, from);
        *ret = (struct p2p_located){ 0 };
        answer(t, g, now, h, locate, ret);
        rc = EL_OK;
    }
    p2p_tgroup_settle(t, g);
    return rc;
}
