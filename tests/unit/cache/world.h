/* SPDX-License-Identifier: MIT */
/*
 * world: a cache with a source that does nothing by itself (the test gives the bytes), a clock that
 * stands still, and one message queue that the test dispatches. The bytes of an object are a
 * function of their position, so any piece can be checked.
 */
#pragma once

#include "tests/lib/test.h"

#include <endian.h>

#include "cache/cache.h"
#include "cache/object.h"

#define MAX_FILLS 64

struct world {
    struct cache_source source;
    struct el_clock clock;
    uint64_t now_ms;
    struct el_metrics *metrics;
    struct el_msgq *queue;
    struct cache *cache;
    struct cache_fill *fills[MAX_FILLS]; /* started, in order; NULL once done */
    unsigned starts, resumes, cancels;
};

struct client {
    struct cache_reader r;
    struct cache_ticket ticket;
    unsigned wakes;
};

/* Of the caches that are opened from now on. */
static struct cache_listener *world_listener;
static struct cache_finder *world_finder;
static uint64_t world_ready_bytes;

static struct world *world_of_clock(struct el_clock *c)
{
    return EL_ENTRY(c, struct world, clock);
}

static uint64_t world_mono(struct el_clock *c)
{
    return world_of_clock(c)->now_ms * 1000000;
}

static int64_t world_wall(struct el_clock *c)
{
    return (int64_t)world_of_clock(c)->now_ms;
}

static void world_start(struct cache_source *s, struct cache_fill *f)
{
    struct world *w = EL_ENTRY(s, struct world, source);

    assert_true(w->starts < MAX_FILLS);
    w->fills[w->starts++] = f;
}

static void world_resume(struct cache_source *s, struct cache_fill *f)
{
    (void)f;
    EL_ENTRY(s, struct world, source)->resumes++;
}

static void world_cancel(struct cache_source *s, struct cache_fill *f)
{
    (void)f;
    EL_ENTRY(s, struct world, source)->cancels++;
}

static const struct cache_source_ops world_ops = { .label = "test",
                                                   .from = CACHE_FROM_ORIGIN,
                                                   .start = world_start,
                                                   .resume = world_resume,
                                                   .cancel = world_cancel };

static void world_open_with(struct world *w, uint64_t memory, const struct cache_disk_conf *disk)
{
    struct cache_conf conf;

    memset(w, 0, sizeof(*w));
    w->now_ms = 1000000;
    w->source.ops = &world_ops;
    w->clock = (struct el_clock){ world_mono, world_wall };
    w->metrics = el_metrics_new();
    assert_int_equal(el_msgq_new(&w->queue, NULL), EL_OK);
    conf = (struct cache_conf){
        .memory_bytes = memory,
        .ready_bytes = world_ready_bytes,
        .evict_above = 0.8,
        .evict_to = 0.6,
        .weights = { 1.0, 0.5, 0.3 },
        .huge_pages = true,
        .disk = disk,
        .source = &w->source,
        .listener = world_listener,
        .finder = world_finder,
        .clock = &w->clock,
        .metrics = w->metrics,
    };
    assert_int_equal(cache_open(&conf, &w->cache, NULL), EL_OK);
}

static inline void world_open(struct world *w, uint64_t memory)
{
    world_open_with(w, memory, NULL);
}

static void world_close(struct world *w)
{
    cache_close(w->cache);
    el_msgq_free(w->queue);
    el_metrics_free(w->metrics);
}

/* The eight bytes from 8 * i on, the lowest first. */
static inline uint64_t word_at(uint64_t seed, uint64_t i)
{
    uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u ^ seed * 0xff51afd7ed558ccdu;

    return x ^ x >> 29;
}

static inline uint8_t byte_at(uint64_t seed, uint64_t position)
{
    return (uint8_t)(word_at(seed, position / 8) >> (position % 8 * 8));
}

static inline void fill_bytes(uint8_t *out, uint64_t seed, uint64_t position, size_t n)
{
    size_t i = 0;

    for (; i < n && (position + i) % 8 != 0; i++)
        out[i] = byte_at(seed, position + i);
    for (; i + 8 <= n; i += 8) {
        uint64_t word = htole64(word_at(seed, (position + i) / 8));

        memcpy(out + i, &word, sizeof(word));
    }
    for (; i < n; i++)
        out[i] = byte_at(seed, position + i);
}

/* Offers n bytes at the fill's position, a buffer at a time; how many were taken, or -1. */
static inline int64_t give(struct cache_fill *f, uint64_t seed, uint64_t n)
{
    static _Thread_local uint8_t buf[65536];
    uint64_t taken = 0;

    while (taken < n) {
        size_t some = (size_t)el_min_u64(sizeof(buf), n - taken);
        ssize_t k;

        fill_bytes(buf, seed, cache_fill_position(f), some);
        k = cache_fill_give(f, buf, some);
        if (k < 0)
            return -1;
        taken += (uint64_t)k;
        if ((size_t)k < some)
            break;
    }
    return (int64_t)taken;
}

static inline struct cache_object *new_object(struct world *w, const char *url, uint64_t length,
                                              bool strong)
{
    struct cache_meta *m = cache_meta_new();
    struct cache_object *o;

    m->status = 200;
    m->has_strong_validator = strong;
    o = cache_object_new(w->cache, el_str_of(url), m, length);
    cache_meta_unref(m);
    return o;
}

static inline void on_wake(struct el_msg *m)
{
    EL_ENTRY(m, struct client, r.msg)->wakes++;
}

static inline void free_nothing(struct cache_ticket *t)
{
    (void)t;
}

/* The client's ticket, which lasts as long as the client. */
static inline struct cache_ticket *ticket_of(struct client *c)
{
    if (c->ticket.free == NULL) {
        atomic_init(&c->ticket.refs, 1);
        c->ticket.free = free_nothing;
    }
    return &c->ticket;
}

static inline void client_open(struct world *w, struct client *c, struct cache_object *o,
                               uint64_t first, uint64_t end)
{
    c->wakes = 0;
    el_msg_init(&c->r.msg, on_wake);
    c->r.queue = w->queue;
    cache_reader_open(&c->r, o, ticket_of(c), first, end);
}

/* Reads and checks all that can be read now, at most max bytes; what the reader said last. */
static inline enum cache_read drain(struct client *c, uint64_t seed, uint64_t max)
{
    struct cache_span span;
    enum cache_read read;

    while ((read = cache_reader_next(&c->r, SIZE_MAX, &span)) == CACHE_READ_DATA) {
        size_t n = (size_t)el_min_u64(span.n, max);

        for (size_t i = 0; i < n; i++) {
            if (span.mem[i] != byte_at(seed, c->r.position + i))
                fail_msg("wrong byte at %llu", (unsigned long long)(c->r.position + i));
        }
        cache_reader_advance(&c->r, n);
        max -= n;
        if (max == 0)
            return CACHE_READ_DATA;
    }
    return read;
}

static inline void finish(struct world *w, unsigned fill, enum el_err code)
{
    struct el_error err = { .code = code, .text = "made to fail" };

    cache_fill_done(w->fills[fill], code, code == EL_OK ? NULL : &err);
    w->fills[fill] = NULL;
}
