/* SPDX-License-Identifier: MIT */
/*
 * l2_verify: blocks are hashed here, by a few threads for all stores. A disk is faster than one
 * thread hashes, and the thread of a ring that hashes gives its disk nothing to do meanwhile.
 */
#pragma once

#include "common/list.h"
#include "common/msgq.h"
#include "common/sha256.h"

struct l2_verifiers; /* Thread: any */

/* Embedded in an object of the caller's; it and its memory are borrowed until `done` was posted. */
struct l2_verify {
    const void *mem;
    size_t bytes;
    struct el_msgq *queue;
    struct el_msg done;      /* initialised by the caller; posted to `queue` */
    struct el_digest digest; /* of the bytes, once done */

    struct el_list link; /* the verifiers' */
};

enum el_err l2_verifiers_new(unsigned threads, struct l2_verifiers **ret, struct el_error *err);
/* What was given is still done. NULL is fine. */
void l2_verifiers_free(struct l2_verifiers *v);

void l2_verify_give(struct l2_verifiers *v, struct l2_verify *job);
