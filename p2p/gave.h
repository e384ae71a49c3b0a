/* SPDX-License-Identifier: MIT */
/*
 * gave: which peers gave how much of the object versions that were fetched last; for people.
 *
 * Thread: any.
 */
#pragma once

#include "common/json.h"

struct p2p_gave;

struct p2p_gave *p2p_gave_new(void);
void p2p_gave_free(struct p2p_gave *g); /* NULL is fine */

/* It is fetched anew: what was given before does not count. */
void p2p_gave_begin(struct p2p_gave *g, const uint8_t version[16]);
/* Peers beyond the first few count for nobody. */
void p2p_gave_note(struct p2p_gave *g, const uint8_t version[16], uint64_t node, const char *name,
                   size_t bytes);
/* Adds {name, bytes} of each to the list, the most first. */
void p2p_gave_list(struct p2p_gave *g, const uint8_t version[16], json_t *list);
