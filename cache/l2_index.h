/* SPDX-License-Identifier: MIT */
/*
 * l2_index: the durable index of one store, in LMDB, on a thread of its own, since a commit waits
 * for the disk. It knows tables, keys and values; l2_record says what they mean.
 *
 *   open() --> load each table --> [batch: put, del ...] --> commit() --> on_done: it is durable
 *                                                   get()  --> on_done: the value
 *                                                   scan() --> on_done: a step through a table
 *
 * Order on disk: data first, index after. A commit syncs the store's file before it writes, so that
 * no index entry ever names bytes that a power cut could still take away.
 *
 * Format: version L2_INDEX_VERSION, in table META under "version" (4 bytes, big-endian). An older
 * one is emptied with a message, a newer one is refused (EL_ECONF). META also holds what the store
 * was made with. What is no LMDB file, or a damaged one, is replaced by an empty one, with a
 * message.
 *
 * A map that is full grows: what the disk has no room for is the limit.
 *
 * Failure: EL_EDISK, with ENOSPC in `sys` where room is what is missing.
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"
#include "common/msgq.h"

#define L2_INDEX_VERSION 1u

struct l2_index; /* Thread: as each function says */

enum l2_table { L2_TABLE_META, L2_TABLE_OBJECT, L2_TABLE_CHUNK, L2_TABLES };

/*
 * Opens or creates DIR/index. `bytes`: address space of the map, and length of the file (sparse),
 * at first. *ret_is_new: it was created, or emptied because of its version. Thread: any; blocks.
 */
enum el_err l2_index_open(const char *dir, uint64_t bytes, struct l2_index **ret_index,
                          bool *ret_is_new, struct el_error *err);
/* Commits what was handed over, then joins the thread. NULL is fine. */
void l2_index_close(struct l2_index *x);
/* The next open() of DIR/index makes a new one. It is not open now. */
enum el_err l2_index_discard(const char *dir, struct el_error *err);

/*
 * Every entry of a table in the order of its keys, borrowed for the call; each() ends it early with
 * an error. Before the first commit. Thread: any one; blocks.
 */
enum el_err l2_index_each(struct l2_index *x, enum l2_table table,
                          enum el_err (*each)(void *arg, struct el_str key, struct el_str value,
                                              struct el_error *err),
                          void *arg, struct el_error *err);

/* One value, durable when this returns. Before the first commit. Thread: any one; blocks. */
enum el_err l2_index_put(struct l2_index *x, enum l2_table table, struct el_str key,
                         struct el_str value, struct el_error *err);

/* Changes that become durable together, applied in the order in which they were added. The caller's
 * until it is committed. */
struct l2_batch {
    struct el_msg msg; /* initialised by the caller, posted to `queue` when it is over */
    struct el_msgq *queue;
    int sync_fd;           /* the store's file */
    struct el_buf changes; /* the index's encoding; empty at first */
    size_t n;              /* changes */
    struct el_error err; /* afterwards; code EL_OK when it is durable, otherwise nothing of it is */
    struct el_list link; /* the index's */
};

/* Keys are of 1 to 511 bytes. */
void l2_batch_init(struct l2_batch *b, void (*on_done)(struct el_msg *));
void l2_batch_deinit(struct l2_batch *b);
void l2_batch_clear(struct l2_batch *b); /* for the next changes */
void l2_batch_put(struct l2_batch *b, enum l2_table table, struct el_str key, struct el_str value);
void l2_batch_del(struct l2_batch *b, enum l2_table table,
                  struct el_str key); /* or it is not there */

/* Each put of the table in the batch, in order, also of what it deletes afterwards; the batch may
 * be on its way. */
void l2_batch_each(const struct l2_batch *b, enum l2_table table,
                   void (*each)(void *arg, struct el_str key, struct el_str value), void *arg);

/* Thread: any. The batch is borrowed until its message was posted. Batches are done in order. */
void l2_index_commit(struct l2_index *x, struct l2_batch *b);

/* One value. Embedded in an object of the caller's. */
struct l2_get {
    struct el_msg msg; /* as above */
    struct el_msgq *queue;
    enum l2_table table;
    struct el_buf key;
    struct el_buf value; /* afterwards */
    bool was_found;
    struct el_error err;
    struct el_list link; /* the index's */
};

/* Thread: any. Sees what was committed before it. */
void l2_index_get(struct l2_index *x, struct l2_get *g);

/*
 * A bounded step through a table in the order of its keys, from the first one behind `after` on;
 * an entry that is there all the while is met by one of the steps. Embedded, as above.
 */
struct l2_scan {
    struct el_msg msg;
    struct el_msgq *queue;
    enum l2_table table;
    struct el_buf after; /* empty: from the start; afterwards: the last key that was met */
    size_t max;          /* entries of a step, 1.. */
    /* On the index's thread; the entry is borrowed for the call. */
    void (*each)(void *arg, struct el_str key, struct el_str value);
    void *arg;
    bool is_end; /* afterwards: there is nothing behind */
    struct el_error err;
    struct el_list link; /* the index's */
};

/* Thread: any. */
void l2_index_scan(struct l2_index *x, struct l2_scan *s);

/* Bytes of the file that hold something; what deletions left free is used again. Thread: any. */
uint64_t l2_index_bytes(struct l2_index *x);
