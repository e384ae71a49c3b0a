/* SPDX-License-Identifier: MIT */
/*
 * changes: when what is at a URL was last changed through this node, as far as it knows. Two
 * questions are answered from it: may an answer that the origin was asked for a while ago still be
 * stored (no, when the count has moved on), and may a stored one be served without asking (no, when
 * it is older than the change).
 *
 * Objects are known by their URL with the path unescaped and without the query: however it is
 * spelled, and whichever version or form of it is asked for. A prefix is that of a bucket, in
 * either style: "http://host/" or "http://host/bucket/".
 *
 * The table has a fixed size and is indexed by hash, so that a change may cast doubt on a stranger
 * too: he is asked about once more than necessary. Pure. Thread: any.
 */
#pragma once

#include <stdatomic.h>

#include "common/str.h"

#define PROXY_CHANGES 65536

/* Zeroed: nothing has changed. */
struct proxy_changes {
    _Atomic uint32_t all;
    _Atomic uint32_t counts[PROXY_CHANGES];
    _Atomic int64_t at_ms[PROXY_CHANGES]; /* wall clock, as the times of a meta */
};

void proxy_changes_note(struct proxy_changes *c, struct el_str url, int64_t now_ms);
void proxy_changes_note_prefix(struct proxy_changes *c, struct el_str prefix, int64_t now_ms);
/* What is stored stays as good as it is, but no answer that is on its way is stored any more. */
void proxy_changes_note_all(struct proxy_changes *c);

/* Differs from what it was before any change of the object, or of its bucket. */
uint32_t proxy_changes_count(struct proxy_changes *c, struct el_str url);
/* 0: never. */
int64_t proxy_changes_last_ms(struct proxy_changes *c, struct el_str url);
