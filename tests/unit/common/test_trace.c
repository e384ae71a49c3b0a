/* SPDX-License-Identifier: MIT */
#include "common/trace.h"

#include "tests/lib/test.h"

#define ID     "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static bool has_id(const char *field)
{
    return el_str_eq(el_trace_id(el_str_of(field)), EL_STR(ID));
}

static void a_trace_is_known_by_its_id(void **state)
{
    (void)state;
    assert_true(has_id("00-" ID "-" PARENT "-01"));
    assert_true(has_id("00-" ID "-" PARENT "-00"));
    assert_true(has_id("01-" ID "-" PARENT "-01"));
    assert_true(has_id("01-" ID "-" PARENT "-01-what-comes-later"));
}

static void what_is_no_trace_has_no_id(void **state)
{
    static const char *const wrong[] = { "",
                                         "00",
                                         "00-" ID,
                                         "00-" ID "-" PARENT,
                                         "00-" ID "-" PARENT "-",
                                         "00-" ID "-" PARENT "-1",
                                         "00-" ID "-" PARENT "-011",
                                         "00-" ID "-" PARENT "-01-",
                                         "00-" ID "-" PARENT "-01-more",
                                         "ff-" ID "-" PARENT "-01",
                                         "0g-" ID "-" PARENT "-01",
                                         "00-" ID "-" PARENT "-01 ",
                                         "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
                                         "00-00000000000000000000000000000000-" PARENT "-01",
                                         "00-" ID "-0000000000000000-01",
                                         "00_" ID "-" PARENT "-01" };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(wrong); i++)
        assert_int_equal(el_trace_id(el_str_of(wrong[i])).n, 0);
}

static bool is_recorded(const char *field)
{
    struct el_trace trace;

    assert_true(el_trace_parse(el_str_of(field), &trace));
    assert_true(el_str_eq(trace.parent, EL_STR(PARENT)));
    return trace.is_recorded;
}

static void the_lowest_flag_says_whether_it_is_recorded(void **state)
{
    (void)state;
    assert_true(is_recorded("00-" ID "-" PARENT "-01"));
    assert_true(is_recorded("00-" ID "-" PARENT "-0f"));
    assert_true(is_recorded("00-" ID "-" PARENT "-ff"));
    assert_true(is_recorded("01-" ID "-" PARENT "-03-what-comes-later"));
    assert_false(is_recorded("00-" ID "-" PARENT "-00"));
    assert_false(is_recorded("00-" ID "-" PARENT "-10"));
    assert_false(is_recorded("00-" ID "-" PARENT "-0e"));
}

static void one_that_begins_here_is_one(void **state)
{
    char a[EL_TRACE_PARENT_CHARS + 1], b[EL_TRACE_PARENT_CHARS + 1];
    struct el_trace trace;
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 5);
    el_trace_begin(&rng, a);
    el_trace_begin(&rng, b);
    assert_int_equal(el_trace_id(el_str_of(a)).n, EL_TRACE_ID_CHARS);
    assert_true(el_trace_parse(el_str_of(a), &trace));
    assert_false(trace.is_recorded);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_is_known_by_its_id),
        cmocka_unit_test(what_is_no_trace_has_no_id),
        cmocka_unit_test(the_lowest_flag_says_whether_it_is_recorded),
        cmocka_unit_test(one_that_begins_here_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
