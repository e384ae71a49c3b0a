/* SPDX-License-Identifier: MIT */
#include "common/json.h"

#include "tests/lib/test.h"

static void assert_written(json_t *root, const char *expected)
{
    struct el_buf out = { 0 };

    el_json_write(&out, root);
    assert_string_equal(out.p, expected);
    el_buf_deinit(&out);
}

static void keys_come_out_in_the_order_in_which_they_were_added(void **state)
{
    json_t *root = el_json_new();
    json_t *child;

    (void)state;
    el_json_add_str(root, "z", EL_STR("last letter"));
    child = el_json_child(root, "child");
    el_json_add_bool(child, "yes", true);
    el_json_add_null(child, "none");
    el_json_add_u64(root, "a", 7);
    assert_written(root,
                   "{\"z\":\"last letter\",\"child\":{\"yes\":true,\"none\":null},\"a\":7}\n");
}

static void numbers_beyond_a_signed_word_are_clamped(void **state)
{
    json_t *root = el_json_new();

    (void)state;
    el_json_add_u64(root, "n", UINT64_MAX);
    assert_written(root, "{\"n\":9223372036854775807}\n");
}

static void fractions_are_written_as_people_write_them(void **state)
{
    json_t *root = el_json_new();

    (void)state;
    el_json_add_real(root, "seconds", 0.15168127100000001);
    assert_written(root, "{\"seconds\":0.151681271}\n");
}

static void bytes_that_are_not_utf8_are_replaced(void **state)
{
    json_t *root = el_json_new();

    (void)state;
    /* A stray byte, an overlong '/', a surrogate, a good two-byte letter, a sequence cut short. */
    el_json_add_str(root, "s",
                    EL_STR("a\xff"
                           "b\xc0\xaf"
                           "c\xed\xa0\x80"
                           "d\xc3\xa9\xe2\x82"));
    assert_written(root, "{\"s\":\"a\xef\xbf\xbd"
                         "b\xef\xbf\xbd\xef\xbf\xbd"
                         "c\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                         "d\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\"}\n");
}

static void control_bytes_and_quotes_are_escaped(void **state)
{
    json_t *root = el_json_new();

    (void)state;
    el_json_add_str(root, "s", EL_STR("\"\n\0\\"));
    assert_written(root, "{\"s\":\"\\\"\\n\\u0000\\\\\"}\n");
}

static void text_that_is_not_json_becomes_an_empty_array(void **state)
{
    json_t *root = el_json_new();

    (void)state;
    el_json_add_text(root, "good", EL_STR("[1,{\"a\":2}]"));
    el_json_add_text(root, "bad", EL_STR("[1,"));
    el_json_add_text(root, "empty", EL_STR(""));
    assert_written(root, "{\"good\":[1,{\"a\":2}],\"bad\":[],\"empty\":[]}\n");
}

static enum el_err parse(const char *text, unsigned depth, size_t values)
{
    const struct el_json_limits limits = { depth, values };
    json_t *root = NULL;
    struct el_error err;
    enum el_err rc = el_json_parse(el_str_of(text), &limits, &root, &err);

    json_decref(root);
    return rc;
}

static void what_is_nested_too_deeply_is_refused_before_it_is_built(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"a\":[1,{}]}", 3, 100), EL_OK);
    assert_int_equal(parse("{\"a\":[1,{}]}", 2, 100), EL_EPROTO);
    assert_int_equal(parse("[[],[],[[]]]", 3, 100), EL_OK);
    assert_int_equal(parse("{\"a[[[[[\\\"[[[\":1}", 1, 100), EL_OK);
}

static void so_is_what_has_too_many_values(void **state)
{
    (void)state;
    assert_int_equal(parse("[1,2,3]", 1, 4), EL_OK);
    assert_int_equal(parse("[1,2,3]", 1, 3), EL_EPROTO);
    assert_int_equal(parse("[\"1,2,3,4,5,6\"]", 1, 2), EL_OK);
}

static void what_is_no_json_is_an_error(void **state)
{
    static const char *const bad[] = { "",      "1",    "{",   "{\"a\":1,\"a\":2}",  "[1,]", "[\"",
                                       "[\"\\", "]]]]", "[]x", "{\"a\":\"\\u0000\"}" };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bad); i++)
        assert_int_equal(parse(bad[i], 10, 100), EL_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_out_in_the_order_in_which_they_were_added),
        cmocka_unit_test(numbers_beyond_a_signed_word_are_clamped),
        cmocka_unit_test(fractions_are_written_as_people_write_them),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced),
        cmocka_unit_test(control_bytes_and_quotes_are_escaped),
        cmocka_unit_test(text_that_is_not_json_becomes_an_empty_array),
        cmocka_unit_test(what_is_nested_too_deeply_is_refused_before_it_is_built),
        cmocka_unit_test(so_is_what_has_too_many_values),
        cmocka_unit_test(what_is_no_json_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
