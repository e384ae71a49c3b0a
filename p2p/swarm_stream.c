/* SPDX-License-Identifier: MIT */
/*
 * Streams of swarm.h: blocks that a neighbour reads from the origin are asked of it while it does,
 * and come as fast as it reads them. Each of n nodes reads another n-th of the object, and passes
 * it on to all others at once: then the links of all are full from the first moment to the last,
 * and nobody waits until a block is whole before he can give it.
 *
 * Not where blocks take little time anyway, and not for a node that lacks what others have whole:
 * it can have that faster.
 */
#include "p2p/swarm_in.h"

/* On a link at a time: the next one is asked for before it begins, so that there is no gap. */
#define DEPTH 2u
/* Where a block comes in less than this, passing it on when it is whole costs nothing. */
#define FAST_MS 20.0
#define TRY_MS  500u /* and then it is tried again */
/* Blocks that others have and that are not on their way here: with more there is better to do. */
#define BEHIND 4u
/* So many streams, and most of them, that their senders have had whole for a while. */
#define LATE 3u
/* With more of them not all know all, and blocks have to be passed on again. */
#define MANY 20u

/* Wanted, had whole by a neighbour, and not on their way. */
bool p2p_sw_is_behind(const struct p2p_sw_group *g, unsigned most)
{
    unsigned n = 0;

    for (unsigned i = 0; i < EL_COUNT(g->want.w); i++)
        for (uint64_t w = p2p_sw_open_word(g, i); w != 0; w &= w - 1)
            if (g->holders[i * 64 + (unsigned)__builtin_ctzll(w)] > 0 && ++n > most)
                return true;
    return false;
}

/* Not all take part with all: then what one passes on does not reach everybody. */
static bool has_many(const struct p2p_sw_group *g)
{
    unsigned n = 0;

    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        n += g->nb[i].peer != NULL;
    return n > MANY;
}

/* Streams that their senders have had whole for a while: this node's own link is too slow for more.
 */
static bool is_slow(const struct p2p_sw_group *g)
{
    unsigned b, n = 0, late = 0;

    for (b = p2p_blockset_next(&g->streams, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&g->streams, b + 1)) {
        n++;
        late += g->holders[b] > 0;
    }
    return late > LATE && 2 * late > n;
}

/* The first block that it is reading and that nobody was asked for. */
static unsigned next_of(const struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb)
{
    for (unsigned i = 0; i < EL_COUNT(nb->coming.w); i++) {
        uint64_t w = nb->coming.w[i] & p2p_sw_open_word(g, i) & ~g->barred.w[i];

        if (w != 0)
            return i * 64 + (unsigned)__builtin_ctzll(w);
    }
    return P2P_GROUP_BLOCKS;
}

/* What the link owes of the chunk are streams, which come in order. */
static bool are_streams(const struct p2p_sw_group *g, unsigned chunk, unsigned owed)
{
    return (owed & ~p2p_blockset_chunk(&g->streams, chunk)) == 0;
}

static void ask(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb)
{
    unsigned b, chunk;

    while (nb->peer->awaited < DEPTH && p2p_sw_peer_may_be_asked(g->d->s, nb->peer)) {
        b = next_of(g, nb);
        chunk = b / P2P_CHUNK_BLOCKS;
        if (b == P2P_GROUP_BLOCKS || g->owing[b] > 0 ||
            !are_streams(g, chunk, p2p_blockset_chunk(&nb->owed, chunk)))
            return;
        p2p_sw_request(g, nb, b, true);
    }
}

/* Blocks take no time, as far as is known: what was fast at first may not stay so. */
static bool are_fast(struct p2p_swarm *s)
{
    if (p2p_sw_is_fast(s))
        return true;
    if (s->stream_took == 0 || s->stream_took >= FAST_MS)
        return false;
    if (s->now < s->stream_try_at)
        return true;
    s->stream_try_at = s->now + TRY_MS;
    return false;
}

void p2p_sw_ask_streams(struct p2p_sw_group *g)
{
    if (has_many(g) || p2p_sw_is_behind(g, BEHIND) || is_slow(g) || are_fast(g->d->s))
        return;
    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        if (g->nb[i].peer != NULL)
            ask(g, &g->nb[i]);
}

unsigned p2p_sw_beginner(const struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb,
                         unsigned chunk)
{
    unsigned owed = p2p_blockset_chunk(&nb->owed, chunk), first = chunk * P2P_CHUNK_BLOCKS;

    /* The number stands behind the data; but of other blocks no link owes two of a chunk. */
    if (owed == 0 || ((owed & (owed - 1)) != 0 && !are_streams(g, chunk, owed)))
        return P2P_GROUP_BLOCKS;
    for (; owed != 0; owed &= owed - 1) {
        unsigned b = first + (unsigned)__builtin_ctz(owed);

        if (!p2p_blockset_has(&g->begun, b))
            return b;
    }
    return P2P_GROUP_BLOCKS;
}

uint64_t p2p_swarm_stream_ms(const struct p2p_swarm *s)
{
    return (uint64_t)s->stream_took;
}

void p2p_sw_stream_came(struct p2p_sw_group *g, unsigned block)
{
    struct p2p_swarm *s = g->d->s;
    uint32_t took = (uint32_t)s->now - g->begun_at[block];
    uint32_t waited = g->begun_at[block] - g->asked_at[block];

    /* One that was asked for when most of it had been read says nothing of how long that takes. */
    if (took < FAST_MS && waited < took)
        return;
    p2p_sw_average(&s->stream_took, took + 0.5);
    s->stream_try_at = s->now + TRY_MS;
}
