/* SPDX-License-Identifier: MIT */
/*
 * tracker: a role that a node has for some groups and some URLs (rendezvous over the live members):
 * who has what, who may read which blocks from the origin, what is known of a URL. Pure; driven by
 * the engine, and by the simulator in tests/sim. docs/peers.md has the rules in words.
 *
 *   groups   _locate _announce _remove       tracker_group.c, tracker_lease.c, tracker_name.c,
 *                                           tracker_doubt.c
 *   records  _find _record _release _forget  tracker_record.c
 *   both     _node_gone _tick _due
 *
 * 1. No block of a version is under two live leases of one tracker, and none is leased that a known
 *    node has, with one exception: an exact run of which some blocks are had and some by nobody.
 * 2. A wanted block that nobody has and nobody reads is leased to the next who asks, as soon as
 *    fewer runs are out than the origin is held to bear (tracker_pace.h).
 * 3. Nobody waits for a record longer than P2P_FIND_WAIT_MS.
 * 4. It knows only what it was told, and forgets what is not said again: a tracker that begins
 *    empty is told all by the next questions, one that no longer is a tracker need not be told.
 * 5. Memory is bounded by the limits below; docs/peers.md has what each costs. What was used
 *    longest ago is given up first.
 *
 * All times are ms of one monotonic clock that never goes back. Thread: one.
 */
#pragma once

#include "common/err.h"
#include "common/rng.h"
#include "discovery/discovery.h"
#include "p2p/track.h"

/* A taker that has not asked for so long has left, farewell or not. */
#define P2P_TAKER_TTL_MS 60000u
/* Announced chunks are forgotten after so long: they are announced anew at half of it, and to
 * whoever has become the tracker of their group. */
#define P2P_ANNOUNCE_TTL_MS (60u * 60u * 1000u)
/* Records nobody has asked for. */
#define P2P_RECORD_TTL_MS (60u * 60u * 1000u)

/* Who may ask the origin and keeps silent for so long is joined by the next. */
#define P2P_ASK_MS       1500u
#define P2P_FIND_WAIT_MS 4000u
/* How long it is remembered that what a URL gives is not for sharing, and that it has changed. */
#define P2P_ALONE_MS   10000u
#define P2P_CHANGED_MS 10000u

#define P2P_MAX_URL        8192u
#define P2P_MAX_AGE_MS     ((uint64_t)1 << 52) /* of a record */
#define P2P_MAX_RECORD     64876u              /* P2P_MAX_OBJECT */
#define P2P_MAX_VARIANTS   8u
#define P2P_MAX_INTERESTED 64u /* nodes of a URL that are told of a change by name */

/* 0: what p2p_tracker_conf.memory allows, or the default. */
struct p2p_tracker_limits {
    size_t groups;       /* one for each 4 KiB of memory: 65536 */
    size_t holders;      /* of all groups together, one for each KiB: 262144 */
    size_t takers;       /* of them, those that take: 16384, at most 32768 */
    size_t urls;         /* one for each 4 KiB: 65536 */
    size_t record_bytes; /* of all URLs together, a quarter: 64 MiB */
    size_t waiters;      /* of all URLs together: 65536 */
    unsigned short_run;  /* blocks at most of a taker's first run, and of all of few takers: 4 */
    unsigned first_runs; /* of a taker, before it has read a block: 1 */
};

struct p2p_tracker_conf {
    struct el_rng rng;
    uint64_t memory; /* bytes, about; what grows with what there is to know of. 0: 256 MiB */
    struct p2p_tracker_limits limits;
    /*
     * Whether the membership knows the node as alive, and its zone, as a number that is the same
     * for all of the zone; 0: not known. NULL: everybody is, in no zone.
     */
    bool (*is_member)(void *arg, uint64_t node, uint64_t *ret_zone);
    void *arg;
};

struct p2p_tracker;

struct p2p_tracker *p2p_tracker_new(const struct p2p_tracker_conf *conf, uint64_t now);
void p2p_tracker_free(struct p2p_tracker *t); /* NULL is fine */

/* ---- groups ---- */

/* In whose place this node is asked: of those that are to be asked before it. */
struct p2p_in_place {
    uint64_t nodes[DISC_OWNERS];
    size_t n;
    bool may_answer; /* one of them, as far as is known here: it may have granted what is not known
                        here */
};

/*
 * The question of a node, and its answer. `in_place` NULL: this node is the tracker of the group.
 * EL_EFULL: no room; the node does as if there were no tracker. *ret is untouched then.
 */
enum el_err p2p_tracker_locate(struct p2p_tracker *t, uint64_t now, uint64_t from,
                               const struct p2p_in_place *in_place, const struct p2p_locate *locate,
                               struct p2p_located *ret);
/* ChunkAnnounce and ChunkRemove: whole chunks that a node keeps, taker or not. */
void p2p_tracker_announce(struct p2p_tracker *t, uint64_t now, uint64_t from,
                          const struct disc_chunks *v, size_t n);
void p2p_tracker_remove(struct p2p_tracker *t, uint64_t now, uint64_t from,
                        const struct disc_chunks *v, size_t n);
/* Dead, or it has left: it has nothing any more, and its runs and questions pass to others. */
void p2p_tracker_node_gone(struct p2p_tracker *t, uint64_t now, uint64_t node);

/* ---- records ---- */

/*
 * Bytes of a record: the object part of a manifest (docs/protocol.md). Here nothing is looked at
 * but its URL and its variant: of each variant the newest is kept.
 */
struct p2p_record {
    struct el_str bytes; /* borrowed until the next call into the tracker */
    uint64_t age_ms;     /* of the answer, now */
};

enum p2p_found_kind {
    P2P_FOUND_KNOWN = 1, /* records */
    P2P_FOUND_ASK = 2,   /* nobody knows: ask the origin, then _record() or _release(). Records that
                            are too old come with it */
    P2P_FOUND_WAIT = 3,  /* another one asks: _next_answer() will say KNOWN or ASK */
};

struct p2p_found {
    enum p2p_found_kind kind;
    struct p2p_record records[P2P_MAX_VARIANTS]; /* newest first */
    size_t n;
};

/*
 * Records whose age is at least max_age_ms do not count: UINT64_MAX takes any, 0 none (what is
 * known does not serve: another variant, say). The cookie comes back with a late answer.
 */
void p2p_tracker_find(struct p2p_tracker *t, uint64_t now, uint64_t from, struct el_str url,
                      uint64_t max_age_ms, uint64_t cookie, struct p2p_found *ret);

/* An answer to who was told to WAIT. False: there is none now. */
bool p2p_tracker_next_answer(struct p2p_tracker *t, uint64_t now, uint64_t *ret_node,
                             uint64_t *ret_cookie, struct p2p_found *ret);

/*
 * What a node got from the origin, or had confirmed by it, age_ms ago. Everybody who waits gets it.
 * EL_EINVAL: it is no object part. EL_ECHANGED: it is from before a _forget(). EL_EFULL.
 */
enum el_err p2p_tracker_record(struct p2p_tracker *t, uint64_t now, uint64_t from,
                               struct el_str bytes, uint64_t age_ms, struct el_error *err);

enum p2p_release {
    P2P_RELEASE_FAILED = 1, /* no answer: the next one may ask */
    P2P_RELEASE_ALONE = 2,  /* not for sharing: everybody asks for himself, for a while */
};
/* Of who was told to ASK; from others it is ignored. */
void p2p_tracker_release(struct p2p_tracker *t, uint64_t now, uint64_t from, struct el_str url,
                         enum p2p_release why);

struct p2p_told {
    uint64_t nodes[P2P_MAX_INTERESTED]; /* not `from' */
    size_t n;
    bool everybody; /* more than that know of it: all members are to be told */
};
/*
 * What the URL was is no more (PUT, DELETE, purge, another validator): nothing from before now is
 * believed. A URL that is not known has nobody to be told: freshness bounds what nodes have, not
 * this.
 */
void p2p_tracker_forget(struct p2p_tracker *t, uint64_t now, uint64_t from, struct el_str url,
                        struct p2p_told *ret);

/* ---- time ---- */

/* Lapses what is due; bounded work. */
void p2p_tracker_tick(struct p2p_tracker *t, uint64_t now);
uint64_t p2p_tracker_due(const struct p2p_tracker *t); /* UINT64_MAX: never */

/* ---- what can be seen from outside ---- */

struct p2p_tracker_stats {
    uint64_t groups, holders, takers, runs; /* now */
    uint64_t urls, records, record_bytes;   /* now */
    uint64_t waiters;                       /* now */
    uint64_t granted, adopted;              /* runs */
    uint64_t doubted; /* times that holders were forgotten because they gave nothing */
    uint64_t read, failed, lapsed, slow, gone; /* how runs ended: all read; by their holder's word;
                                                  no progress; much slower than others; node gone */
    uint64_t asks, late_asks;                  /* ASK; those after the silence of another */
    uint64_t given_up;                         /* groups and URLs that had no room */
};
void p2p_tracker_stats(const struct p2p_tracker *t, struct p2p_tracker_stats *ret);
