/* SPDX-License-Identifier: MIT */
/*
 * fetch.h: what fetch.c and the files beside it share, private to the engine.
 *
 *   fetch.c         fetches, by version: from the first that wants something of it to the last
 *   fetch_feed.c    fills of the cache: what is wanted, and on whose behalf the origin is asked
 *   fetch_reading.c runs that this node reads from the origin for all
 *   fetch_move.c    what the swarm wants done, carried out
 *   fetch_said.c    what peers say of blocks
 */
#pragma once

#include "p2p/engine.h"
#include "p2p/lead.h"

/* A fill of the cache that this engine brings. */
struct p2p_feed {
    uint32_t magic;
    struct p2p *p;
    struct cache_fill *fill;
    _Atomic unsigned orders;
    struct el_msg msg;
    /* the engine's */
    struct p2p_fetch *fetch; /* NULL: not begun */
    struct el_list link;
    uint64_t first, end, urgent; /* blocks that are wanted; first == end: none */
    bool is_refused;             /* the origin gives nothing for its ticket any more */
};

/* Blocks that this node reads from the origin for all. */
struct p2p_reading {
    uint32_t magic;
    struct el_list link;
    struct p2p_fetch *fetch;
    uint32_t number;            /* the swarm's */
    uint64_t first;             /* block of the object */
    unsigned count, done, most; /* most: read no more than so many */
    bool is_former;             /* of an object that had the fetch before: its end says nothing */
    struct p2p_lead lead;
    uint64_t held_at;        /* byte of the object; UINT64_MAX: it is not held */
    uint64_t seen;           /* bytes of it that had come a while ago */
    struct cache_fill *fill; /* a reference; NULL: the answer to a client's own request brings it */
    struct cache_ticket *ticket; /* it is read with; after that compared only */
    struct cache_fill_watch watch;
    struct el_msg msg;
    enum el_err code; /* set before msg is posted */
    struct el_error err;
};

/* A Cancel without its Ack. */
struct p2p_cancel {
    struct el_list link; /* of its remote */
    struct el_chunk_id chunk;
    struct p2p_blocks blocks;
};

/* ---- fetch.c ---- */

/*
 * Before anything is wanted: what a client's own request has begun is not read twice. After a purge
 * there may be two objects of a version, of which the former has readers still. Then it is fetched
 * for the one that the cache finds; readers of the other are the origin's. NULL: this is the other.
 */
struct p2p_fetch *p2p_fetch_get(struct p2p *p, struct cache_object *o);
/* Ends it if nothing holds it any more, and its record goes out. */
void p2p_fetch_let_go(struct p2p_fetch *f);

/* ---- fetch_move.c ---- */

/* The record follows the answer. Not while it takes part in what is read. */
void p2p_fetch_tell_present(struct p2p_fetch *f);

/* ---- fetch_feed.c ---- */

/* Tells the swarm what of it may be asked of the origin. False: nobody may ask. */
bool p2p_feeds_set_reach(struct p2p_fetch *f);
/* Whose ticket asks for these bytes: one that may ask for any part, if there is one; or NULL. */
struct p2p_feed *p2p_feeds_speaker(struct p2p_fetch *f, uint64_t first, uint64_t end);
/* One that wants the block; or NULL. */
struct p2p_feed *p2p_feeds_at(struct p2p_fetch *f, uint64_t block);
/* The origin gives nothing for the ticket of this reading any more. */
void p2p_feeds_refused(struct p2p_fetch *f, const struct p2p_reading *r);
void p2p_feed_end(struct p2p_feed *feed, enum el_err code, const struct el_error *err);
/* What each of several wants now: the cache tells when a reader waits, not when he has gone on. */
void p2p_feeds_look(struct p2p_fetch *f);
void p2p_feeds_stop(struct p2p_fetch *f);
/* To the origin, for each reader's sake alone. */
void p2p_feeds_hand_over(struct p2p_fetch *f);

/* ---- fetch_reading.c ---- */

void p2p_reading_begin(struct p2p *p, const struct p2p_move *m);
void p2p_reading_cut(struct p2p *p, const struct p2p_move *m);
/* What answers to clients' own requests bring is read, as far as others are concerned. */
void p2p_readings_adopt(struct p2p_fetch *f);
/* Whether that still comes. */
void p2p_readings_look(struct p2p_fetch *f);
/* What is far ahead of its streams pauses; each P2P_LEAD_LOOK_MS while there are any. */
void p2p_readings_hold(struct p2p_fetch *f);
void p2p_readings_stop(struct p2p_fetch *f, const char *why);
