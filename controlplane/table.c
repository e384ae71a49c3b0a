/* SPDX-License-Identifier: MIT */
/* table: see table.h. */
#include "controlplane/table.h"

#define FIRST_BUCKETS 16

static struct cp_entry **place_of(const struct cp_table *t, uint64_t hash)
{
    return &t->bucket[hash & (t->buckets - 1)];
}

void cp_table_deinit(struct cp_table *t)
{
    free(t->bucket);
    *t = (struct cp_table){ 0 };
}

struct cp_entry *cp_table_get(const struct cp_table *t, struct el_str key)
{
    uint64_t hash;

    if (t->n == 0)
        return NULL;
    hash = el_str_hash(key);
    for (struct cp_entry *e = *place_of(t, hash); e != NULL; e = e->next) {
        if (e->hash == hash && el_str_eq(e->key, key))
            return e;
    }
    return NULL;
}

struct cp_entry *cp_table_same(const struct cp_entry *e)
{
    struct cp_entry *next = e->next;

    while (next != NULL && (next->hash != e->hash || !el_str_eq(next->key, e->key)))
        next = next->next;
    return next;
}

static void grow(struct cp_table *t)
{
    struct cp_table wider = { .buckets = t->buckets == 0 ? FIRST_BUCKETS : 2 * t->buckets };

    wider.bucket = (struct cp_entry **)el_alloc(wider.buckets * sizeof(struct cp_entry *));
    for (size_t i = 0; i < t->buckets; i++) {
        for (struct cp_entry *e = t->bucket[i], *next; e != NULL; e = next) {
            struct cp_entry **place = place_of(&wider, e->hash);

            next = e->next;
            e->next = *place;
            *place = e;
        }
    }
    free(t->bucket);
    t->bucket = wider.bucket;
    t->buckets = wider.buckets;
}

void cp_table_put(struct cp_table *t, struct cp_entry *e)
{
    struct cp_entry **place;

    if (t->n == t->buckets)
        grow(t);
    e->hash = el_str_hash(e->key);
    place = place_of(t, e->hash);
    e->next = *place;
    *place = e;
    t->n++;
}

void cp_table_remove(struct cp_table *t, struct cp_entry *e)
{
    struct cp_entry **at = place_of(t, e->hash);

    while (*at != e) {
        EL_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = e->next;
    e->next = NULL;
    t->n--;
}

size_t cp_table_bytes(const struct cp_table *t)
{
    return t->buckets * sizeof(struct cp_entry *);
}

void *cp_array_reserve(void *items, size_t n, size_t *cap, size_t size)
{
    size_t more;

    if (n < *cap)
        return items;
    more = *cap == 0 ? 4 : 2 * *cap;
    items = reallocarray(items, more, size);
    EL_ASSERT(items != NULL);
    *cap = more;
    return items;
}
