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

static void what_one_says_for_a_while_is_believed(void **state)
{
    struct tracker *k = *state;

    begin(k);
    assert_int_equal(complain(k, 1, 0, 0), 0);
    k->now += 1000;
    assert_int_equal(complain(k, 1, 20, 0), 1);
    assert_int_equal(tracker_stats(k).doubted, 1);
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

/* ---- who does not answer as a tracker ---- */

static const struct p2p_in_place of_the_liar = { .nodes = { LIAR }, .n = 1 };

static void what_only_a_silent_tracker_has_is_leased_at_once(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(BLOCKS);

    announce(k, LIAR);
    assert_int_equal(p2p_tracker_locate(k->t, k->now, 1, &of_the_liar, &l, &k->located), EL_OK);
    assert_int_equal(k->located.n_leases, 1);
    assert_int_equal(k->located.n_takers, 0);
    assert_int_equal(tracker_stats(k).doubted, 1);
}

/* It asks this node, and another one did not get an answer from it. */
static void a_silent_tracker_that_takes_is_believed(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(BLOCKS);

    question_has(&l, 0, 32);
    ask(k, LIAR, &l);
    l = question(BLOCKS);
    assert_int_equal(p2p_tracker_locate(k->t, k->now, 1, &of_the_liar, &l, &k->located), EL_OK);
    assert_true(k->located.n_leases == 0 || k->located.leases[0].first >= 32);
    assert_int_equal(tracker_stats(k).doubted, 0);
}

/* ---- who says that nothing comes ---- */

#define TAKERS 4u

/* Four takers, and one holder of all. */
static void begin_four(struct tracker *k)
{
    struct p2p_locate l = question(BLOCKS);

    announce(k, LIAR);
    for (uint64_t node = 1; node <= TAKERS; node++)
        ask(k, node, &l);
    k->now += 600;
}

/* Returns how many leases the node is given. */
static size_t starve(struct tracker *k, uint64_t node, unsigned has)
{
    struct p2p_locate l = question(BLOCKS);

    l.again = l.complains = true;
    question_has(&l, 0, has);
    ask(k, node, &l);
    return k->located.n_leases;
}

static void what_most_wait_for_in_vain_is_leased(void **state)
{
    struct tracker *k = *state;

    begin_four(k);
    assert_int_equal(starve(k, 1, 0), 0);
    assert_int_equal(starve(k, 2, 0), 0);
    assert_int_equal(starve(k, 3, 0), 1);
    assert_int_equal(tracker_stats(k).doubted, 1);
    assert_int_equal(starve(k, 1, 0), 1);
}

static void who_waits_while_others_were_given_something_waits_on(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(BLOCKS);

    begin_four(k);
    l.again = true;
    question_has(&l, 20, 1);
    ask(k, 4, &l);
    for (uint64_t node = 1; node < TAKERS; node++)
        assert_int_equal(starve(k, node, 0), 0);
    assert_int_equal(tracker_stats(k).doubted, 0);
}

/* Its own link may be the slow one. */
static void the_last_one_who_waits_is_not_believed_at_once(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = { .group = tracker_group(0), .blocks = BLOCKS, .again = true };

    begin_four(k);
    question_has(&l, 0, BLOCKS);
    l.leaves = true;
    for (uint64_t node = 2; node <= TAKERS; node++)
        ask(k, node, &l);
    k->now += 5000;
    assert_int_equal(starve(k, 1, 0), 0);
    assert_int_equal(tracker_stats(k).doubted, 0);
}

/* ---- who reads, and gives to nobody ---- */

/* The first of four has read eight blocks and gives back the others; the last one reads. */
static void keep(struct tracker *k, struct p2p_locate *ret_first)
{
    struct p2p_locate l = question(BLOCKS);
    struct p2p_lease first = ask_run(k, 1, &l), run;

    for (uint64_t node = 2; node <= TAKERS; node++)
        run = ask_run(k, node, &l);
    k->now += 100;
    l = question(BLOCKS);
    l.again = true;
    question_run(&l, &run, 1, true);
    ask(k, TAKERS, &l);
    *ret_first = question(BLOCKS);
    ret_first->again = true;
    question_run(ret_first, &first, 8, false);
}

static void who_keeps_what_it_reads_is_given_no_more_to_read(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l;

    keep(k, &l);
    assert_int_equal(ask(k, 1, &l)->n_leases, 0);
    assert_int_equal(tracker_stats(k).doubted, 0);
}

static void what_only_that_one_has_is_leased_when_most_complain(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l;

    keep(k, &l);
    ask(k, 1, &l);
    for (uint64_t node = 2; node < TAKERS; node++) {
        if (starve(k, node, 0) > 0)
            assert_true(k->located.leases[0].first >= 8);
    }
    assert_int_equal(tracker_stats(k).doubted, 0);
    (void)starve(k, TAKERS, 0);
    assert_int_equal(tracker_stats(k).doubted, 1);
    l = question(BLOCKS);
    assert_int_equal(ask_run(k, TAKERS + 1, &l).first, 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(what_two_had_to_read_themselves_is_leased_again),
        WITH(what_one_says_twice_proves_nothing_about_others),
        WITH(what_one_says_for_a_while_is_believed),
        WITH(the_only_one_who_takes_is_believed_alone),
        WITH(a_holder_that_has_given_lately_is_only_slow),
        WITH(who_gave_nothing_is_not_believed_when_it_says_it_again),
        WITH(a_first_question_accuses_nobody),
        WITH(what_only_a_silent_tracker_has_is_leased_at_once),
        WITH(a_silent_tracker_that_takes_is_believed),
        WITH(what_most_wait_for_in_vain_is_leased),
        WITH(who_waits_while_others_were_given_something_waits_on),
        WITH(the_last_one_who_waits_is_not_believed_at_once),
        WITH(who_keeps_what_it_reads_is_given_no_more_to_read),
        WITH(what_only_that_one_has_is_leased_when_most_complain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
