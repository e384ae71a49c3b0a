/* SPDX-License-Identifier: MIT */
/* table: see table.h. */
#include "p2p/table.h"

#define LEAST_SLOTS 64u

static struct p2p_table_entry **slot_of(const struct p2p_table *t, uint64_t hash)
{
    return &t->v[hash & (t->slots - 1)];
}

static void push(struct p2p_table *t, struct p2p_table_entry *e)
{
    struct p2p_table_entry **slot = slot_of(t, e->hash);

    e->next = *slot;
    *slot = e;
}

static void grow(struct p2p_table *t)
{
    struct p2p_table old = *t;

    t->slots = old.slots == 0 ? LEAST_SLOTS : 2 * old.slots;
    t->v = el_alloc(t->slots * sizeof(struct p2p_table_entry *));
    for (size_t i = 0; i < old.slots; i++) {
        struct p2p_table_entry *e, *next;

        for (e = old.v[i]; e != NULL; e = next) {
            next = e->next;
            push(t, e);
        }
    }
    free(old.v);
}

void p2p_table_deinit(struct p2p_table *t)
{
    free(t->v);
    *t = (struct p2p_table){ 0 };
}

void p2p_table_add(struct p2p_table *t, struct p2p_table_entry *e, uint64_t hash)
{
    if (t->n == t->slots)
        grow(t);
    e->hash = hash;
    push(t, e);
    t->n++;
}

void p2p_table_remove(struct p2p_table *t, struct p2p_table_entry *e)
{
    struct p2p_table_entry **at = slot_of(t, e->hash);

    while (*at != e) {
        EL_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = e->next;
    t->n--;
}

static struct p2p_table_entry *first_of(struct p2p_table_entry *e, uint64_t hash)
{
    while (e != NULL && e->hash != hash)
        e = e->next;
    return e;
}

struct p2p_table_entry *p2p_table_find(const struct p2p_table *t, uint64_t hash)
{
    return t->slots == 0 ? NULL : first_of(*slot_of(t, hash), hash);
}

struct p2p_table_entry *p2p_table_again(const struct p2p_table_entry *e)
{
    return first_of(e->next, e->hash);
}
