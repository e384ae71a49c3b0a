/* SPDX-License-Identifier: MIT */
/* Links between the nodes of world.h: order, breaks. */
#include "tests/sim/world_in.h"

struct link *sim_link(struct node *x, uint32_t peer)
{
    size_t i;

    if (x->links_size == 0)
        return NULL;
    for (i = peer * 2654435761u & (x->links_size - 1); x->links[i].peer != 0;
         i = (i + 1) & (x->links_size - 1))
        if (x->links[i].peer == peer + 1)
            return &x->links[i];
    return NULL;
}

static void grow_links(struct node *x)
{
    struct link *old = x->links;
    size_t old_size = x->links_size, mask;

    x->links_size = old_size == 0 ? 32 : old_size * 2;
    mask = x->links_size - 1;
    x->links = el_alloc(x->links_size * sizeof(struct link));
    for (size_t k = 0; k < old_size; k++) {
        size_t i = (old[k].peer - 1) * 2654435761u & mask;

        if (old[k].peer == 0)
            continue;
        while (x->links[i].peer != 0)
            i = (i + 1) & mask;
        x->links[i] = old[k];
    }
    free(old);
}

struct link *sim_link_new(struct node *x, uint32_t peer)
{
    struct link *l = sim_link(x, peer);
    size_t i;

    if (l != NULL)
        return l;
    if (x->n_links * 2 >= x->links_size)
        grow_links(x);
    x->n_links++;
    for (i = peer * 2654435761u & (x->links_size - 1); x->links[i].peer != 0;
         i = (i + 1) & (x->links_size - 1))
        ;
    x->links[i].peer = peer + 1;
    return &x->links[i];
}

bool sim_is_cut(const struct world *w, uint32_t a, uint32_t b)
{
    unsigned x = w->node[a].conf.side, y = w->node[b].conf.side;

    return x != y && w->now >= w->conf->part_us && w->now < w->conf->heal_us;
}

uint64_t sim_delay(const struct world *w, size_t from_port, size_t to_port)
{
    unsigned full = 0;

    if (w->conf->queue_us > 0)
        full = (unsigned)flows_is_full(w->flows, from_port) +
               (unsigned)flows_is_full(w->flows, to_port);
    return w->conf->latency_us + w->conf->queue_us * full;
}

void sim_arrive(struct world *w, struct event e, bool is_block)
{
    uint64_t *last;

    if (w->conf->queue_us == 0) {
        sim_later(w, w->conf->latency_us, e);
        return;
    }
    last = &sim_link(&w->node[e.from], e.to)->arrives[w->conf->overtake && is_block];
    *last = el_max_u64(*last, w->now + sim_delay(w, 2 * (size_t)e.from, 2 * (size_t)e.to + 1));
    e.at = *last;
    sim_add(w, e);
}

/* A short frame, in order with the blocks of the link. */
void sim_send(struct world *w, uint32_t from, uint32_t to, struct event e)
{
    struct link *l = sim_link(&w->node[from], to);

    e.from = from;
    e.to = to;
    w->result.short_frames++;
    if (l == NULL || !l->is_up || sim_is_cut(w, from, to))
        return;
    if (l->sending != NULL && !w->conf->overtake) {
        struct sending *s = l->sending;

        if (s->n_behind == s->size_behind) {
            s->size_behind = s->size_behind == 0 ? 8 : s->size_behind * 2;
            s->behind = realloc(s->behind, s->size_behind * sizeof(struct event));
            EL_ASSERT(s->behind != NULL);
        }
        s->behind[s->n_behind++] = e;
        return;
    }
    sim_arrive(w, e, false);
}

void sim_sending_free(struct sending *s)
{
    free(s->behind);
    free(s);
}

void sim_link_cut(struct world *w, uint32_t a, uint32_t b)
{
    struct link *l = sim_link(&w->node[a], b);

    if (l == NULL || !l->is_up)
        return;
    l->is_up = false;
    l->n_acks = 0;
    if (l->sending != NULL) {
        if (l->sending->flow != NULL)
            flows_cancel(w->flows, w->now, l->sending->flow);
        sim_sending_free(l->sending);
        l->sending = NULL;
    }
    if (l->next != NULL)
        sim_sending_free(l->next);
    l->next = NULL;
    sim_streams_drop(w, a, b);
}

static void drop_followers(struct node *x, uint32_t peer, uint64_t chunks)
{
    for (uint64_t c = 0; c < chunks; c++)
        for (uint32_t i = 0; i < x->followers[c].n; i++)
            if (x->followers[c].v[i] == peer) {
                x->followers[c].v[i] = x->followers[c].v[--x->followers[c].n];
                break;
            }
}

uint64_t sim_chunks(const struct world *w)
{
    return (w->conf->blocks + P2P_CHUNK_BLOCKS - 1) / P2P_CHUNK_BLOCKS;
}

void sim_link_down(struct world *w, uint32_t a, uint32_t b)
{
    struct node *x = &w->node[a];

    sim_link_cut(w, a, b);
    if (x->swarm == NULL)
        return;
    drop_followers(x, b, sim_chunks(w));
    p2p_upload_peer_down(x->upload, b + 1);
    p2p_swarm_peer_down(x->swarm, sim_ms(w), b + 1);
    if (w->node[b].is_dead) {
        x->dead_tracker = b + 1;
        p2p_swarm_tracker_lost(x->swarm, sim_ms(w), b + 1);
    }
}

/* All links between the sides break, and both ends hear of it. */
void sim_part(struct world *w)
{
    for (uint32_t a = 0; a < w->conf->nodes; a++)
        for (uint32_t b = 0; b < w->conf->nodes; b++) {
            const struct link *l = sim_link(&w->node[a], b);

            if (l == NULL || !l->is_up || !sim_is_cut(w, a, b))
                continue;
            sim_link_cut(w, a, b);
            sim_later(w, w->conf->latency_us, (struct event){ .kind = DOWN, .from = b, .to = a });
        }
}
