/* SPDX-License-Identifier: MIT */
/*
 * vouch_store: manifests of more chunks than memory has room for, and over a restart, so that what
 * is on disk can be given to others without the origin being asked. LMDB in DIR/manifests, on a
 * thread of its own: reads may wait for the disk, commits do.
 *
 *   open() --> each() of all names --> all_named()
 *   put(), drop() --> [waiting] --> a commit once a second     get() --> got()
 *
 * What it loses is only not shared; what it has is believed no more than what a peer says: every
 * signature is looked at when it is read.
 *
 * Two tables, changed together: the manifests, by name, and the names alone. To know what there is
 * a start reads 50 bytes for each chunk, not a manifest.
 *
 * The map grows by doubling. The limit is on what is in use: beyond it nothing more is put, and
 * what goes makes room again.
 */
#pragma once

#include "common/buf.h"
#include "common/chunk_id.h"
#include "common/err.h"

struct p2p_vouch_store;

/* On the store's thread, with no lock of the store held. */
struct p2p_vouch_store_ops {
    /* It has something of the chunk. */
    void (*each)(void *arg, const struct el_chunk_id *chunk, bool is_distrusted);
    /* That was all, since the start or the last look(). */
    void (*all_named)(void *arg);
    /* What was put last; empty: nothing, or, where it could not be read, nobody knows. */
    void (*got)(void *arg, const struct el_chunk_id *chunk, struct el_str value, bool is_known);
    /* What was put could not be written; what was there before may be. */
    void (*lost)(void *arg, const struct el_chunk_id *chunk, bool is_distrusted);
};

struct p2p_vouch_store_conf {
    const char *dir;
    uint64_t first_bytes; /* of the map (sparse); 0: 1 GiB */
    uint64_t max_bytes;   /* in use */
    const struct p2p_vouch_store_ops *ops;
    void *arg;
};

/* Names all there is, by that thread, while it works. */
enum el_err p2p_vouch_store_open(const struct p2p_vouch_store_conf *conf,
                                 struct p2p_vouch_store **ret_store, struct el_error *err);
/* What was put is written first. NULL is fine. */
void p2p_vouch_store_close(struct p2p_vouch_store *s);

/* All of these, thread: any. False: too much is waiting, and it is as if it had not been called. */
/* Takes *value, which is empty afterwards, also when it is false. A distrusted one has none. */
bool p2p_vouch_store_put(struct p2p_vouch_store *s, const struct el_chunk_id *chunk,
                         bool is_distrusted, struct el_buf *value);
bool p2p_vouch_store_drop(struct p2p_vouch_store *s, const struct el_chunk_id *chunk);
/* got() comes for certain, before close() is over. */
bool p2p_vouch_store_get(struct p2p_vouch_store *s, const struct el_chunk_id *chunk);
/* What is there is named once more. False: it is being named. */
bool p2p_vouch_store_look(struct p2p_vouch_store *s);
