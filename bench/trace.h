/* SPDX-License-Identifier: MIT */
/*
 * trace: what is asked for in a made-up run of a cluster, and how much of it a cache of regions
 * answers. The same trace goes through the node's own policy and through others.
 */
#pragma once

#include "cache/l2_region.h"

/* A thing is a chunk, which takes a region, or a short object, which is one piece of the log. */
struct trace {
    const char *name;
    uint32_t regions; /* of the cache */
    uint32_t n_things;
    uint32_t *bytes; /* of each: L2_REGION_BYTES of a chunk, less of a short object, aligned */
    size_t n;
    uint32_t *asked; /* things, in order */
};

#define TRACE_STEP_MS 20 /* from one access to the next: 16 MiB at 800 MB/s */

struct outcome {
    uint64_t requests, bytes; /* asked for */
    uint64_t hits, hit_bytes;
    uint64_t written_bytes; /* to the disk */
};

/* ---- the traces; false: memory is out. Deterministic. ---- */

#define TRACES 3

struct trace_shape {
    uint32_t regions;  /* of the cache */
    size_t accesses;   /* of each trace */
    size_t model_each; /* one access in so many is to the model */
    size_t shift_each; /* accesses from one shift to the next */
};

bool trace_make(unsigned which, const struct trace_shape *shape, struct trace *ret);
void trace_deinit(struct trace *t);

/* ---- who competes; false: memory is out ---- */

bool trace_ours(const struct trace *t, struct outcome *ret);
bool trace_lru(const struct trace *t, struct outcome *ret);
bool trace_fifo(const struct trace *t, struct outcome *ret);
bool trace_belady(const struct trace *t, struct outcome *ret);

/* Counts an access; written: the thing is stored now, though it was not there. */
static inline void outcome_count(struct outcome *o, uint32_t bytes, bool is_hit, bool is_written)
{
    o->requests++;
    o->bytes += bytes;
    o->hits += is_hit;
    o->hit_bytes += is_hit ? bytes : 0;
    o->written_bytes += is_written ? bytes : 0;
}
