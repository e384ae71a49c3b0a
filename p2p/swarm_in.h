/* SPDX-License-Identifier: MIT */
/*
 * swarm_in: what the files of swarm.h share. Pure; no other file includes it.
 *
 *   swarm.c         downloads, the window of demand, groups; the queue of moves
 *   swarm_peers.c   links: who is there, how fast, whom to leave alone (slow, refusing, lying)
 *   swarm_blocks.c  a group's neighbours and what they have
 *   swarm_ask.c     which block is asked of whom; taking back what waits too long
 *   swarm_stream.c  what neighbours read is asked of them while they do
 *   swarm_locate.c  the tracker: questions and answers
 *   swarm_runs.c    what this node reads from the origin
 *   swarm_unleased.c  the same where no lease can be had, and hedges
 *
 * Invariants of a group, for each of its blocks:
 * 1. `asked': asked_of[b] is not 0. A bit of it is a neighbour of which the block was asked and not
 *    taken back; it has the block in `owed'. Owed alone: the link owes a last word (a Cancel is
 *    out). Both, and `cancelled': the block has begun all the same.
 * 2. `begun': the block comes from begun_by[b], which is the only one that it is asked of.
 * 3. `here', `asked' and `mine' exclude each other, but for a hedge (mine and asked).
 * 4. holders[b] is how many neighbours have b in `has'.
 */
#pragma once

#include "common/list.h"
#include "p2p/swarm.h"

#define P2P_SW_NEIGHBOURS 32u
#define P2P_SW_MAX_RUNS   16u  /* of a group that this node reads at a time */
#define P2P_SW_GROUPS     3u   /* of a download at work at a time: 3 GiB; one for each span, */
#define P2P_SW_MAX_GROUPS 256u /* if there are more spans, up to here */

struct p2p_sw_peer {
    struct el_list in_swarm; /* of its bucket */
    uint64_t node;
    bool is_up, is_connecting, same_zone;
    unsigned uses;    /* groups where it is a neighbour */
    unsigned awaited; /* blocks that its link owes, */
    unsigned streams; /* and of these those that come as it reads them */
    unsigned failures;
    uint64_t retry_at;   /* no CONNECT before */
    uint64_t cool_until; /* nothing is asked of it before: slow or refusing */
    unsigned slow;       /* how often in a row it let a block time out */
    uint64_t last_at;    /* when its link last said a last word, or the first question went out */
    double rate;         /* bytes per ms, decayed */
    uint64_t blocks;
    double strikes; /* at struck_at; fading */
    uint64_t struck_at, quarantined_until;
};

/* A peer, as a taker of a group. */
struct p2p_sw_neighbour {
    struct p2p_sw_peer *peer; /* NULL: the place is free */
    struct p2p_blockset has, owed, coming;
    struct p2p_blockset cancelled; /* of those owed: a Cancel is out, its Ack is the last word */
    struct p2p_blockset streams;   /* of those owed: as it was asked for them */
    unsigned n_has;
    uint64_t followed; /* chunks */
    uint64_t said;     /* chunks of which it told itself */
    unsigned awaited;  /* of this group */
    bool is_taking;
    bool is_chosen;     /* by this node; the others have chosen this node */
    uint64_t useful_at; /* when it last gave a block, or joined */
};

struct p2p_sw_run {
    struct el_list in_group;
    uint32_t number; /* for the engine */
    uint32_t id;     /* for the tracker */
    uint16_t first;  /* block of the group */
    uint8_t granted, count, done;
    bool is_adopted; /* no STOP is heeded */
    bool is_exact;   /* a signed range */
    bool gives_back; /* what lies behind `count' is for others */
    enum p2p_reason reason;
    uint64_t moved_at; /* bytes came; 0: none yet */
    uint64_t block_at; /* the block that it reads was begun */
};

struct p2p_sw_group {
    struct el_list in_download, in_dirty;
    struct p2p_download *d;
    uint32_t number;
    unsigned blocks; /* 1 to 1024 */
    struct p2p_blockset here, want, asked, begun, mine, barred, coming;
    struct p2p_blockset streams;         /* of those asked: they come as their sender reads them */
    uint32_t asked_of[P2P_GROUP_BLOCKS]; /* bits of nb */
    uint8_t begun_by[P2P_GROUP_BLOCKS];
    uint8_t owing[P2P_GROUP_BLOCKS]; /* links that owe it */
    uint8_t holders[P2P_GROUP_BLOCKS];
    uint32_t asked_at[P2P_GROUP_BLOCKS], begun_at[P2P_GROUP_BLOCKS]; /* low bits of the clock */
    uint64_t nodes[P2P_SW_NEIGHBOURS]; /* their names; means nothing where the place is free */
    struct p2p_sw_neighbour nb[P2P_SW_NEIGHBOURS];
    uint32_t may_help; /* bits of nb: something changed since nothing was found to ask of it */
    /* Takers that the last answer named, and that found no place. */
    uint64_t spare[P2P_SW_NEIGHBOURS];
    unsigned n_spare;
    bool must_follow; /* chunks or neighbours are new */
    struct el_list runs;
    unsigned n_runs;
    struct p2p_lease_end ended[P2P_MAX_RUNS]; /* and not yet reported */
    size_t n_ended, n_reported;               /* the first ones are in the question that is out */
    bool is_located, is_locating;             /* the tracker knows of us; a question is out */
    bool is_quiet;                            /* told that we leave */
    bool is_open;                             /* at work: what is in the demand is wanted */
    unsigned failed;                          /* questions in a row without an answer */
    uint64_t locate_at;                       /* not before */
    uint64_t began_at;                        /* first located */
    uint64_t lied_at;                         /* when a bad block of it came; 0: none did */
    uint64_t fed_at;    /* when a block last came, or began to, or this node began to read */
    uint64_t linked_at; /* when the link to a neighbour was last made */
    uint64_t dry_until; /* the tracker has no lease, and nobody else has one: wait so long */
    bool asked_leases;  /* by the question that is out */
    uint64_t alone_at;  /* without a tracker the origin is not asked before */
    uint64_t located_at;
    uint64_t tracker, tracker_before; /* who answered last, and the last other one; 0: nobody */
    unsigned taking;                  /* others that take, as an answer said, but for those lost */
    bool asks_anew;                   /* as soon as the answer is there */
};

struct p2p_download {
    struct el_list in_swarm;
    struct p2p_swarm *s;
    void *arg;
    uint8_t version[P2P_VERSION_BYTES];
    uint64_t blocks; /* of the object */
    uint32_t n_groups;
    struct p2p_sw_group **groups; /* NULL: nothing is known of it, or it is whole */
    uint8_t *whole;               /* bitmap of groups */
    struct el_list active;        /* the groups that are there */
    struct p2p_span *spans;       /* of demand; owned */
    size_t n_spans;
    uint64_t urgent;
    enum p2p_reach reach;
    uint64_t reach_first, reach_end;
    uint64_t moved_at;  /* when a block came, or could be had, or the demand changed */
    uint64_t urgent_at; /* when `urgent' became what it is, or could be had */
    bool is_urgent_had; /* that was so */
    unsigned hedges;    /* in a row */
    unsigned origin_failures;
    uint64_t origin_at; /* not asked before */
    uint64_t patience;  /* ms without progress before the origin is asked without lease */
};

struct p2p_sw_farewell {
    struct el_list in_swarm;
    struct p2p_locate locate;
};

/* A block that a link still owes to a download or neighbour that is gone: until its last word it
 * may not be asked for on that link again. */
struct p2p_sw_debt {
    struct el_list in_swarm;
    uint64_t node;
    struct el_chunk_id chunk;
    unsigned block; /* of the chunk */
};

#define P2P_SW_BUCKETS 64u
/* Who has found nobody to give it asks so much later again, at first. */
#define P2P_SW_DRY_AGAIN_MS 150u
/* How often what waits is looked at. */
#define P2P_SW_TICK_MS 100u

struct p2p_swarm {
    struct p2p_swarm_conf conf;
    struct el_rng rng;
    uint64_t now;
    struct el_list buckets[P2P_SW_BUCKETS];
    unsigned n_peers;
    bool hears_begun; /* the engine says when a block begins */
    bool must_ask;    /* something changed that may lead to a question */
    /* A neighbour that has said what it has, and nothing else has changed; NULL: none. */
    struct p2p_sw_group *fresh_in;
    struct p2p_sw_neighbour *fresh;
    unsigned n_asked, n_begun; /* blocks of all groups, but for streams */
    struct el_list downloads, dirty;
    struct p2p_move *queue; /* a ring that grows */
    size_t queue_size, queue_first, queue_n;
    struct p2p_locate locate; /* of the last move */
    struct el_list farewells; /* questions of downloads that are closed */
    struct el_list debts;
    uint32_t next_run;
    uint64_t stream_try_at; /* whether blocks still take no time */
    double stream_took;     /* the same as `took', of streams */
    double wait, took; /* ms from question to block, and from its first byte to its last; decayed */
    uint64_t ticked_at;
    struct p2p_swarm_stats stats;
};

/* ---- swarm.c ---- */

void p2p_sw_push(struct p2p_swarm *s, const struct p2p_move *move);
void p2p_sw_dirty(struct p2p_sw_group *g);
void p2p_sw_chunk_of(const struct p2p_sw_group *g, unsigned block, struct el_chunk_id *ret);
/* NULL: not at work on it. */
struct p2p_sw_group *p2p_sw_group_of(struct p2p_swarm *s, const struct el_chunk_id *chunk);
static inline uint64_t p2p_sw_number(const struct p2p_sw_group *g, unsigned block)
{
    return (uint64_t)g->number * P2P_GROUP_BLOCKS + block;
}

/* ---- swarm_peers.c ---- */

struct p2p_sw_peer *p2p_sw_peer_find(const struct p2p_swarm *s, uint64_t node);
struct p2p_sw_peer *p2p_sw_peer_get(struct p2p_swarm *s, uint64_t node);
void p2p_sw_peers_free(struct p2p_swarm *s);
void p2p_sw_peer_connect(struct p2p_swarm *s, struct p2p_sw_peer *p);
bool p2p_sw_peer_may_be_asked(const struct p2p_swarm *s, const struct p2p_sw_peer *p);
void p2p_sw_peer_gave(struct p2p_swarm *s, struct p2p_sw_peer *p);
void p2p_sw_peer_took(struct p2p_swarm *s, struct p2p_sw_peer *p, uint32_t waited_ms,
                      uint32_t took_ms);
void p2p_sw_average(double *avg, double x);
void p2p_sw_peer_was_slow(struct p2p_swarm *s, struct p2p_sw_peer *p);
void p2p_sw_peer_cool(struct p2p_swarm *s, struct p2p_sw_peer *p, uint64_t ms);
/* Until when it is left alone. */
uint64_t p2p_sw_peer_lied(struct p2p_swarm *s, struct p2p_sw_peer *p);

/* ---- swarm_blocks.c ---- */

struct p2p_sw_neighbour *p2p_sw_neighbour_of(struct p2p_sw_group *g, uint64_t node);
void p2p_sw_takers(struct p2p_sw_group *g, const struct p2p_taker *takers, size_t n);
/* Who follows this node becomes its neighbour, if there is a place. */
void p2p_sw_followed(struct p2p_sw_group *g, uint64_t node);
void p2p_sw_neighbour_drop(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb);
/* The last word about these (none: all) has come; chunk NULL: the link is gone. */
void p2p_sw_debts_paid(struct p2p_swarm *s, uint64_t node, const struct el_chunk_id *chunk,
                       struct p2p_blocks blocks);
/* What it has of a chunk, by its own word. */
void p2p_sw_has(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned chunk,
                unsigned bitmap);
void p2p_sw_has_not(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block);
/* What it is reading of a chunk. */
void p2p_sw_comes(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned chunk,
                  unsigned bitmap);
void p2p_sw_follow(struct p2p_sw_group *g);
/* All of them may be asked again. */
void p2p_sw_wake(struct p2p_sw_group *g);
unsigned p2p_sw_places(const struct p2p_sw_group *g); /* for more neighbours */
/* Where few follow this node, it chooses more. */
void p2p_sw_fill_places(struct p2p_sw_group *g);

/* ---- swarm_ask.c ---- */

/* Blocks that nobody brings at the moment and that are wanted. */
static inline uint64_t p2p_sw_open_word(const struct p2p_sw_group *g, unsigned i)
{
    return g->want.w[i] & ~(g->here.w[i] | g->asked.w[i] | g->mine.w[i]);
}
void p2p_sw_ask(struct p2p_swarm *s);
/* The same, where only this neighbour has more than before. */
void p2p_sw_ask_fresh(struct p2p_swarm *s);
/* A block takes less than a question that is taken back and put again. */
bool p2p_sw_is_fast(const struct p2p_swarm *s);
void p2p_sw_request(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block,
                    bool is_coming);
/* Block, Error or Ack about a block that this neighbour owed; false: it did not. */
bool p2p_sw_settle(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block,
                   bool is_ack);
/* From all that it was asked of. */
void p2p_sw_take_back(struct p2p_sw_group *g, unsigned block);
void p2p_sw_take_back_from(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block);
void p2p_sw_begun(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block);
void p2p_sw_ask_tick(struct p2p_sw_group *g);
/* It has lied: nothing that it has counts, and what it owes is asked of others. */
void p2p_sw_disbelieve(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb);

/* ---- swarm_stream.c ---- */

/* More than so many blocks are wanted, had whole by a neighbour, and not on their way here. */
bool p2p_sw_is_behind(const struct p2p_sw_group *g, unsigned most);
/* Asks for what neighbours are reading. */
void p2p_sw_ask_streams(struct p2p_sw_group *g);
/* Which block of the chunk it is that begins to come; P2P_GROUP_BLOCKS: that cannot be said. */
unsigned p2p_sw_beginner(const struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb,
                         unsigned chunk);
void p2p_sw_stream_came(struct p2p_sw_group *g, unsigned block);

/* ---- swarm_runs.c ---- */

void p2p_sw_runs_free(struct p2p_sw_group *g);
struct p2p_sw_run *p2p_sw_run_by_id(const struct p2p_sw_group *g, uint32_t id);
/* `lease`: the id of the lease, where that is the reason. The origin is asked at once. */
void p2p_sw_run_start(struct p2p_sw_group *g, unsigned first, unsigned count, uint32_t lease,
                      enum p2p_reason reason);
/* False: somebody else is to bring some of it, or there are too many. */
bool p2p_sw_run_adopt(struct p2p_sw_group *g, unsigned first, unsigned count, uint32_t *ret_run);
/* Its last block is being read: it is time to ask for the next one. */
bool p2p_sw_run_ends_soon(const struct p2p_sw_run *r);
/* What the tracker is told of it; `ok`: all is well with it. */
struct p2p_lease_end p2p_sw_run_report(const struct p2p_sw_run *r, uint64_t now, bool ok);
/* It is over; the tracker hears of it with the next question. */
void p2p_sw_run_ended(struct p2p_sw_group *g, const struct p2p_lease_end *e);
void p2p_sw_run_drop(struct p2p_sw_group *g, struct p2p_sw_run *r);

/* ---- swarm_locate.c ---- */

/* Something is wanted that is not here. */
bool p2p_sw_lacks(const struct p2p_sw_group *g);
/* How many blocks of the one range that may be read nobody brings. */
unsigned p2p_sw_exact_open(const struct p2p_sw_group *g);
/* So few take part that all are known. */
bool p2p_sw_are_few(const struct p2p_sw_group *g);
/* Asks the tracker, or the origin where there is none. */
void p2p_sw_runs(struct p2p_sw_group *g);
void p2p_sw_locate_fill(struct p2p_sw_group *g, struct p2p_locate *ret);
/* Who was to give is known not to: no need to wait for it before the origin is asked. */
void p2p_sw_dry(struct p2p_sw_group *g);
void p2p_sw_wait_dry(struct p2p_sw_group *g, uint64_t least_ms);
uint64_t p2p_sw_due(const struct p2p_sw_group *g);
void p2p_sw_farewell(struct p2p_sw_group *g);
/* Or as soon as the question under way is answered. */
void p2p_sw_locate_now(struct p2p_sw_group *g);

/* ---- swarm_unleased.c ---- */

bool p2p_sw_may_ask_origin(const struct p2p_download *d);
void p2p_sw_read_without_tracker(struct p2p_sw_group *g);
void p2p_sw_hedge(struct p2p_download *d);
