/* SPDX-License-Identifier: MIT */
/* Who has what, who is named to whom, how often is asked, and what is forgotten. */
#include "tests/lib/tracker.h"

#include "p2p/tracker_group.h"

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

static struct disc_chunks chunks_of(uint32_t group, uint64_t bitmap)
{
    struct disc_chunks c = { .group = group, .bitmap = bitmap };
    struct p2p_group g = tracker_group(group);

    memcpy(c.version, g.version, sizeof(c.version));
    return c;
}

static void announce(struct tracker *k, uint64_t node, uint64_t bitmap)
{
    struct disc_chunks c = chunks_of(0, bitmap);

    p2p_tracker_announce(k->t, k->now, node, &c, 1);
}

static void take_back(struct tracker *k, uint64_t node, uint64_t bitmap)
{
    struct disc_chunks c = chunks_of(0, bitmap);

    p2p_tracker_remove(k->t, k->now, node, &c, 1);
}

/* As it stands in the last answer; NULL: not named. */
static const struct p2p_taker *named(const struct tracker *k, uint64_t node)
{
    for (size_t i = 0; i < k->located.n_takers; i++) {
        if (k->located.takers[i].node == node)
            return &k->located.takers[i];
    }
    return NULL;
}

static struct p2p_locate farewell(uint32_t blocks)
{
    return (struct p2p_locate){ .group = tracker_group(0), .blocks = blocks, .leaves = true };
}

/* ---- chunks ---- */

static unsigned in_chunk(const struct p2p_blockset *s, unsigned chunk, uint32_t blocks,
                         unsigned *ret_all)
{
    unsigned n = 0;

    *ret_all = 0;
    for (unsigned b = chunk * 16; b < chunk * 16 + 16 && b < blocks; b++) {
        n += p2p_blockset_has(s, b);
        *ret_all += 1;
    }
    return n;
}

static void a_chunk_is_there_whole_in_part_or_not_at_all(void **state)
{
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 1);
    for (unsigned round = 0; round < 2000; round++) {
        uint32_t blocks = 1 + (uint32_t)el_rng_below(&rng, P2P_GROUP_BLOCKS);
        struct p2p_blockset s = { 0 };
        uint64_t whole, part;

        for (unsigned i = 0; i < 40; i++) {
            unsigned b = (unsigned)el_rng_below(&rng, blocks), n = 1u << el_rng_below(&rng, 7);

            for (unsigned end = b + n; b < end && b < blocks; b++)
                p2p_blockset_add(&s, b);
        }
        p2p_blocks_chunks(&s, blocks, &whole, &part);
        for (unsigned chunk = 0; chunk < P2P_GROUP_CHUNKS; chunk++) {
            unsigned all, n = in_chunk(&s, chunk, blocks, &all);

            assert_int_equal(whole >> chunk & 1, all > 0 && n == all);
            assert_int_equal(part >> chunk & 1, n > 0 && n < all);
        }
    }
}

/* ---- who has what ---- */

static void what_is_announced_is_taken_from_there(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(40);

    announce(k, 5, 0x5); /* chunks 0 and 2, the last of 8 blocks */
    l.leases = 8;
    ask(k, 1, &l);
    assert_int_equal(k->located.n_leases, 1);
    assert_run(k->located.leases[0], 16, 16);
    assert_non_null(named(k, 5));
    assert_int_equal(named(k, 5)->whole, 0x5);
    assert_int_equal(named(k, 5)->part, 0);
    assert_false(named(k, 5)->is_taking);
}

static void what_is_taken_back_is_read_again(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16);

    announce(k, 5, 1);
    assert_int_equal(ask(k, 1, &l)->n_leases, 0);
    take_back(k, 5, 1);
    assert_int_equal(ask(k, 1, &l)->n_leases, 1);
    assert_null(named(k, 5));
    assert_int_equal(tracker_stats(k).holders, 1);
}

static void two_who_have_the_same_are_both_needed_to_lose_it(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16);

    ask(k, 2, &(struct p2p_locate){ .group = l.group, .blocks = 16, .peers = 1 });
    announce(k, 5, 1);
    announce(k, 5, 1);
    announce(k, 6, 1);
    take_back(k, 5, 1);
    assert_int_equal(ask(k, 1, &l)->n_leases, 0);
    take_back(k, 6, 1);
    assert_int_equal(ask(k, 1, &l)->n_leases, 1);
}

static void the_newer_word_of_a_node_counts(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(32), other = question(32);

    l.leases = 0;
    announce(k, 5, 0x3);
    l.want = (struct p2p_blockset){ 0 };
    blocks_add(&l.have, 0, 16); /* chunk 1 is not there any more */
    ask(k, 5, &l);
    assert_run(ask_run(k, 1, &other), 16, 16);
    assert_int_equal(named(k, 5)->whole, 0x1);
    announce(k, 5, 0x2);
    other = question(32);
    question_run(&other, &k->located.leases[0], 0, false);
    blocks_add(&other.want, 16, 16);
    assert_int_equal(ask(k, 1, &other)->n_leases, 0);
    assert_int_equal(named(k, 5)->whole, 0x3);
}

static void what_a_node_had_when_it_left_stays_known(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(40), bye = farewell(40);

    blocks_add(&bye.have, 0, 16);
    blocks_add(&bye.have, 20, 2);
    ask(k, 5, &bye);
    l.leases = 8;
    ask(k, 1, &l);
    assert_int_equal(named(k, 5)->whole, 0x1);
    assert_int_equal(named(k, 5)->part, 0x2);
    assert_false(named(k, 5)->is_taking);
    assert_int_equal(k->located.n_leases, 3);
    assert_run(k->located.leases[0], 16, 4);
    assert_run(k->located.leases[1], 22, 10);
    assert_run(k->located.leases[2], 32, 8);
}

static void what_it_had_in_part_is_forgotten_sooner_than_what_it_had_whole(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(40), bye = farewell(40);

    blocks_add(&bye.have, 0, 18);
    ask(k, 5, &bye);
    l.leases = 0;
    for (unsigned minute = 0; minute < 9; minute++) {
        k->now += 60000;
        p2p_tracker_tick(k->t, k->now);
    }
    ask(k, 1, &l);
    assert_int_equal(named(k, 5)->part, 0x2);
    k->now += 60000;
    p2p_tracker_tick(k->t, k->now);
    ask(k, 1, &l);
    assert_int_equal(named(k, 5)->part, 0);
    assert_int_equal(named(k, 5)->whole, 0x1);
}

static void a_taker_that_falls_silent_has_left(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(32), b = question(32);

    question_has(&a, 0, 16);
    a.leases = 0;
    ask(k, 1, &a);
    k->now += P2P_TAKER_TTL_MS - 1;
    p2p_tracker_tick(k->t, k->now);
    ask(k, 2, &b);
    assert_true(named(k, 1)->is_taking);
    k->now += 5000;
    p2p_tracker_tick(k->t, k->now);
    ask(k, 2, &b);
    assert_false(named(k, 1)->is_taking);
    assert_int_equal(named(k, 1)->whole, 1);
}

/* ---- who is named ---- */

static void nobody_is_named_to_himself_or_without_being_asked_for(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16);

    ask(k, 1, &l);
    assert_int_equal(k->located.n_takers, 0);
    ask(k, 2, &l);
    assert_int_equal(k->located.n_takers, 1);
    l.peers = 0;
    ask(k, 3, &l);
    assert_int_equal(k->located.n_takers, 0);
}

static void who_has_what_is_wanted_is_named_first(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(32), has = question(32);

    l.leases = 0;
    for (uint64_t node = 1; node <= 100; node++)
        ask(k, node, &l);
    question_has(&has, 17, 1);
    has.leases = 0;
    for (uint64_t node = 50; node <= 55; node++)
        ask(k, node, &has);
    l.peers = 8;
    ask(k, 1, &l);
    assert_int_equal(k->located.n_takers, 8);
    for (uint64_t node = 50; node <= 55; node++)
        assert_int_equal(named(k, node)->part, 0x2);
}

static void who_only_has_what_is_not_wanted_is_not_named(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(32);

    announce(k, 5, 0x2);
    announce(k, 6, 0x1);
    question_has(&l, 16, 16);
    ask(k, 1, &l);
    assert_null(named(k, 5));
    assert_non_null(named(k, 6));
}

static bool is_member(void *arg, uint64_t node, uint64_t *ret_zone)
{
    const uint64_t *gone = arg;

    *ret_zone = node % 4; /* 0: not known */
    return node != *gone;
}

static void those_of_the_same_zone_are_named_before_others(void **state)
{
    uint64_t gone = 0;
    struct p2p_tracker_conf conf = { .is_member = is_member, .arg = &gone };
    struct p2p_locate l = question(32);
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    l.leases = 0;
    for (uint64_t node = 1; node <= 100; node++)
        ask(&k, node, &l);
    l.peers = 20;
    ask(&k, 3, &l);
    assert_int_equal(k.located.n_takers, 20);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(k.located.takers[i].node % 4, 3);
    tracker_deinit(&k);
}

static void who_is_no_member_any_more_is_not_named_and_has_nothing(void **state)
{
    uint64_t gone = 0;
    struct p2p_tracker_conf conf = { .is_member = is_member, .arg = &gone };
    struct p2p_locate l = question(16);
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    announce(&k, 5, 1);
    gone = 5; /* while nobody takes */
    p2p_tracker_node_gone(k.t, k.now, 5);
    assert_int_equal(ask(&k, 1, &l)->n_leases, 1);
    assert_null(named(&k, 5));
    tracker_deinit(&k);
}

/* Each asker gets others, so that they do not all turn to the same few. */
static void of_many_takers_a_random_sample_is_named(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16);
    unsigned *times = el_alloc(2001 * sizeof(unsigned)), most = 0, never = 0;

    l.leases = 0;
    l.peers = 32;
    for (uint64_t node = 1; node <= 2000; node++)
        ask(k, node, &l);
    for (uint64_t node = 1; node <= 2000; node++) {
        ask(k, node, &l);
        assert_int_equal(k->located.n_takers, 32);
        for (size_t i = 0; i < 32; i++)
            times[k->located.takers[i].node]++;
    }
    for (uint64_t node = 1; node <= 2000; node++) {
        most = times[node] > most ? times[node] : most;
        never += times[node] == 0;
    }
    assert_in_range(most, 32, 80); /* 32 on average */
    assert_int_equal(never, 0);
    free(times);
}

/* ---- how often is asked ---- */

static double mean_again(struct tracker *k, uint64_t takers, const struct p2p_locate *l)
{
    double sum = 0;

    for (uint64_t node = 1; node <= takers; node++)
        sum += ask(k, node, l)->again_ms;
    return sum / (double)takers;
}

static void however_many_take_there_are_no_more_than_500_questions_a_second(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(1024);

    l.leases = 0;
    l.peers = 0;
    for (uint64_t node = 1; node <= 4000; node++)
        ask(k, node, &l);
    assert_in_range(mean_again(k, 4000, &l), 7600, 8400);
    assert_in_range(k->located.again_ms, 6400, 9600);
}

static void few_takers_ask_often_and_less_so_when_nothing_is_to_be_had(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16);

    l.leases = 0;
    assert_in_range(ask(k, 1, &l)->again_ms, 200, 300);
    announce(k, 5, 1);
    assert_in_range(ask(k, 1, &l)->again_ms, 800, 1200);
}

static void who_reads_reports_in_time(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(1024);

    l.leases = 0;
    l.peers = 0;
    for (uint64_t node = 2; node <= 5000; node++)
        ask(k, node, &l);
    l.leases = 1;
    ask_run(k, 1, &l);
    assert_in_range(k->located.again_ms, 2000, 3000);
}

/* ---- memory ---- */

static void a_group_that_nobody_has_is_forgotten(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16);

    announce(k, 5, 1);
    take_back(k, 5, 1);
    assert_int_equal(tracker_stats(k).groups, 0);
    ask(k, 1, &l);
    p2p_tracker_node_gone(k->t, k->now, 1);
    assert_int_equal(tracker_stats(k).groups, 0);
    assert_int_equal(tracker_stats(k).holders, 0);
    assert_int_equal(tracker_stats(k).takers, 0);
    assert_true(p2p_tracker_due(k->t) == UINT64_MAX);
}

static void what_is_not_announced_again_is_forgotten(void **state)
{
    struct tracker *k = *state;
    struct disc_chunks c;

    for (uint32_t group = 0; group < 2000; group++) {
        c = chunks_of(group, 1);
        p2p_tracker_announce(k->t, k->now, 1, &c, 1);
    }
    k->now += P2P_ANNOUNCE_TTL_MS / 2;
    c = chunks_of(7, 1);
    p2p_tracker_announce(k->t, k->now, 1, &c, 1);
    k->now += P2P_ANNOUNCE_TTL_MS / 2;
    for (unsigned i = 0; i < 60; i++) {
        assert_true(p2p_tracker_due(k->t) <= k->now);
        p2p_tracker_tick(k->t, k->now);
        k->now += 1000;
    }
    assert_int_equal(tracker_stats(k).groups, 1);
}

static void idle_groups_make_room_those_first_that_were_used_longest_ago(void **state)
{
    struct p2p_tracker_conf conf = { .limits = { .groups = 100 } };
    struct p2p_locate l = question(16);
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    for (uint32_t group = 0; group < 1000; group++) {
        struct disc_chunks c = chunks_of(group, 1);

        p2p_tracker_announce(k.t, k.now, 9, &c, 1);
        assert_true(tracker_stats(&k).groups <= 100);
    }
    assert_int_equal(tracker_stats(&k).given_up, 900);
    l.group = tracker_group(950);
    assert_int_equal(ask(&k, 1, &l)->n_leases, 0);
    l.group = tracker_group(10);
    assert_int_equal(ask(&k, 1, &l)->n_leases, 1);
    tracker_deinit(&k);
}

static void groups_with_takers_are_not_given_up(void **state)
{
    struct p2p_tracker_conf conf = { .limits = { .groups = 10 } };
    struct p2p_locate l = question(16);
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    for (uint32_t group = 0; group < 10; group++) {
        l.group = tracker_group(group);
        ask(&k, 1, &l);
    }
    l.group = tracker_group(11);
    assert_int_equal(p2p_tracker_locate(k.t, k.now, 1, NULL, &l, &k.located), EL_EFULL);
    assert_int_equal(tracker_stats(&k).groups, 10);
    tracker_deinit(&k);
}

static void there_are_no_more_takers_than_fit_but_those_there_are_go_on(void **state)
{
    struct p2p_tracker_conf conf = { .limits = { .takers = 10 } };
    struct p2p_locate l = question(1024);
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    l.leases = 0;
    for (uint64_t node = 1; node <= 10; node++)
        ask(&k, node, &l);
    assert_int_equal(p2p_tracker_locate(k.t, k.now, 11, NULL, &l, &k.located), EL_EFULL);
    ask(&k, 10, &l);
    p2p_tracker_node_gone(k.t, k.now, 3);
    ask(&k, 11, &l);
    assert_int_equal(tracker_stats(&k).takers, 10);
    tracker_deinit(&k);
}

static void of_a_group_only_so_many_are_remembered_that_do_not_take(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16);

    ask(k, 1, &l);
    for (uint64_t node = 2; node < 5000; node++)
        announce(k, node, 1);
    assert_int_equal(tracker_stats(k).holders, P2P_MOST_IDLE_HOLDERS + 1);
    assert_int_equal(tracker_stats(k).takers, 1);
}

static void a_group_of_another_length_is_not_the_same(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16);

    ask(k, 1, &l);
    l = question(17);
    assert_int_equal(p2p_tracker_locate(k->t, k->now, 1, NULL, &l, &k->located), EL_EINVAL);
}

static void what_it_costs_is_what_is_documented(void **state)
{
    (void)state;
    assert_true(sizeof(struct p2p_tgroup) <= 100);
    assert_int_equal(sizeof(struct p2p_holder), 32);
    assert_true(sizeof(struct p2p_taking) <= 300);
    assert_true(sizeof(struct p2p_flight) <= 3584);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_chunk_is_there_whole_in_part_or_not_at_all),
        TEST(what_is_announced_is_taken_from_there),
        TEST(what_is_taken_back_is_read_again),
        TEST(two_who_have_the_same_are_both_needed_to_lose_it),
        TEST(the_newer_word_of_a_node_counts),
        TEST(what_a_node_had_when_it_left_stays_known),
        TEST(what_it_had_in_part_is_forgotten_sooner_than_what_it_had_whole),
        TEST(a_taker_that_falls_silent_has_left),
        TEST(nobody_is_named_to_himself_or_without_being_asked_for),
        TEST(who_has_what_is_wanted_is_named_first),
        TEST(who_only_has_what_is_not_wanted_is_not_named),
        TEST(those_of_the_same_zone_are_named_before_others),
        TEST(who_is_no_member_any_more_is_not_named_and_has_nothing),
        TEST(of_many_takers_a_random_sample_is_named),
        TEST(however_many_take_there_are_no_more_than_500_questions_a_second),
        TEST(few_takers_ask_often_and_less_so_when_nothing_is_to_be_had),
        TEST(who_reads_reports_in_time),
        TEST(a_group_that_nobody_has_is_forgotten),
        TEST(what_is_not_announced_again_is_forgotten),
        TEST(idle_groups_make_room_those_first_that_were_used_longest_ago),
        TEST(groups_with_takers_are_not_given_up),
        TEST(there_are_no_more_takers_than_fit_but_those_there_are_go_on),
        TEST(of_a_group_only_so_many_are_remembered_that_do_not_take),
        TEST(a_group_of_another_length_is_not_the_same),
        TEST(what_it_costs_is_what_is_documented),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
