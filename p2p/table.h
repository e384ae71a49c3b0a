/* SPDX-License-Identifier: MIT */
/*
 * table: a hash table of members that are embedded in what they stand for; it owns none of them.
 * Chains, in an array that grows with them and never shrinks. Pure. Thread: one.
 */
#pragma once

#include "common/base.h"

struct p2p_table_entry {
    struct p2p_table_entry *next;
    uint64_t hash;
};

/* Zeroed, it is empty. */
struct p2p_table {
    struct p2p_table_entry **v;
    size_t slots, n;
};

void p2p_table_deinit(struct p2p_table *t); /* its members are left alone */
/* Two members may have the same hash. */
void p2p_table_add(struct p2p_table *t, struct p2p_table_entry *e, uint64_t hash);
void p2p_table_remove(struct p2p_table *t, struct p2p_table_entry *e);
/* The first member of that hash, and the one after another; NULL: there is none (any more). */
struct p2p_table_entry *p2p_table_find(const struct p2p_table *t, uint64_t hash);
struct p2p_table_entry *p2p_table_again(const struct p2p_table_entry *e);
