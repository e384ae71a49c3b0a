/* SPDX-License-Identifier: MIT */
/*
 * l2_store: one cache directory, shared by the files of the tier (l2.c opens and closes, l2_load.c
 * reads the index, l2_write.c writes behind, l2_read.c feeds fills, l2_clean.c makes room, moves
 * and scrubs, l2_probe.c tries a disk that failed).
 *
 *   DIR/lock    held while a node uses the directory
 *   DIR/store   the regions
 *   DIR/index/  LMDB
 *
 * Invariants
 * 1. Everything without a comment of its own belongs to the ring's thread.
 * 2. The map is the truth while the node runs; the index follows it by at most a commit.
 * 3. A region that was given up is written again only after the commit that took its pieces out of
 * the index, and after the last operation on it.
 * 4. A piece is in the map's bitmap only after it was written as a whole.
 */
#pragma once

#include "cache/l2.h"
#include "cache/l2_health.h"
#include "cache/l2_index.h"
#include "cache/l2_known.h"
#include "cache/l2_map.h"
#include "cache/l2_region.h"
#include "cache/l2_verify.h"
#include "cache/object.h"
#include "cache/sketch.h"
#include "common/log.h"
#include "common/ring.h"
#include "common/rng.h"

#define L2_STORE_MAGIC 0x4c325354u

enum l2_phase { L2_LOADING, L2_READY, L2_CLOSING };

struct l2_chunk_ref {
    struct cache_object_id id;
    uint32_t chunk;
};

/* Changes on their way into the index, and what becomes free when they are there. */
struct l2_commit {
    struct l2_batch batch;
    uint32_t *leaving; /* regions */
    size_t n_leaving, cap_leaving;
};

struct l2_store {
    uint32_t magic;
    struct cache_l2 *l2;
    unsigned number;
    char *dir;       /* immutable; owned */
    int lock_fd, fd; /* immutable */
    bool is_direct;  /* immutable */
    uint64_t bytes;  /* whole regions; immutable once the tables are made */
    struct el_ring *ring;
    struct l2_index *index; /* NULL before it is loaded */
    struct l2_known *known;
    _Atomic int phase;              /* enum l2_phase */
    _Atomic int state;              /* enum l2_state, a copy for the status page */
    _Atomic uint64_t offered_bytes; /* offered and neither written nor dropped yet */

    struct el_msg load_msg;
    bool is_loaded;
    struct l2_map *map;
    size_t n_stale; /* objects of it to be confirmed */
    struct l2_regions *regions;
    struct cache_sketch *sketch;
    struct l2_health health;
    struct el_rng rng;

    struct l2_commit commits[2];
    unsigned open; /* which of them takes changes; the other one may be running */
    bool is_running, has_failed;
    bool is_stopped;            /* there are no more commits */
    struct l2_chunk_ref *dirty; /* chunks whose record is to be written */
    size_t n_dirty, cap_dirty;
    struct el_timer commit_timer;
    uint64_t heat_ms; /* when the heat was last put into a commit */

    struct el_list waiting; /* of l2_write.link: offered */
    uint64_t writing_bytes;

    struct el_list reading; /* of l2_piece.link: submitted, oldest first */
    struct el_list hungry;  /* of l2_read.hungry: wait for others to have read */
    uint64_t reading_bytes; /* the late ones included */
    uint64_t late_bytes;    /* of them */
    struct el_timer deadline_timer;

    struct l2_probe *probe;       /* runs from the time of trouble to its end; NULL: all is well */
    struct l2_mover *mover;       /* empties a region; NULL: none is being emptied */
    struct l2_scrubber *scrubber; /* NULL: nothing is verified in the background */

    struct {
        struct el_counter *read_blocks, *read_bytes, *written_blocks, *written_bytes, *mismatches,
            *read_errors, *write_errors, *late_reads, *dropped_behind, *dropped_unadmitted,
            *evicted_chunks, *moved_blocks, *scrubbed_bytes;
    } count;
    _Atomic uint64_t n_heat[3]; /* by enum cache_temperature; for status, as the next line */
    uint64_t published_ms;
    _Atomic uint64_t limit_bytes, n_objects, n_chunks, n_free, live_bytes,
        map_bytes; /* for status */
};

struct cache_l2 {
    struct cache *cache;
    struct cache_source source;
    struct cache_disk_conf conf; /* dirs: not valid after open */
    size_t n_stores;
    struct l2_store *stores[CACHE_MAX_STORES];
    struct l2_verifiers *verifiers;
    pthread_mutex_t fills_mtx; /* a fill's data points to a live l2_read while this is held */
    pthread_mutex_t loads_mtx;
    pthread_cond_t loads_done;
    unsigned n_tasks;                /* of operators, and walks; under loads_mtx */
    _Atomic unsigned n_loads;        /* written under loads_mtx */
    _Atomic uint64_t loads_moved_ms; /* when one last began after a pause, or ended */
    uint64_t waiting_bytes; /* immutable: what may be offered to a store and not written yet */
    uint64_t busy_bytes; /* immutable: of memory that a store may be reading to, and as much writing
                            from: a disk that stalls keeps it */
};

static inline uint64_t l2_now_ms(void)
{
    return el_clock_mono_ms(el_clock_system());
}

/* Where the chunk is, or would be. */
struct l2_store *l2_store_of(struct cache_l2 *l2, const struct cache_object_id *id, uint64_t chunk);
/* By which the sketch knows a chunk. */
uint64_t l2_heat_key(const struct cache_object_id *id, uint64_t chunk);

/* ---- l2.c ---- */

/* The file as large as is configured and preallocated, so that the disk cannot become full under
 * us; s->bytes is less when there is less. May take its time. */
enum el_err l2_store_set_size(struct l2_store *s, struct el_error *err);

/* The object is removed; one that a load has just published is killed as well: it began before. */
void l2_forget_object(struct l2_store *s, struct l2_object *o);
/* The tier is not closed in between. */
void l2_task_begin(struct cache_l2 *l2);
void l2_task_end(struct cache_l2 *l2);

/* ---- l2_operate.c ---- */

/* A new object of the map is pinned as that of memory is. */
void l2_inherit_pin(struct l2_store *s, struct l2_object *o, struct cache_object *from);
/* At a start: the object was found pinned, if it is still there. */
void l2_restore_pin(struct l2_store *s, const struct cache_object_id *id);
/* The object leaves the map. */
void l2_drop_pin(struct l2_store *s, const struct l2_object *o);

/* ---- l2_load.c ---- */

/* Reads the whole index, once. */
void l2_load_store(struct l2_store *s);
/* What is known of the use of the regions goes with the next commit. */
void l2_put_heat(struct l2_store *s);
/* Waits until what was offered is written or dropped, and committed. Thread: not the ring's. */
void l2_store_stop(struct l2_store *s);

/* ---- l2_write.c ---- */

void l2_write_pump(struct l2_store *s);
void l2_publish_numbers(struct l2_store *s); /* for the status page */
void l2_write_drop_all(struct l2_store *s);
/* The object's record, with this meta, goes with the next commit. */
void l2_put_object(struct l2_store *s, const struct l2_object *o, struct el_str url,
                   struct cache_meta *meta);
/* The chunk's record is written, or deleted, with the next commit. */
void l2_note_dirty(struct l2_store *s, const struct l2_chunk *c);
void l2_note_leaving(struct l2_store *s, uint32_t region);
void l2_commit_soon(struct l2_store *s, uint64_t delay_ms);
void l2_commit_now(struct l2_store *s);
void l2_note_health(struct l2_store *s, enum l2_outcome outcome);
void l2_commit_init(struct l2_store *s);

/* ---- l2_read.c ---- */

extern const struct cache_source_ops l2_source_ops;
void l2_read_init(struct l2_store *s);

/* ---- l2_probe.c ---- */

/* Tries the disk until its health is normal again; harmless when that is done already. */
void l2_probe_start(struct l2_store *s);
void l2_probe_stop(struct l2_store *s); /* one that is under way ends by itself */

/* ---- l2_clean.c ---- */

/* The block is no longer in the store; the chunk and the object go with their last one. */
void l2_remove_block(struct l2_store *s, struct l2_chunk *c, unsigned block);
void l2_remove_chunk(struct l2_store *s, struct l2_chunk *c);
void l2_remove_object(struct l2_store *s, struct l2_object *o);
/* Sees to room for a block of the chunk; false: it is not worth what would have to leave for it. */
bool l2_make_room(struct l2_store *s, const struct cache_object_id *id, uint64_t chunk);
void l2_scrub_start(struct l2_store *s);
void l2_clean_stop(struct l2_store *s); /* nothing new is begun; what runs ends by itself */
