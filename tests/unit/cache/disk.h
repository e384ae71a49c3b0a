/* SPDX-License-Identifier: MIT */
/*
 * disk: the world with an SSD tier in a directory of its own, whose disk can be made to fail, and
 * what a test does with it: fetch an object so that it is written, lose memory, look again.
 */
#pragma once

#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/unit/cache/world.h"

#define MB  EL_MIB
#define URL "http://origin.test/bucket/key"

/* What the disk is made to do; read by its threads. */
static _Atomic int read_fault, write_fault, read_delay_ms;

static inline int fault(void *arg, const struct el_ring_op *op)
{
    (void)arg;
    if (op->what == EL_RING_READ) {
        if (atomic_load(&read_delay_ms) > 0)
            (void)poll(NULL, 0, atomic_load(&read_delay_ms));
        return atomic_load(&read_fault);
    }
    return op->what == EL_RING_WRITE ? atomic_load(&write_fault) : 0;
}

struct disk {
    struct world w;
    char dir[64];
    const char *dirs[2]; /* of which one is used */
    struct cache_disk_conf conf;
};

static inline void disk_open(struct disk *d, uint64_t memory)
{
    world_open_with(&d->w, memory, &d->conf);
}

static inline void remove_dir(const char *dir)
{
    static const char *const names[] = { "store",          "lock",  "index/data.mdb",
                                         "index/lock.mdb", "index", "" };
    char path[128];

    for (size_t i = 0; i < EL_COUNT(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)remove(path);
    }
}

static inline void disk_init(struct disk *d, enum el_ring_backend io, uint64_t bytes)
{
    memset(d, 0, sizeof(*d));
    (void)snprintf(d->dir, sizeof(d->dir), "/tmp/elio-l2-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    d->dirs[0] = d->dir;
    d->conf = (struct cache_disk_conf){
        .bytes = bytes,
        .dirs = d->dirs,
        .n_dirs = 1,
        .io = io,
        .read_deadline_ms = 60000,
        .commit_ms = 10,
        .write_bytes = 64 * MB,
        .fault = fault,
    };
    atomic_store(&read_fault, 0);
    atomic_store(&write_fault, 0);
    atomic_store(&read_delay_ms, 0);
    disk_open(d, 256 * MB);
}

static inline void disk_end(struct disk *d)
{
    world_close(&d->w);
    remove_dir(d->dir);
}

/* Memory is lost, the disk is not. */
static inline void disk_reopen(struct disk *d)
{
    world_close(&d->w);
    disk_open(d, 256 * MB);
}

static inline struct cache_store_stats stats(struct disk *d)
{
    struct cache_disk_stats s;

    cache_disk_stats_get(d->w.cache, &s);
    assert_int_equal(s.n, 1);
    return s.stores[0];
}

#define UNTIL(what)                 \
    do {                            \
        while (!(what))             \
            (void)poll(NULL, 0, 1); \
    } while (0)

static inline struct cache_meta *meta_of(const char *etag)
{
    struct cache_meta *m = cache_meta_new();

    m->status = 200;
    m->response_ms = 1000;
    m->is_public = true;
    el_fields_add(&m->fields, EL_STR("ETag"), el_str_of(etag));
    el_fields_add(&m->fields, EL_STR("Content-Type"), EL_STR("application/x-test"));
    assert_true(el_fieldv_get(el_fields_view(&m->fields), EL_STR("ETag"), &m->etag));
    m->has_strong_validator = true;
    return m;
}

static inline struct cache_object *put(struct disk *d, const char *url, const char *etag,
                                       uint64_t length)
{
    struct cache_meta *m = meta_of(etag);
    struct cache_object *o = cache_object_new(d->w.cache, el_str_of(url), m, length);

    cache_meta_unref(m);
    assert_true(cache_object_publish(o));
    return o;
}

static inline void wait_event(struct disk *d)
{
    struct pollfd p = { .fd = el_msgq_fd(d->w.queue), .events = POLLIN };

    assert_true(poll(&p, 1, 60000) == 1);
    el_msgq_dispatch(d->w.queue);
}

static inline void serve_origin(struct disk *d, uint64_t seed)
{
    for (unsigned i = 0; i < d->w.starts; i++) {
        struct cache_fill *f = d->w.fills[i];

        if (f == NULL)
            continue;
        while (cache_fill_position(f) < cache_fill_end(f))
            if (give(f, seed, cache_fill_end(f) - cache_fill_position(f)) <= 0)
                break;
        finish(&d->w, i, EL_OK);
    }
}

/* Reads [first, end), the origin giving what nobody else has; checks every byte. */
static inline unsigned read_range(struct disk *d, struct cache_object *o, uint64_t seed,
                                  uint64_t first, uint64_t end)
{
    struct client c = { 0 };
    enum cache_read read;
    unsigned from;

    client_open(&d->w, &c, o, first, end);
    while ((read = drain(&c, seed, UINT64_MAX)) == CACHE_READ_WAIT) {
        serve_origin(d, seed);
        wait_event(d);
    }
    assert_int_equal(read, CACHE_READ_END);
    from = c.r.from;
    cache_reader_close(&c.r);
    return from;
}

static inline void fetch(struct disk *d, const char *url, const char *etag, uint64_t seed,
                         uint64_t length)
{
    struct cache_object *o = put(d, url, etag, length);
    uint64_t before = stats(d).written_bytes;

    assert_true((read_range(d, o, seed, 0, length) & CACHE_FROM_ORIGIN) != 0);
    UNTIL(stats(d).written_bytes == before + length);
    cache_object_unref(o);
}

static inline void on_loaded(struct el_msg *m)
{
    (void)m;
}

/* The object of the url, from memory or from disk; NULL: neither has it. */
static inline struct cache_object *find(struct disk *d, const char *url)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    struct cache_waiter waiter = { .queue = d->w.queue };

    el_list_init(&waiter.link);
    el_msg_init(&waiter.msg, on_loaded);
    UNTIL(strcmp(stats(d).state, "loading") != 0);
    if (cache_lookup(d->w.cache, el_str_of(url), found) == 0) {
        if (!cache_load(d->w.cache, el_str_of(url), &waiter))
            return NULL;
        wait_event(d);
        if (cache_lookup(d->w.cache, el_str_of(url), found) == 0)
            return NULL;
    }
    return found[0];
}

/* All of it from the disk, nothing from the origin. */
static inline void check_from_disk(struct disk *d, const char *url, uint64_t seed, uint64_t length)
{
    unsigned starts = d->w.starts;
    struct cache_object *o = find(d, url);

    assert_non_null(o);
    assert_int_equal(read_range(d, o, seed, 0, length), CACHE_FROM_DISK);
    assert_int_equal(d->w.starts, starts);
    cache_object_unref(o);
}
