/* SPDX-License-Identifier: MIT */
/*
 * Streams of world.h: a block that its sender is still reading from the origin. It goes out as a
 * flow of its own, no faster than the one that brings it, and ends after that.
 */
#include "tests/sim/world_in.h"

/* So far behind what it passes on that it may go faster than that. */
#define LAG 65536.0

static struct run *reads(const struct node *x, uint64_t block)
{
    struct el_list *it;

    for (it = x->runs.next; it != &x->runs; it = it->next) {
        struct run *r = EL_ENTRY(it, struct run, in_node);

        if (block >= r->first + r->done && block < r->first + r->count)
            return r;
    }
    return NULL;
}

uint32_t sim_coming_bits(const struct world *w, const struct node *x, uint32_t chunk)
{
    uint64_t first = (uint64_t)chunk * P2P_CHUNK_BLOCKS;
    uint32_t bits = 0;

    if (el_list_empty(&x->runs))
        return 0;
    for (uint32_t i = 0; i < P2P_CHUNK_BLOCKS && first + i < w->conf->blocks; i++)
        if (x->have[first + i] == 0 && reads(x, first + i) != NULL)
            bits |= 1u << i;
    return bits;
}

bool sim_stream_add(struct world *w, uint32_t i, uint32_t to, uint64_t block)
{
    struct stream *s;

    if (reads(&w->node[i], block) == NULL)
        return false;
    s = el_new(struct stream);
    s->to = to;
    s->block = block;
    if (el_list_empty(&w->node[i].streams))
        el_list_append(&w->streaming, &w->node[i].in_world);
    el_list_append(&w->node[i].streams, &s->in_node);
    sim_streams(w, i);
    return true;
}

static void stream_free(struct stream *s)
{
    /* The last one of its node. */
    if (s->in_node.next == s->in_node.prev)
        el_list_remove(&EL_ENTRY(s->in_node.next, struct node, streams)->in_world);
    el_list_remove(&s->in_node);
    free(s);
}

static void begin(struct world *w, uint32_t i, struct stream *s)
{
    struct link *l = sim_link(&w->node[i], s->to);
    struct sending *sending;

    if (l == NULL || !l->is_up || l->sending != NULL)
        return;
    sending = el_new(struct sending);
    sending->is_stream = true;
    sending->from = i;
    sending->to = s->to;
    sending->send =
        (struct p2p_send){ .node = s->to + 1,
                           .chunk = sim_chunk_id(w, (uint32_t)(s->block / P2P_CHUNK_BLOCKS)),
                           .block = (uint32_t)(s->block % P2P_CHUNK_BLOCKS) };
    s->sending = sending;
    sim_send_block(w, sending);
}

/* It does not come: one that has begun cannot be taken back but with its link. */
static void fail(struct world *w, uint32_t i, struct stream *s)
{
    uint32_t to = s->to;
    bool has_begun = s->sending != NULL;
    struct event e = { .kind = ERROR,
                       .chunk = (uint32_t)(s->block / P2P_CHUNK_BLOCKS),
                       .blocks = { (uint32_t)(s->block % P2P_CHUNK_BLOCKS), 1 },
                       .code = EL_ENOTCACHED };

    if (!has_begun) {
        stream_free(s);
        sim_send(w, i, to, e);
        return;
    }
    sim_link_cut(w, i, to);
    sim_link_cut(w, to, i);
    sim_later(w, 0, (struct event){ .kind = DOWN, .from = to, .to = i });
    sim_later(w, w->conf->latency_us, (struct event){ .kind = DOWN, .from = i, .to = to });
}

/* False: the list is another one now. */
static bool look(struct world *w, uint32_t i, struct stream *s)
{
    struct node *x = &w->node[i];
    struct run *r;

    if (x->have[s->block] != 0) {
        if (s->sending == NULL)
            begin(w, i, s);
        if (s->sending == NULL || s->sending->flow != NULL)
            return true;
        /* All that was there had been sent before it was whole. */
        struct sending *sending = s->sending;

        stream_free(s);
        sim_sent(w, sending);
        return false;
    }
    r = reads(x, s->block);
    if (r == NULL) {
        fail(w, i, s);
        return false;
    }
    if (s->sending == NULL && r->flow != NULL && r->first + r->done == s->block)
        begin(w, i, s);
    return true;
}

void sim_streams(struct world *w, uint32_t i)
{
    struct el_list *it, *next;

    for (it = w->node[i].streams.next; it != &w->node[i].streams; it = next) {
        next = it->next;
        if (!look(w, i, EL_ENTRY(it, struct stream, in_node)))
            next = w->node[i].streams.next;
    }
}

void sim_stream_sent(struct world *w, struct sending *s)
{
    struct node *x = &w->node[s->from];
    struct el_list *it, *tmp;

    s->flow = NULL;
    if (!s->is_stream) {
        sim_sent(w, s);
        return;
    }
    EL_LIST_EACH (it, tmp, &x->streams) {
        struct stream *stream = EL_ENTRY(it, struct stream, in_node);

        if (stream->sending != s)
            continue;
        if (x->have[stream->block] == 0)
            return;
        stream_free(stream);
        sim_sent(w, s);
        return;
    }
}

void sim_stream_cancel(struct world *w, uint32_t i, uint32_t to, uint32_t chunk,
                       struct p2p_blocks blocks)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &w->node[i].streams) {
        struct stream *s = EL_ENTRY(it, struct stream, in_node);
        bool is_named =
            s->block / P2P_CHUNK_BLOCKS == chunk &&
            (blocks.count == 0 || s->block % P2P_CHUNK_BLOCKS - blocks.first < blocks.count);

        if (s->to == to && s->sending == NULL && is_named)
            stream_free(s);
    }
}

void sim_streams_drop(struct world *w, uint32_t i, uint32_t to)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &w->node[i].streams) {
        if (EL_ENTRY(it, struct stream, in_node)->to == to)
            stream_free(EL_ENTRY(it, struct stream, in_node));
    }
}

static void pace(struct world *w, const struct node *x, const struct stream *s)
{
    const struct run *r = reads(x, s->block);
    struct flow *f = s->sending->flow;
    double cap = x->conf.manner == SIM_DRIP ? DRIP_BPS : 0;

    if (f == NULL)
        return;
    if (r != NULL && r->flow != NULL && r->first + r->done == s->block && cap == 0 &&
        flow_left(f, w->now) <= flow_left(r->flow, w->now) + LAG)
        cap = flow_rate(r->flow);
    flows_set_cap(w->flows, w->now, f, cap);
}

void sim_streams_pace(struct world *w)
{
    const struct el_list *of, *it;

    for (of = w->streaming.next; of != &w->streaming; of = of->next) {
        const struct node *x = EL_ENTRY(of, const struct node, in_world);

        for (it = x->streams.next; it != &x->streams; it = it->next)
            if (EL_ENTRY(it, const struct stream, in_node)->sending != NULL)
                pace(w, x, EL_ENTRY(it, const struct stream, in_node));
    }
}
