/* SPDX-License-Identifier: MIT */
/* tracker: its two halves, groups and records, put together; see tracker.h. */
#include "p2p/tracker.h"

#include "p2p/tracker_group.h"
#include "p2p/tracker_record.h"

#define MOST_TAKERS 32768u

static size_t or (size_t given, size_t otherwise)
{
    return given != 0 ? given : otherwise;
}

/* docs/peers.md, "What it costs", has what each takes. */
static void set_limits(struct p2p_tracker_limits *l, uint64_t memory)
{
    uint64_t bytes = memory != 0 ? memory : 256 * EL_MIB;

    l->groups = or (l->groups, bytes / 4096);
    l->holders = or (l->holders, bytes / 1024);
    l->takers = el_min_size(or (l->takers, 16384), MOST_TAKERS);
    l->urls = or (l->urls, bytes / 4096);
    l->record_bytes = or (l->record_bytes, bytes / 4);
    l->waiters = or (l->waiters, 65536);
    l->short_run = (unsigned) or (l->short_run, 4);
    l->first_runs = (unsigned) or (l->first_runs, 1);
}

struct p2p_tracker *p2p_tracker_new(const struct p2p_tracker_conf *conf, uint64_t now)
{
    struct p2p_tracker *t = el_new(struct p2p_tracker);

    t->conf = *conf;
    set_limits(&t->conf.limits, conf->memory);
    t->rng = conf->rng;
    t->salt[0] = el_rng_u64(&t->rng);
    t->salt[1] = el_rng_u64(&t->rng);
    t->next_id = (uint32_t)el_rng_u64(&t->rng);
    t->next_sweep = now;
    t->next_look = now;
    el_list_init(&t->groups);
    el_list_init(&t->flights);
    t->records = p2p_records_new();
    return t;
}

void p2p_tracker_free(struct p2p_tracker *t)
{
    if (t == NULL)
        return;
    while (!el_list_empty(&t->groups))
        p2p_tgroup_free(t, EL_ENTRY(t->groups.next, struct p2p_tgroup, by_use));
    p2p_table_deinit(&t->table);
    p2p_records_free(t->records);
    free(t);
}

void p2p_tracker_node_gone(struct p2p_tracker *t, uint64_t now, uint64_t node)
{
    p2p_groups_gone(t, now, node);
    p2p_records_gone(t, now, node);
}

void p2p_tracker_tick(struct p2p_tracker *t, uint64_t now)
{
    p2p_groups_sweep(t, now);
    p2p_records_sweep(t, now);
}

uint64_t p2p_tracker_due(const struct p2p_tracker *t)
{
    return el_min_u64(p2p_groups_due(t), p2p_records_due(t));
}

void p2p_tracker_stats(const struct p2p_tracker *t, struct p2p_tracker_stats *ret)
{
    const struct el_list *it;

    *ret = t->stats;
    ret->groups = t->table.n;
    ret->holders = t->n_holders;
    ret->takers = t->n_takings;
    for (it = t->flights.next; it != &t->flights; it = it->next)
        ret->runs += EL_ENTRY(it, struct p2p_flight, link)->out;
    p2p_records_stats(t->records, ret);
}
