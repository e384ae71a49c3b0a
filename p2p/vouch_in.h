/* SPDX-License-Identifier: MIT */
/*
 * vouch_in: what the parts of vouch share: vouch.c (what is believed) and vouch_keep.c (what is in
 * memory, and what is in the store).
 *
 *        +-- find: is it in the store? --> [is_reading] --> got(): merged with what came meanwhile
 *   none-+                                                        |
 *        +-- not there -----------------> [in memory, `used`] <---+
 *                                            | longest unused, when there is no room
 *                                            v
 *                        whole or distrusted: still in the store; else gone
 *
 * Lock order: vouch -> its store, vouch -> message queue.
 */
#pragma once

#include <pthread.h>

#include "p2p/vouch.h"
#include "p2p/vouch_set.h"
#include "p2p/vouch_store.h"

#define P2P_VOUCH_BUCKETS 16384u

/* What one signer says of a chunk. */
struct p2p_vouch_part {
    struct p2p_vouch_part *next;
    struct p2p_manifest m; /* without its object part */
};

struct p2p_vouch_chunk {
    struct p2p_vouch_chunk *next; /* in its bucket */
    struct el_list used;          /* most recent last; while it is being read, in `reading` */
    struct el_chunk_id id;
    uint32_t known; /* blocks */
    bool is_contradicted;
    bool is_reading;              /* the store has more to say: until then nothing is told */
    uint64_t asked_ms;            /* since then */
    bool has_dropped;             /* some of what was signed had no room */
    struct el_list waiting;       /* of p2p_vouch_waiter.link: until it is read */
    struct p2p_vouch_part *parts; /* owned */
    struct p2p_vouch_part *own;   /* of these, this node's; NULL: it has read nothing of it */
};

struct p2p_vouch {
    const struct el_key *key;
    uint8_t public_key[EL_KEY_BYTES];
    size_t max_chunks;
    bool (*is_known)(void *arg, const uint8_t *key);
    void *arg;
    struct p2p_vouch_store *store; /* NULL: nothing outlives the process */
    struct el_counter *read, *lost, *dropped;
    struct el_gauge *kept;
    pthread_mutex_t mtx; /* all below */
    struct p2p_vouch_chunk *buckets[P2P_VOUCH_BUCKETS];
    struct el_list used, reading;
    size_t n_chunks;
    uint64_t now_ms;             /* of the last tick */
    bool is_stuck;               /* the store has not answered in time; nothing is read meanwhile */
    struct p2p_vouch_set stored; /* what the store has, or has been given */
    bool is_named;               /* all that it had at the start is in that */
    bool is_walked;              /* a walk that knew of all of them has begun */
    bool is_sweeping;            /* it names all once more, and what nobody has met goes */
};

void p2p_vouch_lock(struct p2p_vouch *v);
void p2p_vouch_unlock(struct p2p_vouch *v);

/* ---- vouch.c: what is said of a chunk ---- */

/* EL_EHASH: it contradicts what is known, and all of the chunk is distrusted from now on. */
enum el_err p2p_vouch_take_locked(struct p2p_vouch *v, struct p2p_vouch_chunk *c,
                                  const struct p2p_manifest *m, struct el_error *err);

/* All of it is known, or it is distrusted. */
bool p2p_vouch_is_worth_keeping(const struct p2p_vouch_chunk *c);

/* ---- vouch_keep.c: which chunks are in memory ---- */

/* What the store has of it is being read from now on, if there is something. NULL: it is not in
 * memory, and is not going to be. */
struct p2p_vouch_chunk *p2p_vouch_find_locked(struct p2p_vouch *v, const struct el_chunk_id *id);
/* The same, and if there is nothing it is empty. */
struct p2p_vouch_chunk *p2p_vouch_make_locked(struct p2p_vouch *v, const struct el_chunk_id *id);
void p2p_vouch_chunk_free_locked(struct p2p_vouch *v, struct p2p_vouch_chunk *c);
/* What is worth it; nothing happens if the store has it like that. */
void p2p_vouch_keep_locked(struct p2p_vouch *v, const struct p2p_vouch_chunk *c);
