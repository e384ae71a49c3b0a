/* SPDX-License-Identifier: MIT */
/*
 * vouch: which hashes of blocks are known here, and who has signed them. What this node reads from
 * the origin it signs itself; what comes from peers is believed only as far as a manifest says so
 * that a member has signed.
 *
 *   block from the origin --> sign() ----+
 *                                        v
 *   Manifest of a peer ----> take() --> [chunk: parts, one for each signer] --> hash() of a block
 *                                        |                                 \-> tell() to a peer
 *                                        +-- two of them disagree: nothing of the chunk is believed
 *
 * What nobody has signed whom others know (the node that read it has gone, and who came later never
 * met it) this node signs itself when it tells of it, as far as it has the very bytes.
 *
 * In memory are the chunks that were used last; those of which all is known are in a store on disk
 * (vouch_store.h) too, as long as something of them is in the cache, and so are those that are
 * distrusted. What is asked about, signed or taken and only there is read from there.
 *
 * That takes a page fault or two (microseconds when the page is in memory, a read of the SSD when
 * not, for ever when the disk hangs), so the store's thread does it, never the caller's: until then
 * it is as if nothing was known of the chunk, and who wants to know waits with load(). Which chunks
 * the store has is in memory, so nobody waits for what is not there. A read that takes longer than
 * a second is not waited for, and nothing else is read until the store answers again.
 *
 * Thread: the engine's, but where it says "any".
 */
#pragma once

#include "cache/cache.h"
#include "common/metrics.h"
#include "common/msgq.h"
#include "p2p/manifest.h"

struct p2p_vouch;

struct p2p_vouch_conf {
    const struct el_key *key; /* borrowed */
    size_t max_chunks;        /* in memory; those not used for longest make room */
    /* Whether whose key that is lives, so that all know it. NULL: everybody does. */
    bool (*is_known)(void *arg, const uint8_t *key);
    void *arg;
    struct el_metrics *metrics; /* borrowed */
};

struct p2p_vouch *p2p_vouch_new(const struct p2p_vouch_conf *conf);
void p2p_vouch_free(struct p2p_vouch *v); /* NULL is fine */
/*
 * What is known of whole chunks is kept in that directory too, in at most so many bytes; what was
 * kept before is there, as soon as its names have been read.
 */
enum el_err p2p_vouch_keep(struct p2p_vouch *v, const char *dir, uint64_t max_bytes,
                           struct el_error *err);
/* They have been: can_tell() knows. */
bool p2p_vouch_is_named(struct p2p_vouch *v);

/*
 * This node has read the block of the object (its url, length and meta) from the origin: what it
 * signs of the chunk grows. EL_EINVAL: the object cannot be shared. EL_EHASH: somebody else has
 * signed another hash for it.
 */
enum el_err p2p_vouch_sign(struct p2p_vouch *v, const struct p2p_manifest *object,
                           const struct el_chunk_id *chunk, unsigned block,
                           const struct el_digest *digest, struct el_error *err);
/* A decoded manifest whose signature is right. EL_EHASH: it contradicts what is known. */
enum el_err p2p_vouch_take(struct p2p_vouch *v, const struct p2p_manifest *m, struct el_error *err);

/* Nothing of the chunk is here any more. */
void p2p_vouch_forget(struct p2p_vouch *v, const struct el_chunk_id *chunk);

/*
 * Who waits until what the store has of a chunk is in memory. Embedded in an object of the
 * caller's, and borrowed from a load() that returned true until `msg` was dispatched or leave()
 * returned.
 */
struct p2p_vouch_waiter {
    struct el_list link;
    struct el_msg msg; /* initialised by the caller, posted to `queue` */
    struct el_msgq *queue;
};

/* Once in a while: the clock, by which reads are given up. */
void p2p_vouch_tick(struct p2p_vouch *v, uint64_t now_ms);

/* False: there is nothing to wait for. */
bool p2p_vouch_load(struct p2p_vouch *v, const struct el_chunk_id *chunk,
                    struct p2p_vouch_waiter *w);
void p2p_vouch_leave(struct p2p_vouch *v, struct p2p_vouch_waiter *w);

/* False: not known, or not to be believed, or only the store has it: then it is being read. */
bool p2p_vouch_hash(struct p2p_vouch *v, const struct el_chunk_id *chunk, unsigned block,
                    struct el_digest *ret);
/* The blocks for which it is true. */
uint32_t p2p_vouch_known(struct p2p_vouch *v, const struct el_chunk_id *chunk);
/*
 * Appends the manifest that has the hash of the block, as a frame of that version; returns whose
 * hashes it has, 0: nobody has signed that one, or as for hash(). `here`: the blocks of the chunk
 * that this node has, and whose bytes have the hash that is known.
 */
uint32_t p2p_vouch_tell(struct p2p_vouch *v, const struct el_chunk_id *chunk, unsigned block,
                        uint32_t here, uint64_t age_ms, uint32_t version, struct el_buf *out);
/* All of these blocks of the chunk can be told of, be it after a load(). Nothing is read. */
bool p2p_vouch_can_tell(struct p2p_vouch *v, const struct el_chunk_id *chunk, uint32_t blocks);

/*
 * What was not noticed to be gone (the process was killed, a directory replaced) must not stay for
 * ever. A walk over all that the cache has: begin(), met() for each chunk of which something is
 * here (thread: any), then sweep() if it has seen everything: what it has not met, and what has not
 * come since it began, goes. At most one at a time.
 */
void p2p_vouch_walk_begin(struct p2p_vouch *v);
void p2p_vouch_walk_met(struct p2p_vouch *v, const struct el_chunk_id *chunk);
void p2p_vouch_sweep(struct p2p_vouch *v);
