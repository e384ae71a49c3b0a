/* SPDX-License-Identifier: MIT */
/* The order in which chunks leave, as plain values. */
#include "tests/lib/test.h"

#include "cache/policy.h"

#define HOUR_MS 3600000u

static const struct cache_weights weights = { .age = 1.0, .replicas = 0.5, .heat = 0.3 };

static size_t first_to_leave(const struct cache_weights *w, struct cache_candidate *v, size_t n)
{
    cache_policy_score(w, v, n);
    return cache_policy_worst(v, n);
}

static void the_oldest_leaves_first(void **state)
{
    struct cache_candidate v[] = { { .age_ms = 10 }, { .age_ms = 30 }, { .age_ms = 20 } };

    (void)state;
    assert_int_equal(first_to_leave(&weights, v, EL_COUNT(v)), 1);
}

static void heat_keeps_a_chunk_that_is_a_little_older(void **state)
{
    struct cache_candidate v[] = { { .age_ms = 100, .per_hour = 200 }, { .age_ms = 90 } };

    (void)state;
    assert_int_equal(first_to_leave(&weights, v, EL_COUNT(v)), 1);
    v[1].age_ms = 50; /* not one that is twice as old */
    assert_int_equal(first_to_leave(&weights, v, EL_COUNT(v)), 0);
}

static void what_others_have_too_leaves_before_the_last_copy(void **state)
{
    struct cache_candidate v[] = { { .age_ms = 100 }, { .age_ms = 80, .replicas = 2 } };

    (void)state;
    assert_int_equal(first_to_leave(&weights, v, EL_COUNT(v)), 1);
}

static void weights_of_zero_make_all_equal(void **state)
{
    const struct cache_weights none = { 0, 0, 0 };
    struct cache_candidate v[] = { { .age_ms = 1 }, { .age_ms = 9, .replicas = 3, .per_hour = 5 } };

    (void)state;
    assert_int_equal(first_to_leave(&none, v, EL_COUNT(v)), 0);
    assert_true(v[0].score == 0 && v[1].score == 0);
}

static void scores_lie_between_the_weights_however_large_the_values(void **state)
{
    struct cache_candidate v[] = { { .age_ms = UINT64_MAX, .replicas = UINT32_MAX },
                                   { .per_hour = 1e300 } };

    (void)state;
    cache_policy_score(&weights, v, EL_COUNT(v));
    assert_true(v[0].score > 1.49 && v[0].score < 1.51);
    assert_true(v[1].score > -0.31 && v[1].score < -0.29);
}

static void heat_is_halved_in_an_hour(void **state)
{
    struct cache_heat h = { 0 };
    double at_once;

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        cache_heat_touch(&h, 5000);
    at_once = cache_heat_per_hour(&h, 5000);
    assert_true(at_once > 44 && at_once < 45); /* 64 ln 2 */
    assert_true(cache_heat_per_hour(&h, 5000 + HOUR_MS) > at_once * 0.499);
    assert_true(cache_heat_per_hour(&h, 5000 + HOUR_MS) < at_once * 0.501);
    assert_true(cache_heat_per_hour(&h, 4000) == at_once); /* a clock that went back */
}

/* A steady rate is measured as what it is. */
static enum cache_temperature settle(unsigned per_hour)
{
    struct cache_heat h = { 0 };
    uint64_t now = 1;

    for (unsigned i = 0; i < 12 * per_hour; i++, now += HOUR_MS / per_hour)
        cache_heat_touch(&h, now);
    return cache_heat_class(cache_heat_per_hour(&h, now));
}

static void a_steady_rate_settles_in_its_class(void **state)
{
    (void)state;
    assert_int_equal(settle(8), CACHE_COLD);
    assert_int_equal(settle(13), CACHE_WARM);
    assert_int_equal(settle(90), CACHE_WARM);
    assert_int_equal(settle(110), CACHE_HOT);
}

static void the_classes_meet_at_10_and_100(void **state)
{
    (void)state;
    assert_int_equal(cache_heat_class(9.99), CACHE_COLD);
    assert_int_equal(cache_heat_class(10), CACHE_WARM);
    assert_int_equal(cache_heat_class(100), CACHE_WARM);
    assert_int_equal(cache_heat_class(100.01), CACHE_HOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_leaves_first),
        cmocka_unit_test(heat_keeps_a_chunk_that_is_a_little_older),
        cmocka_unit_test(what_others_have_too_leaves_before_the_last_copy),
        cmocka_unit_test(weights_of_zero_make_all_equal),
        cmocka_unit_test(scores_lie_between_the_weights_however_large_the_values),
        cmocka_unit_test(heat_is_halved_in_an_hour),
        cmocka_unit_test(a_steady_rate_settles_in_its_class),
        cmocka_unit_test(the_classes_meet_at_10_and_100),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
