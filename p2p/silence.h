/* SPDX-License-Identifier: MIT */
/*
 * silence: what to make of a tracker that was asked about a group and does not answer. Pure; for
 * call.c and for the simulator in tests/sim.
 *
 *   0       asked
 *   LATE    the next one is asked as well; and in its place, when something else is to be asked
 *   SILENT  as far as this node knows it is gone: who stands in for it does not wait for it
 *   PARDON  it is asked again
 *
 * Its answer, whenever it comes, ends all that. What the next one says meanwhile does not count as
 * long as that one only listens: who may yet answer may grant what was asked for.
 */
#pragma once

#include <stdbool.h>

#include "p2p/track.h"

/* Longer than an answer takes on a busy machine; the way there and back is not counted. */
#define P2P_LATE_MS   250u
#define P2P_SILENT_MS 750u
#define P2P_PARDON_MS 5000u
/* Who stands in listens no longer than that (tracker_locate.c), and a little more. */
#define P2P_LISTENS_MS 2000u

/* owes_ms: when its answer could first have come, over a link that was up; 0: it owes none. */
bool p2p_silence_is_late(uint64_t owes_ms, uint64_t now);
bool p2p_silence_is_gone(uint64_t owes_ms, uint64_t now);

/* The answer of who was asked in place of one that may yet answer. False: it only listens. */
bool p2p_silence_counts(const struct p2p_locate *question, const struct p2p_located *answer);
