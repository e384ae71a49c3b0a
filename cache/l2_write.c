/* SPDX-License-Identifier: MIT */
/*
 * l2_write: from memory to disk. A complete block is *offered*; it waits its turn, is placed,
 * written from where it stands in the arena, entered into the map, and named by the index with the
 * next commit.
 *
 *   offer() -> [waiting] -> place -> [pending: being written] -> map -> [dirty] -> commit ->
 * durable
 *
 * A fill never waits for any of this: what is offered while too much waits is not kept. A waiting
 * block holds no memory; one that left memory before its turn came is not kept either.
 */
#include "cache/l2_store.h"

#include <errno.h>

#define WRITE_MAGIC     0x4c325752u
#define HEAT_EVERY_MS   60000
#define HEAT_PUBLISH_MS 200 /* it takes a look at every region */

struct l2_write {
    uint32_t magic;
    struct el_msg msg;
    struct el_list link;
    struct l2_store *store;
    struct cache_object *object; /* referenced */
    uint64_t number;             /* of the block in the object */
    uint32_t bytes;
    struct cache_block *block; /* borrowed while it is written */
    uint32_t region, offset;
    struct el_ring_op op;
};

static uint64_t chunk_of(const struct l2_write *w)
{
    return w->number / CACHE_CHUNK_BLOCKS;
}

static unsigned bit_of(const struct l2_write *w)
{
    return w->number % CACHE_CHUNK_BLOCKS;
}

static void publish_heat(struct l2_store *s, uint64_t now)
{
    uint64_t n[3] = { 0 };

    for (uint32_t i = 0; i < l2_regions_count(s->regions); i++) {
        const struct l2_region *r = l2_region_get(s->regions, i);
        uint32_t pieces = r->is_log ? r->pieces : 1;

        if (r->pieces > 0)
            n[cache_heat_class(cache_heat_per_hour(&r->heat, now) / pieces)]++;
    }
    for (size_t i = 0; i < EL_COUNT(n); i++)
        atomic_store(&s->n_heat[i], n[i]);
}

void l2_publish_numbers(struct l2_store *s)
{
    uint64_t now = l2_now_ms();

    if (now >= s->published_ms + HEAT_PUBLISH_MS) {
        s->published_ms = now;
        publish_heat(s, now);
    }
    atomic_store(&s->limit_bytes, s->bytes);
    atomic_store(&s->n_objects, l2_map_objects(s->map));
    atomic_store(&s->n_chunks, l2_map_chunks(s->map));
    atomic_store(&s->map_bytes, l2_map_bytes(s->map));
    atomic_store(&s->n_free, l2_regions_free_count(s->regions));
    atomic_store(&s->live_bytes, l2_regions_live_bytes(s->regions));
}

/* ---- health ---- */

void l2_note_health(struct l2_store *s, enum l2_outcome outcome)
{
    if (!l2_health_note(&s->health, outcome, l2_now_ms()))
        return;
    atomic_store(&s->state, (int)s->health.state);
    el_log(s->health.state == L2_OK ? EL_INFO : EL_WARN, EV_DISK_STATE, "dir=%s state=%s", s->dir,
           l2_state_name(s->health.state));
    if (s->health.state != L2_OK)
        l2_probe_start(s);
}

/* ---- commits ---- */

static struct l2_commit *open_commit(struct l2_store *s)
{
    return &s->commits[s->open];
}

void l2_note_dirty(struct l2_store *s, const struct l2_chunk *c)
{
    struct l2_chunk_ref ref = { c->object->id, c->chunk };

    if (s->n_dirty > 0 && s->dirty[s->n_dirty - 1].chunk == ref.chunk &&
        memcmp(&s->dirty[s->n_dirty - 1].id, &ref.id, sizeof(ref.id)) == 0)
        return;
    if (s->n_dirty == s->cap_dirty) {
        s->cap_dirty = s->cap_dirty == 0 ? 64 : 2 * s->cap_dirty;
        s->dirty = realloc(s->dirty, s->cap_dirty * sizeof(s->dirty[0]));
        EL_ASSERT(s->dirty != NULL);
    }
    s->dirty[s->n_dirty++] = ref;
    l2_commit_soon(s, s->l2->conf.commit_ms);
}

void l2_note_leaving(struct l2_store *s, uint32_t region)
{
    struct l2_commit *c = open_commit(s);

    if (c->n_leaving == c->cap_leaving) {
        c->cap_leaving = c->cap_leaving == 0 ? 16 : 2 * c->cap_leaving;
        c->leaving = realloc(c->leaving, c->cap_leaving * sizeof(c->leaving[0]));
        EL_ASSERT(c->leaving != NULL);
    }
    c->leaving[c->n_leaving++] = region;
    l2_commit_soon(s, s->l2->conf.commit_ms);
}

void l2_put_object(struct l2_store *s, const struct l2_object *o, struct el_str url,
                   struct cache_meta *meta)
{
    const struct l2_object_record r = { o->id, url, meta, o->length, o->is_pinned };
    struct el_buf value;

    el_buf_init(&value);
    l2_object_encode(&r, &value);
    l2_batch_put(&open_commit(s)->batch, L2_TABLE_OBJECT,
                 (struct el_str){ (const char *)o->id.v, sizeof(o->id.v) }, el_buf_str(&value));
    el_buf_deinit(&value);
    l2_commit_soon(s, s->l2->conf.commit_ms);
}

static void put_chunk(struct l2_store *s, const struct l2_chunk_ref *ref, struct el_buf *value)
{
    struct l2_chunk *c = l2_map_chunk(s->map, &ref->id, ref->chunk);
    struct l2_chunk_record r = { .object = ref->id, .chunk = ref->chunk };
    struct l2_batch *batch = &open_commit(s)->batch;
    uint8_t key[L2_CHUNK_KEY_BYTES];
    struct el_str key_str = { (const char *)key, sizeof(key) };

    l2_chunk_key(&ref->id, ref->chunk, key);
    if (c == NULL || c->bitmap == 0) {
        l2_batch_del(batch, L2_TABLE_CHUNK, key_str);
        return;
    }
    r.bitmap = c->bitmap;
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        if ((c->bitmap >> i & 1) != 0)
            r.blocks[i] = *l2_chunk_block(c, i);
    }
    el_buf_clear(value);
    l2_chunk_encode(&r, value);
    l2_batch_put(batch, L2_TABLE_CHUNK, key_str, el_buf_str(value));
}

/* What changed is looked up now, not when it changed: only the last state counts. */
static void write_dirty(struct l2_store *s)
{
    struct el_buf value;

    el_buf_init(&value);
    for (size_t i = 0; i < s->n_dirty; i++)
        put_chunk(s, &s->dirty[i], &value);
    s->n_dirty = 0;
    el_buf_deinit(&value);
}

static bool has_changes(struct l2_store *s)
{
    return s->n_dirty > 0 || open_commit(s)->batch.n > 0 || open_commit(s)->n_leaving > 0;
}

void l2_commit_now(struct l2_store *s)
{
    struct l2_commit *other = &s->commits[1 - s->open];

    if (s->is_running || s->is_stopped)
        return;
    if (s->has_failed) { /* the same again, before anything newer */
        s->has_failed = false;
        s->is_running = true;
        l2_index_commit(s->index, &other->batch);
        return;
    }
    if (!has_changes(s))
        return;
    write_dirty(s);
    if (l2_now_ms() - s->heat_ms > HEAT_EVERY_MS) {
        s->heat_ms = l2_now_ms();
        l2_put_heat(s);
    }
    s->open = 1 - s->open;
    s->is_running = true;
    l2_index_commit(s->index, &s->commits[1 - s->open].batch);
}

static void on_commit_timer(struct el_timer *t)
{
    struct l2_store *s = EL_ENTRY(t, struct l2_store, commit_timer);

    l2_commit_now(s);
    l2_publish_numbers(s);
}

void l2_commit_soon(struct l2_store *s, uint64_t delay_ms)
{
    if (el_list_empty(&s->commit_timer.link))
        el_timer_start(el_ring_timers(s->ring), &s->commit_timer, l2_now_ms() + delay_ms);
}

/* Nothing on disk names them any more. One that is still read or written waits for the next commit.
 */
static void free_regions(struct l2_store *s, struct l2_commit *c)
{
    for (size_t i = 0; i < c->n_leaving; i++) {
        if (l2_region_get(s->regions, c->leaving[i])->busy > 0)
            l2_note_leaving(s, c->leaving[i]);
        else
            l2_region_freed(s->regions, c->leaving[i]);
    }
    c->n_leaving = 0;
}

/* Nothing is read before the first commit: what the load refused is not met again after a crash. */
static void note_ready(struct l2_store *s)
{
    int was = L2_LOADING; /* or it is being closed already */

    (void)atomic_compare_exchange_strong(&s->phase, &was, L2_READY);
}

static void on_committed(struct l2_store *s, struct l2_commit *c)
{
    s->is_running = false;
    if (c->batch.err.code != EL_OK) {
        s->has_failed = true;
        el_counter_add(s->count.write_errors, 1);
        el_log_error(EL_WARN, EV_DISK_COMMIT, &c->batch.err);
        l2_note_health(s, l2_outcome_of(c->batch.err.sys));
        l2_commit_soon(s, 10 * s->l2->conf.commit_ms);
        return;
    }
    l2_batch_clear(&c->batch);
    free_regions(s, c);
    note_ready(s);
    if (has_changes(s))
        l2_commit_soon(s, s->l2->conf.commit_ms);
    l2_publish_numbers(s);
    l2_write_pump(s);
}

static void on_committed_0(struct el_msg *m)
{
    struct l2_store *s = EL_ENTRY(m, struct l2_store, commits[0].batch.msg);

    on_committed(s, &s->commits[0]);
}

static void on_committed_1(struct el_msg *m)
{
    struct l2_store *s = EL_ENTRY(m, struct l2_store, commits[1].batch.msg);

    on_committed(s, &s->commits[1]);
}

void l2_commit_init(struct l2_store *s)
{
    l2_batch_init(&s->commits[0].batch, on_committed_0);
    l2_batch_init(&s->commits[1].batch, on_committed_1);
    for (size_t i = 0; i < EL_COUNT(s->commits); i++) {
        s->commits[i].batch.queue = el_ring_queue(s->ring);
        s->commits[i].batch.sync_fd = s->fd;
    }
    el_timer_init(&s->commit_timer, on_commit_timer);
}

/* ---- the end of a write ---- */

static void free_write(struct l2_write *w)
{
    atomic_fetch_sub(&w->store->offered_bytes, w->bytes);
    cache_block_offer_over(w->object, w->number);
    cache_object_unref(w->object);
    w->magic = 0;
    free(w);
}

/* The chunk of the write, if the place that it was given is still its own. */
static struct l2_chunk *own_chunk(struct l2_write *w)
{
    struct l2_chunk *c = l2_map_chunk(w->store->map, &w->object->id, (uint32_t)chunk_of(w));
    const struct l2_block *b;

    if (c == NULL || (c->pending >> bit_of(w) & 1) == 0)
        return NULL;
    b = l2_chunk_block(c, bit_of(w));
    return b->region == w->region && b->offset == w->offset ? c : NULL;
}

static void enter(struct l2_write *w, struct l2_chunk *c)
{
    struct l2_store *s = w->store;
    uint16_t bit = (uint16_t)(1u << bit_of(w));

    c->pending &= (uint16_t)~bit;
    c->bitmap |= bit;
    l2_region_add(s->regions, w->region, w->bytes);
    l2_map_region_add(s->map, w->region, c, bit_of(w));
    if (c->object->is_pinned)
        l2_region_pin(s->regions, w->region, true);
    if (c->home == w->region && c->bitmap == UINT16_MAX)
        l2_region_close(s->regions, w->region);
    l2_note_dirty(s, c);
    cache_disk_add(w->object, chunk_of(w), bit);
    el_counter_add(s->count.written_blocks, 1);
    el_counter_add(s->count.written_bytes, w->bytes);
}

static void on_written(struct el_ring_op *op)
{
    struct l2_write *w = EL_ENTRY(op, struct l2_write, op);
    struct l2_store *s = w->store;
    struct l2_chunk *c;

    EL_ASSERT(w->magic == WRITE_MAGIC);
    s->writing_bytes -= w->bytes;
    l2_region_busy(s->regions, w->region, -1);
    cache_block_return(w->object, w->block);
    c = own_chunk(w);
    if (op->result != 0) {
        el_counter_add(s->count.write_errors, 1);
        l2_note_health(s, l2_outcome_of(-op->result));
    } else {
        l2_note_health(s, L2_GOOD);
    }
    if (c != NULL && op->result == 0)
        enter(w, c);
    else if (c != NULL)
        l2_remove_block(s, c, bit_of(w));
    free_write(w);
    l2_write_pump(s);
}

/* ---- the beginning ---- */

static bool is_full_chunk(const struct l2_write *w)
{
    return w->object->length >= (chunk_of(w) + 1) * CACHE_CHUNK_BYTES;
}

/* Where the block goes: in its chunk's own region at its own place, or in the log. */
static bool place(struct l2_write *w, struct l2_chunk *c)
{
    struct l2_store *s = w->store;
    uint64_t now = l2_now_ms();

    if (c->home == L2_NO_REGION && c->n == 0 && is_full_chunk(w))
        c->home = l2_region_take_chunk(s->regions, now);
    if (c->home != L2_NO_REGION) {
        w->region = c->home;
        w->offset = bit_of(w) * (uint32_t)CACHE_BLOCK_BYTES;
        return true;
    }
    return l2_region_take_piece(s->regions, w->bytes, now, &w->region, &w->offset);
}

/* The object and the chunk in the map, made when they are not there. */
static struct l2_chunk *chunk_for(struct l2_write *w)
{
    struct l2_store *s = w->store;
    struct l2_object *o = l2_map_object(s->map, &w->object->id);

    if (o == NULL) {
        struct el_str url = cache_object_url(w->object);
        struct cache_meta *meta = cache_object_meta(w->object);

        o = l2_map_object_get(s->map, &w->object->id, cache_url_hash(url), w->object->length);
        l2_known_add(s->known, o->url_hash);
        l2_inherit_pin(s, o, w->object);
        l2_put_object(s, o, url, meta);
        cache_meta_unref(meta);
    }
    return l2_map_chunk_get(s->map, o, (uint32_t)chunk_of(w));
}

static void submit(struct l2_write *w, struct l2_chunk *c)
{
    struct l2_store *s = w->store;
    struct l2_block *b = l2_chunk_block_add(c, bit_of(w));

    *b = (struct l2_block){ w->region, w->offset, w->bytes, w->block->digest };
    c->pending |= (uint16_t)(1u << bit_of(w));
    l2_region_busy(s->regions, w->region, 1);
    s->writing_bytes += w->bytes;
    w->op = (struct el_ring_op){
        .what = EL_RING_WRITE,
        .fd = s->fd,
        .mem = w->block->slot.mem,
        .bytes = (w->bytes + L2_ALIGN - 1) / L2_ALIGN * L2_ALIGN,
        .offset = (uint64_t)w->region * L2_REGION_BYTES + w->offset,
        .on_done = on_written,
    };
    el_ring_submit(s->ring, &w->op);
}

static bool is_there(struct l2_write *w)
{
    const struct l2_chunk *c = l2_map_chunk(w->store->map, &w->object->id, (uint32_t)chunk_of(w));

    return c != NULL && ((c->bitmap | c->pending) >> bit_of(w) & 1) != 0;
}

/* False: it is not written, and gone. */
static bool begin(struct l2_write *w)
{
    struct l2_store *s = w->store;
    struct l2_chunk *c;

    if (is_there(w))
        goto drop;
    if (!l2_make_room(s, &w->object->id, chunk_of(w))) {
        el_counter_add(s->count.dropped_unadmitted, 1);
        goto drop;
    }
    w->block = cache_block_borrow(w->object, w->number);
    if (w->block == NULL) {
        el_counter_add(s->count.dropped_behind, 1);
        goto drop;
    }
    c = chunk_for(w);
    if (place(w, c)) {
        submit(w, c);
        return true;
    }
    cache_block_return(w->object, w->block);
    el_counter_add(s->count.dropped_behind, 1);
    if (c->n == 0)
        l2_remove_block(s, c, bit_of(w)); /* the chunk goes again */
drop:
    free_write(w);
    return false;
}

void l2_write_drop_all(struct l2_store *s)
{
    struct el_list *l;

    while ((l = el_list_pop(&s->waiting)) != NULL) {
        el_counter_add(s->count.dropped_behind, 1);
        free_write(EL_ENTRY(l, struct l2_write, link));
    }
}

void l2_write_pump(struct l2_store *s)
{
    struct el_list *l;

    if (!l2_health_may_write(&s->health, l2_now_ms())) {
        l2_write_drop_all(s);
        return;
    }
    while (s->writing_bytes < s->l2->conf.write_bytes && (l = el_list_pop(&s->waiting)) != NULL)
        (void)begin(EL_ENTRY(l, struct l2_write, link)); /* counted where it was dropped */
}

static void on_offer(struct el_msg *m)
{
    struct l2_write *w = EL_ENTRY(m, struct l2_write, msg);

    EL_ASSERT(w->magic == WRITE_MAGIC);
    el_list_append(&w->store->waiting, &w->link);
    l2_write_pump(w->store);
}

/*
 * Parts of some objects are of no use, so they could not come back block by block; and of one that
 * is longer than any that is kept there is no record.
 */
static bool may_wait(struct l2_store *s, const struct cache_object *o, uint32_t bytes)
{
    if (o->is_whole_only || o->length > CACHE_MAX_LENGTH || atomic_load(&s->phase) != L2_READY)
        return false;
    if (atomic_fetch_add(&s->offered_bytes, bytes) < s->l2->waiting_bytes)
        return true;
    atomic_fetch_sub(&s->offered_bytes, bytes);
    el_counter_add(s->count.dropped_behind, 1);
    return false;
}

void cache_l2_offer(struct cache_l2 *l2, struct cache_object *o, uint64_t block)
{
    struct l2_store *s;
    struct l2_write *w;
    uint32_t bytes;

    s = l2_store_of(l2, &o->id, block / CACHE_CHUNK_BLOCKS);
    bytes = cache_block_bytes(o, block);
    if (!may_wait(s, o, bytes)) {
        cache_block_offer_over(o, block);
        return;
    }
    w = el_new(struct l2_write);
    w->magic = WRITE_MAGIC;
    w->store = s;
    w->object = cache_object_ref(o);
    w->number = block;
    w->bytes = bytes;
    el_list_init(&w->link);
    el_msg_init(&w->msg, on_offer);
    el_ring_post(s->ring, &w->msg);
}
