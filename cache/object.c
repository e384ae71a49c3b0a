/* SPDX-License-Identifier: MIT */
/* object: one version of an object in the index: its meta, its chunks, and the blocks in them. */
#include "cache/object.h"

/* ---- metas and tickets ---- */

struct cache_meta *cache_meta_new(void)
{
    struct cache_meta *m = el_new(struct cache_meta);

    atomic_init(&m->refs, 1);
    return m;
}

static void add_line(struct el_buf *out, const struct el_field *f)
{
    el_buf_add_str(out, f->name);
    el_buf_add_str(out, EL_STR(": "));
    el_buf_add_str(out, f->value);
    el_buf_add_str(out, EL_STR("\r\n"));
}

void cache_meta_finish(struct cache_meta *m)
{
    struct el_fieldv fields = el_fields_view(&m->fields);

    el_buf_clear(&m->head);
    for (size_t i = 0; i < fields.n; i++)
        add_line(&m->head, &fields.v[i]);
    /* What is not there stays empty. */
    (void)el_fieldv_get(fields, EL_STR("ETag"), &m->etag);
    (void)el_fieldv_get(fields, EL_STR("Last-Modified"), &m->last_modified);
}

struct cache_meta *cache_meta_ref(struct cache_meta *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void cache_meta_unref(struct cache_meta *m)
{
    if (m == NULL || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    el_fields_deinit(&m->fields);
    el_buf_deinit(&m->head);
    el_buf_deinit(&m->vary_bytes);
    free(m);
}

struct cache_ticket *cache_ticket_ref(struct cache_ticket *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void cache_ticket_unref(struct cache_ticket *t)
{
    if (t != NULL && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
        t->free(t);
}

/* ---- shards ---- */

void cache_shard_lock(struct cache_shard *s)
{
    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
}

void cache_shard_unlock(struct cache_shard *s)
{
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
}

/* ---- blocks ---- */

uint32_t cache_block_bytes(const struct cache_object *o, uint64_t block)
{
    uint64_t start = block * CACHE_BLOCK_BYTES;

    if (o->length == CACHE_UNKNOWN_LENGTH)
        return (uint32_t)CACHE_BLOCK_BYTES;
    EL_ASSERT(start < o->length);
    return (uint32_t)el_min_u64(CACHE_BLOCK_BYTES, o->length - start);
}

bool cache_block_is_whole(const struct cache_object *o, uint64_t block, const struct cache_block *b)
{
    return b->lo == 0 && b->filler == NULL && b->hi == cache_block_bytes(o, block);
}

static struct cache_chunk **chunk_place(struct cache_object *o, uint64_t chunk)
{
    size_t page = (size_t)(chunk / CACHE_PAGE_CHUNKS);

    EL_ASSERT(o != NULL);
    if (chunk == 0)
        return &o->first;
    if (page >= o->n_pages || o->pages[page] == NULL)
        return NULL;
    return &o->pages[page]->v[chunk % CACHE_PAGE_CHUNKS];
}

struct cache_block *cache_block_find_locked(struct cache_object *o, uint64_t block)
{
    struct cache_chunk **place = chunk_place(o, block / CACHE_CHUNK_BLOCKS);

    return place == NULL || *place == NULL ? NULL : (*place)->blocks[block % CACHE_CHUNK_BLOCKS];
}

uint64_t cache_object_next_block_locked(struct cache_object *o, uint64_t block, uint64_t end)
{
    const uint64_t page_blocks = CACHE_PAGE_CHUNKS * CACHE_CHUNK_BLOCKS;

    while (block < end) {
        struct cache_chunk **place = chunk_place(o, block / CACHE_CHUNK_BLOCKS);

        if (place == NULL && block / page_blocks >= o->n_pages)
            return end;
        if (place == NULL)
            block = (block / page_blocks + 1) * page_blocks;
        else if (*place == NULL)
            block = (block / CACHE_CHUNK_BLOCKS + 1) * CACHE_CHUNK_BLOCKS;
        else if ((*place)->blocks[block % CACHE_CHUNK_BLOCKS] == NULL)
            block++;
        else
            return block;
    }
    return end;
}

static struct cache_chunk *chunk_new_locked(struct cache_object *o, uint64_t index)
{
    struct cache_chunk *c = el_new(struct cache_chunk);

    c->object = o;
    c->index = (uint32_t)index;
    c->used_ms = el_clock_mono_ms(o->cache->conf.clock);
    el_list_prepend(&o->shard->lru, &c->lru);
    o->shard->n_chunks++;
    return c;
}

static void grow_pages(struct cache_object *o, size_t page)
{
    size_t n = o->n_pages == 0 ? 4 : o->n_pages;

    while (n <= page)
        n *= 2;
    if (n > o->n_pages) {
        o->pages = realloc(o->pages, n * sizeof(o->pages[0]));
        EL_ASSERT(o->pages != NULL);
        memset(o->pages + o->n_pages, 0, (n - o->n_pages) * sizeof(o->pages[0]));
        o->n_pages = n;
    }
    if (o->pages[page] == NULL)
        o->pages[page] = el_new(struct cache_chunk_page);
}

struct cache_chunk *cache_chunk_get_locked(struct cache_object *o, uint64_t block)
{
    uint64_t index = block / CACHE_CHUNK_BLOCKS;
    struct cache_chunk **place = chunk_place(o, index);

    if (place == NULL) {
        grow_pages(o, (size_t)(index / CACHE_PAGE_CHUNKS));
        place = chunk_place(o, index);
    }
    if (*place == NULL)
        *place = chunk_new_locked(o, index);
    return *place;
}

/* The SSD tier wants to know too. */
static void note_touch_locked(struct cache_object *o, uint64_t chunk)
{
    struct cache_shard *s = o->shard;

    if (o->cache->l2 == NULL || o->is_whole_only)
        return;
    if (s->touches == NULL)
        s->touches = el_new(struct cache_touches);
    s->touches->v[s->touches->n++] = (struct cache_touch){ o->id, chunk };
    if (s->touches->n < EL_COUNT(s->touches->v))
        return;
    cache_l2_touches(o->cache->l2, s->touches);
    s->touches = NULL;
}

void cache_chunk_touch_locked(struct cache_object *o, uint64_t block)
{
    struct cache_chunk *c = cache_chunk_get_locked(o, block);

    c->used_ms = el_clock_mono_ms(o->cache->conf.clock);
    cache_heat_touch(&c->heat, c->used_ms);
    el_list_remove(&c->lru);
    el_list_prepend(&o->shard->lru, &c->lru);
    note_touch_locked(o, block / CACHE_CHUNK_BLOCKS);
}

void cache_block_free_orphan_locked(struct cache *c, struct cache_block *b)
{
    if (b->object != NULL || b->pins > 0)
        return;
    cache_arena_free(c->arena, &b->slot);
    free(b);
}

void cache_block_pin_locked(struct cache_object *o, struct cache_block *b)
{
    if (b->pins++ == 0)
        o->shard->pinned_bytes += b->slot.bytes;
}

void cache_block_unpin_locked(struct cache_object *o, struct cache_block *b)
{
    EL_ASSERT(b->pins > 0);
    if (--b->pins > 0)
        return;
    o->shard->pinned_bytes -= b->slot.bytes;
    cache_block_free_orphan_locked(o->cache, b);
}

void cache_block_drop_locked(struct cache_object *o, uint64_t block)
{
    struct cache_chunk *c = *chunk_place(o, block / CACHE_CHUNK_BLOCKS);
    struct cache_block *b = c->blocks[block % CACHE_CHUNK_BLOCKS];

    if (cache_block_is_whole(o, block, b))
        o->whole_blocks--;
    c->blocks[block % CACHE_CHUNK_BLOCKS] = NULL;
    c->n_blocks--;
    o->blocks--;
    o->shard->n_blocks--;
    o->is_kept = false;
    o->gaps++;
    EL_ASSERT(b->filler == NULL);
    b->object = NULL;
    cache_block_free_orphan_locked(o->cache, b);
}

void cache_object_let_go_locked(struct cache_object *o, uint64_t block)
{
    struct cache_block *b = cache_block_find_locked(o, block);
    struct el_list *it, *tmp;

    if (b == NULL || b->filler != NULL || b->pins > 0)
        return;
    EL_LIST_EACH (it, tmp, &o->readers) {
        const struct cache_reader *r = EL_ENTRY(it, struct cache_reader, link);

        if (r->position < (block + 1) * CACHE_BLOCK_BYTES)
            return;
    }
    cache_block_drop_locked(o, block);
}

void cache_block_offer_over(struct cache_object *o, uint64_t block)
{
    struct cache_block *b;

    cache_shard_lock(o->shard);
    b = cache_block_find_locked(o, block);
    if (b != NULL)
        b->is_offered = false;
    cache_shard_unlock(o->shard);
}

struct cache_block *cache_block_borrow(struct cache_object *o, uint64_t block)
{
    struct cache_block *b;

    cache_shard_lock(o->shard);
    b = o->in_index ? cache_block_find_locked(o, block) : NULL;
    if (b != NULL && (!cache_block_is_whole(o, block, b) || !b->has_digest))
        b = NULL;
    if (b != NULL)
        cache_block_pin_locked(o, b);
    cache_shard_unlock(o->shard);
    return b;
}

void cache_block_return(struct cache_object *o, struct cache_block *b)
{
    cache_shard_lock(o->shard);
    cache_block_unpin_locked(o, b);
    cache_shard_unlock(o->shard);
    cache_fill_feed_starved(o->cache);
}

/* ---- what of an object is on disk ---- */

bool cache_disk_has_locked(const struct cache_object *o, uint64_t block)
{
    uint64_t chunk = block / CACHE_CHUNK_BLOCKS;

    return chunk < o->n_disk && (o->disk[chunk] >> block % CACHE_CHUNK_BLOCKS & 1) != 0;
}

uint64_t cache_disk_next_locked(const struct cache_object *o, uint64_t block, uint64_t end,
                                bool wanted)
{
    while (block < end && cache_disk_has_locked(o, block) != wanted) {
        uint64_t chunk = block / CACHE_CHUNK_BLOCKS;

        if (wanted && chunk >= o->n_disk)
            return end;
        if (wanted && o->disk[chunk] == 0)
            block = (chunk + 1) * CACHE_CHUNK_BLOCKS;
        else
            block++;
    }
    return el_min_u64(block, end);
}

/*
 * Who waits for a wide fill would wait in vain: it leaves to the disk what the disk has. That is
 * learned late where several stores have parts of an object.
 */
static void wake_for_disk_locked(struct cache_object *o, uint64_t chunk, uint16_t bits)
{
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        uint64_t start = (chunk * CACHE_CHUNK_BLOCKS + i) * CACHE_BLOCK_BYTES;

        if ((bits >> i & 1) != 0)
            cache_fill_wake_locked(o, start, start + CACHE_BLOCK_BYTES);
    }
}

void cache_disk_add(struct cache_object *o, uint64_t chunk, uint16_t bits)
{
    cache_shard_lock(o->shard);
    if (chunk >= o->n_disk) {
        size_t n = (size_t)chunk + 1 + o->n_disk / 2;

        o->disk = realloc(o->disk, n * sizeof(o->disk[0]));
        EL_ASSERT(o->disk != NULL);
        memset(o->disk + o->n_disk, 0, (n - o->n_disk) * sizeof(o->disk[0]));
        o->n_disk = n;
    }
    bits &= (uint16_t)~o->disk[chunk];
    o->disk[chunk] |= bits;
    wake_for_disk_locked(o, chunk, bits);
    cache_shard_unlock(o->shard);
}

/* Whether one of those blocks is not whole in memory. */
static bool lacks_block_locked(struct cache_object *o, uint64_t chunk, uint16_t bits)
{
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        uint64_t block = chunk * CACHE_CHUNK_BLOCKS + i;
        const struct cache_block *b = cache_block_find_locked(o, block);

        if ((bits >> i & 1) != 0 && (b == NULL || !cache_block_is_whole(o, block, b)))
            return true;
    }
    return false;
}

void cache_disk_remove(struct cache_object *o, uint64_t chunk, uint16_t bits)
{
    bool is_lost;

    cache_shard_lock(o->shard);
    bits &= chunk < o->n_disk ? o->disk[chunk] : 0;
    if (bits != 0) {
        o->disk[chunk] &= (uint16_t)~bits;
        o->gaps++;
    }
    is_lost = lacks_block_locked(o, chunk, bits);
    cache_shard_unlock(o->shard);
    if (is_lost)
        cache_tell_lost(o->cache, &o->id, chunk);
}

void cache_disk_lost(struct cache *c, const struct cache_object_id *id, uint64_t chunk,
                     uint16_t bits)
{
    struct cache_object *o = cache_find_version(c, id);

    if (o != NULL)
        cache_disk_remove(o, chunk, bits);
    else
        cache_tell_lost(c, id, chunk);
    cache_object_unref(o);
}

/* ---- pins ---- */

bool cache_object_pin_locked(struct cache_object *o, uint64_t spare)
{
    EL_ASSERT(!o->is_whole_only);
    if (o->is_pinned)
        return true;
    if (!o->has_id)
        cache_object_id_of(cache_object_url(o), o->meta, o->length, &o->id);
    o->is_pinned = cache_pins_add(o->cache->pins, &o->id, o->length, spare);
    return o->is_pinned;
}

bool cache_object_pin(struct cache_object *o, uint64_t spare)
{
    bool is_pinned;

    cache_shard_lock(o->shard);
    is_pinned = cache_object_pin_locked(o, spare);
    cache_shard_unlock(o->shard);
    return is_pinned;
}

void cache_object_unpin(struct cache_object *o)
{
    cache_shard_lock(o->shard);
    if (o->is_pinned)
        cache_pins_drop(o->cache->pins, &o->id);
    o->is_pinned = false;
    cache_shard_unlock(o->shard);
}

bool cache_object_is_pinned(struct cache_object *o)
{
    bool is_pinned;

    cache_shard_lock(o->shard);
    is_pinned = o->is_pinned;
    cache_shard_unlock(o->shard);
    return is_pinned;
}

/* ---- objects ---- */

/* malloc's own share of an object's nine or so allocations, and its place in the index. */
#define MALLOC_COST 128

/* What an object costs beside its blocks, near enough for the budget. */
static int64_t cost_of(const struct cache_object *o, const struct cache_meta *m)
{
    size_t n = sizeof(*o) + sizeof(*m) + sizeof(struct cache_chunk) + sizeof(struct cache_block) +
               sizeof(struct cache_entry) + MALLOC_COST + 2 * o->url_n + m->head.cap +
               m->vary_bytes.cap;

    for (size_t i = 0; i < m->fields.n; i++)
        n += m->fields.v[i].name.n + m->fields.v[i].value.n + 24;
    return (int64_t)(n + m->fields.cap * sizeof(m->fields.v[0]));
}

struct cache_object *cache_object_new(struct cache *c, struct el_str url, struct cache_meta *meta,
                                      uint64_t length)
{
    struct cache_object *o = el_new(struct cache_object);

    atomic_init(&o->refs, 1);
    o->cache = c;
    o->url = el_strndup(url.p, url.n);
    o->url_n = url.n;
    o->hash = el_str_hash(url);
    o->shard = &c->shards[o->hash % CACHE_SHARDS];
    o->meta = cache_meta_ref(meta);
    o->length = length;
    o->is_whole_only = !meta->has_strong_validator || length == CACHE_UNKNOWN_LENGTH;
    o->is_kept = true;
    el_list_init(&o->link);
    el_list_init(&o->fills);
    el_list_init(&o->readers);
    o->has_id = (c->l2 != NULL || c->conf.listener != NULL) && !o->is_whole_only;
    if (o->has_id)
        cache_object_id_of(url, meta, length, &o->id);
    o->charged = cost_of(o, meta);
    cache_arena_charge(c->arena, o->charged);
    cache_shard_lock(o->shard);
    o->first = chunk_new_locked(o, 0);
    o->shard->n_objects++;
    cache_shard_unlock(o->shard);
    return o;
}

struct cache_object *cache_object_ref(struct cache_object *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

static void chunk_free_locked(struct cache_object *o, struct cache_chunk *c)
{
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        if (c->blocks[i] != NULL)
            cache_block_drop_locked(o, (uint64_t)c->index * CACHE_CHUNK_BLOCKS + i);
    }
    el_list_remove(&c->lru);
    o->shard->n_chunks--;
    free(c);
}

static void chunks_free_locked(struct cache_object *o)
{
    for (size_t p = 0; p < o->n_pages; p++) {
        for (size_t i = 0; o->pages[p] != NULL && i < CACHE_PAGE_CHUNKS; i++) {
            if (o->pages[p]->v[i] != NULL)
                chunk_free_locked(o, o->pages[p]->v[i]);
        }
        free(o->pages[p]);
    }
    free(o->pages);
    chunk_free_locked(o, o->first);
}

/* The first chunk from the block's on that has something that the disk has not. */
static bool find_loss_locked(struct cache_object *o, uint64_t *block)
{
    uint64_t end = cache_blocks_of(o->length);

    while ((*block = cache_object_next_block_locked(o, *block, end)) < end) {
        const struct cache_block *b = cache_block_find_locked(o, *block);

        if (cache_block_is_whole(o, *block, b) && !cache_disk_has_locked(o, *block))
            return true;
        ++*block;
    }
    return false;
}

/* The last reference is gone, and what the object still has goes with it: it was never published,
 * or made room for other variants. That it is dead has been told. */
static void tell_losses(struct cache_object *o)
{
    uint64_t block = 0;
    bool is_one = o->has_id && !o->is_dead && o->cache->conf.listener != NULL;

    while (is_one) {
        cache_shard_lock(o->shard);
        is_one = find_loss_locked(o, &block);
        cache_shard_unlock(o->shard);
        if (is_one)
            cache_tell_lost(o->cache, &o->id, block / CACHE_CHUNK_BLOCKS);
        block = (block / CACHE_CHUNK_BLOCKS + 1) * CACHE_CHUNK_BLOCKS;
    }
}

void cache_object_unref(struct cache_object *o)
{
    struct cache *c;

    if (o == NULL || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
        return;
    EL_ASSERT(el_list_empty(&o->fills) && el_list_empty(&o->readers) && !o->in_index);
    c = o->cache;
    tell_losses(o);
    cache_object_unpin(o);
    cache_shard_lock(o->shard);
    chunks_free_locked(o);
    o->shard->n_objects--;
    cache_shard_unlock(o->shard);
    cache_arena_charge(c->arena, -o->charged);
    cache_meta_unref(o->meta);
    free(o->disk);
    free(o->url);
    free(o);
    cache_fill_feed_starved(c);
}

/* Once: what is told of its version after that may be about another object in its place. */
void cache_object_died(struct cache_object *o)
{
    bool was_told;

    cache_shard_lock(o->shard);
    was_told = o->is_told_dead;
    o->is_told_dead = true;
    cache_shard_unlock(o->shard);
    if (was_told)
        return;
    cache_object_unpin(o);
    if (o->cache->l2 != NULL)
        cache_l2_forget(o->cache->l2, o);
    cache_tell_killed(o);
}

void cache_object_replaced(struct cache_object *o)
{
    cache_object_died(o);
    cache_object_unref(o);
}

const struct cache_object_id *cache_object_id(const struct cache_object *o)
{
    return o->has_id ? &o->id : NULL;
}

struct el_str cache_object_url(const struct cache_object *o)
{
    return (struct el_str){ o->url, o->url_n };
}

uint64_t cache_object_length(struct cache_object *o)
{
    uint64_t length;

    cache_shard_lock(o->shard);
    length = o->length;
    cache_shard_unlock(o->shard);
    return length;
}

struct cache_meta *cache_object_meta(struct cache_object *o)
{
    struct cache_meta *m;

    cache_shard_lock(o->shard);
    m = cache_meta_ref(o->meta);
    cache_shard_unlock(o->shard);
    return m;
}

void cache_object_freshen(struct cache_object *o, struct cache_meta *meta)
{
    int64_t cost = cost_of(o, meta);
    struct cache_meta *old;
    bool in_index;

    cache_shard_lock(o->shard);
    in_index = o->in_index;
    old = o->meta;
    o->meta = cache_meta_ref(meta);
    cache_arena_charge(o->cache->arena, cost - o->charged);
    o->charged = cost;
    cache_shard_unlock(o->shard);
    cache_meta_unref(old);
    if (o->cache->l2 != NULL)
        cache_l2_freshen(o->cache->l2, o);
    if (in_index)
        cache_tell_published(o);
}

bool cache_object_is_complete_locked(const struct cache_object *o)
{
    return o->length != CACHE_UNKNOWN_LENGTH && o->whole_blocks == cache_blocks_of(o->length);
}

bool cache_object_is_complete(struct cache_object *o)
{
    bool is_complete;

    cache_shard_lock(o->shard);
    is_complete = cache_object_is_complete_locked(o);
    cache_shard_unlock(o->shard);
    return is_complete;
}

/* Whether the part of [first, end) that lies in the block is there. */
static bool has_part(struct cache_object *o, uint64_t block, uint64_t first, uint64_t end)
{
    const struct cache_block *b = cache_block_find_locked(o, block);
    uint64_t start = block * CACHE_BLOCK_BYTES;

    return cache_disk_has_locked(o, block) ||
           (b != NULL && start + b->lo <= el_max_u64(first, start) &&
            start + b->hi >= el_min_u64(end, start + CACHE_BLOCK_BYTES));
}

bool cache_object_has(struct cache_object *o, uint64_t first, uint64_t end)
{
    bool has;

    cache_shard_lock(o->shard);
    has = cache_object_is_complete_locked(o);
    if (!has && end <= o->length) {
        has = true;
        for (uint64_t b = first / CACHE_BLOCK_BYTES; has && b * CACHE_BLOCK_BYTES < end; b++)
            has = has_part(o, b, first, end);
    }
    cache_shard_unlock(o->shard);
    return has;
}

/* At most 64 blocks from the first one on. */
static uint64_t map_locked(struct cache_object *o, uint64_t first, size_t n)
{
    uint64_t bits = 0;

    for (uint64_t i = 0; i < n; i++) {
        const struct cache_block *b = cache_block_find_locked(o, first + i);
        bool is_there = cache_disk_has_locked(o, first + i) ||
                        (b != NULL && cache_block_is_whole(o, first + i, b));

        bits |= (uint64_t)is_there << i;
    }
    return bits;
}

/* Of a large map a part at a time, so that nobody waits for all of it. */
#define MAP_STEP 64

void cache_object_map(struct cache_object *o, uint64_t first_block, size_t n, uint64_t *ret_bits)
{
    size_t words = (n + 63) / 64;

    for (size_t at = 0; at < words; at += MAP_STEP) {
        cache_shard_lock(o->shard);
        for (size_t i = at; i < words && i < at + MAP_STEP; i++)
            ret_bits[i] = map_locked(o, first_block + 64 * i, el_min_size(64, n - 64 * i));
        cache_shard_unlock(o->shard);
    }
}

/* A fill that goes on to where nobody knows brings what there is. */
static bool brings(const struct cache_fill *f, uint64_t block)
{
    uint64_t first = block * CACHE_BLOCK_BYTES;

    return !cache_fill_is_wide(f) && f->position < first + CACHE_BLOCK_BYTES && first < f->end;
}

uint64_t cache_object_coming(struct cache_object *o, uint64_t first_block, size_t n)
{
    struct el_list *it, *tmp;
    uint64_t bits = 0;

    EL_ASSERT(n <= 64);
    cache_shard_lock(o->shard);
    EL_LIST_EACH (it, tmp, &o->fills) {
        for (size_t i = 0; i < n; i++) {
            if (brings(EL_ENTRY(it, struct cache_fill, link), first_block + i))
                bits |= (uint64_t)1 << i;
        }
    }
    bits &= ~map_locked(o, first_block, n);
    for (size_t i = 0; i < n; i++) {
        const struct cache_block *b = cache_block_find_locked(o, first_block + i);

        /* Somebody else brings it, and fills in order pass over it. */
        if (b != NULL && b->is_room)
            bits &= ~((uint64_t)1 << i);
    }
    cache_shard_unlock(o->shard);
    return bits;
}

uint32_t cache_object_came(struct cache_object *o, uint64_t block)
{
    const struct cache_block *b;
    uint32_t n;

    cache_shard_lock(o->shard);
    b = cache_block_find_locked(o, block);
    n = b == NULL ? 0 : b->hi - b->lo;
    cache_shard_unlock(o->shard);
    return n;
}

bool cache_object_digest(struct cache_object *o, uint64_t block, struct el_digest *ret)
{
    const struct cache_block *b;
    bool is_whole;

    cache_shard_lock(o->shard);
    b = cache_block_find_locked(o, block);
    is_whole = b != NULL && cache_block_is_whole(o, block, b) && b->has_digest;
    if (is_whole)
        *ret = b->digest;
    cache_shard_unlock(o->shard);
    return is_whole;
}
