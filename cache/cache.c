/* SPDX-License-Identifier: MIT */
/* cache: opening, closing, and what the status page shows. */
#include "cache/cache.h"

#include "cache/object.h"
#include "cache/ready.h"
#include "common/log.h"

/* Four slabs, and their objects: the arena is never smaller, so that streaming works without a
 * cache. */
#define MIN_ARENA_BYTES (9 * EL_MIB)
#define READY_SHARE     16 /* of the arena at most: what is ready is not to be seen in a small one */

static int64_t read_used(void *arg)
{
    struct cache_arena_stats st;

    cache_arena_stats_get(((struct cache *)arg)->arena, &st);
    return (int64_t)st.used;
}

static int64_t read_resident(void *arg)
{
    struct cache_arena_stats st;

    cache_arena_stats_get(((struct cache *)arg)->arena, &st);
    return (int64_t)st.resident;
}

static int64_t read_ready(void *arg)
{
    struct cache_arena_stats st;

    cache_arena_stats_get(((struct cache *)arg)->arena, &st);
    return (int64_t)st.ready;
}

static int64_t read_limit(void *arg)
{
    return (int64_t)((struct cache *)arg)->conf.memory_bytes;
}

static int64_t read_fills(void *arg)
{
    return (int64_t)atomic_load(&((struct cache *)arg)->n_running);
}

static int64_t read_starved(void *arg)
{
    return (int64_t)atomic_load(&((struct cache *)arg)->n_starved);
}

static void register_metrics(struct cache *c)
{
    struct el_metrics *m = c->conf.metrics;

    el_metrics_gauge_fn(m, "eliop2p_cache_memory_limit_bytes",
                        "Configured size of the memory tier.", NULL, read_limit, c);
    el_metrics_gauge_fn(m, "eliop2p_cache_memory_used_bytes",
                        "Bytes of the memory tier that hold blocks, objects and heads.", NULL,
                        read_used, c);
    el_metrics_gauge_fn(m, "eliop2p_cache_memory_resident_bytes",
                        "Memory behind the memory tier, free slabs included.", NULL, read_resident,
                        c);
    el_metrics_gauge_fn(m, "eliop2p_cache_memory_ready_bytes",
                        "Free memory of the memory tier that was touched already.", NULL,
                        read_ready, c);
    el_metrics_gauge_fn(m, "eliop2p_cache_fills_running", "Fills that are running or paused.", NULL,
                        read_fills, c);
    el_metrics_gauge_fn(m, "eliop2p_cache_fills_starved", "Fills that wait for memory.", NULL,
                        read_starved, c);
    c->count.fills = el_metrics_counter(m, "eliop2p_cache_fills_total", "Fills begun.", NULL);
    c->count.starved = el_metrics_counter(m, "eliop2p_cache_fill_waits_memory_total",
                                          "Times that a fill began to wait for memory.", NULL);
    c->count.evicted_blocks =
        el_metrics_counter(m, "eliop2p_cache_evicted_blocks_total", "Blocks evicted.", NULL);
    c->count.evicted_bytes =
        el_metrics_counter(m, "eliop2p_cache_evicted_bytes_total", "Bytes evicted.", NULL);
}

static enum el_err open_tiers(struct cache *c, uint64_t bytes, struct el_error *err)
{
    uint64_t ready = el_min_u64(c->conf.ready_bytes, bytes / READY_SHARE);
    enum el_err rc = EL_OK;

    cache_arena_ready_want(c->arena, ready);
    if (ready >= CACHE_SLAB_BYTES)
        rc = cache_ready_start(c->arena, &c->ready, err);
    if (rc == EL_OK && c->conf.disk != NULL)
        rc = cache_l2_open(c->conf.disk, c, &c->l2, err);
    return rc;
}

enum el_err cache_open(const struct cache_conf *conf, struct cache **ret_cache,
                       struct el_error *err)
{
    uint64_t bytes = el_max_u64(conf->memory_bytes, MIN_ARENA_BYTES);
    struct cache *c = el_new(struct cache);
    enum el_err rc = cache_arena_open(bytes, conf->huge_pages, &c->arena, err);

    if (rc != EL_OK) {
        free(c);
        return rc;
    }
    c->conf = *conf;
    c->window = el_max_u64(el_min_u64(bytes / 8, 64 * EL_MIB), 2 * EL_MIB);
    c->whole_window = el_max_u64(el_min_u64(bytes / 64, 64 * EL_MIB), 2 * EL_MIB);
    c->whole_limit = bytes / 8;
    c->wide_bytes = bytes / 2;
    c->wide_window = el_max_u64(el_min_u64(bytes / 8, EL_GIB), c->window);
    el_list_init(&c->starved);
    EL_ASSERT(pthread_mutex_init(&c->starved_mtx, NULL) == 0);
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        EL_ASSERT(pthread_mutex_init(&c->shards[i].mtx, NULL) == 0);
        el_list_init(&c->shards[i].lru);
    }
    cache_ids_init(c);
    c->pins = cache_pins_new();
    register_metrics(c);
    el_log(EL_INFO, EV_CACHE_OPEN, "bytes=%llu huge_pages=%d", (unsigned long long)bytes,
           cache_arena_is_huge(c->arena));
    rc = open_tiers(c, bytes, err);
    if (rc != EL_OK) {
        cache_close(c);
        return rc;
    }
    cache_pins_set_limit(c->pins, (c->l2 != NULL ? conf->disk->bytes : conf->memory_bytes) / 2);
    *ret_cache = c;
    return EL_OK;
}

static void close_shard(struct cache_shard *s)
{
    for (size_t i = 0; i < s->n_buckets; i++) {
        while (s->buckets[i] != NULL) {
            struct cache_entry *e = s->buckets[i];
            struct el_list *l;

            s->buckets[i] = e->next;
            while ((l = el_list_pop(&e->objects)) != NULL) {
                struct cache_object *o = EL_ENTRY(l, struct cache_object, link);

                o->in_index = false;
                o->is_dead = true; /* it is not lost: nobody is left to be told */
                cache_object_unref(o);
            }
            free(e);
        }
    }
    free(s->buckets);
    free(s->touches);
    EL_ASSERT(s->n_objects == 0);
    EL_ASSERT(pthread_mutex_destroy(&s->mtx) == 0);
}

void cache_close(struct cache *c)
{
    if (c == NULL)
        return;
    EL_ASSERT(el_list_empty(&c->starved));
    cache_ready_stop(c->ready);
    cache_l2_close(c->l2);
    for (size_t i = 0; i < CACHE_SHARDS; i++)
        close_shard(&c->shards[i]);
    cache_ids_deinit(c);
    cache_pins_free(c->pins);
    cache_arena_close(c->arena);
    EL_ASSERT(pthread_mutex_destroy(&c->starved_mtx) == 0);
    free(c);
}

static void count_chunks_locked(struct cache_shard *s, uint64_t now_ms, struct cache_stats *st)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &s->lru) {
        struct cache_chunk *c = EL_ENTRY(it, struct cache_chunk, lru);

        switch (cache_heat_class(cache_heat_per_hour(&c->heat, now_ms))) {
        case CACHE_HOT:
            st->hot_chunks++;
            break;
        case CACHE_WARM:
            st->warm_chunks++;
            break;
        case CACHE_COLD:
            st->cold_chunks++;
            break;
        }
    }
}

void cache_disk_stats_get(struct cache *c, struct cache_disk_stats *ret)
{
    ret->n = 0;
    if (c->l2 != NULL)
        cache_l2_stats_get(c->l2, ret);
}

void cache_stats_get(struct cache *c, struct cache_stats *ret)
{
    uint64_t now_ms = el_clock_mono_ms(c->conf.clock);
    struct cache_arena_stats arena;
    struct cache_pins_sum pins;

    *ret = (struct cache_stats){
        .memory_limit_bytes = c->conf.memory_bytes,
        .fills = el_counter_get(c->count.fills),
        .fills_running = atomic_load(&c->n_running),
        .evicted_blocks = el_counter_get(c->count.evicted_blocks),
        .evicted_bytes = el_counter_get(c->count.evicted_bytes),
        .huge_pages = cache_arena_is_huge(c->arena),
    };
    cache_arena_stats_get(c->arena, &arena);
    ret->memory_used_bytes = arena.used;
    ret->memory_ready_bytes = arena.ready;
    cache_pins_get(c->pins, &pins);
    ret->pinned_objects = pins.objects;
    ret->pinned_bytes = pins.bytes;
    ret->pinned_limit_bytes = pins.limit_bytes;
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *s = &c->shards[i];

        cache_shard_lock(s);
        ret->objects += s->n_objects;
        ret->chunks += s->n_chunks;
        ret->blocks += s->n_blocks;
        ret->memory_pinned_bytes += s->pinned_bytes;
        count_chunks_locked(s, now_ms, ret);
        cache_shard_unlock(s);
    }
}
