/* SPDX-License-Identifier: MIT */
/*
 * tracker_doubt: holders that give nothing; see tracker_group.h. A block that somebody has, as it
 * was said, is leased to nobody. So one that only says so would keep all others waiting.
 *
 * What shows that they do not give: two takers (or one, for a while) read of their own accord,
 * without a lease, what only holders have that do not take; or most takers say that nothing comes,
 * or something wrong. And no taker has got anything of that kind lately. Then these holders are
 * forgotten, and not believed as long as the group is taken. That a taker has got a block from such
 * a holder is seen from its having one that no taker had or read.
 *
 * Nor is a holder believed in whose place this node is asked, once it counts as gone: who does not
 * answer as a tracker gives no blocks either.
 *
 * A taker that reads from the origin and gives to nobody is given no more to read; and when most
 * others complain, what only it has is leased to them.
 */
#include "p2p/tracker_group.h"

#define LATELY_MS 2000u
/* After so long the word of one is enough. */
#define ONE_ALONE_MS 1000u

static bool is_doubted(const struct p2p_flight *f, uint64_t node)
{
    for (unsigned i = 0; i < f->n_doubted; i++) {
        if (f->doubted[i] == node)
            return true;
    }
    return false;
}

bool p2p_tgroup_doubts(const struct p2p_tgroup *g, uint64_t node)
{
    return g->flight != NULL && is_doubted(g->flight, node);
}

static bool is_empty(const struct p2p_taking *k)
{
    return p2p_blockset_is_empty(&k->have) && p2p_blockset_is_empty(&k->want);
}

/* Wanted, and only holders that do not take have it. */
static bool wants_of_idle(const struct p2p_tgroup *g, const struct p2p_locate *l)
{
    struct p2p_blockset left = { 0 };

    for (size_t w = 0; w < EL_COUNT(left.w); w++)
        left.w[w] = l->want.w[w] & g->flight->known.w[w];
    for (uint32_t i = 0; i < g->n; i++) {
        const struct p2p_taking *k = g->v[i].taking;

        for (size_t w = 0; k != NULL && !k->has_left && w < EL_COUNT(left.w); w++)
            left.w[w] &= ~k->have.w[w];
    }
    return !p2p_blockset_is_empty(&left);
}

static bool is_wanting(const struct p2p_holder *h)
{
    const struct p2p_taking *k = h->taking;

    return k != NULL && !k->has_left && !p2p_blockset_is_empty(&k->want);
}

/* Three of four: the others may be those that a slow holder serves first. One alone may itself be
 * the slow one. */
static bool most_complain(const struct p2p_tgroup *g)
{
    unsigned n = 0, complaining = 0;

    for (uint32_t i = 0; i < g->n; i++) {
        if (!is_wanting(&g->v[i]) || g->v[i].taking->keeps)
            continue;
        n++;
        complaining += g->v[i].taking->complains;
    }
    return n > 1 && 4 * complaining >= 3 * n;
}

/* Only holders that do not take have some of it. */
static bool is_of_idle(const struct p2p_flight *f, const struct p2p_lease_end *e)
{
    for (unsigned b = e->first; b < (unsigned)e->first + e->count; b++) {
        if (p2p_blockset_has(&f->known, b) && !p2p_blockset_has(&f->brought, b))
            return true;
    }
    return false;
}

/* It had to read what it should have been given. */
static bool had_to_read(const struct p2p_flight *f, const struct p2p_locate *l)
{
    for (size_t i = 0; i < l->n_ended; i++) {
        if ((l->ended[i].id & P2P_LEASE_OWN) != 0 && is_of_idle(f, &l->ended[i]))
            return true;
    }
    return false;
}

/* What takers have, from wherever it came. */
static void note_brought(struct p2p_flight *f, uint64_t now, const struct p2p_locate *l,
                         const struct p2p_blockset *have, bool is_first)
{
    bool is_given = false;

    for (size_t i = 0; i < l->n_ended; i++) {
        unsigned n = l->ended[i].ok ? l->ended[i].count : l->ended[i].done;

        /* Others may have a block of it before this node says that it is whole. */
        for (unsigned b = 0; b < n; b++)
            p2p_blockset_add(&f->brought, l->ended[i].first + b);
    }
    for (size_t i = 0; i < EL_COUNT(have->w); i++) {
        is_given = is_given || (have->w[i] & ~f->brought.w[i]) != 0;
        f->brought.w[i] |= have->w[i];
    }
    if (is_given && !is_first)
        f->given = now;
}

static void doubt(struct p2p_tracker *t, struct p2p_flight *f, uint64_t now, uint64_t node)
{
    f->doubted[f->n_doubted++ % P2P_DOUBTED] = node;
    f->n_doubted = f->n_doubted > P2P_DOUBTED ? P2P_DOUBTED : f->n_doubted;
    p2p_runs_doubt(f, now, node);
    t->stats.doubted++;
}

static void doubt_idle(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now)
{
    for (uint32_t i = g->n; i-- > 0;) {
        struct p2p_holder *h = &g->v[i];

        if (h->taking != NULL && !h->taking->has_left)
            continue;
        doubt(t, g->flight, now, h->node);
        p2p_tgroup_drop(t, g, now, h);
    }
}

/* What others have as well is still believed. */
static void doubt_keepers(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now)
{
    for (uint32_t i = 0; i < g->n; i++) {
        struct p2p_holder *h = &g->v[i];
        struct p2p_blockset have, want;

        if (h->taking == NULL || !p2p_runs_keeps(g, now, h) || is_doubted(g->flight, h->node))
            continue;
        doubt(t, g->flight, now, h->node);
        have = h->taking->have;
        want = h->taking->want;
        p2p_tgroup_said(g, h, &have, &want);
    }
}

void p2p_tgroup_doubt_silent(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                             uint64_t node)
{
    struct p2p_holder *h = p2p_tgroup_holder(g, node);

    if (h == NULL || (h->taking != NULL && !h->taking->has_left))
        return;
    doubt(t, g->flight, now, node);
    p2p_tgroup_drop(t, g, now, h);
}

void p2p_tgroup_doubt(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                      const struct p2p_holder *h, const struct p2p_locate *l,
                      const struct p2p_blockset *have)
{
    struct p2p_flight *f = g->flight;
    bool is_first = is_empty(h->taking);
    bool has_reason = !is_first && had_to_read(f, l), is_sure = false;

    note_brought(f, now, l, have, is_first);
    h->taking->complains = l->complains;
    if (l->complains && now >= f->quiet_until && most_complain(g)) {
        doubt_keepers(t, g, now);
        has_reason = has_reason || wants_of_idle(g, l);
        is_sure = true;
    }
    if (!has_reason || (f->given != 0 && now - f->given < LATELY_MS))
        return;
    if (f->accuser == 0) {
        f->accuser = h->node;
        f->accused_at = now;
    }
    if (is_sure || f->wanting <= 1 || f->accuser != h->node || now - f->accused_at >= ONE_ALONE_MS)
        doubt_idle(t, g, now);
}
