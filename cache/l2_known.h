/* SPDX-License-Identifier: MIT */
/*
 * l2_known: which urls a store has something of: asked for each miss, on the threads that serve. A
 * counted set of url hashes, 16 bytes an entry.
 * Thread: any; one leaf mutex.
 */
#pragma once

#include "common/base.h"

struct l2_known;

struct l2_known *l2_known_new(void);
void l2_known_free(struct l2_known *k); /* NULL is fine */
void l2_known_add(struct l2_known *k, uint64_t url_hash);
/* One less; harmless when it was forgotten. */
void l2_known_drop(struct l2_known *k, uint64_t url_hash);
/* Not known any more, however often it was added; whether it was. */
bool l2_known_forget(struct l2_known *k, uint64_t url_hash);
void l2_known_clear(struct l2_known *k);
bool l2_known_has(struct l2_known *k, uint64_t url_hash);
