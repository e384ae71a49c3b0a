/* SPDX-License-Identifier: MIT */
/*
 * lead: how far a node reads a block from the origin ahead of what it has passed on. Pure; one for
 * each run.
 *
 * All who read share the origin, by chance unevenly. What one of them reads faster than its uplink
 * passes it on is of no use to others yet, and it is read at the cost of those whose uplinks have
 * nothing to do meanwhile. So who is ahead of its streams by more than some bytes pauses: what the
 * origin gives then goes to the others.
 *
 *   bytes of the block   [ sent to the median taker | lead | not to be read yet ]
 *
 * By the median: one who takes slowly holds up nobody. Never when that one gets nothing, nor with
 * fewer than three takers, nor for longer than blocks of others take to come here: who has a slow
 * uplink is no reader who is slow. It is asked each P2P_LEAD_LOOK_MS, and the lead is as much as
 * goes out in twice that.
 *
 * Thread: the engine's. Times are ms of one monotonic clock.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define P2P_LEAD_LOOK_MS 20u
#define P2P_LEAD_ALL     UINT32_MAX

/* Zeroed: of a run that has not begun. */
struct p2p_lead {
    uint64_t block;    /* of which the rest speaks */
    uint64_t began_at; /* when it was asked about first */
    uint64_t since;    /* when `sent' was so, */
    uint32_t sent;     /* to the median taker */
    uint64_t moved_at; /* when that grew the last time, */
    uint32_t moved;    /* to this */
    uint64_t rate;     /* bytes a second; 0: not known */
};

/*
 * How many bytes of the block may be read by now; P2P_LEAD_ALL: as many as there are. usual_ms:
 * what blocks of others take; 0: not known. `sent`: what went to each of n takers, which is put in
 * order.
 */
uint32_t p2p_lead(struct p2p_lead *l, uint64_t now, uint64_t block, uint64_t usual_ms,
                  uint32_t *sent, size_t n);
