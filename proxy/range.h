/* SPDX-License-Identifier: MIT */
/*
 * range: byte ranges (RFC 9110 section 14) and the conditions that a cache may judge (section 13.1,
 * RFC 9111 section 4.3.2). Pure.
 */
#pragma once

#include "cache/cache.h"
#include "common/fields.h"

enum proxy_range_kind {
    PROXY_RANGE_NONE,   /* no Range, another unit, or not to be understood: the whole object */
    PROXY_RANGE_BYTES,  /* bytes=first-last */
    PROXY_RANGE_OPEN,   /* bytes=first- */
    PROXY_RANGE_SUFFIX, /* bytes=-n */
    PROXY_RANGE_MULTI,  /* more than one */
};

struct proxy_range {
    enum proxy_range_kind kind;
    uint64_t first, end; /* end is one past the last byte; valid for BYTES; first also for OPEN */
    uint64_t suffix;     /* the n of SUFFIX */
};

struct proxy_content_range {
    uint64_t first, end, total;
    bool has_total; /* otherwise the total was "*" */
};

/* Positions beyond what a file can have count as past every end. */
void proxy_range_parse(struct el_fieldv request, struct proxy_range *ret);

/* Held against a length: false when no byte of it exists (416). kind is not NONE and not MULTI. */
bool proxy_range_resolve(const struct proxy_range *r, uint64_t length, uint64_t *ret_first,
                         uint64_t *ret_end);
/* Of several ranges, what is sent: no byte twice, nothing beyond the end, in the order asked. */
#define PROXY_RANGE_PARTS 16

struct proxy_parts {
    size_t n;
    struct {
        uint64_t first, end;
    } v[PROXY_RANGE_PARTS];
};

/*
 * The ranges of a request of kind MULTI held against a length. Those that overlap, or lie so near
 * that what stands between parts would cost more than the gap, become one (RFC 9110
 * section 15.3.7.2). ret->n == 0: none exists (416). False: too many parts are left; the range is
 * to be ignored.
 */
bool proxy_range_parts(struct el_fieldv request, uint64_t length, struct proxy_parts *ret);

/*
 * Moved out to borders of `block`; a suffix stays as it is, for its beginning is not known. It ends
 * at `length` at the latest (CACHE_UNKNOWN_LENGTH: anywhere), unless it begins there: some origins
 * answer a range that reaches beyond the end with the whole object.
 */
void proxy_range_widen(const struct proxy_range *r, uint64_t block, uint64_t length,
                       struct proxy_range *ret);
bool proxy_range_is_same(const struct proxy_range *a, const struct proxy_range *b);
/* "bytes=0-99" */
void proxy_range_write(const struct proxy_range *r, struct el_buf *out);

/* "bytes a-b/n" of a 206; strictly. */
bool proxy_content_range_parse(struct el_str value, struct proxy_content_range *ret);
/* Whether a 206 with that Content-Range can be the answer to the range: it begins where it must and
 * ends no later. */
bool proxy_range_answers(const struct proxy_range *asked, const struct proxy_content_range *cr);

/* If-None-Match, or else If-Modified-Since, says that the client has this version: 304. */
bool proxy_cond_is_not_modified(struct el_fieldv request, const struct cache_meta *meta);
/* If-Range is absent or names this very version; otherwise Range is to be ignored. */
bool proxy_cond_if_range_holds(struct el_fieldv request, const struct cache_meta *meta);
