/* SPDX-License-Identifier: MIT */
#include "p2p/named.h"

#include "tests/lib/test.h"

static const struct p2p_group one = { { 1 }, 0 }, two = { { 2 }, 7 };

static struct p2p_named *start(void)
{
    return el_new(struct p2p_named);
}

static void a_chunk_counts_when_one_of_its_blocks_is_wanted(void **state)
{
    struct p2p_blockset blocks = { { 0 } };

    (void)state;
    assert_int_equal(p2p_named_chunks(&blocks), 0);
    p2p_blockset_add(&blocks, 15);
    p2p_blockset_add(&blocks, 16);
    p2p_blockset_add(&blocks, 1023);
    assert_int_equal(p2p_named_chunks(&blocks), 3 | (uint64_t)1 << 63);
}

static void a_chunk_is_asked_about_once_in_a_while(void **state)
{
    struct p2p_named *s = start();

    (void)state;
    assert_int_equal(p2p_named_want(s, 100, &one, 3), 3);
    assert_int_equal(p2p_named_want(s, 101, &one, 7), 4);
    assert_int_equal(p2p_named_want(s, 102, &two, 3), 3);
    assert_int_equal(p2p_named_want(s, 99 + P2P_NAMED_MS, &one, 7), 0);
    assert_int_equal(p2p_named_want(s, 100 + P2P_NAMED_MS, &one, 7), 7);
    free(s);
}

static void who_is_named_for_several_chunks_is_one_with_all_of_them(void **state)
{
    struct p2p_named *s = start();
    const struct p2p_taker *nodes;

    (void)state;
    (void)p2p_named_want(s, 1, &one, 3);
    assert_true(p2p_named_heard(s, 2, &one, 0, 8));
    assert_true(p2p_named_heard(s, 2, &one, 1, 8));
    assert_true(p2p_named_heard(s, 2, &one, 1, 9));
    assert_int_equal(p2p_named_nodes(s, 3, &one, &nodes), 2);
    assert_int_equal(nodes[0].node, 8);
    assert_int_equal(nodes[0].whole, 3);
    assert_int_equal(nodes[1].whole, 2);
    assert_int_equal(p2p_named_nodes(s, 3, &two, &nodes), 0);
    assert_int_equal(p2p_named_nodes(s, 1 + P2P_NAMED_MS, &one, &nodes), 0);
    free(s);
}

static void what_was_not_asked_is_not_heard(void **state)
{
    struct p2p_named *s = start();

    (void)state;
    assert_false(p2p_named_heard(s, 1, &one, 0, 8));
    (void)p2p_named_want(s, 1, &one, 1);
    assert_false(p2p_named_heard(s, 1, &one, 1, 8));
    assert_false(p2p_named_heard(s, 1, &one, P2P_GROUP_CHUNKS, 8));
    assert_false(p2p_named_heard(s, 1 + P2P_NAMED_MS, &one, 0, 8));
    free(s);
}

static void groups_and_nodes_are_bounded(void **state)
{
    struct p2p_named *s = start();
    struct p2p_group g = { { 3 }, 0 };

    (void)state;
    for (g.number = 0; g.number < P2P_NAMED_GROUPS; g.number++)
        assert_int_equal(p2p_named_want(s, 10, &g, 1), 1);
    assert_int_equal(p2p_named_want(s, 10, &g, 1), 0);
    g.number = 0;
    for (uint64_t node = 1; node <= P2P_NAMED_NODES; node++)
        assert_true(p2p_named_heard(s, 11, &g, 0, node));
    assert_false(p2p_named_heard(s, 11, &g, 0, P2P_NAMED_NODES + 1));
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_counts_when_one_of_its_blocks_is_wanted),
        cmocka_unit_test(a_chunk_is_asked_about_once_in_a_while),
        cmocka_unit_test(who_is_named_for_several_chunks_is_one_with_all_of_them),
        cmocka_unit_test(what_was_not_asked_is_not_heard),
        cmocka_unit_test(groups_and_nodes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
