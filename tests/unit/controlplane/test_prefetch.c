/* SPDX-License-Identifier: MIT */
#include "controlplane/operations.h"

#include "tests/lib/control.h"
#include "tests/lib/test.h"

/* A list of two for that scope. */
static uint64_t begin(struct cp_state *s, enum cp_scope_kind kind, const char *name)
{
    json_t *urls = json_loads("[\"http://h/a\", \"/b/k\"]", 0, NULL);
    struct cp_scope nodes = { .kind = kind };
    uint64_t id = 0;

    (void)snprintf(nodes.name, sizeof(nodes.name), "%s", name);
    assert_int_equal(cp_operation_prefetch(s, &nodes, urls, &id, NULL), EL_OK);
    json_decref(urls);
    return id;
}

/* Says how far it is; returns which list is its own. */
static uint64_t beat(struct cp_state *s, const char *id, uint64_t prefetch, uint64_t done,
                     uint64_t failed)
{
    struct cp_beat b = { .is_online = true,
                         .is_ready = true,
                         .prefetch = prefetch,
                         .prefetch_done = done,
                         .prefetch_failed = failed,
                         .prefetch_is_over = done + failed == 2 };
    struct cp_beat_answer answer;

    assert_int_equal(cp_node_beat(s, el_str_of(id), &b, &answer, NULL), EL_OK);
    return answer.prefetch;
}

static struct cp_state *start(void)
{
    struct cp_state *s = control_state();

    control_register(s, "n1", "z1");
    control_register(s, "n2", "z2");
    (void)beat(s, "n1", 0, 0, 0);
    (void)beat(s, "n2", 0, 0, 0);
    return s;
}

static void it_ends_when_it_has_ended_on_every_node(void **state)
{
    struct cp_state *s = start();
    uint64_t id = begin(s, CP_SCOPE_ALL, "");

    (void)state;
    assert_true(beat(s, "n1", 0, 0, 0) == id);
    assert_true(beat(s, "n1", id, 2, 0) == id);
    assert_true(beat(s, "n2", id, 1, 0) == id);
    cp_state_tick(s, true);
    assert_int_equal(cp_operation_get(s, id)->state, CP_RUNNING);
    assert_int_equal(cp_operation_get(s, id)->total, 4);
    assert_int_equal(cp_operation_get(s, id)->done, 3);
    (void)beat(s, "n2", id, 2, 0);
    cp_state_tick(s, true);
    assert_int_equal(cp_operation_get(s, id)->state, CP_OVER);
    assert_true(beat(s, "n1", id, 2, 0) == 0);
    cp_state_free(s);
}

static void what_could_not_be_loaded_makes_it_fail(void **state)
{
    struct cp_state *s = start();
    uint64_t id = begin(s, CP_SCOPE_NODE, "n1");

    (void)state;
    (void)beat(s, "n1", id, 1, 1);
    cp_state_tick(s, true);
    assert_int_equal(cp_operation_get(s, id)->state, CP_BROKEN);
    assert_int_equal(cp_operation_get(s, id)->failed, 1);
    cp_state_free(s);
}

static void a_node_has_the_oldest_list_that_is_for_it(void **state)
{
    struct cp_state *s = start();
    uint64_t first = begin(s, CP_SCOPE_ZONE, "z2"), second = begin(s, CP_SCOPE_ALL, "");

    (void)state;
    assert_true(beat(s, "n1", 0, 0, 0) == second);
    assert_true(beat(s, "n2", 0, 0, 0) == first);
    assert_int_equal(cp_operation_cancel(s, first, NULL), EL_OK);
    assert_true(beat(s, "n2", first, 1, 0) == second);
    cp_state_free(s);
}

static void a_list_for_nobody_fails(void **state)
{
    struct cp_state *s = start();
    uint64_t id = begin(s, CP_SCOPE_ZONE, "z3");

    (void)state;
    cp_state_tick(s, true);
    assert_int_equal(cp_operation_get(s, id)->state, CP_BROKEN);
    cp_state_free(s);
}

static void another_one_goes_on_with_it_and_a_deleted_one_is_gone_everywhere(void **state)
{
    struct cp_state *s = start(), *other = control_copy(s);
    uint64_t id;

    (void)state;
    cp_record_free(cp_state_take(s));
    id = begin(s, CP_SCOPE_ALL, "");
    control_pass_on(s, other);
    assert_string_equal(cp_operation_urls(other, id), "[\"http://h/a\",\"/b/k\"]");
    assert_true(beat(other, "n1", id, 2, 0) == id);
    (void)beat(other, "n2", id, 2, 0);
    cp_state_tick(other, true);
    assert_int_equal(cp_operation_get(other, id)->state, CP_OVER);
    control_pass_on(other, s);
    assert_int_equal(cp_operation_delete(s, id, NULL), EL_OK);
    control_pass_on(s, other);
    assert_null(cp_operation_get(other, id));
    cp_state_free(s);
    cp_state_free(other);
}

static void what_is_no_url_is_refused(void **state)
{
    static const char *const lists[] = { "[]",
                                         "[1]",
                                         "[\"\"]",
                                         "[\"ftp://h/a\"]",
                                         "[\"http://h/a b\"]",
                                         "[\"a\"]",
                                         "[\"http://h/a#b\"]" };
    const struct cp_scope all = { .kind = CP_SCOPE_ALL };
    struct cp_state *s = start();
    uint64_t id;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(lists); i++) {
        json_t *urls = json_loads(lists[i], 0, NULL);

        assert_int_equal(cp_operation_prefetch(s, &all, urls, &id, NULL), EL_EINVAL);
        json_decref(urls);
    }
    cp_state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_ends_when_it_has_ended_on_every_node),
        cmocka_unit_test(what_could_not_be_loaded_makes_it_fail),
        cmocka_unit_test(a_node_has_the_oldest_list_that_is_for_it),
        cmocka_unit_test(a_list_for_nobody_fails),
        cmocka_unit_test(another_one_goes_on_with_it_and_a_deleted_one_is_gone_everywhere),
        cmocka_unit_test(what_is_no_url_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
