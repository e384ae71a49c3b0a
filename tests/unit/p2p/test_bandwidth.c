/* SPDX-License-Identifier: MIT */
/* A bucket gives out exactly its rate, to the byte, whatever the rate and the moments of asking. */
#include "tests/lib/test.h"

#include "common/rng.h"
#include "p2p/bandwidth.h"

#define SECOND UINT64_C(1000000000)

/* Asks for all there is at random moments up to `end`, and then. */
static uint64_t drain_until(struct p2p_bucket *b, struct el_rng *rng, uint64_t from, uint64_t end)
{
    uint64_t now = from, given = 0;

    while (now < end) {
        now += el_rng_below(rng, 9000000) + 1;
        if (now > end)
            now = end;
        given += p2p_bucket_take(b, now, UINT32_MAX);
    }
    return given;
}

static void what_is_given_is_the_rate_to_the_byte(void **state)
{
    static const uint64_t rates[] = { 1, 7, 999, 65537, 25000000, 25000001, 1250000000 };
    struct el_rng rng;

    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        uint64_t bps = rates[seed % EL_COUNT(rates)], start = seed * 977;
        struct p2p_bucket b;
        uint64_t given;

        el_rng_seed(&rng, seed);
        p2p_bucket_init(&b, bps, start);
        assert_int_equal(p2p_bucket_take(&b, start, UINT32_MAX), b.burst);
        given = drain_until(&b, &rng, start, start + 3 * SECOND);
        assert_int_equal(given, 3 * bps);
    }
}

static void a_bucket_without_a_rate_has_no_limit(void **state)
{
    struct p2p_bucket b;

    (void)state;
    p2p_bucket_init(&b, 0, 5);
    assert_int_equal(p2p_bucket_take(&b, 5, UINT64_MAX), UINT64_MAX);
    p2p_bucket_spend(&b, 5, UINT64_MAX);
    assert_int_equal(p2p_bucket_wait_ns(&b, 5, UINT64_MAX), 0);
}

static void no_more_than_a_burst_is_saved_up(void **state)
{
    struct p2p_bucket b;

    (void)state;
    p2p_bucket_init(&b, 100 * EL_MIB, 0);
    assert_int_equal(b.burst, EL_MIB);
    assert_int_equal(p2p_bucket_take(&b, UINT64_MAX, UINT64_MAX), EL_MIB);
    assert_int_equal(p2p_bucket_take(&b, UINT64_MAX, 1), 0);
}

static void after_the_wait_the_bytes_are_there_and_not_before(void **state)
{
    struct p2p_bucket b;
    uint64_t now = 0;

    (void)state;
    p2p_bucket_init(&b, 1234567, 0);
    (void)p2p_bucket_take(&b, 0, UINT64_MAX);
    for (uint64_t want = 1; want <= b.burst; want = want * 3 + 1) {
        uint64_t wait = p2p_bucket_wait_ns(&b, now, want);
        struct p2p_bucket early = b;

        assert_true(p2p_bucket_take(&early, now + wait - 1, want) < want);
        now += wait;
        assert_int_equal(p2p_bucket_wait_ns(&b, now, want), 0);
        assert_int_equal(p2p_bucket_take(&b, now, want), want);
    }
}

static void what_went_without_asking_is_paid_first(void **state)
{
    struct p2p_bucket b;

    (void)state;
    p2p_bucket_init(&b, 1000000, 0);
    p2p_bucket_spend(&b, 0, b.burst + 500000);
    assert_int_equal(p2p_bucket_take(&b, SECOND / 2, 1), 0);
    assert_int_equal(p2p_bucket_wait_ns(&b, SECOND / 2, 1), 1000);
    assert_int_equal(p2p_bucket_take(&b, SECOND / 2 + 1000, UINT64_MAX), 1);
}

static void what_was_not_used_goes_back(void **state)
{
    struct p2p_bucket b;

    (void)state;
    p2p_bucket_init(&b, 1000, 0);
    assert_int_equal(p2p_bucket_take(&b, 0, 1000), 1000);
    p2p_bucket_give_back(&b, 300);
    assert_int_equal(p2p_bucket_take(&b, 0, UINT64_MAX), b.burst - 700);
    p2p_bucket_give_back(&b, UINT64_MAX);
    assert_int_equal(b.level, b.burst);
}

static void another_rate_holds_from_then_on(void **state)
{
    struct p2p_bucket b;

    (void)state;
    p2p_bucket_init(&b, 1000000, 0);
    (void)p2p_bucket_take(&b, 0, UINT64_MAX);
    p2p_bucket_set(&b, 10000, SECOND / 100);
    assert_int_equal(p2p_bucket_take(&b, SECOND / 100 + SECOND, UINT64_MAX), 10000 + 10000);
    p2p_bucket_set(&b, 0, 2 * SECOND);
    assert_int_equal(p2p_bucket_take(&b, 2 * SECOND, UINT64_MAX), UINT64_MAX);
    p2p_bucket_set(&b, 500, 3 * SECOND);
    assert_int_equal(p2p_bucket_take(&b, 3 * SECOND, UINT64_MAX), b.burst);
}

static void a_clock_that_stands_still_or_goes_back_gives_nothing(void **state)
{
    struct p2p_bucket b;

    (void)state;
    p2p_bucket_init(&b, 1000, SECOND);
    (void)p2p_bucket_take(&b, SECOND, UINT64_MAX);
    assert_int_equal(p2p_bucket_take(&b, SECOND, 1), 0);
    assert_int_equal(p2p_bucket_take(&b, 0, 1), 0);
    assert_int_equal(p2p_bucket_take(&b, 2 * SECOND, UINT64_MAX), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_is_the_rate_to_the_byte),
        cmocka_unit_test(a_bucket_without_a_rate_has_no_limit),
        cmocka_unit_test(no_more_than_a_burst_is_saved_up),
        cmocka_unit_test(after_the_wait_the_bytes_are_there_and_not_before),
        cmocka_unit_test(what_went_without_asking_is_paid_first),
        cmocka_unit_test(what_was_not_used_goes_back),
        cmocka_unit_test(another_rate_holds_from_then_on),
        cmocka_unit_test(a_clock_that_stands_still_or_goes_back_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
