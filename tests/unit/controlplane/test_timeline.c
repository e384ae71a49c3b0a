/* SPDX-License-Identifier: MIT */
#include "controlplane/timeline.h"

#include "tests/lib/test.h"

static void add(struct cp_timeline *t, uint64_t step, uint64_t memory)
{
    const struct cp_bytes sums = { .memory = memory };

    cp_timeline_add(t, step * CP_TIMELINE_STEP_MS, (int64_t)step, &sums, 1);
}

static void a_step_holds_what_came_in_it(void **state)
{
    struct cp_timeline t = { .n = 0 };

    (void)state;
    add(&t, 1, 100);
    assert_int_equal(t.n, 0);
    add(&t, 2, 150);
    add(&t, 3, 150);
    assert_int_equal(t.n, 2);
    assert_int_equal(cp_timeline_at(&t, 0)->bytes.memory, 50);
    assert_int_equal(cp_timeline_at(&t, 1)->bytes.memory, 0);
}

static void what_comes_before_its_time_counts_for_the_next_step(void **state)
{
    const struct cp_bytes early = { .memory = 30 };
    struct cp_timeline t = { .n = 0 };

    (void)state;
    add(&t, 1, 0);
    cp_timeline_add(&t, 2 * CP_TIMELINE_STEP_MS - 1, 1, &early, 1);
    assert_int_equal(t.n, 0);
    add(&t, 2, 40);
    assert_int_equal(cp_timeline_at(&t, 0)->bytes.memory, 40);
}

static void a_node_that_starts_again_is_no_step_back(void **state)
{
    struct cp_timeline t = { .n = 0 };

    (void)state;
    add(&t, 1, 100);
    add(&t, 2, 10);
    add(&t, 3, 30);
    assert_int_equal(cp_timeline_at(&t, 0)->bytes.memory, 0);
    assert_int_equal(cp_timeline_at(&t, 1)->bytes.memory, 20);
}

static void the_oldest_steps_go(void **state)
{
    struct cp_timeline t = { .n = 0 };

    (void)state;
    for (uint64_t i = 1; i <= CP_TIMELINE_STEPS + 11; i++)
        add(&t, i, i);
    assert_int_equal(t.n, CP_TIMELINE_STEPS);
    assert_int_equal(cp_timeline_at(&t, 0)->wall_ms, 12);
    assert_int_equal(cp_timeline_at(&t, t.n - 1)->wall_ms, CP_TIMELINE_STEPS + 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_holds_what_came_in_it),
        cmocka_unit_test(what_comes_before_its_time_counts_for_the_next_step),
        cmocka_unit_test(a_node_that_starts_again_is_no_step_back),
        cmocka_unit_test(the_oldest_steps_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
