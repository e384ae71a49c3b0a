/* SPDX-License-Identifier: MIT */
/*
 * l2_load: what comes out of the index: at a start all that a store needs to know, later the object
 * of one url, for a request that found nothing in memory. And the orderly end of a store.
 *
 *   cache_l2_load(url) -> store 0: for each object of that url: get its record -> publish
 *                      -> store 1 ... -> cache_loaded()
 *
 * cache_l2_load_version(id) is the same for one object whose url nobody knows yet.
 */
#include "cache/l2_store.h"
#include "common/bytes.h"

#include <errno.h>

#define LOAD_MAGIC  0x4c324c44u
#define HEAT_UNITS  16.0
#define MAX_OBJECTS 16 /* of one url in a store */
/* Address space for the index, at first: an eighth of the store, and then some. */
#define INDEX_SHARE     8
#define INDEX_MIN_BYTES EL_GIB

/* ---- at a start ---- */

struct loading {
    struct l2_store *s;
    uint64_t refused;
    bool was_clean; /* the node ended in order, so that nothing it said is missing from the index */
    struct el_buf heat;   /* as it was written; empty when it was not */
    struct el_buf pinned; /* ids */
};

static enum el_err load_meta(void *arg, struct el_str key, struct el_str value,
                             struct el_error *err)
{
    struct loading *l = arg;

    (void)err;
    if (el_str_eq(key, EL_STR("clean")))
        l->was_clean = el_str_eq(value, EL_STR("1"));
    if (el_str_eq(key, EL_STR("heat")))
        el_buf_add_str(&l->heat, value);
    return EL_OK;
}

static void refuse(struct loading *l, enum l2_table table, struct el_str key)
{
    struct l2_store *s = l->s;

    l->refused++;
    l2_batch_del(&s->commits[s->open].batch, table, key);
}

static enum el_err load_object(void *arg, struct el_str key, struct el_str value,
                               struct el_error *err)
{
    struct loading *l = arg;
    struct cache_object_id id;
    struct l2_object *o;
    struct el_str url;
    uint64_t length;
    bool is_pinned;

    if (l2_object_peek(key, value, &id, &url, &length, &is_pinned, err) != EL_OK) {
        refuse(l, L2_TABLE_OBJECT, key);
        return EL_OK;
    }
    o = l2_map_object_get(l->s->map, &id, cache_url_hash(url), length);
    o->is_pinned = is_pinned;
    if (is_pinned)
        el_buf_add(&l->pinned, &id, sizeof(id));
    o->is_stale = !l->was_clean;
    l->s->n_stale += o->is_stale;
    l2_known_add(l->s->known, o->url_hash);
    return EL_OK;
}

static bool is_in_place(const struct l2_chunk_record *r)
{
    uint32_t region = L2_NO_REGION;

    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        if ((r->bitmap >> i & 1) == 0)
            continue;
        if (region == L2_NO_REGION)
            region = r->blocks[i].region;
        if (r->blocks[i].region != region || r->blocks[i].offset != i * CACHE_BLOCK_BYTES ||
            r->blocks[i].bytes != CACHE_BLOCK_BYTES)
            return false;
    }
    return true;
}

static void restore_block(struct l2_store *s, struct l2_chunk *c, unsigned i,
                          const struct l2_block *b, bool in_place)
{
    if (!l2_region_restore(s->regions, b->region, b->offset, b->bytes, in_place))
        return;
    *l2_chunk_block_add(c, i) = *b;
    c->bitmap |= (uint16_t)(1u << i);
    l2_map_region_add(s->map, b->region, c, i);
    if (c->object->is_pinned)
        l2_region_pin(s->regions, b->region, true);
}

static enum el_err load_chunk(void *arg, struct el_str key, struct el_str value,
                              struct el_error *err)
{
    struct loading *l = arg;
    struct l2_chunk_record r;
    struct l2_object *o;
    struct l2_chunk *c;
    bool in_place;

    if (l2_chunk_decode(key, value, &r, err) != EL_OK ||
        (o = l2_map_object(l->s->map, &r.object)) == NULL) {
        refuse(l, L2_TABLE_CHUNK, key);
        return EL_OK;
    }
    c = l2_map_chunk_get(l->s->map, o, r.chunk);
    in_place = r.bitmap == UINT16_MAX && is_in_place(&r);
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        if ((r.bitmap >> i & 1) != 0)
            restore_block(l->s, c, i, &r.blocks[i], in_place);
    }
    if (c->bitmap == 0) {
        refuse(l, L2_TABLE_CHUNK, key);
        l2_map_chunk_remove(l->s->map, c);
    }
    return EL_OK;
}

static enum el_err load_index(struct loading *l, struct el_error *err)
{
    enum el_err rc = l2_index_each(l->s->index, L2_TABLE_OBJECT, load_object, l, err);

    if (rc == EL_OK)
        rc = l2_index_each(l->s->index, L2_TABLE_CHUNK, load_chunk, l, err);
    return rc;
}

static void note_clean(struct l2_store *s, bool is_clean)
{
    l2_batch_put(&s->commits[s->open].batch, L2_TABLE_META, EL_STR("clean"),
                 is_clean ? EL_STR("1") : EL_STR("0"));
}

/* ---- heat: for each region seconds since its last use, and accesses in sixteenths ---- */

void l2_put_heat(struct l2_store *s)
{
    uint64_t now = l2_now_ms();
    struct el_buf value;

    el_buf_init(&value);
    for (uint32_t i = 0; i < l2_regions_count(s->regions); i++) {
        const struct l2_region *r = l2_region_get(s->regions, i);
        double count = cache_heat_per_hour(&r->heat, now) * HEAT_UNITS;

        el_bytes_add_u32(
            &value, (uint32_t)el_min_u64((now - el_min_u64(r->used_ms, now)) / 1000, UINT32_MAX));
        el_bytes_add_u32(&value, count < UINT32_MAX ? (uint32_t)count : UINT32_MAX);
    }
    l2_batch_put(&s->commits[s->open].batch, L2_TABLE_META, EL_STR("heat"), el_buf_str(&value));
    el_buf_deinit(&value);
}

/* Of another size of the store as much as fits. */
static void restore_heat(struct loading *l)
{
    struct el_bytes b = el_bytes_of(el_buf_str(&l->heat));
    struct l2_store *s = l->s;
    uint64_t now = l2_now_ms();

    for (uint32_t i = 0; i < l2_regions_count(s->regions) && b.rest.n >= 8; i++) {
        uint64_t age_ms = (uint64_t)el_bytes_u32(&b) * 1000;
        struct cache_heat heat;

        cache_heat_set(&heat, (double)el_bytes_u32(&b) / HEAT_UNITS, now);
        l2_region_restore_heat(s->regions, i, now - el_min_u64(age_ms, now), &heat);
    }
}

static void make_tables(struct l2_store *s)
{
    uint32_t n = (uint32_t)(s->bytes / L2_REGION_BYTES);

    l2_map_free(s->map);
    l2_regions_free(s->regions);
    cache_sketch_free(s->sketch);
    l2_known_clear(s->known);
    s->map = l2_map_new();
    s->regions = l2_regions_new(n, &s->l2->cache->conf.weights);
    s->sketch = cache_sketch_new(n);
    EL_ASSERT(s->regions != NULL && s->sketch != NULL);
}

static enum el_err open_index(struct l2_store *s, struct el_error *err)
{
    bool is_new;

    return l2_index_open(s->dir, s->bytes / INDEX_SHARE + INDEX_MIN_BYTES, &s->index, &is_new, err);
}

/* An index that cannot be read to its end is thrown away: a cache may always be lost. */
static enum el_err begin_anew(struct loading *l, struct el_error *err)
{
    struct l2_store *s = l->s;
    enum el_err rc;

    el_log_error(EL_WARN, EV_DISK_EMPTIED, err);
    l2_index_close(s->index);
    s->index = NULL;
    l2_batch_clear(&s->commits[s->open].batch);
    el_buf_clear(&l->pinned);
    make_tables(s);
    rc = l2_index_discard(s->dir, err);
    if (rc == EL_OK)
        rc = open_index(s, err);
    return rc == EL_OK ? load_index(l, err) : rc;
}

/* Now that what was found stays. */
static void restore_pins(const struct loading *l)
{
    struct cache_object_id id;

    for (size_t at = 0; at < l->pinned.n; at += sizeof(id)) {
        memcpy(&id, l->pinned.p + at, sizeof(id));
        l2_restore_pin(l->s, &id);
    }
}

/*
 * Before what takes its time an end from now on is a crash: what is changed meanwhile gets into the
 * index only afterwards.
 */
static enum el_err note_begun(const struct loading *l, struct el_error *err)
{
    if (!l->was_clean)
        return EL_OK;
    return l2_index_put(l->s->index, L2_TABLE_META, EL_STR("clean"), EL_STR("0"), err);
}

static enum el_err load_all(struct loading *l, struct el_error *err)
{
    struct l2_store *s = l->s;
    enum el_err rc = open_index(s, err), found;

    if (rc != EL_OK)
        return rc;
    found = l2_index_each(s->index, L2_TABLE_META, load_meta, l, err);
    if (found == EL_OK)
        rc = note_begun(l, err);
    if (rc == EL_OK)
        rc = l2_store_set_size(s, err);
    if (rc != EL_OK)
        return rc;
    make_tables(s);
    if (found == EL_OK)
        found = load_index(l, err);
    if (found != EL_OK)
        rc = begin_anew(l, err);
    if (rc == EL_OK)
        restore_pins(l);
    l2_regions_restored(s->regions, l2_now_ms());
    restore_heat(l);
    return rc;
}

void l2_load_store(struct l2_store *s)
{
    struct loading l = { .s = s };
    struct el_error err = { 0 };
    uint64_t began = l2_now_ms();
    enum el_err rc = load_all(&l, &err);

    el_buf_deinit(&l.heat);
    el_buf_deinit(&l.pinned);
    if (rc != EL_OK) { /* it stays in L2_LOADING: nobody asks it for anything */
        el_log_error(EL_ERROR, EV_DISK_DOWN, &err);
        l2_note_health(s, L2_FATAL);
        return;
    }
    note_clean(s, false);
    l2_commit_now(s);
    el_log(EL_INFO, EV_DISK_LOADED, "dir=%s objects=%zu chunks=%zu refused=%llu clean=%d ms=%llu",
           s->dir, l2_map_objects(s->map), l2_map_chunks(s->map), (unsigned long long)l.refused,
           l.was_clean, (unsigned long long)(l2_now_ms() - began));
    s->is_loaded = true; /* it is ready with the commit: l2_write.c */
    l2_publish_numbers(s);
    l2_scrub_start(s);
}

/* ---- one url, or one version ---- */

struct l2_load {
    uint32_t magic;
    struct el_msg msg;
    struct cache_l2 *l2;
    char *url; /* owned; NULL: it is for the version */
    uint64_t url_hash;
    struct cache_object_id version;
    size_t store; /* whose turn it is */
    struct cache_object_id ids[MAX_OBJECTS];
    size_t n, next;
    struct l2_get get;
};

static void finish_load(struct l2_load *l)
{
    struct cache_l2 *l2 = l->l2;

    if (l->url != NULL)
        cache_loaded(l2->cache, el_str_of(l->url));
    else
        cache_version_loaded(l2->cache, &l->version);
    el_buf_deinit(&l->get.key);
    el_buf_deinit(&l->get.value);
    free(l->url);
    l->magic = 0;
    free(l);
    EL_ASSERT(pthread_mutex_lock(&l2->loads_mtx) == 0);
    atomic_store(&l2->loads_moved_ms, l2_now_ms());
    if (--l2->n_loads == 0)
        EL_ASSERT(pthread_cond_broadcast(&l2->loads_done) == 0);
    EL_ASSERT(pthread_mutex_unlock(&l2->loads_mtx) == 0);
}

static void next_store(struct l2_load *l)
{
    if (++l->store == l->l2->n_stores)
        finish_load(l);
    else
        el_ring_post(l->l2->stores[l->store]->ring, &l->msg);
}

static void add_bits(const struct l2_object *from, struct cache_object *o)
{
    for (const struct l2_chunk *c = from->chunks; c != NULL; c = c->next_chunk)
        cache_disk_add(o, c->chunk, c->bitmap);
}

/* After a crash a word of the last second may be missing, that the object was changed among them:
 * neither a long lifetime nor a client's max-stale makes up for that. */
static void make_stale(struct cache_meta *meta)
{
    meta->always_revalidate = true;
}

static void publish(struct l2_load *l, struct l2_object *from, struct l2_object_record *r)
{
    struct cache_object *o;

    if (from->is_stale)
        make_stale(r->meta);
    o = cache_object_new(l->l2->cache, r->url, r->meta, r->length);
    if (memcmp(&o->id, &r->id, sizeof(o->id)) == 0) {
        add_bits(from, o);
        if (from->is_pinned)
            (void)cache_object_pin(o, UINT64_MAX); /* it is counted already */
        cache_index_add_loaded(o);
    }
    cache_object_unref(o);
}

static void next_object(struct l2_load *l);

static void on_got(struct el_msg *m)
{
    struct l2_load *l = EL_ENTRY(m, struct l2_load, get.msg);
    struct l2_store *s = l->l2->stores[l->store];
    const struct cache_object_id *id = &l->ids[l->next - 1];
    struct l2_object *o = l2_map_object(s->map, id); /* it may have been forgotten meanwhile */
    struct l2_object_record r;
    struct el_error err;

    EL_ASSERT(l->magic == LOAD_MAGIC);
    if (o != NULL && l->get.was_found) {
        if (l2_object_decode(el_buf_str(&l->get.key), el_buf_str(&l->get.value), &r, &err) !=
            EL_OK) {
            el_log_error(EL_WARN, EV_DISK_MISMATCH, &err);
            l2_remove_object(s, o);
        } else {
            if (l->url == NULL || el_str_eq(r.url, el_str_of(l->url)))
                publish(l, o, &r);
            cache_meta_unref(r.meta);
        }
    }
    next_object(l);
}

static void get_record(struct l2_load *l, const struct cache_object_id *id)
{
    struct l2_store *s = l->l2->stores[l->store];

    el_buf_clear(&l->get.key);
    el_buf_clear(&l->get.value);
    el_buf_add(&l->get.key, id->v, sizeof(id->v));
    l->get.queue = el_ring_queue(s->ring);
    l->get.table = L2_TABLE_OBJECT;
    l->get.was_found = false;
    l2_index_get(s->index, &l->get);
}

static void next_object(struct l2_load *l)
{
    struct l2_store *s = l->l2->stores[l->store];

    while (l->next < l->n) {
        const struct cache_object_id *id = &l->ids[l->next++];
        const struct l2_object *here = l2_map_object(s->map, id);
        struct cache_object *o;

        if (here == NULL)
            continue;
        o = cache_find_version(l->l2->cache, id);
        if (o == NULL) {
            get_record(l, id);
            return;
        }
        add_bits(here, o); /* another store's part of it is in memory already */
        cache_object_unref(o);
    }
    next_store(l);
}

static void on_turn(struct el_msg *m)
{
    struct l2_load *l = EL_ENTRY(m, struct l2_load, msg);
    struct l2_store *s = l->l2->stores[l->store];
    struct l2_object *o = NULL;

    EL_ASSERT(l->magic == LOAD_MAGIC);
    l->n = l->next = 0;
    if (l->url == NULL)
        l->ids[l->n++] = l->version;
    while (l->url != NULL && l->n < MAX_OBJECTS && (o = l2_map_url(s->map, l->url_hash, o)) != NULL)
        l->ids[l->n++] = o->id;
    next_object(l);
}

static struct l2_load *new_load(struct cache_l2 *l2)
{
    struct l2_load *l = el_new(struct l2_load);

    l->magic = LOAD_MAGIC;
    l->l2 = l2;
    el_buf_init(&l->get.key);
    el_buf_init(&l->get.value);
    el_msg_init(&l->msg, on_turn);
    el_msg_init(&l->get.msg, on_got);
    return l;
}

/* Takes l. */
static void start_load(struct l2_load *l)
{
    struct cache_l2 *l2 = l->l2;

    EL_ASSERT(pthread_mutex_lock(&l2->loads_mtx) == 0);
    if (l2->n_loads++ == 0)
        atomic_store(&l2->loads_moved_ms, l2_now_ms());
    EL_ASSERT(pthread_mutex_unlock(&l2->loads_mtx) == 0);
    el_ring_post(l2->stores[0]->ring, &l->msg);
}

void cache_l2_load(struct cache_l2 *l2, struct el_str url)
{
    struct l2_load *l = new_load(l2);

    l->url = el_strndup(url.p, url.n);
    l->url_hash = cache_url_hash(url);
    start_load(l);
}

void cache_l2_load_version(struct cache_l2 *l2, const struct cache_object_id *id)
{
    struct l2_load *l = new_load(l2);

    l->version = *id;
    start_load(l);
}

/* ---- the end ---- */

struct l2_stop {
    struct el_msg msg;
    struct el_timer timer;
    struct l2_store *s;
    bool is_noted;
    pthread_mutex_t mtx;
    pthread_cond_t changed;
    bool is_done;
};

#define STOP_POLL_MS 5

static void go_on(struct l2_stop *stop)
{
    struct l2_store *s = stop->s;
    bool is_busy = !el_list_empty(&s->waiting) || s->writing_bytes > 0 || s->mover != NULL ||
                   s->scrubber != NULL || s->probe != NULL || !el_list_empty(&s->reading) ||
                   s->is_running;

    if (!is_busy && !stop->is_noted) {
        /* What a crash made doubtful still is, unless all of it was confirmed. */
        note_clean(s, s->n_stale == 0);
        l2_put_heat(s);
        stop->is_noted = true;
        l2_commit_now(s);
        is_busy = true;
    }
    if (is_busy) {
        el_timer_start(el_ring_timers(s->ring), &stop->timer, l2_now_ms() + STOP_POLL_MS);
        return;
    }
    /* What failed, or came later, is not committed: nobody would be there for the answer. */
    s->is_stopped = true;
    el_timer_stop(&s->commit_timer);
    EL_ASSERT(pthread_mutex_lock(&stop->mtx) == 0);
    stop->is_done = true;
    EL_ASSERT(pthread_cond_broadcast(&stop->changed) == 0);
    EL_ASSERT(pthread_mutex_unlock(&stop->mtx) == 0);
}

static void on_stop_timer(struct el_timer *t)
{
    go_on(EL_ENTRY(t, struct l2_stop, timer));
}

static void on_stop(struct el_msg *m)
{
    struct l2_stop *stop = EL_ENTRY(m, struct l2_stop, msg);

    l2_clean_stop(stop->s);
    l2_probe_stop(stop->s);
    l2_write_drop_all(stop->s);
    stop->is_noted = !stop->s->is_loaded; /* otherwise it never came to be used */
    go_on(stop);
}

void l2_store_stop(struct l2_store *s)
{
    struct l2_stop stop = { .s = s };

    EL_ASSERT(pthread_mutex_init(&stop.mtx, NULL) == 0);
    EL_ASSERT(pthread_cond_init(&stop.changed, NULL) == 0);
    el_msg_init(&stop.msg, on_stop);
    el_timer_init(&stop.timer, on_stop_timer);
    atomic_store(&s->phase, L2_CLOSING);
    el_ring_post(s->ring, &stop.msg);
    EL_ASSERT(pthread_mutex_lock(&stop.mtx) == 0);
    while (!stop.is_done)
        EL_ASSERT(pthread_cond_wait(&stop.changed, &stop.mtx) == 0);
    EL_ASSERT(pthread_mutex_unlock(&stop.mtx) == 0);
    EL_ASSERT(pthread_cond_destroy(&stop.changed) == 0);
    EL_ASSERT(pthread_mutex_destroy(&stop.mtx) == 0);
}
