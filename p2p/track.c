/* SPDX-License-Identifier: MIT */
/* track: see track.h. */
#include "p2p/track.h"

static bool is_in_chunk(unsigned first, unsigned count)
{
    return count >= 1 && count <= P2P_RUN_BLOCKS &&
           first % P2P_RUN_BLOCKS + count <= P2P_RUN_BLOCKS;
}

static bool is_end(const struct p2p_lease_end *e, uint32_t blocks)
{
    return is_in_chunk(e->first, e->count) && (uint32_t)e->first + e->count <= blocks &&
           e->done <= e->count;
}

/* Any blocks beyond those of the group? */
static bool fits(const struct p2p_blockset *s, uint32_t blocks)
{
    return p2p_blockset_next(s, blocks) == P2P_GROUP_BLOCKS;
}

static bool is_row(const struct p2p_blockset *s)
{
    unsigned first = p2p_blockset_next(s, 0), n = p2p_blockset_count(s);

    if (n == 0)
        return true;
    return is_in_chunk(first, n) &&
           p2p_blockset_chunk(s, first / P2P_RUN_BLOCKS) >> first % P2P_RUN_BLOCKS == (1u << n) - 1;
}

bool p2p_locate_is_fine(const struct p2p_locate *l)
{
    if (l->blocks < 1 || l->blocks > P2P_GROUP_BLOCKS || !fits(&l->have, l->blocks) ||
        !fits(&l->want, l->blocks) || l->leases > P2P_MAX_RUNS || l->peers > P2P_MAX_NAMED ||
        l->n_ended > P2P_MAX_RUNS)
        return false;
    for (size_t i = 0; i < EL_COUNT(l->have.w); i++) {
        if ((l->have.w[i] & l->want.w[i]) != 0)
            return false;
    }
    for (size_t i = 0; i < l->n_ended; i++) {
        if (!is_end(&l->ended[i], l->blocks))
            return false;
    }
    if (l->leaves && (l->leases > 0 || l->exact || !p2p_blockset_is_empty(&l->want)))
        return false;
    return !l->exact || (l->leases <= 1 && is_row(&l->want));
}
