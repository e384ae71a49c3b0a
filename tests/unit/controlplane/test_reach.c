/* SPDX-License-Identifier: MIT */
#include "controlplane/reach.h"

#include "controlplane/alerts.h"
#include "tests/lib/control.h"
#include "tests/lib/test.h"

#define PROBE_MS 10000u
#define START_MS 1000u

static struct cp_state *start_with(uint32_t probe_ms)
{
    struct cp_state_conf conf;
    struct el_rng rng;
    struct cp_state *s;

    cp_state_conf_default(&conf);
    conf.is_placing = false;
    conf.probe_ms = probe_ms;
    el_rng_seed(&rng, CONTROL_SEED);
    s = cp_state_new(&conf, &rng);
    cp_state_now(s, START_MS, 1700000000000);
    return s;
}

static struct cp_state *start(void)
{
    struct cp_state *s = start_with(PROBE_MS);

    control_register(s, "n1", "");
    control_beat(s, "n1");
    return s;
}

/* So long after the start; the beats come. */
static void at(struct cp_state *s, uint64_t ms)
{
    cp_state_now(s, START_MS + ms, 1700000000000 + (int64_t)ms);
    control_beat(s, "n1");
}

static const struct cp_node *n1(const struct cp_state *s)
{
    return cp_node_get(s, EL_STR("n1"));
}

/* The next question is due by then at the latest, and is answered like this. */
static enum cp_reach_change ask(struct cp_state *s, uint64_t ms, bool is_well)
{
    struct cp_probe p;

    (void)cp_reach_next(s, &p); /* draws when, the first time */
    at(s, ms);
    assert_true(cp_reach_next(s, &p));
    assert_string_equal(p.node_id, "n1");
    return cp_reach_done(s, &p, is_well, 7);
}

static bool has_alert(struct cp_state *s)
{
    const struct cp_alert *a;
    uint32_t cursor = 0;

    cp_state_tick(s, true);
    while ((a = cp_alert_next(s, &cursor)) != NULL) {
        if (a->kind == CP_ALERT_UNREACHABLE)
            return true;
    }
    return false;
}

static void nobody_is_asked_unless_that_is_wanted(void **state)
{
    struct cp_state *s = start_with(0);
    struct cp_probe p;

    (void)state;
    control_register(s, "n1", "");
    at(s, 100000000);
    assert_false(cp_reach_next(s, &p));
    cp_state_free(s);
}

static void a_node_is_asked_once_in_an_interval_where_it_said_that_it_is(void **state)
{
    struct cp_state *s = start();
    struct cp_probe p;

    (void)state;
    assert_false(cp_reach_next(s, &p)); /* some time in the first interval */
    at(s, PROBE_MS);
    assert_true(cp_reach_next(s, &p));
    assert_string_equal(p.address, "192.0.2.1");
    assert_int_equal(p.port, 8082);
    assert_false(cp_reach_next(s, &p)); /* it is being asked */
    at(s, 3 * PROBE_MS);
    assert_false(cp_reach_next(s, &p));
    assert_int_equal(cp_reach_done(s, &p, true, 7), CP_REACH_SAME);
    at(s, 4 * PROBE_MS - 1);
    assert_false(cp_reach_next(s, &p));
    at(s, 4 * PROBE_MS);
    assert_true(cp_reach_next(s, &p));
    cp_state_free(s);
}

static void all_are_asked_though_one_call_looks_at_some_only(void **state)
{
    enum { N = 10000 };
    struct cp_state *s = start_with(PROBE_MS);
    static bool is_asked[N];
    struct cp_probe p;
    size_t asked = 0;

    (void)state;
    memset(is_asked, 0, sizeof(is_asked));
    for (int i = 0; i < N; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "m%d", i);
        control_register(s, id, "");
    }
    for (int i = 0; i < 10; i++)
        (void)cp_reach_next(s, &p);
    cp_state_now(s, START_MS + PROBE_MS, 1700000000000);
    for (int i = 0; i < N + 10; i++) {
        if (!cp_reach_next(s, &p))
            continue;
        is_asked[strtoul(p.node_id + 1, NULL, 10)] = true;
        (void)cp_reach_done(s, &p, true, 1);
    }
    for (int i = 0; i < N; i++)
        asked += is_asked[i];
    assert_int_equal(asked, N);
    cp_state_free(s);
}

static void who_cannot_be_connected_to_or_is_silent_is_not_asked(void **state)
{
    struct cp_state *s = start_with(PROBE_MS);
    struct cp_card hidden = { .node_id = "hidden", .address = "192.0.2.1", .http_port = 8082 };
    struct cp_card closed = { .node_id = "closed", .address = "192.0.2.1", .serves = true };
    const struct cp_node *node;
    struct cp_probe p;

    (void)state;
    assert_int_equal(cp_node_register(s, &hidden, &node, NULL), EL_OK);
    assert_int_equal(cp_node_register(s, &closed, &node, NULL), EL_OK);
    control_register(s, "silent", "");
    assert_false(cp_reach_next(s, &p));
    cp_state_now(s, START_MS + 60000, 1700000060000);
    cp_state_tick(s, true);
    assert_false(cp_reach_next(s, &p));
    cp_state_free(s);
}

static void failures_in_a_row_lower_its_health_and_it_lives_on(void **state)
{
    struct cp_state *s = start();
    struct cp_metrics m;

    (void)state;
    assert_int_equal(ask(s, 1 * PROBE_MS, false), CP_REACH_SAME);
    assert_int_equal(ask(s, 2 * PROBE_MS, false), CP_REACH_SAME);
    assert_int_equal(n1(s)->reach.failures, 2);
    assert_int_equal(n1(s)->health, 100);
    assert_false(has_alert(s));
    assert_int_equal(ask(s, 3 * PROBE_MS, false), CP_REACH_LOST);
    assert_int_equal(ask(s, 4 * PROBE_MS, false), CP_REACH_SAME); /* told once */
    assert_int_equal(n1(s)->health, 70);
    assert_int_equal(n1(s)->life, CP_ACTIVE);
    assert_true(has_alert(s));
    at(s, 4 * PROBE_MS + 1);
    assert_int_equal(n1(s)->health, 70); /* a beat says nothing of it */
    cp_state_metrics(s, &m);
    assert_int_equal(m.probes, 4);
    assert_int_equal(m.probes_failed, 4);
    assert_int_equal(m.lost_nodes, 1);
    cp_state_free(s);
}

static void one_answer_makes_it_well_again(void **state)
{
    struct cp_state *s = start();

    (void)state;
    for (unsigned i = 1; i <= 3; i++)
        (void)ask(s, i * PROBE_MS, false);
    assert_true(has_alert(s));
    assert_int_equal(ask(s, 4 * PROBE_MS, true), CP_REACH_BACK);
    assert_int_equal(n1(s)->health, 100);
    assert_int_equal(n1(s)->reach.failures, 0);
    assert_int_equal(n1(s)->reach.ms, 7);
    assert_int_equal(n1(s)->reach.wall_ms, 1700000000000 + 4 * (int64_t)PROBE_MS);
    assert_false(has_alert(s));
    (void)ask(s, 5 * PROBE_MS, false);
    (void)ask(s, 6 * PROBE_MS, true);
    (void)ask(s, 7 * PROBE_MS, false);
    assert_int_equal(ask(s, 8 * PROBE_MS, false), CP_REACH_SAME); /* they are not in a row */
    cp_state_free(s);
}

static void what_was_found_elsewhere_says_nothing_of_a_node_that_has_moved(void **state)
{
    struct cp_state *s = start();
    struct cp_card card;
    const struct cp_node *node;
    struct cp_probe p;

    (void)state;
    for (unsigned i = 1; i <= 3; i++)
        (void)ask(s, i * PROBE_MS, false);
    at(s, 4 * PROBE_MS);
    assert_true(cp_reach_next(s, &p));
    card = n1(s)->card;
    card.http_port = 18082;
    assert_int_equal(cp_node_register(s, &card, &node, NULL), EL_OK);
    assert_int_equal(node->health, 100);
    assert_int_equal(cp_reach_done(s, &p, false, 7), CP_REACH_SAME);
    assert_int_equal(node->reach.failures, 0);
    assert_int_equal(node->reach.wall_ms, 0);
    (void)cp_reach_next(s, &p);
    at(s, 5 * PROBE_MS);
    assert_true(cp_reach_next(s, &p));
    assert_int_equal(p.port, 18082);
    cp_state_free(s);
}

static void an_answer_for_a_node_that_is_gone_is_passed_over(void **state)
{
    struct cp_state *s = start();
    struct cp_probe p;

    (void)state;
    (void)cp_reach_next(s, &p);
    at(s, PROBE_MS);
    assert_true(cp_reach_next(s, &p));
    assert_int_equal(cp_node_remove(s, EL_STR("n1"), NULL), EL_OK);
    assert_int_equal(cp_reach_done(s, &p, false, 7), CP_REACH_SAME);
    control_register(s, "n1", "");
    assert_int_equal(cp_reach_done(s, &p, false, 7), CP_REACH_SAME);
    assert_int_equal(n1(s)->reach.failures, 0);
    cp_state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_asked_unless_that_is_wanted),
        cmocka_unit_test(a_node_is_asked_once_in_an_interval_where_it_said_that_it_is),
        cmocka_unit_test(all_are_asked_though_one_call_looks_at_some_only),
        cmocka_unit_test(who_cannot_be_connected_to_or_is_silent_is_not_asked),
        cmocka_unit_test(failures_in_a_row_lower_its_health_and_it_lives_on),
        cmocka_unit_test(one_answer_makes_it_well_again),
        cmocka_unit_test(what_was_found_elsewhere_says_nothing_of_a_node_that_has_moved),
        cmocka_unit_test(an_answer_for_a_node_that_is_gone_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
