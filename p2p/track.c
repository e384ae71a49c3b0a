/* SPDX-License-Identifier: MIT */
/* track: see track.h. */
#include "p2p/track.h"

#include "common/sha256.h"

void p2p_url_key(struct el_str url, uint8_t ret[P2P_TRACKER_KEY_BYTES])
{
    struct el_digest d;

    el_sha256_of(url.p, url.n, &d);
    memcpy(ret, d.b, P2P_TRACKER_KEY_BYTES);
}

void p2p_group_key(const struct p2p_group *g, uint8_t ret[P2P_TRACKER_KEY_BYTES])
{
    char name[P2P_VERSION_BYTES + 4];

    memcpy(name, g->version, P2P_VERSION_BYTES);
    for (unsigned i = 0; i < 4; i++)
        name[P2P_VERSION_BYTES + i] = (char)(uint8_t)(g->number >> (24 - 8 * i));
    p2p_url_key((struct el_str){ name, sizeof(name) }, ret);
}

static bool is_in_chunk(unsigned first, unsigned count)
{
    return count <= P2P_RUN_BLOCKS && first % P2P_RUN_BLOCKS + count <= P2P_RUN_BLOCKS;
}

static bool is_end(const struct p2p_lease_end *e, uint32_t blocks)
{
    return is_in_chunk(e->first, e->count) && (uint32_t)e->first + e->count <= blocks &&
           e->done <= e->count && (!e->still || (e->ok && e->done < e->count));
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
    if (l->leaves &&
        (l->leases > 0 || l->others > 0 || l->exact || !p2p_blockset_is_empty(&l->want)))
        return false;
    return !l->exact || (l->leases <= 1 && is_row(&l->want));
}

/* What it leases is neither leased twice nor coming. */
static bool are_leases(const struct p2p_located *l, uint32_t blocks)
{
    struct p2p_blockset taken = l->coming;

    for (size_t i = 0; i < l->n_leases; i++) {
        const struct p2p_lease *e = &l->leases[i];

        if (e->id == 0 || e->id >= P2P_LEASE_OWN || e->ttl_ms == 0 || e->count == 0 ||
            !is_in_chunk(e->first, e->count) || (uint32_t)e->first + e->count > blocks)
            return false;
        for (unsigned b = e->first; b < (unsigned)e->first + e->count; b++) {
            if (p2p_blockset_has(&taken, b))
                return false;
            p2p_blockset_add(&taken, b);
        }
    }
    return true;
}

static bool are_takers(const struct p2p_located *l, uint32_t blocks)
{
    unsigned chunks = (blocks + P2P_RUN_BLOCKS - 1) / P2P_RUN_BLOCKS;
    uint64_t all = UINT64_MAX >> (P2P_GROUP_CHUNKS - chunks);

    for (size_t i = 0; i < l->n_takers; i++) {
        const struct p2p_taker *k = &l->takers[i];

        if ((k->whole & k->part) != 0 || ((k->whole | k->part) & ~all) != 0)
            return false;
    }
    return true;
}

bool p2p_located_is_fine(const struct p2p_located *l, uint32_t blocks)
{
    if (l->n_leases > P2P_MAX_RUNS || l->n_cuts > P2P_MAX_RUNS || l->n_takers > P2P_MAX_NAMED ||
        l->again_ms > P2P_MAX_AGAIN_MS || !fits(&l->coming, blocks))
        return false;
    for (size_t i = 0; i < l->n_cuts; i++) {
        if (l->cuts[i].count > P2P_RUN_BLOCKS)
            return false;
    }
    return are_leases(l, blocks) && are_takers(l, blocks);
}
