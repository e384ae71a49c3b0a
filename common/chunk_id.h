/* SPDX-License-Identifier: MIT */
/*
 * chunk_id: the name of 16 MiB of an object version, the same on every node: the first 16 bytes of
 * the SHA-256 over the version (cache.h, cache_object_id_of) and which of its chunks it is. As text
 * it is 32 lower-case hexadecimal digits, '-', and 8 more: it holds no path and no secret, and may
 * stand in URLs, file names and logs.
 */
#pragma once

#include "common/str.h"

#define EL_CHUNK_ID_OBJECT_BYTES 16
#define EL_CHUNK_ID_CHARS        41

struct el_chunk_id {
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    uint32_t index;
};

bool el_chunk_id_eq(const struct el_chunk_id *a, const struct el_chunk_id *b);
/* And a NUL. */
void el_chunk_id_text(const struct el_chunk_id *id, char ret[EL_CHUNK_ID_CHARS + 1]);
/* The whole slice, to the letter: upper case is another name. False: *ret is untouched. */
bool el_chunk_id_parse(struct el_str s, struct el_chunk_id *ret);
/*
 * A number for sets of chunks: the sum of them, modulo 2^64, is the set's digest, which a node and
 * whoever knows its chunks compare. The first 8 bytes, big-endian, of the SHA-256 of the text.
 */
uint64_t el_chunk_id_digest(const struct el_chunk_id *id);
