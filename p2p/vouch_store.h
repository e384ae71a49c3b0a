/* SPDX-License-Identifier: MIT */
/*
 * vouch_store: manifests over a restart, so that what is on disk can be given to others again
 * without the origin being asked. LMDB in DIR/manifests, written behind by a thread of its own, in
 * batches. What it loses is only not shared; what it has is believed no more than what a peer says:
 * every signature is looked at when it is read.
 */
#pragma once

#include "common/buf.h"
#include "common/chunk_id.h"
#include "common/err.h"

struct p2p_vouch_store;

/*
 * At most max_chunks are read, by that thread: each() is called on it, with what was put. Then it
 * writes what put() and drop() give it.
 */
enum el_err
p2p_vouch_store_open(const char *dir, size_t max_chunks,
                     void (*each)(void *arg, const struct el_chunk_id *chunk, struct el_str value),
                     void *arg, struct p2p_vouch_store **ret_store, struct el_error *err);
/* What was put is written first. NULL is fine. */
void p2p_vouch_store_close(struct p2p_vouch_store *s);

/* Takes *value, which is empty afterwards. Thread: any. */
void p2p_vouch_store_put(struct p2p_vouch_store *s, const struct el_chunk_id *chunk,
                         struct el_buf *value);
void p2p_vouch_store_drop(struct p2p_vouch_store *s, const struct el_chunk_id *chunk);
