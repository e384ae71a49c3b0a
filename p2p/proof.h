/* SPDX-License-Identifier: MIT */
/*
 * proof: what makes the node at the other end of a link the one that its Hello says. Each side
 * signs with its Ed25519 key both Hellos, each with a nonce, and what TLS says of this connection
 * alone: so a Proof is good for one link, in one direction. docs/protocol.md has the bytes. Pure.
 */
#pragma once

#include "p2p/payload.h"

/* The link as one side sees it. */
struct p2p_proof_ends {
    struct el_digest mine, others;    /* hashes of the Hellos: those of their frames */
    uint8_t binding[EL_SHA256_BYTES]; /* exported by TLS; zeros on a plain link */
};

void p2p_proof_make(const struct el_key *key, const struct p2p_proof_ends *ends,
                    struct p2p_proof *ret);
/* Of the other side, whose Hello has `fingerprint`. EL_ESIGNATURE: it is somebody else. */
enum el_err p2p_proof_check(const struct p2p_proof *p, const struct el_digest *fingerprint,
                            const struct p2p_proof_ends *ends, struct el_error *err);
