/* SPDX-License-Identifier: MIT */
#include "controlplane/state.h"

#include "controlplane/operations.h"
#include "tests/lib/control.h"
#include "tests/lib/test.h"

#define NAMES 5000u /* more than one tick writes */

/* One that moves, in a state that writes nothing of itself. */
static uint64_t begin_held_back(struct cp_state *s)
{
    uint64_t id;

    assert_int_equal(cp_operation_begin(s, CP_BACKUP, 10, &id, NULL), EL_OK);
    cp_record_free(cp_state_take(s));
    cp_state_hold_back(s, true);
    assert_int_equal(cp_operation_move(s, id, 7, 10, NULL), EL_OK);
    return id;
}

static void how_far_an_operation_is_waits_while_the_store_has_enough_to_write(void **state)
{
    struct cp_state *s = control_state(), *next = control_copy(s);
    uint64_t id = begin_held_back(s);

    (void)state;
    cp_state_tick(s, false);
    assert_null(cp_state_take(s));
    cp_state_hold_back(s, false);
    cp_state_tick(s, false);
    control_pass_on(s, next);
    assert_int_equal(cp_operation_get(next, id)->done, 7);
    cp_state_free(s);
    cp_state_free(next);
}

static void how_far_an_operation_is_leaves_before_the_end(void **state)
{
    struct cp_state *s = control_state(), *next = control_copy(s);
    uint64_t id = begin_held_back(s);

    (void)state;
    cp_state_flush(s);
    control_pass_on(s, next);
    assert_int_equal(cp_operation_get(next, id)->done, 7);
    cp_state_flush(s);
    assert_null(cp_state_take(s));
    cp_state_free(s);
    cp_state_free(next);
}

static void all_names_of_objects_leave_before_the_end(void **state)
{
    struct cp_state *s = control_state(), *next = control_copy(s);

    (void)state;
    for (uint32_t i = 0; i < NAMES; i++) {
        struct cp_object_name name = { .name = EL_STR("http://h/k"), .bytes = i };

        memcpy(name.object, control_chunk(i, 0).object, sizeof(name.object));
        assert_int_equal(cp_object_describe(s, &name, NULL), EL_OK);
    }
    cp_state_flush(s);
    control_pass_on(s, next);
    for (uint32_t i = 0; i < NAMES; i++)
        assert_true(cp_object_name(next, control_chunk(i, 0).object).n > 0);
    cp_state_free(s);
    cp_state_free(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_far_an_operation_is_waits_while_the_store_has_enough_to_write),
        cmocka_unit_test(how_far_an_operation_is_leaves_before_the_end),
        cmocka_unit_test(all_names_of_objects_leave_before_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
