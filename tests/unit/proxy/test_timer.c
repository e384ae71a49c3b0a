/* SPDX-License-Identifier: MIT */
#include "proxy/timer.h"

#include "proxy/server.h"

#include "tests/lib/test.h"

#define ROUND_MS ((uint64_t)PROXY_TIMER_TICK_MS * PROXY_TIMER_SLOTS)

static struct proxy_timers wheel;
static unsigned fired;

static void on_time(struct proxy_timer *tm)
{
    (void)tm;
    fired++;
}

static void on_time_restart(struct proxy_timer *tm)
{
    fired++;
    proxy_timers_start(&wheel, tm, tm->due_ms + 100, on_time);
}

static int set_up(void **state)
{
    (void)state;
    proxy_timers_init(&wheel, 1000);
    fired = 0;
    return 0;
}

static void a_timer_fires_once_and_never_early(void **state)
{
    struct proxy_timer tm = { 0 };

    (void)state;
    proxy_timers_start(&wheel, &tm, 1501, on_time);
    assert_int_equal(proxy_timers_wait_ms(&wheel, 1000), 504);
    for (uint64_t now = 1000; now <= 1501; now++)
        (void)proxy_timers_run(&wheel, now);
    assert_int_equal(fired, 0);
    for (uint64_t now = 1502; now < 1502 + 2 * PROXY_TIMER_TICK_MS; now++)
        (void)proxy_timers_run(&wheel, now);
    assert_int_equal(fired, 1);
    assert_int_equal(proxy_timers_wait_ms(&wheel, 1600), -1);
}

static void a_stopped_timer_does_not_fire_and_a_zeroed_one_can_be_stopped(void **state)
{
    struct proxy_timer tm = { 0 }, untouched = { 0 };

    (void)state;
    proxy_timer_stop(&untouched);
    proxy_timers_start(&wheel, &tm, 1100, on_time);
    proxy_timer_stop(&tm);
    (void)proxy_timers_run(&wheel, 5000);
    assert_int_equal(fired, 0);
}

static void a_restarted_timer_counts_from_its_last_start(void **state)
{
    struct proxy_timer tm = { 0 };

    (void)state;
    proxy_timers_start(&wheel, &tm, 1100, on_time);
    proxy_timers_start(&wheel, &tm, 1300, on_time);
    (void)proxy_timers_run(&wheel, 1200);
    assert_int_equal(fired, 0);
    (void)proxy_timers_run(&wheel, 1400);
    assert_int_equal(fired, 1);
}

static void timers_further_than_a_round_away_wait_for_theirs(void **state)
{
    struct proxy_timer tm = { 0 };
    uint64_t due = 1000 + 3 * ROUND_MS + 40;

    (void)state;
    proxy_timers_start(&wheel, &tm, due, on_time);
    for (uint64_t now = 1000; now < due; now += 1000)
        (void)proxy_timers_run(&wheel, now);
    assert_int_equal(fired, 0);
    (void)proxy_timers_run(&wheel, due + PROXY_TIMER_TICK_MS);
    assert_int_equal(fired, 1);
}

static void a_long_sleep_loses_no_timer(void **state)
{
    struct proxy_timer tm[50] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 50; i++)
        proxy_timers_start(&wheel, &tm[i], 1000 + i * 997, on_time);
    (void)proxy_timers_run(&wheel, 1000 + 10 * ROUND_MS);
    assert_int_equal(fired, 50);
}

static void a_timer_may_start_itself_again(void **state)
{
    struct proxy_timer tm = { 0 };

    (void)state;
    proxy_timers_start(&wheel, &tm, 1100, on_time_restart);
    (void)proxy_timers_run(&wheel, 1150);
    assert_int_equal(fired, 1);
    assert_true(proxy_timers_wait_ms(&wheel, 1150) > 0);
    (void)proxy_timers_run(&wheel, 1250);
    assert_int_equal(fired, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_timer_fires_once_and_never_early, set_up),
        cmocka_unit_test_setup(a_stopped_timer_does_not_fire_and_a_zeroed_one_can_be_stopped,
                               set_up),
        cmocka_unit_test_setup(a_restarted_timer_counts_from_its_last_start, set_up),
        cmocka_unit_test_setup(timers_further_than_a_round_away_wait_for_theirs, set_up),
        cmocka_unit_test_setup(a_long_sleep_loses_no_timer, set_up),
        cmocka_unit_test_setup(a_timer_may_start_itself_again, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
