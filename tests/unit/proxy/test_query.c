/* SPDX-License-Identifier: MIT */
#include "proxy/query.h"

#include "tests/lib/test.h"

static const char *const names[] = { "url", "prefix" };

static void one_parameter_is_decoded(void **state)
{
    static const struct {
        const char *query, *value;
        size_t which;
    } cases[] = {
        { "url=http://h/k", "http://h/k", 0 },
        { "url=http%3A%2f%2Fh/k%3Fa%26b=c", "http://h/k?a&b=c", 0 },
        { "prefix=/b/a+b%2B%20", "/b/a+b+ ", 1 },
        { "prefix=http://h/k?x=1", "http://h/k?x=1", 1 },
    };
    struct el_buf value = { 0 };
    size_t which;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        el_buf_clear(&value);
        assert_int_equal(proxy_query_one(el_str_of(cases[i].query), names, 2, &which, &value, NULL),
                         EL_OK);
        assert_int_equal(which, cases[i].which);
        assert_string_equal(value.p, cases[i].value);
    }
    el_buf_deinit(&value);
}

static void anything_else_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "url",
        "url=",
        "=x",
        "URL=http://h/k",
        "urls=x",
        "url=a&url=b",
        "url=a&",
        "a=1&url=b",
        "url=%",
        "url=%2",
        "url=a%zz",
        "url=http%3A//h/k&versionId=1",
    };
    struct el_buf value = { 0 };
    size_t which;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(wrong); i++)
        assert_int_equal(proxy_query_one(el_str_of(wrong[i]), names, 2, &which, &value, NULL),
                         EL_EBADREQ);
    assert_int_equal(proxy_query_one(EL_STR("prefix=x"), names, 1, &which, &value, NULL),
                     EL_EBADREQ);
    el_buf_deinit(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_parameter_is_decoded),
        cmocka_unit_test(anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
