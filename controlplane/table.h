/* SPDX-License-Identifier: MIT */
/*
 * table: a hash table of objects that embed an entry, found by a key that lies in the object. Keys
 * come from outside: they are hashed with a key of this process. Thread: its owner's.
 */
#pragma once

#include "common/str.h"

struct cp_entry {
    struct cp_entry *next; /* in its bucket */
    uint64_t hash;
    struct el_str key; /* in the object around it */
};

struct cp_table {
    struct cp_entry **bucket; /* NULL: nothing was ever put in */
    size_t buckets;           /* a power of two */
    size_t n;
};

void cp_table_deinit(struct cp_table *t); /* the objects are their owner's */
struct cp_entry *cp_table_get(const struct cp_table *t, struct el_str key);
/* The next one with the same key, where several were put in; NULL: none. */
struct cp_entry *cp_table_same(const struct cp_entry *e);
/* e->key is set. */
void cp_table_put(struct cp_table *t, struct cp_entry *e);
void cp_table_remove(struct cp_table *t, struct cp_entry *e);
/* Memory of the table alone. */
size_t cp_table_bytes(const struct cp_table *t);

/*
 * Arrays that grow: room for one more of n items of `size` bytes, at least doubled when there is
 * none; aborts when memory is out, as el_buf does.
 */
void *cp_array_reserve(void *items, size_t n, size_t *cap, size_t size);
