/* SPDX-License-Identifier: MIT */
/*
 * version: object versions by their id, which is what other nodes call them: finding one that
 * lookups find, having the disk look for one, and going through all that there is.
 */
#include "cache/object.h"

#include <endian.h>

#define FIRST_BUCKETS 64

struct cache_version_load {
    struct el_list link;
    struct cache_object_id id;
    struct el_list waiters;
};

/* ---- the table ---- */

/* An id is a hash. */
static uint64_t hash_of(const struct cache_object_id *id)
{
    uint64_t hash;

    memcpy(&hash, id->v, sizeof(hash));
    return le64toh(hash);
}

static struct cache_ids *ids_of(struct cache *c, const struct cache_object_id *id)
{
    return &c->ids[hash_of(id) % CACHE_ID_SHARDS];
}

static void lock(struct cache_ids *ids)
{
    EL_ASSERT(pthread_mutex_lock(&ids->mtx) == 0);
}

static void unlock(struct cache_ids *ids)
{
    EL_ASSERT(pthread_mutex_unlock(&ids->mtx) == 0);
}

static bool is_same(const struct cache_object_id *a, const struct cache_object_id *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

void cache_ids_init(struct cache *c)
{
    for (size_t i = 0; i < CACHE_ID_SHARDS; i++) {
        EL_ASSERT(pthread_mutex_init(&c->ids[i].mtx, NULL) == 0);
        el_list_init(&c->ids[i].loads);
    }
}

void cache_ids_deinit(struct cache *c)
{
    for (size_t i = 0; i < CACHE_ID_SHARDS; i++) {
        EL_ASSERT(el_list_empty(&c->ids[i].loads));
        EL_ASSERT(pthread_mutex_destroy(&c->ids[i].mtx) == 0);
        free(c->ids[i].buckets);
    }
}

/* The low bits chose the shard. */
static struct cache_object **bucket_of(struct cache_ids *ids, const struct cache_object_id *id)
{
    return &ids->buckets[hash_of(id) / CACHE_ID_SHARDS & (ids->n_buckets - 1)];
}

static void grow(struct cache_ids *ids)
{
    struct cache_object **old = ids->buckets;
    size_t n = ids->n_buckets;

    ids->n_buckets = n == 0 ? FIRST_BUCKETS : 2 * n;
    ids->buckets = el_alloc(ids->n_buckets * sizeof(ids->buckets[0]));
    for (size_t i = 0; i < n; i++) {
        while (old[i] != NULL) {
            struct cache_object *o = old[i], **to = bucket_of(ids, &o->id);

            old[i] = o->next_by_id;
            o->next_by_id = *to;
            *to = o;
        }
    }
    free(old);
}

void cache_ids_add_locked(struct cache_object *o)
{
    struct cache_ids *ids = ids_of(o->cache, &o->id);
    struct cache_object **to;

    if (!o->has_id)
        return;
    lock(ids);
    if (ids->n++ >= ids->n_buckets)
        grow(ids);
    to = bucket_of(ids, &o->id);
    o->next_by_id = *to;
    *to = o;
    unlock(ids);
}

void cache_ids_remove_locked(struct cache_object *o)
{
    struct cache_ids *ids = ids_of(o->cache, &o->id);
    struct cache_object **at;

    if (!o->has_id)
        return;
    lock(ids);
    at = bucket_of(ids, &o->id);
    while (*at != o)
        at = &(*at)->next_by_id;
    *at = o->next_by_id;
    ids->n--;
    unlock(ids);
}

/* What is in the table has the index's reference. */
struct cache_object *cache_find_version(struct cache *c, const struct cache_object_id *id)
{
    struct cache_ids *ids = ids_of(c, id);
    struct cache_object *o = NULL;

    lock(ids);
    if (ids->n > 0)
        o = *bucket_of(ids, id);
    while (o != NULL && !is_same(&o->id, id))
        o = o->next_by_id;
    if (o != NULL)
        (void)cache_object_ref(o);
    unlock(ids);
    return o;
}

/* ---- from disk ---- */

static struct cache_version_load *find_load(struct cache_ids *ids, const struct cache_object_id *id)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &ids->loads) {
        struct cache_version_load *l = EL_ENTRY(it, struct cache_version_load, link);

        if (is_same(&l->id, id))
            return l;
    }
    return NULL;
}

static struct cache_version_load *new_load(struct cache_ids *ids, const struct cache_object_id *id)
{
    struct cache_version_load *l = el_new(struct cache_version_load);

    l->id = *id;
    el_list_init(&l->waiters);
    el_list_append(&ids->loads, &l->link);
    return l;
}

bool cache_load_version(struct cache *c, const struct cache_object_id *id, struct cache_waiter *w)
{
    struct cache_ids *ids = ids_of(c, id);
    struct cache_version_load *l;
    bool begins;

    if (c->l2 == NULL || !cache_l2_answers(c->l2))
        return false;
    lock(ids);
    l = find_load(ids, id);
    begins = l == NULL;
    if (begins)
        l = new_load(ids, id);
    w->by_id = true;
    w->id = *id;
    w->stored = true;
    el_list_append(&l->waiters, &w->link);
    unlock(ids);
    if (begins)
        cache_l2_load_version(c->l2, id);
    return true;
}

void cache_version_loaded(struct cache *c, const struct cache_object_id *id)
{
    struct cache_ids *ids = ids_of(c, id);
    struct cache_version_load *l;
    struct el_list *it;

    lock(ids);
    l = find_load(ids, id);
    EL_ASSERT(l != NULL);
    el_list_remove(&l->link);
    while ((it = el_list_pop(&l->waiters)) != NULL) {
        struct cache_waiter *w = EL_ENTRY(it, struct cache_waiter, link);

        el_msgq_post(w->queue, &w->msg);
    }
    unlock(ids);
    free(l);
}

void cache_version_leave(struct cache *c, struct cache_waiter *w)
{
    struct cache_ids *ids = ids_of(c, &w->id);

    lock(ids);
    el_list_remove(&w->link);
    unlock(ids);
    w->by_id = false;
}

/* ---- all of them ---- */

#define MAP_BLOCKS 1024 /* of an object at a time */

/* Chunk by chunk, those of which something is there. */
static void tell_map(struct cache_walk *w, struct cache_object *o, uint64_t length, uint64_t first,
                     const uint64_t *bits)
{
    for (uint64_t i = 0; i < MAP_BLOCKS / CACHE_CHUNK_BLOCKS; i++) {
        uint64_t at = i * CACHE_CHUNK_BLOCKS;
        uint16_t blocks = (uint16_t)(bits[at / 64] >> at % 64);

        if (blocks != 0)
            w->each(w, &o->id, length, first / CACHE_CHUNK_BLOCKS + i, blocks);
    }
}

static void walk_object(struct cache_walk *w, struct cache_object *o)
{
    uint64_t length = cache_object_length(o);
    uint64_t bits[MAP_BLOCKS / 64];

    if (!o->has_id)
        return;
    for (uint64_t first = 0; first * CACHE_BLOCK_BYTES < length; first += MAP_BLOCKS) {
        cache_object_map(o, first, MAP_BLOCKS, bits);
        tell_map(w, o, length, first, bits);
    }
}

static void walk_shard(struct cache_shard *s, struct cache_walk *w, struct cache_found *found)
{
    bool has_more = true;
    size_t bucket = 0;

    while (has_more) {
        has_more = cache_index_by_prefix(s, EL_STR(""), &bucket, found);
        for (size_t i = 0; i < found->n; i++) {
            walk_object(w, found->v[i]);
            cache_object_unref(found->v[i]);
        }
        found->n = 0;
    }
}

void cache_each_version(struct cache *c, struct cache_walk *w)
{
    struct cache_found found = { 0 };

    w->err = (struct el_error){ 0 };
    for (size_t i = 0; i < CACHE_SHARDS; i++)
        walk_shard(&c->shards[i], w, &found);
    free(found.v);
    if (c->l2 != NULL)
        cache_l2_walk(c->l2, w);
    else
        el_msgq_post(w->queue, &w->msg);
}
