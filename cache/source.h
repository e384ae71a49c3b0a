/* SPDX-License-Identifier: MIT */
/*
 * source: where blocks come from when the cache lacks them. The cache declares the interface;
 * storage (the origin) implements it, and so will p2p. The arrow points down: the cache knows no
 * network.
 *
 * A fill is the cache's order for the bytes [first, end) of one object version, in order. The cache
 * hands it to start(); the source then calls cache_fill_give() with consecutive bytes, from any one
 * thread at a time, and exactly once cache_fill_done(), after which it must not touch the fill.
 *
 *          start()                     give() short of n: paused
 *   cache ---------> [running] ------------------------------> [paused]
 *                      |   ^                                      |
 *                      |   +------------- resume() ---------------+
 *                      | done(EL_OK | error)     cancel() may come at any time before done:
 *                      v                         the source ends soon with done(EL_ECANCELED)
 *                    (gone)
 */
#pragma once

#include <sys/types.h>

#include "common/err.h"
#include "common/str.h"

struct cache_object;
struct cache_fill;
struct cache_source;

/*
 * On whose behalf the origin is asked: made by the proxy for each request, carried by readers and
 * by the fills that they cause, read by the source only. Shared (ref). Thread: immutable after
 * creation.
 */
struct cache_ticket {
    _Atomic unsigned refs;
    void (*free)(struct cache_ticket *t); /* called when the last reference goes */
    /*
     * The bytes that may be asked for. A client's signature that covers Range admits exactly its
     * own range; otherwise any range will do (exact = false).
     */
    bool exact;
    uint64_t first, end; /* when exact */
};

struct cache_ticket *cache_ticket_ref(struct cache_ticket *t);
void cache_ticket_unref(struct cache_ticket *t); /* NULL is fine */

struct cache_source_ops {
    const char *label; /* for logs and metrics: "origin" */
    /* Thread: any; no lock held. Must not call back into the fill from inside. */
    void (*start)(struct cache_source *s, struct cache_fill *fill);
    /*
     * Thread: any, also one that is inside cache_fill_give() or cache_fill_done() of another fill;
     * no lock held. There is room again, or was: spurious calls happen, even just after done().
     */
    void (*resume)(struct cache_source *s, struct cache_fill *fill);
    /* Thread: any; no lock held. Nobody needs the rest. May come more than once. */
    void (*cancel)(struct cache_source *s, struct cache_fill *fill);
};

struct cache_source {
    const struct cache_source_ops *ops;
};

/* ---- what a source may do with a fill, from start() (or cache_fill_adopt()) until done() ---- */

struct cache_object *cache_fill_object(struct cache_fill *f); /* borrowed */
struct cache_ticket *cache_fill_ticket(struct cache_fill *f); /* borrowed */
/* Position of the next byte wanted: where a broken transfer is taken up again. */
uint64_t cache_fill_position(struct cache_fill *f);
/* One past the last byte wanted; UINT64_MAX while the length is unknown. May shrink while it runs.
 */
uint64_t cache_fill_end(struct cache_fill *f);
/* The source's own pointer, NULL at first; borrowed. */
void cache_fill_set_data(struct cache_fill *f, void *data);
void *cache_fill_data(struct cache_fill *f);

/*
 * The next n bytes at the position. Returns how many were taken: n, or fewer when there is no room
 * (every reader is far behind, or no memory is free) and then resume() will come; or -1 when nobody
 * wants more: end the transfer and call done(EL_OK).
 */
ssize_t cache_fill_give(struct cache_fill *f, const void *bytes, size_t n);

/*
 * The fill is over. EL_OK: everything up to its end was given, or give() said -1; for an object of
 * unknown length it also says that the length is now known. EL_ECHANGED: the origin has another
 * version now, so this one is dropped. Any other error: readers that wait for missing bytes get it.
 */
void cache_fill_done(struct cache_fill *f, enum el_err code, const struct el_error *err);
