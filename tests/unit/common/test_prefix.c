/* SPDX-License-Identifier: MIT */
#include "common/prefix.h"

#include "tests/lib/test.h"

static bool are_the_same(const char *a, const char *b)
{
    struct el_prefix x, y;
    bool is_same;

    assert_int_equal(el_prefix_parse(a, &x, NULL), EL_OK);
    assert_int_equal(el_prefix_parse(b, &y, NULL), EL_OK);
    is_same = el_prefix_is_same(&x, &y);
    el_prefix_deinit(&x);
    el_prefix_deinit(&y);
    return is_same;
}

static void one_place_has_many_spellings(void **state)
{
    (void)state;
    assert_true(are_the_same("http://h/b", "http://h/b/"));
    assert_true(are_the_same("http://h/b", "HTTP://H:80/%62"));
    assert_true(are_the_same("http://h", "http://h/"));
    assert_false(are_the_same("http://h/b", "https://h/b"));
    assert_false(are_the_same("http://h/b", "http://h/B"));
    assert_false(are_the_same("http://h/b", "http://h/b/c"));
}

static void what_could_be_another_place_is_refused(void **state)
{
    static const char *const prefixes[] = { "http://h/a/../b", "http://h/./b", "http://h/a//b",
                                            "http://h/%2e%2e/b", "b/" };
    struct el_prefix p;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(prefixes); i++)
        assert_int_not_equal(el_prefix_parse(prefixes[i], &p, NULL), EL_OK);
}

static void it_fits_on_whole_segments(void **state)
{
    struct el_str origin, path;
    struct el_prefix p;

    (void)state;
    assert_int_equal(el_prefix_parse("http://h/b/logs", &p, NULL), EL_OK);
    el_prefix_split(EL_STR("http://h/b/logs/1?x=/y"), &origin, &path);
    assert_true(el_str_eq(path, EL_STR("/b/logs/1")));
    assert_true(el_prefix_fits(&p, origin, path));
    assert_true(el_prefix_fits(&p, origin, EL_STR("/b/logs")));
    assert_false(el_prefix_fits(&p, origin, EL_STR("/b/logs2")));
    assert_false(el_prefix_fits(&p, EL_STR("http://other"), path));
    el_prefix_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_place_has_many_spellings),
        cmocka_unit_test(what_could_be_another_place_is_refused),
        cmocka_unit_test(it_fits_on_whole_segments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
