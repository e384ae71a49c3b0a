/* SPDX-License-Identifier: MIT */
/* Holders that say they have everything, and what shows that they give nothing. */
#include "tests/lib/tracker.h"

#define LIAR   9
#define BLOCKS 64u

static int set_up(void **state)
{
    struct tracker *k = el_new(struct tracker);

    tracker_init(k, NULL);
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    tracker_deinit(*state);
    free(*state);
    return 0;
}

static void announce(struct tracker *k, uint64_t node)
{
    struct p2p_group group = tracker_group(0);
    struct disc_chunks c = { .bitmap = 0xf };

    memcpy(c.version, group.version, sizeof(c.version));
    p2p_tracker_announce(k->t, k->now, node, &c, 1);
}

/* Two takers that know each other, and one holder of all. */
static void begin(struct tracker *k)
{
    struct p2p_locate l = question(BLOCKS);

    announce(k, LIAR);
    for (uint64_t node = 1; node <= 2; node++) {
        ask(k, node, &l);
        assert_int_equal(k->located.n_leases, 0);
    }
    k->now += 2500;
}

/* The node reads one block of its own accord, and has others from wherever. Returns its leases. */
static size_t complain(struct tracker *k, uint64_t node, unsigned block, unsigned had)
{
    struct p2p_locate l = question(BLOCKS);
    struct p2p_lease own = { P2P_LEASE_OWN + block, (uint16_t)block, 1, 0 };

    l.again = true;
    question_has(&l, 32, had);
    question_run(&l, &own, 0, true);
    ask(k, node, &l);
    return k->located.n_leases;
}

static void what_two_had_to_read_themselves_is_leased_again(void **state)
{
    struct tracker *k = *state;

    begin(k);
    assert_int_equal(complain(k, 1, 0, 0), 0);
    assert_int_equal(complain(k, 2, 20, 0), 1);
    assert_int_equal(tracker_stats(k).doubted, 1);
    for (size_t i = 0; i < k->located.n_takers; i++)
        assert_int_not_equal(k->located.takers[i].node, LIAR);
}

static void what_one_says_twice_proves_nothing_about_others(void **state)
{
    struct tracker *k = *state;

    begin(k);
    assert_int_equal(complain(k, 1, 0, 0), 0);
    assert_int_equal(complain(k, 1, 20, 0), 0);
    assert_int_equal(tracker_stats(k).doubted, 0);
}

static void the_only_one_who_takes_is_believed_alone(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(BLOCKS);

    announce(k, LIAR);
    ask(k, 1, &l);
    k->now += 2500;
    assert_int_equal(complain(k, 1, 0, 0), 1);
}

static void a_holder_that_has_given_lately_is_only_slow(void **state)
{
    struct tracker *k = *state;

    begin(k);
    assert_int_equal(complain(k, 1, 0, 1), 0);
    assert_int_equal(complain(k, 2, 20, 1), 0);
    assert_int_equal(tracker_stats(k).doubted, 0);
}

static void who_gave_nothing_is_not_believed_when_it_says_it_again(void **state)
{
    struct tracker *k = *state;

    begin(k);
    (void)complain(k, 1, 0, 0);
    (void)complain(k, 2, 20, 0);
    announce(k, LIAR);
    assert_int_equal(complain(k, 1, 0, 0), 1);
}

/* It has read them while there was no tracker, and says so to a new one. */
static void a_first_question_accuses_nobody(void **state)
{
    struct tracker *k = *state;

    announce(k, LIAR);
    (void)complain(k, 1, 0, 0);
    (void)complain(k, 2, 20, 0);
    assert_int_equal(tracker_stats(k).doubted, 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(what_two_had_to_read_themselves_is_leased_again),
        WITH(what_one_says_twice_proves_nothing_about_others),
        WITH(the_only_one_who_takes_is_believed_alone),
        WITH(a_holder_that_has_given_lately_is_only_slow),
        WITH(who_gave_nothing_is_not_believed_when_it_says_it_again),
        WITH(a_first_question_accuses_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
