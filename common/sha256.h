/* SPDX-License-Identifier: MIT */
/*
 * sha256: the hash of a block and the tree hash of a chunk, over OpenSSL's EVP; beside them the
 * keyed hashes of signatures, and their comparison.
 *
 * The tree hash is the public 1 MiB one of S3 Glacier (AWS documentation, "Computing Checksums"):
 * leaves are the SHA-256 of each MiB, then pairs of digests are hashed together, level by level; an
 * odd one moves up as it is.
 */
#pragma once

#include "common/str.h"

#define EL_SHA256_BYTES 32
#define EL_SHA1_BYTES   20

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
/* 64 hexadecimal digits in either case, and nothing else; otherwise false. */
bool el_digest_parse(struct el_str hex, struct el_digest *ret_digest);

/* HMAC (RFC 2104). The key may be of any length; the result may lie where the key does. */
void el_hmac_sha256(const void *key, size_t key_bytes, struct el_str message,
                    uint8_t ret[EL_SHA256_BYTES]);
/* For signatures that others have defined over SHA-1. */
void el_hmac_sha1(const void *key, size_t key_bytes, struct el_str message,
                  uint8_t ret[EL_SHA1_BYTES]);
/* Takes as long whether and wherever they differ. */
bool el_mac_is_same(const void *a, const void *b, size_t n);
