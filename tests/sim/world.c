/* SPDX-License-Identifier: MIT */
#include "tests/sim/world_in.h"

void sim_broken(struct world *w, const char *what)
{
    fprintf(stderr, "seed %llu, %.3f s: %s\n", (unsigned long long)w->conf->seed,
            (double)w->now / 1e6, what);
    w->result.broken++;
}

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

void sim_add(struct world *w, struct event e)
{
    size_t at = w->n++;

    if (w->n > w->size) {
        w->size = w->size == 0 ? 1024 : w->size * 2;
        w->heap = realloc(w->heap, w->size * sizeof(struct event));
        EL_ASSERT(w->heap != NULL);
    }
    e.sequence = w->sequence++;
    for (; at > 0 && is_before(&e, &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = e;
}

static struct event take_event(struct world *w)
{
    struct event first = w->heap[0], last = w->heap[--w->n];
    size_t at = 0;

    for (;;) {
        size_t child = at * 2 + 1;

        if (child + 1 < w->n && is_before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (child >= w->n || !is_before(&w->heap[child], &last))
            break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    if (w->n > 0)
        w->heap[at] = last;
    return first;
}

static void grow_soon(struct world *w)
{
    size_t size = w->soon_size == 0 ? 1024 : w->soon_size * 2;
    struct event *v = el_alloc(size * sizeof(struct event));

    for (size_t i = 0; i < w->soon_n; i++)
        v[i] = w->soon[(w->soon_first + i) & (w->soon_size - 1)];
    free(w->soon);
    w->soon = v;
    w->soon_size = size;
    w->soon_first = 0;
}

static void add_soon(struct world *w, struct event e)
{
    if (w->soon_n == w->soon_size)
        grow_soon(w);
    e.sequence = w->sequence++;
    w->soon[(w->soon_first + w->soon_n++) & (w->soon_size - 1)] = e;
}

void sim_later(struct world *w, uint64_t after_us, struct event e)
{
    e.at = w->now + after_us;
    if (after_us == w->conf->latency_us)
        add_soon(w, e);
    else
        sim_add(w, e);
}

/* NULL: nothing happens any more. */
static const struct event *next_event(const struct world *w)
{
    const struct event *a = w->n > 0 ? &w->heap[0] : NULL;
    const struct event *b = w->soon_n > 0 ? &w->soon[w->soon_first] : NULL;

    if (a == NULL || b == NULL)
        return a == NULL ? b : a;
    return is_before(a, b) ? a : b;
}

static struct event take_next(struct world *w)
{
    struct event e;

    if (w->n > 0 && next_event(w) == &w->heap[0])
        return take_event(w);
    e = w->soon[w->soon_first];
    w->soon_first = (w->soon_first + 1) & (w->soon_size - 1);
    w->soon_n--;
    return e;
}

/* ---- life and death ---- */

void sim_start(struct world *w, uint32_t i)
{
    struct node *x = &w->node[i];
    struct p2p_swarm_conf conf = { .self = i + 1,
                                   .k = w->conf->k,
                                   .max_peers = w->conf->max_peers };
    struct p2p_upload_conf upload = { .slots = w->conf->slots };

    el_rng_seed(&conf.rng, el_rng_u64(&w->rng));
    el_rng_seed(&upload.rng, el_rng_u64(&w->rng));
    x->swarm = p2p_swarm_new(&conf, sim_ms(w));
    x->upload = p2p_upload_new(&upload);
    if (sim_has_all(x)) {
        for (size_t k = 0; k < w->conf->nodes; k++)
            if (w->node[k].tracker != NULL)
                sim_announce(w, w->node[k].tracker, i);
    } else if (w->now < x->conf.start_us) {
        sim_add(w, (struct event){ .at = x->conf.start_us, .kind = OPEN, .to = i });
    } else {
        sim_open(w, i);
    }
}

void sim_open(struct world *w, uint32_t i)
{
    struct node *x = &w->node[i];

    x->download =
        p2p_swarm_open(x->swarm, sim_ms(w), w->version, w->conf->blocks * P2P_MAX_BLOCK, x);
    p2p_swarm_set_reach(x->download, sim_ms(w), x->conf.no_origin ? P2P_REACH_NONE : P2P_REACH_ANY,
                        0, 0);
    sim_want(w, x);
}

void sim_end(struct world *w, struct node *x)
{
    while (!el_list_empty(&x->runs)) {
        struct run *r = EL_ENTRY(el_list_pop(&x->runs), struct run, in_node);

        if (r->flow != NULL)
            flows_cancel(w->flows, w->now, r->flow);
        free(r);
    }
    p2p_swarm_free(x->swarm);
    p2p_upload_free(x->upload);
    p2p_tracker_free(x->tracker);
    x->swarm = NULL;
    x->upload = NULL;
    x->tracker = NULL;
    x->download = NULL;
}

/* What no living node has may be read from the origin once more. */
static void forget_lost(struct world *w)
{
    for (uint64_t b = 0; b < w->conf->blocks; b++) {
        bool lives = false;

        for (size_t i = 0; i < w->conf->nodes && !lives; i++)
            lives = w->node[i].have[b] != 0 && !w->node[i].is_dead && !sim_has_all(&w->node[i]);
        w->known[b] = lives;
    }
}

/* Behind all that it has said. */
static void tell_of_death(struct world *w, uint32_t i)
{
    const struct node *x = &w->node[i];

    for (size_t k = 0; k < x->links_size; k++) {
        uint32_t peer = x->links[k].peer - 1;

        if (x->links[k].peer != 0 && x->links[k].is_up)
            sim_later(w, sim_delay(w, 2 * (size_t)i, 2 * (size_t)peer + 1),
                      (struct event){ .kind = DOWN, .from = i, .to = peer });
    }
}

void sim_kill(struct world *w, uint32_t i)
{
    struct node *x = &w->node[i];

    if (x->is_dead)
        return;
    x->is_dead = true;
    if (!sim_has_all(x) && x->n_have < w->conf->blocks)
        w->to_do -= x->conf.manner == SIM_HONEST;
    tell_of_death(w, i);
    for (size_t k = 0; k < x->links_size; k++) {
        uint32_t peer = x->links[k].peer - 1;

        if (x->links[k].peer == 0 || !x->links[k].is_up)
            continue;
        sim_link_cut(w, i, peer);
        sim_link_cut(w, peer, i);
    }
    forget_lost(w);
    sim_end(w, x);
    for (size_t k = 0; k < w->conf->nodes; k++)
        if (w->node[k].tracker != NULL)
            p2p_tracker_node_gone(w->node[k].tracker, sim_ms(w), i + 1);
}

/* ---- the whole ---- */

static struct world *build(const struct sim_conf *conf)
{
    struct world *w = el_new(struct world);

    w->conf = conf;
    el_rng_seed(&w->rng, conf->seed);
    el_list_init(&w->streaming);
    memset(w->version, 0x5a, sizeof(w->version));
    w->node = el_alloc(conf->nodes * sizeof(struct node));
    w->known = el_alloc(conf->blocks);
    w->flows = flows_new(2 * conf->nodes + 1, conf->is_coarse);
    if (conf->is_uneven)
        flows_set_uneven(w->flows);
    flows_set_port(w->flows, 2 * conf->nodes, conf->origin);
    if (conf->heal_us > 0)
        sim_add(w, (struct event){ .at = conf->part_us, .kind = PART });
    if (conf->resume_us > 0) {
        sim_add(w, (struct event){ .at = conf->pause_us, .kind = PAUSE });
        sim_add(w, (struct event){ .at = conf->resume_us, .kind = PAUSE });
    }
    for (uint32_t i = 0; i < conf->nodes; i++) {
        struct node *x = &w->node[i];

        x->conf = conf->node[i];
        x->have = el_alloc(conf->blocks);
        x->followers = el_alloc(sim_chunks(w) * sizeof(struct followers));
        x->wake_at = UINT64_MAX;
        el_list_init(&x->runs);
        el_list_init(&x->streams);
        el_list_init(&x->in_world);
        flows_set_port(w->flows, 2 * (size_t)i, x->conf.up);
        flows_set_port(w->flows, 2 * (size_t)i + 1, x->conf.down);
        sim_add(
            w, (struct event){ .at = conf->all_up ? 0 : x->conf.start_us, .kind = START, .to = i });
        if (x->conf.kill_us != UINT64_MAX)
            sim_add(w, (struct event){ .at = x->conf.kill_us, .kind = KILL, .to = i });
        if (sim_has_all(x))
            memset(x->have, 1, conf->blocks);
        else
            w->to_do += x->conf.manner == SIM_HONEST;
    }
    return w;
}

static void destroy(struct world *w)
{
    for (size_t i = 0; i < w->conf->nodes; i++) {
        struct node *x = &w->node[i];

        for (size_t k = 0; k < x->links_size; k++) {
            if (x->links[k].sending != NULL)
                sim_sending_free(x->links[k].sending);
            if (x->links[k].next != NULL)
                sim_sending_free(x->links[k].next);
            free(x->links[k].acks);
        }
        for (uint32_t to = 0; to < w->conf->nodes && !el_list_empty(&x->streams); to++)
            sim_streams_drop(w, (uint32_t)i, to);
        for (uint64_t c = 0; c < sim_chunks(w); c++)
            free(x->followers[c].v);
        sim_end(w, x);
        free(x->followers);
        free(x->have);
        free(x->links);
    }
    for (size_t i = 0; i < w->n; i++)
        free(w->heap[i].more);
    for (size_t i = 0; i < w->soon_n; i++)
        free(w->soon[(w->soon_first + i) & (w->soon_size - 1)].more);
    free(w->soon);
    flows_free(w->flows);
    free(w->heap);
    free(w->known);
    free(w->node);
    free(w);
}

static void sum_up(struct world *w)
{
    struct sim_result *r = &w->result;
    double up = 0, moved = 0;
    size_t n = 0;
    uint64_t last = 0;

    for (size_t i = 0; i < w->conf->nodes; i++) {
        struct node *x = &w->node[i];
        double s = (double)(x->done_us - x->conf.start_us) / 1e6;
        struct p2p_swarm_stats stats = { 0 };

        if (x->swarm != NULL)
            p2p_swarm_stats(x->swarm, &stats);
        r->twice += stats.twice;
        r->timeouts += stats.timeouts;
        up += x->conf.up;
        moved += flows_moved(w->flows, 2 * i);
        if (x->done_us == 0 || x->conf.is_slow || x->conf.manner != SIM_HONEST)
            continue;
        n++;
        r->mean_s += s;
        r->last_s = s > r->last_s ? s : r->last_s;
        last = el_max_u64(last, x->done_us);
    }
    r->mean_s /= n > 0 ? (double)n : 1;
    r->first_start_to_last_s = (double)last / 1e6;
    r->uplink_use = last == 0 ? 0 : moved / up / r->first_start_to_last_s;
    r->egress = w->origin_blocks / (double)w->conf->blocks;
    r->all_done = w->to_do == 0;
}

static void finish_flow(struct world *w)
{
    struct carried *c = flows_finish(w->flows, w->now);
    struct run *r;
    uint32_t i;

    if (!c->is_run) {
        sim_stream_sent(w, EL_ENTRY(c, struct sending, carried));
        return;
    }
    r = EL_ENTRY(c, struct run, carried);
    i = r->node;
    sim_run_moved(w, r);
    sim_pump(w, i);
}

/* How far the nodes are, in percent of their blocks: of all, of the first, and of the last. */
static void tell(struct world *w)
{
    uint64_t sum = 0, least = w->conf->blocks, most = 0;
    double one = (double)w->conf->blocks / 100;

    for (size_t i = 0; i < w->conf->nodes; i++) {
        sum += w->node[i].n_have;
        least = el_min_u64(least, w->node[i].n_have);
        most = el_max_u64(most, w->node[i].n_have);
    }
    fprintf(stderr, "%.3f s: mean %.1f, most %.1f, least %.1f %%; origin %.1f %%; %zu to do\n",
            (double)w->now / 1e6, (double)sum / (double)w->conf->nodes / one, (double)most / one,
            (double)least / one, w->origin_blocks / one, w->to_do);
    w->tell_at = w->now + w->conf->tell_us;
}

/* False: it is over, or it takes too long. */
static bool step(struct world *w)
{
    const struct event *next = next_event(w);
    uint64_t flow = flows_due_us(w->flows), event = next != NULL ? next->at : UINT64_MAX;
    struct event e;

    w->now = el_min_u64(flow, event);
    if (w->to_do == 0 || w->now > w->conf->end_us)
        return false;
    w->result.events++;
    if (!w->conf->is_coarse || w->now - w->paced_at >= w->conf->latency_us) {
        sim_streams_pace(w);
        w->paced_at = w->now;
    }
    if (w->conf->tell_us > 0 && w->now >= w->tell_at)
        tell(w);
    if (flow < event) {
        finish_flow(w);
        return true;
    }
    e = take_next(w);
    sim_happen(w, &e);
    free(e.more);
    return true;
}

struct sim_result sim_run(const struct sim_conf *conf)
{
    struct world *w = build(conf);
    struct sim_result result;

    while (step(w))
        ;
    sum_up(w);
    result = w->result;
    destroy(w);
    return result;
}
