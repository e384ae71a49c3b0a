/* SPDX-License-Identifier: MIT */
/*
 * set: a compressed set of numbers below 2^32: for each node, the chunks that it has.
 *
 *   set: boxes, sorted by key = number >> 12, each of 4096 numbers
 *   box: few numbers (up to 256): the low 12 bits of each, sorted, 2 bytes each
 *        many:                    a bitmap of 512 bytes
 *
 * So a number costs 2 bytes at most, an eighth of a byte where they lie close. Thread: its owner's.
 */
#pragma once

#include "common/base.h"

struct cp_box;

struct cp_set {
    struct cp_box *boxes;
    size_t n_boxes, cap;
    uint64_t n; /* numbers */
};

void cp_set_deinit(struct cp_set *s);
/* True: it was not there. */
bool cp_set_add(struct cp_set *s, uint32_t number);
/* True: it was there. */
bool cp_set_remove(struct cp_set *s, uint32_t number);
bool cp_set_has(const struct cp_set *s, uint32_t number);

/*
 * In ascending order, 64 at a time: the first aligned group of 64 numbers at or after *base (whose
 * low 6 bits are 0) of which any is there. *ret_mask tells which; *base is moved to it. False: none
 * is left.
 */
bool cp_set_next(const struct cp_set *s, uint64_t *base, uint64_t *ret_mask);

size_t cp_set_bytes(const struct cp_set *s);
