/* SPDX-License-Identifier: MIT */
#include "storage/retry.h"

#include "tests/lib/test.h"

static const struct store_retry_policy policy = { .tries = 8, .backoff_ms = 100 };

static void pauses_double_with_jitter_up_to_a_bound(void **state)
{
    static const uint64_t steps[] = { 100, 200, 400, 800, 1600, 3200, 5000, 5000 };
    struct store_retry r = { 0 };
    struct el_rng rng;
    uint64_t delay;

    (void)state;
    el_rng_seed(&rng, 1);
    for (size_t i = 0; i < EL_COUNT(steps); i++) {
        assert_true(store_retry_next(&r, &policy, &rng, 0, &delay));
        assert_in_range(delay, steps[i] / 2, steps[i]);
    }
    assert_false(store_retry_next(&r, &policy, &rng, 0, &delay));
}

static void progress_starts_anew(void **state)
{
    struct store_retry r = { .tries = 8 };
    struct el_rng rng;
    uint64_t delay;

    (void)state;
    el_rng_seed(&rng, 2);
    assert_false(store_retry_next(&r, &policy, &rng, 0, &delay));
    store_retry_progress(&r);
    assert_true(store_retry_next(&r, &policy, &rng, 0, &delay));
    assert_in_range(delay, 50, 100);
}

static void the_origins_wish_is_honoured_within_reason(void **state)
{
    struct store_retry r = { 0 };
    struct el_rng rng;
    uint64_t delay;

    (void)state;
    el_rng_seed(&rng, 3);
    assert_true(store_retry_next(&r, &policy, &rng, 3000, &delay));
    assert_int_equal(delay, 3000);
    assert_true(store_retry_next(&r, &policy, &rng, 3600000, &delay));
    assert_int_equal(delay, STORE_RETRY_AFTER_MAX_MS);
}

static void only_transport_failures_are_transient(void **state)
{
    (void)state;
    assert_true(store_retry_is_transient(EL_ECONNECT));
    assert_true(store_retry_is_transient(EL_ERESET));
    assert_true(store_retry_is_transient(EL_ETRUNCATED));
    assert_false(store_retry_is_transient(EL_OK));
    assert_false(store_retry_is_transient(EL_EFORBIDDEN));
    assert_false(store_retry_is_transient(EL_ECANCELED));
    assert_false(store_retry_is_transient(EL_ESHUTDOWN));
    assert_false(store_retry_is_transient(EL_ETLS));
    assert_false(store_retry_is_transient(EL_EPROTO));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_double_with_jitter_up_to_a_bound),
        cmocka_unit_test(progress_starts_anew),
        cmocka_unit_test(the_origins_wish_is_honoured_within_reason),
        cmocka_unit_test(only_transport_failures_are_transient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
