/* SPDX-License-Identifier: MIT */
/*
 * ring: a bounded queue of bytes. The memory comes with the first byte, so that an exchange without
 * a body costs none. Thread: under its owner's lock.
 */
#pragma once

#include "common/err.h"

#define STORE_RING_BYTES ((size_t)(256 * EL_KIB))

struct store_ring {
    uint8_t *mem; /* NULL until the first write */
    size_t cap;   /* 0: STORE_RING_BYTES when it comes to it */
    size_t head;  /* where the oldest byte lies */
    size_t n;
};

/* A body that is known to be short needs no more. Before the first write; a zeroed ring is empty.
 */
void store_ring_size(struct store_ring *r, uint64_t at_most);
void store_ring_deinit(struct store_ring *r);

size_t store_ring_room(const struct store_ring *r);
/* How many were taken: fewer than n when it is full, 0 also when there is no memory for it. */
size_t store_ring_write(struct store_ring *r, const void *bytes, size_t n);
/* How many were copied out. */
size_t store_ring_read(struct store_ring *r, void *room, size_t n);
/* The oldest bytes that lie together; borrowed until they are consumed. */
void store_ring_peek(const struct store_ring *r, const void **ret_bytes, size_t *ret_n);
void store_ring_consume(struct store_ring *r, size_t n);
