/* SPDX-License-Identifier: MIT */
/*
 * sha256: the hash of a block and the tree hash of a chunk, over OpenSSL's EVP.
 *
 * The tree hash is the public 1 MiB one of S3 Glacier (AWS documentation, "Computing Checksums"):
 * leaves are the SHA-256 of each MiB, then pairs of digests are hashed together, level by level; an
 * odd one moves up as it is.
 */
#pragma once

#include "common/str.h"

#define EL_SHA256_BYTES 32

struct el_digest {
    uint8_t b[EL_SHA256_BYTES];
};

struct el_sha256; /* Thread: one at a time */

struct el_sha256 *el_sha256_new(void);
void el_sha256_free(struct el_sha256 *h);
void el_sha256_reset(struct el_sha256 *h);
void el_sha256_update(struct el_sha256 *h, const void *bytes, size_t n);
/* Resets for the next message. */
void el_sha256_final(struct el_sha256 *h, struct el_digest *ret_digest);

void el_sha256_of(const void *bytes, size_t n, struct el_digest *ret_digest);
/* n >= 1; `leaves` is overwritten. */
void el_sha256_tree(struct el_digest *leaves, size_t n, struct el_digest *ret_digest);
/* Lower-case hex and a NUL; `out` holds 2 * bytes + 1. */
void el_hex(const uint8_t *bytes, size_t n, char *out);
