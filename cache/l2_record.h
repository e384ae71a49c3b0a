/* SPDX-License-Identifier: MIT */
/*
 * l2_record: how objects and chunks are written in the index of a store: fixed fields big-endian,
 * then length-prefixed bytes. Pure. What is read comes from a disk and may be anything: every
 * length is checked, and a record that does not fit its own lengths to the byte is refused.
 */
#pragma once

#include "cache/cache.h"

/* Where a block is, and what it must be. */
struct l2_block {
    uint32_t region, offset; /* bytes within the region, a multiple of L2_ALIGN */
    uint32_t bytes;          /* 1..1 MiB */
    struct el_digest digest;
};

struct l2_chunk_record {
    struct cache_object_id object;
    uint32_t chunk;
    uint16_t bitmap;                            /* of the 16 blocks; never 0 */
    struct l2_block blocks[CACHE_CHUNK_BLOCKS]; /* by number; those of the bitmap are there */
};

#define L2_CHUNK_KEY_BYTES 20 /* object id, chunk: a range of keys is an object */

void l2_chunk_key(const struct cache_object_id *object, uint32_t chunk,
                  uint8_t ret[L2_CHUNK_KEY_BYTES]);
bool l2_chunk_key_decode(struct el_str key, struct cache_object_id *ret_object,
                         uint32_t *ret_chunk);
/* Appends the value to out. */
void l2_chunk_encode(const struct l2_chunk_record *r, struct el_buf *out);
enum el_err l2_chunk_decode(struct el_str key, struct el_str value, struct l2_chunk_record *ret,
                            struct el_error *err);

/* An object: its url, meta, length, and whether an operator pinned it. */
struct l2_object_record {
    struct cache_object_id id;
    struct el_str url;       /* decoded: borrowed from the value */
    struct cache_meta *meta; /* decoded: a new one, the caller's */
    uint64_t length;
    bool is_pinned;
};

/* The length is known. */
void l2_object_encode(const struct l2_object_record *r, struct el_buf *out);
enum el_err l2_object_decode(struct el_str key, struct el_str value, struct l2_object_record *ret,
                             struct el_error *err);
/* The same without the meta and the checksum: what a start needs of a million records. Who uses the
 * object decodes it first. */
enum el_err l2_object_peek(struct el_str key, struct el_str value, struct cache_object_id *ret_id,
                           struct el_str *ret_url, uint64_t *ret_length, bool *ret_is_pinned,
                           struct el_error *err);

/* What a value ends with: the checksum of its key and of what stands before. */
uint64_t l2_record_sum(struct el_str key, struct el_str bytes);
