/* SPDX-License-Identifier: MIT */
/* Whether others are asked for anything. */
#include "tests/lib/test.h"

#include "p2p/company.h"

static void any_other_counts_where_nothing_is_said(void **state)
{
    (void)state;
    assert_true(p2p_company_counts(2, 0, false));
    assert_true(p2p_company_counts(2, 1, false));
    assert_true(p2p_company_counts(10000, 0, true));
}

static void fewer_than_are_wanted_do_not_count_by_gossip_alone(void **state)
{
    (void)state;
    assert_false(p2p_company_counts(2, 2, false));
    assert_true(p2p_company_counts(3, 2, false)); /* this node is one of the three */
    assert_false(p2p_company_counts(100, 100, false));
    assert_true(p2p_company_counts(101, 100, false));
}

static void with_a_control_plane_one_is_enough(void **state)
{
    (void)state;
    assert_true(p2p_company_counts(2, 2, true));
    assert_true(p2p_company_counts(2, 65535, true));
}

static void a_node_alone_has_no_company(void **state)
{
    (void)state;
    assert_false(p2p_company_counts(0, 0, false)); /* before it has looked */
    assert_false(p2p_company_counts(1, 0, false));
    assert_false(p2p_company_counts(1, 0, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_other_counts_where_nothing_is_said),
        cmocka_unit_test(fewer_than_are_wanted_do_not_count_by_gossip_alone),
        cmocka_unit_test(with_a_control_plane_one_is_enough),
        cmocka_unit_test(a_node_alone_has_no_company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
