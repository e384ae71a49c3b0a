/* SPDX-License-Identifier: MIT */
/*
 * holders: the nodes that have a chunk, by their numbers (below CP_NODES_MAX), in one word:
 *
 *   up to three numbers in the word itself; more: a pointer to a sorted list, 2 bytes each; and
 * when that would be longer than a bit for each node, a pointer to a bitmap
 *
 * Thread: its owner's.
 */
#pragma once

#include "common/base.h"

struct cp_holders {
    uint64_t word; /* 0: nobody */
};

void cp_holders_deinit(struct cp_holders *h);
bool cp_holders_add(struct cp_holders *h, uint16_t node);    /* true: it was not there */
bool cp_holders_remove(struct cp_holders *h, uint16_t node); /* true: it was there */
bool cp_holders_has(const struct cp_holders *h, uint16_t node);
size_t cp_holders_count(const struct cp_holders *h);
/* Those at or after *node, ascending; *node is moved to it. False: none is left. */
bool cp_holders_next(const struct cp_holders *h, uint32_t *node);
/* Memory beside the word. */
size_t cp_holders_bytes(const struct cp_holders *h);
