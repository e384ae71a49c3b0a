/* SPDX-License-Identifier: MIT */
#include "common/rng.h"

#include "tests/lib/test.h"

/* The output of the reference xoshiro256starstar.c for the state 1, 2, 3, 4. */
static void the_generator_is_xoshiro256starstar(void **state)
{
    static const uint64_t expected[] = {
        11520u,
        0u,
        1509978240u,
        1215971899390074240u,
        1216172134540287360u,
        607988272756665600u,
        16172922978634559625u,
        8476171486693032832u,
        10595114339597558777u,
        2904607092377533576u,
    };
    struct el_rng r = { { 1, 2, 3, 4 } };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(expected); i++)
        assert_true(el_rng_u64(&r) == expected[i]);
}

/* splitmix64 of 1234567, as computed with Python's integers. */
static void the_state_is_seeded_by_splitmix64(void **state)
{
    struct el_rng r;

    (void)state;
    el_rng_seed(&r, 1234567);
    assert_true(r.s[0] == 6457827717110365317u);
    assert_true(r.s[1] == 3203168211198807973u);
    assert_true(r.s[2] == 9817491932198370423u);
    assert_true(r.s[3] == 4593380528125082431u);
}

static void the_same_seed_gives_the_same_numbers(void **state)
{
    struct el_rng a, b, other;
    bool differs = false;

    (void)state;
    el_rng_seed(&a, 42);
    el_rng_seed(&b, 42);
    el_rng_seed(&other, 43);
    for (int i = 0; i < 100; i++) {
        uint64_t v = el_rng_u64(&a);

        assert_true(v == el_rng_u64(&b));
        differs |= v != el_rng_u64(&other);
    }
    assert_true(differs);
}

static void random_seeds_differ(void **state)
{
    struct el_rng a, b;

    (void)state;
    el_rng_seed_random(&a);
    el_rng_seed_random(&b);
    assert_memory_not_equal(&a, &b, sizeof(a));
}

static void numbers_below_a_bound_are_below_it_and_all_appear(void **state)
{
    unsigned seen[7] = { 0 };
    struct el_rng r;

    (void)state;
    el_rng_seed(&r, 1);
    for (int i = 0; i < 7000; i++) {
        uint64_t v = el_rng_below(&r, 7);

        assert_in_range(v, 0, 6);
        seen[v]++;
    }
    /* The expectation is 1000 with a standard deviation of 29. */
    for (size_t i = 0; i < EL_COUNT(seen); i++)
        assert_in_range(seen[i], 850, 1150);
    assert_int_equal(el_rng_below(&r, 1), 0);
}

/*
 * Of the 2^64 words a plain remainder would map 2/3 to the lower half of [0, 3 * 2^62): each half
 * must get its share.
 */
static void numbers_below_a_large_bound_are_not_skewed(void **state)
{
    const uint64_t bound = UINT64_C(3) << 62;
    unsigned lower = 0;
    struct el_rng r;

    (void)state;
    el_rng_seed(&r, 1);
    for (int i = 0; i < 10000; i++) {
        uint64_t v = el_rng_below(&r, bound);

        assert_true(v < bound);
        lower += v < bound / 2;
    }
    assert_in_range(lower, 4750, 5250);
}

static void units_fill_the_interval_without_its_end(void **state)
{
    struct el_rng r, all_ones = { { 0, 0, 0, 0 } };
    double sum = 0;

    (void)state;
    el_rng_seed(&r, 1);
    for (int i = 0; i < 10000; i++) {
        double u = el_rng_unit(&r);

        assert_true(u >= 0.0 && u < 1.0);
        sum += u;
    }
    assert_true(sum > 4850 && sum < 5150);

    /*
     * The state whose next word is all ones: s[1] * 5 rotated by 7, times 9, undone from the end.
     * 9 and 5 are odd, so they have inverses modulo 2^64.
     */
    all_ones.s[1] = UINT64_MAX * UINT64_C(0x8e38e38e38e38e39);
    all_ones.s[1] = (all_ones.s[1] >> 7) | (all_ones.s[1] << 57);
    all_ones.s[1] *= UINT64_C(0xcccccccccccccccd);
    r = all_ones;
    assert_true(el_rng_u64(&r) == UINT64_MAX);
    assert_true(el_rng_unit(&all_ones) < 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_generator_is_xoshiro256starstar),
        cmocka_unit_test(the_state_is_seeded_by_splitmix64),
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(random_seeds_differ),
        cmocka_unit_test(numbers_below_a_bound_are_below_it_and_all_appear),
        cmocka_unit_test(numbers_below_a_large_bound_are_not_skewed),
        cmocka_unit_test(units_fill_the_interval_without_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
