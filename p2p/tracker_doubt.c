/* SPDX-License-Identifier: MIT */
/*
 * tracker_doubt: holders that give nothing; see tracker_group.h. A block that somebody has, as it
 * was said, is leased to nobody. So one that only says so would keep all others waiting.
 *
 * What shows that they do not give: two takers (or the only one) read of their own accord, without
 * a lease, what only holders have that do not take; and no taker has got anything of that kind
 * lately. Then these holders are forgotten, and not believed as long as the group is taken. That a
 * taker has got a block from such a holder is seen from its having one that no taker had or read.
 */
#include "p2p/tracker_group.h"

#define LATELY_MS 2000u

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
static bool complains(const struct p2p_flight *f, const struct p2p_locate *l)
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
        for (unsigned b = 0; b < l->ended[i].done; b++)
            p2p_blockset_add(&f->brought, l->ended[i].first + b);
    }
    for (size_t i = 0; i < EL_COUNT(have->w); i++) {
        is_given = is_given || (have->w[i] & ~f->brought.w[i]) != 0;
        f->brought.w[i] |= have->w[i];
    }
    if (is_given && !is_first)
        f->given = now;
}

static void doubt_idle(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now)
{
    struct p2p_flight *f = g->flight;

    for (uint32_t i = g->n; i-- > 0;) {
        struct p2p_holder *h = &g->v[i];

        if (h->taking != NULL && !h->taking->has_left)
            continue;
        f->doubted[f->n_doubted++ % P2P_DOUBTED] = h->node;
        f->n_doubted = f->n_doubted > P2P_DOUBTED ? P2P_DOUBTED : f->n_doubted;
        p2p_tgroup_drop(t, g, now, h);
    }
    t->stats.doubted++;
}

void p2p_tgroup_doubt(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                      const struct p2p_holder *h, const struct p2p_locate *l,
                      const struct p2p_blockset *have)
{
    struct p2p_flight *f = g->flight;
    bool is_first = is_empty(h->taking);
    bool has_reason = !is_first && complains(f, l);

    note_brought(f, now, l, have, is_first);
    if (!has_reason || (f->given != 0 && now - f->given < LATELY_MS))
        return;
    if (f->wanting <= 1 || (f->accuser != 0 && f->accuser != h->node))
        doubt_idle(t, g, now);
    else
        f->accuser = h->node;
}
