/* SPDX-License-Identifier: MIT */
/* Neighbours and availability of swarm.h: who takes part in a group, and what each of them has. */
#include "p2p/swarm_in.h"

/* A neighbour that has given nothing for so long makes place for another taker. */
#define USELESS_MS 5000u
/* So long after an answer those to whom this node was named have followed it. */
#define SETTLED_MS 100u

static uint16_t chunk_bits(const struct p2p_blockset *s, unsigned chunk)
{
    return (uint16_t)p2p_blockset_chunk(s, chunk);
}

static unsigned chunks_of(const struct p2p_sw_group *g)
{
    return (g->blocks + P2P_CHUNK_BLOCKS - 1) / P2P_CHUNK_BLOCKS;
}

/* The blocks that a chunk of the group has. */
static unsigned all_of(const struct p2p_sw_group *g, unsigned chunk)
{
    unsigned left = g->blocks - chunk * P2P_CHUNK_BLOCKS;

    return left >= P2P_CHUNK_BLOCKS ? 0xffffu : (1u << left) - 1;
}

struct p2p_sw_neighbour *p2p_sw_neighbour_of(struct p2p_sw_group *g, uint64_t node)
{
    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        if (g->nodes[i] == node && g->nb[i].peer != NULL)
            return &g->nb[i];
    return NULL;
}

/*
 * Somebody was reading it, which may have taken long, and has it now: from here on it can be given,
 * and is waited for anew. Once for the block that a reader waits for, whoever says what how often.
 */
static void can_be_had(struct p2p_sw_group *g, unsigned block)
{
    struct p2p_download *d = g->d;

    if (!p2p_blockset_has(&g->want, block) || p2p_blockset_has(&g->here, block))
        return;
    d->moved_at = d->s->now;
    if (p2p_sw_number(g, block) != d->urgent || d->is_urgent_had)
        return;
    d->urgent_at = d->s->now;
    d->is_urgent_had = true;
}

static void add_block(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block)
{
    p2p_blockset_add(&nb->has, block);
    nb->n_has++;
    if (g->holders[block]++ == 0)
        can_be_had(g, block);
}

void p2p_sw_has_not(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block)
{
    p2p_blockset_remove(&nb->coming, block);
    if (!p2p_blockset_has(&nb->has, block))
        return;
    p2p_blockset_remove(&nb->has, block);
    nb->n_has--;
    g->holders[block]--;
}

/* Haves are the most frequent of all that happens: one alone is dealt with in passing. */
static void note_fresh(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb)
{
    struct p2p_swarm *s = g->d->s;

    if ((s->fresh != NULL && s->fresh != nb) || !p2p_sw_is_fast(s))
        s->must_ask = true;
    s->fresh = nb;
    s->fresh_in = g;
}

void p2p_sw_has(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned chunk,
                unsigned bitmap)
{
    unsigned old = chunk_bits(&nb->has, chunk), new = bitmap &all_of(g, chunk);
    unsigned first = chunk * P2P_CHUNK_BLOCKS;

    for (unsigned bits = old & ~new; bits != 0; bits &= bits - 1)
        p2p_sw_has_not(g, nb, first + (unsigned)__builtin_ctz(bits));
    for (unsigned bits = new & ~old; bits != 0; bits &= bits - 1)
        add_block(g, nb, first + (unsigned)__builtin_ctz(bits));
    if ((new & ~old &chunk_bits(&g->want, chunk) & ~(unsigned)chunk_bits(&g->here, chunk)) == 0)
        return;
    g->may_help |= (uint32_t)1 << (nb - g->nb);
    note_fresh(g, nb);
}

void p2p_sw_comes(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned chunk,
                  unsigned bitmap)
{
    unsigned first = chunk * P2P_CHUNK_BLOCKS, more;

    more = bitmap & all_of(g, chunk) & ~chunk_bits(&nb->coming, chunk);
    for (unsigned i = 0; i < P2P_CHUNK_BLOCKS; i++) {
        if ((bitmap >> i & 1) != 0 && first + i < g->blocks)
            p2p_blockset_add(&nb->coming, first + i);
        else
            p2p_blockset_remove(&nb->coming, first + i);
    }
    if (more != 0)
        g->d->s->must_ask = true;
}

/* ---- who is a neighbour ---- */

static void unfollow(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned chunk)
{
    struct p2p_move m = { .kind = P2P_MOVE_UNFOLLOW, .node = nb->peer->node };

    nb->followed &= ~((uint64_t)1 << chunk);
    if (!nb->peer->is_up)
        return;
    p2p_sw_chunk_of(g, chunk * P2P_CHUNK_BLOCKS, &m.chunk);
    p2p_sw_push(g->d->s, &m);
}

/* ---- debts ---- */

static void owe(struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb, unsigned block)
{
    struct p2p_sw_debt *debt = el_new(struct p2p_sw_debt);

    debt->node = nb->peer->node;
    p2p_sw_chunk_of(g, block, &debt->chunk);
    debt->block = block % P2P_CHUNK_BLOCKS;
    el_list_append(&g->d->s->debts, &debt->in_swarm);
}

void p2p_sw_debts_paid(struct p2p_swarm *s, uint64_t node, const struct el_chunk_id *chunk,
                       struct p2p_blocks blocks)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &s->debts) {
        struct p2p_sw_debt *debt = EL_ENTRY(it, struct p2p_sw_debt, in_swarm);

        if (debt->node != node || (chunk != NULL && !el_chunk_id_eq(&debt->chunk, chunk)))
            continue;
        if (blocks.count > 0 && debt->block - blocks.first >= blocks.count)
            continue;
        el_list_remove(&debt->in_swarm);
        free(debt);
    }
}

/* A neighbour that comes back owes what it owed. */
static void take_over_debts(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &g->d->s->debts) {
        struct p2p_sw_debt *debt = EL_ENTRY(it, struct p2p_sw_debt, in_swarm);
        unsigned b = debt->chunk.index % P2P_GROUP_CHUNKS * P2P_CHUNK_BLOCKS + debt->block;

        if (debt->node != nb->peer->node || p2p_sw_group_of(g->d->s, &debt->chunk) != g)
            continue;
        p2p_blockset_add(&nb->owed, b);
        p2p_blockset_add(&nb->cancelled, b);
        g->owing[b]++;
        nb->awaited++;
        nb->peer->awaited++;
        el_list_remove(&debt->in_swarm);
        free(debt);
    }
}

void p2p_sw_neighbour_drop(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb)
{
    unsigned b;

    for (b = p2p_blockset_next(&nb->owed, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&nb->owed, b + 1)) {
        if (nb->peer->is_up) {
            p2p_sw_take_back_from(g, nb, b);
            owe(g, nb, b);
        }
        (void)p2p_sw_settle(g, nb, b, true);
    }
    for (b = p2p_blockset_next(&nb->has, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&nb->has, b + 1))
        g->holders[b]--;
    for (unsigned c = 0; c < P2P_GROUP_CHUNKS; c++)
        if ((nb->followed >> c & 1) != 0)
            unfollow(g, nb, c);
    nb->peer->uses--;
    *nb = (struct p2p_sw_neighbour){ .peer = NULL };
    p2p_sw_wake(g);
}

static bool is_useless(const struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb)
{
    return nb->awaited == 0 && g->d->s->now - nb->useful_at > USELESS_MS;
}

static unsigned limit_of(const struct p2p_sw_group *g)
{
    unsigned max = g->d->s->conf.max_peers;

    return max < P2P_SW_NEIGHBOURS ? max : P2P_SW_NEIGHBOURS;
}

/*
 * Half of the places are for those that this node chooses, the others for those that have chosen
 * it: if all were chosen, who comes first would be the neighbour of all others, and who comes last
 * of nobody.
 */
static unsigned most_chosen(const struct p2p_sw_group *g)
{
    return (limit_of(g) + 1) / 2;
}

unsigned p2p_sw_places(const struct p2p_sw_group *g)
{
    unsigned all = limit_of(g), chosen = most_chosen(g);

    for (unsigned i = 0; i < limit_of(g); i++) {
        const struct p2p_sw_neighbour *nb = &g->nb[i];

        if (nb->peer == NULL || is_useless(g, nb))
            continue;
        all--;
        chosen -= nb->is_chosen && chosen > 0;
    }
    return chosen < all ? chosen : all;
}

/* NULL: all places are taken by neighbours worth having. */
static struct p2p_sw_neighbour *place_for(struct p2p_sw_group *g)
{
    struct p2p_sw_neighbour *useless = NULL;

    for (unsigned i = 0; i < limit_of(g); i++) {
        if (g->nb[i].peer == NULL)
            return &g->nb[i];
        if (is_useless(g, &g->nb[i]))
            useless = &g->nb[i];
    }
    if (useless != NULL)
        p2p_sw_neighbour_drop(g, useless);
    return useless;
}

static struct p2p_sw_neighbour *join(struct p2p_sw_group *g, uint64_t node)
{
    struct p2p_swarm *s = g->d->s;
    struct p2p_sw_peer *p;
    struct p2p_sw_neighbour *nb;

    if (node == s->conf.self)
        return NULL;
    p = p2p_sw_peer_get(s, node);
    if (s->now < p->quarantined_until || (!p->is_up && s->now < p->retry_at))
        return NULL;
    nb = place_for(g);
    if (nb == NULL)
        return NULL;
    *nb = (struct p2p_sw_neighbour){ .peer = p, .useful_at = s->now };
    g->nodes[nb - g->nb] = node;
    p->uses++;
    take_over_debts(g, nb);
    return nb;
}

static struct p2p_sw_neighbour *choose(struct p2p_sw_group *g, uint64_t node)
{
    struct p2p_sw_neighbour *nb = join(g, node);

    if (nb != NULL)
        nb->is_chosen = true;
    return nb;
}

/* A lot that is always the same for these two. */
static uint64_t lot_of(const struct p2p_sw_group *g, uint64_t node)
{
    uint64_t x = (node ^ g->d->s->conf.self * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;

    return (x ^ x >> 31) * 0x94d049bb133111ebu;
}

/*
 * When there is no place for all who follow, those with the lowest lots stay: a sample of all of
 * them. Those who come first would be those who ask first, who know nobody but each other.
 */
static void make_place(struct p2p_sw_group *g, uint64_t node)
{
    struct p2p_sw_neighbour *last = NULL;

    for (unsigned i = 0; i < limit_of(g); i++) {
        struct p2p_sw_neighbour *nb = &g->nb[i];

        if (nb->peer == NULL || is_useless(g, nb))
            return;
        if (!nb->is_chosen &&
            (last == NULL || lot_of(g, nb->peer->node) > lot_of(g, last->peer->node)))
            last = nb;
    }
    if (last != NULL && lot_of(g, node) < lot_of(g, last->peer->node))
        p2p_sw_neighbour_drop(g, last);
}

void p2p_sw_followed(struct p2p_sw_group *g, uint64_t node)
{
    struct p2p_sw_neighbour *nb;

    if (p2p_sw_neighbour_of(g, node) != NULL)
        return;
    make_place(g, node);
    nb = join(g, node);
    if (nb == NULL)
        return;
    nb->is_taking = true;
    g->must_follow = true;
    p2p_sw_dirty(g);
}

static void hear(struct p2p_sw_group *g, const struct p2p_taker *t)
{
    struct p2p_sw_neighbour *nb = p2p_sw_neighbour_of(g, t->node);

    if (nb == NULL && p2p_sw_places(g) > 0)
        nb = choose(g, t->node);
    if (nb == NULL && t->is_taking && g->n_spare < EL_COUNT(g->spare))
        g->spare[g->n_spare++] = t->node;
    if (nb == NULL)
        return;
    nb->is_taking = t->is_taking;
    for (unsigned c = 0; c < chunks_of(g); c++)
        if ((t->whole >> c & 1) != 0 && (nb->said >> c & 1) == 0)
            p2p_sw_has(g, nb, c, 0xffff);
}

void p2p_sw_takers(struct p2p_sw_group *g, const struct p2p_taker *takers, size_t n)
{
    /* From anywhere in the list: when there are more than places, all are as likely. */
    size_t start = n == 0 ? 0 : (size_t)el_rng_below(&g->d->s->rng, n);

    g->n_spare = 0;
    for (size_t i = 0; i < n; i++)
        hear(g, &takers[(start + i) % n]);
    g->must_follow = true;
    p2p_sw_dirty(g);
}

static bool has_place(const struct p2p_sw_group *g)
{
    for (unsigned i = 0; i < limit_of(g); i++)
        if (g->nb[i].peer == NULL)
            return true;
    return false;
}

/*
 * Who comes last is named to nobody: its neighbours are those that others have chosen as well, it
 * has half as many, and it would get half of what others get. It knows by its free places. Not on
 * slow links: there streams do without so many.
 */
void p2p_sw_fill_places(struct p2p_sw_group *g)
{
    struct p2p_sw_neighbour *nb;

    if (g->n_spare == 0 || g->d->s->now - g->located_at < SETTLED_MS || !p2p_sw_is_fast(g->d->s))
        return;
    while (g->n_spare > 0 && has_place(g)) {
        uint64_t node = g->spare[--g->n_spare];

        nb = p2p_sw_neighbour_of(g, node) == NULL ? choose(g, node) : NULL;
        if (nb != NULL)
            nb->is_taking = g->must_follow = true;
    }
    g->n_spare = 0;
}

void p2p_sw_wake(struct p2p_sw_group *g)
{
    g->may_help = UINT32_MAX;
    p2p_sw_dirty(g);
}

/* ---- who is followed ---- */

/* The chunks with a block that is wanted and not here. */
static uint64_t lacking(const struct p2p_sw_group *g)
{
    uint64_t chunks = 0;

    for (unsigned c = 0; c < chunks_of(g); c++)
        if ((chunk_bits(&g->want, c) & ~chunk_bits(&g->here, c) & ~chunk_bits(&g->barred, c)) != 0)
            chunks |= (uint64_t)1 << c;
    return chunks;
}

/* A seed is followed only where it has something; it is known to have it whole, and that is all. */
static uint64_t worth_following(const struct p2p_sw_neighbour *nb, uint64_t chunks)
{
    uint64_t worth = 0;

    if (nb->is_taking)
        return chunks;
    for (; chunks != 0; chunks &= chunks - 1) {
        unsigned c = (unsigned)__builtin_ctzll(chunks);

        if (chunk_bits(&nb->has, c) == 0)
            worth |= (uint64_t)1 << c;
    }
    return worth;
}

static void follow_one(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, uint64_t chunks)
{
    uint64_t more = worth_following(nb, chunks) & ~nb->followed, less = nb->followed & ~chunks;

    for (; more != 0; more &= more - 1) {
        struct p2p_move m = { .kind = P2P_MOVE_FOLLOW, .node = nb->peer->node };
        unsigned c = (unsigned)__builtin_ctzll(more);

        p2p_sw_chunk_of(g, c * P2P_CHUNK_BLOCKS, &m.chunk);
        p2p_sw_push(g->d->s, &m);
        nb->followed |= (uint64_t)1 << c;
    }
    for (; less != 0; less &= less - 1) {
        unsigned c = (unsigned)__builtin_ctzll(less);

        /* A Have that says all is the last one by itself; and a Cancel would end what is owed. */
        if (chunk_bits(&nb->has, c) == all_of(g, c))
            nb->followed &= ~((uint64_t)1 << c);
        else if (chunk_bits(&nb->owed, c) == 0)
            unfollow(g, nb, c);
    }
}

void p2p_sw_follow(struct p2p_sw_group *g)
{
    uint64_t chunks = lacking(g);

    g->must_follow = false;
    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++) {
        struct p2p_sw_neighbour *nb = &g->nb[i];

        if (nb->peer == NULL)
            continue;
        if (nb->peer->is_up)
            follow_one(g, nb, chunks);
        else if (chunks != 0)
            p2p_sw_peer_connect(g->d->s, nb->peer);
    }
}
