/* SPDX-License-Identifier: MIT */
/*
 * answer: what an origin's answer to a request for the rest of an object is worth. It decides that
 * bytes belong to the very version that is being filled and at which offset they start; whatever is
 * not certain is refused. Pure.
 */
#pragma once

#include "common/err.h"
#include "common/fields.h"

/* The version that is wanted, and what of it was asked for. */
struct store_expect {
    uint64_t asked_first;              /* first byte of the Range that was sent; 0 without one */
    uint64_t position;                 /* first byte that is missing, >= asked_first */
    uint64_t length;                   /* of the object; UINT64_MAX: not known */
    struct el_str etag, last_modified; /* either may be empty */
    struct el_str content_encoding;    /* may be empty */
};

enum store_verdict {
    STORE_ANSWER_FITS,  /* body: *ret_skip bytes to drop, then the missing ones */
    STORE_ANSWER_RETRY, /* the origin cannot just now */
    STORE_ANSWER_BAD,   /* *err says why: EL_ECHANGED, EL_EFORBIDDEN, EL_EORIGIN or EL_EPROTO */
};

/*
 * *ret_body is how many bytes the body has to have (UINT64_MAX: not known), all of it counted.
 * Both are set when it fits.
 */
enum store_verdict store_answer_judge(const struct store_expect *expect, int status,
                                      struct el_fieldv fields, uint64_t *ret_skip,
                                      uint64_t *ret_body, struct el_error *err);

/* "bytes 0-4/10" or "bytes 0-4/" and an asterisk; *ret_end is one past the last, *ret_total
 * UINT64_MAX for it. */
bool store_content_range_parse(struct el_str value, uint64_t *ret_first, uint64_t *ret_end,
                               uint64_t *ret_total);
/* Retry-After in seconds, as milliseconds, at most `max_ms`; 0 when there is none, or a date. */
uint64_t store_retry_after_ms(struct el_fieldv fields, uint64_t max_ms);
