/* SPDX-License-Identifier: MIT */
/*
 * tracker_group: what a tracker knows of a group, and how much of that it keeps. Part of the
 * tracker; private to it.
 *
 *   tracker_group.c  groups, who has what, what is forgotten
 *   tracker_lease.c  runs: granted, renewed, adopted, cut, lapsed
 *   tracker_name.c   whom the answer names
 *   tracker_doubt.c  holders that give nothing
 *   tracker_locate.c a question and its answer, by means of these
 *
 * Most groups are idle: they have *holders* with announced chunks, 32 bytes each. A group with
 * takers has a `struct p2p_flight' besides, made for the first and freed with the last of them.
 *
 *   holders   sorted by node, each at most once
 *   taking    what a node has said with its questions; kept for a while after it has left, since
 *             what it has in part is announced by nobody
 *   had[b]    how many members have block b, announced or said; `known' are those with any
 *   leased    blocks of live runs that are not read yet. No block is in two of them
 */
#pragma once

#include "common/list.h"
#include "p2p/table.h"
#include "p2p/tracker.h"
#include "p2p/tracker_pace.h"

/* A taker that left: what it had in part. */
#define P2P_LEFT_TTL_MS (10u * 60u * 1000u)
/* Holders of a group that do not take: more of them would not be named any better. */
#define P2P_MOST_IDLE_HOLDERS 1024u
/* Holders that are not believed, of one group. */
#define P2P_DOUBTED 8u
/* Samples of how long a block takes. */
#define P2P_TIMES 32u

/* A run that is out. Heap; in flight->runs, oldest first. */
struct p2p_run {
    struct el_list link;
    uint64_t node;
    uint32_t id;
    uint32_t ttl_ms;
    unsigned first, count, done;
    bool is_lost;        /* lapsed, or too slow: its rest is free; kept until its holder was told */
    bool was_slow;       /* that is why */
    bool counts;         /* it was granted, and its holder is believed: others are judged by it */
    uint64_t reported;   /* when its holder last spoke of it, or got it */
    uint64_t progressed; /* when a block of it was reported, or it was granted */
    uint64_t moved;      /* when bytes of it were */
    uint32_t read_progressed, read_reported; /* flight->n_read then */
};

/* What a taker has said. */
struct p2p_taking {
    uint32_t given; /* blocks, by leases, and what others had been given when it came */
    bool is_exact;  /* it may read one range only */
    struct p2p_blockset have, want;
    uint64_t asked;
    bool has_left;
    bool complains; /* the last time it asked */
    bool keeps;     /* p2p_runs_keeps, the last time it asked */
    bool may_read;  /* asked for a lease the last time */
    bool has_read;  /* a block, since it takes this group */
    bool has_moved; /* another tracker has located it before */
    uint8_t others; /* that take besides, as it says; 0: it does not know */
    /* After a run that failed or was too slow: others go first, for twice as long each time. */
    uint64_t barred_until;
    uint32_t bar_ms;
};

struct p2p_holder {
    uint64_t node;
    uint64_t chunks; /* announced, or left behind whole; 0 in takers that have announced none */
    uint64_t announced;
    struct p2p_taking *taking; /* owned; NULL: it only has */
};

/* How long a block took whom; what the flight had then of these two. */
struct p2p_time {
    uint64_t node;
    uint32_t ms;
    uint32_t n_read;
    uint64_t counted_ms;
};

struct p2p_flight {
    struct el_list link; /* of tracker->flights */
    struct p2p_tgroup *group;
    unsigned takers;  /* that have not left */
    unsigned wanting; /* of them, those that want something */
    uint16_t had[P2P_GROUP_BLOCKS];
    struct p2p_blockset known, leased;
    struct el_list runs;
    unsigned out;         /* runs that are not lost */
    unsigned counted_out; /* of them those that count */
    uint64_t counted_ms;  /* for so long these were out, in sum, until `counted_at' */
    uint64_t counted_at;
    uint32_t n_read;             /* their blocks */
    uint64_t moved, moves_since; /* when one of these did, and since when some do all the time */
    uint64_t any_moved;          /* the same of all runs */
    uint64_t tried;              /* when one of several that stood still was taken back */
    unsigned tries;              /* so often since anything moved */
    uint32_t ttl_ms;
    uint64_t began;
    uint64_t heard;       /* the last question */
    uint64_t quiet_until; /* nothing is granted: others have still to say what they read */
    bool stands_in;       /* and that is because another node is its tracker */
    bool has_granted;
    struct p2p_pace pace;
    struct p2p_blockset brought; /* takers have had or read it */
    uint64_t given;              /* when a taker last had what no other had or read; 0: never */
    uint64_t accused_at;
    uint64_t accuser; /* who had to read what holders should have given; 0: nobody */
    uint64_t doubted[P2P_DOUBTED];
    unsigned n_doubted;
    struct p2p_time times[P2P_TIMES]; /* a ring */
    unsigned n_times;                 /* ever */
};

struct p2p_tgroup {
    struct p2p_table_entry entry;
    struct el_list by_use; /* of tracker->groups, the least recently used first */
    struct p2p_group name;
    uint32_t blocks; /* 0: nobody has asked yet */
    struct p2p_holder *v;
    uint32_t n, cap;
    uint32_t idle; /* holders without `taking' */
    struct p2p_flight *flight;
};

struct p2p_tracker_records;

struct p2p_tracker {
    struct p2p_tracker_conf conf; /* limits without zeros */
    struct el_rng rng;
    uint64_t salt[2]; /* of the tables */
    struct p2p_table table;
    struct el_list groups;
    struct el_list flights;
    size_t n_holders, n_takings;
    uint32_t next_id;                    /* of a lease */
    unsigned pace;                       /* of the last flight that has found out; 0: none has */
    uint64_t next_sweep, next_look;      /* at flights; at some of the groups */
    size_t swept;                        /* slots of the table */
    struct p2p_tracker_records *records; /* owned */
    struct p2p_tracker_stats stats;      /* what is counted up */
};

/* ---- tracker_group.c ---- */

/* NULL: it is not known. */
struct p2p_tgroup *p2p_tgroup_find(struct p2p_tracker *t, const struct p2p_group *name);
/* The same, or a new one; NULL: there is no room. */
struct p2p_tgroup *p2p_tgroup_get(struct p2p_tracker *t, const struct p2p_group *name);
void p2p_tgroup_free(struct p2p_tracker *t, struct p2p_tgroup *g);
/* Without takers its flight is freed, without holders the group. Whoever made it less calls this
 * last. */
void p2p_tgroup_settle(struct p2p_tracker *t, struct p2p_tgroup *g);

/* Borrowed until the next holder comes or goes. NULL: it is not known. */
struct p2p_holder *p2p_tgroup_holder(const struct p2p_tgroup *g, uint64_t node);
/* The holder as a taker, with a flight; NULL: there is no room. */
struct p2p_holder *p2p_tgroup_taker(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                                    uint64_t node);
/* What a taker has and wants now. */
void p2p_tgroup_said(struct p2p_tgroup *g, struct p2p_holder *h, const struct p2p_blockset *have,
                     const struct p2p_blockset *want);
/* It takes no more: what it has whole counts as announced; its runs are free. */
void p2p_tgroup_leave(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                      struct p2p_holder *h);
/* All of them do, and nothing is known of what they have in part. */
void p2p_tgroup_forsake(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now);
/* It has nothing any more, whatever was said. h and all others are elsewhere then. */
void p2p_tgroup_drop(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                     struct p2p_holder *h);
void p2p_groups_gone(struct p2p_tracker *t, uint64_t now, uint64_t node);
/* Forgets what was not said again for long, a part of it at a time. */
void p2p_groups_sweep(struct p2p_tracker *t, uint64_t now);
uint64_t p2p_groups_due(const struct p2p_tracker *t);

/* ---- tracker_doubt.c ---- */

/*
 * What a taker says, before it is noted: whether it means that others do not give what they say
 * they have. Holders are elsewhere afterwards.
 */
void p2p_tgroup_doubt(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                      const struct p2p_holder *h, const struct p2p_locate *l,
                      const struct p2p_blockset *have);
/* It does not answer as a tracker: what it only said to have is not believed. */
void p2p_tgroup_doubt_silent(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                             uint64_t node);
/* What the node announces of the group does not count. */
bool p2p_tgroup_doubts(const struct p2p_tgroup *g, uint64_t node);

bool p2p_tracker_is_member(const struct p2p_tracker *t, uint64_t node, uint64_t *ret_zone);
/* All blocks of those chunks. */
void p2p_chunks_blocks(uint64_t chunks, uint32_t blocks, struct p2p_blockset *ret);
/* The chunks that are there whole, and in part. */
void p2p_blocks_chunks(const struct p2p_blockset *s, uint32_t blocks, uint64_t *ret_whole,
                       uint64_t *ret_part);

/* ---- tracker_lease.c ---- */

void p2p_runs_report(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                     struct p2p_holder *h, const struct p2p_locate *l, struct p2p_located *ret);
/* Takes back what has lapsed or is far slower than others. */
void p2p_runs_lapse(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now);
void p2p_runs_grant(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now, struct p2p_holder *h,
                    const struct p2p_locate *l, struct p2p_located *ret);
/* Blocks of live runs of other nodes. */
void p2p_runs_coming(const struct p2p_tgroup *g, uint64_t node, struct p2p_blockset *ret);
/* Nobody is judged by the node's runs any more. */
void p2p_runs_doubt(struct p2p_flight *f, uint64_t now, uint64_t node);
/* They are over; returns how many were live. */
unsigned p2p_runs_end(struct p2p_tgroup *g, uint64_t now, uint64_t node);
/* It has several blocks that others want and none has got; where few take part. */
bool p2p_runs_keeps(const struct p2p_tgroup *g, uint64_t now, const struct p2p_holder *h);
bool p2p_runs_has_any(const struct p2p_tgroup *g, uint64_t node);

/* ---- tracker_name.c ---- */

void p2p_name_takers(struct p2p_tracker *t, const struct p2p_tgroup *g, const struct p2p_holder *h,
                     const struct p2p_locate *l, struct p2p_located *ret);
