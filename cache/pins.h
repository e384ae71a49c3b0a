/* SPDX-License-Identifier: MIT */
/*
 * pins: which object versions an operator has pinned, and how many bytes that is. A pin has several
 * holders, the object in memory and that of each store, and lasts as long as one of them does.
 * Thread: any; one leaf mutex.
 */
#pragma once

#include "cache/l2_record.h"

struct cache_pins;

struct cache_pins *cache_pins_new(void);
void cache_pins_free(struct cache_pins *p); /* NULL is fine */
void cache_pins_set_limit(struct cache_pins *p, uint64_t bytes);

/*
 * One more holder. False: the pin is new and would lead over the limit by more than `spare` bytes,
 * which is what will go for it; UINT64_MAX: the limit does not matter.
 */
bool cache_pins_add(struct cache_pins *p, const struct cache_object_id *id, uint64_t length,
                    uint64_t spare);
/* One holder less. */
void cache_pins_drop(struct cache_pins *p, const struct cache_object_id *id);

struct cache_pins_sum {
    uint64_t objects, bytes, limit_bytes;
};
void cache_pins_get(struct cache_pins *p, struct cache_pins_sum *ret);
