/* SPDX-License-Identifier: MIT */
/* gossip_net: see gossip_net.h. */
#include "tests/sim/gossip_net.h"

#define PORT       9000u
#define FRAME      61u /* bytes of a P2P frame around a message */
#define CONNECT_MS 1000u
#define LATENCY_MS 3u
#define SEEDS      3u
#define EPOCH_MS   1700000000000u

enum kind { TICK, MESSAGE, UNREACHABLE };

struct net_event {
    uint64_t at_ms, sequence;
    struct disc_out *out; /* of a message */
    uint64_t peer;        /* who sent it; who was not reached */
    uint32_t node;
    enum kind kind;
};

/* ---- what happens when ---- */

static bool is_before(const struct net_event *a, const struct net_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->sequence < b->sequence;
}

static void push(struct gossip_net *s, struct net_event e)
{
    size_t i = s->n_events++;

    if (i == s->events_cap) {
        s->events_cap = s->events_cap == 0 ? 1024 : s->events_cap * 2;
        s->heap = reallocarray(s->heap, s->events_cap, sizeof(*s->heap));
        EL_ASSERT(s->heap != NULL);
    }
    e.sequence = s->sequence++;
    for (; i > 0 && is_before(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}

static struct net_event pop(struct gossip_net *s)
{
    struct net_event first = s->heap[0], e = s->heap[--s->n_events];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < s->n_events) {
        if (child + 1 < s->n_events && is_before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!is_before(&s->heap[child], &e))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = e;
    return first;
}

/* ---- nodes ---- */

struct texts {
    char id[DISC_MAX_ID + 1], name[32];
};

static struct disc_fields fields_of(size_t i, struct texts *t)
{
    size_t n = (size_t)snprintf(t->name, sizeof(t->name), "n%zu", i);

    (void)snprintf(t->id, sizeof(t->id), "%064zx", i + 1); /* as long as a fingerprint */
    return (struct disc_fields){
        .id = { t->id, DISC_MAX_ID },
        .name = { t->name, n },
        .host = { t->name, n },
        .zone = EL_STR("zone-a"),
        .p2p_port = PORT,
        .http_port = 8082,
    };
}

static uint32_t *place_of(const struct gossip_net *s, uint64_t hash)
{
    size_t at = hash & (s->by_hash_cap - 1);

    while (s->by_hash[at] != 0 && s->node[s->by_hash[at] - 1].hash != hash)
        at = (at + 1) & (s->by_hash_cap - 1);
    return &s->by_hash[at];
}

void net_init(struct gossip_net *s, size_t n, uint64_t seed)
{
    *s = (struct gossip_net){ .n = n, .start_ms = EPOCH_MS, .by_hash_cap = 16 };
    while (s->by_hash_cap < 2 * n)
        s->by_hash_cap *= 2;
    s->node = el_alloc(n * sizeof(*s->node));
    s->by_hash = el_alloc(s->by_hash_cap * sizeof(*s->by_hash));
    s->cards = disc_cards_new();
    el_rng_seed(&s->rng, seed);
    for (size_t i = 0; i < n; i++) {
        struct texts t;

        s->node[i].hash = disc_id_hash(fields_of(i, &t).id);
        *place_of(s, s->node[i].hash) = (uint32_t)i + 1;
    }
}

void net_deinit(struct gossip_net *s)
{
    while (s->n_events > 0) {
        struct net_event e = pop(s);

        if (e.kind == MESSAGE)
            disc_out_free(e.out);
    }
    for (size_t i = 0; i < s->n; i++)
        disc_members_free(s->node[i].m);
    disc_cards_free(s->cards);
    free(s->heap);
    free(s->node);
    free(s->by_hash);
}

static uint64_t later(struct gossip_net *s, unsigned most_ms)
{
    return most_ms == 0 ? 0 : el_rng_below(&s->rng, most_ms + 1);
}

static void schedule(struct gossip_net *s, size_t i)
{
    struct net_node *node = &s->node[i];
    uint64_t due = el_max_u64(disc_members_due_ms(node->m), s->now_ms + 1);

    if (due >= node->tick_ms && node->tick_ms > s->now_ms)
        return;
    node->tick_ms = due + later(s, node->slow_ms);
    push(s, (struct net_event){ .at_ms = node->tick_ms, .kind = TICK, .node = (uint32_t)i });
}

/* ---- the network ---- */

static size_t target_of(const struct gossip_net *s, const struct disc_out *o)
{
    return o->address != NULL ? strtoul(o->address + 1, NULL, 10) : *place_of(s, o->to) - 1u;
}

static void not_reached(struct gossip_net *s, size_t from, size_t to, uint64_t after_ms)
{
    push(s, (struct net_event){ .at_ms = s->now_ms + after_ms,
                                .kind = UNREACHABLE,
                                .node = (uint32_t)from,
                                .peer = s->node[to].hash });
}

static void transmit(struct gossip_net *s, size_t from, struct disc_out *o)
{
    size_t to = target_of(s, o);
    bool is_lost = el_rng_below(&s->rng, 1000) < s->loss_permille;

    s->sent++;
    s->sent_bytes += o->body.n + FRAME;
    s->node[from].sent++;
    s->node[from].sent_bytes += o->body.n + FRAME;
    s->largest = el_max_u64(s->largest, o->body.n);
    if (is_lost || s->node[from].side != s->node[to].side || to == from) {
        not_reached(s, from, to, CONNECT_MS);
        disc_out_free(o);
        return;
    }
    push(s, (struct net_event){ .at_ms = s->now_ms + 1 + later(s, LATENCY_MS) +
                                         later(s, s->node[to].slow_ms),
                                .kind = MESSAGE,
                                .node = (uint32_t)to,
                                .peer = s->node[from].hash,
                                .out = o });
}

static void watch(struct gossip_net *s, struct net_node *node, const struct disc_event *e)
{
    bool is_slow = s->node[*place_of(s, e->card->hash) - 1].slow_ms > 0;

    s->suspected += e->kind == DISC_EVENT_SUSPECTED;
    s->died += e->kind == DISC_EVENT_DEAD && !is_slow;
    s->died_slow += e->kind == DISC_EVENT_DEAD && is_slow;
    node->dead_seen += e->kind == DISC_EVENT_DEAD;
    node->left_seen += e->kind == DISC_EVENT_LEFT;
    node->conflicts_seen += e->kind == DISC_EVENT_CONFLICT;
}

static void flush(struct gossip_net *s, size_t i)
{
    struct disc_members *m = s->node[i].m;
    struct disc_event e;
    struct disc_out *o;

    while ((o = disc_members_next_out(m)) != NULL)
        transmit(s, i, o);
    while (disc_members_next_event(m, &e)) {
        watch(s, &s->node[i], &e);
        disc_card_unref(e.card);
    }
}

static void message(struct gossip_net *s, const struct net_event *e)
{
    struct net_node *node = &s->node[e->node];
    size_t from = *place_of(s, e->peer) - 1u;

    if (node->m == NULL)
        not_reached(s, from, e->node, CONNECT_MS);
    else
        EL_ASSERT(disc_members_give(node->m, s->now_ms, e->peer, el_buf_str(&e->out->body), NULL) ==
                  EL_OK);
    disc_out_free(e->out);
}

static void happen(struct gossip_net *s, const struct net_event *e)
{
    struct net_node *node = &s->node[e->node];

    if (e->kind == MESSAGE)
        message(s, e);
    if (node->m == NULL || (e->kind == TICK && e->at_ms != node->tick_ms))
        return;
    if (e->kind == TICK)
        disc_members_tick(node->m, s->now_ms);
    else if (e->kind == UNREACHABLE)
        disc_members_unreachable(node->m, s->now_ms, e->peer);
    flush(s, e->node);
    schedule(s, e->node);
}

/* ---- what is done to it ---- */

void net_start(struct gossip_net *s, size_t i)
{
    char address[SEEDS][32];
    struct texts texts;
    struct el_str seeds[SEEDS];
    struct disc_members_conf conf = { .self = fields_of(i, &texts),
                                      .start_ms = s->start_ms + s->now_ms,
                                      .now_ms = s->now_ms,
                                      .cards = s->cards };
    size_t n = 0;

    EL_ASSERT(s->node[i].m == NULL);
    el_rng_seed(&conf.rng, el_rng_u64(&s->rng));
    s->node[i].m = disc_members_new(&conf);
    s->node[i].tick_ms = 0;
    s->n_up++;
    for (size_t k = 0; k < SEEDS && k < s->n; k++)
        if (k != i) {
            (void)snprintf(address[n], sizeof(address[n]), "n%zu:%u", k, PORT);
            seeds[n] = el_str_of(address[n]);
            n++;
        }
    disc_members_set_seeds(s->node[i].m, seeds, NULL, n, s->now_ms);
    schedule(s, i);
}

void net_crash(struct gossip_net *s, size_t i)
{
    EL_ASSERT(s->node[i].m != NULL);
    disc_members_free(s->node[i].m);
    s->node[i].m = NULL;
    s->n_up--;
}

void net_leave(struct gossip_net *s, size_t i)
{
    disc_members_leave(s->node[i].m, s->now_ms);
    flush(s, i);
    net_crash(s, i);
}

bool net_run(struct gossip_net *s, uint64_t until_ms, bool (*done)(struct gossip_net *s))
{
    uint64_t next_look = s->now_ms + 100;

    while (s->n_events > 0 && s->heap[0].at_ms <= until_ms) {
        struct net_event e = pop(s);

        s->now_ms = e.at_ms;
        happen(s, &e);
        if (done == NULL || s->now_ms < next_look)
            continue;
        next_look = s->now_ms + 100;
        if (done(s))
            return true;
    }
    s->now_ms = until_ms;
    return false;
}

/* ---- what is seen ---- */

bool net_agrees(struct gossip_net *s)
{
    uint64_t digest = 0;
    bool is_first = true;

    for (size_t i = 0; i < s->n; i++) {
        const struct disc_members *m = s->node[i].m;

        if (m == NULL)
            continue;
        if (disc_members_live(m) != s->n_up)
            return false;
        if (!is_first && disc_members_digest(m) != digest)
            return false;
        digest = disc_members_digest(m);
        is_first = false;
    }
    return true;
}

size_t net_believe(const struct gossip_net *s, size_t i, bool is_live)
{
    struct disc_member known;
    size_t n = 0;

    for (size_t k = 0; k < s->n; k++)
        if (k != i && s->node[k].m != NULL &&
            disc_members_find(s->node[k].m, s->node[i].hash, &known))
            n += (known.state <= DISC_SUSPECT) == is_live;
    return n;
}
