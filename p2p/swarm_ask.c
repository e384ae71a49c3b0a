/* SPDX-License-Identifier: MIT */
/* Choice of swarm.h: which block is asked of whom, and what is taken back to ask another. */
#include "p2p/swarm_in.h"

/* Blocks that one link may owe: one that comes, one that waits behind it. */
#define DEPTH 2u
/* From the foremost waiting reader on, so many blocks go before rarer ones. */
#define URGENT_BLOCKS 2u
/* A block that takes longer than this, and than so many times what blocks take, times out. */
#define TIMEOUT_MS     2000u
#define MAX_TIMEOUT_MS 20000u
#define TIMEOUT_WAITS  4.0
/* Ack of a Cancel; then the block is asked of others, whatever that link still brings. */
#define ACK_MS 1000u

static uint64_t candidates(const struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb,
                           unsigned i)
{
    return nb->has.w[i] & p2p_sw_open_word(g, i) & ~(g->barred.w[i] | nb->owed.w[i]);
}

/* P2P_GROUP_BLOCKS: none of the urgent ones. */
static unsigned pick_urgent(const struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb)
{
    uint64_t base = (uint64_t)g->number * P2P_GROUP_BLOCKS, urgent = g->d->urgent;

    if (urgent == P2P_NO_BLOCK)
        return P2P_GROUP_BLOCKS;
    for (uint64_t n = urgent; n < urgent + URGENT_BLOCKS; n++) {
        unsigned b;

        if (n < base || n >= base + g->blocks)
            continue;
        b = (unsigned)(n - base);
        if ((candidates(g, nb, b / 64) >> b % 64 & 1) != 0)
            return b;
    }
    return P2P_GROUP_BLOCKS;
}

/* One that the fewest neighbours have; which of those, by lot. P2P_GROUP_BLOCKS: none. */
static unsigned pick_rarest(struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb)
{
    unsigned best = P2P_GROUP_BLOCKS, least = UINT8_MAX + 1u, equals = 0;

    for (unsigned i = 0; i < EL_COUNT(nb->has.w); i++)
        for (uint64_t w = candidates(g, nb, i); w != 0; w &= w - 1) {
            unsigned b = i * 64 + (unsigned)__builtin_ctzll(w);

            if (g->holders[b] > least)
                continue;
            if (g->holders[b] < least)
                equals = 0;
            least = g->holders[b];
            if (el_rng_below(&g->d->s->rng, ++equals) == 0)
                best = b;
        }
    return best;
}

static void request(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block)
{
    struct p2p_swarm *s = g->d->s;
    struct p2p_move m = { .kind = P2P_MOVE_REQUEST,
                          .node = nb->peer->node,
                          .blocks = { block % P2P_CHUNK_BLOCKS, 1 } };

    p2p_sw_chunk_of(g, block, &m.chunk);
    p2p_sw_push(s, &m);
    p2p_blockset_add(&g->asked, block);
    p2p_blockset_add(&nb->owed, block);
    g->asked_of[block] = (uint8_t)(nb - g->nb);
    g->asked_at[block] = (uint32_t)s->now;
    nb->awaited++;
    if (nb->peer->awaited++ == 0)
        nb->peer->last_at = s->now;
}

static bool has_place(const struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb)
{
    return nb->peer != NULL && nb->peer->awaited < DEPTH &&
           p2p_sw_peer_may_be_asked(g->d->s, nb->peer);
}

/* False: there is nothing to ask of it now. */
static bool ask_one(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb)
{
    unsigned block;

    if (!has_place(g, nb))
        return false;
    block = pick_urgent(g, nb);
    if (block == P2P_GROUP_BLOCKS)
        block = pick_rarest(g, nb);
    if (block == P2P_GROUP_BLOCKS)
        return false;
    request(g, nb, block);
    return true;
}

static unsigned count_askees(const struct p2p_sw_group *g)
{
    unsigned n = 0;

    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        n += g->nb[i].awaited > 0;
    return n;
}

/*
 * The neighbour to ask next: of those that may have something the one that owes least; then the
 * same zone, then by lot, where a faster one has the better chance. NULL: nobody.
 */
static struct p2p_sw_neighbour *best_neighbour(struct p2p_sw_group *g, bool newcomers)
{
    struct p2p_sw_neighbour *best = NULL;
    double best_score = -1;

    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++) {
        struct p2p_sw_neighbour *nb = &g->nb[i];
        double score;

        if (!nb->may_help || nb->peer == NULL || (nb->awaited == 0 && !newcomers))
            continue;
        score = el_rng_unit(&g->d->s->rng) * (1.0 + nb->peer->rate) *
                (nb->peer->same_zone ? 2.0 : 1.0) / (1.0 + 8.0 * nb->awaited);
        if (score <= best_score)
            continue;
        best = nb;
        best_score = score;
    }
    return best;
}

void p2p_sw_ask(struct p2p_sw_group *g)
{
    unsigned askees = count_askees(g);

    for (;;) {
        struct p2p_sw_neighbour *nb = best_neighbour(g, askees < g->d->s->conf.k);

        if (nb == NULL)
            return;
        if (nb->awaited == 0)
            askees++;
        if (ask_one(g, nb))
            continue;
        if (nb->awaited == 0)
            askees--;
        nb->may_help = false;
    }
}

/* ---- the end of a question ---- */

bool p2p_sw_settle(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block)
{
    unsigned askees;

    if (!p2p_blockset_has(&nb->owed, block))
        return false;
    askees = nb->awaited == 1 ? count_askees(g) : 0;
    p2p_blockset_remove(&nb->owed, block);
    nb->awaited--;
    nb->peer->awaited--;
    if (p2p_blockset_has(&g->asked, block) && g->asked_of[block] == nb - g->nb) {
        p2p_blockset_remove(&g->asked, block);
        p2p_blockset_remove(&g->taken_back, block);
    }
    nb->may_help = true;
    /* One that was not asked because k others were may be now. */
    if (askees >= g->d->s->conf.k)
        p2p_sw_wake(g);
    p2p_sw_dirty(g);
    return true;
}

void p2p_sw_take_back(struct p2p_sw_group *g, unsigned block)
{
    struct p2p_sw_neighbour *nb = &g->nb[g->asked_of[block]];
    struct p2p_move m = { .kind = P2P_MOVE_CANCEL,
                          .node = nb->peer->node,
                          .blocks = { block % P2P_CHUNK_BLOCKS, 1 } };

    if (p2p_blockset_has(&g->taken_back, block))
        return;
    p2p_blockset_add(&g->taken_back, block);
    p2p_sw_chunk_of(g, block, &m.chunk);
    p2p_sw_push(g->d->s, &m);
}

/*
 * All who lack a block ask the only one who has it, and it gives it to them one by one. With each
 * new holder a fair part of those who still wait goes over to it: one of as many as there are
 * holders.
 */
void p2p_sw_maybe_move(struct p2p_sw_group *g, unsigned block)
{
    struct p2p_swarm *s = g->d->s;

    if (p2p_blockset_has(&g->taken_back, block) || el_rng_below(&s->rng, g->holders[block]) != 0)
        return;
    p2p_sw_take_back(g, block);
    s->stats.stolen++;
}

static uint64_t timeout_of(const struct p2p_swarm *s)
{
    uint64_t ms = (uint64_t)(s->wait * TIMEOUT_WAITS);

    return ms < TIMEOUT_MS ? TIMEOUT_MS : el_min_u64(ms, MAX_TIMEOUT_MS);
}

/* The link owes it still, but the block may be asked of others now. */
static void give_up(struct p2p_sw_group *g, unsigned block)
{
    p2p_blockset_remove(&g->asked, block);
    p2p_blockset_remove(&g->taken_back, block);
    p2p_sw_wake(g);
}

static void check_late(struct p2p_sw_group *g, unsigned block)
{
    struct p2p_swarm *s = g->d->s;
    struct p2p_sw_peer *p = g->nb[g->asked_of[block]].peer;
    uint32_t waited = (uint32_t)s->now - g->asked_at[block];
    uint64_t timeout = timeout_of(s);

    if (waited > timeout + ACK_MS) {
        p2p_sw_peer_was_slow(s, p);
        give_up(g, block);
    } else if (waited > timeout) {
        p2p_sw_take_back(g, block);
    }
}

void p2p_sw_ask_tick(struct p2p_sw_group *g)
{
    unsigned b;

    for (b = p2p_blockset_next(&g->asked, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&g->asked, b + 1))
        check_late(g, b);
    /* Who cooled down may be asked again. */
    p2p_sw_wake(g);
}

void p2p_sw_disbelieve(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb)
{
    unsigned b;

    for (b = p2p_blockset_next(&nb->has, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&nb->has, b + 1))
        p2p_sw_has_not(g, nb, b);
    for (b = p2p_blockset_next(&g->asked, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&g->asked, b + 1)) {
        if (g->asked_of[b] != nb - g->nb)
            continue;
        p2p_sw_take_back(g, b);
        give_up(g, b);
    }
}
