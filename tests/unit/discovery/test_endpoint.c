/* SPDX-License-Identifier: MIT */
/* Which control plane is asked, in virtual time. */
#include "discovery/endpoint.h"

#include "tests/lib/test.h"

#define SECOND 1000u

static struct el_rng rng;

static int seeded(void **state)
{
    (void)state;
    el_rng_seed(&rng, 1);
    return 0;
}

static struct disc_endpoints of(const char *list)
{
    struct disc_endpoints set;

    assert_int_equal(disc_endpoints_parse(el_str_of(list), &set, NULL), EL_OK);
    return set;
}

static void assert_named(const char *text, const char *name, bool is_tls)
{
    struct disc_endpoints set = of(text);
    struct el_buf out = { 0 };

    disc_endpoint_name(&set.v[0], &out);
    assert_string_equal(out.p, name);
    assert_int_equal(set.v[0].is_tls, is_tls);
    el_buf_deinit(&out);
}

static void a_port_and_a_scheme_may_be_left_out(void **state)
{
    (void)state;
    assert_named("localhost", "localhost:8081", false);
    assert_named("localhost:9", "localhost:9", false);
    assert_named("http://cp.example:80/", "cp.example:80", false);
    assert_named("HTTPS://cp.example", "cp.example:8081", true);
    assert_named("[fd00::1]", "[fd00::1]:8081", false);
    assert_named(" https://[fd00::1]:7 ", "[fd00::1]:7", true);
    assert_int_equal(of("a,b:1, c").n, 3);
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const bad[] = { "",        "a,",  ":1",      "a:0",  "a:65536",
                                       "a:b",     "a/b", "u@h",     "[::1", "::1",
                                       "http://", "a b", "ftp://a", "[a]x", "[]:1" };
    struct disc_endpoints set;
    struct el_error err;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bad); i++)
        assert_int_equal(disc_endpoints_parse(el_str_of(bad[i]), &set, &err), EL_ECONF);
    assert_int_equal(disc_endpoints_parse(EL_STR("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"), &set, &err),
                     EL_ECONF);
}

/* Probes what is due, and says so; `alive`: a bit for each that answers. */
static unsigned probe(struct disc_endpoints *set, uint64_t now, unsigned alive)
{
    unsigned n = 0;
    size_t i;

    while ((i = disc_endpoints_next_probe(set, now)) != DISC_NO_ENDPOINT) {
        if ((alive >> i & 1) != 0)
            disc_endpoint_probed(set, i, now, &rng, 1000, 1);
        else
            disc_endpoint_probe_failed(set, i, now, &rng);
        n++;
    }
    return n;
}

static void all_of_them_are_probed_every_five_seconds(void **state)
{
    struct disc_endpoints set = of("a,b,c");
    unsigned n = 0;

    (void)state;
    assert_int_equal(set.best, DISC_NO_ENDPOINT);
    for (uint64_t now = 0; now < 100 * SECOND; now = disc_endpoints_due_ms(&set))
        n += probe(&set, now, 7);
    assert_in_range(n, 3 * 18, 3 * 23);
    assert_int_equal(set.best, 0);
}

static void one_that_fails_is_replaced_at_once(void **state)
{
    struct disc_endpoints set = of("a,b");

    (void)state;
    (void)probe(&set, 0, 3);
    assert_int_equal(set.best, 0);
    disc_endpoint_failed(&set, 0, 10, &rng);
    assert_int_equal(set.best, 1);
    disc_endpoint_failed(&set, 1, 20, &rng);
    assert_int_equal(set.best, DISC_NO_ENDPOINT);
    assert_true(disc_endpoints_are_down(&set));
    assert_in_range(disc_endpoints_due_ms(&set), 10 + 200, 10 + 300);
}

static void one_that_stays_away_is_asked_less_often_but_never_given_up(void **state)
{
    struct disc_endpoints set = of("a");
    unsigned n = 0;
    uint64_t now = 0;

    (void)state;
    for (; now < 10 * SECOND; now = disc_endpoints_due_ms(&set))
        n += probe(&set, now, 0);
    assert_in_range(n, 5, 8);
    n = 0;
    for (; now < 1000 * SECOND; now = disc_endpoints_due_ms(&set))
        n += probe(&set, now, 0);
    assert_in_range(n, 160, 250);
}

static void who_was_away_for_long_has_to_answer_twice(void **state)
{
    struct disc_endpoints set = of("a");
    uint64_t now = 0;

    (void)state;
    for (; now < 30 * SECOND; now = disc_endpoints_due_ms(&set))
        (void)probe(&set, now, 0);
    (void)probe(&set, now, 1);
    assert_int_equal(set.best, DISC_NO_ENDPOINT);
    assert_in_range(disc_endpoints_due_ms(&set) - now, 1, 400);
    (void)probe(&set, disc_endpoints_due_ms(&set), 1);
    assert_int_equal(set.best, 0);
}

static void answer(struct disc_endpoints *set, size_t which, uint64_t took_us, uint64_t epoch)
{
    disc_endpoint_probed(set, which, 0, &rng, took_us, epoch);
}

static void a_faster_one_takes_over_only_when_it_stays_so(void **state)
{
    struct disc_endpoints set = of("a,b");

    (void)state;
    answer(&set, 0, 20000, 5);
    answer(&set, 1, 1000, 5);
    answer(&set, 1, 1000, 5);
    assert_int_equal(set.best, 0);
    answer(&set, 1, 900000, 5);
    answer(&set, 1, 1000, 5);
    answer(&set, 1, 1000, 5);
    assert_int_equal(set.best, 0);
    for (unsigned i = 0; i < 30; i++)
        answer(&set, 1, 1000, 5);
    assert_int_equal(set.best, 1);
}

static void about_as_fast_is_no_reason_to_change(void **state)
{
    struct disc_endpoints set = of("a,b");

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        answer(&set, 0, 1900, 5);
        answer(&set, 1, 100 + i % 3 * 700, 7);
    }
    assert_int_equal(set.best, 0);
}

static void one_that_knows_more_of_the_cluster_takes_over(void **state)
{
    struct disc_endpoints set = of("a,b");

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_not_equal(set.best, 1);
        answer(&set, 0, 1000, 5);
        answer(&set, 1, 90000, 50);
    }
    assert_int_equal(set.best, 1);
}

/* Probes are answered, but what is asked of it is not. */
static void one_whose_calls_fail_is_tried_less_and_less_often(void **state)
{
    struct disc_endpoints set = of("a");
    uint64_t now = 0;
    unsigned n = 0;

    (void)state;
    for (; now < 100 * SECOND; now = disc_endpoints_due_ms(&set)) {
        (void)probe(&set, now, 1);
        if (set.best == 0) {
            disc_endpoint_failed(&set, 0, now, &rng);
            n++;
        }
    }
    assert_in_range(n, 5, 30);
    while (set.best != 0) {
        now = disc_endpoints_due_ms(&set);
        (void)probe(&set, now, 1);
    }
    disc_endpoint_answered(&set, 0);
    disc_endpoint_failed(&set, 0, now, &rng);
    assert_in_range(set.v[0].probe_due_ms, now + 200, now + 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_and_a_scheme_may_be_left_out),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(all_of_them_are_probed_every_five_seconds),
        cmocka_unit_test(one_that_fails_is_replaced_at_once),
        cmocka_unit_test(one_that_stays_away_is_asked_less_often_but_never_given_up),
        cmocka_unit_test(who_was_away_for_long_has_to_answer_twice),
        cmocka_unit_test(a_faster_one_takes_over_only_when_it_stays_so),
        cmocka_unit_test(about_as_fast_is_no_reason_to_change),
        cmocka_unit_test(one_that_knows_more_of_the_cluster_takes_over),
        cmocka_unit_test(one_whose_calls_fail_is_tried_less_and_less_often),
    };
    return cmocka_run_group_tests(tests, seeded, NULL);
}
