/* SPDX-License-Identifier: MIT */
/*
 * sum: checksums of bytes that come one piece after another, of every kind that origins give:
 * CRCs (common/crc.h) and, over OpenSSL's EVP, hashes.
 */
#pragma once

#include "common/base.h"

/* The cheapest to compute first. */
enum el_sum_kind {
    EL_SUM_CRC64_NVME,
    EL_SUM_CRC64_XZ,
    EL_SUM_CRC32C,
    EL_SUM_CRC32,
    EL_SUM_SHA256,
    EL_SUM_SHA1,
    EL_SUM_SHA512,
    EL_SUM_MD5,
    EL_SUM_KINDS
};

#define EL_SUM_MAX_BYTES 64

size_t el_sum_bytes(enum el_sum_kind kind);
static inline bool el_sum_is_crc(enum el_sum_kind kind)
{
    return kind <= EL_SUM_CRC32;
}

struct el_sum; /* Thread: one at a time */

/* NULL where OpenSSL's configuration forbids the hash (MD5 under FIPS). */
struct el_sum *el_sum_new(enum el_sum_kind kind);
void el_sum_free(struct el_sum *s); /* NULL is fine */
void el_sum_update(struct el_sum *s, const void *bytes, size_t n);
/*
 * As if n bytes more had come and that were all; they have not, and it goes on. CRCs are written
 * with their highest byte first.
 */
void el_sum_peek(const struct el_sum *s, const void *more, size_t n, uint8_t ret[EL_SUM_MAX_BYTES]);
