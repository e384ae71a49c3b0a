/* SPDX-License-Identifier: MIT */
/*
 * swarm: which block this node asks of whom, which runs it reads from the origin, and whom it no
 * longer trusts. Pure; one per node, driven by the engine (and by the simulator in tests/sim).
 *
 *   what happened:  _want _have _on_have _on_block _on_located ...    then, until it has no more:
 *   what to do:     p2p_swarm_next() -> struct p2p_move               and a timer for _due_ms()
 *
 * 1. A node asks many neighbours at once, each for another block, and when enough blocks have begun
 *    to come it takes the rest back (CANCEL): so blocks come from whoever is free, and nobody has
 *    to know how busy others are. This wants _on_begun(). A block is asked of one peer, and only
 *    when that takes long of another too; once on a link (payload.h); and not while this node
 *    reads it from the origin, but for a hedge, which is counted.
 * 2. A block counts as here only when _have() says so: then it was verified.
 *    A block that a neighbour is reading from the origin is asked of it at once, where links are
 *    slow: it comes as fast as it is read, and all have it at the same time (a stream).
 * 3. What is asked for goes out rarest first, equals at random; blocks that a local reader waits
 *    for go before all others.
 * 4. A download never hangs as long as the origin answers: no tracker, no peers or no progress end
 *    in a FETCH, after a delay that is different on each node.
 * 5. Its memory: groups of 1024 blocks that are wanted and not whole, times the neighbours.
 *
 * All times are ms of one monotonic clock. A node is named by disc_id_hash() of its id.
 * Thread: the engine's.
 */
#pragma once

#include "common/err.h"
#include "common/rng.h"
#include "p2p/payload.h"
#include "p2p/track.h"

struct p2p_swarm;
struct p2p_download; /* one object version that this node is fetching */

#define P2P_NO_BLOCK UINT64_MAX

struct p2p_swarm_conf {
    struct el_rng rng;
    uint64_t self;      /* this node; takers of that name are passed over */
    unsigned k;         /* blocks that come from peers at a time, at most; 0: 10 */
    unsigned max_peers; /* neighbours that are followed at a time, per group; 0: 24. Half of them
                           are chosen, the others have chosen this node */
};

struct p2p_swarm *p2p_swarm_new(const struct p2p_swarm_conf *conf, uint64_t now);
void p2p_swarm_free(struct p2p_swarm *s); /* closes what is open, without farewell; NULL is fine */

/* ---- links: one that is ready, and the end of it or of the attempt to CONNECT ---- */

/* Also of links that the other side opened. */
void p2p_swarm_peer_up(struct p2p_swarm *s, uint64_t now, uint64_t node, bool same_zone);
/* All that was asked on it is asked elsewhere; no CONNECT to it for a while. Not to be called for
 * an attempt that failed while another link to the node is up. */
void p2p_swarm_peer_down(struct p2p_swarm *s, uint64_t now, uint64_t node);
/* It is there, or was a moment ago: it may be tried at once, whatever became of a link. */
void p2p_swarm_peer_seen(struct p2p_swarm *s, uint64_t now, uint64_t node);
/* The membership has heard from it: how it failed before does not count any more. */
void p2p_swarm_peer_back(struct p2p_swarm *s, uint64_t now, uint64_t node);

/* ---- downloads ---- */

/* `arg` is the caller's. The length is not 0. Nothing is asked for before _want(). */
struct p2p_download *p2p_swarm_open(struct p2p_swarm *s, uint64_t now, const uint8_t version[16],
                                    uint64_t length, void *arg);
void *p2p_download_arg(const struct p2p_download *d);
/*
 * Trackers are told by moves that have no download. Its runs are over: whoever reads them from the
 * origin stops, and reports nothing more. Blocks that are still on their way are cancelled.
 */
void p2p_swarm_close(struct p2p_download *d, uint64_t now);

/* Blocks [first, end). */
struct p2p_span {
    uint64_t first, end;
};

/*
 * The demand: all blocks of these spans that are not here are fetched, in any order, `urgent` and
 * those behind it before others: where the foremost waiting reader stands, or P2P_NO_BLOCK. Spans
 * may overlap; the front of each is at work whatever the others lack. Blocks that are on their way
 * stay so when they are in none any more. Without spans nothing new is asked for.
 */
void p2p_swarm_want(struct p2p_download *d, uint64_t now, const struct p2p_span *spans, size_t n,
                    uint64_t urgent);

enum p2p_reach {
    P2P_REACH_ANY,   /* FETCH may name any blocks */
    P2P_REACH_EXACT, /* exactly the blocks [first, end) in one FETCH, or none; they lie in one
                        chunk: a signed range beyond that is for the caller to read on its own */
    P2P_REACH_NONE,  /* nobody here may ask the origin: no FETCH */
};
/* On whose behalf the origin can be asked. Until it is called: P2P_REACH_NONE. */
void p2p_swarm_set_reach(struct p2p_download *d, uint64_t now, enum p2p_reach reach, uint64_t first,
                         uint64_t end);

/* The block is here, whole and verified, wherever it came from; also at the start, from disk. */
void p2p_swarm_have(struct p2p_download *d, uint64_t now, uint64_t block);
/* It was, and is not any more. */
void p2p_swarm_lost(struct p2p_download *d, uint64_t now, uint64_t block);

/* ---- what peers say; unknown nodes, chunks and blocks that were not asked for are ignored ---- */

void p2p_swarm_on_have(struct p2p_swarm *s, uint64_t now, uint64_t node,
                       const struct el_chunk_id *chunk, const struct p2p_have *have);
/* It asks to be told what there is of the chunk: it takes part, and may have something as well. */
void p2p_swarm_on_followed(struct p2p_swarm *s, uint64_t now, uint64_t node,
                           const struct el_chunk_id *chunk);
/*
 * The head of a Response of this chunk has come: the block is on its way. (Where place() of net.h
 * is called: one message to the engine.)
 */
void p2p_swarm_on_begun(struct p2p_swarm *s, uint64_t now, uint64_t node,
                        const struct el_chunk_id *chunk);
/* A Response came, and its hash is that of the manifest. _have() is called besides. */
void p2p_swarm_on_block(struct p2p_swarm *s, uint64_t now, uint64_t node,
                        const struct el_chunk_id *chunk, uint64_t block_of_chunk);
/* It is not: its sender lied for certain. */
void p2p_swarm_on_bad(struct p2p_swarm *s, uint64_t now, uint64_t node,
                      const struct el_chunk_id *chunk, uint64_t block_of_chunk);
/*
 * A Response came, and no member has signed what its hash is, as far as is known here: its sender
 * cannot give the block, nor others of the chunk but those `known`, unless it says anew that it has
 * them.
 */
void p2p_swarm_on_unsigned(struct p2p_swarm *s, uint64_t now, uint64_t node,
                           const struct el_chunk_id *chunk, uint64_t block_of_chunk,
                           uint32_t known);
/* A Response that nobody is to blame for could not be taken (no memory). */
void p2p_swarm_on_dropped(struct p2p_swarm *s, uint64_t now, uint64_t node,
                          const struct el_chunk_id *chunk, uint64_t block_of_chunk);
/* The Ack of a CANCEL: what had not come before it does not come. */
void p2p_swarm_on_cancelled(struct p2p_swarm *s, uint64_t now, uint64_t node,
                            const struct el_chunk_id *chunk, struct p2p_blocks blocks);
/* An Error about blocks, or (no blocks) about the chunk. */
void p2p_swarm_on_refusal(struct p2p_swarm *s, uint64_t now, uint64_t node,
                          const struct el_chunk_id *chunk, struct p2p_blocks blocks, uint32_t code,
                          uint32_t retry_ms);
/* Two right signatures disagree about the chunk: no byte of it comes from peers. */
void p2p_swarm_distrust_chunk(struct p2p_download *d, uint64_t now, uint32_t chunk);

/* ---- what the tracker says: exactly one of these for each LOCATE that names a download ---- */

void p2p_swarm_on_located(struct p2p_download *d, uint64_t now, uint32_t group,
                          const struct p2p_located *located);
void p2p_swarm_on_locate_failed(struct p2p_download *d, uint64_t now, uint32_t group);
/* It was that node that answered. */
void p2p_swarm_located_by(struct p2p_download *d, uint32_t group, uint64_t node);
/* It is gone: the next one is to hear at once, of each of its groups, what is here and read. */
void p2p_swarm_tracker_lost(struct p2p_swarm *s, uint64_t now, uint64_t node);
/* Somebody else says that these have chunks of the group whole: heeded while no tracker answers. */
void p2p_swarm_on_named(struct p2p_download *d, uint64_t now, uint32_t group,
                        const struct p2p_taker *takers, size_t n);

/* How long a block takes to come while its sender reads it; 0: not known. */
uint64_t p2p_swarm_stream_ms(const struct p2p_swarm *s);

/* ---- what the origin says: of a FETCH, by its run ---- */

/* The first `done` blocks of the run have been read. (_have() is called besides.) */
void p2p_swarm_on_run_progress(struct p2p_download *d, uint64_t now, uint32_t run, unsigned done);
/*
 * It is about to end, and reads nothing: something else brings it, or the reach has changed since
 * it was asked for. Not at once again.
 */
void p2p_swarm_on_run_vain(struct p2p_download *d, uint64_t now);
/* Bytes of it have come. */
void p2p_swarm_on_run_moved(struct p2p_download *d, uint64_t now, uint32_t run);
/*
 * These blocks, of one chunk, are already being read from the origin here: the tracker is told as
 * soon as it can be, so that nobody else reads them. As a run of a FETCH from now on, but that no
 * STOP is heeded. False: it is not taken up.
 */
bool p2p_swarm_adopt(struct p2p_download *d, uint64_t now, uint64_t first, unsigned count,
                     uint32_t *ret_run);
/*
 * The tracker of the first group is to know at once what is here: the next question to it goes out
 * now, or as soon as the one before is answered. False: no more will be asked of it.
 */
bool p2p_swarm_tell(struct p2p_download *d, uint64_t now);
/*
 * One of these blocks, of one group, can only come from the origin as far as is known: it is not
 * here, is not being read here, was not asked of a neighbour, and none that would give it has it.
 */
bool p2p_swarm_needs_origin(const struct p2p_download *d, uint64_t first, uint64_t end);

/* It is over: whole, stopped (both ok) or failed. The run's number means nothing after that. */
void p2p_swarm_on_run_over(struct p2p_download *d, uint64_t now, uint32_t run, unsigned done,
                           bool ok);

/* ---- what to do ---- */

enum p2p_reason {
    P2P_REASON_LEASE,      /* the tracker said so */
    P2P_REASON_NO_TRACKER, /* nobody could be asked */
    P2P_REASON_HEDGE,      /* somebody else should bring it, and does not */
};
const char *p2p_reason_name(enum p2p_reason reason); /* for metrics */

enum p2p_move_kind {
    P2P_MOVE_CONNECT,  /* node: _peer_up() or _peer_down() follows */
    P2P_MOVE_FOLLOW,   /* node, chunk: Request without blocks, P2P_WANT_HAVE */
    P2P_MOVE_UNFOLLOW, /* node, chunk: Cancel without blocks; its Ack is of no interest */
    P2P_MOVE_REQUEST,  /* node, chunk, blocks, is_coming: with P2P_WANT_COMING */
    P2P_MOVE_CANCEL,   /* node, chunk, blocks: its Ack goes to _on_cancelled() */
    P2P_MOVE_LOCATE,   /* locate, to the tracker of locate->group; download NULL: a farewell, the
                          answer is of no interest */
    P2P_MOVE_FETCH,    /* download, run, first, count, reason: read these blocks from the origin */
    P2P_MOVE_STOP,     /* download, run, count: no more than the first `count` blocks of the run;
                          _on_run_over() follows, when the block that is being read is there */
    P2P_MOVE_BLAME,    /* node, chunk, blocks, until: it sent a bad block and gets no question until
                          then; for log, metrics and whoever else wants to know */
    P2P_MOVE_FAIL,     /* download, code: the origin failed, and nobody else has what is wanted.
                          Fills that wait for the block `first` fail; the download stays open */
};

/* What it points to is borrowed until the next call into the swarm. */
struct p2p_move {
    enum p2p_move_kind kind;
    struct p2p_download *download;
    uint64_t node;
    struct el_chunk_id chunk;
    struct p2p_blocks blocks; /* of the chunk */
    bool is_coming;
    const struct p2p_locate *locate;
    uint32_t run;
    uint64_t first; /* block of the object */
    unsigned count;
    enum p2p_reason reason;
    enum el_err code;
    uint64_t until;
};

/* False: nothing more to do now. Called after each (batch of) event. */
bool p2p_swarm_next(struct p2p_swarm *s, struct p2p_move *ret);
/* When _tick() wants to be called, UINT64_MAX: never. May be in the past. */
uint64_t p2p_swarm_due_ms(const struct p2p_swarm *s);
void p2p_swarm_tick(struct p2p_swarm *s, uint64_t now);

/* ---- what can be seen from outside ---- */

struct p2p_swarm_stats {
    uint64_t blocks_peers;   /* taken from peers */
    uint64_t blocks_streams; /* of them, those that came while they were being read */
    uint64_t blocks_lease;   /* read from the origin, by reason */
    uint64_t blocks_no_tracker;
    uint64_t blocks_hedge;
    uint64_t twice; /* came though it was here already: bytes for nothing */
    uint64_t bad, refused, stolen, timeouts;
    uint64_t peers, quarantined; /* now */
};
void p2p_swarm_stats(const struct p2p_swarm *s, struct p2p_swarm_stats *ret);

struct p2p_swarm_peer {
    uint64_t node;
    bool is_up, same_zone;
    uint64_t rate_bps;          /* bytes per second while something was awaited, decayed */
    unsigned awaited;           /* blocks asked for and not here */
    uint64_t blocks;            /* taken from it, ever */
    unsigned bad;               /* strikes; they decay */
    unsigned slow;              /* blocks in a row that did not come in time */
    uint64_t quarantined_until; /* 0: it is not */
};
/* The peers in no order: *cursor starts at 0. False: there are no more. */
bool p2p_swarm_peer_next(const struct p2p_swarm *s, uint64_t now, size_t *cursor,
                         struct p2p_swarm_peer *ret);
/* One of them. False: there is nothing to say of it. */
bool p2p_swarm_peer_get(const struct p2p_swarm *s, uint64_t now, uint64_t node,
                        struct p2p_swarm_peer *ret);
/* A node in quarantine is asked nothing; whether anybody gives it anything is not ours to say. */
bool p2p_swarm_is_quarantined(const struct p2p_swarm *s, uint64_t now, uint64_t node);
