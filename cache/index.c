/* SPDX-License-Identifier: MIT */
/*
 * index: url -> the versions that lookups find, and who is asking the origin about it. An entry
 * lives as long as it has an object or a flight. That answers for a url cannot be shared is
 * remembered apart, in a table of fixed size, since clients could name any number of such urls.
 */
#include "cache/object.h"

#define FIRST_BUCKETS 64

/* ---- entries ---- */

static struct cache_shard *shard_of(struct cache *c, uint64_t hash)
{
    return &c->shards[hash % CACHE_SHARDS];
}

/* The low bits chose the shard. */
static size_t bucket_of(const struct cache_shard *s, uint64_t hash)
{
    return (size_t)(hash / CACHE_SHARDS) & (s->n_buckets - 1);
}

static struct cache_entry *entry_find_locked(struct cache_shard *s, uint64_t hash,
                                             struct el_str url)
{
    struct cache_entry *e = s->n_buckets == 0 ? NULL : s->buckets[bucket_of(s, hash)];

    while (e != NULL && (e->hash != hash || !el_str_eq((struct el_str){ e->url, e->url_n }, url)))
        e = e->next;
    return e;
}

static void grow_locked(struct cache_shard *s)
{
    struct cache_entry **old = s->buckets;
    size_t n = s->n_buckets;

    s->n_buckets = n == 0 ? FIRST_BUCKETS : n * 2;
    s->buckets = el_alloc(s->n_buckets * sizeof(s->buckets[0]));
    for (size_t i = 0; i < n; i++) {
        while (old[i] != NULL) {
            struct cache_entry *e = old[i];
            size_t to = bucket_of(s, e->hash);

            old[i] = e->next;
            e->next = s->buckets[to];
            s->buckets[to] = e;
        }
    }
    free(old);
}

static struct cache_entry *entry_get_locked(struct cache_shard *s, uint64_t hash, struct el_str url)
{
    struct cache_entry *e = entry_find_locked(s, hash, url);
    size_t to;

    if (e != NULL)
        return e;
    if (s->n_entries >= s->n_buckets)
        grow_locked(s);
    e = el_alloc(sizeof(*e) + url.n);
    e->hash = hash;
    e->url_n = url.n;
    memcpy(e->url, url.p, url.n);
    el_list_init(&e->objects);
    el_list_init(&e->waiters);
    el_list_init(&e->load_waiters);
    to = bucket_of(s, hash);
    e->next = s->buckets[to];
    s->buckets[to] = e;
    s->n_entries++;
    return e;
}

/* Frees the entry when nothing needs it. */
static void entry_put_locked(struct cache_shard *s, struct cache_entry *e)
{
    struct cache_entry **at = &s->buckets[bucket_of(s, e->hash)];

    if (e->in_flight || e->is_loading || !el_list_empty(&e->objects) || !el_list_empty(&e->waiters))
        return;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    s->n_entries--;
    free(e);
}

/* ---- lookup, publish, kill ---- */

size_t cache_lookup(struct cache *c, struct el_str url,
                    struct cache_object *ret[CACHE_MAX_VARIANTS])
{
    uint64_t hash = el_str_hash(url);
    struct cache_shard *s = shard_of(c, hash);
    struct cache_entry *e;
    struct el_list *it, *tmp;
    size_t n = 0;

    cache_shard_lock(s);
    e = entry_find_locked(s, hash, url);
    if (e != NULL) {
        EL_LIST_EACH (it, tmp, &e->objects) {
            ret[n++] = cache_object_ref(EL_ENTRY(it, struct cache_object, link));
        }
    }
    cache_shard_unlock(s);
    return n;
}

struct cache_object *cache_index_owner_locked(struct cache_shard *s,
                                              const struct cache_owner *owner, uint32_t slab)
{
    struct cache_entry *e = s->n_buckets == 0 ? NULL : s->buckets[bucket_of(s, owner->hash)];

    for (; e != NULL; e = e->next) {
        struct el_list *it, *tmp;

        if (e->hash != owner->hash)
            continue;
        EL_LIST_EACH (it, tmp, &e->objects) {
            struct cache_object *o = EL_ENTRY(it, struct cache_object, link);
            const struct cache_block *b = cache_block_find_locked(o, owner->block);

            if (b != NULL && !b->slot.is_big && b->slot.slab == slab)
                return o;
        }
    }
    return NULL;
}

static void leave_locked(struct cache_object *o)
{
    o->in_index = false;
    el_list_remove(&o->link);
    cache_ids_remove_locked(o);
}

bool cache_index_remove_locked(struct cache_object *o)
{
    struct cache_entry *e;

    o->wants_index = false;
    if (!o->in_index)
        return false;
    leave_locked(o);
    e = entry_find_locked(o->shard, o->hash, cache_object_url(o));
    entry_put_locked(o->shard, e);
    return true;
}

static bool is_same_variant(const struct cache_object *a, const struct cache_object *b)
{
    return el_str_eq(el_buf_str(&a->meta->vary_bytes), el_buf_str(&b->meta->vary_bytes));
}

bool cache_index_add_locked(struct cache_object *o, struct cache_object *ret_replaced[],
                            size_t *ret_n)
{
    struct cache_entry *e;
    struct el_list *it, *tmp;
    size_t kept = 0;

    *ret_n = 0;
    if (o->is_dead || o->in_index || o->cache->conf.memory_bytes == 0)
        return o->in_index;
    e = entry_get_locked(o->shard, o->hash, cache_object_url(o));
    EL_LIST_EACH (it, tmp, &e->objects) {
        struct cache_object *old = EL_ENTRY(it, struct cache_object, link);

        if (!is_same_variant(old, o) && ++kept < CACHE_MAX_VARIANTS)
            continue;
        if (old->is_pinned && is_same_variant(old, o) && !o->is_whole_only)
            (void)cache_object_pin_locked(o, old->length); /* one that is too long is just kept */
        leave_locked(old);
        ret_replaced[(*ret_n)++] = old;
    }
    el_list_prepend(&e->objects, &o->link);
    o->in_index = true;
    (void)cache_object_ref(o);
    cache_ids_add_locked(o);
    return true;
}

bool cache_object_publish(struct cache_object *o)
{
    struct cache_object *replaced[CACHE_MAX_VARIANTS];
    size_t n = 0;
    bool is_public, was_public;

    cache_shard_lock(o->shard);
    was_public = o->in_index;
    if (o->is_whole_only && !(o->is_kept && cache_object_is_complete_locked(o))) {
        o->wants_index = !o->is_dead && o->is_kept;
        is_public = o->wants_index;
    } else {
        is_public = cache_index_add_locked(o, replaced, &n);
    }
    cache_shard_unlock(o->shard);
    while (n > 0)
        cache_object_replaced(replaced[--n]);
    if (is_public && !was_public)
        cache_tell_published(o);
    cache_evict_step(o->cache);
    return is_public;
}

void cache_object_kill(struct cache_object *o)
{
    bool was_in_index;

    cache_shard_lock(o->shard);
    o->is_dead = true;
    was_in_index = cache_index_remove_locked(o);
    cache_shard_unlock(o->shard);
    cache_object_died(o);
    if (was_in_index)
        cache_object_unref(o);
}

size_t cache_invalidate(struct cache *c, struct el_str url)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    bool was_on_disk = c->l2 != NULL && cache_l2_forget_url(c->l2, url);
    size_t n = cache_lookup(c, url, found);

    for (size_t i = 0; i < n; i++) {
        cache_object_kill(found[i]);
        cache_object_unref(found[i]);
    }
    return n > 0 ? n : was_on_disk;
}

/* ---- many urls ---- */

#define STEP_BUCKETS 256

static void collect_locked(struct cache_entry *e, struct cache_found *found)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &e->objects) {
        if (found->n == found->cap) {
            found->cap = found->cap == 0 ? 64 : 2 * found->cap;
            found->v = realloc(found->v, found->cap * sizeof(found->v[0]));
            EL_ASSERT(found->v != NULL);
        }
        found->v[found->n++] = cache_object_ref(EL_ENTRY(it, struct cache_object, link));
    }
}

/* When the table grows between two steps an entry's place stays, or is one that comes later. */
bool cache_index_by_prefix(struct cache_shard *s, struct el_str prefix, size_t *bucket,
                           struct cache_found *found)
{
    bool has_more;
    size_t end;

    cache_shard_lock(s);
    end = el_min_size(*bucket + STEP_BUCKETS, s->n_buckets);
    for (; *bucket < end; ++*bucket) {
        for (struct cache_entry *e = s->buckets[*bucket]; e != NULL; e = e->next) {
            if (el_str_starts((struct el_str){ e->url, e->url_n }, prefix))
                collect_locked(e, found);
        }
    }
    has_more = end < s->n_buckets;
    cache_shard_unlock(s);
    return has_more;
}

/* ---- what comes from a disk ---- */

static bool has_variant_locked(struct cache_object *o)
{
    struct cache_entry *e = entry_find_locked(o->shard, o->hash, cache_object_url(o));
    struct el_list *it, *tmp;

    if (e == NULL)
        return false;
    EL_LIST_EACH (it, tmp, &e->objects) {
        if (is_same_variant(EL_ENTRY(it, struct cache_object, link), o))
            return true;
    }
    return false;
}

void cache_index_add_loaded(struct cache_object *o)
{
    struct cache_object *replaced[CACHE_MAX_VARIANTS];
    size_t n = 0;

    cache_shard_lock(o->shard);
    if (cache_l2_has_url(o->cache->l2, cache_object_url(o)) && !has_variant_locked(o))
        (void)cache_index_add_locked(o, replaced, &n);
    cache_shard_unlock(o->shard);
    while (n > 0)
        cache_object_unref(replaced[--n]); /* more variants than are kept: on disk it stays */
}

/* ---- urls that cannot be shared ---- */

/* The low bits chose the shard. Another url in the same place is forgotten early, which costs it a
 * flight. */
static struct cache_solo *solo_of(struct cache_shard *s, uint64_t hash)
{
    return &s->solos[hash / CACHE_SHARDS % CACHE_SOLOS];
}

static bool is_solo_locked(struct cache *c, struct cache_shard *s, uint64_t hash)
{
    const struct cache_solo *solo = solo_of(s, hash);

    return solo->hash == hash && solo->until_ms > el_clock_mono_ms(c->conf.clock);
}

/* ---- what others may know: the disk, the finder ---- */

/* Whether it is the finder's turn: the url may be shared, and nothing, or (stale) something, is
 * known of it. */
static bool may_ask(struct cache *c, struct el_str url, bool is_stale)
{
    uint64_t hash = el_str_hash(url);
    struct cache_shard *s = shard_of(c, hash);
    const struct cache_entry *e;
    bool may;

    if (c->conf.finder == NULL || c->conf.memory_bytes == 0)
        return false;
    cache_shard_lock(s);
    e = entry_find_locked(s, hash, url);
    may = !is_solo_locked(c, s, hash) && (is_stale || e == NULL || el_list_empty(&e->objects));
    cache_shard_unlock(s);
    return may;
}

static bool ask_finder(struct cache *c, struct el_str url, uint64_t max_age_ms)
{
    return c->conf.finder->ops->find(c->conf.finder, url, max_age_ms);
}

/* False: the origin's answer is on its way; it is waited for elsewhere. */
static bool join_load(struct cache *c, struct el_str url, bool is_on_disk, struct cache_waiter *w,
                      bool *ret_begins)
{
    uint64_t hash = el_str_hash(url);
    struct cache_shard *s = shard_of(c, hash);
    struct cache_entry *e;
    bool waits;

    cache_shard_lock(s);
    e = entry_get_locked(s, hash, url);
    waits = !e->in_flight;
    *ret_begins = waits && !e->is_loading;
    e->is_loading |= waits;
    if (*ret_begins)
        e->is_asked = !is_on_disk;
    if (waits) {
        w->url = url;
        w->by_id = false;
        w->stored = true;
        w->is_asked = e->is_asked;
        w->is_first = *ret_begins;
        el_list_append(&e->load_waiters, &w->link);
    }
    cache_shard_unlock(s);
    return waits;
}

/* Tells all who wait, but for one that knows; whether another one leads. */
static bool end_load(struct cache *c, struct el_str url, struct cache_waiter *but)
{
    uint64_t hash = el_str_hash(url);
    struct cache_shard *s = shard_of(c, hash);
    struct cache_entry *e;
    struct el_list *l;
    bool is_led = false;

    cache_shard_lock(s);
    e = entry_find_locked(s, hash, url);
    EL_ASSERT(e != NULL && e->is_loading);
    e->is_loading = false;
    while ((l = el_list_pop(&e->load_waiters)) != NULL) {
        struct cache_waiter *w = EL_ENTRY(l, struct cache_waiter, link);

        if (w == but)
            continue;
        is_led = is_led || w->leads; /* the post gives it away */
        el_msgq_post(w->queue, &w->msg);
    }
    entry_put_locked(s, e);
    cache_shard_unlock(s);
    return is_led;
}

/* Whether the finder is waited for by this one who has begun. */
static bool begin_asking(struct cache *c, struct el_str url, uint64_t max_age_ms,
                         struct cache_waiter *w)
{
    if (ask_finder(c, url, max_age_ms))
        return true;
    (void)end_load(c, url, w); /* the others look again, and find what we do */
    w->url.n = 0;
    return false;
}

bool cache_load(struct cache *c, struct el_str url, struct cache_waiter *w)
{
    bool is_on_disk = c->l2 != NULL && cache_l2_knows(c->l2, url), begins;

    if ((!is_on_disk && !may_ask(c, url, false)) || !join_load(c, url, is_on_disk, w, &begins))
        return false;
    if (!begins)
        return true;
    if (!is_on_disk)
        return begin_asking(c, url, UINT64_MAX, w);
    cache_l2_load(c->l2, url);
    return true;
}

bool cache_confirm(struct cache *c, struct el_str url, uint64_t max_age_ms, struct cache_waiter *w)
{
    bool begins;

    if (!may_ask(c, url, true) || !join_load(c, url, false, w, &begins))
        return false;
    return !begins || begin_asking(c, url, max_age_ms, w);
}

void cache_loaded(struct cache *c, struct el_str url)
{
    /* Who waits for the load goes on waiting for the finder. */
    if (!may_ask(c, url, false) || !ask_finder(c, url, UINT64_MAX))
        (void)end_load(c, url, NULL);
}

bool cache_found(struct cache *c, struct el_str url)
{
    return end_load(c, url, NULL);
}

/* ---- flights ---- */

enum cache_flight cache_flight_join(struct cache *c, struct el_str url, struct cache_waiter *w)
{
    uint64_t hash = el_str_hash(url);
    struct cache_shard *s = shard_of(c, hash);
    enum cache_flight flight = CACHE_FLIGHT_WAIT;
    struct cache_entry *e;

    cache_shard_lock(s);
    if (is_solo_locked(c, s, hash)) {
        cache_shard_unlock(s);
        return CACHE_FLIGHT_SOLO;
    }
    e = entry_get_locked(s, hash, url);
    if (!e->in_flight) {
        e->in_flight = true;
        flight = CACHE_FLIGHT_LEAD;
    } else {
        w->url = url;
        w->by_id = false;
        w->stored = false;
        el_list_append(&e->waiters, &w->link);
    }
    cache_shard_unlock(s);
    return flight;
}

void cache_flight_land(struct cache *c, struct el_str url, bool stored, uint64_t solo_ms)
{
    uint64_t hash = el_str_hash(url);
    struct cache_shard *s = shard_of(c, hash);
    struct cache_entry *e;
    struct el_list *l;

    cache_shard_lock(s);
    e = entry_find_locked(s, hash, url);
    EL_ASSERT(e != NULL && e->in_flight);
    e->in_flight = false;
    if (solo_ms > 0)
        *solo_of(s, hash) = (struct cache_solo){ hash, el_clock_mono_ms(c->conf.clock) + solo_ms };
    while ((l = el_list_pop(&e->waiters)) != NULL) {
        struct cache_waiter *w = EL_ENTRY(l, struct cache_waiter, link);

        w->stored = stored;
        el_msgq_post(w->queue, &w->msg);
    }
    entry_put_locked(s, e);
    cache_shard_unlock(s);
    if (c->conf.finder != NULL && c->conf.finder->ops->landed != NULL)
        c->conf.finder->ops->landed(c->conf.finder, url, stored);
}

void cache_flight_leave(struct cache *c, struct cache_waiter *w)
{
    struct cache_shard *s;

    /* A waiter that never waited has no url. */
    if (w->by_id) {
        cache_version_leave(c, w);
    } else if (w->url.n > 0) {
        s = shard_of(c, el_str_hash(w->url));
        cache_shard_lock(s);
        el_list_remove(&w->link);
        cache_shard_unlock(s);
    }
    el_msgq_cancel(w->queue, &w->msg);
    w->url.n = 0;
}
