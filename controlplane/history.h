/* SPDX-License-Identifier: MIT */
/*
 * history: what each node gave its clients, by source, from beat to beat: its last
 * CP_HISTORY_POINTS beats, or what comes together where it beats more often than every
 * CP_HISTORY_GAP_MS. In memory only, 2.4 KiB for each node. Pure. Thread: one.
 */
#pragma once

#include "controlplane/nodes.h"
#include "controlplane/timeline.h"

#define CP_HISTORY_POINTS 60u
#define CP_HISTORY_GAP_MS 2000u

struct cp_history_point {
    int64_t wall_ms; /* its end */
    uint64_t ms;     /* how long it is */
    struct cp_bytes bytes;
};

struct cp_histories;

struct cp_histories *cp_histories_new(void);
void cp_histories_free(struct cp_histories *h); /* NULL is fine */
/*
 * Called again and again with what is known of the node; takes what is new, and adds it to *sum.
 * What a node has served before its first beat here, or starts again with, is not new.
 */
void cp_histories_add(struct cp_histories *h, const struct cp_node *n, struct cp_bytes *sum);
/* Points of the node that has this number, oldest first; at most CP_HISTORY_POINTS. */
size_t cp_histories_get(const struct cp_histories *h, const struct cp_node *n,
                        struct cp_history_point ret[CP_HISTORY_POINTS]);
