/* SPDX-License-Identifier: MIT */
/* The origin and the trackers of world.h. */
#include "p2p/net.h"
#include "p2p/silence.h"
#include "tests/sim/world_in.h"

#define PAUSED 1.0 /* byte a second: none would not be a flow */

static void end_run(struct world *w, struct run *r, bool ok)
{
    struct node *x = &w->node[r->node];

    if (x->download != NULL)
        p2p_swarm_on_run_over(x->download, sim_ms(w), r->number, r->done, ok);
    for (uint64_t b = r->first + r->done; b < r->first + r->given; b++)
        w->known[b] = 0;
    el_list_remove(&r->in_node);
    sim_tell_followers(w, r->node, (uint32_t)(r->first / P2P_CHUNK_BLOCKS));
    sim_streams(w, r->node);
    free(r);
}

static bool is_paused(const struct world *w)
{
    return w->now >= w->conf->pause_us && w->now < w->conf->resume_us;
}

static double connection_cap(const struct world *w)
{
    return is_paused(w) ? PAUSED : w->conf->origin_connection;
}

void sim_pause(struct world *w)
{
    for (size_t i = 0; i < w->conf->nodes; i++) {
        struct el_list *runs = &w->node[i].runs, *it;

        for (it = runs->next; it != runs; it = it->next) {
            struct run *r = EL_ENTRY(it, struct run, in_node);

            if (r->flow != NULL)
                flows_set_cap(w->flows, w->now, r->flow, connection_cap(w));
        }
        sim_streams(w, (uint32_t)i);
    }
}

static void next_of_run(struct world *w, struct run *r)
{
    bool fails =
        w->conf->origin_fails != NULL && w->conf->origin_fails(w->conf->arg, w->now, r->node);

    if (r->done >= r->count || fails || w->node[r->node].download == NULL) {
        end_run(w, r, !fails);
        return;
    }
    if (w->node[r->node].conf.hangs)
        return;
    r->flow = flows_start(w->flows, w->now, 2 * w->conf->nodes, 2 * (size_t)r->node + 1,
                          P2P_MAX_BLOCK, connection_cap(w), &r->carried);
    sim_streams(w, r->node);
}

void sim_say_moves(struct world *w, struct node *x)
{
    struct el_list *it;

    for (it = x->runs.next; it != &x->runs; it = it->next) {
        const struct run *r = EL_ENTRY(it, const struct run, in_node);

        if (r->flow != NULL && !is_paused(w) && x->download != NULL)
            p2p_swarm_on_run_moved(x->download, sim_ms(w), r->number);
    }
}

void sim_run_moved(struct world *w, struct run *r)
{
    struct node *x = &w->node[r->node];
    uint64_t block = r->first + r->done;

    r->flow = NULL;
    r->done++;
    w->origin_blocks++;
    if (x->download != NULL)
        p2p_swarm_on_run_progress(x->download, sim_ms(w), r->number, r->done);
    sim_got(w, r->node, block);
    next_of_run(w, r);
}

/* A lease is for blocks that nobody has: as long as trackers live and all reach each other. */
static void check_fetch(struct world *w, uint32_t i, const struct p2p_move *m)
{
    if (w->node[i].conf.no_origin)
        sim_broken(w, "the origin is asked by who may not");
    for (uint64_t b = m->first; b < m->first + m->count; b++) {
        if (m->reason == P2P_REASON_LEASE && w->known[b] != 0)
            w->result.again++;
        if (m->reason == P2P_REASON_LEASE)
            w->known[b] = 1;
    }
}

void sim_fetch(struct world *w, uint32_t i, const struct p2p_move *m)
{
    struct run *r = el_new(struct run);

    check_fetch(w, i, m);
    r->carried.is_run = true;
    r->node = i;
    r->number = m->run;
    r->first = m->first;
    r->count = r->given = m->count;
    el_list_append(&w->node[i].runs, &r->in_node);
    sim_tell_followers(w, i, (uint32_t)(m->first / P2P_CHUNK_BLOCKS));
    if (m->reason == P2P_REASON_HEDGE)
        w->result.hedge_blocks += m->count;
    if (m->reason == P2P_REASON_NO_TRACKER)
        w->result.no_tracker_blocks += m->count;
    sim_later(w, w->conf->latency_us + sim_delay(w, 2 * w->conf->nodes, 2 * (size_t)i + 1),
              (struct event){ .kind = FETCH_BEGIN, .from = i, .to = i, .code = m->run });
}

static struct run *find_run(struct node *x, uint32_t number)
{
    for (struct el_list *it = x->runs.next; it != &x->runs; it = it->next)
        if (EL_ENTRY(it, struct run, in_node)->number == number)
            return EL_ENTRY(it, struct run, in_node);
    return NULL;
}

void sim_stop(struct world *w, uint32_t i, const struct p2p_move *m)
{
    struct run *r = find_run(&w->node[i], m->run);

    if (r == NULL)
        return;
    r->count = m->count;
    if (w->node[i].conf.hangs) {
        end_run(w, r, true);
        return;
    }
    sim_tell_followers(w, i, (uint32_t)(r->first / P2P_CHUNK_BLOCKS));
    sim_streams(w, i);
}

void sim_on_fetch(struct world *w, const struct event *e)
{
    struct run *r = find_run(&w->node[e->to], e->code);

    if (r != NULL && r->flow == NULL)
        next_of_run(w, r);
}

/* ---- the tracker ---- */

static uint32_t owner(const struct world *w, uint32_t group, size_t k)
{
    return (uint32_t)((w->conf->first_tracker + group * 7 + k) % w->conf->nodes);
}

static bool is_silent(const struct world *w, uint32_t i)
{
    return w->node[i].conf.manner == SIM_SILENT && !w->node[i].is_dead;
}

/* Of the nodes that are believed to be there, the first one behind the group's number. */
static uint32_t tracker_of(const struct world *w, uint32_t from, uint32_t group, bool may_be_late)
{
    size_t n = w->conf->nodes;

    for (size_t k = 0; k < n; k++) {
        uint32_t i = owner(w, group, k);
        const struct node *x = &w->node[i];

        if (is_silent(w, i) && (!may_be_late || w->node[from].dead_tracker == i + 1))
            continue;

        if (!w->conf->all_up && x->conf.start_us > w->now && !x->conf.is_seed)
            continue;
        if (x->is_dead &&
            (w->now > x->conf.kill_us + w->conf->member_us || w->node[from].dead_tracker == i + 1))
            continue;
        if (sim_is_cut(w, from, i) && w->now > w->conf->part_us + w->conf->member_us)
            continue;
        return i;
    }
    return from;
}

/* By one that is gone: where its process has ended the connection is refused. */
static void unanswered(struct world *w, uint32_t i, uint32_t at, const struct event *question)
{
    bool is_dead = w->node[at].is_dead;

    if (is_dead)
        w->node[i].dead_tracker = at + 1;
    if (question->bitmap == 0)
        sim_later(w, is_dead ? 2 * w->conf->latency_us : LOCATE_MS * 1000,
                  (struct event){ .kind = LOCATED, .from = at, .to = i, .chunk = question->chunk });
}

/* False: it was asked before, and owes an answer for so long that the next one is asked now. */
static bool ask_silent(struct world *w, uint32_t at, const struct event *e)
{
    struct node *x = &w->node[e->from];
    struct event late = *e;

    if (p2p_silence_is_late(x->owes_ms, sim_ms(w)))
        return false;
    if (x->owes_ms == 0 || sim_ms(w) - x->owes_ms >= P2P_PARDON_MS) {
        x->owes_ms = el_max_u64(sim_ms(w), 1);
        sim_later(w, (P2P_LATE_MS + P2P_DEAD_MS) * 1000,
                  (struct event){ .kind = GIVEN_UP, .from = at, .to = e->from });
    }
    late.kind = LATE;
    late.from = at;
    late.to = e->from;
    sim_later(w, (x->owes_ms + P2P_LATE_MS - sim_ms(w)) * 1000, late);
    return true;
}

void sim_locate(struct world *w, uint32_t i, const struct p2p_move *m)
{
    uint32_t at = tracker_of(w, i, m->locate->group.number, true);
    struct p2p_locate *copy = el_new(struct p2p_locate);
    bool lost = w->node[at].is_dead || sim_is_cut(w, i, at) ||
                (w->now >= w->conf->deaf_us && w->now < w->conf->hear_us);
    struct event e = { .kind = LOCATE, .from = i, .to = at, .bitmap = m->download == NULL };

    w->result.locates++;
    *copy = *m->locate;
    e.chunk = copy->group.number;
    e.more = copy;
    if (is_silent(w, at) && !lost) {
        if (ask_silent(w, at, &e))
            return;
        at = e.to = tracker_of(w, i, e.chunk, false);
        lost = w->node[at].is_dead || sim_is_cut(w, i, at);
    }
    if (!lost) {
        sim_later(w, sim_delay(w, 2 * (size_t)i, 2 * (size_t)at + 1), e);
        return;
    }
    free(copy);
    unanswered(w, i, at, &e);
}

/* Those who have all of it and take no part. */
void sim_announce(struct world *w, struct p2p_tracker *t, uint32_t i)
{
    struct disc_chunks v = { .group = 0 };

    memcpy(v.version, w->version, sizeof(v.version));
    for (; (uint64_t)v.group * P2P_GROUP_BLOCKS < w->conf->blocks; v.group++) {
        uint64_t left = sim_chunks(w) - (uint64_t)v.group * P2P_GROUP_CHUNKS;

        v.bitmap = left >= P2P_GROUP_CHUNKS ? UINT64_MAX : ((uint64_t)1 << left) - 1;
        p2p_tracker_announce(t, sim_ms(w), i + 1, &v, 1);
    }
}

static struct p2p_tracker *new_tracker(struct world *w)
{
    struct p2p_tracker_conf conf = { .is_member = NULL };
    struct p2p_tracker *t;

    el_rng_seed(&conf.rng, el_rng_u64(&w->rng));
    t = p2p_tracker_new(&conf, sim_ms(w));
    for (uint32_t i = 0; i < w->conf->nodes; i++)
        if (sim_has_all(&w->node[i]) && w->node[i].swarm != NULL)
            sim_announce(w, t, i);
    return t;
}

void sim_late(struct world *w, const struct event *e)
{
    uint32_t next = tracker_of(w, e->to, e->chunk, false);
    struct event again = { .kind = LOCATE, .from = e->to, .to = next, .chunk = e->chunk };

    if (w->node[next].is_dead || sim_is_cut(w, e->to, next)) {
        unanswered(w, e->to, next, e);
        return;
    }
    again.bitmap = e->bitmap;
    again.code = true;
    again.more = el_new(struct p2p_locate);
    *(struct p2p_locate *)again.more = *(const struct p2p_locate *)e->more;
    sim_later(w, sim_delay(w, 2 * (size_t)e->to, 2 * (size_t)next + 1), again);
}

void sim_given_up(struct world *w, const struct event *e)
{
    struct node *x = &w->node[e->to];

    x->owes_ms = 0;
    x->dead_tracker = e->from + 1;
    sim_link_down(w, e->to, e->from);
    p2p_swarm_tracker_lost(x->swarm, sim_ms(w), e->from + 1);
    if (x->tracker != NULL)
        p2p_tracker_node_gone(x->tracker, sim_ms(w), e->from + 1);
}

/* Those before it that are silent; the others are its own to be found out. */
static void find_silent(const struct world *w, const struct event *e, struct p2p_in_place *ret)
{
    const struct node *x = &w->node[e->to];

    *ret = (struct p2p_in_place){ 0 };
    for (size_t k = 0; owner(w, e->chunk, k) != e->to && ret->n < EL_COUNT(ret->nodes); k++) {
        uint32_t i = owner(w, e->chunk, k);

        if (!is_silent(w, i))
            continue;
        ret->nodes[ret->n++] = i + 1;
        ret->may_answer = ret->may_answer ||
                          !(x->dead_tracker == i + 1 || p2p_silence_is_gone(x->owes_ms, sim_ms(w)));
    }
}

/* It only listens, and the one in whose place it was asked may yet answer: it is asked again. */
static bool ask_again(struct world *w, const struct event *e, const struct p2p_located *answer)
{
    struct event again = *e;

    if (e->code == 0 || w->node[e->from].dead_tracker != 0 || p2p_silence_counts(e->more, answer))
        return false;
    again.more = el_new(struct p2p_locate);
    *(struct p2p_locate *)again.more = *(const struct p2p_locate *)e->more;
    sim_later(w, P2P_LATE_MS * 1000, again);
    return true;
}

void sim_on_locate(struct world *w, const struct event *e)
{
    struct node *x = &w->node[e->to];
    struct p2p_located *answer = el_new(struct p2p_located);
    struct event back = { .kind = LOCATED, .from = e->to, .to = e->from, .chunk = e->chunk };
    struct p2p_in_place in_place;

    if (w->node[e->from].is_dead) {
        free(answer); /* its link has broken, and what it said before that is read no more */
        return;
    }
    if (x->tracker == NULL)
        x->tracker = new_tracker(w);
    p2p_tracker_tick(x->tracker, sim_ms(w));
    find_silent(w, e, &in_place);
    if (p2p_tracker_locate(x->tracker, sim_ms(w), e->from + 1, in_place.n > 0 ? &in_place : NULL,
                           e->more, answer) == EL_OK) {
        if (ask_again(w, e, answer)) {
            free(answer);
            return;
        }
        back.more = answer;
        answer = NULL;
    }
    free(answer);
    if (e->bitmap)
        free(back.more);
    else
        sim_later(w, sim_delay(w, 2 * (size_t)e->to, 2 * (size_t)e->from + 1), back);
}

/* Its tracker died while the question was on its way: the link breaks, and the next one gets it. */
void sim_unanswered(struct world *w, const struct event *e)
{
    struct event again = *e;

    w->node[e->from].dead_tracker = e->to + 1;
    again.to = tracker_of(w, e->from, e->chunk, false);
    if (!w->node[again.to].is_dead && !sim_is_cut(w, e->from, again.to)) {
        again.more = el_new(struct p2p_locate);
        *(struct p2p_locate *)again.more = *(const struct p2p_locate *)e->more;
        sim_later(w, 2 * w->conf->latency_us, again);
    } else if (e->bitmap == 0)
        sim_later(
            w, LOCATE_MS * 1000,
            (struct event){ .kind = LOCATED, .from = e->to, .to = e->from, .chunk = e->chunk });
}

void sim_on_located(struct world *w, const struct event *e)
{
    struct node *x = &w->node[e->to];

    if (x->download == NULL)
        return;
    if (e->more == NULL) {
        p2p_swarm_on_locate_failed(x->download, sim_ms(w), e->chunk);
        return;
    }
    p2p_swarm_on_located(x->download, sim_ms(w), e->chunk, e->more);
    p2p_swarm_located_by(x->download, e->chunk, e->from + 1);
}
