/* SPDX-License-Identifier: MIT */
#include "controlplane/events.h"
#include "controlplane/groups.h"

#include "tests/lib/control.h"
#include "tests/lib/test.h"

static void read_all(struct cp_state *to, const struct cp_state *from)
{
    cp_state_load_begin(to);
    cp_state_dump(from, control_keep, to);
    cp_state_load_end(to);
}

static void push(struct cp_state *s, const char *json)
{
    uint64_t version;

    assert_int_equal(cp_config_set(s, el_str_of(json), &version, NULL), EL_OK);
}

static void what_is_read_again_is_an_event_only_where_it_is_new(void **state)
{
    struct cp_state *from = control_state(), *to = control_state();
    uint64_t before;

    (void)state;
    for (unsigned i = 0; i < 2 * CP_CONFIGS_MAX; i++)
        push(from, i % 2 == 0 ? "{\"a\":1}" : "{\"a\":2}");
    read_all(to, from);
    assert_int_equal(cp_config_version(to), 2 * CP_CONFIGS_MAX);
    before = cp_events_newest(to);
    read_all(to, from);
    assert_int_equal(cp_events_newest(to), before);
    push(from, "{\"a\":3}");
    read_all(to, from);
    assert_int_equal(cp_events_newest(to), before + 1);
    assert_int_equal(cp_config_version(to), cp_config_version(from));
    cp_state_free(from);
    cp_state_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_again_is_an_event_only_where_it_is_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
