/* SPDX-License-Identifier: MIT */
/*
 * source: where blocks come from when the cache lacks them. The cache declares the interface;
 * storage (the origin) and p2p (other nodes) implement it. The arrow points down: the cache knows
 * no network.
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
 *
 * A source with `is_wide` set has no order: it asks which bytes are wanted (cache_fill_demand()),
 * brings whole blocks of them as they come (cache_fill_take_at()), and may have parts of them
 * brought by another source at the same time (cache_fill_open()).
 */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/sha256.h"
#include "common/str.h"

struct cache_block;
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
    unsigned from;     /* the one of enum cache_origin_flags that its bytes count as */
    /*
     * Its fills are fed in any order, by cache_fill_take_at(), or handed over. They reach over what
     * is there already, run far ahead of their readers (cache_fill_demand() says how far), and
     * overlap with those of others.
     */
    bool is_wide;
    /* Thread: any; no lock held. Must not call back into the fill from inside. */
    void (*start)(struct cache_source *s, struct cache_fill *fill);
    /*
     * Thread: any, also one that is inside cache_fill_give() or cache_fill_done() of another fill;
     * no lock held. There is room again, or was; or what cache_fill_demand() said is different now.
     * Spurious calls happen, even just after done() or hand_over().
     */
    void (*resume)(struct cache_source *s, struct cache_fill *fill);
    /* Thread: any; no lock held. Nobody needs the rest. May come more than once, and just after
     * done(). */
    void (*cancel)(struct cache_source *s, struct cache_fill *fill);
};

struct cache_source {
    const struct cache_source_ops *ops;
    /*
     * Of a wide one: its fills are begun before a reader lacks a byte, while somebody else still
     * brings those before. Not while it would hand them over anyway.
     */
    _Atomic bool runs_ahead;
};

/* ---- what a source may do with a fill, from start() (or cache_fill_adopt()) until done() ---- */

/*
 * Whoever may ask something of a fill while another thread ends it holds a reference: the functions
 * below that say so may then be called at any time. Shared (ref).
 */
struct cache_fill *cache_fill_ref(struct cache_fill *f);
void cache_fill_unref(struct cache_fill *f); /* NULL is fine */

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
 * Whole blocks instead, for a source that verifies what it brings before anybody may see a byte of
 * it. A fill is fed in one of the two ways, not both.
 *
 *   take() --> room: memory that only the source may touch --+--> put(): verified, readable
 *                                                            +--> give_back(): not coming
 *                                                            +--> strand(), later room_free()
 *
 * Several rooms may be out at a time, and be put in any order. Each keeps its fill: what is still
 * out when done() is called is put or given back all the same, at any time, and counts.
 */
struct cache_room {
    struct cache_block *block; /* the cache's own */
    uint64_t number;           /* of the block in the object */
    uint8_t *mem; /* aligned to 4 KiB, and that is also how far beyond it may be written */
    uint32_t bytes;
};

enum cache_take {
    CACHE_TAKE_ROOM,
    CACHE_TAKE_WAIT, /* no demand or no memory: resume() will come */
    CACHE_TAKE_OVER, /* nothing more is wanted */
};

enum cache_take cache_fill_take(struct cache_fill *f, struct cache_room *ret_room);
/* Thread of these: any. */
void cache_fill_put(struct cache_fill *f, const struct cache_room *room,
                    const struct el_digest *digest);
void cache_fill_give_back(struct cache_fill *f, const struct cache_room *room);
/*
 * Not coming, but somebody, a kernel say, may still write there: the memory stays until
 * cache_room_free(), which may come after done(). The object has to be referenced for it.
 */
void cache_fill_strand(struct cache_fill *f, const struct cache_room *room);
void cache_room_free(struct cache_object *o, const struct cache_room *room);

/* ---- fills of wide sources ---- */

/*
 * What is wanted of the fill now: *first to *end (bytes, whole blocks but for the end of the
 * object) limited by the window ahead of the foremost reader, and the block for which a reader
 * waits at this moment and which nobody has in hand (the lowest one; UINT64_MAX: none). Some blocks
 * in between may be there already (cache_object_map()), or be in hand. The fill's position moves
 * over what is whole at its front.
 *
 *   ROOM: these bytes are wanted.
 *   WAIT: nothing that is not in hand already; resume() will come.
 *   OVER: nothing more is wanted, nor will be: call done().
 *
 * When what this said changes, resume() comes once; the next is due after the next call.
 * Thread: any, with a reference also after done().
 */
enum cache_take cache_fill_demand(struct cache_fill *f, uint64_t *ret_first, uint64_t *ret_end,
                                  uint64_t *ret_urgent);
/* The disk is to have some of it, and does not answer: it is wanted all the same. */
bool cache_fill_shuns_disk(const struct cache_fill *f);

/*
 * Room for that block of the fill, in any order, whether it is wanted at this moment or not.
 *
 *   ROOM: as with cache_fill_take().
 *   WAIT: no memory now; resume() will come.
 *   OVER: it is there, or in the hand of somebody else at this moment, or does not belong to
 *         what is missing of the fill any more.
 *
 * A run (cache_fill_open()) that has yet to come to the block passes over it then.
 * Thread: any, with a reference also after done().
 */
enum cache_take cache_fill_take_at(struct cache_fill *f, uint64_t number,
                                   struct cache_room *ret_room);

/*
 * Instead of feeding the fill: another source does. Its start() is called, from inside, with a fill
 * of its own that takes the place of this one: whatever the cache has to say goes there from now
 * on. This one is over, as after done(): what the cache is just saying of it is harmless. Nothing
 * of it was fed, and it is no run.
 */
void cache_fill_hand_over(struct cache_fill *f, struct cache_source *to);

/* ---- runs: fills that nobody here may want ---- */

struct cache_fill_watch {
    /*
     * The run is over; `position` is how far it came. What others had in hand as it passed may be
     * missing all the same (cache_object_map()). err is NULL with EL_OK. Thread: any; no lock held.
     * Once, and perhaps before cache_fill_open() has returned.
     */
    void (*over)(struct cache_fill_watch *w, enum el_err code, const struct el_error *err,
                 uint64_t position);
};

/*
 * Orders exactly the bytes [first, end), in order, from `s`, which is not wide, although no reader
 * may want them: no window holds the run, it is not cut by other fills and cuts none. Readers that
 * come to its bytes wait for it, and have them one by one. What fails does not fail them: they look
 * again. Where `t` is exact, the range has to be its own.
 *
 * NULL when all of it is there, or in the hands of others than wide fills; `w` is not told then.
 * Otherwise the caller has a reference, for cache_fill_cancel(), and w is borrowed until it was
 * told.
 */
struct cache_fill *cache_fill_open(struct cache_object *o, struct cache_source *s,
                                   struct cache_ticket *t, uint64_t first, uint64_t end,
                                   struct cache_fill_watch *w);
/*
 * The run pauses at this byte of the object until it is told another one; resume() comes then.
 * UINT64_MAX, at first: it does not. Whoever holds it sees to it that it goes on. Thread: any, with
 * a reference also after done().
 */
void cache_fill_hold(struct cache_fill *f, uint64_t at);
/* Nobody needs the rest: the run ends soon (EL_ECANCELED), or has already. Thread: any. */
void cache_fill_cancel(struct cache_fill *f);

/* ---- the end ---- */

/*
 * The fill is over. EL_OK: everything up to its end was given, or give() said -1; for an object of
 * unknown length it also says that the length is now known. EL_ECHANGED: the origin has another
 * version now, so this one is dropped. EL_EHASH: what was given is wrong; the object is dropped,
 * and no reader gets more of it. EL_EDISK: readers go elsewhere for what they wait for. Any other
 * error: readers that wait for missing bytes get it.
 */
void cache_fill_done(struct cache_fill *f, enum el_err code, const struct el_error *err);
