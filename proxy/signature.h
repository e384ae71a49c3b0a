/* SPDX-License-Identifier: MIT */
/*
 * signature: what a request shows of its signature: the access key, and until when the signature
 * is good. Nothing is verified: that is the origin's part, or storage/sigv4.h's. AWS signature
 * versions 2 and 4 and OSS versions 1 and 4, in Authorization or in the query.
 *
 * Pure. Slices point into the request.
 */
#pragma once

#include "common/fields.h"

struct proxy_signature {
    /*
     * Exactly one signature, of a kind that is known and whose end can be told. Otherwise nothing
     * is said about it here: whoever sent it is the origin's to judge, each time.
     */
    bool is_known;
    struct el_str key_id;
    int64_t until_ms; /* wall clock: the end of its last second */
};

/* `target` as it is sent. now_ms is for dates with a year of two digits. */
void proxy_signature_read(struct el_str target, struct el_fieldv fields, int64_t now_ms,
                          struct proxy_signature *ret);
