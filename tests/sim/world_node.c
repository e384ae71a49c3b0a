/* SPDX-License-Identifier: MIT */
/* What a node of world.h has, does, and hears. */
#include "tests/sim/world_in.h"

bool sim_has_all(const struct node *x)
{
    return x->conf.is_seed;
}

struct el_chunk_id sim_chunk_id(const struct world *w, uint32_t chunk)
{
    struct el_chunk_id id = { .index = chunk };

    memcpy(id.object, w->version, sizeof(id.object));
    return id;
}

uint32_t sim_have_bits(const struct world *w, const struct node *x, uint32_t chunk)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < P2P_CHUNK_BLOCKS; i++) {
        uint64_t b = (uint64_t)chunk * P2P_CHUNK_BLOCKS + i;

        if (b < w->conf->blocks && x->have[b] != 0)
            bits |= 1u << i;
    }
    return bits;
}

bool sim_is_whole(const struct world *w, uint32_t chunk, uint32_t bits)
{
    uint64_t left = w->conf->blocks - (uint64_t)chunk * P2P_CHUNK_BLOCKS;

    return bits == (left >= P2P_CHUNK_BLOCKS ? 0xffffu : (1u << left) - 1);
}

static void send_have(struct world *w, uint32_t from, uint32_t to, uint32_t chunk, uint32_t bits)
{
    sim_send(w, from, to,
             (struct event){ .kind = HAVE,
                             .chunk = chunk,
                             .bitmap = bits,
                             .code = sim_coming_bits(w, &w->node[from], chunk) });
}

void sim_tell_followers(struct world *w, uint32_t i, uint32_t chunk)
{
    struct node *x = &w->node[i];
    struct followers *f = &x->followers[chunk];
    uint32_t bits = sim_have_bits(w, x, chunk), start;

    if (f->n == 0)
        return;
    if (w->conf->overtake && w->conf->queue_us == 0) {
        sim_later(w, w->conf->latency_us,
                  (struct event){ .kind = HAVE_ALL,
                                  .to = i,
                                  .chunk = chunk,
                                  .bitmap = bits,
                                  .code = sim_coming_bits(w, x, chunk) });
        return;
    }
    start = (uint32_t)el_rng_below(&w->rng, f->n);
    for (uint32_t k = 0; k < f->n; k++)
        send_have(w, i, f->v[(start + k) % f->n], chunk, bits);
    if (sim_is_whole(w, chunk, bits))
        f->n = 0;
}

void sim_want(struct world *w, struct node *x)
{
    const struct p2p_span all = { 0, w->conf->blocks };

    while (x->front < w->conf->blocks && x->have[x->front] != 0)
        x->front++;
    p2p_swarm_want(x->download, sim_ms(w), &all, 1, x->front);
}

void sim_got(struct world *w, uint32_t i, uint64_t block)
{
    struct node *x = &w->node[i];

    if (x->download != NULL)
        p2p_swarm_have(x->download, sim_ms(w), block);
    if (x->have[block] != 0)
        return;
    x->have[block] = 1;
    x->n_have++;
    sim_streams(w, i);
    sim_tell_followers(w, i, (uint32_t)(block / P2P_CHUNK_BLOCKS));
    if (x->download == NULL)
        return;
    sim_want(w, x);
    if (x->n_have < w->conf->blocks)
        return;
    p2p_swarm_close(x->download, sim_ms(w));
    x->download = NULL;
    x->done_us = w->now;
    w->to_do -= x->conf.manner == SIM_HONEST;
}

/* ---- what it does ---- */

static void connect_to(struct world *w, uint32_t i, uint32_t peer)
{
    struct event e = { .kind = CONNECT, .from = i, .to = peer };

    if (w->node[peer].swarm != NULL && !sim_is_cut(w, i, peer)) {
        sim_later(w, 3 * w->conf->latency_us, e);
        return;
    }
    e.kind = REFUSED;
    e.from = peer;
    e.to = i;
    sim_later(w, CONNECT_MS * 1000, e);
}

/* Nothing that is here, and nothing of whoever has lied. */
static void check_request(struct world *w, uint32_t i, const struct p2p_move *m)
{
    const struct node *x = &w->node[i];
    uint64_t block = (uint64_t)m->chunk.index * P2P_CHUNK_BLOCKS + m->blocks.first;

    if (p2p_swarm_is_quarantined(x->swarm, sim_ms(w), m->node))
        sim_broken(w, "a node in quarantine is asked");
    if (x->have[block] != 0)
        sim_broken(w, "a block that is here is asked for");
}

static void act(struct world *w, uint32_t i, const struct p2p_move *m)
{
    struct event e = { .chunk = m->chunk.index, .blocks = m->blocks };
    uint32_t peer = (uint32_t)(m->node - 1);

    switch (m->kind) {
    case P2P_MOVE_CONNECT:
        connect_to(w, i, peer);
        return;
    case P2P_MOVE_FOLLOW:
        e.kind = FOLLOW;
        break;
    case P2P_MOVE_UNFOLLOW:
        e.kind = UNFOLLOW;
        break;
    case P2P_MOVE_REQUEST:
        check_request(w, i, m);
        e.kind = REQUEST;
        e.code = m->is_coming;
        break;
    case P2P_MOVE_CANCEL:
        e.kind = CANCEL;
        break;
    case P2P_MOVE_LOCATE:
        sim_locate(w, i, m);
        return;
    case P2P_MOVE_FETCH:
        sim_fetch(w, i, m);
        return;
    case P2P_MOVE_STOP:
        sim_stop(w, i, m);
        return;
    case P2P_MOVE_BLAME:
        w->result.blamed++;
        if (w->node[peer].conf.manner != SIM_LIAR)
            sim_broken(w, "an honest node is blamed");
        return;
    case P2P_MOVE_FAIL:
        w->result.failed_moves++;
        return;
    }
    sim_send(w, i, peer, e);
}

void sim_send_block(struct world *w, struct sending *s)
{
    struct node *x = &w->node[s->from];
    struct link *l = sim_link(x, s->to);

    if (l->sending != NULL) {
        EL_ASSERT(l->next == NULL);
        l->next = s;
        return;
    }
    s->is_bad = x->conf.manner == SIM_LIAR;
    l->sending = s;
    s->flow = flows_start(w->flows, w->now, 2 * (size_t)s->from, 2 * (size_t)s->to + 1,
                          P2P_MAX_BLOCK, x->conf.manner == SIM_DRIP ? DRIP_BPS : 0, &s->carried);
    sim_arrive(
        w,
        (struct event){ .kind = BEGUN, .from = s->from, .to = s->to, .chunk = s->send.chunk.index },
        true);
}

static void start_send(struct world *w, uint32_t i, const struct p2p_send *send)
{
    uint32_t to = (uint32_t)(send->node - 1);
    struct link *l = sim_link(&w->node[i], to);
    struct sending *s;

    EL_ASSERT(l != NULL);
    if (!l->is_up)
        return; /* it does not know yet; the end of the link cleans up */
    s = el_new(struct sending);
    s->from = i;
    s->to = to;
    s->send = *send;
    sim_send_block(w, s);
}

static void plan_wake(struct world *w, uint32_t i)
{
    struct node *x = &w->node[i];
    uint64_t due = el_min_u64(p2p_swarm_due_ms(x->swarm), p2p_upload_due_ms(x->upload));

    if (due == UINT64_MAX)
        return;
    due = el_max_u64(due * 1000, w->now + 500);
    if (due >= x->wake_at)
        return;
    x->wake_at = due;
    sim_add(w, (struct event){ .at = due, .kind = WAKE, .to = i });
}

static void move(struct world *w, uint32_t i)
{
    struct p2p_move m;

    while (p2p_swarm_next(w->node[i].swarm, &m))
        act(w, i, &m);
}

void sim_pump(struct world *w, uint32_t i)
{
    struct node *x = &w->node[i];
    struct p2p_send send;

    if (x->swarm == NULL)
        return;
    move(w, i);
    while (p2p_upload_next(x->upload, sim_ms(w), &send))
        start_send(w, i, &send);
    plan_wake(w, i);
}

/* The last byte has left; short frames that waited go behind it. */
void sim_sent(struct world *w, struct sending *s)
{
    struct node *x = &w->node[s->from];
    struct link *l = sim_link(x, s->to);
    struct sending *next = l->next;

    sim_arrive(w,
               (struct event){ .kind = BLOCK,
                               .from = s->from,
                               .to = s->to,
                               .chunk = s->send.chunk.index,
                               .blocks = { s->send.block, 1 },
                               .is_bad = s->is_bad },
               true);
    l->sending = l->next = NULL;
    for (size_t k = 0; k < s->n_behind; k++) {
        sim_arrive(w, s->behind[k], true);
    }
    for (unsigned k = 0; k < l->n_acks; k++)
        sim_send(w, s->from, s->to, l->acks[k]);
    l->n_acks = 0;
    if (next != NULL)
        sim_send_block(w, next);
    if (!s->is_stream)
        p2p_upload_sent(x->upload, sim_ms(w), &s->send);
    sim_streams(w, s->from);
    sim_pump(w, s->from);
    sim_sending_free(s);
}

/* ---- what happens to it ---- */

static void refuse(struct world *w, const struct event *e, uint32_t code, uint32_t block)
{
    sim_send(
        w, e->to, e->from,
        (struct event){ .kind = ERROR, .chunk = e->chunk, .blocks = { block, 1 }, .code = code });
}

static bool is_mute(const struct node *x)
{
    return x->conf.manner == SIM_MUTE || x->conf.manner == SIM_SILENT;
}

static void on_request(struct world *w, const struct event *e)
{
    struct node *x = &w->node[e->to];
    struct el_chunk_id id = sim_chunk_id(w, e->chunk);

    if (is_mute(x))
        return;
    for (uint32_t b = e->blocks.first; b < e->blocks.first + e->blocks.count; b++) {
        enum el_err rc;

        uint64_t number = (uint64_t)e->chunk * P2P_CHUNK_BLOCKS + b;

        if (x->conf.manner != SIM_REFUSER && e->code != 0 && x->have[number] == 0 &&
            sim_stream_add(w, e->to, e->from, number))
            continue;
        if (x->conf.manner == SIM_REFUSER || x->have[number] == 0) {
            refuse(w, e, EL_ENOTCACHED, b);
            continue;
        }
        rc = p2p_upload_ask(x->upload, sim_ms(w), e->from + 1, &id, b);
        if (rc == EL_EOVERLOAD)
            refuse(w, e, (uint32_t)rc, b);
        if (rc == EL_EPROTO) {
            sim_broken(w, "a block is asked for twice on a link");
        }
    }
}

static void add_ack(struct link *l, const struct event *ack)
{
    if (l->acks == NULL)
        l->acks = el_alloc(MAX_PENDING_ACK * sizeof(struct event));
    l->acks[l->n_acks++] = *ack;
}

static bool is_among(const struct sending *s, uint32_t chunk, struct p2p_blocks blocks)
{
    return s != NULL && s->send.chunk.index == chunk &&
           (blocks.count == 0 || s->send.block - blocks.first < blocks.count);
}

/* It has not begun, for a stream goes before it. */
static void recall(struct world *w, struct node *x, struct link *l)
{
    p2p_upload_sent(x->upload, sim_ms(w), &l->next->send);
    sim_sending_free(l->next);
    l->next = NULL;
}

static void on_cancel(struct world *w, const struct event *e)
{
    struct node *x = &w->node[e->to];
    struct el_chunk_id id = sim_chunk_id(w, e->chunk);
    struct event ack = { .kind = ACK, .chunk = e->chunk, .blocks = e->blocks };
    struct link *l = sim_link(x, e->from);

    if (e->kind == UNFOLLOW) {
        struct followers *f = &x->followers[e->chunk];

        for (uint32_t i = 0; i < f->n; i++)
            if (f->v[i] == e->from)
                f->v[i--] = f->v[--f->n];
    }
    if (is_mute(x) || l == NULL)
        return;
    sim_stream_cancel(w, e->to, e->from, e->chunk, e->blocks);
    (void)p2p_upload_cancel(x->upload, e->from + 1, &id, e->blocks);
    if (is_among(l->next, e->chunk, e->blocks))
        recall(w, x, l);
    if (!is_among(l->sending, e->chunk, e->blocks))
        sim_send(w, e->to, e->from, ack);
    else if (l->n_acks < MAX_PENDING_ACK)
        add_ack(l, &ack);
}

static void on_follow(struct world *w, const struct event *e)
{
    struct node *x = &w->node[e->to];
    struct followers *f = &x->followers[e->chunk];
    uint32_t bits = sim_have_bits(w, x, e->chunk);
    struct el_chunk_id id = sim_chunk_id(w, e->chunk);

    if (x->conf.manner == SIM_SILENT)
        return;
    send_have(w, e->to, e->from, e->chunk, bits);
    p2p_swarm_on_followed(x->swarm, sim_ms(w), e->from + 1, &id);
    if (sim_is_whole(w, e->chunk, bits))
        return;
    if (f->n == f->size) {
        f->size = f->size == 0 ? 8 : f->size * 2;
        f->v = realloc(f->v, f->size * sizeof(uint32_t));
        EL_ASSERT(f->v != NULL);
    }
    f->v[f->n++] = e->from;
}

static void on_block(struct world *w, const struct event *e)
{
    struct node *x = &w->node[e->to];
    struct el_chunk_id id = sim_chunk_id(w, e->chunk);

    if (e->is_bad) {
        w->result.bad_taken++;
        p2p_swarm_on_bad(x->swarm, sim_ms(w), e->from + 1, &id, e->blocks.first);
        return;
    }
    p2p_swarm_on_block(x->swarm, sim_ms(w), e->from + 1, &id, e->blocks.first);
    sim_got(w, e->to, (uint64_t)e->chunk * P2P_CHUNK_BLOCKS + e->blocks.first);
}

static void on_begun(struct world *w, const struct event *e)
{
    struct el_chunk_id id = sim_chunk_id(w, e->chunk);

    p2p_swarm_on_begun(w->node[e->to].swarm, sim_ms(w), e->from + 1, &id);
}

static void on_have(struct world *w, const struct event *e)
{
    struct el_chunk_id id = sim_chunk_id(w, e->chunk);
    struct p2p_have have = { .blocks = P2P_CHUNK_BLOCKS,
                             .bitmap = e->bitmap,
                             .is_filling = !sim_is_whole(w, e->chunk, e->bitmap),
                             .coming = e->code };

    p2p_swarm_on_have(w->node[e->to].swarm, sim_ms(w), e->from + 1, &id, &have);
}

/* All who follow the chunk, in an order of their own. */
static void on_have_all(struct world *w, const struct event *e)
{
    struct followers *f = &w->node[e->to].followers[e->chunk];
    uint32_t start = f->n == 0 ? 0 : (uint32_t)el_rng_below(&w->rng, f->n);

    w->result.short_frames += f->n;
    for (uint32_t k = 0; k < f->n; k++) {
        uint32_t to = f->v[(start + k) % f->n];
        struct event have = { .kind = HAVE,
                              .from = e->to,
                              .to = to,
                              .chunk = e->chunk,
                              .bitmap = e->bitmap,
                              .code = e->code };

        sim_happen(w, &have);
    }
    if (!sim_is_whole(w, e->chunk, e->bitmap))
        return;
    free(f->v);
    *f = (struct followers){ 0 };
}

static void on_connect(struct world *w, const struct event *e)
{
    struct node *x = &w->node[e->to], *y = &w->node[e->from];
    struct link *a, *b;

    if (y->swarm == NULL)
        return;
    if (x->swarm == NULL || sim_is_cut(w, e->to, e->from)) {
        p2p_swarm_peer_down(y->swarm, sim_ms(w), e->to + 1);
        sim_pump(w, e->from);
        return;
    }
    a = sim_link_new(x, e->from);
    b = sim_link_new(y, e->to);
    a->is_up = b->is_up = true;
    p2p_swarm_peer_up(x->swarm, sim_ms(w), e->from + 1, true);
    p2p_swarm_peer_up(y->swarm, sim_ms(w), e->to + 1, true);
    sim_pump(w, e->from);
}

/* What was sent before a link broke is lost with it. */
static bool is_stale(const struct world *w, const struct event *e)
{
    struct link *l;

    if (e->kind < REQUEST || e->kind > BLOCK)
        return false;
    l = sim_link(&w->node[e->to], e->from);
    return l == NULL || !l->is_up;
}

static void on_error(struct world *w, const struct event *e)
{
    struct el_chunk_id id = sim_chunk_id(w, e->chunk);

    p2p_swarm_on_refusal(w->node[e->to].swarm, sim_ms(w), e->from + 1, &id, e->blocks, e->code, 0);
}

static void on_ack(struct world *w, const struct event *e)
{
    struct el_chunk_id id = sim_chunk_id(w, e->chunk);

    if (e->blocks.count > 0)
        p2p_swarm_on_cancelled(w->node[e->to].swarm, sim_ms(w), e->from + 1, &id, e->blocks);
}

static void on_wake(struct world *w, const struct event *e)
{
    struct node *x = &w->node[e->to];

    if (e->at != x->wake_at)
        return;
    x->wake_at = UINT64_MAX;
    sim_say_moves(w, x);
    p2p_swarm_tick(x->swarm, sim_ms(w));
}

void sim_happen(struct world *w, const struct event *e)
{
    if (w->node[e->to].swarm == NULL && e->kind != START) {
        if (e->kind == LOCATE)
            sim_unanswered(w, e);
        return;
    }
    if (is_stale(w, e))
        return;
    switch (e->kind) {
    case START:
        sim_start(w, e->to);
        break;
    case OPEN:
        sim_open(w, e->to);
        break;
    case KILL:
        sim_kill(w, e->to);
        break;
    case WAKE:
        on_wake(w, e);
        break;
    case CONNECT:
        on_connect(w, e);
        break;
    case PART:
        sim_part(w);
        return;
    case PAUSE:
        sim_pause(w);
        return;
    case REFUSED:
        if (sim_link(&w->node[e->to], e->from) == NULL ||
            !sim_link(&w->node[e->to], e->from)->is_up)
            sim_link_down(w, e->to, e->from);
        break;
    case DOWN:
        sim_link_down(w, e->to, e->from);
        break;
    case REQUEST:
        on_request(w, e);
        break;
    case FOLLOW:
        on_follow(w, e);
        break;
    case UNFOLLOW:
    case CANCEL:
        on_cancel(w, e);
        break;
    case ACK:
        on_ack(w, e);
        break;
    case HAVE: /* the most frequent of all; it changes neither uploads nor what is due */
        on_have(w, e);
        move(w, e->to);
        return;
    case HAVE_ALL:
        on_have_all(w, e);
        return;
    case ERROR:
        on_error(w, e);
        break;
    case BEGUN:
        on_begun(w, e);
        break;
    case BLOCK:
        on_block(w, e);
        break;
    case LOCATE:
        sim_on_locate(w, e);
        break;
    case LOCATED:
        sim_on_located(w, e);
        break;
    case FETCH_BEGIN:
        sim_on_fetch(w, e);
        break;
    case LATE:
        sim_late(w, e);
        break;
    case GIVEN_UP:
        sim_given_up(w, e);
        break;
    }
    sim_pump(w, e->to);
}
