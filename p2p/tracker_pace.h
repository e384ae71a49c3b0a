/* SPDX-License-Identifier: MIT */
/*
 * tracker_pace: how many runs of a group are out at a time. What an origin bears is not known; what
 * is seen is how many blocks are read in a time. So the limit climbs as long as that pays, and else
 * comes down to the fewest runs that read as fast: the fewer they are, the sooner each block is
 * whole and can be passed on. Pure; part of the tracker.
 *
 *   CLIMB   twice as many; kept while the rate grows by a quarter. Else back, and DESCEND.
 *   DESCEND a quarter fewer, at least one; kept while the rate falls by no more than a twentieth.
 *           Else back, and HOLD.
 *   HOLD    8 windows, then a quarter more, at least one; kept if the rate grows by a tenth
 *           (then again a quarter more), else back, and DESCEND.
 *
 * A window is 4 blocks for each run that may be out, at least 16, and at least 250 ms; or 4 s. The
 * blocks of the first round after a change are not counted, nor is a window in which the limit kept
 * nobody from reading more: it says nothing about the limit.
 */
#pragma once

#include "common/base.h"

#define P2P_PACE_LEAST 2u
#define P2P_PACE_START 4u
#define P2P_PACE_MOST  64u

enum p2p_pace_step { P2P_PACE_CLIMB, P2P_PACE_DESCEND, P2P_PACE_HOLD, P2P_PACE_PROBE };

struct p2p_pace {
    unsigned limit; /* runs at a time */
    /* its own */
    enum p2p_pace_step step;
    unsigned before;      /* the limit that is compared with; 0: none, the next rate is the first */
    uint64_t rate_before; /* blocks in 1000 s */
    unsigned held;        /* windows of HOLD */
    unsigned unsettled;   /* blocks that are not counted */
    uint64_t began;
    unsigned blocks;
    bool was_full;
};

/* `start': what has turned out to be right elsewhere, or 0. */
void p2p_pace_init(struct p2p_pace *p, uint64_t now, unsigned start);
/* The first run is out after none was. */
void p2p_pace_resume(struct p2p_pace *p, uint64_t now);
/* Somebody would read more, but for the limit. */
void p2p_pace_full(struct p2p_pace *p);
/* So many blocks have been read. */
void p2p_pace_read(struct p2p_pace *p, uint64_t now, unsigned blocks);
