/* SPDX-License-Identifier: MIT */
/* Runs of swarm.h: what this node reads from the origin, with a lease or without. */
#include "p2p/swarm_in.h"

/* Those that have ended and of which the tracker has to hear. */
#define MAX_ENDED     (P2P_MAX_RUNS - P2P_SW_MAX_RUNS)
#define FAILED_MS     500u
#define MAX_FAILED_MS 30000u

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

struct p2p_sw_run *p2p_sw_run_by_id(const struct p2p_sw_group *g, uint32_t id)
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
    r->block_at = s->now;
    r->id = P2P_LEASE_OWN | r->number;
    r->first = (uint16_t)first;
    r->count = r->granted = (uint8_t)count;
    g->fed_at = s->now;
    el_list_append(&g->runs, &r->in_group);
    g->n_runs++;
    for (unsigned b = first; b < first + count; b++) {
        if (!p2p_blockset_has(&g->here, b))
            p2p_blockset_add(&g->mine, b);
        /* Else two nodes could wait for the block from each other, or for one who stands still. */
        p2p_sw_take_back(g, b);
    }
    return r;
}

void p2p_sw_run_start(struct p2p_sw_group *g, unsigned first, unsigned count, uint32_t lease,
                      enum p2p_reason reason)
{
    struct p2p_sw_run *r = new_run(g, first, count);

    r->reason = reason;
    r->is_exact = g->d->reach == P2P_REACH_EXACT;
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
    if (g->n_runs >= P2P_SW_MAX_RUNS)
        return false;
    r = new_run(g, first, count);
    r->is_adopted = true;
    *ret_run = r->number;
    g->locate_at = g->d->s->now;
    p2p_sw_dirty(g);
    return true;
}

void p2p_sw_run_ended(struct p2p_sw_group *g, const struct p2p_lease_end *e)
{
    g->locate_at = g->d->s->now;
    p2p_sw_dirty(g);
    /* Where too many wait for an answer the tracker lets the lease lapse. */
    if (g->n_ended < MAX_ENDED)
        g->ended[g->n_ended++] = *e;
}

struct p2p_lease_end p2p_sw_run_report(const struct p2p_sw_run *r, uint64_t now, bool ok)
{
    return (struct p2p_lease_end){ .id = r->id,
                                   .first = r->first,
                                   .count = r->count,
                                   .done = r->done,
                                   .ok = ok,
                                   .still = ok && r->done < r->count &&
                                            now - r->moved_at >= P2P_STILL_MS };
}

void p2p_sw_run_drop(struct p2p_sw_group *g, struct p2p_sw_run *r)
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
        p2p_sw_run_drop(g, EL_ENTRY(g->runs.next, struct p2p_sw_run, in_group));
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
bool p2p_sw_run_ends_soon(const struct p2p_sw_run *r)
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
    r->moved_at = r->block_at = d->s->now;
    d->origin_failures = 0;
    d->origin_at = 0;
    if (r->reason == P2P_REASON_LEASE)
        d->hedges = 0;
    if (r->done < r->count && p2p_sw_run_ends_soon(r)) {
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

void p2p_swarm_on_run_vain(struct p2p_download *d, uint64_t now)
{
    d->origin_at = el_max_u64(d->origin_at, now + FAILED_MS);
}

void p2p_swarm_on_run_moved(struct p2p_download *d, uint64_t now, uint32_t run)
{
    struct p2p_sw_group *g;
    struct p2p_sw_run *r = run_by_number(d, run, &g);

    d->s->now = now;
    if (r != NULL)
        r->moved_at = now;
}

/* The origin gave nothing, and nobody else will bring the block: whoever waits for it is told. */
static void failed(struct p2p_sw_group *g, unsigned block)
{
    struct p2p_download *d = g->d;
    unsigned n = d->origin_failures < 8 ? d->origin_failures : 8;

    if (d->s->now >= d->origin_at) { /* those that fail together have failed once */
        d->origin_at = d->s->now + el_min_u64((uint64_t)FAILED_MS << n, MAX_FAILED_MS);
        d->origin_failures++;
    }
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
    e = p2p_sw_run_report(r, now, ok && r->done == r->count && !r->gives_back);
    if (r->gives_back)
        e.count = r->granted;
    next = (unsigned)r->first + r->done;
    p2p_sw_run_drop(g, r);
    p2p_sw_run_ended(g, &e);
    if (!ok && next < g->blocks)
        failed(g, next);
    p2p_sw_wake(g);
}
