/* SPDX-License-Identifier: MIT */
/*
 * checksum: what an origin says of the bytes of a whole object, held against the bytes that come.
 *
 *   x-amz-checksum-<kind>       S3; only of the full object, not composed of its parts'
 *   x-oss-hash-crc64ecma        OSS
 *   Repr-Digest, Content-Digest RFC 9530; sha-256 and sha-512
 *   Content-MD5                 of object stores
 *   ETag                        of S3 objects that were uploaded in one piece it is their MD5
 *
 * They say nothing of what is coded on the way, which has no length before it ends: OSS gzips so.
 * One of them is enough, and the cheapest is taken. Pure. Thread: one at a time.
 */
#pragma once

#include "common/buf.h"
#include "common/fields.h"
#include "common/sum.h"

/* Up to this length any kind is cheap. */
#define STORE_CHECKSUM_SHORT_BYTES EL_MIB

enum store_verify {
    STORE_VERIFY_NONE,
    STORE_VERIFY_CHEAP, /* of longer objects only CRCs */
    STORE_VERIFY_ALL,
};

struct store_checksum_object {
    struct el_str url;
    struct el_fieldv fields; /* of the answer that named the version */
    bool is_object_store;
    uint64_t length; /* UINT64_MAX: not known */
};

struct store_checksum {
    const char *field; /* static: where the origin said it */
    enum el_sum_kind kind;
    uint8_t said[EL_SUM_MAX_BYTES];
    struct el_sum *sum;
    uint64_t length; /* UINT64_MAX: not known */
    uint64_t at;     /* how many bytes came */
};

/* NULL: nothing was said that is worth looking at. */
struct store_checksum *store_checksum_new(const struct store_checksum_object *o,
                                          enum store_verify verify);
void store_checksum_free(struct store_checksum *c); /* NULL is fine */

void store_checksum_update(struct store_checksum *c, const void *bytes, size_t n);
/*
 * Before the next n bytes are given to anybody: false when they are the last ones and the sum is
 * not what was said. They may be asked about again.
 */
bool store_checksum_admits(const struct store_checksum *c, const void *bytes, size_t n);
/* At the end, of an object whose length only now is known, too. Bytes that are missing are another
 * matter. */
bool store_checksum_holds(const struct store_checksum *c);
/* "crc32 of x-amz-checksum-crc32: ... was said, ... came", with n bytes more. */
void store_checksum_describe(const struct store_checksum *c, const void *bytes, size_t n,
                             struct el_buf *out);
