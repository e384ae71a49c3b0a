/* SPDX-License-Identifier: MIT */
/*
 * l2_map: what a store holds, in memory: chunks by object and number, objects by id and by url. The
 * durable copy is the index's. Built for a million short objects: a chunk of one block takes one
 * allocation of about a hundred bytes, an object one of about sixty beside it.
 * Thread: one at a time. Pure.
 */
#pragma once

#include "cache/l2_record.h"

struct l2_map;

/* Owned by the map. */
struct l2_object {
    struct l2_object *next_id, *next_url; /* in their buckets */
    struct cache_object_id id;
    uint64_t url_hash; /* cache_url_hash() */
    uint64_t length;
    uint32_t n_chunks;
    bool is_pinned;
    bool is_stale; /* found at a start that followed a crash: confirmed before its first use */
    struct l2_chunk *chunks; /* a list through next_chunk */
};

struct l2_chunk {
    struct l2_chunk *next;                     /* in its bucket */
    struct l2_chunk *next_chunk, **prev_chunk; /* of the object */
    struct l2_object *object;
    uint32_t chunk;
    uint16_t bitmap;         /* written and readable */
    uint16_t pending;        /* being written */
    uint32_t home;           /* the region it has for itself, L2_NO_REGION: none */
    uint8_t n, cap;          /* of blocks */
    struct l2_block *blocks; /* those of bitmap and pending, by number */
};

/* The hash by which urls are known on disk: the first 8 bytes of their SHA-256. */
uint64_t cache_url_hash(struct el_str url);

struct l2_map *l2_map_new(void);
void l2_map_free(struct l2_map *m); /* NULL is fine */

struct l2_object *l2_map_object(struct l2_map *m, const struct cache_object_id *id); /* or NULL */
/* Made when it is not there. */
struct l2_object *l2_map_object_get(struct l2_map *m, const struct cache_object_id *id,
                                    uint64_t url_hash, uint64_t length);
/* The first object with that hash of its url, or the next one after `o`; NULL: no more. */
struct l2_object *l2_map_url(struct l2_map *m, uint64_t url_hash, const struct l2_object *after);
/* It has no chunk any more. */
void l2_map_object_remove(struct l2_map *m, struct l2_object *o);

struct l2_chunk *l2_map_chunk(struct l2_map *m, const struct cache_object_id *id, uint32_t chunk);
struct l2_chunk *l2_map_chunk_get(struct l2_map *m, struct l2_object *o, uint32_t chunk);
/* It has no block any more. */
void l2_map_chunk_remove(struct l2_map *m, struct l2_chunk *c);

/* The block's entry; NULL when neither bitmap nor pending has it. */
struct l2_block *l2_chunk_block(struct l2_chunk *c, unsigned block);
/* Makes room for the block's entry, zeroed; it is in neither bitmap yet, so set one. */
struct l2_block *l2_chunk_block_add(struct l2_chunk *c, unsigned block);
/* Out of both bitmaps, and its entry is gone. */
void l2_chunk_block_remove(struct l2_chunk *c, unsigned block);

/*
 * The pieces that stand in a region, for giving it up: calls each(arg, chunk, block) for every one.
 * The callback may remove that block, and the chunk when it was its last one, and nothing else.
 */
void l2_map_region_add(struct l2_map *m, uint32_t region, struct l2_chunk *c, unsigned block);
void l2_map_region_remove(struct l2_map *m, uint32_t region, struct l2_chunk *c, unsigned block);
void l2_map_region_each(struct l2_map *m, uint32_t region,
                        void (*each)(void *arg, struct l2_chunk *c, unsigned block), void *arg);

size_t l2_map_objects(const struct l2_map *m);
size_t l2_map_chunks(const struct l2_map *m);
uint64_t l2_map_bytes(const struct l2_map *m); /* of memory, malloc's own share estimated */
