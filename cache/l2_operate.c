/* SPDX-License-Identifier: MIT */
/*
 * l2_operate: what operators ask of the SSD tier: one store after the other, each on its ring's
 * thread, then the message.
 *
 *   visit: store 0: for each object of the url: its record -> on_object() -> store 1 ... ->
 * on_end() purge: store 0: [prefix: which urls begin so? the index, step by step] -> removed ->
 * store 1 ...
 *
 * The map knows urls by their hash only; their text is in the index, or still on its way there.
 */
#include "cache/l2_store.h"

#define VISIT_MAGIC 0x4c325654u
#define PURGE_MAGIC 0x4c325055u
#define MAX_OBJECTS 16   /* of one url in a store */
#define SCAN_STEP   1024 /* records of the index at a time */

/* ---- a visit to every object of a url ---- */

struct l2_visit {
    uint32_t magic;
    struct el_msg msg;
    struct cache_l2 *l2;
    char *url; /* owned */
    size_t store;
    struct cache_object_id ids[MAX_OBJECTS];
    size_t n, next;
    struct l2_get get;
    void (*on_object)(struct l2_visit *v, struct l2_store *s, struct l2_object *o,
                      const struct l2_object_record *r);
    void (*on_end)(struct l2_visit *v);
    struct el_error err; /* a record could not be read */
    bool is_pinned;      /* as the objects shall be */
    void *task;          /* struct cache_stat or cache_pin, borrowed */
};

static void end_visit(struct l2_visit *v)
{
    struct cache_l2 *l2 = v->l2;

    v->on_end(v);
    el_buf_deinit(&v->get.key);
    el_buf_deinit(&v->get.value);
    free(v->url);
    v->magic = 0;
    free(v);
    l2_task_end(l2);
}

/* What is on its way to the index is newer than what is there. */
static void take_newer(void *arg, struct el_str key, struct el_str value)
{
    struct l2_get *g = arg;

    if (!el_str_eq(key, el_buf_str(&g->key)))
        return;
    el_buf_clear(&g->value);
    el_buf_add_str(&g->value, value);
    g->was_found = true;
}

static void look_at_commits(struct l2_store *s, struct l2_get *g)
{
    l2_batch_each(&s->commits[1 - s->open].batch, L2_TABLE_OBJECT, take_newer, g);
    l2_batch_each(&s->commits[s->open].batch, L2_TABLE_OBJECT, take_newer, g);
}

static void visit_object(struct l2_visit *v, struct l2_store *s, struct l2_object *o)
{
    struct el_str value = el_buf_str(&v->get.value);
    struct l2_object_record r;

    if (!v->get.was_found) {
        if (v->get.err.code != EL_OK)
            v->err = v->get.err;
        return;
    }
    if (l2_object_decode(el_buf_str(&v->get.key), value, &r, &v->err) != EL_OK) {
        el_log_error(EL_WARN, EV_DISK_MISMATCH, &v->err);
        l2_remove_object(s, o);
        return;
    }
    if (el_str_eq(r.url, el_str_of(v->url)))
        v->on_object(v, s, o, &r);
    cache_meta_unref(r.meta);
}

static void next_of_visit(struct l2_visit *v)
{
    struct l2_store *s = v->l2->stores[v->store];

    if (v->next < v->n) {
        const struct cache_object_id *id = &v->ids[v->next++];

        el_buf_clear(&v->get.key);
        el_buf_add(&v->get.key, id->v, sizeof(id->v));
        v->get.queue = el_ring_queue(s->ring);
        v->get.table = L2_TABLE_OBJECT;
        l2_index_get(s->index, &v->get);
    } else if (++v->store < v->l2->n_stores) {
        el_ring_post(v->l2->stores[v->store]->ring, &v->msg);
    } else {
        end_visit(v);
    }
}

static void on_visit_got(struct el_msg *m)
{
    struct l2_visit *v = EL_ENTRY(m, struct l2_visit, get.msg);
    struct l2_store *s = v->l2->stores[v->store];
    struct l2_object *o = l2_map_object(s->map, &v->ids[v->next - 1]);

    EL_ASSERT(v->magic == VISIT_MAGIC);
    look_at_commits(s, &v->get);
    if (o != NULL) /* it may have left meanwhile */
        visit_object(v, s, o);
    next_of_visit(v);
}

static void on_visit(struct el_msg *m)
{
    struct l2_visit *v = EL_ENTRY(m, struct l2_visit, msg);
    struct l2_store *s = v->l2->stores[v->store];
    uint64_t hash = cache_url_hash(el_str_of(v->url));
    struct l2_object *o = NULL;

    EL_ASSERT(v->magic == VISIT_MAGIC);
    v->n = v->next = 0;
    while (s->is_loaded && v->n < MAX_OBJECTS && (o = l2_map_url(s->map, hash, o)) != NULL)
        v->ids[v->n++] = o->id;
    next_of_visit(v);
}

static struct l2_visit *new_visit(struct cache_l2 *l2, struct el_str url, void *task)
{
    struct l2_visit *v = el_new(struct l2_visit);

    v->magic = VISIT_MAGIC;
    v->l2 = l2;
    v->url = el_strndup(url.p, url.n);
    v->task = task;
    el_msg_init(&v->msg, on_visit);
    el_msg_init(&v->get.msg, on_visit_got);
    return v;
}

/* Takes v. */
static void start_visit(struct l2_visit *v)
{
    l2_task_begin(v->l2);
    el_ring_post(v->l2->stores[0]->ring, &v->msg);
}

/* ---- what is known ---- */

static struct cache_variant *variant_of(struct cache_stat *st, const struct l2_object_record *r)
{
    struct cache_variant *v;

    for (size_t i = 0; i < st->n; i++) {
        if (memcmp(st->v[i].id, r->id.v, sizeof(r->id.v)) == 0)
            return &st->v[i];
    }
    if (st->n == CACHE_MAX_STAT)
        return NULL;
    v = &st->v[st->n++];
    cache_variant_init(v, r->meta, r->length);
    memcpy(v->id, r->id.v, sizeof(v->id));
    return v;
}

/* Of a region of the log, where many share the heat, its mean; unless memory knows better. */
static void note_heat(struct cache_variant *v, struct l2_store *s, const struct l2_chunk *c)
{
    const struct l2_region *r = l2_region_get(s->regions, c->blocks[0].region);
    double per_hour = cache_heat_per_hour(&r->heat, l2_now_ms());

    if (!r->is_log)
        cache_variant_note_heat(v, per_hour);
    else if (!v->is_in_memory && r->pieces > 0)
        cache_variant_note_heat(v, per_hour / r->pieces);
}

static void stat_object(struct l2_visit *visit, struct l2_store *s, struct l2_object *o,
                        const struct l2_object_record *r)
{
    struct cache_variant *v = variant_of(visit->task, r);

    if (v == NULL)
        return;
    v->is_pinned |= o->is_pinned;
    for (struct l2_chunk *c = o->chunks; c != NULL; c = c->next_chunk) {
        cache_variant_note_disk(v, c->chunk, c->bitmap);
        if (c->n > 0)
            note_heat(v, s, c);
    }
}

static void end_stat(struct l2_visit *v)
{
    struct cache_stat *st = v->task;

    el_msgq_post(st->queue, &st->msg);
}

void cache_l2_stat(struct cache_l2 *l2, struct el_str url, struct cache_stat *st)
{
    struct l2_visit *v = new_visit(l2, url, st);

    v->on_object = stat_object;
    v->on_end = end_stat;
    start_visit(v);
}

/* ---- keeping ---- */

static void pin_regions(struct l2_store *s, struct l2_object *o, bool is_pinned)
{
    for (struct l2_chunk *c = o->chunks; c != NULL; c = c->next_chunk) {
        for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
            if ((c->bitmap >> i & 1) != 0)
                l2_region_pin(s->regions, l2_chunk_block(c, i)->region, is_pinned);
        }
    }
}

/* False: too much is pinned. */
static bool set_pinned(struct l2_store *s, struct l2_object *o, bool is_pinned)
{
    struct cache_pins *pins = s->l2->cache->pins;

    if (o->is_pinned == is_pinned)
        return true;
    if (is_pinned && !cache_pins_add(pins, &o->id, o->length, 0))
        return false;
    if (!is_pinned)
        cache_pins_drop(pins, &o->id);
    pin_regions(s, o, is_pinned);
    o->is_pinned = is_pinned;
    return true;
}

/* One that a load has just published is told as well. */
static void tell_memory(struct l2_visit *v, const struct cache_object_id *id)
{
    struct cache_object *o = cache_find_version(v->l2->cache, id);

    if (o == NULL)
        return;
    if (v->is_pinned)
        (void)cache_object_pin(o, UINT64_MAX); /* it is counted already */
    else
        cache_object_unpin(o);
    cache_object_unref(o);
}

static void pin_object(struct l2_visit *v, struct l2_store *s, struct l2_object *o,
                       const struct l2_object_record *r)
{
    struct cache_pin *p = v->task;

    if (!set_pinned(s, o, v->is_pinned)) {
        cache_pin_refuse(p, s->l2->cache, o->length);
        return;
    }
    l2_put_object(s, o, r->url, r->meta);
    tell_memory(v, &o->id);
    cache_pin_count(p, &o->id);
}

static void end_pin(struct l2_visit *v)
{
    struct cache_pin *p = v->task;

    if (p->err.code == EL_OK)
        p->err = v->err;
    cache_pin_end(p);
}

void cache_l2_pin(struct cache_l2 *l2, struct el_str url, bool is_pinned, struct cache_pin *p)
{
    struct l2_visit *v = new_visit(l2, url, p);

    v->is_pinned = is_pinned;
    v->on_object = pin_object;
    v->on_end = end_pin;
    start_visit(v);
}

void l2_inherit_pin(struct l2_store *s, struct l2_object *o, struct cache_object *from)
{
    if (!o->is_pinned && cache_object_is_pinned(from))
        o->is_pinned = cache_pins_add(s->l2->cache->pins, &o->id, o->length, UINT64_MAX);
}

void l2_restore_pin(struct l2_store *s, const struct cache_object_id *id)
{
    const struct l2_object *o = l2_map_object(s->map, id);

    if (o != NULL && o->is_pinned)
        (void)cache_pins_add(s->l2->cache->pins, id, o->length, UINT64_MAX); /* never refused */
}

void l2_drop_pin(struct l2_store *s, const struct l2_object *o)
{
    if (o->is_pinned)
        cache_pins_drop(s->l2->cache->pins, &o->id);
}

/* ---- forgetting ---- */

struct l2_match {
    struct cache_object_id id;
    char *url; /* owned */
};

struct l2_purge {
    uint32_t magic;
    struct el_msg msg;
    struct cache_l2 *l2;
    char *text; /* owned */
    bool is_prefix;
    size_t store;
    struct l2_scan scan;
    struct l2_match
        *matches; /* of a step: the index's thread finds them, the ring's removes them */
    size_t n_matches, cap_matches;
    struct cache_object_id *gone; /* owned; each as often as stores had a part of it */
    size_t n_gone, cap_gone;
    struct cache_purge *task; /* borrowed */
};

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct cache_object_id));
}

static uint64_t count_gone(struct l2_purge *p)
{
    uint64_t n = 0;

    if (p->n_gone > 1)
        qsort(p->gone, p->n_gone, sizeof(p->gone[0]), compare_ids);
    for (size_t i = 0; i < p->n_gone; i++)
        n += i == 0 || compare_ids(&p->gone[i - 1], &p->gone[i]) != 0;
    return n;
}

static void end_purge(struct l2_purge *p)
{
    struct cache_l2 *l2 = p->l2;

    p->task->objects += count_gone(p);
    cache_purge_end(p->task);
    el_buf_deinit(&p->scan.after);
    free(p->matches);
    free(p->gone);
    free(p->text);
    p->magic = 0;
    free(p);
    l2_task_end(l2);
}

static void next_of_purge(struct l2_purge *p)
{
    struct l2_store *s = p->l2->stores[p->store];

    if (s->is_loaded)
        l2_commit_soon(s, 0);
    if (++p->store < p->l2->n_stores)
        el_ring_post(p->l2->stores[p->store]->ring, &p->msg);
    else
        end_purge(p);
}

static void note_gone(struct l2_purge *p, const struct cache_object_id *id)
{
    if (p->n_gone == p->cap_gone) {
        p->cap_gone = p->cap_gone == 0 ? 64 : 2 * p->cap_gone;
        p->gone = realloc(p->gone, p->cap_gone * sizeof(p->gone[0]));
        EL_ASSERT(p->gone != NULL);
    }
    p->gone[p->n_gone++] = *id;
}

static void purge_one(struct l2_purge *p, struct l2_object *o)
{
    note_gone(p, &o->id);
    l2_forget_object(p->l2->stores[p->store], o);
}

static void purge_url(struct l2_purge *p)
{
    struct l2_store *s = p->l2->stores[p->store];
    uint64_t hash = cache_url_hash(el_str_of(p->text));
    struct l2_object *o, *next;

    for (o = l2_map_url(s->map, hash, NULL); o != NULL; o = next) {
        next = l2_map_url(s->map, hash, o);
        purge_one(p, o);
    }
}

static void collect_match(void *arg, struct el_str key, struct el_str value)
{
    struct l2_purge *p = arg;
    struct cache_object_id id;
    struct el_str url;
    uint64_t length;
    bool is_pinned;

    if (l2_object_peek(key, value, &id, &url, &length, &is_pinned, NULL) != EL_OK ||
        !el_str_starts(url, el_str_of(p->text)))
        return;
    if (p->n_matches == p->cap_matches) {
        p->cap_matches = p->cap_matches == 0 ? 64 : 2 * p->cap_matches;
        p->matches = realloc(p->matches, p->cap_matches * sizeof(p->matches[0]));
        EL_ASSERT(p->matches != NULL);
    }
    p->matches[p->n_matches++] = (struct l2_match){ id, el_strndup(url.p, url.n) };
}

static void purge_matches(struct l2_purge *p)
{
    struct l2_store *s = p->l2->stores[p->store];

    for (size_t i = 0; i < p->n_matches; i++) {
        struct l2_match *match = &p->matches[i];
        struct l2_object *o = l2_map_object(s->map, &match->id);

        if (o != NULL) /* it may have left meanwhile */
            purge_one(p, o);
        free(match->url);
    }
    p->n_matches = 0;
}

static void on_scanned(struct el_msg *m)
{
    struct l2_purge *p = EL_ENTRY(m, struct l2_purge, scan.msg);

    EL_ASSERT(p->magic == PURGE_MAGIC);
    purge_matches(p);
    if (p->scan.err.code != EL_OK)
        p->task->err = p->scan.err;
    if (p->scan.err.code != EL_OK || p->scan.is_end)
        next_of_purge(p);
    else
        l2_index_scan(p->l2->stores[p->store]->index, &p->scan);
}

/* What the index has yet to learn first: whatever it does not find there, a scan from now on does.
 */
static void purge_prefix(struct l2_purge *p)
{
    struct l2_store *s = p->l2->stores[p->store];

    for (size_t i = 0; i < EL_COUNT(s->commits); i++)
        l2_batch_each(&s->commits[i].batch, L2_TABLE_OBJECT, collect_match, p);
    purge_matches(p);
    el_buf_clear(&p->scan.after);
    p->scan.queue = el_ring_queue(s->ring);
    l2_index_scan(s->index, &p->scan);
}

static void on_purge(struct el_msg *m)
{
    struct l2_purge *p = EL_ENTRY(m, struct l2_purge, msg);
    bool is_loaded = p->l2->stores[p->store]->is_loaded;

    EL_ASSERT(p->magic == PURGE_MAGIC);
    if (is_loaded && p->is_prefix) {
        purge_prefix(p);
        return;
    }
    if (is_loaded)
        purge_url(p);
    next_of_purge(p);
}

void cache_l2_purge(struct cache_l2 *l2, struct el_str text, bool is_prefix,
                    struct cache_purge *task)
{
    struct l2_purge *p = el_new(struct l2_purge);

    p->magic = PURGE_MAGIC;
    p->l2 = l2;
    p->text = el_strndup(text.p, text.n);
    p->is_prefix = is_prefix;
    p->task = task;
    p->scan.table = L2_TABLE_OBJECT;
    p->scan.max = SCAN_STEP;
    p->scan.each = collect_match;
    p->scan.arg = p;
    el_msg_init(&p->msg, on_purge);
    el_msg_init(&p->scan.msg, on_scanned);
    l2_task_begin(l2);
    el_ring_post(l2->stores[0]->ring, &p->msg);
}

/* ---- a chunk that is to leave ---- */

struct l2_leave {
    struct el_msg msg;
    struct cache_l2 *l2;
    struct cache_drop *task; /* borrowed */
};

static void on_leave(struct el_msg *m)
{
    struct l2_leave *leave = EL_ENTRY(m, struct l2_leave, msg);
    struct cache_drop *d = leave->task;
    struct cache_l2 *l2 = leave->l2;
    struct l2_store *s = l2_store_of(l2, &d->id, d->chunk);
    struct l2_chunk *c = l2_map_chunk(s->map, &d->id, (uint32_t)d->chunk);

    if (c != NULL && c->object->is_pinned)
        el_fail(&d->err, EL_EFORBIDDEN, 0, "the object is pinned");
    else if (c != NULL)
        l2_remove_chunk(s, c);
    el_msgq_post(d->queue, &d->msg);
    free(leave);
    l2_task_end(l2);
}

void cache_l2_drop(struct cache_l2 *l2, struct cache_drop *d)
{
    struct l2_leave *leave = el_new(struct l2_leave);

    leave->l2 = l2;
    leave->task = d;
    el_msg_init(&leave->msg, on_leave);
    l2_task_begin(l2);
    el_ring_post(l2_store_of(l2, &d->id, d->chunk)->ring, &leave->msg);
}
