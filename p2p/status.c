/* SPDX-License-Identifier: MIT */
/* status: how the engine's state looks from outside. The engine writes it down once a second, so
 * that whoever asks waits for nobody. */
#include "p2p/engine.h"
#include "p2p/regard.h"

static const char *state_name(enum disc_state s)
{
    static const char *const names[] = { [DISC_ALIVE] = "active",
                                         [DISC_SUSPECT] = "suspect",
                                         [DISC_DEAD] = "dead",
                                         [DISC_LEFT] = "left" };

    return names[s];
}

static void add_link(struct p2p *p, json_t *one, uint64_t hash)
{
    struct p2p_node *n = p2p_node_find(p, hash);

    if (n != NULL && n->asking != NULL)
        el_json_add_str(one, "via", p2p_is_detour(n->asking) ? EL_STR("http") : EL_STR("p2p"));
}

static void add_rates(struct p2p *p, json_t *one, uint64_t hash)
{
    struct p2p_swarm_peer peer;

    if (!p2p_swarm_peer_get(p->swarm, p2p_now(p), hash, &peer))
        return;
    el_json_add_bool(one, "linked", peer.is_up);
    el_json_add_u64(one, "rate_bytes_s", peer.rate_bps);
    el_json_add_u64(one, "awaited_blocks", peer.awaited);
    el_json_add_u64(one, "blocks", peer.blocks);
    el_json_add_u64(one, "bad_blocks", peer.bad);
    el_json_add_bool(one, "quarantined", peer.quarantined_until != 0);
}

static unsigned health_of(struct p2p *p, const struct disc_member *m)
{
    struct p2p_node *n = p2p_node_find(p, m->card->hash);
    struct p2p_swarm_peer peer = { .node = 0 };
    struct p2p_regard r = { .state = m->state, .is_self = m->card->hash == p->self };

    (void)p2p_swarm_peer_get(p->swarm, p2p_now(p), m->card->hash, &peer); /* else it did nothing */
    r.is_linked = p2p_node_remote(n) != NULL;
    r.has_given = peer.blocks > 0;
    r.is_quarantined = peer.quarantined_until != 0;
    r.unreached = n != NULL ? n->failures : 0;
    r.slow = peer.slow;
    r.bad = peer.bad;
    return p2p_regard_health(&r);
}

/* Living members that are worse than one that was only heard of. */
static void count_unwell(struct p2p *p)
{
    struct disc_member m;
    int64_t unwell = 0;
    size_t at = 0;

    while (disc_members_each(p->members, &at, &m))
        unwell += m.state <= DISC_SUSPECT && health_of(p, &m) < P2P_HEALTH_HEARD;
    el_gauge_set(p->count.unwell, unwell);
}

static void add_peer(struct p2p *p, json_t *list, const struct disc_member *m)
{
    json_t *one = el_json_append_child(list);

    el_json_add_str(one, "node_id", el_str_of(disc_card_id(m->card)));
    el_json_add_str(one, "name", el_str_of(disc_card_name(m->card)));
    el_json_add_str(one, "address", el_str_of(disc_card_host(m->card)));
    el_json_add_u64(one, "p2p_port", m->card->p2p_port);
    el_json_add_u64(one, "http_port", m->card->http_port);
    el_json_add_str(one, "state", el_str_of(state_name(m->state)));
    el_json_add_str(one, "zone", el_str_of(disc_card_zone(m->card)));
    el_json_add_bool(one, "self", m->card->hash == p->self);
    el_json_add_str(one, "source", el_str_of(disc_learnt_name(m->learnt)));
    el_json_add_u64(one, "health", health_of(p, m));
    add_link(p, one, m->card->hash);
    add_rates(p, one, m->card->hash);
}

/* Where its node API is. */
static void add_http_address(json_t *one, const struct disc_card *card)
{
    const char *host = disc_card_host(card);
    struct el_buf address = { 0 };

    el_buf_addf(&address, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, card->http_port);
    el_json_add_str(one, "http_address", el_buf_str(&address));
    el_buf_deinit(&address);
}

/* By whom a newcomer may join: who lives and can be reached. None of them is more than others. */
static void add_seed(struct p2p *p, json_t *list, const struct disc_member *m)
{
    bool lives = m->state == DISC_ALIVE || m->state == DISC_SUSPECT;
    json_t *one;

    (void)p;
    if (!lives || !disc_card_is_serving(m->card))
        return;
    one = el_json_append_child(list);
    el_json_add_str(one, "node_id", el_str_of(disc_card_id(m->card)));
    el_json_add_str(one, "address", el_str_of(disc_card_host(m->card)));
    el_json_add_u64(one, "p2p_port", m->card->p2p_port);
    add_http_address(one, m->card);
    el_json_add_bool(one, "is_anchor", false);
    el_json_add_str(one, "zone", el_str_of(disc_card_zone(m->card)));
}

typedef void add_member(struct p2p *p, json_t *list, const struct disc_member *m);

/* A list of its own, as text. */
static void write_members(struct p2p *p, add_member *add, struct el_buf *out)
{
    json_t *root = el_json_new(), *list = el_json_child_list(root, "members");
    struct disc_member m;
    size_t at = 0;

    while (disc_members_each(p->members, &at, &m))
        add(p, list, &m);
    el_json_write(out, json_incref(list));
    json_decref(root);
}

static void add_tracker(struct p2p *p, json_t *root)
{
    json_t *one = el_json_child(root, "tracker");
    struct p2p_tracker_stats t;

    p2p_tracker_stats(p->tracker, &t);
    el_counter_add(p->count.tracker_gave_up, t.given_up - el_counter_get(p->count.tracker_gave_up));
    el_json_add_u64(one, "groups", t.groups);
    el_json_add_u64(one, "takers", t.takers);
    el_json_add_u64(one, "runs", t.runs);
    el_json_add_u64(one, "urls", t.urls);
    el_json_add_u64(one, "granted", t.granted);
    el_json_add_u64(one, "adopted", t.adopted);
    el_json_add_u64(one, "lapsed", t.lapsed);
    el_json_add_u64(one, "doubted", t.doubted);
    el_json_add_u64(one, "given_up", t.given_up);
}

static json_t *p2p_json(struct p2p *p)
{
    json_t *root = el_json_new();
    struct p2p_swarm_stats s;

    p2p_swarm_stats(p->swarm, &s);
    el_json_add_str(root, "id", el_str_of(p->identity.id));
    el_json_add_u64(root, "port", p->port);
    el_json_add_bool(root, "tls", p->is_tls);
    el_json_add_u64(root, "members", disc_members_live(p->members));
    el_json_add_bool(root, "asks_others", atomic_load(&p->asks_others));
    el_json_add_u64(root, "downloads", p->n_fetches);
    el_json_add_u64(root, "blocks_from_peers", s.blocks_peers);
    el_json_add_u64(root, "blocks_from_origin", s.blocks_lease + s.blocks_no_tracker);
    el_json_add_u64(root, "blocks_streamed", s.blocks_streams);
    el_json_add_u64(root, "blocks_hedged", s.blocks_hedge);
    el_json_add_u64(root, "blocks_twice", s.twice);
    el_json_add_u64(root, "blocks_bad", s.bad);
    el_json_add_u64(root, "blocks_given", el_counter_get(p->count.blocks_out));
    add_tracker(p, root);
    return root;
}

/* ---- for heartbeats ---- */

static void describe(struct p2p *p, const struct p2p_swarm_peer *peer, struct disc_cp_link *ret)
{
    struct p2p_node *n = p2p_node_find(p, peer->node);
    struct disc_member m;

    *ret = (struct disc_cp_link){ .blocks = peer->blocks, .rate_bytes_s = peer->rate_bps };
    ret->is_detour = n != NULL && n->asking != NULL && p2p_is_detour(n->asking);
    if (disc_members_find(p->members, peer->node, &m))
        (void)snprintf(ret->node_id, sizeof(ret->node_id), "%s", disc_card_id(m.card));
}

/* In the place that is due to it; of those before it the last may fall out. */
static size_t put_link(struct disc_cp_link v[DISC_CP_MAX_LINKS], size_t n,
                       const struct disc_cp_link *link)
{
    size_t at = n;

    while (at > 0 && v[at - 1].blocks < link->blocks)
        at--;
    if (at == DISC_CP_MAX_LINKS)
        return n;
    n = el_min_size(n + 1, DISC_CP_MAX_LINKS);
    memmove(&v[at + 1], &v[at], (n - at - 1) * sizeof(v[0]));
    v[at] = *link;
    return n;
}

static size_t find_links(struct p2p *p, struct disc_cp_link v[DISC_CP_MAX_LINKS])
{
    struct p2p_swarm_peer peer;
    struct disc_cp_link link;
    size_t cursor = 0, n = 0;

    while (p2p_swarm_peer_next(p->swarm, p2p_now(p), &cursor, &peer)) {
        if (!peer.is_up)
            continue;
        describe(p, &peer, &link);
        if (link.node_id[0] != '\0')
            n = put_link(v, n, &link);
    }
    return n;
}

void p2p_tell_links(struct p2p *p, struct disc_cp_beat *beat)
{
    EL_ASSERT(pthread_mutex_lock(&p->status_mtx) == 0);
    beat->n_links = p->n_links;
    memcpy(beat->links, p->links, p->n_links * sizeof(p->links[0]));
    EL_ASSERT(pthread_mutex_unlock(&p->status_mtx) == 0);
}

/* ---- once a second, and whoever asks ---- */

void p2p_status_make(struct p2p *p)
{
    struct el_buf peers = { 0 }, seeds = { 0 }, all = { 0 };
    struct disc_cp_link links[DISC_CP_MAX_LINKS];
    size_t n_links = find_links(p, links);

    count_unwell(p);
    write_members(p, add_peer, &peers);
    write_members(p, add_seed, &seeds);
    el_json_write(&all, p2p_json(p));
    EL_ASSERT(pthread_mutex_lock(&p->status_mtx) == 0);
    el_buf_deinit(&p->peers_json);
    el_buf_deinit(&p->seeds_json);
    el_buf_deinit(&p->p2p_json);
    p->peers_json = peers;
    p->seeds_json = seeds;
    p->p2p_json = all;
    memcpy(p->links, links, n_links * sizeof(links[0]));
    p->n_links = n_links;
    EL_ASSERT(pthread_mutex_unlock(&p->status_mtx) == 0);
}

void p2p_moved(struct p2p *p, uint64_t *ret_in, uint64_t *ret_out)
{
    *ret_in = el_counter_get(p->count.bytes_in);
    *ret_out = el_counter_get(p->count.bytes_out);
}

void p2p_status(struct p2p *p, json_t *status)
{
    EL_ASSERT(pthread_mutex_lock(&p->status_mtx) == 0);
    el_json_add_text(status, "peers", el_buf_str(&p->peers_json));
    el_json_add_text(status, "p2p", el_buf_str(&p->p2p_json));
    EL_ASSERT(pthread_mutex_unlock(&p->status_mtx) == 0);
}

void p2p_seeds(struct p2p *p, struct el_buf *out)
{
    EL_ASSERT(pthread_mutex_lock(&p->status_mtx) == 0);
    el_buf_add_str(out, el_buf_str(&p->seeds_json));
    EL_ASSERT(pthread_mutex_unlock(&p->status_mtx) == 0);
}
