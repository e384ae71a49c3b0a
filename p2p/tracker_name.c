/* SPDX-License-Identifier: MIT */
/*
 * tracker_name: whom an answer names; see tracker_group.h. A random sample of those who have or
 * take something of the group, so that thousands of takers do not all turn to the same few. Of the
 * sample those first who have something that is wanted, and of these those of the asker's zone.
 */
#include "p2p/tracker_group.h"

#define SAMPLE (4u * P2P_MAX_NAMED)
/* 2: has something that is wanted; 1: in the same zone. */
#define MERITS 4u

struct candidate {
    struct p2p_taker taker;
    unsigned merit;
};

struct asker {
    const struct p2p_tracker *tracker;
    const struct p2p_tgroup *group;
    uint64_t node, zone;
    uint64_t all;    /* chunks of the group */
    uint64_t chunks; /* of which it wants something */
};

/* False: not to be named. */
static bool judge(const struct asker *a, const struct p2p_holder *h, struct candidate *ret)
{
    uint64_t zone;

    if (h->node == a->node || !p2p_tracker_is_member(a->tracker, h->node, &zone))
        return false;
    *ret = (struct candidate){ .taker.node = h->node };
    if (h->taking != NULL) {
        p2p_blocks_chunks(&h->taking->have, a->group->blocks, &ret->taker.whole, &ret->taker.part);
        ret->taker.is_taking = !h->taking->has_left;
    }
    ret->taker.whole |= h->chunks & a->all;
    ret->taker.part &= ~h->chunks;
    if (((ret->taker.whole | ret->taker.part) & a->chunks) != 0)
        ret->merit = 2;
    else if (!ret->taker.is_taking)
        return false; /* it has nothing that is wanted, and will not */
    ret->merit += zone != 0 && zone == a->zone;
    return true;
}

/* One at random of each of equal parts of the holders. */
static size_t sample(struct p2p_tracker *t, const struct asker *a, struct candidate ret[SAMPLE])
{
    const struct p2p_tgroup *g = a->group;
    size_t parts = el_min_size(g->n, SAMPLE), n = 0;

    for (size_t i = 0; i < parts; i++) {
        size_t from = i * g->n / parts, to = (i + 1) * g->n / parts;

        if (judge(a, &g->v[from + el_rng_below(&t->rng, to - from)], &ret[n]))
            n++;
    }
    return n;
}

static void shuffle(struct p2p_tracker *t, struct candidate *v, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t other = el_rng_below(&t->rng, i);
        struct candidate c = v[i - 1];

        v[i - 1] = v[other];
        v[other] = c;
    }
}

/*
 * Who may not read itself loses nothing by asking those that gave others nothing: they may be
 * wronged (overloaded, or out of reach for others), and by their own word it hears what they have.
 */
static void name_doubted(const struct p2p_tracker *t, const struct p2p_tgroup *g,
                         const struct p2p_holder *h, const struct p2p_locate *l,
                         struct p2p_located *ret)
{
    const struct p2p_flight *f = g->flight;
    uint64_t zone;

    if (h->taking->may_read)
        return;
    for (unsigned i = 0; i < f->n_doubted && ret->n_takers < l->peers; i++) {
        if (f->doubted[i] != h->node && p2p_tracker_is_member(t, f->doubted[i], &zone))
            ret->takers[ret->n_takers++] =
                (struct p2p_taker){ .node = f->doubted[i], .is_taking = true };
    }
}

void p2p_name_takers(struct p2p_tracker *t, const struct p2p_tgroup *g, const struct p2p_holder *h,
                     const struct p2p_locate *l, struct p2p_located *ret)
{
    struct asker a = { t, g, h->node, 0, 0, 0 };
    struct candidate v[SAMPLE];
    uint64_t whole, part;
    size_t n;

    (void)p2p_tracker_is_member(t, h->node, &a.zone);
    p2p_blocks_chunks(&l->want, g->blocks, &whole, &part);
    a.chunks = whole | part;
    a.all = UINT64_MAX >> (P2P_GROUP_CHUNKS - (g->blocks + P2P_RUN_BLOCKS - 1) / P2P_RUN_BLOCKS);
    if (a.chunks == 0 || l->peers == 0)
        return;
    n = sample(t, &a, v);
    shuffle(t, v, n);
    for (unsigned merit = MERITS; merit-- > 0;) {
        for (size_t i = 0; i < n && ret->n_takers < l->peers; i++) {
            if (v[i].merit == merit)
                ret->takers[ret->n_takers++] = v[i].taker;
        }
    }
    name_doubted(t, g, h, l, ret);
}
