/* SPDX-License-Identifier: MIT */
/*
 * l2: the SSD tier, private to the cache library. What is complete in memory is written behind;
 * what memory no longer has is read back, verified, and given to fills as if it came from an
 * origin.
 *
 *   block complete --> offer() --> [admitted?] --> written --> in the map --> durable within
 * commit_ms url not in memory --> knows() --> load() --> objects published, with what the disk has
 * of them reader lacks a block that the disk has --> fill of l2's source --> read, hashed, given
 *
 * One *store* per directory: a file of 16 MiB regions, an index in LMDB, a ring. Whatever a store
 * does belongs to its ring's thread: its map, regions, health. Chunks are spread over the stores by
 * their object and number, so each store has its own part of an object and its own record of it.
 *
 * Thread: everything here may be called from any and never blocks, unless said otherwise. No lock
 * of the cache's is held by the caller except where the name ends in _locked.
 *
 * Failure: nothing here fails a request. What cannot be read is forgotten and fetched again; what
 * cannot be written is not kept.
 */
#pragma once

#include "cache/cache.h"
#include "cache/l2_record.h"

struct cache_l2;

/*
 * Opens every directory; one that cannot be used is reported, counted as down and left out, unless
 * it is in use by another node or was written by a newer version, which are errors (EL_ECONF). What
 * the directories hold is loaded behind this call. Blocks.
 */
enum el_err cache_l2_open(const struct cache_disk_conf *conf, struct cache *c,
                          struct cache_l2 **ret_l2, struct el_error *err);
/* Commits, then stops the threads. No reader is open and no fill runs. NULL is fine. */
void cache_l2_close(struct cache_l2 *l2);

/* The source of fills of what is on disk. */
struct cache_source *cache_l2_source(struct cache_l2 *l2);

/* Whether a store has something of the url, however the disk is. Leaf. */
bool cache_l2_has_url(struct cache_l2 *l2, struct el_str url);
/* Whether something of the url is on disk and not in memory yet; then load() is worth it. */
bool cache_l2_knows(struct cache_l2 *l2, struct el_str url);
/* Publishes what the disk has of the url, then cache_loaded() of the cache is called. */
void cache_l2_load(struct cache_l2 *l2, struct el_str url);
/* Whether a store is well enough to be asked what it has. */
bool cache_l2_answers(struct cache_l2 *l2);
/* Publishes the version if the disk has it, then cache_version_loaded() is called. */
void cache_l2_load_version(struct cache_l2 *l2, const struct cache_object_id *id);
/* Goes through what is on disk; at the end posts the message of the walk. */
void cache_l2_walk(struct cache_l2 *l2, struct cache_walk *w);

/*
 * The block is complete in memory and has its digest. It may be written, or not; then
 * cache_block_offer_over() is called, perhaps from inside.
 */
void cache_l2_offer(struct cache_l2 *l2, struct cache_object *o, uint64_t block);
/*
 * Reads of chunks that began, for their heat, also where memory answers: gathered a few at a time,
 * since they are many. Takes over `t`, which the caller has allocated and filled.
 */
struct cache_touch {
    struct cache_object_id id;
    uint64_t chunk;
};
struct cache_touches {
    _Atomic unsigned refs; /* the tier's */
    unsigned n;
    struct cache_touch v[16];
};
void cache_l2_touches(struct cache_l2 *l2, struct cache_touches *t);
/* The object has a new meta. */
void cache_l2_freshen(struct cache_l2 *l2, struct cache_object *o);
/* The object is dead, or another took its place. */
void cache_l2_forget(struct cache_l2 *l2, struct cache_object *o);
/* Nothing of the url is known from now on; returns whether something was. */
bool cache_l2_forget_url(struct cache_l2 *l2, struct el_str url);

/*
 * What the disks add to what memory knew; the message of the last argument is posted at the end.
 * cache/cache.h says what it means. Texts are copied.
 */
void cache_l2_stat(struct cache_l2 *l2, struct el_str url, struct cache_stat *st);
void cache_l2_purge(struct cache_l2 *l2, struct el_str text, bool is_prefix,
                    struct cache_purge *task);
void cache_l2_drop(struct cache_l2 *l2, struct cache_drop *d);
void cache_l2_pin(struct cache_l2 *l2, struct el_str url, bool is_pinned, struct cache_pin *p);

void cache_l2_stats_get(struct cache_l2 *l2, struct cache_disk_stats *ret);
