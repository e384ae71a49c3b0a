/* SPDX-License-Identifier: MIT */
/*
 * manifest: what a chunk must be: of which object version it is, how the answer to a client looks,
 * and the SHA-256 of each block, signed by the node that read them from the origin. Pure.
 *
 *   parts 4, age 8 | object part, or its SHA-256 | bytes 4, bitmap 4, hashes, tree hash | key 32 |
 *                    `-- `object' in the signed                `-- as they stand, signed ---'
 *   signature 64
 *
 * 1. The chunk's name follows from the object part, where that is there; else it is refused.
 * 2. While a chunk fills, hashes are added and none ever changes: p2p_manifest_agree(). The object
 *    part may change: the origin confirmed the version, and its age is another.
 * 3. Nodes send manifests with the hash of the object part: what the version is they know from the
 *    record of its URL (tracker_record.h), which is the object part alone, or from the origin.
 * 4. A signature covers nothing that changes on the way: the age is the word of the sender alone.
 *
 * Whether its key is that of a member is for the caller to say before it believes any of it.
 */
#pragma once

#include "cache/cache.h"
#include "common/key.h"
#include "p2p/wire.h"

/* All but the object part, when every hash is there. */
#define P2P_MANIFEST_REST                                                           \
    (4u + 8u + 4u + 4u + (P2P_CHUNK_BLOCKS + 1u) * EL_SHA256_BYTES + EL_KEY_BYTES + \
     EL_SIGNATURE_BYTES)
#define P2P_MAX_OBJECT (P2P_MAX_MANIFEST - P2P_MANIFEST_REST)

struct p2p_manifest {
    struct el_chunk_id chunk;
    uint64_t age_ms; /* how old the sender takes the answer to be, when it sends this */
    bool has_object;
    /* With the object part only. */
    struct el_str url;       /* decoded: borrowed from the frame */
    uint64_t length;         /* of the object */
    struct cache_meta *meta; /* decoded: a new one, the caller's */
    /* Always. */
    struct el_digest object;                   /* SHA-256 of the object part */
    uint32_t bytes;                            /* of the chunk: 1 to 16 MiB */
    uint32_t bitmap;                           /* whose hashes are known */
    struct el_digest blocks[P2P_CHUNK_BLOCKS]; /* by number; those of the bitmap are there */
    struct el_digest tree;                     /* over all of them, once they are known */
    uint8_t key[EL_KEY_BYTES];                 /* Ed25519, public: who read them from the origin */
    uint8_t signature[EL_SIGNATURE_BYTES];
};

uint32_t p2p_manifest_blocks(const struct p2p_manifest *m); /* of the chunk */
bool p2p_manifest_is_whole(const struct p2p_manifest *m);   /* every hash is known */

/*
 * Computes `object' (where the object part is there) and `tree' (where it is whole). EL_EINVAL: no
 * peer would take it, for its head is too long, say: the object is not shared.
 */
enum el_err p2p_manifest_seal(struct p2p_manifest *m, struct el_error *err);
/* Sealed; sets its key and signature. */
void p2p_manifest_sign(struct p2p_manifest *m, const struct el_key *key);
/* Sealed and signed. */
void p2p_manifest_add(struct el_buf *out, uint32_t version, const struct p2p_manifest *m);

/*
 * The object part alone: url, length and meta of m. EL_EINVAL: it is too long, or no object is like
 * that. Decoded, m has nothing else, and wants p2p_manifest_deinit().
 */
enum el_err p2p_object_add(struct el_buf *out, const struct p2p_manifest *m, struct el_error *err);
enum el_err p2p_object_decode(struct el_str bytes, struct p2p_manifest *ret, struct el_error *err);

/* EL_EPROTO: no manifest is like that. EL_ESIGNATURE: it is not signed by its key. */
enum el_err p2p_manifest_decode(const struct p2p_frame *f, struct p2p_manifest *ret,
                                struct el_error *err);
/* The same without asking whether chunk, object part, hashes and signature belong to each other:
 * for tests. */
enum el_err p2p_manifest_decode_form(const struct p2p_frame *f, struct p2p_manifest *ret,
                                     struct el_error *err);
void p2p_manifest_deinit(struct p2p_manifest *m); /* of a decoded one */

/*
 * Whether two manifests of one chunk say the same of what both speak of. If not (EL_EHASH), and
 * both signatures are right, one of the signers lies, or the origin gave both the same validator
 * for different bytes: either way no byte of that chunk comes from peers.
 */
enum el_err p2p_manifest_agree(const struct p2p_manifest *a, const struct p2p_manifest *b,
                               struct el_error *err);
