/* SPDX-License-Identifier: MIT */
/*
 * track: what a node and the tracker of a group say to each other, as plain structs: made by
 * swarm.h, answered by tracker.h, carried by tracker_wire.h. docs/peers.md has the rules in words.
 *
 * A *group* is 64 chunks of an object version, up to 1024 blocks; blocks are numbered within it. A
 * *lease* is the right to read a *run* of blocks of one chunk from the origin. Whoever takes part
 * in a group (a *taker*) asks again and again: what it has, what it wants, how its runs go. That is
 * also all that a tracker knows, so that one that has just become it is told everything by the next
 * questions.
 *
 * Nodes are named by disc_id_hash() of their id.
 */
#pragma once

#include "common/str.h"

#define P2P_VERSION_BYTES 16u
#define P2P_GROUP_CHUNKS  64u
#define P2P_GROUP_BLOCKS  1024u
#define P2P_RUN_BLOCKS    16u /* of one run at most: a chunk */
#define P2P_MAX_RUNS      32u /* of one node in one group at a time */
#define P2P_MAX_NAMED     64u /* takers in an answer */
#define P2P_LEASE_TTL_MS  10000u
/* When a lease lapses though its holder speaks of it: */
#define P2P_LEASE_MOST_MS 120000u /* without a block; without a byte sooner: docs/peers.md */
#define P2P_STILL_MS      2000u   /* without a byte: it is said */

struct p2p_group {
    uint8_t version[P2P_VERSION_BYTES];
    uint32_t number;
};

/* By what the tracker is found (disc_rendezvous): that of a group, and that of a URL. */
#define P2P_TRACKER_KEY_BYTES 16u
void p2p_group_key(const struct p2p_group *g, uint8_t ret[P2P_TRACKER_KEY_BYTES]);
void p2p_url_key(struct el_str url, uint8_t ret[P2P_TRACKER_KEY_BYTES]);

/* ---- blocks of a group ---- */

struct p2p_blockset {
    uint64_t w[P2P_GROUP_BLOCKS / 64];
};

static inline bool p2p_blockset_has(const struct p2p_blockset *s, unsigned block)
{
    return (s->w[block / 64] >> block % 64 & 1) != 0;
}

static inline void p2p_blockset_add(struct p2p_blockset *s, unsigned block)
{
    s->w[block / 64] |= (uint64_t)1 << block % 64;
}

static inline void p2p_blockset_remove(struct p2p_blockset *s, unsigned block)
{
    s->w[block / 64] &= ~((uint64_t)1 << block % 64);
}

static inline unsigned p2p_blockset_count(const struct p2p_blockset *s)
{
    unsigned n = 0;

    for (size_t i = 0; i < EL_COUNT(s->w); i++)
        n += (unsigned)__builtin_popcountll(s->w[i]);
    return n;
}

static inline bool p2p_blockset_is_empty(const struct p2p_blockset *s)
{
    uint64_t any = 0;

    for (size_t i = 0; i < EL_COUNT(s->w); i++)
        any |= s->w[i];
    return any == 0;
}

/* The first one from `block` on; P2P_GROUP_BLOCKS: there is none. */
static inline unsigned p2p_blockset_next(const struct p2p_blockset *s, unsigned block)
{
    while (block < P2P_GROUP_BLOCKS) {
        uint64_t w = s->w[block / 64] >> block % 64;

        if (w != 0)
            return block + (unsigned)__builtin_ctzll(w);
        block = (block / 64 + 1) * 64;
    }
    return P2P_GROUP_BLOCKS;
}

/* The blocks of one of the 64 chunks, as a bitmap of 16. */
static inline unsigned p2p_blockset_chunk(const struct p2p_blockset *s, unsigned chunk)
{
    return (unsigned)(s->w[chunk / 4] >> chunk % 4 * 16) & 0xffffu;
}

/* ---- the question ---- */

/*
 * How a run goes, or how it went; one that is neither over nor reported lapses. Reported with where
 * it lies, so that a tracker that never heard of it can adopt it.
 *
 *   ok,  done < count   it goes on; still: no byte of it has come yet, or for P2P_STILL_MS
 *   ok,  done == count  it is over: all of it was read
 *   !ok                 it is over: failed, or given up; what lies behind `done' is for others
 */
struct p2p_lease_end {
    uint32_t id;
    uint16_t first; /* as granted */
    uint8_t count;  /* as granted, or less after a cut: also none */
    uint8_t done;   /* blocks read, from the first */
    bool ok;
    bool still; /* only of one that goes on */
};

/*
 * Ids from here on are never given by a tracker: a node numbers the runs so that it reads without a
 * lease (no tracker, hedge) and reports all the same, and nobody else is given the same blocks.
 * They are never cut: a hedge goes on whoever has the lease.
 */
#define P2P_LEASE_OWN 0x80000000u

struct p2p_locate {
    struct p2p_group group;
    uint32_t blocks;          /* of the group: 1 to 1024 */
    struct p2p_blockset have; /* whole here: all of the group */
    struct p2p_blockset want; /* wanted, not here, not being read from the origin by me */
    uint8_t leases;           /* runs that may be granted now; 0: none */
    bool exact;               /* one run, exactly `want' (in a row, in one chunk), or none */
    bool again;               /* the group was located before, maybe by another tracker */
    bool complains;           /* for a while nothing has come to it; or it was given wrong bytes */
    bool leaves;              /* takes nothing more (no leases, no want); what it has stays known */
    uint8_t peers;            /* how many may be named */
    uint8_t others;           /* how many take besides; 0: it does not know, or they are many */
    struct p2p_lease_end ended[P2P_MAX_RUNS]; /* every run that is out, and those that ended since
                                                 the last answered question */
    size_t n_ended;
};

/* It is one: nothing lies outside the group, nothing contradicts the comments above. */
bool p2p_locate_is_fine(const struct p2p_locate *l);

/* ---- the answer ---- */

struct p2p_lease {
    uint32_t id;     /* of this node and group */
    uint16_t first;  /* block of the group */
    uint8_t count;   /* 1 to 16, in one chunk */
    uint32_t ttl_ms; /* lapses when its holder does not speak of it for so long */
};

/*
 * A run that is no longer the holder's to its end: it reads the first `count' blocks and no more
 * (those it has read already may be more: they are its own all the same).
 */
struct p2p_lease_cut {
    uint32_t id;
    uint8_t count;
};

struct p2p_taker {
    uint64_t node;
    uint64_t whole, part; /* chunks of the group that it has whole, in part; no bit in both */
    bool is_taking;
};

struct p2p_located {
    struct p2p_lease leases[P2P_MAX_RUNS];
    size_t n_leases;
    struct p2p_lease_cut cuts[P2P_MAX_RUNS];
    size_t n_cuts;
    struct p2p_taker takers[P2P_MAX_NAMED];
    size_t n_takers;
    struct p2p_blockset coming; /* leased to somebody else */
    uint16_t taking; /* how many take, the asker too, or 65535; 0: the tracker is new, and does not
                        know */
    uint32_t again_ms; /* ask again then, and at once when a run ended, a cut-off one too, or
                          when nothing that is wanted is on its way */
};

#define P2P_MAX_AGAIN_MS 60000u
/* Takers up to here count one by one: all know all, and share out what is read. */
#define P2P_FEW 24u

/* To a question about a group of so many blocks: the same, and no block is in two leases. */
bool p2p_located_is_fine(const struct p2p_located *l, uint32_t blocks);
