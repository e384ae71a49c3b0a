/* SPDX-License-Identifier: MIT */
#include "common/timers.h"

#include "tests/lib/test.h"

/* A timer that writes its letter down when it runs, and then does what it is told. */
struct alarm {
    struct el_timer timer;
    struct el_timers *timers;
    char letter;
    bool starts_itself, frees_itself;
    struct alarm *stops, *starts;
    uint64_t starts_ms;
};

static char written[64];
static size_t written_n;

static void on_alarm(struct el_timer *t)
{
    struct alarm *a = EL_ENTRY(t, struct alarm, timer);

    assert_true(written_n < sizeof(written) - 1);
    written[written_n++] = a->letter;
    written[written_n] = '\0';
    if (a->starts_itself)
        el_timer_start(a->timers, t, a->starts_ms);
    if (a->stops != NULL)
        el_timer_stop(&a->stops->timer);
    if (a->starts != NULL)
        el_timer_start(a->timers, &a->starts->timer, a->starts_ms);
    if (a->frees_itself)
        free(a);
}

static int forget(void **state)
{
    (void)state;
    written[0] = '\0';
    written_n = 0;
    return 0;
}

static void alarm_init(struct alarm *a, struct el_timers *ts, char letter)
{
    *a = (struct alarm){ .timers = ts, .letter = letter };
    el_timer_init(&a->timer, on_alarm);
}

/* Three, called a, b and c, of which none runs. */
static void three(struct el_timers *ts, struct alarm *v)
{
    el_timers_init(ts);
    for (int i = 0; i < 3; i++)
        alarm_init(&v[i], ts, (char)('a' + i));
}

static void they_run_in_the_order_in_which_they_are_due(void **state)
{
    struct el_timers ts;
    struct alarm v[3];

    (void)state;
    three(&ts, v);
    el_timer_start(&ts, &v[0].timer, 30);
    el_timer_start(&ts, &v[1].timer, 10);
    el_timer_start(&ts, &v[2].timer, 20);
    el_timers_run(&ts, 100);
    assert_string_equal(written, "bca");
}

static void those_due_at_the_same_time_run_in_the_order_of_their_start(void **state)
{
    struct el_timers ts;
    struct alarm v[3];

    (void)state;
    three(&ts, v);
    el_timer_start(&ts, &v[2].timer, 10);
    el_timer_start(&ts, &v[0].timer, 10);
    el_timer_start(&ts, &v[1].timer, 10);
    el_timers_run(&ts, 10);
    assert_string_equal(written, "cab");
}

static void only_what_is_due_runs_and_only_once(void **state)
{
    struct el_timers ts;
    struct alarm v[3];

    (void)state;
    three(&ts, v);
    el_timer_start(&ts, &v[0].timer, 10);
    el_timer_start(&ts, &v[1].timer, 20);
    el_timers_run(&ts, 9);
    assert_string_equal(written, "");
    el_timers_run(&ts, 10);
    assert_string_equal(written, "a");
    el_timers_run(&ts, 19);
    assert_string_equal(written, "a");
    el_timers_run(&ts, 20);
    el_timers_run(&ts, 1000);
    assert_string_equal(written, "ab");
}

static void the_soonest_is_known_and_none_is_for_ever(void **state)
{
    struct el_timers ts;
    struct alarm v[3];

    (void)state;
    three(&ts, v);
    assert_int_equal(el_timers_due_ms(&ts), UINT64_MAX);
    el_timers_run(&ts, UINT64_MAX);
    el_timer_start(&ts, &v[0].timer, 30);
    el_timer_start(&ts, &v[1].timer, 20);
    assert_int_equal(el_timers_due_ms(&ts), 20);
    el_timer_stop(&v[1].timer);
    assert_int_equal(el_timers_due_ms(&ts), 30);
    el_timers_run(&ts, 30);
    assert_int_equal(el_timers_due_ms(&ts), UINT64_MAX);
}

static void a_start_moves_one_that_runs_already(void **state)
{
    struct el_timers ts;
    struct alarm v[3];

    (void)state;
    three(&ts, v);
    el_timer_start(&ts, &v[0].timer, 10);
    el_timer_start(&ts, &v[1].timer, 20);
    el_timer_start(&ts, &v[0].timer, 30);
    el_timers_run(&ts, 29);
    assert_string_equal(written, "b");
    el_timers_run(&ts, 30);
    assert_string_equal(written, "ba");
}

static void a_stopped_one_does_not_run_and_stopping_it_again_is_harmless(void **state)
{
    struct el_timers ts;
    struct alarm v[3];

    (void)state;
    three(&ts, v);
    el_timer_stop(&v[0].timer);
    el_timer_start(&ts, &v[0].timer, 10);
    el_timer_stop(&v[0].timer);
    el_timer_stop(&v[0].timer);
    el_timers_run(&ts, 100);
    assert_string_equal(written, "");
}

static void one_may_stop_another_that_is_due_with_it(void **state)
{
    struct el_timers ts;
    struct alarm v[3];

    (void)state;
    three(&ts, v);
    v[0].stops = &v[1];
    for (int i = 0; i < 3; i++)
        el_timer_start(&ts, &v[i].timer, 10);
    el_timers_run(&ts, 10);
    assert_string_equal(written, "ac");
}

static void one_may_put_off_another_that_is_due_with_it(void **state)
{
    struct el_timers ts;
    struct alarm v[3];

    (void)state;
    three(&ts, v);
    v[0].starts = &v[1];
    v[0].starts_ms = 50;
    for (int i = 0; i < 3; i++)
        el_timer_start(&ts, &v[i].timer, 10);
    el_timers_run(&ts, 10);
    assert_string_equal(written, "ac");
    el_timers_run(&ts, 50);
    assert_string_equal(written, "acb");
}

static void one_that_starts_itself_for_a_time_already_past_waits_for_the_next_run(void **state)
{
    struct el_timers ts;
    struct alarm v[3];

    (void)state;
    three(&ts, v);
    v[0].starts_itself = true;
    v[0].starts_ms = 5;
    el_timer_start(&ts, &v[0].timer, 10);
    el_timers_run(&ts, 10);
    assert_string_equal(written, "a");
    assert_int_equal(el_timers_due_ms(&ts), 5);
    el_timers_run(&ts, 10);
    assert_string_equal(written, "aa");
}

static void one_may_free_its_object(void **state)
{
    struct alarm *a = el_new(struct alarm);
    struct el_timers ts;

    (void)state;
    el_timers_init(&ts);
    alarm_init(a, &ts, 'a');
    a->frees_itself = true;
    el_timer_start(&ts, &a->timer, 10);
    el_timers_run(&ts, 10);
    assert_string_equal(written, "a");
    assert_int_equal(el_timers_due_ms(&ts), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(they_run_in_the_order_in_which_they_are_due, forget),
        cmocka_unit_test_setup(those_due_at_the_same_time_run_in_the_order_of_their_start, forget),
        cmocka_unit_test_setup(only_what_is_due_runs_and_only_once, forget),
        cmocka_unit_test_setup(the_soonest_is_known_and_none_is_for_ever, forget),
        cmocka_unit_test_setup(a_start_moves_one_that_runs_already, forget),
        cmocka_unit_test_setup(a_stopped_one_does_not_run_and_stopping_it_again_is_harmless,
                               forget),
        cmocka_unit_test_setup(one_may_stop_another_that_is_due_with_it, forget),
        cmocka_unit_test_setup(one_may_put_off_another_that_is_due_with_it, forget),
        cmocka_unit_test_setup(
            one_that_starts_itself_for_a_time_already_past_waits_for_the_next_run, forget),
        cmocka_unit_test_setup(one_may_free_its_object, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
