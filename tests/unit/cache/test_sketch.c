/* SPDX-License-Identifier: MIT */
/* Counts that are never too low before they age, and who is admitted by them. */
#include "tests/lib/test.h"

#include "cache/sketch.h"
#include "common/rng.h"

#define THINGS 1000u

static void touch(struct cache_sketch *s, uint64_t hash, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        cache_sketch_touch(s, hash);
}

/* Spread over 64 bits, as hashes are. */
static uint64_t hash_of(uint64_t thing)
{
    return (thing + 1) * 0x9e3779b97f4a7c15u;
}

static void what_was_never_asked_for_counts_nothing(void **state)
{
    struct cache_sketch *s = cache_sketch_new(THINGS);

    (void)state;
    assert_int_equal(cache_sketch_count(s, 1), 0);
    touch(s, 1, 1);
    assert_int_equal(cache_sketch_count(s, 1), 1);
    assert_int_equal(cache_sketch_count(s, 2), 0);
    cache_sketch_free(s);
}

static void a_count_ends_at_15(void **state)
{
    struct cache_sketch *s = cache_sketch_new(THINGS);

    (void)state;
    for (unsigned i = 1; i <= 20; i++) {
        cache_sketch_touch(s, 77);
        assert_int_equal(cache_sketch_count(s, 77), i < 15 ? i : 15);
    }
    cache_sketch_free(s);
}

/* Against exact counts, before the first halving. */
static void a_count_is_never_too_low_and_seldom_too_high(void **state)
{
    struct cache_sketch *s = cache_sketch_new(THINGS);
    unsigned exact[4 * THINGS] = { 0 }, too_high = 0;
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 5);
    for (unsigned i = 0; i < 10 * THINGS - 1; i++) {
        uint64_t thing = el_rng_below(&rng, EL_COUNT(exact));

        cache_sketch_touch(s, hash_of(thing));
        exact[thing]++;
    }
    for (size_t i = 0; i < EL_COUNT(exact); i++) {
        unsigned count = cache_sketch_count(s, hash_of(i));

        assert_true(count >= (exact[i] < 15 ? exact[i] : 15));
        too_high += count > exact[i];
    }
    assert_true(too_high < EL_COUNT(exact) / 20);
    cache_sketch_free(s);
}

static void hashes_that_differ_in_one_bit_are_told_apart(void **state)
{
    struct cache_sketch *s = cache_sketch_new(THINGS);

    (void)state;
    touch(s, 0, 9);
    for (unsigned bit = 0; bit < 64; bit++)
        assert_int_equal(cache_sketch_count(s, UINT64_C(1) << bit), 0);
    cache_sketch_free(s);
}

static void all_counts_are_halved_after_ten_accesses_a_thing(void **state)
{
    struct cache_sketch *s = cache_sketch_new(THINGS);
    unsigned left = 10 * THINGS;

    (void)state;
    for (unsigned i = 1; i <= 15; i++) {
        touch(s, hash_of(i), i);
        left -= i;
    }
    touch(s, hash_of(16), left - 1);
    for (unsigned i = 1; i <= 15; i++)
        assert_int_equal(cache_sketch_count(s, hash_of(i)), i);
    touch(s, hash_of(16), 1);
    for (unsigned i = 1; i <= 15; i++)
        assert_int_equal(cache_sketch_count(s, hash_of(i)), i / 2);
    cache_sketch_free(s);
}

/* Counters stand side by side in a word; here most are odd. */
static void what_is_odd_in_one_counter_does_not_reach_its_neighbour(void **state)
{
    struct cache_sketch *s = cache_sketch_new(16);

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        touch(s, hash_of(i), 1);
    touch(s, hash_of(100), 60);
    for (unsigned i = 0; i < 100; i++)
        assert_in_range(cache_sketch_count(s, hash_of(i)), 0, 2);
    cache_sketch_free(s);
}

/* What was counted is half as much afterwards, so the next halving comes after half as many. */
static void what_is_no_more_asked_for_is_forgotten(void **state)
{
    struct cache_sketch *s = cache_sketch_new(THINGS);

    (void)state;
    touch(s, 1, 15);
    touch(s, 2, 10 * THINGS - 15);
    assert_int_equal(cache_sketch_count(s, 1), 7);
    touch(s, 2, 5 * THINGS);
    assert_int_equal(cache_sketch_count(s, 1), 3);
    touch(s, 2, 10 * THINGS);
    assert_int_equal(cache_sketch_count(s, 1), 0);
    cache_sketch_free(s);
}

static void a_sketch_for_nothing_works_all_the_same(void **state)
{
    struct cache_sketch *s = cache_sketch_new(0);

    (void)state;
    touch(s, 3, 1000);
    assert_true(cache_sketch_count(s, 3) > 0);
    cache_sketch_free(s);
    cache_sketch_free(NULL);
}

/* ---- admission: this access is counted already, and does not speak for the newcomer ---- */

static unsigned admitted_of(const struct cache_sketch *s, uint64_t newcomer, unsigned victim_count,
                            unsigned tries)
{
    unsigned n = 0;
    struct el_rng rng;

    el_rng_seed(&rng, 11);
    for (unsigned i = 0; i < tries; i++)
        n += cache_sketch_admits(s, newcomer, victim_count, el_rng_u64(&rng));
    return n;
}

static void who_was_asked_for_more_often_before_is_always_admitted(void **state)
{
    struct cache_sketch *s = cache_sketch_new(THINGS);

    (void)state;
    touch(s, 1, 5);
    assert_int_equal(admitted_of(s, 1, 3, 1000), 1000);
    assert_int_equal(admitted_of(s, 1, 0, 1000), 1000);
    cache_sketch_free(s);
}

static void who_was_asked_for_less_often_before_is_never_admitted(void **state)
{
    struct cache_sketch *s = cache_sketch_new(THINGS);

    (void)state;
    touch(s, 1, 5);
    assert_int_equal(admitted_of(s, 1, 5, 1000), 0);
    assert_int_equal(admitted_of(s, 1, 15, 1000), 0);
    cache_sketch_free(s);
}

static void who_ties_is_admitted_one_time_in_64(void **state)
{
    struct cache_sketch *s = cache_sketch_new(THINGS);
    unsigned n;

    (void)state;
    touch(s, 1, 5);
    n = admitted_of(s, 1, 4, 64000); /* 1,000 expected, 31 the standard deviation */
    assert_true(n > 850 && n < 1150);
    cache_sketch_free(s);
}

/* The cache has the last hundred, which a pass in order has not come to when others are offered. */
static void passes_over_a_dataset_leave_the_part_that_is_there(void **state)
{
    enum { CACHED = 100, DATASET = 1000, PASSES = 5 };
    struct cache_sketch *s = cache_sketch_new(CACHED * 100);
    unsigned admitted = 0, asked = 0;
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 12);
    for (unsigned i = 0; i < PASSES * DATASET; i++) {
        unsigned thing = i % DATASET;

        cache_sketch_touch(s, hash_of(thing));
        if (thing >= DATASET - CACHED)
            continue;
        asked++;
        admitted += cache_sketch_admits(
            s, hash_of(thing), cache_sketch_count(s, hash_of(DATASET - 1 - thing % CACHED)),
            el_rng_u64(&rng));
    }
    assert_true(admitted < asked / 20);
    cache_sketch_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_never_asked_for_counts_nothing),
        cmocka_unit_test(a_count_ends_at_15),
        cmocka_unit_test(a_count_is_never_too_low_and_seldom_too_high),
        cmocka_unit_test(hashes_that_differ_in_one_bit_are_told_apart),
        cmocka_unit_test(all_counts_are_halved_after_ten_accesses_a_thing),
        cmocka_unit_test(what_is_odd_in_one_counter_does_not_reach_its_neighbour),
        cmocka_unit_test(what_is_no_more_asked_for_is_forgotten),
        cmocka_unit_test(a_sketch_for_nothing_works_all_the_same),
        cmocka_unit_test(who_was_asked_for_more_often_before_is_always_admitted),
        cmocka_unit_test(who_was_asked_for_less_often_before_is_never_admitted),
        cmocka_unit_test(who_ties_is_admitted_one_time_in_64),
        cmocka_unit_test(passes_over_a_dataset_leave_the_part_that_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
