/* SPDX-License-Identifier: MIT */
#include "storage/governor.h"

#include <stdio.h>

#include "tests/lib/test.h"

#define HOST EL_STR("s3.test:443")

static struct store_governor *governor(unsigned max_running)
{
    struct store_governor_conf conf = {
        .max_running = max_running,
        .breaker_failures = 3,
        .breaker_open_ms = 1000,
    };

    return store_governor_new(&conf);
}

static void ask_all(struct store_governor *g, struct store_permit *p, size_t n, uint64_t now)
{
    for (size_t i = 0; i < n; i++)
        (void)store_governor_ask(g, HOST, &p[i], now);
}

static size_t count(const struct store_permit *p, size_t n, enum store_permit_state state)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++)
        found += p[i].state == state;
    return found;
}

static void leave_all(struct store_governor *g, struct store_permit *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)store_governor_leave(g, &p[i], false, 0);
}

static void lose(struct store_governor *g, uint64_t now, enum store_turn turn)
{
    struct store_permit p;

    assert_int_equal(store_governor_ask(g, HOST, &p, now), STORE_PERMIT_HELD);
    assert_int_equal(store_governor_leave(g, &p, true, now), turn);
}

static void whoever_comes_over_the_limit_waits_and_goes_in_turn(void **state)
{
    struct store_governor *g = governor(2);
    struct store_permit p[4];

    (void)state;
    ask_all(g, p, 4, 0);
    assert_int_equal(count(p, 4, STORE_PERMIT_HELD), 2);
    assert_int_equal(count(p, 4, STORE_PERMIT_WAITING), 2);
    assert_null(store_governor_next(g));

    assert_int_equal(store_governor_leave(g, &p[1], false, 5), STORE_TURN_NONE);
    assert_ptr_equal(store_governor_next(g), &p[2]);
    assert_int_equal(p[2].state, STORE_PERMIT_HELD);
    assert_null(store_governor_next(g));
    leave_all(g, p, 4);
    store_governor_free(g);
}

static void one_origin_does_not_hold_up_another(void **state)
{
    struct store_governor *g = governor(1);
    struct store_permit a, b;

    (void)state;
    assert_int_equal(store_governor_ask(g, HOST, &a, 0), STORE_PERMIT_HELD);
    assert_int_equal(store_governor_ask(g, EL_STR("other:80"), &b, 0), STORE_PERMIT_HELD);
    assert_int_equal(store_governor_origins(g), 2);
    (void)store_governor_leave(g, &a, false, 0);
    (void)store_governor_leave(g, &b, false, 0);
    assert_int_equal(store_governor_origins(g), 0); /* nothing is worth remembering */
    store_governor_free(g);
}

static void a_slowed_origin_is_asked_less_and_recovers(void **state)
{
    struct store_governor *g = governor(16);
    struct store_permit p[16], q[16];
    int answers = 0;

    (void)state;
    ask_all(g, p, 16, 10);
    assert_int_equal(store_governor_answered(g, &p[0], 503, 0, 20), STORE_TURN_SLOWED);
    /* The others were under way together: one cut for all. */
    assert_int_equal(store_governor_answered(g, &p[1], 429, 0, 21), STORE_TURN_NONE);
    leave_all(g, p, 16);
    ask_all(g, q, 16, 30);
    assert_int_equal(count(q, 16, STORE_PERMIT_HELD), 8);

    while (count(q, 16, STORE_PERMIT_HELD) < 16) {
        assert_int_equal(store_governor_answered(g, &q[0], 200, 0, 40), STORE_TURN_NONE);
        while (store_governor_next(g) != NULL)
            ;
        assert_true(++answers < 200);
    }
    assert_true(answers > 50); /* by one for as many answers as run at a time */
    leave_all(g, q, 16);
    store_governor_free(g);
}

static void nobody_waits_for_long_because_of_anothers_503(void **state)
{
    struct store_governor *g = governor(16);
    struct store_permit p[16], late;

    (void)state;
    ask_all(g, p, 8, 10);
    (void)store_governor_answered(g, &p[0], 503, 0, 20);
    assert_int_equal(store_governor_ask(g, HOST, &late, 30), STORE_PERMIT_WAITING);
    assert_true(store_governor_insist(g, &late, 1030));
    assert_int_equal(late.state, STORE_PERMIT_HELD);
    (void)store_governor_leave(g, &late, false, 1040);

    ask_all(g, p + 8, 8, 1050); /* but the hard limit stands */
    for (size_t i = 8; i < 16; i++)
        assert_true(store_governor_insist(g, &p[i], 1060));
    assert_int_equal(store_governor_ask(g, HOST, &late, 1070), STORE_PERMIT_WAITING);
    assert_false(store_governor_insist(g, &late, 9999));
    (void)store_governor_leave(g, &late, false, 1080);
    leave_all(g, p, 16);
    store_governor_free(g);
}

static void a_wish_to_be_left_alone_is_remembered_until_it_ends(void **state)
{
    struct store_governor *g = governor(4);
    struct store_permit p;

    (void)state;
    assert_int_equal(store_governor_quiet_ms(g, HOST, 0), 0);
    (void)store_governor_ask(g, HOST, &p, 100);
    (void)store_governor_answered(g, &p, 503, 3000, 100);
    (void)store_governor_leave(g, &p, false, 110);
    assert_int_equal(store_governor_quiet_ms(g, HOST, 1100), 2000);
    assert_int_equal(store_governor_quiet_ms(g, HOST, 3100), 0);
    store_governor_free(g);
}

static void failures_in_a_row_open_the_circuit_and_a_probe_closes_it(void **state)
{
    struct store_governor *g = governor(4);
    struct store_permit probe, other;

    (void)state;
    lose(g, 1, STORE_TURN_NONE);
    lose(g, 2, STORE_TURN_NONE);
    lose(g, 3, STORE_TURN_OPENED);
    assert_int_equal(store_governor_ask(g, HOST, &other, 1002), STORE_PERMIT_NONE);

    assert_int_equal(store_governor_ask(g, HOST, &probe, 1003), STORE_PERMIT_HELD);
    assert_int_equal(store_governor_ask(g, HOST, &other, 1004), STORE_PERMIT_NONE);
    assert_int_equal(store_governor_answered(g, &probe, 500, 0, 1005), STORE_TURN_CLOSED);
    assert_int_equal(store_governor_ask(g, HOST, &other, 1006), STORE_PERMIT_HELD);
    (void)store_governor_leave(g, &probe, false, 1007);
    (void)store_governor_leave(g, &other, false, 1007);
    store_governor_free(g);
}

static void a_probe_that_fails_opens_it_again_and_one_given_up_is_replaced(void **state)
{
    struct store_governor *g = governor(4);
    struct store_permit p;

    (void)state;
    for (uint64_t now = 1; now <= 3; now++)
        lose(g, now, now == 3 ? STORE_TURN_OPENED : STORE_TURN_NONE);
    lose(g, 2000, STORE_TURN_NONE);
    assert_int_equal(store_governor_ask(g, HOST, &p, 2999), STORE_PERMIT_NONE);
    assert_int_equal(store_governor_ask(g, HOST, &p, 3000), STORE_PERMIT_HELD);
    (void)store_governor_leave(g, &p, false, 3001); /* cancelled: says nothing */
    assert_int_equal(store_governor_ask(g, HOST, &p, 3002), STORE_PERMIT_HELD);
    (void)store_governor_leave(g, &p, false, 3003);
    store_governor_free(g);
}

static void an_answer_between_failures_starts_the_count_anew(void **state)
{
    struct store_governor *g = governor(4);
    struct store_permit p;

    (void)state;
    for (int i = 0; i < 10; i++) {
        lose(g, 1, STORE_TURN_NONE);
        lose(g, 2, STORE_TURN_NONE);
        (void)store_governor_ask(g, HOST, &p, 3);
        (void)store_governor_answered(g, &p, 503, 0, 3);
        (void)store_governor_leave(g, &p, true, 3); /* broke within the body: it does answer, */
        (void)store_governor_ask(g, HOST, &p, 3);
        (void)store_governor_answered(g, &p, 200, 0, 3);
        (void)store_governor_leave(g, &p, false, 3); /* and now and then wholly */
    }
    store_governor_free(g);
}

/* An answer whose body breaks off. */
static void cut(struct store_governor *g, uint64_t now, enum store_turn at_head,
                enum store_turn at_end)
{
    struct store_permit p;

    assert_int_equal(store_governor_ask(g, HOST, &p, now), STORE_PERMIT_HELD);
    assert_int_equal(store_governor_answered(g, &p, 200, 0, now), at_head);
    assert_int_equal(store_governor_leave(g, &p, true, now), at_end);
}

static void bodies_that_break_in_a_row_open_the_circuit_each_counted_once(void **state)
{
    struct store_governor *g = governor(4);
    struct store_permit p;

    (void)state;
    cut(g, 1, STORE_TURN_NONE, STORE_TURN_NONE);
    cut(g, 2, STORE_TURN_NONE, STORE_TURN_NONE);
    lose(g, 3, STORE_TURN_NONE); /* of another kind */
    cut(g, 4, STORE_TURN_NONE, STORE_TURN_OPENED);
    assert_int_equal(store_governor_ask(g, HOST, &p, 1003), STORE_PERMIT_NONE);
    store_governor_free(g);
}

static void a_probe_has_to_end_well_before_broken_bodies_are_forgotten(void **state)
{
    struct store_governor *g = governor(4);
    struct store_permit p;

    (void)state;
    for (uint64_t now = 1; now <= 3; now++)
        cut(g, now, STORE_TURN_NONE, now == 3 ? STORE_TURN_OPENED : STORE_TURN_NONE);
    cut(g, 2000, STORE_TURN_CLOSED, STORE_TURN_OPENED);
    assert_int_equal(store_governor_ask(g, HOST, &p, 3000), STORE_PERMIT_HELD);
    assert_int_equal(store_governor_answered(g, &p, 200, 0, 3000), STORE_TURN_CLOSED);
    assert_int_equal(store_governor_leave(g, &p, false, 3000), STORE_TURN_NONE);
    cut(g, 3001, STORE_TURN_NONE, STORE_TURN_NONE);
    assert_int_equal(store_governor_origins(g), 1); /* a broken body is worth remembering */
    store_governor_free(g);
}

static void whoever_waits_when_the_circuit_opens_is_refused(void **state)
{
    struct store_governor *g = governor(3);
    struct store_permit p[5];

    (void)state;
    ask_all(g, p, 5, 0);
    for (size_t i = 0; i < 2; i++) {
        (void)store_governor_leave(g, &p[i], true, 1);
        assert_ptr_equal(store_governor_next(g), &p[3 + i]);
        (void)store_governor_ask(g, HOST, &p[i], 1);
        assert_int_equal(p[i].state, STORE_PERMIT_WAITING);
    }
    assert_int_equal(store_governor_leave(g, &p[2], true, 2), STORE_TURN_OPENED);
    assert_ptr_equal(store_governor_next(g), &p[0]);
    assert_ptr_equal(store_governor_next(g), &p[1]);
    assert_null(store_governor_next(g));
    assert_int_equal(count(p, 2, STORE_PERMIT_REFUSED), 2);
    leave_all(g, p, 5);
    store_governor_free(g);
}

static void a_permit_given_back_while_it_waits_is_not_granted(void **state)
{
    struct store_governor *g = governor(1);
    struct store_permit p[3];

    (void)state;
    ask_all(g, p, 3, 0);
    (void)store_governor_leave(g, &p[1], false, 1);
    (void)store_governor_leave(g, &p[0], false, 2);
    assert_ptr_equal(store_governor_next(g), &p[2]);
    (void)store_governor_leave(g, &p[2], false, 3);
    assert_null(store_governor_next(g));
    store_governor_free(g);
}

static void the_number_of_origins_remembered_is_bounded(void **state)
{
    struct store_governor *g = governor(1);
    struct store_permit p;
    char name[32];

    (void)state;
    for (int i = 0; i < 10000; i++) {
        int n = snprintf(name, sizeof(name), "h%d:80", i);

        (void)store_governor_ask(g, (struct el_str){ name, (size_t)n }, &p, 0);
        (void)store_governor_leave(g, &p, true, 0); /* a failure is worth remembering */
    }
    assert_in_range(store_governor_origins(g), 1, 4096);
    store_governor_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_comes_over_the_limit_waits_and_goes_in_turn),
        cmocka_unit_test(one_origin_does_not_hold_up_another),
        cmocka_unit_test(a_slowed_origin_is_asked_less_and_recovers),
        cmocka_unit_test(nobody_waits_for_long_because_of_anothers_503),
        cmocka_unit_test(a_wish_to_be_left_alone_is_remembered_until_it_ends),
        cmocka_unit_test(failures_in_a_row_open_the_circuit_and_a_probe_closes_it),
        cmocka_unit_test(a_probe_that_fails_opens_it_again_and_one_given_up_is_replaced),
        cmocka_unit_test(an_answer_between_failures_starts_the_count_anew),
        cmocka_unit_test(bodies_that_break_in_a_row_open_the_circuit_each_counted_once),
        cmocka_unit_test(a_probe_has_to_end_well_before_broken_bodies_are_forgotten),
        cmocka_unit_test(whoever_waits_when_the_circuit_opens_is_refused),
        cmocka_unit_test(a_permit_given_back_while_it_waits_is_not_granted),
        cmocka_unit_test(the_number_of_origins_remembered_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
