/* SPDX-License-Identifier: MIT */
/*
 * object: what the index holds, private to the cache library.
 *
 *   shard (mutex) -- entries by url -- objects (variants) -- chunks -- blocks -- slots of the arena
 *                                           |
 *                                           +-- fills, readers
 *
 * Invariants
 * 1. Everything below an object is under the mutex of its shard, but for the bytes: those between a
 *    block's lo and hi never change, those from hi on belong to its one fill.
 * 2. A block with pins or with a fill is not evicted. One that is replaced meanwhile becomes an
 *    orphan and is freed by the last unpin.
 * 3. A chunk is in its shard's LRU list as long as it exists. Chunk 0 exists as long as its object.
 * 4. An object in the index holds one reference of the index's.
 *
 * Lock order: shard -> arena, shard -> pins, shard -> ids -> message queue. Never two shards.
 */
#pragma once

#include <pthread.h>

#include "cache/arena.h"
#include "cache/cache.h"
#include "cache/l2.h"
#include "cache/pins.h"
#include "cache/policy.h"

#define CACHE_SHARDS 64
/* A fill that is further away than this is not waited for: a nearer one is started. */
#define CACHE_NEAR_BYTES (16 * EL_MIB)

struct cache_block {
    struct cache_object *object; /* NULL: orphan */
    struct cache_slot slot;
    uint32_t lo, hi; /* the bytes that are there, from the block's start */
    uint32_t pins;
    uint32_t number;           /* in the object */
    struct cache_fill *filler; /* who is writing it, NULL: nobody; referenced when it is a room */
    bool is_exposed;           /* given out for sendfile */
    bool is_room;              /* its filler brings it as a whole */
    bool is_offered;           /* to the SSD tier, which has not written it yet */
    bool is_last_offer;        /* it was about to leave then: it is not offered again */
    uint8_t from;              /* enum cache_origin_flags */
    bool has_digest;
    uint64_t done_at; /* moment (cache->moment) when it was complete; UINT64_MAX before */
    struct el_digest digest;
};

struct cache_chunk {
    struct el_list lru; /* of the shard, most recent first */
    struct cache_object *object;
    uint32_t index;
    uint32_t n_blocks;
    uint64_t used_ms; /* monotonic, last access */
    struct cache_heat heat;
    struct cache_block *blocks[CACHE_CHUNK_BLOCKS];
};

/* Chunk pointers are kept in pages, so that a 1 TB object of which little is read costs little. */
#define CACHE_PAGE_CHUNKS 64

struct cache_chunk_page {
    struct cache_chunk *v[CACHE_PAGE_CHUNKS];
};

struct cache_object {
    _Atomic unsigned refs;
    struct cache *cache;
    struct cache_shard *shard;
    char *url; /* owned */
    size_t url_n;
    uint64_t hash;
    struct cache_object_id id; /* zeroed while nobody needs it: has_id */
    bool has_id;               /* immutable; the id is as well then */
    /* under the shard's mutex */
    struct el_list link;             /* in its entry */
    struct cache_object *next_by_id; /* under the lock of its ids; while it is in the index */
    struct cache_meta *meta;
    uint64_t length;
    bool in_index, wants_index, is_dead, is_whole_only; /* whole only: parts of it are of no use */
    bool is_told_dead;                                  /* disk and listener know */
    bool is_kept;                                       /* whole only: nothing of it has left yet */
    bool is_changed; /* the origin has another version: what is missing stays missing */
    bool is_wrong;   /* its bytes are not the origin's: nobody gets any more of them */
    bool is_pinned;  /* and holds its pin */
    struct el_list fills, readers;
    unsigned n_wide;           /* of the fills */
    uint64_t gaps;             /* counts blocks that left, or came to nothing */
    struct cache_chunk *first; /* chunk 0 */
    struct cache_chunk_page **pages;
    size_t n_pages;
    uint16_t *disk; /* by chunk: which of its blocks the SSD tier has; owned */
    size_t n_disk;
    uint64_t whole_blocks, blocks;
    int64_t charged;
};

struct cache_entry {
    struct cache_entry *next; /* in its bucket */
    uint64_t hash;
    struct el_list objects;
    struct el_list waiters;
    struct el_list load_waiters;
    bool in_flight;
    bool is_loading; /* the disk is asked what it has, */
    bool is_asked;   /* or the finder */
    size_t url_n;
    char url[];
};

/* Answers for a url with this hash cannot be shared: a memory that forgets, of fixed size. */
struct cache_solo {
    uint64_t hash, until_ms;
};
#define CACHE_SOLOS 256

struct cache_shard {
    pthread_mutex_t mtx;
    struct cache_entry **buckets;
    size_t n_buckets, n_entries;
    struct cache_solo solos[CACHE_SOLOS]; /* by hash; a newer one takes the place of an older */
    struct el_list lru;                   /* of cache_chunk */
    struct cache_touches *touches;        /* not handed to the SSD tier yet; or NULL */
    uint64_t n_objects, n_chunks, n_blocks, pinned_bytes;
};

/* Versions that lookups find, by id, and those that are being loaded from disk by id. */
#define CACHE_ID_SHARDS 64

struct cache_ids {
    pthread_mutex_t mtx; /* leaf, but for message queues */
    struct cache_object **buckets;
    size_t n_buckets, n;
    struct el_list loads; /* of cache_version_load */
};

struct cache_fill {
    uint32_t magic;
    _Atomic unsigned refs;
    struct cache_object *object; /* referenced */
    struct cache_ticket *ticket; /* referenced; may be NULL */
    struct cache_source *source;
    void *data;             /* the source's */
    struct el_sha256 *hash; /* the giving thread's */
    bool is_hashed;         /* the giving thread's: hash covers the block from its start */
    /* under the shard's mutex */
    struct el_list link; /* of the object; not in it once done */
    uint64_t position, end;
    uint64_t limit;   /* how far demand lets it go */
    uint64_t held_at; /* of a run: cache_fill_hold() */
    /* of a wide one: what cache_fill_demand() has said last */
    uint64_t told_end, urgent;
    bool is_idle;                        /* WAIT */
    uint64_t seen_gaps;                  /* the object's at that moment */
    struct cache_block *block;           /* being written */
    bool is_paused, is_stopped, is_over; /* stopped: nobody wanted the rest */
    /* immutable */
    bool is_run;                    /* ordered: demand does not matter */
    bool shuns_disk;                /* what the disk has is brought too */
    struct cache_fill_watch *watch; /* of a run */
    /* under cache->starved_mtx */
    struct el_list starved;
};

struct cache {
    struct cache_conf conf;
    struct cache_arena *arena;
    struct cache_ready *ready; /* NULL: none */
    struct cache_l2 *l2;       /* NULL: none */
    struct cache_pins *pins;
    uint64_t window;         /* how far a fill may run ahead of its foremost reader */
    uint64_t whole_window;   /* the same where what was passed over cannot be fetched again */
    uint64_t wide_window;    /* the same of fills of wide sources, */
    uint64_t wide_bytes;     /* and all of these together */
    _Atomic uint64_t n_wide; /* such fills that run */
    uint64_t whole_limit;    /* longest object that is kept as a whole */
    struct cache_shard shards[CACHE_SHARDS];
    struct cache_ids ids[CACHE_ID_SHARDS];
    _Atomic uint64_t moment;
    _Atomic bool is_evicting; /* above the upper watermark, not yet below the lower one */
    pthread_mutex_t starved_mtx;
    struct el_list starved; /* fills that wait for memory */
    _Atomic unsigned n_starved;
    _Atomic uint64_t n_running;
    struct {
        struct el_counter *fills, *starved, *evicted_blocks, *evicted_bytes;
    } count;
};

/* To whole blocks; of what is unknown nothing else. */
static inline uint64_t cache_round_up(uint64_t bytes)
{
    return bytes > UINT64_MAX - CACHE_BLOCK_BYTES
               ? bytes
               : (bytes + CACHE_BLOCK_BYTES - 1) / CACHE_BLOCK_BYTES * CACHE_BLOCK_BYTES;
}

/* ---- object.c: the shard's mutex is held where the name ends in _locked ---- */

void cache_shard_lock(struct cache_shard *s);
void cache_shard_unlock(struct cache_shard *s);

uint32_t cache_block_bytes(const struct cache_object *o, uint64_t block);
bool cache_block_is_whole(const struct cache_object *o, uint64_t block,
                          const struct cache_block *b);
struct cache_block *cache_block_find_locked(struct cache_object *o, uint64_t block);
struct cache_chunk *cache_chunk_get_locked(struct cache_object *o, uint64_t block);
void cache_chunk_touch_locked(struct cache_object *o, uint64_t block);
/* Frees a block that no object has, unless a reader still does. */
void cache_block_free_orphan_locked(struct cache *c, struct cache_block *b);
/* Takes the block out of its object; freed now, or by the last unpin. */
void cache_block_drop_locked(struct cache_object *o, uint64_t block);
void cache_block_pin_locked(struct cache_object *o, struct cache_block *b);
void cache_block_unpin_locked(struct cache_object *o, struct cache_block *b);
/* The SSD tier is done with what it was offered, one way or the other. */
void cache_block_offer_over(struct cache_object *o, uint64_t block);
/* The complete block, pinned and with its digest, of an object that lookups find; NULL: gone. */
struct cache_block *cache_block_borrow(struct cache_object *o, uint64_t block);
void cache_block_return(struct cache_object *o, struct cache_block *b);

/* ---- what of an object is on disk ---- */

bool cache_disk_has_locked(const struct cache_object *o, uint64_t block);
/* The first block from `block` on that is on disk (`wanted`), or is not; at most `end`. */
uint64_t cache_disk_next_locked(const struct cache_object *o, uint64_t block, uint64_t end,
                                bool wanted);
/* Of the chunk these blocks, besides what is known, or no longer. No lock is held. */
void cache_disk_add(struct cache_object *o, uint64_t chunk, uint16_t bits);
void cache_disk_remove(struct cache_object *o, uint64_t chunk, uint16_t bits);
/* The same of a version that may not be in memory at all. */
void cache_disk_lost(struct cache *c, const struct cache_object_id *id, uint64_t chunk,
                     uint16_t bits);

/* Of an object whose parts are of use. False: too much is pinned; `spare` as in pins.h. */
bool cache_object_pin_locked(struct cache_object *o, uint64_t spare);
bool cache_object_pin(struct cache_object *o, uint64_t spare);
void cache_object_unpin(struct cache_object *o);
bool cache_object_is_pinned(struct cache_object *o);

/* What readers of an object that is not kept have all read. */
void cache_object_let_go_locked(struct cache_object *o, uint64_t block);
bool cache_object_is_complete_locked(const struct cache_object *o);
/* The first block from `block` on, below `end`, that is there or being filled; `end` when none is.
 */
uint64_t cache_object_next_block_locked(struct cache_object *o, uint64_t block, uint64_t end);

/* Another version has its place in the index: drops the index's reference. */
void cache_object_replaced(struct cache_object *o);
/* It is dead, and no lookup finds it: others have to know. No lock is held. */
void cache_object_died(struct cache_object *o);

/* ---- tell.c: the listener, if there is one; no lock is held ---- */

void cache_tell_block(struct cache_object *o, uint64_t block, const struct el_digest *digest);
void cache_tell_lost(struct cache *c, const struct cache_object_id *id, uint64_t chunk);
void cache_tell_published(struct cache_object *o);
void cache_tell_killed(struct cache_object *o);

/* ---- index.c ---- */

/* True: the caller drops the index's reference once the mutex is released. */
bool cache_index_remove_locked(struct cache_object *o);
/* The object that lookups find and whose block lies in that slab of short pieces; NULL: gone. */
struct cache_object *cache_index_owner_locked(struct cache_shard *s,
                                              const struct cache_owner *owner, uint32_t slab);
bool cache_index_add_locked(struct cache_object *o, struct cache_object *ret_replaced[],
                            size_t *ret_n);

/* References on objects, collected. */
struct cache_found {
    struct cache_object **v; /* owned */
    size_t n, cap;
};
/* A step through the shard's objects that lookups find and whose url begins so, from *bucket on;
 * false: it was the last one. */
bool cache_index_by_prefix(struct cache_shard *s, struct el_str prefix, size_t *bucket,
                           struct cache_found *found);

/* Publishes what was read from a disk, unless the url was invalidated meanwhile or memory has that
 * variant. */
void cache_index_add_loaded(struct cache_object *o);
/* The disk has said what it has of the url. */
void cache_loaded(struct cache *c, struct el_str url);

/* ---- version.c ---- */

void cache_ids_init(struct cache *c);
void cache_ids_deinit(struct cache *c);
/* It comes into the index; or leaves. The shard's mutex is held. Without an id nothing happens. */
void cache_ids_add_locked(struct cache_object *o);
void cache_ids_remove_locked(struct cache_object *o);
/* Whoever waits for a version by its id does not any more. */
void cache_version_leave(struct cache *c, struct cache_waiter *w);
/* The disk has said what it has of the version. */
void cache_version_loaded(struct cache *c, const struct cache_object_id *id);

/* ---- fill.c ---- */

/* A fill that will bring the byte soon enough to be waited for. */
bool cache_fill_is_coming_locked(const struct cache_reader *r);
/* The reader waits for what is coming: those fills are to know that may choose what comes first. */
void cache_fill_wait_for_locked(const struct cache_reader *r);
/* Whether it counts as a reason for the fill to go on. */
bool cache_fill_is_for(const struct cache_fill *f, const struct cache_reader *r);
/* As below, of what the disk has there; NULL: nothing that the reader could use. */
struct cache_fill *cache_fill_from_disk_locked(struct cache_reader *r);
/*
 * As above, of the chunk behind that of the position, once the reader comes near it: a disk that is
 * only asked when the reader has arrived there stands still meanwhile.
 */
struct cache_fill *cache_fill_ahead_locked(struct cache_reader *r);
/*
 * As below, beside the fill that brings what the reader waits for: of a wide source that runs
 * ahead, when something soon behind is in nobody's hand. NULL: there is no need.
 */
struct cache_fill *cache_fill_beside_locked(struct cache_reader *r);
/* A new fill for the reader's position, referenced; the caller starts it once the mutex is
 * released. */
struct cache_fill *cache_fill_for_locked(struct cache_reader *r);
void cache_fill_start(struct cache_fill *f); /* drops the reference */
/*
 * Paused fills of the object that demand now lets go on, or that nobody wants any more. Called with
 * the mutex held and returns without it.
 */
void cache_fill_unpause_and_unlock(struct cache_object *o);
/* Readers that wait for a byte of these look again. */
void cache_fill_wake_locked(struct cache_object *o, uint64_t from, uint64_t to);
/* Fills that wait for memory try again. No lock is held. */
void cache_fill_feed_starved(struct cache *c);
/* Memory for a block of the fill. False: there is none, resume() will come. No lock is held. */
bool cache_fill_take_slot(struct cache_fill *f, uint64_t block, struct cache_slot *ret);
/* A block of the fill's own, of which nothing is there yet. */
void cache_fill_attach_locked(struct cache_fill *f, struct cache_block *b, uint64_t block,
                              uint32_t lo);
/* Drops what is there of the block, of which nobody brings the rest. */
void cache_fill_drop_part_locked(struct cache_object *o, uint64_t block);
/* Gives the block, which is attached, out as a room. */
void cache_fill_make_room_locked(struct cache_fill *f, struct cache_block *b,
                                 struct cache_room *ret);

/* ---- fill_wide.c ---- */

bool cache_fill_is_wide(const struct cache_fill *f);
/* How far such fills run ahead of their readers now. */
uint64_t cache_fill_wide_window(const struct cache *c);
/* Whether a reader at the position, which has missed it, can wait for that wide fill. */
bool cache_fill_wide_brings_locked(const struct cache_fill *f, uint64_t position);
/* It does. */
void cache_fill_wide_join_locked(struct cache_fill *f, const struct cache_reader *r);
/* Whether cache_fill_demand() would say something else now. */
bool cache_fill_wide_changed_locked(struct cache_fill *f);

/* ---- operate.c: for l2_operate.c ---- */

void cache_variant_init(struct cache_variant *v, struct cache_meta *meta, uint64_t length);
void cache_variant_note_disk(struct cache_variant *v, uint64_t chunk, uint16_t bitmap);
void cache_variant_note_heat(struct cache_variant *v, double per_hour);
void cache_pin_count(struct cache_pin *p, const struct cache_object_id *id); /* once for each */
void cache_pin_refuse(struct cache_pin *p, struct cache *c, uint64_t length);
void cache_pin_end(struct cache_pin *p);
/* Without a queue nobody waits for it: it is freed. */
void cache_purge_end(struct cache_purge *p);

/* ---- evict.c ---- */

/* Room for the block: evicts what it takes. False: everything is in use. No lock is held. */
bool cache_evict_take(struct cache_object *o, uint64_t block, struct cache_slot *ret_slot);
/* A bounded step towards the lower watermark when the upper one was passed. No lock is held. */
void cache_evict_step(struct cache *c);
/* What of the chunk is in memory leaves, but for what is in use. False: it is pinned. */
bool cache_evict_chunk(struct cache_object *o, uint64_t index);
