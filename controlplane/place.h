/* SPDX-License-Identifier: MIT */
/*
 * place: how many copies of a chunk there should be, and where. A second's look takes up where the
 * last one ended, so that all chunks are met again and again; what it decides becomes commands.
 *
 *   wanted    min_copies, one more for each doubling of the heat beyond CP_HEAT_UNIT, up to
 *             max_copies; a policy for the object's name may say other figures
 *   too few   on living nodes that are not draining: replicate, to the nodes with most room, first
 * to zones that have none too many  more than max_copies, cold, and on a node whose disk is full:
 * evict there. Nobody's cache is emptied to save what is not short misplaced on a full node, while
 * another has plenty of room: migrate
 *
 * Not to and fro: what has a command under way is left alone; nothing is taken away that has been
 * asked for of late (a quarter of CP_HEAT_UNIT); a node is full at node_disk_full_pct and has
 * plenty of room 20 points below.
 *
 * Thread: cp_state's.
 */
#pragma once

#include "controlplane/state.h"

#define CP_HEAT_UNIT 4.0 /* questions for the whole, halving each CP_HEAT_HALF_MS */

/* Copies that an object should have of each chunk, as of now. */
struct cp_object;
void cp_place_wanted(const struct cp_state *s, const struct cp_object *object, uint32_t *ret_min,
                     uint32_t *ret_max, uint32_t *ret_wanted);

/* The part of cp_state_tick() that decides. */
void cp_place_tick(struct cp_state *s);
