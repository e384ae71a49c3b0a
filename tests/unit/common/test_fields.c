/* SPDX-License-Identifier: MIT */
#include "common/fields.h"

#include "common/buf.h"
#include "tests/lib/fields.h"

#include "tests/lib/test.h"

static void assert_str(struct el_str s, const char *expected)
{
    assert_int_equal(s.n, strlen(expected));
    assert_memory_equal(s.p, expected, s.n);
}

static void fields_are_copied_and_keep_their_order_and_case(void **state)
{
    struct el_fields f;
    char name[] = "X-One", value[] = "first";

    (void)state;
    el_fields_init(&f);
    el_fields_add(&f, el_str_of(name), el_str_of(value));
    memset(name, '?', sizeof(name) - 1);
    memset(value, '?', sizeof(value) - 1);
    el_fields_add(&f, EL_STR("x-ONE"), EL_STR(""));
    el_fields_add(&f, EL_STR("x-two"), el_str_of(NULL));
    assert_int_equal(f.n, 3);
    assert_str(f.v[0].name, "X-One");
    assert_str(f.v[0].value, "first");
    assert_str(f.v[1].name, "x-ONE");
    assert_int_equal(f.v[1].value.n, 0);
    assert_int_equal(f.v[2].value.n, 0);
    el_fields_deinit(&f);
    assert_int_equal(f.n, 0);
    el_fields_deinit(&f);
}

static void many_fields_fit(void **state)
{
    struct el_fields f = { 0 };
    struct el_str value;
    char name[16];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "n%d", i);
        el_fields_add(&f, el_str_of(name), el_str_of(name + 1));
    }
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "N%d", i);
        assert_true(el_fieldv_get(el_fields_view(&f), el_str_of(name), &value));
        assert_str(value, name + 1);
    }
    el_fields_deinit(&f);
}

static void the_first_of_a_name_is_found_in_any_case(void **state)
{
    struct el_fieldv v = FIELDS(FIELD("Age", "1"), FIELD("ETag", "\"a\""), FIELD("AGE", "2"));
    struct el_str value = EL_STR("untouched");

    (void)state;
    assert_true(el_fieldv_get(v, EL_STR("age"), &value));
    assert_str(value, "1");
    assert_int_equal(el_fieldv_count(v, EL_STR("aGe")), 2);
    assert_true(el_fieldv_has(v, EL_STR("etag")));

    assert_false(el_fieldv_get(v, EL_STR("Ag"), &value));
    assert_str(value, "1");
    assert_int_equal(el_fieldv_count(v, EL_STR("Ages")), 0);
    assert_false(el_fieldv_has(NO_FIELDS, EL_STR("Age")));
}

static void every_field_of_a_name_is_removed_and_the_rest_stay_in_order(void **state)
{
    struct el_fields f = { 0 };

    (void)state;
    el_fields_add(&f, EL_STR("X"), EL_STR("1"));
    el_fields_add(&f, EL_STR("a"), EL_STR("2"));
    el_fields_add(&f, EL_STR("x"), EL_STR("3"));
    el_fields_add(&f, EL_STR("b"), EL_STR("4"));
    el_fields_add(&f, EL_STR("c"), EL_STR("5"));
    el_fields_add(&f, EL_STR("x"), EL_STR("6"));
    assert_int_equal(el_fields_remove(&f, EL_STR("y")), 0);
    assert_int_equal(el_fields_remove(&f, EL_STR("X")), 3);
    assert_int_equal(f.n, 3);
    assert_str(f.v[0].value, "2");
    assert_str(f.v[1].value, "4");
    assert_str(f.v[2].value, "5");
    el_fields_add(&f, EL_STR("d"), EL_STR("7"));
    assert_str(f.v[3].value, "7");
    el_fields_deinit(&f);
}

/* `Connection: connection` asks a proxy to remove the very field that says so. */
static void a_field_can_be_removed_by_a_name_that_it_holds_itself(void **state)
{
    struct el_fields f = { 0 };
    struct el_str value;

    (void)state;
    el_fields_add(&f, EL_STR("Connection"), EL_STR("connection"));
    el_fields_add(&f, EL_STR("Connection"), EL_STR("close"));
    el_fields_add(&f, EL_STR("Host"), EL_STR("h"));
    assert_true(el_fieldv_get(el_fields_view(&f), EL_STR("Connection"), &value));
    assert_int_equal(el_fields_remove(&f, value), 2);
    assert_int_equal(f.n, 1);
    assert_str(f.v[0].name, "Host");
    el_fields_deinit(&f);
}

/* The members of L in v, each in angle brackets. */
static void assert_members(struct el_fieldv v, const char *expected)
{
    struct el_list_cursor c = { 0 };
    struct el_buf all = { 0 };
    struct el_str member;

    el_buf_reserve(&all, 0);
    while (el_fieldv_member(v, EL_STR("L"), &c, &member))
        el_buf_addf(&all, "<%.*s>", EL_STR_ARG(member));
    assert_string_equal(all.p, expected);
    assert_false(el_fieldv_member(v, EL_STR("L"), &c, &member));
    el_buf_deinit(&all);
}

static void members_of_all_fields_of_a_name_are_one_list(void **state)
{
    (void)state;
    assert_members(FIELDS(FIELD("l", "a, b"), FIELD("M", "x"), FIELD("L", "c")), "<a><b><c>");
    assert_members(FIELDS(FIELD("L", ""), FIELD("L", "d")), "<d>");
    assert_members(NO_FIELDS, "");
}

static void empty_members_and_blanks_are_skipped(void **state)
{
    (void)state;
    assert_members(FIELDS(FIELD("L", ",, a ,\t,b b\t, ,")), "<a><b b>");
    assert_members(FIELDS(FIELD("L", " , ,")), "");
}

static void a_comma_in_a_quoted_string_does_not_part(void **state)
{
    (void)state;
    assert_members(FIELDS(FIELD("L", "a=\"1,2\", b")), "<a=\"1,2\"><b>");
    assert_members(FIELDS(FIELD("L", "\"q\\\",x\", b")), "<\"q\\\",x\"><b>");
    assert_members(FIELDS(FIELD("L", "\"q\\\\\", b")), "<\"q\\\\\"><b>");
    /* Outside quotes a backslash is a byte like others. */
    assert_members(FIELDS(FIELD("L", "a\\, b")), "<a\\><b>");
}

static void a_quoted_string_left_open_ends_with_its_field(void **state)
{
    (void)state;
    assert_members(FIELDS(FIELD("L", "a, \"b, c"), FIELD("L", "d")), "<a><\"b, c><d>");
    assert_members(FIELDS(FIELD("L", "\"b\\"), FIELD("L", "d")), "<\"b\\><d>");
}

static void a_token_is_a_whole_member(void **state)
{
    struct el_fieldv v = FIELDS(FIELD("Cache-Control", "no-store, max-age=5"),
                                FIELD("cache-control", "x=\"private, y\""));

    (void)state;
    assert_true(el_fieldv_has_token(v, EL_STR("Cache-Control"), EL_STR("No-Store")));
    assert_false(el_fieldv_has_token(v, EL_STR("Cache-Control"), EL_STR("store")));
    assert_false(el_fieldv_has_token(v, EL_STR("Cache-Control"), EL_STR("max-age")));
    assert_false(el_fieldv_has_token(v, EL_STR("Cache-Control"), EL_STR("private")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_copied_and_keep_their_order_and_case),
        cmocka_unit_test(many_fields_fit),
        cmocka_unit_test(the_first_of_a_name_is_found_in_any_case),
        cmocka_unit_test(every_field_of_a_name_is_removed_and_the_rest_stay_in_order),
        cmocka_unit_test(a_field_can_be_removed_by_a_name_that_it_holds_itself),
        cmocka_unit_test(members_of_all_fields_of_a_name_are_one_list),
        cmocka_unit_test(empty_members_and_blanks_are_skipped),
        cmocka_unit_test(a_comma_in_a_quoted_string_does_not_part),
        cmocka_unit_test(a_quoted_string_left_open_ends_with_its_field),
        cmocka_unit_test(a_token_is_a_whole_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
