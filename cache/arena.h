/* SPDX-License-Identifier: MIT */
/*
 * arena: the memory of the memory tier, in slabs of 2 MiB from two unnamed files that are mapped
 * whole: one with huge pages where that is to be had, for blocks of 1 MiB in pairs; one with
 * ordinary pages, for shorter pieces in size classes of 4 KiB to 1 MiB.
 *
 * Hazard. Pages given to sendfile() stay referenced by sockets after the call returns (on loopback
 * even after the acknowledgement, until the receiver reads them), so memory that was *exposed* like
 * that must not be written again. A hole is punched instead: the next writer gets new pages, the
 * old ones live on in the socket. On huge pages a hole smaller than the page does not do that, it
 * zeroes the page in place (seen on Linux 6.18), so there only whole slabs are punched, when both
 * halves are free; a half is given out once in the life of its slab. The file with ordinary pages
 * is kept to them by advice, where the machine gives huge ones to all shared memory
 * (/sys/kernel/mm/transparent_hugepage/shmem_enabled: always, within_size). `force`, which is for
 * tests of the kernel, may overrule that: a slow client could get zeros there.
 *
 * Memory that nobody has touched yet costs its first user the most, so some is *made ready* ahead
 * of need (ready.h): free, and with its pages behind it. It is taken before any other, and never
 * takes the place of anything: it is made out of what the budget has left, and of free slabs that
 * want new pages.
 *
 * Thread: any; one leaf mutex, not held while a hole is punched or pages are touched. Who needs the
 * very slab that is being made ready waits until it is.
 */
#pragma once

#include "common/err.h"

#define CACHE_SLAB_BYTES (2 * EL_MIB)

struct cache_arena;

/* A piece of the arena. Zeroed: none. */
struct cache_slot {
    uint8_t *mem;
    uint32_t slab;  /* index in its file */
    uint32_t bytes; /* size of the piece */
    uint16_t index; /* in the slab */
    bool is_big;    /* in the file with huge pages */
};

enum el_err cache_arena_open(uint64_t bytes, bool huge_pages, struct cache_arena **ret_arena,
                             struct el_error *err);
void cache_arena_close(struct cache_arena *a); /* NULL is fine */
bool cache_arena_is_huge(const struct cache_arena *a);
/* The file behind the slot and the slot's place in it, for sendfile. */
int cache_arena_fd(const struct cache_arena *a, const struct cache_slot *slot,
                   uint64_t *ret_offset);

/*
 * A new pair: the first of its two halves is used by `half` (0 or 1). False: the budget is used up.
 * The other half may be taken with cache_arena_take_half() as long as the first is not freed.
 */
bool cache_arena_take_pair(struct cache_arena *a, unsigned half, struct cache_slot *ret_slot);
/* False when that half has been given out before. */
bool cache_arena_take_half(struct cache_arena *a, const struct cache_slot *other, unsigned half,
                           struct cache_slot *ret_slot);
/* Who uses a short piece: remembered, so that a slab's users can be found when it is wanted back.
 */
struct cache_owner {
    uint64_t hash; /* of the object's url */
    uint64_t block;
};
#define CACHE_SLAB_SLOTS 512 /* at most in a slab */

/* A piece of at least `bytes` (1 MiB at most). */
bool cache_arena_take_small(struct cache_arena *a, uint64_t bytes, const struct cache_owner *owner,
                            struct cache_slot *ret_slot);
/* The users of that slab of short pieces, at most CACHE_SLAB_SLOTS; returns how many. */
size_t cache_arena_mates(struct cache_arena *a, uint32_t slab, struct cache_owner *ret_owners);

/* Its bytes were, or are about to be, given to sendfile. Before the slot is freed. */
void cache_arena_expose(struct cache_arena *a, const struct cache_slot *slot);
void cache_arena_free(struct cache_arena *a, struct cache_slot *slot);

/* ---- memory made ready: of blocks in pairs ---- */

/* How much there should be, in whole slabs; 0 at first. */
void cache_arena_ready_want(struct cache_arena *a, uint64_t bytes);
/* Waits until there is less, and more can be had. False: cache_arena_ready_stop() was called. */
bool cache_arena_ready_await(struct cache_arena *a);
/* Less than a quarter of it is there. How many slabs of it were taken, ever. */
bool cache_arena_ready_is_low(struct cache_arena *a, uint64_t *ret_taken);
void cache_arena_ready_stop(struct cache_arena *a);
/*
 * One slab: begin, touch, end, on one thread. False: there is enough, or nothing to make it of;
 * then there is no end.
 */
bool cache_arena_ready_begin(struct cache_arena *a);
/* Its pages are there now. False: the system has no memory for it, and nothing of it is kept. */
bool cache_arena_ready_touch(struct cache_arena *a);
/* After a failure no other begins until a slab is taken or freed. */
void cache_arena_ready_end(struct cache_arena *a, bool is_touched);

/* ---- the budget ---- */

/* Memory outside the slabs that counts against the same budget: objects and their heads. */
void cache_arena_charge(struct cache_arena *a, int64_t bytes);
/* Gives the memory of free slabs back as long as charges have pushed it over the budget. */
void cache_arena_trim(struct cache_arena *a);

struct cache_arena_stats {
    uint64_t budget, used; /* used: slots in use, and what was charged */
    uint64_t resident; /* slabs that have memory, and what was charged; never above the budget */
    uint64_t ready;    /* free slabs of pairs that have all their pages */
};
void cache_arena_stats_get(struct cache_arena *a, struct cache_arena_stats *ret);
