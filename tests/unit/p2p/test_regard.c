/* SPDX-License-Identifier: MIT */
/* What one node makes of another, in one figure. */
#include "tests/lib/test.h"

#include <limits.h>

#include "p2p/regard.h"

#define HEALTH(...) p2p_regard_health(&(struct p2p_regard){ __VA_ARGS__ })

static void one_that_was_only_heard_of_has_50(void **state)
{
    (void)state;
    assert_int_equal(HEALTH(.state = DISC_ALIVE), 50);
    assert_int_equal(P2P_HEALTH_HEARD, 50);
}

static void a_link_is_worth_all_and_blocks_that_it_gave_half_of_the_rest(void **state)
{
    (void)state;
    assert_int_equal(HEALTH(.is_linked = true), 100);
    assert_int_equal(HEALTH(.is_linked = true, .has_given = true), 100);
    assert_int_equal(HEALTH(.has_given = true), 75);
}

static void this_node_is_well(void **state)
{
    (void)state;
    assert_int_equal(HEALTH(.is_self = true), 100);
    assert_int_equal(HEALTH(.is_self = true, .state = DISC_LEFT), 0); /* it says good-bye */
}

static void one_that_cannot_be_reached_has_less_each_time_and_no_less_for_ever(void **state)
{
    (void)state;
    assert_int_equal(HEALTH(.unreached = 1), 40);
    assert_int_equal(HEALTH(.unreached = 3), 20);
    assert_int_equal(HEALTH(.unreached = 1000), 20);
    assert_int_equal(HEALTH(.unreached = 3, .has_given = true), 45);
}

static void a_slow_one_has_less_too(void **state)
{
    (void)state;
    assert_int_equal(HEALTH(.is_linked = true, .slow = 1), 90);
    assert_int_equal(HEALTH(.is_linked = true, .slow = UINT_MAX), 70);
    assert_int_equal(HEALTH(.has_given = true, .slow = 2, .unreached = 1), 45);
}

static void wrong_blocks_cost_most_and_quarantine_leaves_little(void **state)
{
    (void)state;
    assert_int_equal(HEALTH(.is_linked = true, .bad = 1), 75);
    assert_int_equal(HEALTH(.is_linked = true, .bad = 1, .is_quarantined = true), 10);
    assert_int_equal(HEALTH(.is_linked = true, .bad = UINT_MAX), 1);
    assert_int_equal(HEALTH(.bad = 2, .is_quarantined = true), 1);
}

static void a_suspect_has_half_and_the_dead_have_nothing(void **state)
{
    (void)state;
    assert_int_equal(HEALTH(.state = DISC_SUSPECT, .is_linked = true), 50);
    assert_int_equal(HEALTH(.state = DISC_SUSPECT), 25);
    assert_int_equal(HEALTH(.state = DISC_SUSPECT, .unreached = 3, .bad = 1), 1);
    assert_int_equal(HEALTH(.state = DISC_DEAD, .is_linked = true, .has_given = true), 0);
    assert_int_equal(HEALTH(.state = DISC_LEFT), 0);
}

/* Whatever comes together. */
static void it_is_1_to_100_for_whoever_lives(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1u << 11; i++) {
        const struct p2p_regard r = {
            .state = (i & 1) != 0 ? DISC_SUSPECT : DISC_ALIVE,
            .is_linked = (i & 2) != 0,
            .has_given = (i & 4) != 0,
            .is_quarantined = (i & 8) != 0,
            .is_self = (i & 16) != 0,
            .unreached = i >> 5 & 3,
            .slow = i >> 7 & 3,
            .bad = i >> 9 & 3,
        };

        assert_in_range(p2p_regard_health(&r), 1, 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_was_only_heard_of_has_50),
        cmocka_unit_test(a_link_is_worth_all_and_blocks_that_it_gave_half_of_the_rest),
        cmocka_unit_test(this_node_is_well),
        cmocka_unit_test(one_that_cannot_be_reached_has_less_each_time_and_no_less_for_ever),
        cmocka_unit_test(a_slow_one_has_less_too),
        cmocka_unit_test(wrong_blocks_cost_most_and_quarantine_leaves_little),
        cmocka_unit_test(a_suspect_has_half_and_the_dead_have_nothing),
        cmocka_unit_test(it_is_1_to_100_for_whoever_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
