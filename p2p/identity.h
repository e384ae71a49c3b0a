/* SPDX-License-Identifier: MIT */
/*
 * identity: who this node is: an Ed25519 key, made at its first start and kept in the state
 * directory. Its fingerprint is the node's id; general.node_id is only a name for people.
 */
#pragma once

#include "common/err.h"
#include "common/key.h"

#define P2P_ID_CHARS (2 * EL_SHA256_BYTES)

struct p2p_identity {
    struct el_key *key; /* owned */
    struct el_digest fingerprint;
    char id[P2P_ID_CHARS + 1]; /* the same in hexadecimal */
};

/*
 * Reads DIR/node.key, or makes it, and DIR when that is missing. Only its owner may read it.
 * Blocks: at the start.
 */
enum el_err p2p_identity_load(const char *dir, struct p2p_identity *ret, struct el_error *err);
/*
 * What only the node with this key can say, the same each time, to whoever keeps a list of nodes
 * for `cluster`: with it nobody else is taken for this node there. A secret of these two.
 */
void p2p_identity_prove(const struct p2p_identity *i, const char *cluster,
                        char ret[P2P_ID_CHARS + 1]);
void p2p_identity_deinit(struct p2p_identity *i); /* zeroed is fine */
