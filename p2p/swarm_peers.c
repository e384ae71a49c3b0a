/* SPDX-License-Identifier: MIT */
/* The peers of swarm.h: links, measured rates, and who is left alone for how long. */
#include "p2p/swarm_in.h"

#define MAX_PEERS 4096u /* remembered */
/* After a bad block: a minute, and twice as long each time; the strikes themselves fade. */
#define QUARANTINE_MS     60000.0
#define MAX_QUARANTINE_MS 3600000.0
#define STRIKE_HALF_MS    600000.0 /* a half is left, a third after as long again, ... */
/* After a block that did not come, and after a link that did not. */
#define COOL_MS      500u
#define MAX_COOL_MS  30000u
#define RETRY_MS     1000u
#define MAX_RETRY_MS 30000u

static struct el_list *bucket_of(const struct p2p_swarm *s, uint64_t node)
{
    return (struct el_list *)&s->buckets[node * 0x9e3779b97f4a7c15u >> 58];
}

struct p2p_sw_peer *p2p_sw_peer_find(const struct p2p_swarm *s, uint64_t node)
{
    const struct el_list *bucket = bucket_of(s, node), *it;

    for (it = bucket->next; it != bucket; it = it->next) {
        struct p2p_sw_peer *p = EL_ENTRY(it, struct p2p_sw_peer, in_swarm);

        if (p->node == node)
            return p;
    }
    return NULL;
}

/* Forgets those of which there is nothing to remember. */
static void sweep(struct p2p_swarm *s)
{
    struct el_list *it, *tmp;

    for (unsigned i = 0; i < P2P_SW_BUCKETS; i++)
        EL_LIST_EACH (it, tmp, &s->buckets[i]) {
            struct p2p_sw_peer *p = EL_ENTRY(it, struct p2p_sw_peer, in_swarm);

            if (p->is_up || p->is_connecting || p->uses > 0 || p->quarantined_until > s->now)
                continue;
            el_list_remove(&p->in_swarm);
            free(p);
            s->n_peers--;
        }
}

struct p2p_sw_peer *p2p_sw_peer_get(struct p2p_swarm *s, uint64_t node)
{
    struct p2p_sw_peer *p = p2p_sw_peer_find(s, node);

    if (p != NULL)
        return p;
    if (s->n_peers >= MAX_PEERS)
        sweep(s);
    p = el_new(struct p2p_sw_peer);
    p->node = node;
    el_list_append(bucket_of(s, node), &p->in_swarm);
    s->n_peers++;
    return p;
}

void p2p_sw_peers_free(struct p2p_swarm *s)
{
    for (unsigned i = 0; i < P2P_SW_BUCKETS; i++)
        while (!el_list_empty(&s->buckets[i]))
            free(EL_ENTRY(el_list_pop(&s->buckets[i]), struct p2p_sw_peer, in_swarm));
}

/* A time that no two nodes share: 3/4 to 5/4 of it. */
static uint64_t jitter(struct p2p_swarm *s, uint64_t ms)
{
    return ms * 3 / 4 + el_rng_below(&s->rng, ms / 2 + 1);
}

void p2p_sw_peer_connect(struct p2p_swarm *s, struct p2p_sw_peer *p)
{
    if (p->is_up || p->is_connecting || s->now < p->retry_at)
        return;
    p->is_connecting = true;
    p2p_sw_push(s, &(struct p2p_move){ .kind = P2P_MOVE_CONNECT, .node = p->node });
}

bool p2p_sw_peer_may_be_asked(const struct p2p_swarm *s, const struct p2p_sw_peer *p)
{
    return p->is_up && s->now >= p->cool_until && s->now >= p->quarantined_until;
}

void p2p_sw_average(double *avg, double x)
{
    *avg = *avg == 0 ? x : *avg * 0.95 + x * 0.05;
}

void p2p_sw_peer_gave(struct p2p_swarm *s, struct p2p_sw_peer *p)
{
    p->last_at = s->now;
    p->blocks++;
    p->slow = 0;
    p->failures = 0;
    s->stats.blocks_peers++;
}

void p2p_sw_peer_took(struct p2p_swarm *s, struct p2p_sw_peer *p, uint32_t waited_ms,
                      uint32_t took_ms)
{
    /* The clock is cut to whole ms; 0 means that none is known. */
    double took = took_ms + 0.5, rate = (double)P2P_MAX_BLOCK / took;

    p->rate = p->rate == 0 ? rate : p->rate * 0.75 + rate * 0.25;
    p2p_sw_average(&s->wait, waited_ms);
    p2p_sw_average(&s->took, took);
}

void p2p_sw_peer_cool(struct p2p_swarm *s, struct p2p_sw_peer *p, uint64_t ms)
{
    p->cool_until = el_max_u64(p->cool_until, s->now + jitter(s, el_min_u64(ms, MAX_COOL_MS)));
}

void p2p_sw_peer_was_slow(struct p2p_swarm *s, struct p2p_sw_peer *p)
{
    s->stats.timeouts++;
    p2p_sw_peer_cool(s, p, (uint64_t)COOL_MS << (p->slow < 8 ? p->slow : 8));
    p->slow++;
}

static double fade(const struct p2p_swarm *s, const struct p2p_sw_peer *p)
{
    double halves = (double)(s->now - p->struck_at) / STRIKE_HALF_MS;

    return p->strikes / (1.0 + halves);
}

uint64_t p2p_sw_peer_lied(struct p2p_swarm *s, struct p2p_sw_peer *p)
{
    double ms = QUARANTINE_MS;

    p->strikes = fade(s, p) + 1;
    p->struck_at = s->now;
    for (double n = 1.5; n < p->strikes && ms < MAX_QUARANTINE_MS; n++)
        ms *= 2;
    p->quarantined_until = s->now + (uint64_t)ms;
    s->stats.bad++;
    return p->quarantined_until;
}

void p2p_swarm_peer_up(struct p2p_swarm *s, uint64_t now, uint64_t node, bool same_zone)
{
    struct p2p_sw_peer *p = p2p_sw_peer_get(s, node);
    struct el_list *it;

    s->now = now;
    p->is_up = true;
    p->is_connecting = false;
    p->same_zone = same_zone;
    for (it = s->downloads.next; it != &s->downloads; it = it->next) {
        struct p2p_download *d = EL_ENTRY(it, struct p2p_download, in_swarm);
        struct el_list *g;

        for (g = d->active.next; g != &d->active; g = g->next) {
            struct p2p_sw_group *group = EL_ENTRY(g, struct p2p_sw_group, in_download);

            if (p2p_sw_neighbour_of(group, node) != NULL)
                group->linked_at = now;
            group->must_follow = true;
            p2p_sw_wake(group);
        }
    }
}

void p2p_swarm_peer_down(struct p2p_swarm *s, uint64_t now, uint64_t node)
{
    struct p2p_sw_peer *p = p2p_sw_peer_find(s, node);
    struct el_list *it, *g;

    s->now = now;
    if (p == NULL)
        return;
    p->is_up = false;
    p->is_connecting = false;
    p->retry_at =
        now + jitter(s, el_min_u64((uint64_t)RETRY_MS << (p->failures < 8 ? p->failures : 8),
                                   MAX_RETRY_MS));
    p->failures++;
    p2p_sw_debts_paid(s, node, NULL, (struct p2p_blocks){ 0 });
    for (it = s->downloads.next; it != &s->downloads; it = it->next) {
        struct p2p_download *d = EL_ENTRY(it, struct p2p_download, in_swarm);

        for (g = d->active.next; g != &d->active; g = g->next) {
            struct p2p_sw_group *group = EL_ENTRY(g, struct p2p_sw_group, in_download);
            struct p2p_sw_neighbour *nb = p2p_sw_neighbour_of(group, node);

            if (nb == NULL)
                continue;
            group->taking -= nb->is_taking && group->taking > 0;
            p2p_sw_neighbour_drop(group, nb);
        }
    }
    EL_ASSERT(p->awaited == 0);
}

void p2p_swarm_peer_seen(struct p2p_swarm *s, uint64_t now, uint64_t node)
{
    struct p2p_sw_peer *p = p2p_sw_peer_find(s, node);

    s->now = now;
    if (p == NULL)
        return;
    p->failures = 0;
    p->retry_at = now;
}

void p2p_swarm_peer_back(struct p2p_swarm *s, uint64_t now, uint64_t node)
{
    struct p2p_sw_peer *p = p2p_sw_peer_find(s, node);

    p2p_swarm_peer_seen(s, now, node);
    if (p == NULL)
        return;
    p->slow = 0;
    p->cool_until = now;
}

bool p2p_swarm_is_quarantined(const struct p2p_swarm *s, uint64_t now, uint64_t node)
{
    const struct p2p_sw_peer *p = p2p_sw_peer_find(s, node);

    return p != NULL && now < p->quarantined_until;
}

static void show(const struct p2p_swarm *s, uint64_t now, const struct p2p_sw_peer *p,
                 struct p2p_swarm_peer *ret)
{
    *ret = (struct p2p_swarm_peer){
        .node = p->node,
        .is_up = p->is_up,
        .same_zone = p->same_zone,
        .rate_bps = (uint64_t)(p->rate * 1000),
        .awaited = p->awaited,
        .blocks = p->blocks,
        .bad = (unsigned)(fade(s, p) + 0.5),
        .slow = p->slow,
        .quarantined_until = now < p->quarantined_until ? p->quarantined_until : 0,
    };
}

bool p2p_swarm_peer_get(const struct p2p_swarm *s, uint64_t now, uint64_t node,
                        struct p2p_swarm_peer *ret)
{
    const struct p2p_sw_peer *p = p2p_sw_peer_find(s, node);

    if (p == NULL)
        return false;
    show(s, now, p, ret);
    return true;
}

bool p2p_swarm_peer_next(const struct p2p_swarm *s, uint64_t now, size_t *cursor,
                         struct p2p_swarm_peer *ret)
{
    size_t seen = 0;

    for (unsigned i = 0; i < P2P_SW_BUCKETS; i++)
        for (const struct el_list *it = s->buckets[i].next; it != &s->buckets[i]; it = it->next) {
            const struct p2p_sw_peer *p = EL_ENTRY(it, const struct p2p_sw_peer, in_swarm);

            if (seen++ < *cursor)
                continue;
            show(s, now, p, ret);
            ++*cursor;
            return true;
        }
    return false;
}
