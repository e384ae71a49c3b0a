/* SPDX-License-Identifier: MIT */
/*
 * str: a borrowed slice of bytes. It owns nothing, needs no terminator and may hold any byte;
 * whoever keeps one longer than a call says in whose memory it lies.
 */
#pragma once

#include "common/base.h"

struct el_str {
    const char *p; /* may be NULL when n is 0 */
    size_t n;
};

#define EL_STR(literal) ((struct el_str){ (literal), sizeof(literal) - 1 })
/* For printf: "%.*s", EL_STR_ARG(s) */
#define EL_STR_ARG(s) (int)(s).n, (s).p

struct el_str el_str_of(const char *nul_terminated); /* NULL gives the empty slice */
bool el_str_eq(struct el_str a, struct el_str b);
/* ASCII case folded. */
bool el_str_ieq(struct el_str a, struct el_str b);
bool el_str_starts(struct el_str s, struct el_str prefix);
bool el_str_istarts(struct el_str s, struct el_str prefix);
/* Without SP and HTAB at both ends (RFC 9110 OWS). */
struct el_str el_str_trim(struct el_str s);
/* Index of the byte, or s.n when it is not there. */
size_t el_str_find(struct el_str s, char byte);
/* From `from` (clamped) to the end. */
struct el_str el_str_from(struct el_str s, size_t from);
struct el_str el_str_first(struct el_str s, size_t n); /* clamped */

/*
 * Cuts *rest at the first `sep`: *ret_part is what stood before it, *rest what stands behind it.
 * False when nothing is left. "a,,b" gives "a", "", "b"; "a," gives "a", ""; "" gives one empty
 * part, a slice without bytes to point to gives none.
 */
bool el_str_split(struct el_str *rest, char sep, struct el_str *ret_part);

/* Decimal digits only, the whole slice, at most max; otherwise false and *ret is untouched. */
bool el_str_u64(struct el_str s, uint64_t max, uint64_t *ret);

/* The value of a hexadecimal digit in either case; -1: it is none. */
int el_hex_digit(char c);

/* SipHash-2-4 with a key drawn once per process: for tables whose keys come from outside. */
uint64_t el_str_hash(struct el_str s);
/* The same with a given key. */
uint64_t el_str_siphash(struct el_str s, uint64_t k0, uint64_t k1);
