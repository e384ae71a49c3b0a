/* SPDX-License-Identifier: MIT */
/*
 * ready: keeps some memory of the arena touched ahead of need, while the processors have nothing
 * else to do. Otherwise those threads touch it that bring the bytes, when everybody waits for them.
 *
 * Thread: started and stopped by whoever owns the arena; between these it has two of its own.
 */
#pragma once

#include "cache/arena.h"

struct cache_ready;

/* The arena knows how much (cache_arena_ready_want()); it is borrowed until cache_ready_stop(). */
enum el_err cache_ready_start(struct cache_arena *arena, struct cache_ready **ret_ready,
                              struct el_error *err);
/* Waits for the slab that is in hand, and for nothing else. NULL is fine. */
void cache_ready_stop(struct cache_ready *r);
