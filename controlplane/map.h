/* SPDX-License-Identifier: MIT */
/*
 * map: what is hot, and which nodes have how much of it, by object or by prefix: for people. A
 * chunk has up to thousands of holders, so of each row only some chunks are looked at, evenly
 * spread; `looked` says how many. Pure. Thread: cp_state's.
 */
#pragma once

#include "controlplane/chunks.h"

#define CP_MAP_OBJECTS 256u   /* prefixes are sums of so many of the hottest objects */
#define CP_MAP_LOOKS   20000u /* at holders, about, for one row */
#define CP_MAP_ROWS    100u

struct cp_map_row {
    struct cp_object sum; /* an object; or sums of those of the prefix, which is its name */
    uint32_t objects;
    uint32_t looked; /* chunks */
    uint32_t *held;  /* the caller's, by number of a node: how many of those it has */
};

struct cp_map_conf {
    bool by_prefix;
    unsigned depth; /* of a prefix: so many segments behind the host; 0: all but the last */
    size_t numbers; /* of nodes that each `held` has room for; zeroed */
};

/* What a name begins with, its last '/' included; names without one are their own. */
struct el_str cp_prefix_of(struct el_str name, unsigned depth);

/* Fills rows, hottest first; at most max. Returns how many. Names are views. */
size_t cp_map(const struct cp_state *s, const struct cp_map_conf *conf, struct cp_map_row *rows,
              size_t max);
