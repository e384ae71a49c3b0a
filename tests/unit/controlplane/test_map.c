/* SPDX-License-Identifier: MIT */
#include "controlplane/map.h"

#include "tests/lib/control.h"
#include "tests/lib/test.h"

#define NODES 3u

static bool has_prefix(const char *name, unsigned depth, const char *wanted)
{
    return el_str_eq(cp_prefix_of(el_str_of(name), depth), el_str_of(wanted));
}

static void a_prefix_is_all_but_the_last_segment_or_so_many(void **state)
{
    (void)state;
    assert_true(has_prefix("http://s3:9/b/a/x.bin", 0, "http://s3:9/b/a/"));
    assert_true(has_prefix("http://s3:9/b/a/x.bin", 1, "http://s3:9/b/"));
    assert_true(has_prefix("http://s3:9/b/a/x.bin", 2, "http://s3:9/b/a/"));
    assert_true(has_prefix("http://s3:9/b/a/x.bin", 9, "http://s3:9/b/a/"));
    assert_true(has_prefix("bucket/key", 0, "bucket/"));
    assert_true(has_prefix("http://host", 0, "http://host"));
    assert_true(has_prefix("plain", 0, "plain"));
    assert_true(has_prefix("", 0, ""));
}

static void name_object(struct cp_state *s, unsigned object, const char *name, uint64_t bytes)
{
    struct el_chunk_id id = control_chunk(object, 0);
    struct cp_object_name n = { .name = el_str_of(name), .bytes = bytes };

    memcpy(n.object, id.object, sizeof(n.object));
    assert_int_equal(cp_object_describe(s, &n, NULL), EL_OK);
}

/* Node 0 has 4 chunks of each of three objects, node 1 the first 2 of object 1, node 2 nothing. */
static struct cp_state *some_state(void)
{
    struct cp_state *s = control_state();
    struct el_chunk_id ids[12];

    for (unsigned i = 0; i < EL_COUNT(ids); i++)
        ids[i] = control_chunk(1 + i / 4, i % 4);
    control_register(s, "n0", "z");
    control_register(s, "n1", "z");
    control_register(s, "n2", "");
    control_report(s, "n0", ids, EL_COUNT(ids));
    control_report(s, "n1", ids, 2);
    name_object(s, 1, "http://o/a/1", 100);
    name_object(s, 2, "http://o/a/2", 10);
    name_object(s, 3, "http://o/b/3", 1);
    return s;
}

static size_t map(const struct cp_state *s, bool by_prefix, struct cp_map_row *rows, size_t max,
                  uint32_t held[][NODES])
{
    const struct cp_map_conf conf = { .by_prefix = by_prefix, .numbers = NODES };

    for (size_t i = 0; i < max; i++)
        rows[i].held = held[i];
    return cp_map(s, &conf, rows, max);
}

static const struct cp_map_row *row_named(const struct cp_map_row *rows, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (el_str_eq(rows[i].sum.name, el_str_of(name)))
            return &rows[i];
    }
    fail_msg("there is no row %s", name);
    return NULL;
}

static void an_object_says_how_much_of_it_each_node_has(void **state)
{
    struct cp_state *s = some_state();
    uint32_t held[4][NODES] = { { 0 } };
    const struct cp_map_row *row;
    struct cp_map_row rows[4];

    (void)state;
    assert_int_equal(map(s, false, rows, 4, held), 3);
    row = row_named(rows, 3, "http://o/a/1");
    assert_int_equal(row->looked, 4);
    assert_int_equal(row->held[cp_node_get(s, EL_STR("n0"))->number], 4);
    assert_int_equal(row->held[cp_node_get(s, EL_STR("n1"))->number], 2);
    assert_int_equal(row->held[cp_node_get(s, EL_STR("n2"))->number], 0);
    assert_int_equal(row->sum.min_copies, 1);
    assert_int_equal(row->sum.max_copies, 2);
    cp_state_free(s);
}

static void a_prefix_is_the_sum_of_its_objects(void **state)
{
    struct cp_state *s = some_state();
    uint32_t held[4][NODES] = { { 0 } };
    const struct cp_map_row *row;
    struct cp_map_row rows[4];

    (void)state;
    assert_int_equal(map(s, true, rows, 4, held), 2);
    row = row_named(rows, 2, "http://o/a/");
    assert_int_equal(row->objects, 2);
    assert_int_equal(row->sum.bytes, 110);
    assert_int_equal(row->sum.chunks, 8);
    assert_int_equal(row->sum.locations, 10);
    assert_int_equal(row->sum.min_copies, 1);
    assert_int_equal(row->sum.max_copies, 2);
    assert_int_equal(row->held[cp_node_get(s, EL_STR("n0"))->number], 8);
    assert_int_equal(row->held[cp_node_get(s, EL_STR("n1"))->number], 2);
    cp_state_free(s);
}

static void ignore(void *arg, const struct el_chunk_id *id, const struct cp_node *const *holders,
                   size_t n, size_t total)
{
    (void)arg;
    (void)id;
    (void)holders;
    (void)n;
    (void)total;
}

static void ask_for(struct cp_state *s, unsigned object, unsigned times)
{
    const struct el_chunk_id id = control_chunk(object, 0);
    const struct cp_question q = { .ids = &id, .n = 1, .max_holders = 1 };

    for (unsigned i = 0; i < times; i++)
        assert_int_equal(cp_chunks_locate(s, &q, ignore, NULL, NULL), EL_OK);
}

static void the_hottest_prefix_comes_first_and_no_more_than_asked_for(void **state)
{
    struct cp_state *s = some_state();
    uint32_t held[1][NODES] = { { 0 } };
    struct cp_map_row row;

    (void)state;
    ask_for(s, 3, 1000);
    assert_int_equal(map(s, true, &row, 1, held), 1);
    assert_true(el_str_eq(row.sum.name, EL_STR("http://o/b/")));
    cp_state_free(s);
}

static void a_prefix_is_as_hot_as_all_its_objects_together(void **state)
{
    struct cp_state *s = some_state();
    uint32_t held[1][NODES] = { { 0 } };
    struct cp_map_row row;

    (void)state;
    ask_for(s, 1, 800);
    ask_for(s, 2, 800);
    ask_for(s, 3, 1000);
    assert_int_equal(map(s, true, &row, 1, held), 1);
    assert_true(el_str_eq(row.sum.name, EL_STR("http://o/a/")));
    assert_int_equal(row.objects, 2);
    assert_int_equal(row.held[cp_node_get(s, EL_STR("n0"))->number], 8);
    cp_state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_is_all_but_the_last_segment_or_so_many),
        cmocka_unit_test(an_object_says_how_much_of_it_each_node_has),
        cmocka_unit_test(a_prefix_is_the_sum_of_its_objects),
        cmocka_unit_test(the_hottest_prefix_comes_first_and_no_more_than_asked_for),
        cmocka_unit_test(a_prefix_is_as_hot_as_all_its_objects_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
