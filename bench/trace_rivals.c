/* SPDX-License-Identifier: MIT */
/*
 * trace_rivals: what the node's policy is held against. All of them have it easier: their bytes go
 * anywhere, so nothing is lost to regions, and Belady knows the future.
 */
#include "bench/trace.h"

#define NEVER UINT32_MAX

static uint64_t capacity(const struct trace *t)
{
    return t->regions * L2_REGION_BYTES;
}

/* ---- LRU and FIFO: a list, the next to leave at its end ---- */

struct queue {
    uint32_t *next, *prev; /* of each thing; the head is at n_things */
    bool *is_in;
    uint32_t head;
    uint64_t bytes;
};

static void queue_deinit(struct queue *q)
{
    free(q->next);
    free(q->prev);
    free(q->is_in);
}

static bool queue_init(struct queue *q, uint32_t n_things)
{
    q->next = (uint32_t *)el_try_alloc(((size_t)n_things + 1) * sizeof(*q->next));
    q->prev = (uint32_t *)el_try_alloc(((size_t)n_things + 1) * sizeof(*q->prev));
    q->is_in = (bool *)el_try_alloc(n_things * sizeof(*q->is_in));
    q->head = n_things;
    q->bytes = 0;
    if (q->next == NULL || q->prev == NULL || q->is_in == NULL) {
        queue_deinit(q);
        return false;
    }
    q->next[q->head] = q->prev[q->head] = q->head;
    return true;
}

static void unlink_thing(struct queue *q, uint32_t thing)
{
    q->next[q->prev[thing]] = q->next[thing];
    q->prev[q->next[thing]] = q->prev[thing];
}

static void link_first(struct queue *q, uint32_t thing)
{
    q->next[thing] = q->next[q->head];
    q->prev[thing] = q->head;
    q->prev[q->next[thing]] = thing;
    q->next[q->head] = thing;
}

static void queue_put(const struct trace *t, struct queue *q, uint32_t thing)
{
    link_first(q, thing);
    q->is_in[thing] = true;
    q->bytes += t->bytes[thing];
    while (q->bytes > capacity(t)) {
        uint32_t last = q->prev[q->head];

        unlink_thing(q, last);
        q->is_in[last] = false;
        q->bytes -= t->bytes[last];
    }
}

static bool run_queue(const struct trace *t, bool hits_move, struct outcome *ret)
{
    struct queue q;

    if (!queue_init(&q, t->n_things))
        return false;
    for (size_t i = 0; i < t->n; i++) {
        uint32_t thing = t->asked[i];
        bool is_hit = q.is_in[thing];

        outcome_count(ret, t->bytes[thing], is_hit, !is_hit);
        if (!is_hit) {
            queue_put(t, &q, thing);
        } else if (hits_move) {
            unlink_thing(&q, thing);
            link_first(&q, thing);
        }
    }
    queue_deinit(&q);
    return true;
}

bool trace_lru(const struct trace *t, struct outcome *ret)
{
    return run_queue(t, true, ret);
}

bool trace_fifo(const struct trace *t, struct outcome *ret)
{
    return run_queue(t, false, ret);
}

/*
 * ---- Belady: what is asked for again last leaves first, the newcomer included ----
 *
 * The optimum where all are of one length; close to it where short objects take little room.
 * A heap of (when it is asked for next, thing), the farthest on top. An access pushes anew; an
 * entry is stale when the thing is not in any more or has been asked for since.
 */

struct future {
    uint32_t when, thing;
};

struct heap {
    struct future *v;
    size_t n;
};

static void sift_up(struct heap *h, size_t i)
{
    for (; i > 0 && h->v[(i - 1) / 2].when < h->v[i].when; i = (i - 1) / 2) {
        struct future f = h->v[i];

        h->v[i] = h->v[(i - 1) / 2];
        h->v[(i - 1) / 2] = f;
    }
}

static void heap_push(struct heap *h, uint32_t when, uint32_t thing)
{
    h->v[h->n] = (struct future){ .when = when, .thing = thing };
    sift_up(h, h->n++);
}

static size_t larger_child(const struct heap *h, size_t i)
{
    size_t child = 2 * i + 1;

    return child + 1 < h->n && h->v[child + 1].when > h->v[child].when ? child + 1 : child;
}

static struct future heap_pop(struct heap *h)
{
    struct future top = h->v[0], last = h->v[--h->n];
    size_t i = 0;

    while (2 * i + 1 < h->n) {
        size_t child = larger_child(h, i);

        if (h->v[child].when <= last.when)
            break;
        h->v[i] = h->v[child];
        i = child;
    }
    h->v[i] = last;
    return top;
}

struct belady {
    uint32_t *after; /* of each access: when its thing is asked for next, or NEVER */
    uint32_t *next;  /* of each thing: the same, as of its last access */
    bool *is_in;
    struct heap heap;
    uint64_t bytes;
};

static void belady_deinit(struct belady *b)
{
    free(b->after);
    free(b->next);
    free(b->is_in);
    free(b->heap.v);
}

static bool belady_init(struct belady *b, const struct trace *t)
{
    *b = (struct belady){
        .after = (uint32_t *)el_try_alloc(t->n * sizeof(*b->after)),
        .next = (uint32_t *)el_try_alloc(t->n_things * sizeof(*b->next)),
        .is_in = (bool *)el_try_alloc(t->n_things * sizeof(*b->is_in)),
        .heap.v = (struct future *)el_try_alloc(t->n * sizeof(*b->heap.v)),
    };
    if (b->after == NULL || b->next == NULL || b->is_in == NULL || b->heap.v == NULL) {
        belady_deinit(b);
        return false;
    }
    for (uint32_t i = 0; i < t->n_things; i++)
        b->next[i] = NEVER;
    for (size_t i = t->n; i-- > 0;) {
        b->after[i] = b->next[t->asked[i]];
        b->next[t->asked[i]] = (uint32_t)i;
    }
    return true;
}

/* True: the newcomer is still in when all fit. */
static bool make_room(struct belady *b, const struct trace *t, uint32_t newcomer)
{
    while (b->bytes > capacity(t)) {
        struct future f = heap_pop(&b->heap);

        if (!b->is_in[f.thing] || b->next[f.thing] != f.when)
            continue;
        b->is_in[f.thing] = false;
        b->bytes -= t->bytes[f.thing];
    }
    return b->is_in[newcomer];
}

bool trace_belady(const struct trace *t, struct outcome *ret)
{
    struct belady b;

    if (!belady_init(&b, t))
        return false;
    for (size_t i = 0; i < t->n; i++) {
        uint32_t thing = t->asked[i];
        bool is_hit = b.is_in[thing], stays = true;

        b.next[thing] = b.after[i];
        heap_push(&b.heap, b.after[i], thing);
        if (!is_hit) {
            b.is_in[thing] = true;
            b.bytes += t->bytes[thing];
            stays = make_room(&b, t, thing);
        }
        outcome_count(ret, t->bytes[thing], is_hit, !is_hit && stays);
    }
    belady_deinit(&b);
    return true;
}
