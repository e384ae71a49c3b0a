/* SPDX-License-Identifier: MIT */
#include "proxy/directives.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"

static struct proxy_directives read(const char *name, const char *value)
{
    const struct el_field f = { el_str_of(name), el_str_of(value) };
    struct proxy_directives d;

    proxy_directives_read((struct el_fieldv){ &f, 1 }, &d);
    return d;
}

/* ---- Cache-Control ---- */

static void a_lifetime_is_digits_and_nothing_else(void **state)
{
    static const struct {
        const char *value;
        int64_t max_age_s;
    } cases[] = {
        { "max-age=3600", 3600 },
        { "max-age=0", 0 },
        { "MaX-aGe=3600", 3600 },
        { "max-age=003600", 3600 },
        { "max-age=\"3600\"", 3600 },
        { " ,, max-age=3600 ,", 3600 },
        { "foobar, max-age=3600, x=y", 3600 },
        { "max-age=2147483647", 2147483647 },
        { "max-age=2147483648", PROXY_DELTA_MAX },
        { "max-age=99999999999", PROXY_DELTA_MAX },
        { "max-age=99999999999999999999999999999999", PROXY_DELTA_MAX },
        /* Of several, the one that promises least. */
        { "max-age=1, max-age=1800", 1 },
        { "max-age=1800, max-age=1", 1 },
        { "max-age=1800, max-age=x", 0 },
        /* Unreadable is over. */
        { "max-age='3600'", 0 },
        { "max-age=-1", 0 },
        { "max-age=3600.0", 0 },
        { "max-age=a3600", 0 },
        { "max-age=3600a", 0 },
        { "max-age= 3600", 0 },
        { "max-age=", 0 },
        { "max-age", 0 },
        { "max-age=\"\"", 0 },
        { "max-age=\"3600", 0 },
        /* Not said. */
        { "", PROXY_NOT_SAID },
        { "max-age =3600", PROXY_NOT_SAID },
        { "extension=\"max-age=3600\"", PROXY_NOT_SAID },
        { "extension=\"a, max-age=3600, b\"", PROXY_NOT_SAID },
        { "extension=\"a\\\", max-age=3600\"", PROXY_NOT_SAID },
        { "x-max-age=3600", PROXY_NOT_SAID },
        { "max-age-x=3600", PROXY_NOT_SAID },
        { "extension=\"max-age=3600\", max-age=1", 1 },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_directives d = read("Cache-Control", cases[i].value);

        if (d.max_age_s != cases[i].max_age_s)
            fail_msg("%s: %lld", cases[i].value, (long long)d.max_age_s);
        assert_false(d.is_targeted);
    }
}

static void flags_are_words_in_any_case_with_or_without_fields(void **state)
{
    struct proxy_directives d;

    (void)state;
    d = read("Cache-Control", "No-StOrE, private=\"Set-Cookie, X\", NO-CACHE=a, must-understand");
    assert_true(d.no_store && d.is_private && d.no_cache && d.must_understand);
    assert_false(d.is_public || d.must_revalidate);
    d = read("Cache-Control", "public, proxy-revalidate");
    assert_true(d.is_public && d.must_revalidate && !d.is_private);
    d = read("Cache-Control",
             "xprivate, no-storex, \"no-store\", x=no-store, x=\"private, no-cache\"");
    assert_false(d.no_store || d.is_private || d.no_cache);
}

static void lines_are_one_list(void **state)
{
    struct proxy_directives d;

    (void)state;
    proxy_directives_read(
        FIELDS(FIELD("Cache-Control", "max-age=1800"), FIELD("X", "no-store"),
               FIELD("cache-control", "max-age=7, s-maxage=9"),
               FIELD("Cache-Control", "stale-while-revalidate=5,stale-if-error=6")),
        &d);
    assert_int_equal(d.max_age_s, 7);
    assert_int_equal(d.s_maxage_s, 9);
    assert_int_equal(d.stale_while_revalidate_s, 5);
    assert_int_equal(d.stale_if_error_s, 6);
    assert_false(d.no_store);
}

/* ---- CDN-Cache-Control (RFC 9213), a dictionary of structured fields (RFC 8941) ---- */

static void a_good_targeted_field_stands_in_place_of_the_other(void **state)
{
    static const struct {
        const char *value;
        int64_t max_age_s;
    } cases[] = {
        { "max-age=3600", 3600 },
        { "  max-age=3600  ", 3600 },
        { "max-age=0", 0 },
        { "max-age=-5", 0 },
        { "max-age=99999999999", PROXY_DELTA_MAX },
        { "foobar, max-age=3600", 3600 },
        { "max-age=1\t, \tmax-age=3600", 3600 }, /* of one key the last counts */
        { "max-age=3600;a;b=1;c=\"x\"", 3600 },
        { "a=1.5, b=\"q\\\"\\\\\", c=:aGk=:, d=?0, e=tok/en, f=(1 \"two\" three;x=1), g=(), h=*x, *k.-_=1, "
          "max-age=3600",
          3600 },
        { "foo", PROXY_NOT_SAID },
        { "max-age=3600, no-store=?0", 3600 },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { FIELD("Cache-Control", "no-store, max-age=1"),
                                      { EL_STR("CDN-Cache-Control"), el_str_of(cases[i].value) } };
        struct proxy_directives d;

        proxy_directives_read((struct el_fieldv){ f, 2 }, &d);
        if (!d.is_targeted || d.no_store || d.max_age_s != cases[i].max_age_s)
            fail_msg("%s", cases[i].value);
    }
}

static void a_targeted_field_with_one_mistake_is_no_field(void **state)
{
    static const char *const cases[] = {
        "",
        "   ",
        "max-age=10000, &&&&&",
        "max-age=\"10000\"",
        "max-age",
        "max-age=1.5",
        "max-age=?1",
        "max-age=abc",
        "max-age=(1)",
        "max-age=",
        "max-age =100",
        "max-age= 100",
        "MaX-aGe=3600",
        "max-age=3600,",
        "max-age=3600,,a",
        ",max-age=3600",
        "max-age=3600 a",
        "max-age=3600; ",
        "a;;b",
        "max-age=9999999999999999",
        "max-age=--1",
        "max-age=1.",
        "a=1.2345",
        "a=1234567890123.1",
        "a=\"x",
        "a=\"\\x\"",
        "a=\"\x01\"",
        "a=\"\x80\"",
        "a=:x",
        "a=:!:",
        "a=?2",
        "a=?",
        "a=(1",
        "a=(1,2)",
        "a=(1\"x\")",
        "a=-",
        "1a=1",
        "-a",
        "a=\xff",
        "a=1;B",
        "max-age=1;x=",
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { FIELD("Cache-Control", "max-age=7"),
                                      { EL_STR("CDN-Cache-Control"), el_str_of(cases[i]) } };
        struct proxy_directives d;

        proxy_directives_read((struct el_fieldv){ f, 2 }, &d);
        if (d.is_targeted || d.max_age_s != 7)
            fail_msg("%s", cases[i]);
    }
}

static void targeted_flags_forbid_as_much_as_the_others(void **state)
{
    (void)state;
    assert_true(read("CDN-Cache-Control", "private").is_private);
    assert_true(read("CDN-Cache-Control", "no-cache").no_cache);
    assert_true(read("CDN-Cache-Control", "no-store").no_store);
    assert_true(read("CDN-Cache-Control", "no-store=?1").no_store);
    assert_true(read("cdn-cache-control", "must-revalidate, max-age=1").must_revalidate);
    assert_false(read("CDN-Cache-Control", "private=?0, max-age=1").is_private);
}

static void lines_of_a_targeted_field_are_one_dictionary(void **state)
{
    struct proxy_directives d;

    (void)state;
    proxy_directives_read(FIELDS(FIELD("CDN-Cache-Control", "max-age=5"),
                                 FIELD("Cache-Control", "no-store"),
                                 FIELD("CDN-Cache-Control", "must-revalidate")),
                          &d);
    assert_true(d.is_targeted && d.must_revalidate && !d.no_store);
    assert_int_equal(d.max_age_s, 5);
    proxy_directives_read(FIELDS(FIELD("CDN-Cache-Control", "max-age=5"),
                                 FIELD("Cache-Control", "no-store"),
                                 FIELD("CDN-Cache-Control", "&")),
                          &d);
    assert_true(!d.is_targeted && d.no_store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lifetime_is_digits_and_nothing_else),
        cmocka_unit_test(flags_are_words_in_any_case_with_or_without_fields),
        cmocka_unit_test(lines_are_one_list),
        cmocka_unit_test(a_good_targeted_field_stands_in_place_of_the_other),
        cmocka_unit_test(a_targeted_field_with_one_mistake_is_no_field),
        cmocka_unit_test(targeted_flags_forbid_as_much_as_the_others),
        cmocka_unit_test(lines_of_a_targeted_field_are_one_dictionary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
