/* SPDX-License-Identifier: MIT */
#include "controlplane/holders.h"

#include "common/rng.h"
#include "tests/lib/test.h"

#define NODES 3000u

static void check_same(const struct cp_holders *h, const bool *model)
{
    uint32_t node = 0;
    size_t n = 0;

    for (uint32_t i = 0; i < NODES; i++) {
        assert_int_equal(cp_holders_has(h, (uint16_t)i), model[i]);
        n += model[i];
    }
    assert_int_equal(cp_holders_count(h), n);
    for (uint32_t i = 0; i < NODES; i++) {
        if (!model[i])
            continue;
        assert_true(cp_holders_next(h, &node));
        assert_int_equal(node, i);
        node++;
    }
    assert_false(cp_holders_next(h, &node));
}

static void they_are_what_an_array_of_flags_is(void **state)
{
    static bool model[NODES];
    struct cp_holders h = { 0 };
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 2);
    for (unsigned step = 0; step < 100000; step++) {
        uint16_t i = (uint16_t)el_rng_below(&rng, step < 300 ? 7 : NODES);
        bool adds = el_rng_below(&rng, 10) < (step / 20000 % 2 == 0 ? 8 : 1);

        assert_int_equal(adds ? cp_holders_add(&h, i) : cp_holders_remove(&h, i), adds != model[i]);
        model[i] = adds;
        if (step < 300 || step % 5000 == 0)
            check_same(&h, model);
    }
    for (uint32_t i = 0; i < NODES; i++)
        assert_int_equal(cp_holders_remove(&h, (uint16_t)i), model[i]);
    assert_int_equal(h.word, 0);
}

static void a_thousand_holders_take_a_bit_each_and_some_to_spare(void **state)
{
    struct cp_holders h = { 0 };

    (void)state;
    for (uint16_t i = 0; i < 1000; i++)
        assert_true(cp_holders_add(&h, i));
    assert_true(cp_holders_bytes(&h) < 300);
    assert_int_equal(cp_holders_count(&h), 1000);
    cp_holders_deinit(&h);
    assert_int_equal(cp_holders_count(&h), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_what_an_array_of_flags_is),
        cmocka_unit_test(a_thousand_holders_take_a_bit_each_and_some_to_spare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
