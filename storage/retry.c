/* SPDX-License-Identifier: MIT */
/* retry: see the header. Pure core. */
#include "storage/retry.h"

bool store_retry_is_transient(enum el_err code)
{
    return code == EL_ECONNECT || code == EL_ERESOLVE || code == EL_ETIMEOUT || code == EL_ERESET ||
           code == EL_ETRUNCATED || code == EL_EBUSY || code == EL_EBREAKER;
}

static uint64_t step_ms(const struct store_retry_policy *policy, unsigned tries)
{
    uint64_t step = el_max_u64(policy->backoff_ms, 1);

    while (tries-- > 0 && step < STORE_RETRY_MAX_MS)
        step *= 2;
    return el_min_u64(step, STORE_RETRY_MAX_MS);
}

bool store_retry_next(struct store_retry *r, const struct store_retry_policy *policy,
                      struct el_rng *rng, uint64_t wish_ms, uint64_t *ret_delay_ms)
{
    uint64_t step = step_ms(policy, r->tries);
    uint64_t delay = step / 2 + el_rng_below(rng, step - step / 2 + 1);

    if (r->tries >= policy->tries)
        return false;
    r->tries++;
    *ret_delay_ms = el_max_u64(delay, el_min_u64(wish_ms, STORE_RETRY_AFTER_MAX_MS));
    return true;
}

void store_retry_progress(struct store_retry *r)
{
    r->tries = 0;
}
