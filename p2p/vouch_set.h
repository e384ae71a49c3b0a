/* SPDX-License-Identifier: MIT */
/*
 * vouch_set: the chunks of which the store has something, 11 to 22 bytes for each, so that nobody
 * has to ask the disk about what is not there. Two chunks that fall together count as one: what the
 * store has of them it says when it is read. Pure.
 */
#pragma once

#include "common/chunk_id.h"

enum p2p_vouch_flags {
    P2P_VOUCH_DISTRUSTED = 1, /* two that signed contradict each other */
    P2P_VOUCH_MET = 2,        /* the walk over all that is here has met it, or it has come since */
};

struct p2p_vouch_set {
    uint64_t *v; /* owned; 0: free. Two bits of each are its flags */
    size_t n, cap;
};

void p2p_vouch_set_deinit(struct p2p_vouch_set *s); /* zeroed at first */
/* In place of what was said of it. False: there is no memory, and what there was is as it was. */
bool p2p_vouch_set_put(struct p2p_vouch_set *s, const struct el_chunk_id *chunk, unsigned flags);
/* False: not there; *ret_flags is untouched then. NULL is fine. */
bool p2p_vouch_set_get(const struct p2p_vouch_set *s, const struct el_chunk_id *chunk,
                       unsigned *ret_flags);
void p2p_vouch_set_remove(struct p2p_vouch_set *s, const struct el_chunk_id *chunk);
/* A walk begins: it has met none. */
void p2p_vouch_set_unmeet(struct p2p_vouch_set *s);
