/* SPDX-License-Identifier: MIT */
/*
 * upload: which of the blocks that peers asked for goes out next. Pure; one per node.
 *
 * Few blocks at a time: one that is sent whole to ONE neighbour quickly can be passed on by it,
 * while seven that share the uplink arrive together, late. So only `slots` sends run at a time, one
 * per peer; one that takes far longer than sends take here goes to somebody slow, or to somebody
 * who gets much from others at the moment: it does not count any more, up to `most` in all.
 * `old_ms` is what is taken for long until there is a measure. One newcomer (a peer that has had
 * nothing from here for a while) at a time goes before all others, so that it has something to pass
 * on.
 *
 * Next is a block that has gone out least often from here (the more nodes have it the better it
 * spreads without us); among equals one by lot, for all nodes would serve the
 * same peers first otherwise; but who has waited for very long goes first.
 *
 * A send runs until the kernel has taken its last byte: the socket's own queue should be short
 * (TCP_NOTSENT_LOWAT), or what is counted as sent is not.
 *
 * Thread: the engine's. Times are ms of one monotonic clock.
 */
#pragma once

#include "common/chunk_id.h"
#include "common/rng.h"
#include "p2p/payload.h"

struct p2p_upload;

struct p2p_upload_conf {
    struct el_rng rng;
    unsigned slots;  /* 0: 3 */
    unsigned most;   /* 0: 32 */
    uint32_t old_ms; /* 0: 250 */
    unsigned queue;  /* blocks that one peer may have asked for; 0: 64 */
};

struct p2p_upload *p2p_upload_new(const struct p2p_upload_conf *conf);
void p2p_upload_free(struct p2p_upload *u); /* NULL is fine */

/*
 * A block that is here was asked for: the caller has seen to it that it is, and that it is not on
 * its way to that peer. EL_EOVERLOAD: too much is asked for; answer with an Error of that code.
 * EL_EPROTO: it has been asked for already.
 */
enum el_err p2p_upload_ask(struct p2p_upload *u, uint64_t now, uint64_t node,
                           const struct el_chunk_id *chunk, uint32_t block);
/*
 * No blocks: all of the chunk. Returns those that are being sent (bit i: block i of the chunk) and
 * go on: the Ack of the Cancel is put on the link when their _sent() was called, for a short frame
 * may overtake a block that is not begun. With 0 it is sent at once.
 */
uint32_t p2p_upload_cancel(struct p2p_upload *u, uint64_t node, const struct el_chunk_id *chunk,
                           struct p2p_blocks blocks);
/* The link is gone: nothing is sent to it, nothing is being sent, and no _sent() follows. */
void p2p_upload_peer_down(struct p2p_upload *u, uint64_t node);

struct p2p_send {
    uint64_t node;
    struct el_chunk_id chunk;
    uint32_t block;
};

/*
 * True: send it now; _sent() follows, also when it could not be sent after all (it is not here any
 * more: then an Error goes to the peer). False: nothing now; again after the next event or _due().
 */
bool p2p_upload_next(struct p2p_upload *u, uint64_t now, struct p2p_send *ret);
void p2p_upload_sent(struct p2p_upload *u, uint64_t now, const struct p2p_send *send);
/* When a running send gets old and another may start; UINT64_MAX: never. */
uint64_t p2p_upload_due_ms(const struct p2p_upload *u);

struct p2p_upload_stats {
    unsigned running, waiting; /* sends now */
    uint64_t sent, refused, cancelled;
};
void p2p_upload_stats(const struct p2p_upload *u, struct p2p_upload_stats *ret);
