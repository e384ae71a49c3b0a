/* SPDX-License-Identifier: MIT */
/*
 * named: what the control plane is asked where no tracker answers, and what it has said. It knows
 * whole chunks of some seconds ago, a tracker blocks of this moment: so it is asked only then.
 *
 *   no tracker answers --_want()--> chunks to ask about --> control plane
 *                                                               |
 *   swarm: takers of the group <------------ _heard() <---------+
 *
 * What was asked stands for P2P_NAMED_MS, whatever the answer was, or whether there was one: a
 * group is not asked about more often. Pure.
 */
#pragma once

#include "p2p/track.h"

#define P2P_NAMED_MS     5000u
#define P2P_NAMED_GROUPS 64u /* at a time; of more than these nobody is asked */
#define P2P_NAMED_NODES  32u /* of a group */

struct p2p_named_group {
    struct p2p_group group;
    uint64_t asked_ms; /* 0: the place is free */
    uint64_t asked;    /* chunks of the group */
    struct p2p_taker nodes[P2P_NAMED_NODES];
    size_t n;
};

struct p2p_named {
    struct p2p_named_group groups[P2P_NAMED_GROUPS];
};

/* The chunks with a block in the set. */
uint64_t p2p_named_chunks(const struct p2p_blockset *blocks);

/* Nobody has answered for these chunks of the group: which of them are to be asked about now. */
uint64_t p2p_named_want(struct p2p_named *s, uint64_t now, const struct p2p_group *group,
                        uint64_t chunks);
/* A node has the chunk of the group. False: it was not asked, or so many have it already. */
bool p2p_named_heard(struct p2p_named *s, uint64_t now, const struct p2p_group *group,
                     unsigned chunk, uint64_t node);
/* Who was named for the group, with their chunks; borrowed until the next call. */
size_t p2p_named_nodes(const struct p2p_named *s, uint64_t now, const struct p2p_group *group,
                       const struct p2p_taker **ret);
