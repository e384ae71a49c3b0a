/* SPDX-License-Identifier: MIT */
/*
 * world: a storage between a scripted origin and a user on the test's own thread, and a cache that
 * consists of one fill whose room the test decides. It stands in for the cache library: what
 * storage calls of it is defined here.
 */
#pragma once

#include "tests/lib/origin.h"

#include "cache/cache.h"
#include "storage/storage.h"

/* ---- the cache ---- */

struct cache_object {
    struct cache_meta *meta;
    uint64_t length;
};

struct cache_fill {
    pthread_mutex_t mtx;
    pthread_cond_t changed;
    struct cache_object *object;
    struct cache_ticket *ticket;
    void *data;
    uint64_t position, end;
    uint64_t room_until; /* takes bytes up to here */
    bool wants_no_more, is_right;
    int pauses, dones;
    struct el_error err;
};

struct cache_ticket *cache_ticket_ref(struct cache_ticket *t)
{
    atomic_fetch_add(&t->refs, 1);
    return t;
}

void cache_ticket_unref(struct cache_ticket *t)
{
    if (t != NULL && atomic_fetch_sub(&t->refs, 1) == 1)
        t->free(t);
}

struct cache_meta *cache_meta_new(void)
{
    struct cache_meta *m = el_new(struct cache_meta);

    atomic_init(&m->refs, 1);
    return m;
}

struct cache_meta *cache_meta_ref(struct cache_meta *m)
{
    atomic_fetch_add(&m->refs, 1);
    return m;
}

void cache_meta_unref(struct cache_meta *m)
{
    if (m == NULL || atomic_fetch_sub(&m->refs, 1) > 1)
        return;
    el_fields_deinit(&m->fields);
    free(m);
}

struct el_str cache_object_url(const struct cache_object *o)
{
    (void)o;
    return EL_STR("http://bucket.test/key");
}

struct cache_meta *cache_object_meta(struct cache_object *o)
{
    return cache_meta_ref(o->meta);
}

uint64_t cache_object_length(struct cache_object *o)
{
    return o->length;
}

struct cache_object *cache_fill_object(struct cache_fill *f)
{
    return f->object;
}

struct cache_ticket *cache_fill_ticket(struct cache_fill *f)
{
    return f->ticket;
}

uint64_t cache_fill_position(struct cache_fill *f)
{
    uint64_t position;

    pthread_mutex_lock(&f->mtx);
    position = f->position;
    pthread_mutex_unlock(&f->mtx);
    return position;
}

uint64_t cache_fill_end(struct cache_fill *f)
{
    return f->end;
}

void cache_fill_set_data(struct cache_fill *f, void *data)
{
    f->data = data;
}

void *cache_fill_data(struct cache_fill *f)
{
    return f->data;
}

ssize_t cache_fill_give(struct cache_fill *f, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    ssize_t taken = -1;

    pthread_mutex_lock(&f->mtx);
    if (!f->wants_no_more && f->position < f->end) {
        taken = (ssize_t)el_min_u64(n, el_min_u64(f->room_until, f->end) - f->position);
        for (ssize_t i = 0; i < taken; i++)
            f->is_right &= p[i] == origin_byte(f->position + (uint64_t)i);
        f->position += (uint64_t)taken;
        if ((size_t)taken < n)
            f->pauses++;
        /* What is over the end is not a matter of room. */
        if (f->position == f->end)
            taken = (ssize_t)n;
    }
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mtx);
    return taken;
}

void cache_fill_done(struct cache_fill *f, enum el_err code, const struct el_error *err)
{
    assert_true(code == EL_OK || err->code == code);
    pthread_mutex_lock(&f->mtx);
    f->dones++;
    if (code != EL_OK)
        f->err = *err;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mtx);
}

/* ---- the world ---- */

struct world {
    bool as_node; /* what is asked is signed by the storage */
    struct origin o;
    struct el_metrics *metrics;
    struct storage *s;
    struct el_msgq *queue;

    /* what the user saw */
    struct store_exchange *ex;
    char events[64]; /* I H R W D, one letter each, R and W only once in a row */
    int n_events;
    int status, interims;
    bool pipes;  /* at HEAD */
    bool drains; /* at READABLE */
    uint64_t body_bytes;
    bool body_is_right;
    bool is_done;
    struct cache_fill *feeds; /* at HEAD */
    uint64_t feed_skip;
    bool closes_at_head;

    struct cache_object object;
    struct cache_fill fill;
};

static inline void take_body(struct world *w)
{
    const void *bytes;
    size_t n;

    for (;;) {
        store_exchange_read(w->ex, &bytes, &n);
        if (n == 0)
            return;
        for (size_t i = 0; i < n; i++)
            w->body_is_right &= ((const uint8_t *)bytes)[i] == origin_byte(w->body_bytes + i);
        w->body_bytes += n;
        store_exchange_consume(w->ex, n);
    }
}

static inline void note_event(struct world *w, char letter)
{
    if (w->n_events > 0 && w->events[w->n_events - 1] == letter && letter != 'I')
        return;
    assert_true(w->n_events < (int)sizeof(w->events) - 1);
    w->events[w->n_events++] = letter;
}

static inline void at_head(struct world *w)
{
    w->status = w->ex->status;
    if (w->feeds != NULL)
        store_exchange_feed(w->ex, w->feeds, w->feed_skip);
    else if (w->pipes)
        store_exchange_pipe(w->ex);
    if (w->closes_at_head) {
        store_exchange_close(w->ex);
        w->ex = NULL;
    }
}

static inline void on_event(void *arg, struct store_exchange *ex, enum store_event ev)
{
    struct world *w = arg;

    assert_ptr_equal(ex, w->ex);
    assert_false(w->is_done);
    note_event(w, "IHRWD"[ev]);
    switch (ev) {
    case STORE_EV_INTERIM:
        w->interims++;
        break;
    case STORE_EV_HEAD:
        at_head(w);
        break;
    case STORE_EV_READABLE:
        if (w->drains)
            take_body(w);
        break;
    case STORE_EV_WRITABLE:
        break;
    case STORE_EV_DONE:
        assert_true(ex->is_done);
        w->is_done = true;
        if (w->drains)
            take_body(w);
        break;
    }
}

#define WORLD_WAIT(w, what)                                                   \
    do {                                                                      \
        struct pollfd p = { .fd = el_msgq_fd((w)->queue), .events = POLLIN }; \
        while (!(what)) {                                                     \
            assert_int_equal(poll(&p, 1, 20000), 1);                          \
            el_msgq_dispatch((w)->queue);                                     \
        }                                                                     \
    } while (0)

#define FILL_WAIT(f, what)                               \
    do {                                                 \
        pthread_mutex_lock(&(f)->mtx);                   \
        while (!(what))                                  \
            pthread_cond_wait(&(f)->changed, &(f)->mtx); \
        pthread_mutex_unlock(&(f)->mtx);                 \
    } while (0)

static inline struct store_conf world_conf(struct world *w)
{
    return (struct store_conf){
        .threads = 2,
        .max_connections_per_host = 16,
        .connect_timeout_ms = 5000,
        .stall_timeout_ms = 5000,
        .retries = 3,
        .retry_backoff_ms = 2,
        .breaker_failures = 0,
        .clock = el_clock_system(),
        .metrics = w->metrics,
    };
}

static inline void world_open_with(struct world *w, void (*script)(struct origin_conn *c),
                                   void (*tune)(struct store_conf *conf))
{
    struct store_conf conf;

    memset(w, 0, sizeof(*w));
    w->metrics = el_metrics_new();
    conf = world_conf(w);
    if (tune != NULL)
        tune(&conf);
    origin_start(&w->o, script);
    assert_int_equal(storage_start(&conf, &w->s, NULL), EL_OK);
    assert_int_equal(el_msgq_new(&w->queue, NULL), EL_OK);
    w->pipes = true;
    w->drains = true;
    w->body_is_right = true;
}

static inline void world_open(struct world *w, void (*script)(struct origin_conn *c))
{
    world_open_with(w, script, NULL);
}

static inline void world_close(struct world *w)
{
    store_exchange_close(w->ex);
    storage_stop(w->s);
    origin_stop(&w->o);
    el_msgq_free(w->queue);
    el_metrics_free(w->metrics);
}

static inline struct store_target world_target(struct world *w)
{
    return (struct store_target){
        .scheme = EL_STR("http"),
        .host = EL_STR("127.0.0.1"),
        .port = w->o.port,
        .target = EL_STR("/bucket/key?versionId=1"),
        .as_node = w->as_node,
    };
}

static const struct el_field world_fields[] = {
    { { "Host", 4 }, { "bucket.test", 11 } },
    { { "Authorization", 13 }, { "AWS4-HMAC-SHA256 x", 18 } },
};
static const struct el_fieldv world_fieldv = { world_fields, EL_COUNT(world_fields) };

static inline void world_ask(struct world *w, const char *method, int64_t body_length)
{
    struct store_request req = {
        .method = el_str_of(method),
        .to = world_target(w),
        .fields = world_fieldv,
        .body_length = body_length,
        .reason = STORE_MISS,
        .retry = strcmp(method, "GET") == 0,
    };

    w->ex = store_exchange_start(w->s, &req, w->queue, on_event, w);
}

static inline enum el_err world_get(struct world *w)
{
    world_ask(w, "GET", EL_HTTP_BODY_NONE);
    WORLD_WAIT(w, w->is_done);
    return w->ex->err.code;
}

/* A fill of [first, end) of an object with the ETag "v1" (none when etag is NULL). */
static inline void world_fill_init(struct world *w, uint64_t length, uint64_t first, uint64_t end,
                                   const char *etag)
{
    struct store_target to = world_target(w);
    struct cache_fill *f = &w->fill;

    w->object.meta = cache_meta_new();
    w->object.length = length;
    if (etag != NULL) {
        el_fields_add(&w->object.meta->fields, EL_STR("ETag"), el_str_of(etag));
        w->object.meta->etag = w->object.meta->fields.v[0].value;
        w->object.meta->has_strong_validator = true;
    }
    memset(f, 0, sizeof(*f));
    pthread_mutex_init(&f->mtx, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->object = &w->object;
    f->ticket = store_ticket_new(&to, world_fieldv, false, 0, 0, (struct el_str){ NULL, 0 });
    f->position = first;
    f->end = end;
    f->room_until = UINT64_MAX;
    f->is_right = true;
}

static inline void world_fill_deinit(struct world *w)
{
    cache_ticket_unref(w->fill.ticket);
    cache_meta_unref(w->object.meta);
    pthread_mutex_destroy(&w->fill.mtx);
    pthread_cond_destroy(&w->fill.changed);
}

static inline void fill_start(struct world *w)
{
    struct cache_source *source = storage_source(w->s);

    source->ops->start(source, &w->fill);
}

/* Once, with what code: the fill is over. */
static inline enum el_err fill_wait_done(struct world *w)
{
    FILL_WAIT(&w->fill, w->fill.dones > 0);
    assert_int_equal(w->fill.dones, 1);
    assert_true(w->fill.is_right);
    return w->fill.err.code;
}
