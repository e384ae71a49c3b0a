/* SPDX-License-Identifier: MIT */
/*
 * timeline: bytes by source over the last hour, for a chart: sums are turned into what came in each
 * step. A sum that becomes smaller counts as nothing. Pure. Thread: one.
 */
#pragma once

#include "common/base.h"

#define CP_TIMELINE_STEP_MS 5000u
#define CP_TIMELINE_STEPS   720u

struct cp_bytes {
    uint64_t memory, disk, peer, origin;
};

struct cp_timeline_step {
    int64_t wall_ms; /* its end */
    struct cp_bytes bytes;
    uint32_t active_nodes;
};

struct cp_timeline {
    struct cp_timeline_step steps[CP_TIMELINE_STEPS]; /* a ring */
    size_t n, next;
    struct cp_bytes last; /* sums at the end of the newest step */
    bool has_last;
    uint64_t due_ms;
};

/* The sums as of now; takes one for each step, and passes over the others. */
void cp_timeline_add(struct cp_timeline *t, uint64_t mono_ms, int64_t wall_ms,
                     const struct cp_bytes *sums, uint32_t active_nodes);
/* i from 0, the oldest. */
const struct cp_timeline_step *cp_timeline_at(const struct cp_timeline *t, size_t i);
