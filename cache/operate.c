/* SPDX-License-Identifier: MIT */
/*
 * operate: what operators ask of the cache: what it has of a url, that it forgets some, that it
 * keeps one. Memory is looked at here, on the caller's thread; then the SSD tier goes on from one
 * store to the next (l2_operate.c) and posts the message at the end.
 */
#include "cache/object.h"

/* ---- what is known ---- */

static void note_block(struct cache_variant *v, uint64_t block)
{
    uint16_t *bits = &v->map[block / CACHE_CHUNK_BLOCKS];
    uint16_t bit = (uint16_t)(1u << block % CACHE_CHUNK_BLOCKS);

    if ((*bits & bit) == 0)
        v->cached_blocks++;
    *bits |= bit;
}

void cache_variant_note_disk(struct cache_variant *v, uint64_t chunk, uint16_t bitmap)
{
    for (unsigned i = 0; v->map != NULL && i < CACHE_CHUNK_BLOCKS; i++) {
        uint64_t block = chunk * CACHE_CHUNK_BLOCKS + i;

        if ((bitmap >> i & 1) == 0 || block >= v->blocks)
            continue;
        v->disk_blocks++;
        note_block(v, block);
    }
}

void cache_variant_note_heat(struct cache_variant *v, double per_hour)
{
    static const char *const names[] = {
        [CACHE_COLD] = "cold", [CACHE_WARM] = "warm", [CACHE_HOT] = "hot"
    };

    if (v->heat != NULL && per_hour <= v->per_hour)
        return;
    v->per_hour = per_hour;
    v->heat = names[cache_heat_class(per_hour)];
}

void cache_variant_init(struct cache_variant *v, struct cache_meta *meta, uint64_t length)
{
    *v = (struct cache_variant){ .meta = cache_meta_ref(meta), .length = length };
    cache_variant_note_heat(v, 0);
    if (length > CACHE_MAX_LENGTH)
        return;
    v->blocks = cache_blocks_of(length);
    v->map = el_try_alloc((v->blocks / CACHE_CHUNK_BLOCKS + 1) * sizeof(v->map[0]));
    if (v->map == NULL)
        v->blocks = 0;
}

static void look_at_locked(struct cache_object *o, struct cache_variant *v, uint64_t now_ms)
{
    uint64_t block = 0;

    cache_variant_note_heat(v, cache_heat_per_hour(&o->first->heat, now_ms));
    while ((block = cache_object_next_block_locked(o, block, v->blocks)) < v->blocks) {
        const struct cache_chunk *chunk = cache_chunk_get_locked(o, block);
        const struct cache_block *b = cache_block_find_locked(o, block);

        cache_variant_note_heat(v, cache_heat_per_hour(&chunk->heat, now_ms));
        if (cache_block_is_whole(o, block, b)) {
            v->memory_blocks++;
            note_block(v, block);
        }
        block++;
    }
}

static void look_at(struct cache_object *o, struct cache_variant *v)
{
    uint64_t now_ms = el_clock_mono_ms(o->cache->conf.clock);

    cache_shard_lock(o->shard);
    cache_variant_init(v, o->meta, o->length);
    memcpy(v->id, o->id.v, sizeof(v->id));
    v->is_in_memory = true;
    v->is_pinned = o->is_pinned;
    v->is_filling = !el_list_empty(&o->fills);
    look_at_locked(o, v, now_ms);
    cache_shard_unlock(o->shard);
}

void cache_stat(struct cache *c, struct el_str url, struct cache_stat *st)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    size_t n = cache_lookup(c, url, found);

    st->n = 0;
    for (size_t i = 0; i < n; i++) {
        look_at(found[i], &st->v[st->n++]);
        cache_object_unref(found[i]);
    }
    if (c->l2 != NULL)
        cache_l2_stat(c->l2, url, st);
    else
        el_msgq_post(st->queue, &st->msg);
}

void cache_stat_deinit(struct cache_stat *st)
{
    for (size_t i = 0; i < st->n; i++) {
        cache_meta_unref(st->v[i].meta);
        free(st->v[i].map);
    }
    st->n = 0;
}

/* ---- forgetting ---- */

static void kill_all(struct cache_purge *p, struct cache_object *const *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cache_object_kill(v[i]);
        cache_object_unref(v[i]);
    }
    p->objects += n;
}

void cache_purge_end(struct cache_purge *p)
{
    if (p->queue != NULL)
        el_msgq_post(p->queue, &p->msg);
    else
        free(p);
}

static void begin_purge(struct cache_purge *p)
{
    p->objects = 0;
    p->err = (struct el_error){ 0 };
}

void cache_purge_url(struct cache *c, struct el_str url, struct cache_purge *p)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];

    begin_purge(p);
    kill_all(p, found, cache_lookup(c, url, found));
    if (c->l2 != NULL)
        cache_l2_purge(c->l2, url, false, p);
    else
        cache_purge_end(p);
}

void cache_purge_prefix(struct cache *c, struct el_str prefix, struct cache_purge *p)
{
    struct cache_found found = { 0 };

    begin_purge(p);
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        size_t bucket = 0;
        bool has_more = true;

        while (has_more) {
            has_more = cache_index_by_prefix(&c->shards[i], prefix, &bucket, &found);
            kill_all(p, found.v, found.n);
            found.n = 0;
        }
    }
    free(found.v);
    if (c->l2 != NULL)
        cache_l2_purge(c->l2, prefix, true, p);
    else
        cache_purge_end(p);
}

void cache_forget_prefix(struct cache *c, struct el_str prefix)
{
    cache_purge_prefix(c, prefix, el_new(struct cache_purge));
}

/* ---- keeping ---- */

void cache_pin_count(struct cache_pin *p, const struct cache_object_id *id)
{
    for (size_t i = 0; i < p->objects; i++) {
        if (memcmp(p->ids[i], id->v, sizeof(id->v)) == 0)
            return;
    }
    if (p->objects < CACHE_MAX_STAT)
        memcpy(p->ids[p->objects++], id->v, sizeof(id->v));
}

void cache_pin_refuse(struct cache_pin *p, struct cache *c, uint64_t length)
{
    struct cache_pins_sum sum;

    cache_pins_get(c->pins, &sum);
    el_fail(&p->err, EL_EFULL, 0,
            "%llu bytes more would be pinned; %llu are, and no more than %llu may be",
            (unsigned long long)length, (unsigned long long)sum.bytes,
            (unsigned long long)sum.limit_bytes);
}

static void pin_one(struct cache_object *o, bool is_pinned, struct cache_pin *p)
{
    if (o->is_whole_only) {
        if (is_pinned)
            el_fail(&p->err, EL_EUNSUPPORTED, 0,
                    "it has no strong validator, so it is only kept in memory, and as a whole");
        return;
    }
    if (!is_pinned)
        cache_object_unpin(o);
    else if (!cache_object_pin(o, 0)) {
        cache_pin_refuse(p, o->cache, o->length);
        return;
    }
    cache_pin_count(p, &o->id);
}

void cache_pin_end(struct cache_pin *p)
{
    if (p->objects == 0 && p->err.code == EL_OK)
        el_fail(&p->err, EL_ENOTCACHED, 0, "nothing of this URL is cached");
    el_msgq_post(p->queue, &p->msg);
}

void cache_pin(struct cache *c, struct el_str url, bool is_pinned, struct cache_pin *p)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    size_t n = cache_lookup(c, url, found);

    p->objects = 0;
    p->err = (struct el_error){ 0 };
    for (size_t i = 0; i < n; i++) {
        pin_one(found[i], is_pinned, p);
        cache_object_unref(found[i]);
    }
    if (c->l2 != NULL)
        cache_l2_pin(c->l2, url, is_pinned, p);
    else
        cache_pin_end(p);
}

/* ---- a chunk that is to leave ---- */

void cache_drop_chunk(struct cache *c, const struct cache_object_id *id, uint64_t chunk,
                      struct cache_drop *d)
{
    struct cache_object *o = cache_find_version(c, id);
    bool may = o == NULL || cache_evict_chunk(o, chunk);

    cache_object_unref(o);
    d->err = (struct el_error){ .code = EL_OK };
    d->id = *id;
    d->chunk = chunk;
    if (!may)
        el_fail(&d->err, EL_EFORBIDDEN, 0, "the object is pinned");
    if (may && c->l2 != NULL)
        cache_l2_drop(c->l2, d);
    else
        el_msgq_post(d->queue, &d->msg);
}
