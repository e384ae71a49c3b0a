/* SPDX-License-Identifier: MIT */
#include "common/clock.h"

#include "tests/lib/test.h"

static void assert_iso(int64_t wall_ms, const char *expected)
{
    char text[25];

    memset(text, '?', sizeof(text));
    el_clock_iso(wall_ms, text);
    assert_int_equal(text[24], '\0');
    assert_string_equal(text, expected);
}

/* Seconds from `date -u -d "2026-11-21 05:04:03" +%s` and so on. */
static void times_are_written_in_utc_with_milliseconds(void **state)
{
    (void)state;
    assert_iso(0, "1970-01-01T00:00:00.000Z");
    assert_iso(999, "1970-01-01T00:00:00.999Z");
    assert_iso(INT64_C(951868799007), "2000-02-29T23:59:59.007Z");
    assert_iso(INT64_C(1795237443123), "2026-11-21T05:04:03.123Z");
}

static void times_that_do_not_fit_are_shown_as_the_nearest_that_does(void **state)
{
    (void)state;
    assert_iso(-1, "1970-01-01T00:00:00.000Z");
    assert_iso(INT64_MIN, "1970-01-01T00:00:00.000Z");
    assert_iso(INT64_C(253402300799999), "9999-12-31T23:59:59.999Z");
    assert_iso(INT64_C(253402300800000), "9999-12-31T23:59:59.999Z");
    assert_iso(INT64_MAX, "9999-12-31T23:59:59.999Z");
}

static void the_system_clock_agrees_with_the_system(void **state)
{
    struct el_clock *c = el_clock_system();
    uint64_t first = el_clock_mono_ns(c), second = el_clock_mono_ns(c);
    int64_t before = (int64_t)time(NULL), wall_ms = el_clock_wall_ms(c), after;

    (void)state;
    after = (int64_t)time(NULL);
    assert_true(second >= first);
    assert_true(el_clock_mono_ms(c) >= second / 1000000);
    /* time() may lag behind by a tick of the kernel's. */
    assert_true(wall_ms >= before * 1000 && wall_ms / 1000 <= after + 1);
    assert_ptr_equal(c, el_clock_system());
}

struct moved_clock {
    struct el_clock clock;
    uint64_t ns;
};

static uint64_t moved_mono_ns(struct el_clock *c)
{
    return EL_ENTRY(c, struct moved_clock, clock)->ns;
}

static int64_t moved_wall_ms(struct el_clock *c)
{
    return (int64_t)(EL_ENTRY(c, struct moved_clock, clock)->ns / 1000000) + 5;
}

static void a_clock_can_be_one_that_a_test_moves(void **state)
{
    struct moved_clock m = { { moved_mono_ns, moved_wall_ms }, 2999999 };

    (void)state;
    assert_int_equal(el_clock_mono_ns(&m.clock), 2999999);
    assert_int_equal(el_clock_mono_ms(&m.clock), 2);
    m.ns += 1;
    assert_int_equal(el_clock_mono_ms(&m.clock), 3);
    assert_int_equal(el_clock_wall_ms(&m.clock), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_in_utc_with_milliseconds),
        cmocka_unit_test(times_that_do_not_fit_are_shown_as_the_nearest_that_does),
        cmocka_unit_test(the_system_clock_agrees_with_the_system),
        cmocka_unit_test(a_clock_can_be_one_that_a_test_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
