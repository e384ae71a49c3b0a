/* SPDX-License-Identifier: MIT */
/* tracker: one with a clock of its own, and questions to it. Nodes are 1, 2, 3, ... */
#pragma once

#include "tests/lib/test.h"

#include "p2p/tracker.h"

struct tracker {
    struct p2p_tracker *t;
    uint64_t now;
    struct p2p_located located;
    struct p2p_found found;
};

static inline void tracker_init(struct tracker *k, const struct p2p_tracker_conf *conf)
{
    struct p2p_tracker_conf c = { 0 };

    if (conf != NULL)
        c = *conf;
    if (c.limits.short_run == 0)
        c.limits.short_run = P2P_RUN_BLOCKS; /* so that runs are as long as they can be */
    if (c.limits.first_runs == 0)
        c.limits.first_runs = P2P_MAX_RUNS;
    el_rng_seed(&c.rng, 7);
    *k = (struct tracker){ .now = 1000000 };
    k->t = p2p_tracker_new(&c, k->now);
}

static inline void tracker_deinit(struct tracker *k)
{
    p2p_tracker_free(k->t);
}

static inline struct p2p_tracker_stats tracker_stats(const struct tracker *k)
{
    struct p2p_tracker_stats s;

    p2p_tracker_stats(k->t, &s);
    return s;
}

static inline void blocks_add(struct p2p_blockset *s, unsigned first, unsigned n)
{
    for (unsigned b = first; b < first + n; b++)
        p2p_blockset_add(s, b);
}

static inline struct p2p_group tracker_group(uint32_t number)
{
    return (struct p2p_group){ .version = "0123456789abcde", .number = number };
}

/* Wants everything of a group of so many blocks, and one run of it. */
static inline struct p2p_locate question(uint32_t blocks)
{
    struct p2p_locate l = { .group = tracker_group(0), .blocks = blocks, .leases = 1, .peers = 64 };

    blocks_add(&l.want, 0, blocks);
    return l;
}

/* The node has these, and wants them no more. */
static inline void question_has(struct p2p_locate *l, unsigned first, unsigned n)
{
    for (unsigned b = first; b < first + n; b++) {
        p2p_blockset_add(&l->have, b);
        p2p_blockset_remove(&l->want, b);
    }
}

/* So many blocks of the run were read; ok and fewer than all: it goes on. */
static inline void question_run(struct p2p_locate *l, const struct p2p_lease *run, unsigned done,
                                bool ok)
{
    l->ended[l->n_ended++] =
        (struct p2p_lease_end){ run->id, run->first, run->count, (uint8_t)done, ok, false };
    for (unsigned b = run->first; b < (unsigned)run->first + run->count; b++)
        p2p_blockset_remove(&l->want, b);
    question_has(l, run->first, done);
}

/* None, and not a byte of the next one for a while. */
static inline void question_still(struct p2p_locate *l, const struct p2p_lease *run, unsigned done)
{
    question_run(l, run, done, true);
    l->ended[l->n_ended - 1].still = true;
}

static inline const struct p2p_located *ask(struct tracker *k, uint64_t node,
                                            const struct p2p_locate *l)
{
    assert_int_equal(p2p_tracker_locate(k->t, k->now, node, NULL, l, &k->located), EL_OK);
    return &k->located;
}

/* The one run that it is given. */
static inline struct p2p_lease ask_run(struct tracker *k, uint64_t node, const struct p2p_locate *l)
{
    assert_int_equal(ask(k, node, l)->n_leases, 1);
    return k->located.leases[0];
}

static inline void assert_run(struct p2p_lease run, unsigned first, unsigned count)
{
    assert_int_equal(run.first, first);
    assert_int_equal(run.count, count);
}
