/* SPDX-License-Identifier: MIT */
#include "controlplane/history.h"

#include "tests/lib/test.h"

static struct cp_node node_at(const char *id, uint64_t seen_ms, uint64_t memory)
{
    struct cp_node n = {
        .number = 3, .life = CP_ACTIVE, .seen_ms = seen_ms, .seen_wall_ms = (int64_t)seen_ms
    };

    (void)snprintf(n.card.node_id, sizeof(n.card.node_id), "%s", id);
    n.beat.bytes_memory = memory;
    return n;
}

static size_t add(struct cp_histories *h, uint64_t seen_ms, uint64_t memory,
                  struct cp_history_point ret[CP_HISTORY_POINTS])
{
    struct cp_node n = node_at("a", seen_ms, memory);
    struct cp_bytes sum = { 0 };

    cp_histories_add(h, &n, &sum);
    return cp_histories_get(h, &n, ret);
}

static void a_point_is_what_came_between_two_beats(void **state)
{
    struct cp_histories *h = cp_histories_new();
    struct cp_history_point v[CP_HISTORY_POINTS];

    (void)state;
    assert_int_equal(add(h, 10000, 100, v), 0);
    assert_int_equal(add(h, 10000, 100, v), 0);
    assert_int_equal(add(h, 20000, 130, v), 1);
    assert_int_equal(v[0].bytes.memory, 30);
    assert_int_equal(v[0].ms, 10000);
    assert_int_equal(v[0].wall_ms, 20000);
    cp_histories_free(h);
}

static void beats_that_follow_soon_count_for_the_next_point(void **state)
{
    struct cp_histories *h = cp_histories_new();
    struct cp_history_point v[CP_HISTORY_POINTS];

    (void)state;
    (void)add(h, 1, 0, v);
    assert_int_equal(add(h, CP_HISTORY_GAP_MS, 5, v), 0);
    assert_int_equal(add(h, CP_HISTORY_GAP_MS + 1, 9, v), 1);
    assert_int_equal(v[0].bytes.memory, 9);
    cp_histories_free(h);
}

static void a_node_that_starts_again_is_no_step_back(void **state)
{
    struct cp_histories *h = cp_histories_new();
    struct cp_history_point v[CP_HISTORY_POINTS];

    (void)state;
    (void)add(h, 10000, 100, v);
    (void)add(h, 20000, 10, v);
    assert_int_equal(add(h, 30000, 15, v), 2);
    assert_int_equal(v[0].bytes.memory, 0);
    assert_int_equal(v[1].bytes.memory, 5);
    cp_histories_free(h);
}

static void the_oldest_points_go(void **state)
{
    struct cp_histories *h = cp_histories_new();
    struct cp_history_point v[CP_HISTORY_POINTS];
    size_t n = 0;

    (void)state;
    for (uint64_t i = 0; i <= CP_HISTORY_POINTS + 7; i++)
        n = add(h, i * 10000, i, v);
    assert_int_equal(n, CP_HISTORY_POINTS);
    assert_int_equal(v[0].wall_ms, 80000);
    assert_int_equal(v[n - 1].wall_ms, (CP_HISTORY_POINTS + 7) * 10000);
    cp_histories_free(h);
}

static void a_number_that_is_given_again_begins_anew(void **state)
{
    struct cp_histories *h = cp_histories_new();
    struct cp_history_point v[CP_HISTORY_POINTS];
    struct cp_node other = node_at("b", 50000, 1);
    struct cp_bytes sum = { 0 };

    (void)state;
    (void)add(h, 10000, 100, v);
    (void)add(h, 20000, 110, v);
    assert_int_equal(cp_histories_get(h, &other, v), 0);
    cp_histories_add(h, &other, &sum);
    assert_int_equal(cp_histories_get(h, &other, v), 0);
    assert_int_equal(sum.memory, 0);
    cp_histories_free(h);
}

static void what_was_served_before_its_first_beat_is_not_new(void **state)
{
    struct cp_histories *h = cp_histories_new();
    struct cp_node n = node_at("a", 1000, 0);
    struct cp_bytes sum = { 0 };

    (void)state;
    n.life = CP_JOINING;
    cp_histories_add(h, &n, &sum);
    n = node_at("a", 2000, 7000);
    cp_histories_add(h, &n, &sum);
    assert_int_equal(sum.memory, 0);
    n = node_at("a", 3000, 7005);
    cp_histories_add(h, &n, &sum);
    cp_histories_add(h, &n, &sum);
    assert_int_equal(sum.memory, 5);
    cp_histories_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_is_what_came_between_two_beats),
        cmocka_unit_test(beats_that_follow_soon_count_for_the_next_point),
        cmocka_unit_test(a_node_that_starts_again_is_no_step_back),
        cmocka_unit_test(the_oldest_points_go),
        cmocka_unit_test(what_was_served_before_its_first_beat_is_not_new),
        cmocka_unit_test(a_number_that_is_given_again_begins_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
