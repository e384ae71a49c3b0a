/* SPDX-License-Identifier: MIT */
/*
 * peers: who is there. Membership decides whom this node talks to of its own accord; links bring
 * what is said to whom it concerns. Blocks are asked for over a link that this node has opened, and
 * come back on it. So two nodes that take from each other have two links, each with blocks in one
 * direction only: what is short goes the other way on it, and never waits behind a block.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>

#include "common/log.h"
#include "p2p/company.h"
#include "p2p/engine.h"
#include "p2p/tracker_wire.h"

#define SEEDS_MS    5000u
#define ALONE_MS    250u   /* the same while nobody is known */
#define COMPLAIN_MS 60000u /* that seeds cannot be read is said so often */
#define SHUN_MS     3000u  /* who could not be reached is not asked as a tracker */
#define SHUN_TWICE  3u     /* so often twice as long the next time */
#define UP_MS       1000u  /* a link that was up for less is not tried again at once */
#define SENT_MS     3000u  /* what was said to a peer before its link broke may not have arrived */
#define LONG_WAY_MS 500u   /* there and back; beyond that it is slowness */
#define MAX_WAITING (256u * 1024u) /* bytes for somebody who is being connected to */
#define MAX_ADDRESS 300u

/* ---- nodes ---- */

static struct p2p_node **slot_of(struct p2p *p, uint64_t hash)
{
    struct p2p_node **at = &p->nodes[hash % P2P_TABLE];

    while (*at != NULL && (*at)->hash != hash)
        at = &(*at)->next;
    return at;
}

struct p2p_node *p2p_node_find(struct p2p *p, uint64_t hash)
{
    return *slot_of(p, hash);
}

static struct p2p_node *node_get(struct p2p *p, uint64_t hash)
{
    struct p2p_node **at = slot_of(p, hash);

    if (*at == NULL) {
        *at = el_new(struct p2p_node);
        (*at)->hash = hash;
        el_list_init(&(*at)->remotes);
        el_buf_init(&(*at)->waiting);
    }
    return *at;
}

/* Nothing speaks of it any more. */
static void node_let_go(struct p2p *p, struct p2p_node *n)
{
    struct p2p_node **at = slot_of(p, n->hash);

    if (!el_list_empty(&n->remotes) || n->connecting != NULL || n->is_cut ||
        n->shunned_until > p2p_now(p))
        return;
    *at = n->next;
    el_buf_deinit(&n->waiting);
    free(n);
}

static bool is_in(struct p2p *p, uint64_t hash, enum disc_state state)
{
    struct disc_member m;

    return disc_members_find(p->members, hash, &m) && m.state == state;
}

bool p2p_is_shunned(struct p2p *p, uint64_t hash)
{
    struct p2p_node *n = p2p_node_find(p, hash);

    return (n != NULL && n->asking == NULL && n->shunned_until > p2p_now(p)) ||
           is_in(p, hash, DISC_SUSPECT);
}

uint64_t p2p_node_owes_ms(struct p2p *p, uint64_t hash)
{
    struct p2p_node *n = p2p_node_find(p, hash);
    struct p2p_remote *r = p2p_node_remote(n);
    struct p2p_link_stats stats;

    if (n == NULL || r == NULL || n->owes_ms == 0)
        return 0;
    p2p_link_stats(r->link, &stats);
    return el_max_u64(n->owes_ms, r->up_ms) + el_min_u64(stats.rtt_us / 1000, LONG_WAY_MS);
}

static void shun(struct p2p *p, struct p2p_node *n)
{
    n->shunned_until = p2p_now(p) + ((uint64_t)SHUN_MS << n->failures);
    n->failures += n->failures < SHUN_TWICE;
}

static void shun_no_more(struct p2p_node *n)
{
    n->shunned_until = 0;
    n->failures = 0;
}

static void look_at_links(struct p2p *p)
{
    struct p2p_arrivals all = { 0 };
    struct el_list *it, *tmp;

    for (size_t i = 0; i < P2P_TABLE; i++) {
        for (struct p2p_node *n = p->nodes[i]; n != NULL; n = n->next) {
            EL_LIST_EACH (it, tmp, &n->remotes)
                p2p_arrive_look(EL_ENTRY(it, struct p2p_remote, link_of_node), &all);
        }
    }
    p->usual_rate = all.n == 0 ? 0 : all.sum / all.n;
}

uint64_t p2p_hash_of(const struct el_digest *fingerprint)
{
    char id[P2P_ID_CHARS + 1];

    el_hex(fingerprint->b, EL_SHA256_BYTES, id);
    return disc_id_hash(el_str_of(id));
}

/* ---- connecting ---- */

static struct p2p_attempt *attempt_new(struct p2p *p, struct p2p_node *node, const char *address)
{
    struct p2p_attempt *a = el_new(struct p2p_attempt);

    a->p = p;
    a->node = node;
    a->began_ms = p2p_now(p);
    a->address = address != NULL ? el_strndup(address, strlen(address)) : NULL;
    el_buf_init(&a->waiting);
    el_list_append(&p->attempts, &a->link);
    return a;
}

static void attempt_free(struct p2p_attempt *a)
{
    el_list_remove(&a->link);
    el_buf_deinit(&a->waiting);
    free(a->address);
    free(a);
}

/* Takes the attempt. NULL: there is no link, and nobody will say so. */
static struct p2p_link *connect_to(struct p2p *p, struct p2p_attempt *a, const char *host,
                                   uint16_t port, uint16_t http_port)
{
    struct p2p_link *link = NULL;
    struct el_error err;

    if (atomic_load(&p->is_stopping) ||
        p2p_net_reach(p->net, host, port, http_port, a, &link, &err) != EL_OK) {
        attempt_free(a);
        return NULL;
    }
    return link;
}

void p2p_node_connect(struct p2p *p, uint64_t hash)
{
    struct p2p_node *n = p2p_node_find(p, hash);
    struct disc_member m;

    if (n != NULL && (n->asking != NULL || n->connecting != NULL))
        return;
    if (disc_members_find(p->members, hash, &m) && disc_card_is_serving(m.card)) {
        n = node_get(p, hash);
        n->connecting = connect_to(p, attempt_new(p, n, NULL), disc_card_host(m.card),
                                   m.card->p2p_port, m.card->http_port);
        if (n->connecting != NULL)
            return;
        node_let_go(p, n);
    }
    p2p_swarm_peer_down(p->swarm, p2p_now(p), hash);
    disc_members_unreachable(p->members, p2p_now(p), hash);
}

void p2p_node_try_port(struct p2p *p, struct p2p_node *n)
{
    struct disc_member m;

    if (n->connecting == NULL && disc_members_find(p->members, n->hash, &m) &&
        disc_card_is_serving(m.card))
        n->connecting =
            connect_to(p, attempt_new(p, n, NULL), disc_card_host(m.card), m.card->p2p_port, 0);
}

/*
 * Nobody's question is spent on finding out whether one that was shunned is back: it stays so until
 * a link to it is up, or until the membership says that it is gone, or that it lives.
 */
static void look_again(struct p2p *p, struct p2p_node *n)
{
    if (is_in(p, n->hash, DISC_ALIVE) && n->asking == NULL) {
        n->shunned_until = p2p_now(p) + SHUN_MS; /* longer than the attempt takes */
        p2p_node_connect(p, n->hash);
        return;
    }
    shun_no_more(n);
    node_let_go(p, n);
}

static void look_at_shunned(struct p2p *p)
{
    for (size_t i = 0; i < P2P_TABLE; i++) {
        struct p2p_node *next;

        for (struct p2p_node *n = p->nodes[i]; n != NULL; n = next) {
            next = n->next;
            if (n->shunned_until != 0 && n->shunned_until <= p2p_now(p))
                look_again(p, n);
        }
    }
}

/* ---- sending ---- */

uint32_t p2p_remote_version(const struct p2p_remote *r)
{
    return p2p_link_peer(r->link)->version;
}

/* A peer that takes nothing is of no use: what it was to be told is worth no memory. */
void p2p_remote_send(struct p2p_remote *r, struct el_buf *frames)
{
    struct el_error err;

    if (frames->n == 0)
        return;
    if (!p2p_link_send(r->link, frames)) {
        el_fail(&err, EL_EOVERLOAD, 0, "the peer takes no frames");
        p2p_link_close(r->link, &err);
        el_buf_deinit(frames);
    }
}

uint32_t p2p_node_version(struct p2p *p, uint64_t hash)
{
    struct p2p_remote *r = p2p_node_remote(p2p_node_find(p, hash));

    return r != NULL ? p2p_remote_version(r) : P2P_VERSION_HELLO;
}

static bool keep_waiting(struct el_buf *waiting, struct el_buf *frames)
{
    bool fits = waiting->n + frames->n <= MAX_WAITING;

    if (fits)
        el_buf_add(waiting, frames->p, frames->n);
    el_buf_deinit(frames);
    return fits;
}

struct p2p_remote *p2p_node_remote(struct p2p_node *n)
{
    if (n == NULL || n->asking != NULL)
        return n != NULL ? n->asking : NULL;
    return el_list_empty(&n->remotes) ? NULL
                                      : EL_ENTRY(n->remotes.next, struct p2p_remote, link_of_node);
}

bool p2p_node_send(struct p2p *p, uint64_t hash, struct el_buf *frames)
{
    struct p2p_remote *r = p2p_node_remote(p2p_node_find(p, hash));
    struct p2p_node *n;

    if (r != NULL) {
        p2p_remote_send(r, frames);
        return true;
    }
    p2p_node_connect(p, hash);
    n = p2p_node_find(p, hash);
    if (n != NULL && n->connecting != NULL)
        return keep_waiting(&n->waiting, frames);
    el_buf_deinit(frames);
    return false;
}

/* ---- the membership's messages ---- */

static struct p2p_attempt *attempt_at(struct p2p *p, const char *address)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->attempts) {
        struct p2p_attempt *a = EL_ENTRY(it, struct p2p_attempt, link);

        if (a->address != NULL && strcmp(a->address, address) == 0)
            return a;
    }
    return NULL;
}

/* "host:port" or "[v6]:port" of numbers. */
static bool split_address(const char *address, char host[MAX_ADDRESS], uint16_t *ret_port)
{
    const char *colon = strrchr(address, ':');
    size_t n = colon != NULL ? (size_t)(colon - address) : 0;
    unsigned long port = colon != NULL ? strtoul(colon + 1, NULL, 10) : 0;

    if (n == 0 || n >= MAX_ADDRESS || port == 0 || port > UINT16_MAX)
        return false;
    if (address[0] == '[' && n >= 2 && address[n - 1] == ']') {
        address++;
        n -= 2;
    }
    memcpy(host, address, n);
    host[n] = '\0';
    *ret_port = (uint16_t)port;
    return true;
}

static void send_to_address(struct p2p *p, const char *address, struct el_buf *frames)
{
    struct p2p_attempt *a = attempt_at(p, address);
    char host[MAX_ADDRESS];
    uint16_t port;

    if (a == NULL && split_address(address, host, &port)) {
        a = attempt_new(p, NULL, address);
        /* Of a seed only the port is known: nodes of a cluster are configured alike. */
        if (connect_to(p, a, host, port, p->http_port) == NULL)
            a = NULL;
    }
    if (a != NULL)
        (void)keep_waiting(&a->waiting, frames); /* it is said again */
    else
        el_buf_deinit(frames);
}

static void envelope_of(struct p2p *p, const struct disc_out *o, struct el_buf *frames)
{
    const struct p2p_envelope e = { .role = P2P_STATEMENT, .body = el_buf_str(&o->body) };

    el_buf_init(frames);
    p2p_envelope_add(frames, p2p_node_version(p, o->to), P2P_GOSSIP, 0, &e);
}

static void carry(struct p2p *p, const struct disc_out *o)
{
    struct p2p_node *n = o->to != 0 ? p2p_node_find(p, o->to) : NULL;
    bool is_linked = p2p_node_remote(n) != NULL;
    struct el_buf frames;

    envelope_of(p, o, &frames);
    if (is_linked || (o->to != 0 && o->card != NULL)) {
        if (!p2p_node_send(p, o->to, &frames))
            disc_members_unreachable(p->members, p2p_now(p), o->to);
    } else if (o->address != NULL) {
        send_to_address(p, o->address, &frames);
    } else {
        el_buf_deinit(&frames);
    }
}

static void note(struct p2p *p, const struct disc_event *e)
{
    static const struct {
        enum el_event tag;
        enum el_log_level level;
    } said[] = {
        [DISC_EVENT_JOINED] = { EV_PEER_JOINED, EL_INFO },
        [DISC_EVENT_SUSPECTED] = { EV_PEER_SUSPECTED, EL_DEBUG },
        [DISC_EVENT_TRUSTED] = { EV_PEER_TRUSTED, EL_DEBUG },
        [DISC_EVENT_MOVED] = { EV_PEER_JOINED, EL_INFO },
        [DISC_EVENT_DEAD] = { EV_PEER_DEAD, EL_WARN },
        [DISC_EVENT_LEFT] = { EV_PEER_LEFT, EL_INFO },
        [DISC_EVENT_CONFLICT] = { EV_PEER_CONFLICT, EL_ERROR },
    };

    el_log(said[e->kind].level, said[e->kind].tag, "peer=%.16s address=%s port=%u members=%zu",
           disc_card_id(e->card), disc_card_host(e->card), e->card->p2p_port,
           disc_members_live(p->members));
}

static void trust(struct p2p *p, uint64_t hash)
{
    struct p2p_node *n = p2p_node_find(p, hash);

    p2p_swarm_peer_back(p->swarm, p2p_now(p), hash);
    if (n == NULL)
        return;
    n->trusted_ms = p2p_now(p);
    shun_no_more(n);
    node_let_go(p, n);
}

/*
 * Its links are of no use even if it comes back: what was sent on them while it was away is sent
 * again by the kernel at ever longer intervals, and all that follows waits for that.
 */
static void close_links(struct p2p *p, uint64_t hash)
{
    struct p2p_node *n = p2p_node_find(p, hash);
    struct el_list *it, *tmp;
    struct el_error why;

    if (n == NULL)
        return;
    el_fail(&why, EL_ETIMEOUT, 0, "the peer is taken for dead");
    EL_LIST_EACH (it, tmp, &n->remotes)
        p2p_link_close(EL_ENTRY(it, struct p2p_remote, link_of_node)->link, &why);
}

static void heed(struct p2p *p, const struct disc_event *e)
{
    note(p, e);
    if (e->kind == DISC_EVENT_JOINED || e->kind == DISC_EVENT_TRUSTED ||
        e->kind == DISC_EVENT_MOVED)
        trust(p, e->card->hash);
    if (e->kind == DISC_EVENT_DEAD) {
        atomic_store(&p->lost_ms, p2p_now(p));
        close_links(p, e->card->hash);
    }
    if (e->kind == DISC_EVENT_DEAD || e->kind == DISC_EVENT_LEFT)
        p2p_swarm_tracker_lost(p->swarm, p2p_now(p), e->card->hash);
    if (e->kind == DISC_EVENT_DEAD || e->kind == DISC_EVENT_LEFT || e->kind == DISC_EVENT_MOVED)
        p2p_tracker_node_gone(p->tracker, p2p_now(p), e->card->hash);
    disc_card_unref(e->card);
}

/* What has begun goes on as it began. */
static void note_company(struct p2p *p)
{
    size_t n = disc_members_live(p->members);
    bool has_plane = p->cp != NULL && disc_cp_is_connected(p->cp);
    bool asks = p2p_company_counts(n, p->conf.min_peers, has_plane);

    if (asks == atomic_load(&p->asks_others))
        return;
    atomic_store(&p->asks_others, asks);
    atomic_store(&p->source.runs_ahead, asks);
    if (p->conf.min_peers > 0)
        el_log(EL_INFO, EV_P2P_COMPANY, "asks=%d members=%zu min_peers=%zu", asks, n,
               p->conf.min_peers);
}

/* Who may answer for keys. */
static void note_live(struct p2p *p)
{
    struct disc_member m;
    size_t at = 0, n = 0;

    if (p->live_version == disc_members_version(p->members))
        return;
    p->live_version = disc_members_version(p->members);
    p->changed_ms = p2p_now(p);
    atomic_store(&p->n_live, disc_members_live(p->members));
    note_company(p);
    while (disc_members_each(p->members, &at, &m)) {
        if (m.state > DISC_SUSPECT || !disc_card_is_serving(m.card))
            continue;
        if (n == p->live_cap) {
            p->live_cap = p->live_cap == 0 ? 64 : p->live_cap * 2;
            p->live = realloc(p->live, p->live_cap * sizeof(*p->live));
            EL_ASSERT(p->live != NULL);
        }
        p->live[n++] = m.card->hash;
    }
    p->n_serving = n;
}

bool p2p_is_member(void *arg, uint64_t hash, uint64_t *ret_zone)
{
    struct p2p *p = arg;
    struct disc_member m;
    struct el_str zone;

    if (!disc_members_find(p->members, hash, &m) || m.state > DISC_SUSPECT)
        return false;
    zone = el_str_of(disc_card_zone(m.card));
    *ret_zone = zone.n > 0 ? el_str_siphash(zone, 0, 0) | 1 : 0;
    return true;
}

size_t p2p_owners(struct p2p *p, const uint8_t key[DISC_KEY_BYTES], uint64_t ret[DISC_OWNERS])
{
    size_t owners[DISC_OWNERS];
    size_t n = disc_rendezvous(key, p->live, p->n_serving, owners);

    for (size_t i = 0; i < n; i++)
        ret[i] = p->live[owners[i]];
    return n;
}

uint64_t p2p_owner(struct p2p *p, const uint8_t key[DISC_KEY_BYTES], unsigned attempt)
{
    uint64_t owners[DISC_OWNERS];

    return attempt < p2p_owners(p, key, owners) ? owners[attempt] : 0;
}

void p2p_peers_pump(struct p2p *p)
{
    struct disc_event e;
    struct disc_out *o;

    while ((o = disc_members_next_out(p->members)) != NULL) {
        carry(p, o);
        disc_out_free(o);
    }
    while (disc_members_next_event(p->members, &e))
        heed(p, &e);
    note_live(p);
}

/* ---- links ---- */

static struct p2p_remote *remote_new(struct p2p *p, struct p2p_node *n, struct p2p_link *link)
{
    struct p2p_remote *r = el_new(struct p2p_remote);

    r->p = p;
    r->node = n;
    r->link = link;
    r->up_ms = p2p_now(p);
    el_list_init(&r->told);
    el_list_init(&r->gives);
    el_list_init(&r->loads);
    el_list_init(&r->cancels);
    p2p_arrive_init(r);
    el_list_append(&n->remotes, &r->link_of_node);
    p2p_link_set_arg(link, r);
    return r;
}

void p2p_node_ask_over(struct p2p *p, struct p2p_node *n, struct p2p_remote *r)
{
    bool same_zone = strcmp(p2p_link_peer(r->link)->zone, p->zone) == 0;

    n->asking = r;
    if (n->waiting.n > 0) {
        p2p_remote_send(r, &n->waiting);
        el_buf_init(&n->waiting);
    }
    p2p_swarm_peer_up(p->swarm, p2p_now(p), n->hash, same_zone);
}

/*
 * What it was reading passes to others now, and not when its leases lapse. One that lives says with
 * its next question what it reads. What it was the tracker of passes to the next one.
 */
static void note_broken(struct p2p *p, struct p2p_node *n)
{
    n->is_cut = false;
    shun(p, n);
    p2p_tracker_node_gone(p->tracker, p2p_now(p), n->hash);
    p2p_swarm_tracker_lost(p->swarm, p2p_now(p), n->hash);
}

/* What waits for it fails now. */
static void note_unreached(struct p2p *p, struct p2p_node *n)
{
    if (n->is_cut)
        note_broken(p, n);
    else
        shun(p, n);
    el_buf_clear(&n->waiting);
    p2p_swarm_peer_down(p->swarm, p2p_now(p), n->hash);
    p2p_call_link_down(p, n->hash);
    disc_members_unreachable(p->members, p2p_now(p), n->hash);
    node_let_go(p, n);
}

static void up(void *arg, struct p2p_link *link)
{
    struct p2p *p = arg;
    const struct p2p_peer *peer = p2p_link_peer(link);
    struct p2p_attempt *a = p2p_link_attempt(link);
    uint64_t hash = p2p_hash_of(&peer->fingerprint);
    struct p2p_node *n = node_get(p, hash);
    struct p2p_remote *r = remote_new(p, n, link);

    n->is_cut = false;
    shun_no_more(n); /* it is there, whatever became of another link */
    p2p_swarm_peer_seen(p->swarm, p2p_now(p), hash);
    if (a != NULL && a->node != NULL) {
        a->node->connecting = NULL;
        if (a->node != n && a->node->asking == NULL) /* somebody else has that address now */
            note_unreached(p, a->node);
    }
    if (n->asking == NULL && (a != NULL || peer->p2p_port == 0))
        p2p_node_ask_over(p, n, r);
    p2p_direct_up(p, n, r);
    if (a != NULL && a->address != NULL)
        disc_members_reached(p->members, el_str_of(a->address), hash);
    if (a != NULL) {
        p2p_remote_send(r, &a->waiting);
        el_buf_init(&a->waiting);
        attempt_free(a);
    }
    p2p_pump(p);
}

/* A detour may lead back to this node though the seed is another one, on the same machine. */
static bool is_own_port(const struct p2p *p, const char *address)
{
    char host[MAX_ADDRESS];
    uint16_t port;

    return split_address(address, host, &port) && port == p->port;
}

/* It began when the other could not be reached, and meanwhile it says that it lives. */
static bool is_outdated(const struct p2p_attempt *a)
{
    return a->node->trusted_ms >= a->began_ms;
}

/* What waits for it goes on waiting. */
static void connect_again(struct p2p *p, struct p2p_node *n)
{
    uint64_t hash = n->hash;

    n->trusted_ms = 0;
    p2p_node_connect(p, hash);
    n = p2p_node_find(p, hash);
    if (n != NULL)
        node_let_go(p, n);
}

static void failed(struct p2p *p, struct p2p_attempt *a, enum el_err why)
{
    struct p2p_node *n = a->node;
    bool again = n != NULL && is_outdated(a);

    if (why == EL_ELOOP && a->address != NULL && is_own_port(p, a->address))
        disc_members_reached(p->members, el_str_of(a->address), p->self);
    attempt_free(a);
    if (n == NULL)
        return;
    n->connecting = NULL;
    if (n->asking != NULL) /* only its port was tried: it is reached by its node API */
        return;
    if (again) {
        connect_again(p, n);
        return;
    }
    note_unreached(p, n);
}

/* EL_ENOTCACHED: one of the two has ended it, in the middle of a block that does not go on. */
static bool may_be_back(struct p2p *p, const struct p2p_remote *r, enum el_err why)
{
    bool may_be =
        why == EL_ERESET || why == EL_ETRUNCATED || why == EL_ETLS || why == EL_ENOTCACHED;

    return may_be && p2p_now(p) - r->up_ms >= UP_MS;
}

/*
 * A link that is cut is most often the end of a process, but what stands between the two may have
 * cut it as well. Only an attempt tells, and what is asked meanwhile waits for that.
 */
static void look_whether_it_lives(struct p2p *p, struct p2p_node *n)
{
    n->is_cut = true;
    p2p_node_connect(p, n->hash);
    if (n->connecting == NULL)
        note_broken(p, n);
}

static void lost(struct p2p *p, struct p2p_remote *r, enum el_err why)
{
    struct p2p_node *n = r->node;
    bool was_asking = n->asking == r, was_used = p2p_node_remote(n) == r;
    bool may_live = may_be_back(p, r, why);

    el_list_remove(&r->link_of_node);
    p2p_give_remote_down(r);
    if (n->served == r)
        n->served = NULL;
    if (was_asking) {
        n->asking = NULL;
        p2p_swarm_peer_down(p->swarm, p2p_now(p), n->hash);
        if (why == EL_OK || may_live)
            p2p_swarm_peer_seen(p->swarm, p2p_now(p), n->hash);
    }
    if (was_used)
        p2p_call_link_down(p, n->hash);
    p2p_fetch_remote_down(r);
    p2p_arrive_deinit(r);
    free(r);
    if (was_used && n->announced_ms != 0 && p2p_now(p) - n->announced_ms < SENT_MS)
        p2p_find_missed(p);
    if (why != EL_OK && el_list_empty(&n->remotes)) {
        if (may_live)
            look_whether_it_lives(p, n);
        else
            note_broken(p, n);
    }
    node_let_go(p, n);
}

static void down(void *arg, struct p2p_link *link, const struct el_error *why)
{
    struct p2p *p = arg;
    struct p2p_remote *r = p2p_link_arg(link);
    struct p2p_attempt *a = p2p_link_attempt(link);

    if (r != NULL) {
        if (why->code != EL_OK)
            el_log_error(EL_INFO, EV_PEER_LINK_LOST, why);
        lost(p, r, why->code);
    } else if (a != NULL) { /* what is up has none any more */
        el_log_error(EL_DEBUG, EV_PEER_UNREACHABLE, why);
        failed(p, a, why->code);
    } else {
        return;
    }
    p2p_pump(p);
}

/* ---- what comes ---- */

static void close_for(struct p2p_remote *r, const struct el_error *err)
{
    el_log_error(EL_WARN, EV_PEER_MALFORMED, err);
    p2p_link_close(r->link, err);
}

static enum el_err heed_chunks(struct p2p_remote *r, struct el_str body, struct el_error *err)
{
    struct disc_chunks v[DISC_MAX_CHUNKS];
    struct p2p *p = r->p;
    enum disc_type type;
    enum el_err rc;
    size_t n;

    rc = disc_chunks_decode(body, &type, v, &n, err);
    if (rc != EL_OK)
        return rc;
    p2p_find_heed(p, r->node->hash, type, v, n);
    return EL_OK;
}

static void heed_gossip(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct p2p *p = r->p;
    struct p2p_envelope e;
    struct el_error err;
    enum el_err rc = p2p_envelope_decode(f, &e, &err);
    unsigned type = rc == EL_OK ? (unsigned char)e.body.p[0] : 0;

    if (rc == EL_OK && (type == DISC_CHUNK_ANNOUNCE || type == DISC_CHUNK_REMOVE))
        rc = heed_chunks(r, e.body, &err);
    else if (rc == EL_OK)
        rc = disc_members_give(p->members, p2p_now(p), r->node->hash, e.body, &err);
    if (rc != EL_OK)
        close_for(r, &err);
}

static void heed_error(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct p2p_refusal refusal;
    struct el_error err;

    if (p2p_error_decode(f, &refusal, &err) != EL_OK)
        close_for(r, &err);
    else if (f->has_chunk)
        p2p_fetch_error(r, &f->chunk, &refusal);
    else
        p2p_call_refused(r, f->sequence);
}

static void frame(void *arg, struct p2p_link *link, const struct p2p_frame *f)
{
    struct p2p *p = arg;
    struct p2p_remote *r = p2p_link_arg(link);

    switch (f->type) {
    case P2P_REQUEST:
        p2p_give_request(r, f);
        break;
    case P2P_CANCEL:
        p2p_give_cancel(r, f);
        break;
    case P2P_MANIFEST:
        p2p_fetch_manifest(r, f);
        break;
    case P2P_HAVE:
        p2p_fetch_have(r, f);
        break;
    case P2P_ACK:
        p2p_fetch_ack(r, f);
        break;
    case P2P_ERROR:
        heed_error(r, f);
        break;
    default:
        if (f->type >= P2P_TRACKER)
            p2p_call_frame(r, f);
        else
            heed_gossip(r, f);
        break;
    }
    p2p_pump(p);
}

static void closed(void *arg)
{
    ((struct p2p *)arg)->net_is_closed = true;
}

const struct p2p_net_ops p2p_net_ops_of_engine = {
    .up = up,
    .down = down,
    .frame = frame,
    .closed = closed,
    .place = p2p_arrive_place,
    .block = p2p_arrive_block,
    .unplaced = p2p_arrive_unplaced,
};

/* ---- seeds ---- */

static void poll_seeds(struct p2p *p)
{
    struct disc_seeds seeds = { 0 };
    struct el_str addresses[DISC_MAX_SEEDS];
    struct el_error err;
    enum el_err rc;

    rc = disc_providers_poll(&p->providers, el_clock_wall_ms(p->clock), &seeds, &err);
    if (rc != EL_OK && p2p_now(p) >= p->complain_due_ms) {
        p->complain_due_ms = p2p_now(p) + COMPLAIN_MS;
        el_log_error(EL_WARN, EV_SEEDS, &err);
    }
    for (size_t i = 0; i < seeds.n; i++)
        addresses[i] = el_str_of(seeds.address[i]);
    disc_members_set_seeds(p->members, addresses, seeds.from, seeds.n, p2p_now(p));
    disc_seeds_deinit(&seeds);
}

void p2p_peers_tick(struct p2p *p)
{
    uint64_t now = p2p_now(p);

    /* What a control plane knows comes first, and then there is nothing to look for. */
    if (now >= p->seeds_due_ms && (p->cp == NULL || !disc_cp_is_hydrating(p->cp))) {
        p->seeds_due_ms = now + (disc_members_live(p->members) > 1 ? SEEDS_MS : ALONE_MS);
        poll_seeds(p);
    }
    if (now >= disc_members_due_ms(p->members))
        disc_members_tick(p->members, now);
    if (now >= p->look_due_ms) {
        note_company(p); /* the control plane may have come or gone */
        look_at_links(p);
        p2p_direct_tick(p);
        look_at_shunned(p);
    }
}

void p2p_peers_leave(struct p2p *p)
{
    disc_members_leave(p->members, p2p_now(p));
    p2p_peers_pump(p);
}

/* ---- start ---- */

/* The first address of the machine that others may reach. */
static void find_address(char host[DISC_MAX_HOST + 1])
{
    struct ifaddrs *all = NULL;

    (void)snprintf(host, DISC_MAX_HOST + 1, "127.0.0.1");
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *a = all; a != NULL; a = a->ifa_next) {
        if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_INET ||
            (a->ifa_flags & IFF_LOOPBACK) != 0 || (a->ifa_flags & IFF_UP) == 0)
            continue;
        (void)inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr, host,
                        DISC_MAX_HOST);
        break;
    }
    freeifaddrs(all);
}

static void choose_host(struct p2p *p, const struct p2p_conf *conf)
{
    if (conf->advertise_address[0] != '\0')
        (void)snprintf(p->host, sizeof(p->host), "%s", conf->advertise_address);
    else if (strcmp(conf->bind_address, "0.0.0.0") == 0 || strcmp(conf->bind_address, "::") == 0)
        find_address(p->host);
    else
        (void)snprintf(p->host, sizeof(p->host), "%s", conf->bind_address);
}

enum el_err p2p_peers_start(struct p2p *p, const struct p2p_conf *conf, struct el_error *err)
{
    char own[DISC_MAX_HOST + 16];
    struct disc_members_conf members = {
        .start_ms = (uint64_t)el_clock_wall_ms(p->clock),
        .now_ms = p2p_now(p),
    };
    enum el_err rc;

    choose_host(p, conf);
    members.self = (struct disc_fields){
        .id = el_str_of(p->identity.id),
        .name = el_str_of(p->name),
        .host = el_str_of(p->host),
        .zone = el_str_of(p->zone),
        .p2p_port = p->port,
        .http_port = p->is_outbound_only ? 0 : p->http_port,
        .flags = p->is_outbound_only ? DISC_FLAG_OUTBOUND_ONLY : 0,
    };
    rc = disc_fields_check(&members.self, err);
    if (rc != EL_OK)
        return rc;
    p->cards = disc_cards_new();
    members.cards = p->cards;
    el_rng_seed(&members.rng, el_rng_u64(&p->rng));
    p->members = disc_members_new(&members);
    p->live_version = UINT64_MAX;
    note_live(p);
    (void)snprintf(own, sizeof(own), strchr(p->host, ':') != NULL ? "[%s]:%u" : "%s:%u", p->host,
                   p->port);
    if (!p->is_outbound_only)
        disc_providers_announce(&p->providers, el_str_of(own));
    return EL_OK;
}

/* Every link is down. */
static void free_nodes(struct p2p *p)
{
    for (size_t i = 0; i < P2P_TABLE; i++) {
        while (p->nodes[i] != NULL) {
            p->nodes[i]->shunned_until = 0;
            p->nodes[i]->is_cut = false;
            node_let_go(p, p->nodes[i]);
        }
    }
}

void p2p_peers_free(struct p2p *p)
{
    free_nodes(p);
    disc_providers_deinit(&p->providers);
    disc_members_free(p->members);
    disc_cards_free(p->cards);
    free(p->live);
}
