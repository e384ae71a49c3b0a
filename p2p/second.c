/* SPDX-License-Identifier: MIT */
/*
 * second: where no tracker answers for a group, the control plane is asked who has its chunks. What
 * is asked, and for how long that stands, is named.h's to say.
 *
 *   fetch_move.c: no tracker --> p2p_second_ask() --> client's thread --> heard --> swarm: takers
 *
 * Nobody waits for it: the swarm turns to the origin when it would have anyway, unless somebody who
 * was named can be asked by then. Named are members that live: whoever is none could not be
 * believed. The origin is the last to be asked, not the control plane the first.
 */
#include "p2p/engine.h"

struct heard {
    struct el_list link;
    struct disc_cp_holders holders;
};

/* ---- asking ---- */

static void tell_swarm(struct p2p_fetch *f, const struct p2p_group *group)
{
    uint64_t now = p2p_now(f->p);
    const struct p2p_taker *nodes = NULL;
    size_t n = p2p_named_nodes(&f->p->named, now, group, &nodes);

    if (n > 0)
        p2p_swarm_on_named(f->download, now, group->number, nodes, n);
}

void p2p_second_ask(struct p2p_fetch *f, uint32_t number, uint64_t chunks)
{
    struct p2p *p = f->p;
    struct p2p_group group = { .number = number };
    struct el_chunk_id ids[P2P_GROUP_CHUNKS];
    uint64_t want;
    size_t n = 0;

    if (p->cp == NULL || atomic_load(&p->is_stopping))
        return;
    memcpy(group.version, f->id.object, sizeof(group.version));
    want = p2p_named_want(&p->named, p2p_now(p), &group, chunks);
    for (; want != 0; want &= want - 1) {
        ids[n] = f->id;
        ids[n++].index = number * P2P_GROUP_CHUNKS + (uint32_t)__builtin_ctzll(want);
    }
    if (n > 0)
        disc_cp_ask_holders(p->cp, ids, n);
    el_counter_add(p->count.second_asked, n);
    tell_swarm(f, &group);
}

/* ---- answers ---- */

static bool is_living(struct p2p *p, uint64_t hash)
{
    struct disc_member m;

    return hash != p->self && disc_members_find(p->members, hash, &m) && m.state == DISC_ALIVE;
}

static void heed(struct p2p *p, const struct disc_cp_holders *h)
{
    struct p2p_group group = { .number = h->chunk.index / P2P_GROUP_CHUNKS };
    struct p2p_fetch *f = p2p_fetch_find(p, h->chunk.object);
    bool any = false;

    memcpy(group.version, h->chunk.object, sizeof(group.version));
    for (size_t i = 0; i < h->n; i++) {
        uint64_t node = disc_id_hash(el_str_of(h->node_ids[i]));

        any |= is_living(p, node) && p2p_named_heard(&p->named, p2p_now(p), &group,
                                                     h->chunk.index % P2P_GROUP_CHUNKS, node);
    }
    el_counter_add(p->count.second_known, any);
    if (any && f != NULL)
        tell_swarm(f, &group);
}

static void on_heard(struct el_msg *m)
{
    struct p2p *p = EL_ENTRY(m, struct p2p, second_msg);
    struct el_list some, *l;

    EL_ASSERT(pthread_mutex_lock(&p->heard_mtx) == 0);
    el_list_move(&some, &p->second);
    EL_ASSERT(pthread_mutex_unlock(&p->heard_mtx) == 0);
    while ((l = el_list_pop(&some)) != NULL) {
        struct heard *h = EL_ENTRY(l, struct heard, link);

        heed(p, &h->holders);
        free(h);
    }
    p2p_pump(p);
}

void p2p_second_take(void *arg, const struct disc_cp_holders *holders)
{
    struct p2p *p = arg;
    struct heard *h;

    if (holders->n == 0)
        return;
    h = el_new(struct heard);
    h->holders = *holders;
    EL_ASSERT(pthread_mutex_lock(&p->heard_mtx) == 0);
    el_list_append(&p->second, &h->link);
    el_msgq_post(p->queue, &p->second_msg);
    EL_ASSERT(pthread_mutex_unlock(&p->heard_mtx) == 0);
}

/* ---- life ---- */

void p2p_second_init(struct p2p *p)
{
    el_list_init(&p->second);
    el_msg_init(&p->second_msg, on_heard);
}

void p2p_second_stop(struct p2p *p)
{
    el_msgq_cancel(p->queue, &p->second_msg);
}

void p2p_second_deinit(struct p2p *p)
{
    struct el_list *l;

    while ((l = el_list_pop(&p->second)) != NULL)
        free(EL_ENTRY(l, struct heard, link));
}
