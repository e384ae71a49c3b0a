/* SPDX-License-Identifier: MIT */
/* Which chunks the store has something of, as a set in memory: held against one that is simple. */
#include "tests/lib/test.h"

#include "common/rng.h"
#include "p2p/vouch_set.h"

#define CHUNKS 5000u

/* Chunks of a few objects, as they are in life: names that differ in their number only. */
static struct el_chunk_id chunk(unsigned i)
{
    struct el_chunk_id id = { .index = i / 3 };

    memset(id.object, (int)(i % 3) + 1, sizeof(id.object));
    return id;
}

static void what_is_put_is_there_with_its_flags_until_it_is_removed(void **state)
{
    struct p2p_vouch_set s = { 0 };
    struct el_chunk_id a = chunk(0), b = chunk(1);
    unsigned flags = 9;

    (void)state;
    assert_false(p2p_vouch_set_get(&s, &a, &flags));
    p2p_vouch_set_remove(&s, &a);
    assert_true(p2p_vouch_set_put(&s, &a, 0));
    assert_true(p2p_vouch_set_put(&s, &b, P2P_VOUCH_DISTRUSTED));
    assert_true(p2p_vouch_set_get(&s, &a, &flags));
    assert_int_equal(flags, 0);
    assert_true(p2p_vouch_set_get(&s, &b, &flags));
    assert_int_equal(flags, P2P_VOUCH_DISTRUSTED);
    assert_true(p2p_vouch_set_put(&s, &a, P2P_VOUCH_MET));
    assert_true(p2p_vouch_set_get(&s, &a, &flags));
    assert_int_equal(flags, P2P_VOUCH_MET);
    assert_int_equal(s.n, 2);
    p2p_vouch_set_remove(&s, &a);
    assert_false(p2p_vouch_set_get(&s, &a, NULL));
    assert_true(p2p_vouch_set_get(&s, &b, NULL));
    p2p_vouch_set_deinit(&s);
}

static void a_walk_that_begins_has_met_none_and_distrust_stays(void **state)
{
    struct p2p_vouch_set s = { 0 };
    struct el_chunk_id a = chunk(0);
    unsigned flags;

    (void)state;
    assert_true(p2p_vouch_set_put(&s, &a, P2P_VOUCH_DISTRUSTED | P2P_VOUCH_MET));
    p2p_vouch_set_unmeet(&s);
    assert_true(p2p_vouch_set_get(&s, &a, &flags));
    assert_int_equal(flags, P2P_VOUCH_DISTRUSTED);
    p2p_vouch_set_deinit(&s);
}

static void it_has_what_a_plain_table_has_whatever_comes_and_goes(void **state)
{
    bool there[CHUNKS] = { false };
    struct p2p_vouch_set s = { 0 };
    struct el_rng rng;
    size_t n = 0;

    (void)state;
    el_rng_seed(&rng, 7);
    for (unsigned i = 0; i < 20 * CHUNKS; i++) {
        unsigned which = (unsigned)el_rng_below(&rng, CHUNKS);
        struct el_chunk_id id = chunk(which);
        bool puts = el_rng_below(&rng, 100) < (i < 10 * CHUNKS ? 80 : 20);

        assert_int_equal(p2p_vouch_set_get(&s, &id, NULL), there[which]);
        if (puts)
            assert_true(p2p_vouch_set_put(&s, &id, 0));
        else
            p2p_vouch_set_remove(&s, &id);
        there[which] = puts;
    }
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct el_chunk_id id = chunk(i);

        assert_int_equal(p2p_vouch_set_get(&s, &id, NULL), there[i]);
        n += there[i];
    }
    assert_int_equal(s.n, n);
    p2p_vouch_set_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_there_with_its_flags_until_it_is_removed),
        cmocka_unit_test(a_walk_that_begins_has_met_none_and_distrust_stays),
        cmocka_unit_test(it_has_what_a_plain_table_has_whatever_comes_and_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
