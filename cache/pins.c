/* SPDX-License-Identifier: MIT */
/* pins: see the header. A sorted array: pins are few, and change when somebody types a command. */
#include "cache/pins.h"

#include <pthread.h>

struct pin {
    struct cache_object_id id;
    uint64_t length;
    unsigned holders;
};

struct cache_pins {
    pthread_mutex_t mtx;
    struct pin *v; /* by id */
    size_t n, cap;
    uint64_t bytes, limit_bytes;
};

struct cache_pins *cache_pins_new(void)
{
    struct cache_pins *p = el_new(struct cache_pins);

    EL_ASSERT(pthread_mutex_init(&p->mtx, NULL) == 0);
    return p;
}

void cache_pins_free(struct cache_pins *p)
{
    if (p == NULL)
        return;
    EL_ASSERT(pthread_mutex_destroy(&p->mtx) == 0);
    free(p->v);
    free(p);
}

static void lock(struct cache_pins *p)
{
    EL_ASSERT(pthread_mutex_lock(&p->mtx) == 0);
}

static void unlock(struct cache_pins *p)
{
    EL_ASSERT(pthread_mutex_unlock(&p->mtx) == 0);
}

/* Its place, or where it would stand. */
static size_t place_locked(const struct cache_pins *p, const struct cache_object_id *id)
{
    size_t low = 0, high = p->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (memcmp(&p->v[middle].id, id, sizeof(*id)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at_locked(const struct cache_pins *p, size_t at, const struct cache_object_id *id)
{
    return at < p->n && memcmp(&p->v[at].id, id, sizeof(*id)) == 0;
}

static void insert_locked(struct cache_pins *p, size_t at, const struct cache_object_id *id,
                          uint64_t length)
{
    if (p->n == p->cap) {
        p->cap = p->cap == 0 ? 16 : 2 * p->cap;
        p->v = realloc(p->v, p->cap * sizeof(p->v[0]));
        EL_ASSERT(p->v != NULL);
    }
    memmove(&p->v[at + 1], &p->v[at], (p->n - at) * sizeof(p->v[0]));
    p->v[at] = (struct pin){ *id, length, 0 };
    p->n++;
    p->bytes += length;
}

static bool fits_locked(const struct cache_pins *p, uint64_t length, uint64_t spare)
{
    uint64_t bytes, limit;

    if (spare == UINT64_MAX)
        return true;
    return el_add_u64(p->bytes, length, &bytes) && el_add_u64(p->limit_bytes, spare, &limit) &&
           bytes <= limit;
}

bool cache_pins_add(struct cache_pins *p, const struct cache_object_id *id, uint64_t length,
                    uint64_t spare)
{
    bool is_pinned;
    size_t at;

    lock(p);
    at = place_locked(p, id);
    is_pinned = is_at_locked(p, at, id);
    if (!is_pinned && fits_locked(p, length, spare)) {
        insert_locked(p, at, id, length);
        is_pinned = true;
    }
    if (is_pinned)
        p->v[at].holders++;
    unlock(p);
    return is_pinned;
}

void cache_pins_drop(struct cache_pins *p, const struct cache_object_id *id)
{
    size_t at;

    lock(p);
    at = place_locked(p, id);
    EL_ASSERT(is_at_locked(p, at, id));
    if (--p->v[at].holders == 0) {
        p->bytes -= p->v[at].length;
        p->n--;
        memmove(&p->v[at], &p->v[at + 1], (p->n - at) * sizeof(p->v[0]));
    }
    unlock(p);
}

void cache_pins_set_limit(struct cache_pins *p, uint64_t bytes)
{
    lock(p);
    p->limit_bytes = bytes;
    unlock(p);
}

void cache_pins_get(struct cache_pins *p, struct cache_pins_sum *ret)
{
    lock(p);
    *ret = (struct cache_pins_sum){ p->n, p->bytes, p->limit_bytes };
    unlock(p);
}
