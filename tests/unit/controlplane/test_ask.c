/* SPDX-License-Identifier: MIT */
#include "controlplane/ask.h"

#include "tests/lib/test.h"

/* The caller's reference. */
static json_t *object(struct cp_ask *a, const char *text)
{
    json_t *root = json_loads(text, 0, NULL);

    assert_true(json_is_object(root));
    cp_ask_init(a, root);
    return root;
}

static void assert_fault(const struct cp_ask *a, const char *field, const char *text)
{
    assert_int_equal(a->code, EL_EINVAL);
    assert_string_equal(a->field, field);
    if (strstr(a->why.text, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, a->why.text);
}

static void what_is_absent_or_null_stays_as_it_was(void **state)
{
    char text[8] = "before";
    uint64_t n = 7;
    double real = 1.5;
    bool flag = true;
    struct cp_ask a;
    json_t *root = object(&a, "{\"text\":null}");

    (void)state;
    cp_ask_text(&a, "text", CP_OPTIONAL, text, sizeof(text));
    cp_ask_u64(&a, "n", CP_OPTIONAL, 10, &n);
    cp_ask_real(&a, "real", CP_OPTIONAL, &real);
    cp_ask_bool(&a, "flag", CP_OPTIONAL, &flag);
    assert_int_equal(a.code, EL_OK);
    assert_string_equal(text, "before");
    assert_true(n == 7 && real == 1.5 && flag);
    json_decref(root);
}

static void the_first_fault_is_the_one_that_is_told(void **state)
{
    uint64_t n = 0;
    struct cp_ask a;
    json_t *root = object(&a, "{\"a\":-1,\"b\":\"x\"}");

    (void)state;
    cp_ask_u64(&a, "a", CP_NEEDED, 10, &n);
    cp_ask_u64(&a, "b", CP_NEEDED, 10, &n);
    cp_ask_u64(&a, "c", CP_NEEDED, 10, &n);
    assert_fault(&a, "a", "a is no integer from 0 on");
    assert_int_equal(n, 0);
    json_decref(root);
}

static void assert_u64_fault(const char *json, const char *text)
{
    uint64_t n;
    struct cp_ask a;
    json_t *root = object(&a, json);

    cp_ask_u64(&a, "n", CP_NEEDED, 10, &n);
    assert_fault(&a, "n", text);
    json_decref(root);
}

static void numbers_have_types_and_limits(void **state)
{
    (void)state;
    assert_u64_fault("{}", "is missing");
    assert_u64_fault("{\"n\":null}", "is missing");
    assert_u64_fault("{\"n\":11}", "is more than 10");
    assert_u64_fault("{\"n\":1.0}", "is no integer");
    assert_u64_fault("{\"n\":\"1\"}", "is no integer");
    assert_u64_fault("{\"n\":true}", "is no integer");
}

static void assert_text_fault(const char *json, const char *text)
{
    char value[5];
    struct cp_ask a;
    json_t *root = object(&a, json);

    cp_ask_text(&a, "t", CP_NEEDED, value, sizeof(value));
    assert_fault(&a, "t", text);
    json_decref(root);
}

static void text_is_bounded_and_has_no_control_characters(void **state)
{
    (void)state;
    assert_text_fault("{\"t\":\"12345\"}", "is longer than 4 bytes");
    assert_text_fault("{\"t\":\"a\\nb\"}", "control characters");
    assert_text_fault("{\"t\":\"\"}", "is empty");
    assert_text_fault("{\"t\":5}", "is no string");
}

static int64_t time_of(const char *value)
{
    int64_t ms = -1;
    struct el_buf json = { 0 };
    struct cp_ask a;
    json_t *root;

    el_buf_addf(&json, "{\"t\":%s}", value);
    root = object(&a, json.p);
    cp_ask_time(&a, "t", CP_NEEDED, &ms);
    json_decref(root);
    el_buf_deinit(&json);
    return a.code == EL_OK ? ms : -1;
}

static void times_are_iso_8601_or_milliseconds(void **state)
{
    (void)state;
    assert_true(time_of("\"2026-11-21T05:04:03.123Z\"") == INT64_C(1795237443123));
    assert_true(time_of("\"2026-11-21T05:04:03Z\"") == INT64_C(1795237443000));
    assert_true(time_of("1795237443123") == INT64_C(1795237443123));
    assert_true(time_of("\"2026-11-21 05:04:03Z\"") == -1);
    assert_true(time_of("\"2026-13-21T05:04:03Z\"") == -1);
    assert_true(time_of("\"2026-11-21T05:04:03\"") == -1);
    assert_true(time_of("\"\"") == -1);
    assert_true(time_of("-5") == -1);
    assert_true(time_of("1.5") == -1);
}

static void a_list_of_chunks_names_the_element_that_is_none(void **state)
{
    struct el_chunk_id *ids;
    struct cp_ask a;
    size_t n;
    json_t *root =
        object(&a, "{\"good\":[\"00000000000000000000000000000001-00000002\"],"
                   "\"bad\":[\"00000000000000000000000000000001-00000002\",\"x\"],\"empty\":[]}");

    (void)state;
    ids = cp_ask_chunks(&a, "good", CP_NEEDED, 1, &n);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0].index, 2);
    free(ids);
    assert_null(cp_ask_chunks(&a, "empty", CP_NEEDED, 1, &n));
    assert_int_equal(a.code, EL_OK);
    assert_null(cp_ask_chunks(&a, "bad", CP_NEEDED, 2, &n));
    assert_fault(&a, "bad[1]", "is no chunk id");
    cp_ask_init(&a, root);
    assert_null(cp_ask_chunks(&a, "bad", CP_NEEDED, 1, &n));
    assert_fault(&a, "bad", "more than 1");
    json_decref(root);
}

static void the_fault_of_an_element_says_where_it_is(void **state)
{
    struct cp_ask a, item;
    uint64_t n;
    json_t *root = object(&a, "{\"list\":[{\"n\":1},{\"n\":true}]}");
    json_t *list = json_object_get(root, "list");

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        cp_ask_down(&a, &item, "list", i, json_array_get(list, i));
        cp_ask_u64(&item, "n", CP_NEEDED, 5, &n);
        cp_ask_up(&a, &item);
    }
    assert_fault(&a, "list[1].n", "is no integer");
    cp_ask_init(&a, root);
    cp_ask_down(&a, &item, "list", 0, NULL);
    cp_ask_up(&a, &item);
    assert_fault(&a, "list[0]", "is no object");
    json_decref(root);
}

static void a_query_is_decoded_and_its_numbers_bounded(void **state)
{
    const struct el_str query = EL_STR("a=1&zone=rack%201&bad=%zz&nul=%00&n=7");
    struct cp_ask a;
    uint64_t n = 3;
    char text[8];

    (void)state;
    assert_true(cp_query_text(query, "zone", text, sizeof(text)));
    assert_string_equal(text, "rack 1");
    assert_false(cp_query_text(query, "bad", text, sizeof(text)));
    assert_false(cp_query_text(query, "nul", text, sizeof(text)));
    assert_false(cp_query_text(query, "absent", text, sizeof(text)));
    assert_false(cp_query_text(query, "zone", text, 6));
    cp_ask_init(&a, NULL);
    cp_query_u64(&a, query, "absent", 1, 9, &n);
    assert_int_equal(n, 3);
    cp_query_u64(&a, query, "n", 1, 9, &n);
    assert_int_equal(n, 7);
    cp_query_u64(&a, query, "n", 1, 6, &n);
    assert_fault(&a, "n", "from 1 to 6");
}

static void an_escape_at_the_very_end_is_broken(void **state)
{
    char text[8];

    (void)state;
    assert_false(cp_percent_decode(EL_STR("%"), text, sizeof(text)));
    assert_false(cp_percent_decode(EL_STR("%4"), text, sizeof(text)));
    assert_true(cp_percent_decode(EL_STR("%41"), text, sizeof(text)));
    assert_string_equal(text, "A");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_absent_or_null_stays_as_it_was),
        cmocka_unit_test(the_first_fault_is_the_one_that_is_told),
        cmocka_unit_test(numbers_have_types_and_limits),
        cmocka_unit_test(text_is_bounded_and_has_no_control_characters),
        cmocka_unit_test(times_are_iso_8601_or_milliseconds),
        cmocka_unit_test(a_list_of_chunks_names_the_element_that_is_none),
        cmocka_unit_test(the_fault_of_an_element_says_where_it_is),
        cmocka_unit_test(a_query_is_decoded_and_its_numbers_bounded),
        cmocka_unit_test(an_escape_at_the_very_end_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
