/* SPDX-License-Identifier: MIT */
/*
 * l2_probe: a disk that failed, or was late, is left alone; this finds out when it is well again,
 * so that no request has to. Now and then a piece of the store is read and a piece of the lock
 * file, whose content means nothing, is written and synced:
 *
 *   [timer] -> READ -> WRITE -> SYNC -> good: on to the timer, until the health is normal
 *      ^         |       |        |
 *      +---------+-------+--------+ failed, or late
 *
 * A probe that the disk keeps is waited for: as long as it does not come back there is no other.
 */
#include "cache/l2_store.h"

#include <stdlib.h>

#define PROBE_MAGIC 0x4c325052u

struct l2_probe {
    uint32_t magic;
    struct l2_store *store;
    struct el_timer timer;
    struct el_ring_op op;
    bool is_running;
    void *mem; /* owned; L2_ALIGN bytes */
};

static void wait_for_turn(struct l2_probe *p)
{
    el_timer_start(el_ring_timers(p->store->ring), &p->timer,
                   l2_health_probe_ms(&p->store->health));
}

static void free_probe(struct l2_probe *p)
{
    p->store->probe = NULL;
    el_timer_stop(&p->timer);
    free(p->mem);
    p->magic = 0;
    free(p);
}

/* The outcome may have changed the state, or the store is being closed. */
static void end_attempt(struct l2_probe *p, enum l2_outcome outcome)
{
    struct l2_store *s = p->store;

    p->is_running = false;
    l2_note_health(s, outcome);
    if (s->health.state == L2_OK || atomic_load(&s->phase) == L2_CLOSING)
        free_probe(p);
    else
        wait_for_turn(p);
}

static void on_step(struct el_ring_op *op);

static void begin_step(struct l2_probe *p, enum el_ring_what what, int fd, uint64_t offset)
{
    p->op = (struct el_ring_op){
        .what = what,
        .fd = fd,
        .mem = p->mem,
        .bytes = L2_ALIGN,
        .offset = offset,
        .on_done = on_step,
    };
    el_ring_submit(p->store->ring, &p->op);
}

static void on_step(struct el_ring_op *op)
{
    struct l2_probe *p = EL_ENTRY(op, struct l2_probe, op);
    struct l2_store *s = p->store;

    EL_ASSERT(p->magic == PROBE_MAGIC && p->is_running);
    if (op->result != 0)
        end_attempt(p, l2_outcome_of(-op->result));
    else if (l2_now_ms() - op->submitted_ms > s->l2->conf.read_deadline_ms)
        end_attempt(p, L2_LATE);
    else if (op->what == EL_RING_READ)
        begin_step(p, EL_RING_WRITE, s->lock_fd, 0);
    else if (op->what == EL_RING_WRITE)
        begin_step(p, EL_RING_SYNC, s->lock_fd, 0);
    else
        end_attempt(p, L2_GOOD);
}

/* Any region: what a disk has in its own memory says little. */
static void on_timer(struct el_timer *t)
{
    struct l2_probe *p = EL_ENTRY(t, struct l2_probe, timer);
    struct l2_store *s = p->store;
    uint64_t region = el_rng_below(&s->rng, l2_regions_count(s->regions));

    p->is_running = true;
    l2_health_probed(&s->health, l2_now_ms());
    begin_step(p, EL_RING_READ, s->fd, region * L2_REGION_BYTES);
}

/* A store that was never loaded has nothing to come back to. */
void l2_probe_start(struct l2_store *s)
{
    struct l2_probe *p;

    if (s->probe != NULL || !s->is_loaded || atomic_load(&s->phase) == L2_CLOSING)
        return;
    p = el_new(struct l2_probe);
    p->magic = PROBE_MAGIC;
    p->store = s;
    p->mem = aligned_alloc(L2_ALIGN, L2_ALIGN);
    EL_ASSERT(p->mem != NULL);
    memset(p->mem, 0, L2_ALIGN);
    el_timer_init(&p->timer, on_timer);
    s->probe = p;
    wait_for_turn(p);
}

void l2_probe_stop(struct l2_store *s)
{
    if (s->probe != NULL && !s->probe->is_running)
        free_probe(s->probe);
}
