/* SPDX-License-Identifier: MIT */
#include "controlplane/set.h"

#include "common/rng.h"
#include "tests/lib/test.h"

#define RANGE 20000u

static void check_same(const struct cp_set *s, const bool *model)
{
    uint64_t base = 0, mask, n = 0;

    for (uint32_t i = 0; i < RANGE; i++)
        assert_int_equal(cp_set_has(s, i), model[i]);
    for (; cp_set_next(s, &base, &mask); base += 64) {
        assert_int_equal(base % 64, 0);
        assert_true(mask != 0);
        for (uint32_t i = 0; i < 64; i++)
            assert_int_equal(mask >> i & 1, base + i < RANGE && model[base + i]);
        n += (uint64_t)__builtin_popcountll(mask);
    }
    assert_int_equal(n, s->n);
}

/* Phases that fill and empty it, so that lists become bitmaps and lists again. */
static void it_is_what_an_array_of_flags_is(void **state)
{
    static bool model[RANGE];
    struct cp_set s = { 0 };
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 1);
    for (unsigned step = 0; step < 200000; step++) {
        uint32_t i = (uint32_t)el_rng_below(&rng, RANGE);
        bool adds = el_rng_below(&rng, 10) < (step / 40000 % 2 == 0 ? 8 : 2);

        assert_int_equal(adds ? cp_set_add(&s, i) : cp_set_remove(&s, i), adds != model[i]);
        model[i] = adds;
        if (step % 20000 == 0)
            check_same(&s, model);
    }
    check_same(&s, model);
    for (uint32_t i = 0; i < RANGE; i++)
        assert_int_equal(cp_set_remove(&s, i), model[i]);
    assert_int_equal(s.n, 0);
    assert_int_equal(s.n_boxes, 0);
    cp_set_deinit(&s);
}

static void numbers_up_to_the_last_have_a_place(void **state)
{
    struct cp_set s = { 0 };
    uint64_t base = 0, mask;

    (void)state;
    assert_true(cp_set_add(&s, UINT32_MAX));
    assert_true(cp_set_add(&s, 0));
    assert_true(cp_set_next(&s, &base, &mask));
    assert_int_equal(base, 0);
    base += 64;
    assert_true(cp_set_next(&s, &base, &mask));
    assert_int_equal(base, UINT32_MAX - 63);
    assert_true(mask == 1ull << 63);
    base += 64;
    assert_false(cp_set_next(&s, &base, &mask));
    cp_set_deinit(&s);
}

static void neighbours_cost_less_than_a_byte_each(void **state)
{
    struct cp_set s = { 0 };

    (void)state;
    for (uint32_t i = 0; i < 1u << 20; i++)
        (void)cp_set_add(&s, i);
    assert_true(cp_set_bytes(&s) < 1u << 18);
    cp_set_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_an_array_of_flags_is),
        cmocka_unit_test(numbers_up_to_the_last_have_a_place),
        cmocka_unit_test(neighbours_cost_less_than_a_byte_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
