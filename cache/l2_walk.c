/* SPDX-License-Identifier: MIT */
/*
 * l2_walk: all that is on disk, for telling other nodes after a start: one store after the other,
 * through its index in steps. What the index names is looked up in the map, which is the truth.
 *
 *   cache_l2_walk() -> store 0: scan a step (the index's thread) -> each() (the ring's) -> ...
 *                   -> store 1 ... -> the message
 */
#include "cache/l2_store.h"

#define WALK_MAGIC 0x4c325741u
#define STEP       1024 /* chunks at a time */

struct l2_walk {
    uint32_t magic;
    struct el_msg msg;
    struct cache_l2 *l2;
    size_t store;
    struct l2_scan scan;
    struct l2_chunk_ref refs[STEP]; /* the index's thread finds them, the ring's looks at them */
    size_t n;
    struct cache_walk *task; /* borrowed */
};

static void end_walk(struct l2_walk *w)
{
    struct cache_l2 *l2 = w->l2;

    el_msgq_post(w->task->queue, &w->task->msg);
    el_buf_deinit(&w->scan.after);
    w->magic = 0;
    free(w);
    l2_task_end(l2);
}

static void next_store(struct l2_walk *w)
{
    if (++w->store < w->l2->n_stores)
        el_ring_post(w->l2->stores[w->store]->ring, &w->msg);
    else
        end_walk(w);
}

static void collect(void *arg, struct el_str key, struct el_str value)
{
    struct l2_walk *w = arg;

    (void)value;
    EL_ASSERT(w->n < STEP);
    if (l2_chunk_key_decode(key, &w->refs[w->n].id, &w->refs[w->n].chunk))
        w->n++;
}

static void tell_found(struct l2_walk *w)
{
    struct l2_store *s = w->l2->stores[w->store];

    for (size_t i = 0; i < w->n; i++) {
        const struct l2_chunk *c = l2_map_chunk(s->map, &w->refs[i].id, w->refs[i].chunk);

        if (c != NULL && c->bitmap != 0)
            w->task->each(w->task, &c->object->id, c->object->length, c->chunk, c->bitmap);
    }
    w->n = 0;
}

static void on_scanned(struct el_msg *m)
{
    struct l2_walk *w = EL_ENTRY(m, struct l2_walk, scan.msg);

    EL_ASSERT(w->magic == WALK_MAGIC);
    tell_found(w);
    if (w->scan.err.code != EL_OK)
        w->task->err = w->scan.err;
    if (w->scan.err.code != EL_OK || w->scan.is_end)
        next_store(w);
    else
        l2_index_scan(w->l2->stores[w->store]->index, &w->scan);
}

static void on_walk(struct el_msg *m)
{
    struct l2_walk *w = EL_ENTRY(m, struct l2_walk, msg);
    struct l2_store *s = w->l2->stores[w->store];

    EL_ASSERT(w->magic == WALK_MAGIC);
    if (!s->is_loaded) {
        el_fail(&w->task->err, EL_EDISK, 0, "the cache directory could not be read");
        next_store(w);
        return;
    }
    el_buf_clear(&w->scan.after);
    w->scan.queue = el_ring_queue(s->ring);
    l2_index_scan(s->index, &w->scan);
}

void cache_l2_walk(struct cache_l2 *l2, struct cache_walk *task)
{
    struct l2_walk *w = el_new(struct l2_walk);

    w->magic = WALK_MAGIC;
    w->l2 = l2;
    w->task = task;
    w->scan.table = L2_TABLE_CHUNK;
    w->scan.max = STEP;
    w->scan.each = collect;
    w->scan.arg = w;
    el_msg_init(&w->msg, on_walk);
    el_msg_init(&w->scan.msg, on_scanned);
    l2_task_begin(l2);
    el_ring_post(l2->stores[0]->ring, &w->msg);
}
