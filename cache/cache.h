/* SPDX-License-Identifier: MIT */
/*
 * cache: a read-through cache of object versions in 1 MiB blocks. It knows no network and no HTTP
 * rules: the proxy decides what may be stored, what is fresh and who may read; sources (source.h)
 * bring the bytes.
 *
 *   proxy                     cache                                         source
 *   lookup(url) ------------> index: url -> object versions (variants)
 *     nothing: join a flight  one caller leads and asks the origin, the others wait
 *   object_new + publish ---> object: immutable identity, meta, chunks of blocks
 *   reader_open(range) -----> reader --- block there? ---> span of the arena
 *                               | missing: joins or starts a fill ---------> start()
 *   reader_next/advance <------ + woken as bytes arrive <------------------- give(), done()
 *
 * Ownership: objects, metas and tickets are shared (ref); readers and waiters are embedded in the
 * caller's memory. Thread: everything may be called from any thread unless said otherwise; the
 * index is sharded, each shard's mutex is held for microseconds and never across I/O or a call-out.
 * Wake-ups are messages (msgq.h) to the queue that the reader or waiter names.
 *
 * Bytes that come from the origin are readable at once, byte by byte; a block that is complete has
 * its SHA-256.
 *
 * Memory: the arena, the objects and their heads together never exceed conf.memory_bytes, which the
 * eviction keeps between two watermarks. Only bytes in use at this instant are pinned: a reader
 * holds a block from cache_reader_next() to cache_reader_advance(), never while it waits for a slow
 * client.
 */
#pragma once

#include <stdatomic.h>

#include "cache/source.h"
#include "common/clock.h"
#include "common/fields.h"
#include "common/list.h"
#include "common/metrics.h"
#include "common/msgq.h"
#include "common/ring.h"
#include "common/sha256.h"

#define CACHE_BLOCK_BYTES    EL_MIB
#define CACHE_CHUNK_BYTES    (16 * EL_MIB)
#define CACHE_CHUNK_BLOCKS   16
#define CACHE_MAX_VARIANTS   8
#define CACHE_MAX_LENGTH     ((uint64_t)1 << 48) /* bytes beyond are neither stored nor streamed */
#define CACHE_UNKNOWN_LENGTH UINT64_MAX
#define CACHE_ID_BYTES       16

/* Of an object or a range of it that begins with a block; the last one may be short. */
static inline uint64_t cache_blocks_of(uint64_t bytes)
{
    return (bytes + CACHE_BLOCK_BYTES - 1) / CACHE_BLOCK_BYTES;
}

struct cache;
struct cache_object;

struct cache_weights {
    double age, replicas, heat;
};

/* The SSD tier. */
struct cache_disk_conf {
    uint64_t bytes;          /* of all directories together; less where the disk has no room */
    const char *const *dirs; /* each is one store; borrowed for the call */
    size_t n_dirs;
    enum el_ring_backend io;
    uint64_t read_deadline_ms; /* a read that takes longer: readers go elsewhere */
    uint64_t commit_ms;        /* what was written is in the durable index after so long */
    uint64_t write_bytes;      /* being written at a time; more waits, then is not kept */
    uint64_t scrub_bytes_s;    /* read and verified in the background; 0: never */
    el_ring_fault_fn *fault;   /* for tests; NULL: none */
    void *fault_arg;
};

/*
 * Who is told what the cache has of versions that have an id (cache_object_id()). Thread: any; no
 * lock held. Must be quick, and may ask the cache about anything but close it. What is told by
 * several threads may come in another order than it happened: where it matters, ask
 * cache_find_version() and cache_object_map().
 */
struct cache_listener {
    const struct cache_listener_ops *ops;
};

/*
 * Somebody else who may know a url, or which of many has to ask the origin: other nodes. Asked by
 * cache_load() once for all who want a url that neither memory nor disk has, and by cache_confirm()
 * for one that is here and stale.
 */
struct cache_finder {
    const struct cache_finder_ops *ops;
};

struct cache_finder_ops {
    /*
     * What the origin said less than max_age_ms ago; UINT64_MAX: ever. False: there is nothing to
     * wait for. True: cache_found() is called for certain, from any thread, perhaps before this
     * returns. Thread: any; no lock held.
     */
    bool (*find)(struct cache_finder *f, struct el_str url, uint64_t max_age_ms);
    /*
     * A flight has landed: whoever leads for others too knows how it ended. Also of flights that
     * nobody was asked about. NULL: of no interest. Thread: any; no lock held.
     */
    void (*landed)(struct cache_finder *f, struct el_str url, bool stored);
};

struct cache_conf {
    uint64_t memory_bytes; /* 0: nothing is ever stored, readers stream through a small window */
    uint64_t ready_bytes;  /* of these, touched ahead of need; a sixteenth at most; 0: none */
    double evict_above;    /* fraction of memory_bytes at which eviction starts, (0, 1] */
    double evict_to;       /* and at which it stops, below evict_above */
    struct cache_weights weights;
    bool huge_pages; /* try a tmpfs with huge pages first; plain memfd otherwise */
    const struct cache_disk_conf *disk; /* NULL: no such tier; borrowed for the call */
    struct cache_source *source;        /* borrowed until cache_close() */
    struct cache_listener *listener;    /* NULL: none; borrowed until cache_close() */
    struct cache_finder *finder;        /* the same */
    struct el_clock *clock;             /* borrowed until cache_close() */
    struct el_metrics *metrics;         /* borrowed until cache_close() */
};

enum el_err cache_open(const struct cache_conf *conf, struct cache **ret_cache,
                       struct el_error *err);
/* Every reader is closed, every fill done, every object reference returned. NULL is fine. */
void cache_close(struct cache *c);

/* ---- meta: what is known of an object version besides its bytes ---- */

/*
 * Immutable; freshening an object gives it a new one. Shared (ref). The times are wall clock
 * milliseconds. The freshness fields are computed by proxy/fresh; the cache only keeps them.
 */
struct cache_meta {
    _Atomic unsigned refs;
    int status; /* as the whole object is answered: 200, 404, 301 ... never 206 or 304 */
    struct el_fields
        fields; /* end-to-end fields to replay; without Content-Length, Content-Range, Age */
    struct el_buf head; /* the same, rendered "Name: value\r\n" one after another */
    struct el_str
        etag; /* with quotes and W/ if any; empty when there is none; points into fields */
    struct el_str last_modified; /* points into fields; may be empty */
    bool has_strong_validator; /* parts of this version may be combined, and fetched with If-Match /
                                  If-Unmodified-Since */
    bool is_public;            /* the origin gave it to a request without credentials */
    bool by_node; /* is_public because the node's own key opened it: not for a node without it */
    bool from_object_store;   /* x-amz-* or x-oss-* fields were seen, or the origin is configured as
                                 one */
    bool must_revalidate;     /* never serve stale */
    bool always_revalidate;   /* no-cache: never serve without asking */
    int64_t response_ms;      /* when the answer (or the 304 that confirmed it) came */
    int64_t corrected_age_ms; /* RFC 9111 section 4.2.3 corrected_initial_age at response_ms */
    int64_t lifetime_ms;      /* freshness lifetime, counted in age */
    struct el_str vary; /* the Vary member names, normalised, or empty; points into vary_bytes */
    struct el_buf
        vary_bytes; /* vary names, then the values of the request, as proxy/vary lays them out */
};

struct cache_meta *cache_meta_new(void); /* zeroed, one reference */
/* Sets what follows from its fields: head, etag and last_modified. Before it is shared. */
void cache_meta_finish(struct cache_meta *m);
struct cache_meta *cache_meta_ref(struct cache_meta *m);
void cache_meta_unref(struct cache_meta *m); /* NULL is fine */

/* ---- objects ---- */

struct cache_object_id {
    uint8_t v[CACHE_ID_BYTES];
};

/*
 * The first 16 bytes of the SHA-256 over the object version: url, variant (vary bytes), validator
 * (ETag, else Last-Modified) and length (8 bytes), each with its length before it (8 bytes), all
 * big-endian. Versions without a strong validator may have the same.
 */
void cache_object_id_of(struct el_str url, const struct cache_meta *meta, uint64_t length,
                        struct cache_object_id *ret);

/*
 * What its parts are known by outside of this cache. NULL: nobody needs to know (there is neither
 * an SSD tier nor a listener), or it has none: without a strong validator and a known length.
 * Immutable; borrowed while referenced.
 */
const struct cache_object_id *cache_object_id(const struct cache_object *o);

/*
 * A new object version, in no index yet, one reference. `url` is the origin URL without signing
 * parameters (copied). length may be CACHE_UNKNOWN_LENGTH: it becomes known when its one fill ends.
 * Takes its own reference on meta.
 */
struct cache_object *cache_object_new(struct cache *c, struct el_str url, struct cache_meta *meta,
                                      uint64_t length);
struct cache_object *cache_object_ref(struct cache_object *o);
void cache_object_unref(struct cache_object *o); /* NULL is fine */

struct el_str cache_object_url(const struct cache_object *o); /* borrowed while referenced */
uint64_t cache_object_length(struct cache_object *o);
struct cache_meta *cache_object_meta(struct cache_object *o); /* a reference: unref it */
/* Every byte is in memory, now; it may be evicted the moment after. */
bool cache_object_is_complete(struct cache_object *o);
/* Whether the bytes [first, end) are all in memory or on disk, now. */
bool cache_object_has(struct cache_object *o, uint64_t first, uint64_t end);
/* Which of the n blocks from the first one on are whole, in memory or on disk, now: (n + 63) / 64
 * words, the lowest bit of the first one is first_block. */
void cache_object_map(struct cache_object *o, uint64_t first_block, size_t n, uint64_t *ret_bits);
/* The same of blocks that are not whole, and that a fill of a source in order, a run or not, has in
 * hand or is on its way to. n <= 64. */
uint64_t cache_object_coming(struct cache_object *o, uint64_t first_block, size_t n);
/* Bytes of a block that are in memory, whole or not. */
uint32_t cache_object_came(struct cache_object *o, uint64_t block);
/* Of a block that is whole in memory. False: it is not. */
bool cache_object_digest(struct cache_object *o, uint64_t block, struct el_digest *ret);

/*
 * Visible to lookups from now on, in place of what the same url and variant had before (same
 * vary_bytes). An object without strong validator or of unknown length becomes visible only when
 * its fill has completed it, and disappears as a whole with its first evicted block. False when the
 * object failed or was killed in the meantime.
 */
bool cache_object_publish(struct cache_object *o);
/* A new meta after a 304 or a HEAD; same bytes. */
void cache_object_freshen(struct cache_object *o, struct cache_meta *meta);
/* Lookups no longer find it. Readers that have it go on. */
void cache_object_kill(struct cache_object *o);

struct cache_listener_ops {
    /* The block became whole, brought by any source but the disk. */
    void (*block)(struct cache_listener *l, struct cache_object *o, uint64_t number,
                  const struct el_digest *digest);
    /* Of that chunk of the version at least one block was here, and is neither in memory nor on
     * disk any more. More of it may have gone, or have come again: cache_find_version() knows. */
    void (*lost)(struct cache_listener *l, const struct cache_object_id *id, uint64_t chunk);
    /* Visible to lookups from now on, or freshened: its meta is what the origin says now. Not of
     * what is loaded from disk. */
    void (*published)(struct cache_listener *l, struct cache_object *o);
    /* Invalidated, replaced or wrong: nobody is to have it any more. May come more than once. */
    void (*killed)(struct cache_listener *l, struct cache_object *o);
};

/* ---- the index ---- */

/* References on the live variants of the url, the most recently published first; returns how many.
 */
size_t cache_lookup(struct cache *c, struct el_str url,
                    struct cache_object *ret[CACHE_MAX_VARIANTS]);
/* The version that lookups find, by its id; a reference, or NULL. */
struct cache_object *cache_find_version(struct cache *c, const struct cache_object_id *id);
/* Kills every variant; returns how many there were. */
size_t cache_invalidate(struct cache *c, struct el_str url);

/*
 * A flight: somebody is asking the origin about a url that the cache cannot answer, or about the
 * freshness of what it holds. `msg` is posted to `queue` when the flight lands. Embedded in a
 * request; borrowed by the cache from a join that returned CACHE_FLIGHT_WAIT until the message was
 * dispatched or cache_flight_leave() returned.
 */
struct cache_waiter {
    struct el_list link;
    struct el_msg msg;
    struct el_msgq *queue;
    struct el_str url; /* borrowed while waiting */
    bool stored;       /* in the message: look up again; otherwise ask the origin yourself */

    bool leads;    /* set before cache_load(): what is not found it asks the origin, for all */
    bool is_asked; /* it waits for the finder, which may take its time */
    bool is_first; /* of cache_load() and cache_confirm(): what it waits for began with it */

    bool by_id; /* the cache's: it waits for a version, not for a url */
    struct cache_object_id id;
};

/*
 * The url may be on disk while memory lacks it, or the variant that is wanted: it is being loaded.
 * Where neither has the url, the finder is asked. The waiter is told when that is over (stored is
 * set): look up again. False: there is nothing to wait for. Once for a request: what is loaded may
 * not be what it wanted.
 */
bool cache_load(struct cache *c, struct el_str url, struct cache_waiter *w);
/*
 * The url is here, and stale: the finder is asked whether the origin was asked less than max_age_ms
 * ago, elsewhere. The waiter is told as by cache_load().
 */
bool cache_confirm(struct cache *c, struct el_str url, uint64_t max_age_ms, struct cache_waiter *w);
/* The finder's answer: what is to be known of the url was published, or it is for this node to ask
 * the origin. Whether anybody was still waiting for it who will do that. */
bool cache_found(struct cache *c, struct el_str url);
/* As cache_load(), of a version that memory lacks; then cache_find_version() again. The finder is
 * not asked. */
bool cache_load_version(struct cache *c, const struct cache_object_id *id, struct cache_waiter *w);

/*
 * What the cache holds, in memory and on disk, all of it, in steps: for telling others after a
 * start. `msg` (initialised by the caller) is posted to `queue` at the end, which comes for
 * certain, and before cache_close() is over. What changes meanwhile may be missed; the listener has
 * it.
 */
struct cache_walk {
    struct el_msg msg;
    struct el_msgq *queue;
    /*
     * Some blocks of a chunk of a version of that length. Again, with others, where memory and disk
     * have some each. Thread: any, one at a time; no lock held; must be quick.
     */
    void (*each)(struct cache_walk *w, const struct cache_object_id *id, uint64_t length,
                 uint64_t chunk, uint16_t blocks);
    struct el_error err; /* not all that a disk has could be looked through */
};

void cache_each_version(struct cache *c, struct cache_walk *w);

enum cache_flight {
    CACHE_FLIGHT_LEAD, /* you ask the origin; land or abandon it for certain */
    CACHE_FLIGHT_WAIT, /* somebody does */
    CACHE_FLIGHT_SOLO, /* known not to be shareable: ask for yourself, nothing to land */
};

enum cache_flight cache_flight_join(struct cache *c, struct el_str url, struct cache_waiter *w);
/*
 * The leader's last word: an object was published or freshened (stored), or the others have to ask
 * for themselves. solo_ms > 0 remembers for so long that answers for this url cannot be shared
 * ("hit for miss").
 */
void cache_flight_land(struct cache *c, struct el_str url, bool stored, uint64_t solo_ms);
/* On the queue owner's thread, at any time after join. */
void cache_flight_leave(struct cache *c, struct cache_waiter *w);

/* ---- fills that begin with the answer to a request ---- */

/*
 * The body of an answer that is already arriving becomes a fill of [first, end) of the object (end
 * may be CACHE_UNKNOWN_LENGTH). start() is not called; the source feeds the returned fill as if it
 * had been. Open the leader's reader first, so that there is demand. NULL when some other fill has
 * those bytes in hand already (then the answer's body is not needed).
 */
struct cache_fill *cache_fill_adopt(struct cache_object *o, struct cache_source *s,
                                    struct cache_ticket *t, uint64_t first, uint64_t end);

/* ---- readers ---- */

/* Who gave the bytes, worst first wins for X-Cache. Flags: a reader collects them. */
enum cache_origin_flags {
    CACHE_FROM_MEMORY = 1,
    CACHE_FROM_DISK = 2,
    CACHE_FROM_PEER = 4,
    CACHE_FROM_ORIGIN = 8,
};

enum cache_read {
    CACHE_READ_DATA,  /* *span is filled and pinned: advance next */
    CACHE_READ_WAIT,  /* nothing now; reader->msg is posted when that may have changed */
    CACHE_READ_END,   /* the range is delivered */
    CACHE_READ_ERROR, /* reader->err says why */
};

/* Bytes of the arena, pinned from next to advance. */
struct cache_span {
    const uint8_t *mem;
    size_t n;
    int fd; /* the same bytes as a file, for sendfile; -1 when memory is all there is */
    uint64_t offset;
    unsigned from;                  /* enum cache_origin_flags: who gave them */
    const struct el_digest *digest; /* of the whole block; NULL while it is not whole */
};

/*
 * Embedded in the caller's object. Thread: opened, used and closed on the thread that owns `queue`.
 * The public fields are set before open; the rest is the cache's.
 */
struct cache_reader {
    struct el_msg msg; /* initialised by the caller, with its own on_message */
    struct el_msgq *queue;
    bool wants_whole;    /* sees bytes of a block only when it is whole, and so has its digest */
    struct el_error err; /* after CACHE_READ_ERROR */
    unsigned from;       /* enum cache_origin_flags of what was delivered so far */

    struct cache_object *object; /* referenced */
    struct cache_ticket *ticket; /* referenced */
    struct el_list link;         /* under the shard's lock: readers of the object */
    /* bytes; end may be CACHE_UNKNOWN_LENGTH until known; position is read by fills */
    uint64_t first, position, end;
    bool is_waiting;            /* under the shard's lock */
    bool is_due;                /* the same: woken, and has not come for its bytes yet */
    struct cache_block *pinned; /* between next and advance */
    struct cache_block *kept;   /* cache_reader_keep(): until close */
    uint64_t opened;         /* what was complete before this moment counts as CACHE_FROM_MEMORY */
    unsigned attempts;       /* fills started since the position last moved */
    bool shuns_disk;         /* under the shard's lock: the disk failed it at this position */
    struct el_error failure; /* under the shard's lock: why the fill it waited for ended */
    struct cache_ticket *failed; /* whose fill that was; compared only */
};

/*
 * Takes its own references. ticket NULL: nobody can be asked: what neither memory nor disk has, and
 * no fill is bringing, is EL_ENOTCACHED; it is no demand either that would keep a fill going.
 */
void cache_reader_open(struct cache_reader *r, struct cache_object *o, struct cache_ticket *t,
                       uint64_t first, uint64_t end);
/*
 * Who gives the bytes from the position on, as far as that can be told now: who gave those that are
 * here already (of a part of them, if it is many), and who is bringing others in order. 0: nobody
 * is in sight. Flags: enum cache_origin_flags.
 */
unsigned cache_reader_foresee(struct cache_reader *r);
/* Another range of the object, as if it were opened anew, but cheaper. No span is out. */
void cache_reader_seek(struct cache_reader *r, uint64_t first, uint64_t end);
/* At most one span at a time. `sendfile_from`: spans of at least so many bytes carry an fd (and
 * their memory is never reused in place afterwards: pages handed to sendfile stay in the socket).
 */
enum cache_read cache_reader_next(struct cache_reader *r, size_t sendfile_from,
                                  struct cache_span *ret_span);
/* n <= span.n bytes were used, possibly 0; unpins. The span is invalid afterwards. */
void cache_reader_advance(struct cache_reader *r, size_t n);
/*
 * Between next and advance: the block of the span stays where it is in memory until the reader is
 * closed, also while it is being filled. Once, for the first block of a reader that reads no other.
 */
void cache_reader_keep(struct cache_reader *r);
/* Leaves everything; the message is in no queue afterwards. Zeroed or closed readers are fine. */
void cache_reader_close(struct cache_reader *r);

/* ---- for operators ---- */

/*
 * The disks are asked as well, so an answer comes by message: `msg` (initialised by the caller) is
 * posted to `queue` once it is there. The struct is borrowed until the message was dispatched; that
 * comes for certain, and before cache_close() is over. Texts are copied.
 */

#define CACHE_MAX_STAT 16 /* variants of a url that are told of */

/* What is known of a variant. */
struct cache_variant {
    uint8_t id[CACHE_ID_BYTES]; /* of the version; zeroed where no disk could have it */
    struct cache_meta *meta;    /* referenced */
    uint64_t length;
    uint64_t blocks; /* in all; 0 while the length is not known */
    uint64_t memory_blocks, disk_blocks;
    uint64_t cached_blocks; /* in one of them, or both */
    double per_hour;        /* accesses, of the hottest chunk */
    const char *heat;       /* "hot", "warm", "cold" */
    bool is_pinned, is_filling, is_in_memory;

    uint16_t *map; /* the cache's: blocks by chunk; NULL while the length is not known */
};

struct cache_stat {
    struct el_msg msg;
    struct el_msgq *queue;
    size_t n;
    struct cache_variant v[CACHE_MAX_STAT];
};

void cache_stat(struct cache *c, struct el_str url, struct cache_stat *st);
void cache_stat_deinit(struct cache_stat *st); /* afterwards */

/*
 * The objects of which something is in memory that are asked for most, and that have an id, hottest
 * first; each referenced, for the caller to give back. At most max, which is at most
 * CACHE_MAX_HOTTEST. Looks at every chunk. Thread: any.
 */
#define CACHE_MAX_HOTTEST 32
struct cache_hot {
    struct cache_object *object;
    double per_hour; /* accesses, of the hottest chunk */
};
size_t cache_hottest(struct cache *c, struct cache_hot *ret, size_t max);

struct cache_purge {
    struct el_msg msg;
    struct el_msgq *queue;
    uint64_t objects;    /* that are gone, variants and versions apart */
    struct el_error err; /* not all that a disk has could be looked through */
};

/*
 * Kills every object of the url, or of every url that begins with the prefix, in memory and on
 * disk. When the message comes none of them is found any more. What is being fetched and not
 * published yet is not concerned.
 */
void cache_purge_url(struct cache *c, struct el_str url, struct cache_purge *p);
void cache_purge_prefix(struct cache *c, struct el_str prefix, struct cache_purge *p);
/* The same, and nobody is told. What memory has of it is gone when this returns. */
void cache_forget_prefix(struct cache *c, struct el_str prefix);

struct cache_drop {
    struct el_msg msg;
    struct el_msgq *queue;
    struct el_error err;

    struct cache_object_id id; /* the cache's */
    uint64_t chunk;
};

/*
 * The chunk leaves memory and disk. Blocks that are in use at this moment stay: cache_object_map()
 * knows. EL_EFORBIDDEN: an operator has pinned the object, and nothing has left.
 */
void cache_drop_chunk(struct cache *c, const struct cache_object_id *id, uint64_t chunk,
                      struct cache_drop *d);

struct cache_pin {
    struct el_msg msg;
    struct el_msgq *queue;
    size_t objects; /* variants that are pinned now; or not any more */
    struct el_error err;

    uint8_t ids[CACHE_MAX_STAT][CACHE_ID_BYTES]; /* the cache's: of these */
};

/*
 * What is cached of the url stays, and what is missing of it is kept once it was fetched: as long
 * as it is valid, or its successor is, and over restarts. Memory is left to it as long as anything
 * else may leave. Of all that is pinned the lengths together are at most half of the SSD tier, or
 * of the memory tier where that is all.
 *
 * EL_ENOTCACHED: nothing of the url is cached. EL_EUNSUPPORTED: only as a whole, so it does not
 * reach the disk. EL_EFULL: too much is pinned. EL_EDISK: a disk does not answer.
 */
void cache_pin(struct cache *c, struct el_str url, bool is_pinned, struct cache_pin *p);

/* ---- for status and metrics ---- */

/* One directory of the SSD tier. */
struct cache_store_stats {
    char dir[256];
    const char *state; /* "loading", "normal", "degraded", "down" */
    const char *io;    /* "io_uring", "threads" */
    uint64_t limit_bytes, used_bytes, index_bytes, map_bytes;
    uint64_t objects, chunks;
    uint64_t regions, free_regions;
    uint64_t hot_regions, warm_regions, cold_regions; /* those in use; a log by what a piece has */
    uint64_t read_blocks, read_bytes, written_blocks, written_bytes;
    uint64_t mismatches, read_errors, write_errors, late_reads;
    uint64_t dropped_behind, dropped_unadmitted; /* blocks not written: too slow, not worth it */
    uint64_t evicted_chunks, moved_blocks, scrubbed_bytes;
};

#define CACHE_MAX_STORES 16

struct cache_disk_stats {
    size_t n;
    struct cache_store_stats stores[CACHE_MAX_STORES];
};

/* n is 0 without the tier. */
void cache_disk_stats_get(struct cache *c, struct cache_disk_stats *ret);

struct cache_stats {
    uint64_t memory_limit_bytes, memory_used_bytes, memory_pinned_bytes;
    uint64_t memory_ready_bytes; /* free, and touched already */
    uint64_t objects, chunks, blocks;
    uint64_t hot_chunks, warm_chunks,
        cold_chunks; /* Hot > 100, Warm 10..100, Cold < 10 accesses an hour */
    uint64_t fills, fills_running, evicted_blocks, evicted_bytes;
    uint64_t pinned_objects, pinned_bytes, pinned_limit_bytes; /* by operators; whole lengths */
    bool huge_pages;
};
void cache_stats_get(struct cache *c, struct cache_stats *ret);
