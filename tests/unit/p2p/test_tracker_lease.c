/* SPDX-License-Identifier: MIT */
/* Runs: who may read what from the origin, and what becomes of it. */
#include "tests/lib/tracker.h"

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

/* ---- what is granted ---- */

static void a_lone_taker_is_given_whole_chunks(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(40);

    l.leases = 3;
    ask(k, 1, &l);
    assert_int_equal(k->located.n_leases, 3);
    assert_run(k->located.leases[0], 0, 16);
    assert_run(k->located.leases[1], 16, 16);
    assert_run(k->located.leases[2], 32, 8);
    assert_int_equal(k->located.leases[0].ttl_ms, P2P_LEASE_TTL_MS);
    assert_true(p2p_blockset_is_empty(&k->located.coming));
}

static void the_first_run_of_a_taker_is_short(void **state)
{
    const struct p2p_tracker_conf conf = { .limits = { .short_run = 4 } };
    struct p2p_locate l = question(40);
    struct p2p_lease run;
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    run = ask_run(&k, 1, &l);
    assert_run(run, 0, 4);
    question_run(&l, &run, 4, true);
    assert_run(ask_run(&k, 1, &l), 4, 12);
    tracker_deinit(&k);
}

/* Those who come a moment later shall find something as well. */
static void who_has_read_nothing_yet_has_one_run(void **state)
{
    const struct p2p_tracker_conf conf = { .limits = { .short_run = 4, .first_runs = 1 } };
    struct p2p_locate l = question(64);
    struct p2p_lease run;
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    l.leases = 3;
    run = ask_run(&k, 1, &l);
    l = question(64);
    l.leases = 2;
    question_run(&l, &run, 0, true);
    assert_int_equal(ask(&k, 1, &l)->n_leases, 0);
    l = question(64);
    l.leases = 2;
    question_run(&l, &run, 1, true);
    assert_int_equal(ask(&k, 1, &l)->n_leases, 2);
    tracker_deinit(&k);
}

static const struct p2p_in_place of_one_that_lives = { .nodes = { 9 }, .n = 1, .may_answer = true };
static const struct p2p_in_place of_one_that_is_gone = { .nodes = { 9 }, .n = 1 };

static size_t ask_in_place(struct tracker *k, uint64_t node)
{
    struct p2p_locate l = question(64);

    assert_int_equal(p2p_tracker_locate(k->t, k->now, node, &of_one_that_lives, &l, &k->located),
                     EL_OK);
    return k->located.n_leases;
}

/* For so long, while the node asks as often as one does whom it has to keep waiting. */
static void assert_listens(struct tracker *k, uint64_t node, uint64_t ms)
{
    uint64_t end = k->now + ms;

    for (; k->now < end; k->now += 250)
        assert_int_equal(ask_in_place(k, node), 0);
    k->now = end;
    assert_int_equal(ask_in_place(k, node), 0);
}

/* The one that it stands in for may have granted what is not known here. */
static void who_stands_in_for_a_tracker_that_lives_listens_before_it_grants(void **state)
{
    struct tracker *k = *state;

    assert_listens(k, 1, 1499);
    k->now += 1;
    assert_int_equal(ask_in_place(k, 1), 1);
}

/* For a moment it was slow, and who had asked here was answered by it, and did not come again. */
static void who_stands_in_for_a_tracker_that_answered_then_listens_anew(void **state)
{
    struct tracker *k = *state;

    assert_listens(k, 1, 500);
    k->now += 1100;
    assert_listens(k, 2, 1499);
    k->now += 1;
    assert_int_equal(ask_in_place(k, 2), 1);
}

/* Then the other one has been silent for long. */
static void not_once_it_has_granted(void **state)
{
    struct tracker *k = *state;

    assert_listens(k, 1, 1499);
    k->now += 1;
    assert_int_equal(ask_in_place(k, 1), 1);
    k->now += 1100;
    assert_int_equal(ask_in_place(k, 2), 1);
}

static void who_stood_in_for_a_tracker_that_is_gone_grants_at_once(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(64);

    assert_int_equal(p2p_tracker_locate(k->t, k->now, 1, &of_one_that_lives, &l, &k->located),
                     EL_OK);
    assert_int_equal(k->located.n_leases, 0);
    k->now += 250;
    assert_int_equal(p2p_tracker_locate(k->t, k->now, 2, &of_one_that_is_gone, &l, &k->located),
                     EL_OK);
    assert_int_equal(k->located.n_leases, 1);
}

/* It may have granted what others read. */
static void not_if_somebody_comes_from_there(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(64), moved = question(64);

    moved.again = true;
    moved.others = 5;
    assert_int_equal(p2p_tracker_locate(k->t, k->now, 1, &of_one_that_lives, &l, &k->located),
                     EL_OK);
    k->now += 250;
    assert_int_equal(p2p_tracker_locate(k->t, k->now, 2, &of_one_that_is_gone, &moved, &k->located),
                     EL_OK);
    assert_int_equal(k->located.n_leases, 0);
    assert_int_equal(p2p_tracker_locate(k->t, k->now, 1, &of_one_that_is_gone, &l, &k->located),
                     EL_OK);
    assert_int_equal(k->located.n_leases, 0);
}

/* Of what it heard when it was last asked in place of another nothing is true any more. */
static void who_was_not_asked_in_place_of_another_for_a_while_listens_anew(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(64);

    assert_int_equal(p2p_tracker_locate(k->t, k->now, 1, &of_one_that_lives, &l, &k->located),
                     EL_OK);
    k->now += 6000;
    l.again = true;
    for (uint64_t node = 1; node <= 2; node++) {
        assert_int_equal(
            p2p_tracker_locate(k->t, k->now, node, &of_one_that_is_gone, &l, &k->located), EL_OK);
        assert_int_equal(k->located.n_leases, 0);
    }
    k->now += 1500;
    assert_int_equal(p2p_tracker_locate(k->t, k->now, 1, &of_one_that_is_gone, &l, &k->located),
                     EL_OK);
    assert_int_equal(k->located.n_leases, 1);
}

/* Also when the pace has room for no more: it passes on what it reads. */
static void each_of_few_takers_may_read(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(1024);

    for (uint64_t node = 1; node <= 24; node++)
        (void)ask_run(k, node, &l);
    assert_int_equal(ask(k, 24, &l)->n_leases, 0);
}

static void who_was_given_more_than_most_waits_for_them(void **state)
{
    const struct p2p_tracker_conf conf = { .limits = { .short_run = 4 } };
    struct p2p_locate l = question(256);
    struct p2p_lease run;
    unsigned others = 0, own = 0;
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    for (uint64_t node = 2; node <= 4; node++)
        others = ask_run(&k, node, &l).count;
    while (ask(&k, 1, &l)->n_leases > 0) {
        run = k.located.leases[0];
        own += run.count;
        l.n_ended = 0;
        question_run(&l, &run, run.count, true);
        k.now += 1000;
    }
    assert_in_range(own, others + 1, others + 4);
    tracker_deinit(&k);
}

/* They are at another part. */
static void what_nobody_else_wants_is_read_by_who_was_given_more(void **state)
{
    struct p2p_locate all = question(256), part = question(256);
    const struct p2p_tracker_conf conf = { .limits = { .short_run = 4 } };
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    question_has(&part, 0, 128); /* so much of it has gone by; it is not had any more */
    part.have = (struct p2p_blockset){ 0 };
    for (uint64_t node = 2; node <= 4; node++)
        (void)ask_run(&k, node, &part);
    for (unsigned read = 0; read < 128;) {
        struct p2p_lease run = ask_run(&k, 1, &all);

        assert_int_equal(run.first, read);
        read += run.count;
        all.n_ended = 0;
        question_run(&all, &run, run.count, true);
        k.now += 50;
    }
    assert_int_equal(ask(&k, 1, &all)->n_leases, 0); /* the rest they want as well */
    tracker_deinit(&k);
}

/* A run that was cut to nothing, or a hedge: others read it. It is spoken of again and again. */
static void what_is_not_adopted_is_not_held_against_its_holder(void **state)
{
    const struct p2p_tracker_conf conf = { .limits = { .short_run = 4 } };
    const struct p2p_lease own = { P2P_LEASE_OWN | 1, 0, 4, 0 };
    struct p2p_locate l = question(256);
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    for (uint64_t node = 2; node <= 4; node++)
        (void)ask_run(&k, node, &l); /* 0 to 11 */
    l = question(256);
    l.leases = 0;
    question_run(&l, &own, 0, true);
    for (int i = 0; i < 5; i++)
        ask(&k, 1, &l);
    l.leases = 1;
    assert_int_equal(ask(&k, 1, &l)->n_leases, 1);
    tracker_deinit(&k);
}

/* Who reads one block more than others has little more to pass on, however slow all are. */
static void of_few_takers_a_run_is_as_long_as_blocks_take_little_time(void **state)
{
    static const struct {
        unsigned ms, blocks;
    } v[] = { { 50, 4 }, { 900, 2 }, { 5000, 1 } };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(v); i++) {
        const struct p2p_tracker_conf conf = { .limits = { .short_run = 4 } };
        struct p2p_locate l = question(1024), none = question(1024);
        struct p2p_lease run;
        struct tracker k;

        tracker_init(&k, &conf);
        none.leases = 0;
        for (uint64_t node = 2; node <= 4; node++)
            ask(&k, node, &none);
        run = ask_run(&k, 1, &l);
        assert_int_equal(run.count, 1); /* nothing is known yet */
        k.now += v[i].ms;
        question_run(&l, &run, 1, true);
        assert_int_equal(ask_run(&k, 1, &l).count, v[i].blocks);
        tracker_deinit(&k);
    }
}

/* It was the first to ask: the tracker heard of its run only from it. */
static void who_reads_what_nobody_granted_waits_for_the_others_as_well(void **state)
{
    const struct p2p_tracker_conf conf = { .limits = { .short_run = 4 } };
    struct p2p_locate l = question(256), own = question(256);
    const struct p2p_lease run = { P2P_LEASE_OWN | 1, 0, 8, 0 };
    struct tracker k;

    (void)state;
    tracker_init(&k, &conf);
    own.leases = 0;
    question_run(&own, &run, 1, true);
    ask(&k, 1, &own);
    for (uint64_t node = 2; node <= 4; node++)
        (void)ask_run(&k, node, &l);
    l = question(256);
    question_run(&l, &run, 8, true);
    k.now += 1000;
    assert_int_equal(ask(&k, 1, &l)->n_leases, 0);
    tracker_deinit(&k);
}

static void a_run_ends_with_its_chunk_and_with_what_is_wanted(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(64);

    l.want = (struct p2p_blockset){ 0 };
    blocks_add(&l.want, 10, 10);
    blocks_add(&l.want, 30, 1);
    l.leases = 4;
    ask(k, 1, &l);
    assert_int_equal(k->located.n_leases, 3);
    assert_run(k->located.leases[0], 10, 6);
    assert_run(k->located.leases[1], 16, 4);
    assert_run(k->located.leases[2], 30, 1);
}

/* Half of what is left for 4 takers: 128/8, 112/8, 98/8, ...; a rest of a chunk that is far shorter
 * than the run before it belongs to it. */
static void with_many_takers_runs_shrink_towards_the_end(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate none = question(128), l = question(128);
    unsigned left = 128, runs = 0;

    none.leases = 0;
    for (uint64_t node = 1; node <= 4; node++)
        ask(k, node, &none);
    for (; left > 0; runs++) {
        struct p2p_lease run = ask_run(k, 1, &l);
        unsigned share = left < 8 ? 1 : left / 8;

        k->now += 20 * run.count;

        assert_int_equal(run.first, 128 - left);
        assert_true(run.count <= share + share / 4);
        assert_true(left > 8 || run.count == 1);
        left -= run.count;
        l.n_ended = 0;
        question_run(&l, &run, run.count, true);
    }
    assert_in_range(runs, 16, 33); /* the first is of one block: nothing is known yet */
}

/* A question for each block would take as long as the block. */
static void where_blocks_take_little_time_runs_are_of_several(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate none = question(128), l = question(128);
    struct p2p_lease run;

    none.leases = 0;
    for (uint64_t node = 2; node <= 100; node++)
        ask(k, node, &none);
    run = ask_run(k, 1, &l);
    assert_int_equal(run.count, 1);
    k->now += 9;
    question_run(&l, &run, run.count, true);
    run = ask_run(k, 1, &l);
    assert_int_equal(run.count, 4);
}

static void what_is_leased_or_had_by_somebody_is_not_leased_again(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(32), b = question(32);
    struct p2p_lease run;

    question_has(&a, 0, 16);
    run = ask_run(k, 1, &a);
    assert_run(run, 16, 16);
    b.leases = 32;
    ask(k, 2, &b);
    assert_int_equal(k->located.n_leases, 0);
    assert_int_equal(p2p_blockset_count(&k->located.coming), 16);
    assert_int_equal(p2p_blockset_next(&k->located.coming, 0), 16);
}

static void blocks_that_were_read_are_had_by_the_reader(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);
    struct p2p_lease run = ask_run(k, 1, &a);

    question_run(&a, &run, 5, true);
    a.have = (struct p2p_blockset){ 0 }; /* not said yet, but follows */
    ask(k, 1, &a);
    ask(k, 2, &b);
    assert_int_equal(k->located.n_leases, 0);
    assert_int_equal(p2p_blockset_count(&k->located.coming), 11);
    assert_int_equal(k->located.n_takers, 1);
    assert_int_equal(k->located.takers[0].part, 1);
}

static void what_its_holder_has_no_more_is_leased_again(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);

    question_has(&a, 0, 16);
    ask(k, 1, &a);
    ask(k, 2, &b);
    assert_int_equal(k->located.n_leases, 0);
    a = question(16);
    a.leases = 0;
    ask(k, 1, &a);
    assert_int_equal(ask(k, 2, &b)->n_leases, 1);
}

/* ---- exact runs ---- */

static struct p2p_locate exact(unsigned first, unsigned n)
{
    struct p2p_locate l = question(64);

    l.want = (struct p2p_blockset){ 0 };
    blocks_add(&l.want, first, n);
    l.exact = true;
    return l;
}

static void an_exact_run_is_all_of_it_however_many_take(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = exact(18, 8), any = question(64);

    for (uint64_t node = 2; node < 30; node++) {
        any.leases = 0;
        ask(k, node, &any);
    }
    assert_run(ask_run(k, 1, &l), 18, 8);
}

static void an_exact_run_is_not_given_in_part(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate any = question(64), l = exact(8, 8);

    any.want = (struct p2p_blockset){ 0 };
    blocks_add(&any.want, 15, 1);
    assert_run(ask_run(k, 1, &any), 15, 1);
    assert_int_equal(ask(k, 2, &l)->n_leases, 0);
    question_run(&any, &(struct p2p_lease){ k->located.leases[0].id, 15, 1, 0 }, 0, false);
}

/* The rest of it would not come any other way. */
static void an_exact_run_may_hold_what_others_have_but_not_only_that(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate has = question(64), l = exact(8, 8);

    has.leases = 0;
    question_has(&has, 8, 7);
    ask(k, 1, &has);
    assert_run(ask_run(k, 2, &l), 8, 8);
    question_run(&l, &k->located.leases[0], 0, false);
    l.exact = false;
    l.leases = 0;
    ask(k, 2, &l);
    question_has(&has, 15, 1);
    ask(k, 1, &has);
    l = exact(8, 8);
    k->now += 60000;
    assert_int_equal(ask(k, 3, &l)->n_leases, 0);
}

/* ---- how many at a time ---- */

static void no_more_runs_are_out_than_the_origin_is_held_to_bear(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(1024);

    l.leases = 32;
    assert_int_equal(ask(k, 1, &l)->n_leases, 4);
    l.leases = 1;
    assert_int_equal(ask(k, 2, &l)->n_leases, 1); /* who has none gets one */
    assert_int_equal(ask(k, 2, &l)->n_leases, 0);
    assert_true(k->located.again_ms > 0 && k->located.again_ms <= 1200);
}

static void the_last_block_of_a_run_makes_room_for_its_holders_next_one(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(1024), b = question(1024);
    struct p2p_lease run;

    b.leases = 3;
    ask(k, 2, &b);
    run = ask_run(k, 1, &a);
    k->now += 1000;
    question_run(&a, &run, run.count - 2u, true);
    assert_int_equal(ask(k, 1, &a)->n_leases, 0);
    a.n_ended = 0;
    question_run(&a, &run, run.count - 1u, true);
    assert_int_equal(ask(k, 2, &b)->n_leases, 0);
    assert_int_equal(ask(k, 1, &a)->n_leases, 1);
    a.n_ended = 0;
    question_run(&a, &run, run.count - 1u, true);
    question_run(&a, &k->located.leases[0], 0, true);
    assert_int_equal(ask(k, 1, &a)->n_leases, 0);
}

/* Who reads one takes blocks of others beside it, and has a part of its link for it. */
static void where_blocks_take_no_time_eight_runs_are_out(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(1024), b = question(1024);
    struct p2p_lease run = ask_run(k, 1, &a);

    b.leases = 32;
    assert_int_equal(ask(k, 2, &b)->n_leases, 3);
    k->now += 5;
    question_run(&a, &run, 1, true);
    a.leases = 0;
    ask(k, 1, &a);
    assert_int_equal(ask(k, 2, &b)->n_leases, 4);
}

/* ---- how runs end ---- */

static void a_run_that_failed_passes_to_the_next_who_asks(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);
    struct p2p_lease run = ask_run(k, 1, &a);

    assert_int_equal(ask(k, 2, &b)->n_leases, 0);
    question_run(&a, &run, 3, false);
    a.leases = 1;
    blocks_add(&a.want, 3, 13);
    assert_int_equal(ask(k, 1, &a)->n_leases, 0); /* the other one wants it as well */
    run = ask_run(k, 2, &b);
    assert_int_equal(run.first, 3);
    assert_int_equal(tracker_stats(k).failed, 1);
}

static void who_failed_may_try_again_when_nobody_else_would(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16);
    struct p2p_lease run = ask_run(k, 1, &a);

    question_run(&a, &run, 0, false);
    blocks_add(&a.want, 0, 16);
    assert_int_equal(ask(k, 1, &a)->n_leases, 1);
}

static void who_failed_may_try_again_after_a_while(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);
    struct p2p_lease run = ask_run(k, 1, &a);

    b.leases = 1;
    ask(k, 2, &b);
    question_run(&a, &run, 0, false);
    blocks_add(&a.want, 0, 16);
    assert_int_equal(ask(k, 1, &a)->n_leases, 0);
    a.n_ended = 0;
    k->now += 999;
    assert_int_equal(ask(k, 1, &a)->n_leases, 0);
    k->now += 1;
    assert_int_equal(ask(k, 1, &a)->n_leases, 1);
}

/* Its holder finds that it is far behind. */
static void the_part_of_a_run_that_is_given_back_passes_on_at_once(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16), other = question(16);
    struct p2p_lease run = ask_run(k, 1, &l);

    assert_run(run, 0, 16);
    k->now += 500;
    run.count = 6;
    l.leases = 0;
    question_run(&l, &run, 5, true);
    ask(k, 1, &l);
    assert_int_equal(k->located.n_cuts, 0);
    assert_int_equal(ask_run(k, 2, &other).first, 6);
    l.n_ended = 0;
    question_run(&l, &run, 6, true);
    ask(k, 1, &l);
    assert_int_equal(tracker_stats(k).failed, 0);
}

static void a_run_without_progress_lapses_and_its_rest_passes_on(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);
    struct p2p_lease run = ask_run(k, 1, &a);

    question_run(&a, &run, 3, true);
    k->now += 9000;
    ask(k, 1, &a); /* progress */
    k->now += P2P_LEASE_TTL_MS - 1;
    assert_int_equal(ask(k, 2, &b)->n_leases, 0);
    k->now += 1;
    run = ask_run(k, 2, &b);
    assert_int_equal(run.first, 3);
    assert_int_equal(tracker_stats(k).lapsed, 1);
}

static void who_lost_a_run_is_told_where_it_ends(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);
    struct p2p_lease run = ask_run(k, 1, &a);

    k->now += P2P_LEASE_TTL_MS;
    ask(k, 2, &b);
    question_run(&a, &run, 0, true);
    ask(k, 1, &a);
    assert_int_equal(k->located.n_cuts, 1);
    assert_int_equal(k->located.cuts[0].id, run.id);
    assert_int_equal(k->located.cuts[0].count, 0);
    ask(k, 1, &a); /* the answer was lost: it is told again, or it is as if it never had it */
    assert_int_equal(k->located.n_cuts, 1);
}

/* Nobody has taken it up meanwhile, and it was slow, not dead: from now on there is more time. */
static void a_lapsed_run_that_went_on_is_its_holders_again(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);
    struct p2p_lease run = ask_run(k, 1, &a);

    k->now += P2P_LEASE_TTL_MS;
    p2p_tracker_tick(k->t, k->now);
    assert_int_equal(tracker_stats(k).lapsed, 1);
    question_run(&a, &run, 1, true);
    ask(k, 1, &a);
    assert_int_equal(k->located.n_cuts, 0);
    k->now += 2 * P2P_LEASE_TTL_MS - 1;
    assert_int_equal(ask(k, 2, &b)->n_leases, 0);
    k->now += 1;
    assert_int_equal(ask(k, 2, &b)->n_leases, 1);
}

/* Blocks take others 100 ms; one that takes more than 4 times that and 2 s is too slow. */
static void a_run_far_slower_than_others_loses_what_it_has_not_read(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate fast = question(64), slow = question(64), third = question(64);
    struct p2p_lease run, mine;

    mine = ask_run(k, 1, &slow);
    slow.leases = 0;
    run = ask_run(k, 2, &fast);
    third.leases = 0;
    ask(k, 3, &third);
    for (unsigned done = 1; done < run.count; done++) {
        k->now += 100;
        fast = question(64);
        question_run(&fast, &run, done, true);
        ask(k, 2, &fast);
    }
    question_run(&slow, &mine, 1, true);
    ask(k, 1, &slow);
    fast = question(64);
    question_run(&fast, &run, run.count, true);
    fast.leases = 0;
    ask(k, 2, &fast);
    k->now += 2000;
    ask(k, 1, &slow);
    ask(k, 2, &fast);
    assert_int_equal(tracker_stats(k).slow, 0);
    k->now += 1;
    ask(k, 1, &slow);
    third.leases = 1;
    run = ask_run(k, 3, &third);
    assert_int_equal(run.first, mine.first + 1);
    assert_int_equal(tracker_stats(k).slow, 1);
    ask(k, 1, &slow);
    assert_int_equal(k->located.n_cuts, 1);
    assert_int_equal(k->located.cuts[0].count, 1);
}

/* Whoever came first has most of what a slow origin gives, and it is the others that are many. */
static void who_is_as_slow_as_most_others_keeps_what_it_reads(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(256);
    struct p2p_lease first = ask_run(k, 1, &l), runs[4];

    for (uint64_t node = 2; node <= 5; node++)
        runs[node - 2] = ask_run(k, node, &l);
    for (unsigned done = 1; done <= 5; done++) {
        k->now += 1000;
        l = question(256);
        question_run(&l, &first, done, true);
        ask(k, 1, &l);
        for (uint64_t node = 2; node <= 5; node++) {
            l = question(256);
            l.leases = 0;
            question_run(&l, &runs[node - 2], 0, true);
            assert_int_equal(ask(k, node, &l)->n_cuts, 0);
        }
    }
    /* When the others have read theirs, and it takes far longer than they did, the last one is. */
    for (uint64_t node = 2; node <= 4; node++) {
        l = question(256);
        l.leases = 0;
        runs[node - 2].count = 1;
        question_run(&l, &runs[node - 2], 1, true);
        ask(k, node, &l);
    }
    assert_int_equal(tracker_stats(k).slow, 0);
    l = question(256);
    l.leases = 0;
    question_run(&l, &first, first.count, true);
    ask(k, 1, &l);
    l = question(256);
    l.leases = 0;
    question_run(&l, &runs[3], 0, true);
    assert_int_equal(ask(k, 5, &l)->n_cuts, 0);
    k->now += 1000;
    assert_int_equal(ask(k, 5, &l)->n_cuts, 0); /* that it is still at it is heard now */
    assert_int_equal(ask(k, 5, &l)->n_cuts, 1);
    assert_int_equal(tracker_stats(k).slow, 1);
}

/* Nobody would be faster; the holder says that it reads on. Who is silent has no such word. */
static void no_run_lapses_while_nobody_has_read_a_block(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(64), b = question(64), other = question(64);
    struct p2p_lease run = ask_run(k, 1, &a), second = ask_run(k, 2, &b);

    a.leases = b.leases = other.leases = 0;
    question_run(&a, &run, 0, true);
    question_run(&b, &second, 0, true);
    for (unsigned s = 0; s < 60; s += 2) {
        k->now += 2000;
        ask(k, 1, &a);
        if (s < 40)
            ask(k, 2, &b);
        ask(k, 3, &other);
        assert_int_equal(tracker_stats(k).lapsed, s >= 48);
    }
    assert_int_equal(tracker_stats(k).lapsed, 1);
    k->now += P2P_LEASE_MOST_MS;
    p2p_tracker_tick(k->t, k->now);
    assert_int_equal(tracker_stats(k).lapsed, 2);
}

/* A third node, with so many runs that nobody granted; they move, and nothing more is known. */
static void say_own(struct tracker *k, unsigned n)
{
    struct p2p_locate l = question(64);

    l.leases = 0;
    for (unsigned i = 0; i < n; i++) {
        struct p2p_lease own = { P2P_LEASE_OWN + i, (uint16_t)(63 - i), 1, 0 };

        question_run(&l, &own, 0, true);
    }
    ask(k, 3, &l);
}

/* Two read a block in 15 s each, and one of them then none for four times as long. */
static void assert_second_lapses(struct tracker *k, unsigned own)
{
    struct p2p_locate a = question(64), b = question(64);
    struct p2p_lease run = ask_run(k, 1, &a), second = ask_run(k, 2, &b);
    unsigned done = 0;

    a.leases = b.leases = 0;
    for (unsigned s = 0; s < 75; s += 1) {
        k->now += 1000;
        done += s % 15 == 14;
        a.n_ended = b.n_ended = 0;
        question_run(&a, &run, done, true);
        question_run(&b, &second, done > 0, true);
        ask(k, 1, &a);
        ask(k, 2, &b);
        if (s >= 30)
            say_own(k, own);
        assert_int_equal(tracker_stats(k).lapsed + tracker_stats(k).slow, 0);
    }
    for (unsigned s = 0; s < 55 && tracker_stats(k).lapsed + tracker_stats(k).slow == 0; s++) {
        k->now += 1000;
        done += s % 15 == 14;
        a.n_ended = 0;
        question_run(&a, &run, done, true);
        ask(k, 1, &a);
        say_own(k, own);
        ask(k, 2, &b);
    }
    assert_int_equal(tracker_stats(k).lapsed + tracker_stats(k).slow, 1);
    assert_int_equal(k->located.n_cuts, 1); /* of the second */
}

static void a_run_lapses_when_a_fair_share_would_bring_more(void **state)
{
    assert_second_lapses(*state, 0);
}

/* What they bring does not count, so neither does how long they are out. */
static void runs_that_were_not_granted_make_the_fair_share_no_smaller(void **state)
{
    assert_second_lapses(*state, 8);
}

/* Both nodes' runs, as they are: `still' is of the first. */
static void say_both(struct tracker *k, const struct p2p_lease runs[2], const unsigned done[2],
                     bool still)
{
    for (unsigned i = 0; i < 2; i++) {
        struct p2p_locate l = question(64);

        l.leases = 0;
        if (i == 0 && still)
            question_still(&l, &runs[i], done[i]);
        else
            question_run(&l, &runs[i], done[i], true);
        ask(k, i + 1, &l);
    }
}

static void what_stands_still_while_others_move_is_taken_back(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(64);
    struct p2p_lease runs[2] = { ask_run(k, 1, &l), ask_run(k, 2, &l) };

    for (unsigned s = 1; s < P2P_LEASE_TTL_MS / 1000; s++) {
        k->now += 1000;
        say_both(k, runs, (unsigned[]){ 0, 0 }, true); /* the other one reads a long block */
        assert_int_equal(tracker_stats(k).lapsed, 0);
    }
    k->now += 1000;
    say_both(k, runs, (unsigned[]){ 0, 0 }, true);
    assert_int_equal(tracker_stats(k).lapsed, 1);
}

/* Each with one run, of which nothing is known but that; still: nothing comes. */
static void say_all(struct tracker *k, const struct p2p_lease *runs, unsigned n, unsigned done,
                    bool still)
{
    for (unsigned i = 0; i < n; i++) {
        struct p2p_locate l = question(256);

        l.leases = 0;
        if (still)
            question_still(&l, &runs[i], done);
        else
            question_run(&l, &runs[i], done, true);
        ask(k, i + 1, &l);
    }
}

/* Long ones: whoever has one wants nothing more for the moment, so that they are not few takers. */
static void give_one_each(struct tracker *k, struct p2p_lease *runs, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct p2p_locate l = question(256);

        runs[i] = ask_run(k, i + 1, &l);
        l.leases = 0;
        l.want = (struct p2p_blockset){ 0 };
        question_run(&l, &runs[i], 0, true);
        ask(k, i + 1, &l);
    }
}

/* It may be the origin: to ask it for all of that once more would make it worse. */
static void where_all_stand_still_one_at_a_time_is_tried_elsewhere(void **state)
{
    struct tracker *k = *state;
    struct p2p_lease runs[4];

    give_one_each(k, runs, 4);
    for (unsigned s = 1; s <= 29; s++) {
        k->now += 1000;
        say_all(k, runs, 4, 0, true);
        assert_int_equal(tracker_stats(k).lapsed, s >= 10); /* the next one has twice the time */
    }
    for (unsigned s = 30; s <= 60; s++) { /* it goes on, for all */
        k->now += 1000;
        say_all(k, runs, 4, 0, false);
    }
    assert_int_equal(tracker_stats(k).lapsed, 2);
}

/* Its own deadline ends that, and not a lease that it would be given again. */
static void what_nobody_else_wants_may_stand_still(void **state)
{
    struct tracker *k = *state;
    struct p2p_lease run;

    give_one_each(k, &run, 1);
    for (unsigned s = 0; s < 60; s++) {
        k->now += 1000;
        say_all(k, &run, 1, 0, true);
        assert_int_equal(k->located.n_cuts, 0);
    }
    assert_int_equal(tracker_stats(k).lapsed, 0);
}

/* One answer to a client, reported as runs: it is at the first of them, and moves. */
static void what_one_answer_brings_is_not_stuck_while_it_comes(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate other = question(256);

    for (unsigned s = 0; s < 60; s++) {
        struct p2p_locate l = question(256);

        l.leases = 0;
        for (unsigned i = 0; i < 3; i++) {
            struct p2p_lease own = { P2P_LEASE_OWN + i, (uint16_t)(16 * i), 16, 0 };

            if (i == 0)
                question_run(&l, &own, s / 5, true);
            else
                question_still(&l, &own, 0);
        }
        ask(k, 1, &l);
        other.leases = s % 2;
        ask(k, 2, &other);
        k->now += 1000;
    }
    assert_int_equal(tracker_stats(k).lapsed, 0);
}

static void nobody_is_slow_while_the_origin_pauses(void **state)
{
    struct tracker *k = *state;
    struct p2p_lease runs[3];
    unsigned done;

    give_one_each(k, runs, 3);
    for (done = 1; done < runs[0].count; done++) {
        k->now += 100;
        say_all(k, runs, 3, done, false);
    }
    for (unsigned ms = 0; ms < 5000; ms += 250) {
        k->now += 250;
        say_all(k, runs, 3, done - 1, ms >= P2P_STILL_MS);
    }
    assert_int_equal(tracker_stats(k).slow + tracker_stats(k).lapsed, 0);
}

/* All shared the origin, and with the others gone it is not that it takes longer than it should. */
static void the_last_run_of_a_slow_origin_is_not_slow(void **state)
{
    struct tracker *k = *state;
    struct p2p_lease runs[4];

    give_one_each(k, runs, 4);
    for (unsigned s = 0; s < 20; s++) {
        k->now += 1000;
        say_all(k, runs, 4, 0, false);
    }
    for (unsigned i = 0; i < 3; i++) {
        struct p2p_locate l = question(256);

        l.leases = 0;
        question_run(&l, &runs[i], 1, true);
        runs[i].count = 1;
        l.ended[0].count = 1;
        ask(k, i + 1, &l);
    }
    for (unsigned s = 0; s < 20; s++) {
        struct p2p_locate l = question(256);

        k->now += 1000;
        l.leases = 0;
        question_run(&l, &runs[3], 0, true);
        assert_int_equal(ask(k, 4, &l)->n_cuts, 0);
    }
    assert_int_equal(tracker_stats(k).slow + tracker_stats(k).lapsed, 0);
}

/* Its word would make everybody slow who needs more than 2 s for a block. */
static void blocks_that_were_not_granted_make_nobody_slow(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(256), liar = question(256);
    struct p2p_lease run = ask_run(k, 1, &l), own = { .first = 64, .count = 16 };

    for (unsigned i = 0; i < 8; i++) {
        own.id = P2P_LEASE_OWN + i;
        own.first = (uint16_t)(64 + 16 * i);
        for (unsigned done = 0; done <= 16; done += 4) {
            liar = question(256);
            liar.leases = 0;
            question_run(&liar, &own, done, true);
            ask(k, 2, &liar);
            k->now += 1;
        }
    }
    for (unsigned s = 0; s < 9; s++) {
        k->now += 1000;
        l = question(256);
        question_run(&l, &run, 0, true);
        ask(k, 1, &l);
    }
    assert_int_equal(tracker_stats(k).slow, 0);
}

static void who_is_silent_is_not_held_to_be_slow(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate fast = question(64), slow = question(64);
    struct p2p_lease run, mine;

    mine = ask_run(k, 1, &slow);
    run = ask_run(k, 2, &fast);
    for (unsigned done = 1; done < run.count; done++) {
        k->now += 100;
        fast = question(64);
        question_run(&fast, &run, done, true);
        ask(k, 2, &fast);
    }
    k->now += 5000;
    ask(k, 2, &fast);
    assert_int_equal(tracker_stats(k).slow, 0);
    question_run(&slow, &mine, 10, true);
    assert_int_equal(ask(k, 1, &slow)->n_cuts, 0);
}

static void the_runs_of_a_node_that_is_gone_pass_on_at_once(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);
    struct p2p_lease run = ask_run(k, 1, &a);

    question_run(&a, &run, 3, true);
    ask(k, 1, &a);
    p2p_tracker_node_gone(k->t, k->now, 1);
    run = ask_run(k, 2, &b);
    assert_int_equal(run.first, 0); /* what it had is gone as well */
    assert_int_equal(k->located.n_takers, 0);
}

static void who_leaves_gives_its_runs_back(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(32), b = question(32);

    ask_run(k, 1, &a);
    a = (struct p2p_locate){ .group = a.group, .blocks = 32, .leaves = true };
    blocks_add(&a.have, 0, 2);
    ask(k, 1, &a);
    assert_run(ask_run(k, 2, &b), 2, 14);
}

/* The answer that granted it was lost, or its holder has started anew. */
static void a_run_that_its_holder_does_not_speak_of_is_free_after_a_while(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);

    ask_run(k, 1, &a);
    a.leases = 0;
    k->now += 1999;
    ask(k, 1, &a);
    assert_int_equal(ask(k, 2, &b)->n_leases, 0);
    k->now += 1;
    ask(k, 1, &a);
    assert_int_equal(ask(k, 2, &b)->n_leases, 1);
}

/* ---- a tracker that knows nothing ---- */

static void a_new_tracker_adopts_the_runs_that_it_is_told_of(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(32), b = question(32);
    struct p2p_lease run = { .id = 77, .first = 16, .count = 16 };

    question_run(&a, &run, 6, true);
    a.leases = 0;
    ask(k, 1, &a);
    assert_int_equal(k->located.n_cuts, 0);
    assert_int_equal(tracker_stats(k).adopted, 1);
    b.leases = 8;
    b.want = a.want;
    b.want = (struct p2p_blockset){ 0 };
    blocks_add(&b.want, 16, 16);
    ask(k, 2, &b);
    assert_int_equal(k->located.n_leases, 0);
    assert_int_equal(p2p_blockset_count(&k->located.coming), 10);
    a.n_ended = 0;
    question_run(&a, &run, 16, true);
    ask(k, 1, &a);
    assert_int_equal(tracker_stats(k).runs, 0);
}

/* Others have still to say what they have and read. */
static void a_new_tracker_listens_before_it_grants(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16), fresh = question(16);
    struct p2p_lease run = { .id = 77, .first = 4, .count = 12 };

    a.again = true;
    assert_int_equal(ask(k, 1, &a)->n_leases, 0);
    k->now += 1000;
    b.again = true;
    question_run(&b, &run, 6, true);
    ask(k, 2, &b);
    assert_int_equal(ask(k, 3, &fresh)->n_leases, 0);
    k->now += 499;
    assert_int_equal(ask(k, 1, &a)->n_leases, 0);
    k->now += 1;
    assert_int_equal(ask(k, 1, &a)->n_leases, 1);
    assert_run(k->located.leases[0], 0, 1);
}

/* A question of who was located by another tracker, and knows of so many others. */
static const struct p2p_located *ask_moved(struct tracker *k, uint64_t node, uint8_t others,
                                           uint32_t blocks)
{
    struct p2p_locate l = question(blocks);

    l.again = true;
    l.others = others;
    return ask(k, node, &l);
}

static void a_new_tracker_grants_as_soon_as_it_has_heard_all(void **state)
{
    struct tracker *k = *state;

    assert_int_equal(ask_moved(k, 1, 2, 16)->n_leases, 0);
    assert_int_equal(k->located.taking, 0); /* it does not know */
    assert_int_equal(ask_moved(k, 2, 1, 16)->n_leases, 0);
    assert_int_equal(ask_moved(k, 1, 2, 16)->n_leases, 0); /* the same one again */
    assert_int_equal(ask_moved(k, 3, 2, 16)->n_leases, 1);
    assert_int_equal(k->located.taking, 3);
    assert_int_equal(ask_moved(k, 1, 2, 16)->n_leases, 1);
}

static void who_comes_for_the_first_time_is_not_one_of_those_to_be_heard(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate fresh = question(16);

    ask_moved(k, 1, 1, 16);
    assert_int_equal(ask(k, 2, &fresh)->n_leases, 0);
    assert_int_equal(ask_moved(k, 3, 1, 16)->n_leases, 1);
}

/* A question that was on its way to the tracker that is gone counts that one. */
static void what_a_taker_says_of_the_others_counts_as_it_says_it_last(void **state)
{
    struct tracker *k = *state;

    ask_moved(k, 1, 2, 16);
    assert_int_equal(ask_moved(k, 2, 1, 16)->n_leases, 0);
    assert_int_equal(ask_moved(k, 1, 1, 16)->n_leases, 1);
}

static void a_tracker_that_knows_its_takers_does_not_wait(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16);

    l.leases = 0;
    ask(k, 1, &l);
    l.leases = 1;
    l.again = true;
    k->now += 250;
    assert_int_equal(ask(k, 1, &l)->n_leases, 1);
}

static void of_two_runs_over_the_same_blocks_the_later_told_is_cut(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);

    a.leases = 0;
    b.leases = 0;
    question_run(&a, &(struct p2p_lease){ 77, 8, 8, 0 }, 0, true);
    question_run(&b, &(struct p2p_lease){ 77, 4, 12, 0 }, 1, true);
    ask(k, 1, &a);
    ask(k, 2, &b);
    assert_int_equal(k->located.n_cuts, 1);
    assert_int_equal(k->located.cuts[0].count, 4);
    b.ended[0].count = 4;
    ask(k, 2, &b);
    assert_int_equal(k->located.n_cuts, 0);
    assert_int_equal(tracker_stats(k).runs, 2);
}

static void a_run_that_nobody_granted_keeps_others_from_its_blocks(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);

    question_run(&a, &(struct p2p_lease){ P2P_LEASE_OWN + 1, 0, 10, 0 }, 0, true);
    a.leases = 0;
    ask(k, 1, &a);
    assert_int_equal(ask_run(k, 2, &b).first, 10);
}

/* What it reads although somebody has the lease for it: that one does not bring it. */
static void a_hedge_is_not_cut(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate a = question(16), b = question(16);

    ask_run(k, 1, &a);
    question_run(&b, &(struct p2p_lease){ P2P_LEASE_OWN + 1, 4, 4, 0 }, 1, true);
    assert_int_equal(ask(k, 2, &b)->n_cuts, 0);
    assert_int_equal(tracker_stats(k).runs, 1);
}

static void a_run_that_was_cut_to_nothing_may_be_spoken_of(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(16);

    l.leases = 0;
    l.ended[l.n_ended++] = (struct p2p_lease_end){ .id = 5, .first = 8, .ok = true };
    ask(k, 1, &l);
    assert_int_equal(tracker_stats(k).runs, 0);
    assert_int_equal(k->located.n_cuts, 0);
}

static void ids_of_leases_are_never_those_of_runs_of_ones_own(void **state)
{
    struct tracker *k = *state;
    struct p2p_locate l = question(1024);

    for (unsigned i = 0; i < 100; i++) {
        struct p2p_lease run = ask_run(k, 1, &l);

        assert_true(run.id != 0 && run.id < P2P_LEASE_OWN);
        l = question(1024);
        question_run(&l, &run, run.count, true);
        l.have = (struct p2p_blockset){ 0 };
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        cmocka_unit_test(the_first_run_of_a_taker_is_short),
        cmocka_unit_test(who_has_read_nothing_yet_has_one_run),
        TEST(who_stands_in_for_a_tracker_that_lives_listens_before_it_grants),
        TEST(who_stands_in_for_a_tracker_that_answered_then_listens_anew),
        TEST(not_once_it_has_granted),
        TEST(who_stood_in_for_a_tracker_that_is_gone_grants_at_once),
        TEST(not_if_somebody_comes_from_there),
        TEST(who_was_not_asked_in_place_of_another_for_a_while_listens_anew),
        cmocka_unit_test(of_few_takers_a_run_is_as_long_as_blocks_take_little_time),
        cmocka_unit_test(who_reads_what_nobody_granted_waits_for_the_others_as_well),
        cmocka_unit_test(what_is_not_adopted_is_not_held_against_its_holder),
        cmocka_unit_test(who_was_given_more_than_most_waits_for_them),
        cmocka_unit_test(what_nobody_else_wants_is_read_by_who_was_given_more),
        TEST(each_of_few_takers_may_read),
        TEST(a_lone_taker_is_given_whole_chunks),
        TEST(a_run_ends_with_its_chunk_and_with_what_is_wanted),
        TEST(with_many_takers_runs_shrink_towards_the_end),
        TEST(where_blocks_take_little_time_runs_are_of_several),
        TEST(what_is_leased_or_had_by_somebody_is_not_leased_again),
        TEST(blocks_that_were_read_are_had_by_the_reader),
        TEST(what_its_holder_has_no_more_is_leased_again),
        TEST(an_exact_run_is_all_of_it_however_many_take),
        TEST(an_exact_run_is_not_given_in_part),
        TEST(an_exact_run_may_hold_what_others_have_but_not_only_that),
        TEST(no_more_runs_are_out_than_the_origin_is_held_to_bear),
        TEST(the_last_block_of_a_run_makes_room_for_its_holders_next_one),
        TEST(where_blocks_take_no_time_eight_runs_are_out),
        TEST(a_run_that_failed_passes_to_the_next_who_asks),
        TEST(who_failed_may_try_again_when_nobody_else_would),
        TEST(who_failed_may_try_again_after_a_while),
        TEST(the_part_of_a_run_that_is_given_back_passes_on_at_once),
        TEST(a_run_without_progress_lapses_and_its_rest_passes_on),
        TEST(who_lost_a_run_is_told_where_it_ends),
        TEST(a_lapsed_run_that_went_on_is_its_holders_again),
        TEST(a_run_far_slower_than_others_loses_what_it_has_not_read),
        TEST(no_run_lapses_while_nobody_has_read_a_block),
        TEST(a_run_lapses_when_a_fair_share_would_bring_more),
        TEST(runs_that_were_not_granted_make_the_fair_share_no_smaller),
        TEST(who_is_as_slow_as_most_others_keeps_what_it_reads),
        TEST(what_stands_still_while_others_move_is_taken_back),
        TEST(where_all_stand_still_one_at_a_time_is_tried_elsewhere),
        TEST(what_nobody_else_wants_may_stand_still),
        TEST(what_one_answer_brings_is_not_stuck_while_it_comes),
        TEST(nobody_is_slow_while_the_origin_pauses),
        TEST(the_last_run_of_a_slow_origin_is_not_slow),
        TEST(blocks_that_were_not_granted_make_nobody_slow),
        TEST(who_is_silent_is_not_held_to_be_slow),
        TEST(the_runs_of_a_node_that_is_gone_pass_on_at_once),
        TEST(who_leaves_gives_its_runs_back),
        TEST(a_run_that_its_holder_does_not_speak_of_is_free_after_a_while),
        TEST(a_new_tracker_adopts_the_runs_that_it_is_told_of),
        TEST(a_new_tracker_listens_before_it_grants),
        TEST(a_new_tracker_grants_as_soon_as_it_has_heard_all),
        TEST(who_comes_for_the_first_time_is_not_one_of_those_to_be_heard),
        TEST(what_a_taker_says_of_the_others_counts_as_it_says_it_last),
        TEST(a_tracker_that_knows_its_takers_does_not_wait),
        TEST(of_two_runs_over_the_same_blocks_the_later_told_is_cut),
        TEST(a_run_that_nobody_granted_keeps_others_from_its_blocks),
        TEST(a_hedge_is_not_cut),
        TEST(a_run_that_was_cut_to_nothing_may_be_spoken_of),
        TEST(ids_of_leases_are_never_those_of_runs_of_ones_own),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
