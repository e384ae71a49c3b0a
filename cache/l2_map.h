/* SPDX-License-Identifier: MIT */
/*
 * l2_map: what a store holds, in memory: chunks by object and number, objects by id and by url. The
 * durable copy is the index's. Built for a million short objects: a chunk of one block takes one
 * allocation of 112 bytes, an object one of 80, and what finds them again 20 to 40 together. The
 * tables grow by one bucket at a time, so that no insertion waits until a million entries have
 * moved.
 * Thread: one at a time. Pure.
 */
#pragma once

#include "cache/l2_record.h"

struct l2_map;

/* A member of a bucket. */
struct l2_link {
    struct l2_link *next;
};

/* Owned by the map. */
struct l2_object {
    struct l2_link by_id, by_url;
    struct l2_map *map;
    struct cache_object_id id;
    uint64_t url_hash; /* cache_url_hash() */
    uint64_t length;
    uint32_t n_chunks;
    bool is_pinned;
    bool is_stale; /* found at a start that followed a crash: confirmed before its first use */
    struct l2_chunk *chunks; /* a list through next_chunk */
};

struct l2_chunk {
    struct l2_link by_key;
    struct l2_chunk *next_chunk, **prev_chunk; /* of the object */
    struct l2_object *object;
    uint32_t chunk;
    uint16_t bitmap;         /* written and readable */
    uint16_t pending;        /* being written */
    uint32_t home;           /* the region it has for itself, L2_NO_REGION: none */
    uint8_t n, cap;          /* of blocks */
    struct l2_block *blocks; /* those of bitmap and pending, by number */
    struct l2_block first;   /* where blocks points to as long as there was only one */
};

/* The hash by which urls are known on disk: the first 8 bytes of their SHA-256. */
uint64_t cache_url_hash(struct el_str url);

struct l2_map *l2_map_new(void);
void l2_map_free(struct l2_map *m); /* NULL is fine */

struct l2_object *l2_map_object(struct l2_map *m, const struct cache_object_id *id); /* or NULL */
/* Made when it is not there. */
struct l2_object *l2_map_object_get(struct l2_map *m, const struct cache_object_id *id,
                                    uint64_t url_hash, uint64_t length);
/* The first object with that hash of its url, or the next one behind `after`, which is still there;
 * NULL: no more. */
struct l2_object *l2_map_url(struct l2_map *m, uint64_t url_hash, const struct l2_object *after);
/* It has no chunk any more. */
void l2_map_object_remove(struct l2_map *m, struct l2_object *o);

struct l2_chunk *l2_map_chunk(struct l2_map *m, const struct cache_object_id *id, uint32_t chunk);
struct l2_chunk *l2_map_chunk_get(struct l2_map *m, struct l2_object *o, uint32_t chunk);
/* It has no block any more. */
void l2_map_chunk_remove(struct l2_map *m, struct l2_chunk *c);

/* The block's entry, valid until a block of the chunk is added or removed; NULL when neither bitmap
 * nor pending has it. */
struct l2_block *l2_chunk_block(struct l2_chunk *c, unsigned block);
/* Makes room for the block's entry, zeroed; it is in neither bitmap yet, so set one, before
 * anything else is asked of the chunk. */
struct l2_block *l2_chunk_block_add(struct l2_chunk *c, unsigned block);
/* Out of both bitmaps, and its entry is gone. What a region has of it is removed apart. */
void l2_chunk_block_remove(struct l2_chunk *c, unsigned block);

/*
 * The pieces that stand in a region, for giving it up: calls each(arg, chunk, block) for every one.
 * The callback may remove that piece from the region, the block, and the chunk when it was its last
 * one and the object when it was its last one, and nothing else. Whoever removes a chunk has
 * removed its pieces before. A piece is 8 bytes in an array of its region; removing one looks for
 * it there, among at most 4096.
 */
void l2_map_region_add(struct l2_map *m, uint32_t region, struct l2_chunk *c, unsigned block);
void l2_map_region_remove(struct l2_map *m, uint32_t region, struct l2_chunk *c, unsigned block);
void l2_map_region_each(struct l2_map *m, uint32_t region,
                        void (*each)(void *arg, struct l2_chunk *c, unsigned block), void *arg);

size_t l2_map_objects(const struct l2_map *m);
size_t l2_map_chunks(const struct l2_map *m);
uint64_t l2_map_bytes(const struct l2_map *m); /* of memory, malloc's own share estimated */
