/* SPDX-License-Identifier: MIT */
/*
 * retry: whether a failed read is worth another attempt, and after which pause. Pure: the caller
 * brings the random source and does the waiting.
 */
#pragma once

#include "common/err.h"
#include "common/rng.h"

#define STORE_RETRY_MAX_MS 5000
/* As long as an origin may make us wait by Retry-After. */
#define STORE_RETRY_AFTER_MAX_MS 10000

struct store_retry_policy {
    unsigned tries;      /* after the first, without progress */
    uint64_t backoff_ms; /* before the first of them; doubles */
};

struct store_retry {
    unsigned tries; /* so far, since the last progress */
};

/* The connection or the host failed, not the request. */
bool store_retry_is_transient(enum el_err code);

/*
 * False: enough. Otherwise *ret_delay_ms is the pause before the next attempt: between half and the
 * whole of the step, and never less than what the origin asked for (wish_ms, clamped).
 */
bool store_retry_next(struct store_retry *r, const struct store_retry_policy *policy,
                      struct el_rng *rng, uint64_t wish_ms, uint64_t *ret_delay_ms);
/* A byte came: the count starts anew. */
void store_retry_progress(struct store_retry *r);
