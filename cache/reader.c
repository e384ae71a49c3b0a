/* SPDX-License-Identifier: MIT */
/*
 * reader: Request path 3 of 7. Before: proxy/deliver.c. A byte range of one object version becomes
 * spans of the arena, in order. What is missing is waited for, or a fill (4 of 7) is started for
 * it.
 *
 * A reader holds memory only from next() to advance(). While its client is slow it holds nothing:
 * what is evicted meanwhile is fetched again.
 */
#include "cache/object.h"

/* Fills that a reader starts without its position moving, before it gives up. */
#define MAX_ATTEMPTS 3

static void set_range(struct cache_reader *r, uint64_t first, uint64_t end)
{
    r->first = r->position = first;
    r->end = end;
    r->is_waiting = r->is_due = false;
    r->attempts = 0;
    r->err = r->failure = (struct el_error){ 0 };
    r->failed = NULL;
    r->shuns_disk = false;
    r->from = 0;
    r->opened = atomic_load(&r->object->cache->moment);
}

void cache_reader_open(struct cache_reader *r, struct cache_object *o, struct cache_ticket *t,
                       uint64_t first, uint64_t end)
{
    r->object = cache_object_ref(o);
    r->ticket = t != NULL ? cache_ticket_ref(t) : NULL;
    r->pinned = r->kept = NULL;
    set_range(r, first, end);
    cache_shard_lock(o->shard);
    el_list_append(&o->readers, &r->link);
    cache_fill_unpause_and_unlock(o);
}

void cache_reader_seek(struct cache_reader *r, uint64_t first, uint64_t end)
{
    EL_ASSERT(r->pinned == NULL);
    cache_shard_lock(r->object->shard);
    set_range(r, first, end);
    cache_fill_unpause_and_unlock(r->object);
    el_msgq_cancel(r->queue, &r->msg); /* what it waited for */
}

static unsigned giver_of(const struct cache_reader *r, const struct cache_block *b)
{
    return b->done_at <= r->opened ? (unsigned)CACHE_FROM_MEMORY : b->from;
}

/* The readable run at the position. */
static bool find_span_locked(struct cache_reader *r, size_t sendfile_from, struct cache_span *ret)
{
    struct cache_object *o = r->object;
    uint64_t block = r->position / CACHE_BLOCK_BYTES;
    uint32_t off = (uint32_t)(r->position % CACHE_BLOCK_BYTES);
    struct cache_block *b = cache_block_find_locked(o, block);
    bool is_whole = b != NULL && cache_block_is_whole(o, block, b) && b->has_digest;

    if (b == NULL || off < b->lo || off >= b->hi || (r->wants_whole && !is_whole))
        return false;
    ret->digest = is_whole ? &b->digest : NULL;
    ret->mem = b->slot.mem + off;
    ret->n = (size_t)el_min_u64(b->hi - off, r->end - r->position);
    ret->fd = -1;
    ret->offset = 0;
    if (ret->n >= sendfile_from) {
        ret->fd = cache_arena_fd(o->cache->arena, &b->slot, &ret->offset);
        ret->offset += off;
        if (!b->is_exposed)
            cache_arena_expose(o->cache->arena, &b->slot);
        b->is_exposed = true;
    }
    cache_block_pin_locked(o, b);
    r->pinned = b;
    ret->from = giver_of(r, b);
    r->from |= ret->from;
    if (off == 0 || r->position == r->first)
        cache_chunk_touch_locked(o, block);
    return true;
}

/* Looked at for who gave them: as many as a lock may be held for. */
#define FORESEEN_BLOCKS 64

static unsigned givers_locked(const struct cache_reader *r)
{
    uint64_t first = r->position / CACHE_BLOCK_BYTES;
    unsigned from = 0;

    for (uint64_t i = first; i < first + FORESEEN_BLOCKS && i * CACHE_BLOCK_BYTES < r->end; i++) {
        const struct cache_block *b = cache_block_find_locked(r->object, i);

        if (b != NULL && b->hi > b->lo)
            from |= giver_of(r, b);
        else if (cache_disk_has_locked(r->object, i))
            from |= CACHE_FROM_DISK;
    }
    return from;
}

/* Where a wide source will have it from shows when it is there, or in a run of another. */
static unsigned bringers_locked(const struct cache_reader *r)
{
    struct el_list *it, *tmp;
    unsigned from = 0;

    EL_LIST_EACH (it, tmp, &r->object->fills) {
        const struct cache_fill *f = EL_ENTRY(it, struct cache_fill, link);

        if (!cache_fill_is_wide(f) &&
            el_max_u64(f->position, r->position) < el_min_u64(f->end, r->end))
            from |= f->source->ops->from;
    }
    return from;
}

unsigned cache_reader_foresee(struct cache_reader *r)
{
    unsigned from;

    cache_shard_lock(r->object->shard);
    from = givers_locked(r) | bringers_locked(r);
    cache_shard_unlock(r->object->shard);
    return from;
}

static enum cache_read fail(struct cache_reader *r, enum el_err code, const char *text)
{
    el_fail(&r->err, code, 0, "%s", text);
    return CACHE_READ_ERROR;
}

/* Whether the end of the fill that was waited for is the end of this reader too. */
static bool is_final_locked(const struct cache_reader *r)
{
    const struct cache_object *o = r->object;

    return o->is_changed || o->is_whole_only || r->ticket == NULL || r->attempts >= MAX_ATTEMPTS ||
           (r->failure.code != EL_OK && r->failed == r->ticket);
}

/* The byte is missing: wait for it, or have it fetched. */
static enum cache_read miss_locked(struct cache_reader *r, struct cache_fill **ret_new)
{
    struct cache_object *o = r->object;

    if (cache_fill_is_coming_locked(r)) {
        r->is_waiting = true;
        cache_fill_wait_for_locked(r);
        *ret_new = cache_fill_beside_locked(r);
        return CACHE_READ_WAIT;
    }
    *ret_new = cache_fill_from_disk_locked(r);
    if (*ret_new != NULL) {
        r->is_waiting = true;
        return CACHE_READ_WAIT;
    }
    if (o->is_changed)
        return fail(r, EL_ECHANGED, "the origin has another version of the object now");
    if (is_final_locked(r)) {
        if (r->failure.code == EL_OK || r->ticket == NULL)
            return fail(r, EL_ENOTCACHED, "bytes of the object are no longer in the cache");
        r->err = r->failure;
        return CACHE_READ_ERROR;
    }
    *ret_new = cache_fill_for_locked(r);
    if (*ret_new == NULL)
        return fail(r, EL_ENOTCACHED, "this request's ticket does not cover these bytes");
    r->attempts++;
    r->failure = (struct el_error){ 0 };
    r->is_waiting = true;
    return CACHE_READ_WAIT;
}

/* Once per block: the next chunk may have to be begun. */
static enum cache_read found_locked(struct cache_reader *r, struct cache_fill **ret_new)
{
    if (r->position % CACHE_BLOCK_BYTES == 0) {
        *ret_new = cache_fill_ahead_locked(r);
        if (*ret_new == NULL)
            *ret_new = cache_fill_beside_locked(r);
    }
    return CACHE_READ_DATA;
}

enum cache_read cache_reader_next(struct cache_reader *r, size_t sendfile_from,
                                  struct cache_span *ret_span)
{
    struct cache_object *o = r->object;
    struct cache_fill *fresh = NULL;
    enum cache_read read;

    EL_ASSERT(r->pinned == NULL);
    cache_shard_lock(o->shard);
    r->is_due = false;
    if (o->is_wrong)
        read = fail(r, EL_EHASH, "the bytes of the object are not what its origin says they are");
    else if (r->position >= r->end || r->position >= o->length)
        read = r->end == CACHE_UNKNOWN_LENGTH || r->position >= r->end
                   ? CACHE_READ_END
                   : fail(r, EL_ETRUNCATED, "the object is shorter than it was");
    else if (find_span_locked(r, sendfile_from, ret_span))
        read = found_locked(r, &fresh);
    else
        read = miss_locked(r, &fresh);
    if (read == CACHE_READ_WAIT)
        cache_fill_unpause_and_unlock(o); /* that somebody waits may change what comes first */
    else
        cache_shard_unlock(o->shard);
    if (fresh != NULL)
        cache_fill_start(fresh);
    return read;
}

/* Memory of an object that will not be kept is of no use behind its readers. */
static void let_go_locked(struct cache_object *o, uint64_t from, uint64_t to)
{
    if (!o->is_whole_only || o->is_kept)
        return;
    for (uint64_t b = from / CACHE_BLOCK_BYTES; b < to / CACHE_BLOCK_BYTES; b++)
        cache_object_let_go_locked(o, b);
}

void cache_reader_advance(struct cache_reader *r, size_t n)
{
    struct cache_object *o = r->object;

    EL_ASSERT(r->pinned != NULL);
    cache_shard_lock(o->shard);
    cache_block_unpin_locked(o, r->pinned);
    r->pinned = NULL;
    if (n == 0) {
        cache_shard_unlock(o->shard);
    } else {
        r->position += n;
        r->attempts = 0;
        r->failure.code = EL_OK;
        r->shuns_disk = false;
        let_go_locked(o, r->position - n, r->position);
        cache_fill_unpause_and_unlock(o);
    }
    cache_fill_feed_starved(o->cache);
}

void cache_reader_keep(struct cache_reader *r)
{
    EL_ASSERT(r->pinned != NULL && r->kept == NULL);
    cache_shard_lock(r->object->shard);
    cache_block_pin_locked(r->object, r->pinned);
    r->kept = r->pinned;
    cache_shard_unlock(r->object->shard);
}

void cache_reader_close(struct cache_reader *r)
{
    struct cache_object *o = r->object;
    struct cache *c;

    if (o == NULL)
        return;
    c = o->cache;
    cache_shard_lock(o->shard);
    if (r->pinned != NULL)
        cache_block_unpin_locked(o, r->pinned);
    if (r->kept != NULL)
        cache_block_unpin_locked(o, r->kept);
    el_list_remove(&r->link);
    r->is_waiting = r->is_due = false;
    cache_fill_unpause_and_unlock(o);
    el_msgq_cancel(r->queue, &r->msg);
    cache_fill_feed_starved(c);
    cache_ticket_unref(r->ticket);
    cache_object_unref(o);
    r->object = NULL;
    r->ticket = NULL;
    r->pinned = r->kept = NULL;
}
