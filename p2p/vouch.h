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
 * Thread: the engine's; hash() from any.
 */
#pragma once

#include "cache/cache.h"
#include "p2p/manifest.h"

struct p2p_vouch;

/* Of so many chunks hashes are kept; those not used for longest make room. The key is borrowed. */
struct p2p_vouch *p2p_vouch_new(const struct el_key *key, size_t max_chunks);
void p2p_vouch_free(struct p2p_vouch *v); /* NULL is fine */
/* What is known of whole chunks is kept in that directory too, and what was is read, meanwhile. */
enum el_err p2p_vouch_keep(struct p2p_vouch *v, const char *dir, struct el_error *err);

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

/* False: not known, or not to be believed. */
bool p2p_vouch_hash(struct p2p_vouch *v, const struct el_chunk_id *chunk, unsigned block,
                    struct el_digest *ret);
/* The blocks for which it is true. */
uint32_t p2p_vouch_known(struct p2p_vouch *v, const struct el_chunk_id *chunk);
/*
 * Appends the manifest that has the hash of the block, as a frame of that version; returns whose
 * hashes it has, 0: nobody has signed that one.
 */
uint32_t p2p_vouch_tell(struct p2p_vouch *v, const struct el_chunk_id *chunk, unsigned block,
                        uint64_t age_ms, uint32_t version, struct el_buf *out);
