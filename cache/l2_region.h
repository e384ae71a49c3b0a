/* SPDX-License-Identifier: MIT */
/*
 * l2_region: what the 16 MiB regions of a store are used for, and which is given up next. Pure: no
 * file, clock or lock in here.
 *
 *                take()                   filled                      give_up()
 *   [FREE] ---------------> [OPEN] ----------------------> [FULL] ----------------> [LEAVING]
 *      ^                                                                                |
 *      +--------------------------------------------------------------------------------+
 *        freed(): the index no longer names it, durably
 *
 * A region is taken either for one chunk, whose blocks stand in it at their own offsets, or for the
 * log, in which short pieces stand one behind another at multiples of 4 KiB. Bytes whose chunk was
 * dropped are dead; a region without live bytes is given up by itself. Otherwise whole regions are
 * given up, the worst first, and their owner may write those pieces again that are worth it. Of a
 * chunk the rest may never come: with a block in it its region can be given up like a FULL one.
 */
#pragma once

#include "cache/policy.h"

#define L2_REGION_BYTES CACHE_CHUNK_BYTES
#define L2_ALIGN        4096u
#define L2_NO_REGION    UINT32_MAX

enum l2_region_state { L2_FREE, L2_OPEN, L2_FULL, L2_LEAVING };

struct l2_region {
    enum l2_region_state state;
    bool is_log;
    uint32_t tail;    /* of a log: where the next piece goes */
    uint32_t live;    /* bytes, rounded up to L2_ALIGN */
    uint32_t pieces;  /* live ones */
    uint32_t pinned;  /* of them */
    uint32_t busy;    /* reads and writes under way: not given up meanwhile */
    uint64_t used_ms; /* monotonic; of a log: the mean over its pieces, estimated */
    struct cache_heat heat;
};

struct l2_regions; /* Thread: one at a time */

/* NULL: memory is out. */
struct l2_regions *l2_regions_new(uint32_t n, const struct cache_weights *weights);
void l2_regions_free(struct l2_regions *rs); /* NULL is fine */

uint32_t l2_regions_count(const struct l2_regions *rs);
uint32_t l2_regions_free_count(const struct l2_regions *rs);
uint64_t l2_regions_live_bytes(const struct l2_regions *rs);
const struct l2_region *l2_region_get(const struct l2_regions *rs, uint32_t region);

/* A region for one chunk; L2_NO_REGION when none is free. */
uint32_t l2_region_take_chunk(struct l2_regions *rs, uint64_t now_ms);
/* Room for a piece in the log; false when a new region is needed and none is free. */
bool l2_region_take_piece(struct l2_regions *rs, uint32_t bytes, uint64_t now_ms,
                          uint32_t *ret_region, uint32_t *ret_offset);
/* At start: a piece of a region that was found in the index. False: it cannot be (out of bounds, or
 * over another one's place as far as can be told from the sum). `in_place`: of a chunk's own
 * region. */
bool l2_region_restore(struct l2_regions *rs, uint32_t region, uint32_t offset, uint32_t bytes,
                       bool in_place);
/* After the last restore: regions with live pieces are FULL, the others FREE. */
void l2_regions_restored(struct l2_regions *rs, uint64_t now_ms);

/* What was known of the use of a FULL region before the start. */
void l2_region_restore_heat(struct l2_regions *rs, uint32_t region, uint64_t used_ms,
                            const struct cache_heat *heat);

/* A piece that was taken is written and named by the index (live), or not any more. When a FULL
 * region loses its last live piece and is not busy it becomes LEAVING: true, and freed() is due. A
 * busy or OPEN one that is empty is the next victim once it is neither. */
void l2_region_add(struct l2_regions *rs, uint32_t region, uint32_t bytes);
bool l2_region_drop(struct l2_regions *rs, uint32_t region, uint32_t bytes, bool was_pinned);
void l2_region_pin(struct l2_regions *rs, uint32_t region, bool is_pinned);
/* No more pieces will come for a chunk's region (its object is complete, or another was begun). */
void l2_region_close(struct l2_regions *rs, uint32_t region);
void l2_region_busy(struct l2_regions *rs, uint32_t region, int step); /* +1, -1 */
void l2_region_touch(struct l2_regions *rs, uint32_t region, uint64_t now_ms);

/*
 * The region to give up next, one that is FULL or a chunk's: without anything live, else by the
 * score of policy.h over a bounded sample of regions, logs that are mostly dead first; never one
 * that is busy, or mostly pinned unless it is a log that is mostly dead. L2_NO_REGION: none may
 * leave. Changes nothing: who asks may decide otherwise.
 */
uint32_t l2_region_victim(struct l2_regions *rs, uint64_t now_ms, uint64_t random);
/* FULL (or OPEN) -> LEAVING, whatever is live in it. */
void l2_region_give_up(struct l2_regions *rs, uint32_t region);
/* LEAVING -> FREE, with what may still be counted as live in it; it is not busy. */
void l2_region_freed(struct l2_regions *rs, uint32_t region);
