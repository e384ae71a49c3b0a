/* SPDX-License-Identifier: MIT */
#include "p2p/gave.h"

#include <stdio.h>

#include "tests/lib/test.h"

static const uint8_t first[16] = { 1 }, second[16] = { 2 };

/* "name=bytes name=bytes " */
static void assert_list(struct p2p_gave *g, const uint8_t version[16], const char *want)
{
    json_t *list = json_array(), *one;
    struct el_buf got = { 0 };
    size_t i;

    p2p_gave_list(g, version, list);
    json_array_foreach(list, i, one)
        el_buf_addf(&got, "%s=%d ", json_string_value(json_object_get(one, "name")),
                    (int)json_integer_value(json_object_get(one, "bytes")));
    el_buf_add_byte(&got, '\0');
    assert_string_equal(got.p, want);
    el_buf_deinit(&got);
    json_decref(list);
}

static void what_each_gave_is_added_up_and_the_most_comes_first(void **state)
{
    struct p2p_gave *g = p2p_gave_new();

    (void)state;
    p2p_gave_begin(g, first);
    p2p_gave_note(g, first, 7, "seven", 10);
    p2p_gave_note(g, first, 8, "eight", 30);
    p2p_gave_note(g, first, 7, "seven", 15);
    assert_list(g, first, "eight=30 seven=25 ");
    assert_list(g, second, "");
    p2p_gave_free(g);
}

static void a_version_that_is_fetched_anew_begins_with_nothing(void **state)
{
    struct p2p_gave *g = p2p_gave_new();

    (void)state;
    p2p_gave_begin(g, first);
    p2p_gave_begin(g, second);
    p2p_gave_note(g, first, 7, "seven", 10);
    p2p_gave_note(g, second, 8, "eight", 1);
    p2p_gave_begin(g, first);
    assert_list(g, first, "");
    assert_list(g, second, "eight=1 ");
    p2p_gave_free(g);
}

static void what_is_not_fetched_is_not_counted(void **state)
{
    struct p2p_gave *g = p2p_gave_new();

    (void)state;
    p2p_gave_note(g, first, 7, "seven", 10);
    assert_list(g, first, "");
    p2p_gave_free(g);
}

static void the_version_that_began_first_makes_room(void **state)
{
    struct p2p_gave *g = p2p_gave_new();
    uint8_t version[16] = { 0 };

    (void)state;
    for (uint8_t i = 0; i < 65; i++) {
        version[15] = i;
        p2p_gave_begin(g, version);
        p2p_gave_note(g, version, 7, "seven", 1);
    }
    version[15] = 0;
    assert_list(g, version, "");
    version[15] = 1;
    assert_list(g, version, "seven=1 ");
    p2p_gave_free(g);
}

static void peers_beyond_the_first_few_count_for_nobody(void **state)
{
    struct p2p_gave *g = p2p_gave_new();
    json_t *list = json_array();

    (void)state;
    p2p_gave_begin(g, first);
    for (uint64_t i = 0; i < 100; i++)
        p2p_gave_note(g, first, i, "one", 1);
    p2p_gave_list(g, first, list);
    assert_int_equal(json_array_size(list), 32);
    json_decref(list);
    p2p_gave_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_each_gave_is_added_up_and_the_most_comes_first),
        cmocka_unit_test(a_version_that_is_fetched_anew_begins_with_nothing),
        cmocka_unit_test(what_is_not_fetched_is_not_counted),
        cmocka_unit_test(the_version_that_began_first_makes_room),
        cmocka_unit_test(peers_beyond_the_first_few_count_for_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
