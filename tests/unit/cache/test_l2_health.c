/* SPDX-License-Identifier: MIT */
/* When a cache directory is relied on: every arrow between its states, and what is none. */
#include "tests/lib/test.h"

#include <errno.h>

#include "cache/l2_health.h"

#define START_MS 1000000u

static const struct l2_health_conf conf = {
    .degrade_after = 3,
    .down_after = 2,
    .probe_every_ms = 1000,
    .recover_after = 4,
    .no_room_ms = 5000,
};

/* A change is reported, and only a change. */
static void note(struct l2_health *h, enum l2_outcome outcome, enum l2_state expected)
{
    enum l2_state before = h->state;
    bool changed = l2_health_note(h, outcome, START_MS);

    assert_int_equal(h->state, expected);
    assert_int_equal(changed, before != expected);
}

static void note_times(struct l2_health *h, unsigned n, enum l2_outcome outcome,
                       enum l2_state expected)
{
    while (n-- > 0)
        note(h, outcome, expected);
}

static struct l2_health healthy(void)
{
    struct l2_health h;

    l2_health_init(&h, &conf, START_MS);
    return h;
}

static struct l2_health degraded(void)
{
    struct l2_health h = healthy();

    note_times(&h, 2, L2_FAILED, L2_OK);
    note(&h, L2_FAILED, L2_DEGRADED);
    return h;
}

static struct l2_health down(void)
{
    struct l2_health h = degraded();

    note(&h, L2_FAILED, L2_DEGRADED);
    note(&h, L2_FAILED, L2_DOWN);
    return h;
}

/* ---- normal ---- */

static void a_new_store_is_read_and_written(void **state)
{
    struct l2_health h = healthy();

    (void)state;
    assert_int_equal(h.state, L2_OK);
    assert_true(l2_health_may_read(&h));
    assert_true(l2_health_may_write(&h, START_MS));
    assert_true(l2_health_may_write(&h, 0)); /* a clock that is below what was ever noted */
}

static void failures_and_late_ones_in_a_row_degrade(void **state)
{
    struct l2_health h = healthy();

    (void)state;
    note(&h, L2_LATE, L2_OK);
    note(&h, L2_FAILED, L2_OK);
    note(&h, L2_LATE, L2_DEGRADED);
}

static void a_good_one_between_failures_keeps_it_normal(void **state)
{
    struct l2_health h = healthy();

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        note_times(&h, 2, L2_FAILED, L2_OK);
        note(&h, L2_GOOD, L2_OK);
        note_times(&h, 2, L2_LATE, L2_OK);
        note(&h, L2_GOOD, L2_OK);
    }
}

static void one_fatal_failure_takes_a_normal_store_down(void **state)
{
    struct l2_health h = healthy();

    (void)state;
    note(&h, L2_FATAL, L2_DOWN);
}

/* ---- no room ---- */

static void without_room_nothing_is_written_for_a_while_but_all_is_read(void **state)
{
    struct l2_health h = healthy();

    (void)state;
    note_times(&h, 20, L2_NO_ROOM, L2_OK);
    assert_true(l2_health_may_read(&h));
    assert_false(l2_health_may_write(&h, START_MS));
    assert_false(l2_health_may_write(&h, START_MS + 4999));
    assert_true(l2_health_may_write(&h, START_MS + 5000));
}

static void the_last_want_of_room_counts(void **state)
{
    struct l2_health h = healthy();

    (void)state;
    assert_false(l2_health_note(&h, L2_NO_ROOM, START_MS));
    assert_false(l2_health_note(&h, L2_NO_ROOM, START_MS + 3000));
    assert_false(l2_health_may_write(&h, START_MS + 7999));
    assert_true(l2_health_may_write(&h, START_MS + 8000));
}

static void want_of_room_neither_continues_nor_ends_a_row(void **state)
{
    struct l2_health h = healthy();

    (void)state;
    note_times(&h, 2, L2_FAILED, L2_OK);
    note_times(&h, 9, L2_NO_ROOM, L2_OK);
    note(&h, L2_FAILED, L2_DEGRADED);
    note_times(&h, 9, L2_NO_ROOM, L2_DEGRADED);
    note_times(&h, 3, L2_GOOD, L2_DEGRADED);
    note_times(&h, 9, L2_NO_ROOM, L2_DEGRADED);
    note(&h, L2_GOOD, L2_OK);
    h = down();
    note_times(&h, 9, L2_NO_ROOM, L2_DOWN);
}

static void room_does_not_come_back_with_health(void **state)
{
    struct l2_health h = degraded();

    (void)state;
    note(&h, L2_NO_ROOM, L2_DEGRADED);
    note_times(&h, 3, L2_GOOD, L2_DEGRADED);
    note(&h, L2_GOOD, L2_OK);
    assert_false(l2_health_may_write(&h, START_MS + 4999));
    assert_true(l2_health_may_write(&h, START_MS + 5000));
}

/* ---- degraded ---- */

static void good_ones_in_a_row_lead_back_to_normal(void **state)
{
    struct l2_health h = degraded();

    (void)state;
    note_times(&h, 3, L2_GOOD, L2_DEGRADED);
    note(&h, L2_GOOD, L2_OK);
    note_times(&h, 2, L2_FAILED, L2_OK); /* what was before does not count */
    note(&h, L2_FAILED, L2_DEGRADED);
    note_times(&h, 3, L2_GOOD, L2_DEGRADED);
}

static void a_bad_one_starts_the_row_of_good_ones_anew(void **state)
{
    static const enum l2_outcome bad[] = { L2_FAILED, L2_LATE };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bad); i++) {
        struct l2_health h = degraded();

        note_times(&h, 3, L2_GOOD, L2_DEGRADED);
        note(&h, bad[i], L2_DEGRADED);
        note_times(&h, 3, L2_GOOD, L2_DEGRADED);
        note(&h, L2_GOOD, L2_OK);
    }
}

static void more_failures_in_a_row_take_it_down(void **state)
{
    struct l2_health h = degraded();

    (void)state;
    note(&h, L2_FAILED, L2_DEGRADED);
    note(&h, L2_GOOD, L2_DEGRADED);
    note(&h, L2_FAILED, L2_DEGRADED);
    note(&h, L2_FAILED, L2_DOWN);
}

static void a_slow_disk_stays_degraded_however_long(void **state)
{
    struct l2_health h = degraded();

    (void)state;
    note_times(&h, 100, L2_LATE, L2_DEGRADED);
    note(&h, L2_FAILED, L2_DEGRADED);
    note_times(&h, 100, L2_LATE, L2_DEGRADED);
    note(&h, L2_FAILED, L2_DOWN); /* the second in a row: late ones end no row either */
}

static void one_fatal_failure_takes_a_degraded_store_down(void **state)
{
    struct l2_health h = degraded();

    (void)state;
    note(&h, L2_FATAL, L2_DOWN);
}

/* ---- down ---- */

static void nothing_bad_moves_a_store_that_is_down(void **state)
{
    struct l2_health h = down();

    (void)state;
    note_times(&h, 100, L2_FAILED, L2_DOWN);
    note_times(&h, 100, L2_LATE, L2_DOWN);
    note_times(&h, 100, L2_FATAL, L2_DOWN);
}

static void a_good_probe_makes_it_degraded_and_counts_towards_normal(void **state)
{
    struct l2_health h = down();

    (void)state;
    note_times(&h, 3, L2_GOOD, L2_DEGRADED);
    note(&h, L2_GOOD, L2_OK);
}

static void a_fatal_failure_takes_back_what_went_well_before(void **state)
{
    struct l2_health h = degraded();

    (void)state;
    note_times(&h, 3, L2_GOOD, L2_DEGRADED);
    note(&h, L2_FATAL, L2_DOWN);
    note_times(&h, 3, L2_GOOD, L2_DEGRADED);
    note(&h, L2_GOOD, L2_OK);
}

static void after_a_good_probe_it_goes_down_as_any_degraded_store(void **state)
{
    struct l2_health h = down();

    (void)state;
    note_times(&h, 9, L2_FAILED, L2_DOWN);
    note(&h, L2_GOOD, L2_DEGRADED);
    note(&h, L2_FAILED, L2_DEGRADED);
    note(&h, L2_FAILED, L2_DOWN);
    note_times(&h, 3, L2_GOOD, L2_DEGRADED);
    note(&h, L2_GOOD, L2_OK);
}

static void one_good_probe_is_enough_where_one_is_asked_for(void **state)
{
    struct l2_health_conf one = conf;
    struct l2_health h;

    (void)state;
    one.degrade_after = one.down_after = one.recover_after = 1;
    l2_health_init(&h, &one, START_MS);
    note(&h, L2_FAILED, L2_DEGRADED);
    note(&h, L2_GOOD, L2_OK);
    note(&h, L2_FAILED, L2_DEGRADED);
    note(&h, L2_FAILED, L2_DOWN);
    note(&h, L2_GOOD, L2_OK);
}

/* ---- probes ---- */

static void check_probes(struct l2_health *h)
{
    assert_int_equal(l2_health_probe_ms(h), START_MS + 1000);
    l2_health_probed(h, START_MS + 2500);
    assert_int_equal(l2_health_probe_ms(h), START_MS + 3500);
    assert_false(l2_health_may_read(h));
    assert_false(l2_health_may_write(h, START_MS + 1000000));
}

static void in_trouble_it_is_left_alone_but_for_a_probe_now_and_then(void **state)
{
    struct l2_health h = degraded();

    (void)state;
    check_probes(&h);
    h = down();
    check_probes(&h);
}

static void the_way_up_does_not_hurry_the_probes(void **state)
{
    struct l2_health h = down();

    (void)state;
    l2_health_probed(&h, START_MS + 1000);
    assert_true(l2_health_note(&h, L2_GOOD, START_MS + 1001));
    assert_int_equal(l2_health_probe_ms(&h), START_MS + 2000);
}

static void each_trouble_waits_for_its_first_probe(void **state)
{
    struct l2_health h = degraded();

    (void)state;
    l2_health_probed(&h, START_MS + 1000);
    for (unsigned i = 0; i < conf.recover_after; i++)
        (void)l2_health_note(&h, L2_GOOD, START_MS + 1000); /* the state is looked at below */
    assert_int_equal(h.state, L2_OK);
    assert_true(l2_health_probe_ms(&h) == UINT64_MAX);
    assert_true(l2_health_note(&h, L2_FATAL, START_MS + 9000));
    assert_int_equal(l2_health_probe_ms(&h), START_MS + 10000);
}

/* ---- what is told ---- */

static void every_outcome_is_counted_and_every_change_has_its_time(void **state)
{
    struct l2_health h = healthy();

    (void)state;
    assert_int_equal(h.changed_ms, START_MS);
    assert_false(l2_health_note(&h, L2_GOOD, START_MS + 1));
    assert_false(l2_health_note(&h, L2_LATE, START_MS + 2));
    assert_false(l2_health_note(&h, L2_FAILED, START_MS + 3));
    assert_false(l2_health_note(&h, L2_NO_ROOM, START_MS + 4));
    assert_int_equal(h.changed_ms, START_MS);
    assert_true(l2_health_note(&h, L2_FATAL, START_MS + 5));
    assert_int_equal(h.changed_ms, START_MS + 5);
    assert_false(l2_health_note(&h, L2_FATAL, START_MS + 6));
    assert_int_equal(h.changed_ms, START_MS + 5);
    assert_true(h.good == 1 && h.late == 1 && h.failed == 1 && h.no_room == 1 && h.fatal == 2);
}

static void an_errno_is_judged_by_what_it_says_of_the_store(void **state)
{
    static const struct {
        int sys;
        enum l2_outcome outcome;
    } v[] = {
        { EIO, L2_FAILED },     { ETIMEDOUT, L2_FAILED }, { EINVAL, L2_FAILED },
        { ENOMEM, L2_FAILED },  { EAGAIN, L2_FAILED },    { ENOSPC, L2_NO_ROOM },
        { EDQUOT, L2_NO_ROOM }, { EFBIG, L2_NO_ROOM },    { EROFS, L2_FATAL },
        { EBADF, L2_FATAL },    { ENODATA, L2_FAILED },   { ENOENT, L2_FATAL },
        { ENODEV, L2_FATAL },   { ENXIO, L2_FATAL },      { ESTALE, L2_FATAL },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(v); i++)
        assert_int_equal(l2_outcome_of(v[i].sys), v[i].outcome);
}

static void states_have_the_names_that_operators_see(void **state)
{
    (void)state;
    assert_string_equal(l2_state_name(L2_OK), "normal");
    assert_string_equal(l2_state_name(L2_DEGRADED), "degraded");
    assert_string_equal(l2_state_name(L2_DOWN), "down");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_store_is_read_and_written),
        cmocka_unit_test(failures_and_late_ones_in_a_row_degrade),
        cmocka_unit_test(a_good_one_between_failures_keeps_it_normal),
        cmocka_unit_test(one_fatal_failure_takes_a_normal_store_down),
        cmocka_unit_test(without_room_nothing_is_written_for_a_while_but_all_is_read),
        cmocka_unit_test(the_last_want_of_room_counts),
        cmocka_unit_test(want_of_room_neither_continues_nor_ends_a_row),
        cmocka_unit_test(room_does_not_come_back_with_health),
        cmocka_unit_test(good_ones_in_a_row_lead_back_to_normal),
        cmocka_unit_test(a_bad_one_starts_the_row_of_good_ones_anew),
        cmocka_unit_test(more_failures_in_a_row_take_it_down),
        cmocka_unit_test(a_slow_disk_stays_degraded_however_long),
        cmocka_unit_test(one_fatal_failure_takes_a_degraded_store_down),
        cmocka_unit_test(nothing_bad_moves_a_store_that_is_down),
        cmocka_unit_test(a_good_probe_makes_it_degraded_and_counts_towards_normal),
        cmocka_unit_test(a_fatal_failure_takes_back_what_went_well_before),
        cmocka_unit_test(after_a_good_probe_it_goes_down_as_any_degraded_store),
        cmocka_unit_test(one_good_probe_is_enough_where_one_is_asked_for),
        cmocka_unit_test(in_trouble_it_is_left_alone_but_for_a_probe_now_and_then),
        cmocka_unit_test(the_way_up_does_not_hurry_the_probes),
        cmocka_unit_test(each_trouble_waits_for_its_first_probe),
        cmocka_unit_test(every_outcome_is_counted_and_every_change_has_its_time),
        cmocka_unit_test(an_errno_is_judged_by_what_it_says_of_the_store),
        cmocka_unit_test(states_have_the_names_that_operators_see),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
