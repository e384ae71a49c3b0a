/* SPDX-License-Identifier: MIT */
#include "proxy/warm_list.h"

#include "tests/lib/test.h"

static enum el_err parse(const char *body, struct proxy_warm_list *l, struct el_error *err)
{
    return proxy_warm_list_parse(el_str_of(body), l, err);
}

static void what_is_missing_has_its_default(void **state)
{
    struct proxy_warm_list l;

    (void)state;
    assert_int_equal(parse("{\"urls\":[\"http://h/k\",\"/b/\xc3\xa4\"]}", &l, NULL), EL_OK);
    assert_int_equal(proxy_warm_list_count(&l), 2);
    assert_true(el_str_eq(proxy_warm_list_url(&l, 0), EL_STR("http://h/k")));
    assert_true(el_str_eq(proxy_warm_list_url(&l, 1), EL_STR("/b/\xc3\xa4")));
    assert_int_equal(l.fields.n, 0);
    assert_int_equal(l.concurrency, PROXY_WARM_CONCURRENCY);
    proxy_warm_list_deinit(&l);
}

static void headers_are_taken_in_their_order(void **state)
{
    struct proxy_warm_list l;

    (void)state;
    assert_int_equal(parse("{\"headers\":{\"X-B\":\" b \",\"Authorization\":\"Bearer t\"},"
                           "\"urls\":[\"/k\"],\"concurrency\":32}",
                           &l, NULL),
                     EL_OK);
    assert_int_equal(l.concurrency, 32);
    assert_int_equal(l.fields.n, 2);
    assert_true(el_str_eq(l.fields.v[0].name, EL_STR("X-B")));
    assert_true(el_str_eq(l.fields.v[0].value, EL_STR("b")));
    assert_true(el_str_eq(l.fields.v[1].value, EL_STR("Bearer t")));
    proxy_warm_list_deinit(&l);
}

static void what_would_be_another_message_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"urls\":[]}",
        "{\"urls\":[\"\"]}",
        "{\"urls\":[\"a b\"]}",
        "{\"urls\":[\"/k\\r\\nX: y\"]}",
        "{\"urls\":[\"/k\\u0000\"]}",
        "{\"urls\":[\"/k\\u007f\"]}",
        "{\"urls\":[\"http://h/k#part\"]}",
        "{\"urls\":[\"/k\",null]}",
        "{\"urls\":[\"/k\"],\"urls\":[\"/l\"]}",
        "{\"urls\":[\"/k\"],\"depth\":1}",
        "{\"urls\":[\"/k\"],\"concurrency\":0}",
        "{\"urls\":[\"/k\"],\"concurrency\":33}",
        "{\"urls\":[\"/k\"],\"concurrency\":\"4\"}",
        "{\"urls\":[\"/k\"],\"headers\":[\"A: b\"]}",
        "{\"urls\":[\"/k\"],\"headers\":{\"\":\"b\"}}",
        "{\"urls\":[\"/k\"],\"headers\":{\"A:\":\"b\"}}",
        "{\"urls\":[\"/k\"],\"headers\":{\"A\":1}}",
        "{\"urls\":[\"/k\"],\"headers\":{\"A\":\"b\\nC: d\"}}",
        "{\"urls\":[\"/k\"],\"headers\":{\"host\":\"h\"}}",
        "{\"urls\":[\"/k\"],\"headers\":{\"CONTENT-LENGTH\":\"1\"}}",
        "{\"urls\":[\"/k\"],\"headers\":{\"transfer-encoding\":\"chunked\"}}",
        "{\"urls\":[\"/k\"],\"headers\":{\"Range\":\"bytes=0-\"}}",
        "{\"urls\":[\"/k\"],\"headers\":{\"If-None-Match\":\"*\"}}",
    };
    struct proxy_warm_list l;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(wrong); i++) {
        struct el_error err = { 0 };

        if (parse(wrong[i], &l, &err) != EL_EBADREQ || err.text[0] == '\0')
            fail_msg("%s", wrong[i]);
    }
}

static void a_value_that_is_refused_is_not_shown(void **state)
{
    struct el_error err = { 0 };
    struct proxy_warm_list l;

    (void)state;
    assert_int_equal(
        parse("{\"urls\":[\"/k\"],\"headers\":{\"Authorization\":\"secret\\r\\n\"}}", &l, &err),
        EL_EBADREQ);
    assert_non_null(strstr(err.text, "Authorization"));
    assert_null(strstr(err.text, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_has_its_default),
        cmocka_unit_test(headers_are_taken_in_their_order),
        cmocka_unit_test(what_would_be_another_message_is_refused),
        cmocka_unit_test(a_value_that_is_refused_is_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
