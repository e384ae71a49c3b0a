/* SPDX-License-Identifier: MIT */
/* l2_known: see the header. Open addressing with linear probing; removal moves later entries up. */
#include "cache/l2_known.h"

#include <pthread.h>

#define FIRST_SLOTS 1024

struct slot {
    uint64_t hash;
    uint64_t count; /* 0: empty */
};

struct l2_known {
    pthread_mutex_t mtx;
    struct slot *slots;
    size_t n_slots, n; /* a power of two; used */
};

struct l2_known *l2_known_new(void)
{
    struct l2_known *k = el_new(struct l2_known);

    EL_ASSERT(pthread_mutex_init(&k->mtx, NULL) == 0);
    k->n_slots = FIRST_SLOTS;
    k->slots = el_alloc(k->n_slots * sizeof(k->slots[0]));
    return k;
}

void l2_known_free(struct l2_known *k)
{
    if (k == NULL)
        return;
    EL_ASSERT(pthread_mutex_destroy(&k->mtx) == 0);
    free(k->slots);
    free(k);
}

static void lock(struct l2_known *k)
{
    EL_ASSERT(pthread_mutex_lock(&k->mtx) == 0);
}

static void unlock(struct l2_known *k)
{
    EL_ASSERT(pthread_mutex_unlock(&k->mtx) == 0);
}

/* Its slot, or the empty one where it would go. */
static size_t find_locked(const struct l2_known *k, uint64_t hash)
{
    size_t i = (size_t)hash & (k->n_slots - 1);

    while (k->slots[i].count > 0 && k->slots[i].hash != hash)
        i = (i + 1) & (k->n_slots - 1);
    return i;
}

static void grow_locked(struct l2_known *k)
{
    struct slot *old = k->slots;
    size_t n = k->n_slots;

    k->n_slots = 2 * n;
    k->slots = el_alloc(k->n_slots * sizeof(k->slots[0]));
    for (size_t i = 0; i < n; i++) {
        if (old[i].count > 0)
            k->slots[find_locked(k, old[i].hash)] = old[i];
    }
    free(old);
}

/* What follows in the same run may have been meant for the place that becomes free. */
static void remove_locked(struct l2_known *k, size_t at)
{
    size_t mask = k->n_slots - 1, hole = at;

    k->slots[hole].count = 0;
    k->n--;
    for (size_t i = (at + 1) & mask; k->slots[i].count > 0; i = (i + 1) & mask) {
        size_t home = (size_t)k->slots[i].hash & mask;

        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        k->slots[hole] = k->slots[i];
        k->slots[i].count = 0;
        hole = i;
    }
}

void l2_known_add(struct l2_known *k, uint64_t url_hash)
{
    size_t i;

    lock(k);
    if (4 * k->n >= 3 * k->n_slots)
        grow_locked(k);
    i = find_locked(k, url_hash);
    if (k->slots[i].count == 0)
        k->n++;
    k->slots[i].hash = url_hash;
    k->slots[i].count++;
    unlock(k);
}

void l2_known_drop(struct l2_known *k, uint64_t url_hash)
{
    size_t i;

    lock(k);
    i = find_locked(k, url_hash);
    if (k->slots[i].count == 1)
        remove_locked(k, i);
    else if (k->slots[i].count > 1)
        k->slots[i].count--;
    unlock(k);
}

bool l2_known_forget(struct l2_known *k, uint64_t url_hash)
{
    bool was_known;
    size_t i;

    lock(k);
    i = find_locked(k, url_hash);
    was_known = k->slots[i].count > 0;
    if (was_known)
        remove_locked(k, i);
    unlock(k);
    return was_known;
}

void l2_known_clear(struct l2_known *k)
{
    lock(k);
    memset(k->slots, 0, k->n_slots * sizeof(k->slots[0]));
    k->n = 0;
    unlock(k);
}

bool l2_known_has(struct l2_known *k, uint64_t url_hash)
{
    bool is_known;

    lock(k);
    is_known = k->slots[find_locked(k, url_hash)].count > 0;
    unlock(k);
    return is_known;
}
