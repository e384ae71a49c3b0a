/* SPDX-License-Identifier: MIT */
#include "storage/sign.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"

static const struct store_sign_dialect dialect = { "T-HMAC", "T", "end" };

static void assert_text(struct el_buf *b, const char *expected)
{
    assert_string_equal(b->n == 0 ? "" : b->p, expected);
    el_buf_clear(b);
}

/* ---- spelling ---- */

static void every_byte_has_one_spelling(void **state)
{
    struct el_buf out = { 0 };
    char text[4];

    (void)state;
    store_sign_add_encoded(&out, EL_STR("aZ09-._~/ \xc3\xa4\x7f"), true);
    assert_text(&out, "aZ09-._~/%20%C3%A4%7F");
    store_sign_add_encoded(&out, EL_STR("a/b"), false);
    assert_text(&out, "a%2Fb");
    store_sign_add_recoded(&out, EL_STR("/%61%2f%c3%a4/!"), true);
    assert_text(&out, "/a/%C3%A4/%21");
    store_sign_add_decoded(&out, EL_STR("%41+%2B%"));
    assert_text(&out, "A++%");
    store_sign_add_lower(&out, EL_STR("X-Amz-ACL"));
    assert_text(&out, "x-amz-acl");
    assert_true(store_sign_decode(EL_STR("%41bc"), text, sizeof(text)));
    assert_string_equal(text, "Abc");
    assert_false(store_sign_decode(EL_STR("abcd"), text, sizeof(text)));
    assert_false(store_sign_decode(EL_STR("a%00"), text, sizeof(text)));
    el_buf_deinit(&out);
}

/* RFC 4648 section 10. */
static void base64_is_padded(void **state)
{
    static const struct {
        const char *plain, *coded;
    } cases[] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xfb\xff", "+/8=" },
    };
    struct el_buf out = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        store_sign_add_base64(&out, (const uint8_t *)cases[i].plain, strlen(cases[i].plain));
        assert_text(&out, cases[i].coded);
    }
    el_buf_deinit(&out);
}

static void hex_of_a_signature_is_lower_case_and_whole(void **state)
{
    uint8_t out[2] = { 0 };

    (void)state;
    assert_true(store_sign_unhex(EL_STR("09af"), out, 2));
    assert_int_equal(out[0], 0x09);
    assert_int_equal(out[1], 0xaf);
    assert_false(store_sign_unhex(EL_STR("09aF"), out, 2));
    assert_false(store_sign_unhex(EL_STR("09a"), out, 2));
    assert_false(store_sign_unhex(EL_STR("09afa"), out, 2));
    assert_false(store_sign_unhex(EL_STR("09ag"), out, 2));
}

/* ---- the request ---- */

static enum el_err check(struct el_str target)
{
    struct store_sign_request req = { .method = EL_STR("GET"), .target = target };

    return store_sign_check(&req, NULL);
}

static void a_target_that_cannot_be_signed_is_refused(void **state)
{
    struct el_buf big = { 0 };

    (void)state;
    assert_int_equal(check(EL_STR("/")), EL_OK);
    assert_int_equal(check(EL_STR("/%41?a=%2f")), EL_OK);
    assert_int_equal(check(EL_STR("")), EL_EBADREQ);
    assert_int_equal(check(EL_STR("*")), EL_EBADREQ);
    assert_int_equal(check(EL_STR("http://h/")), EL_EBADREQ);
    assert_int_equal(check(EL_STR("/%")), EL_EBADREQ);
    assert_int_equal(check(EL_STR("/%4")), EL_EBADREQ);
    assert_int_equal(check(EL_STR("/?a=%4g")), EL_EBADREQ);
    el_buf_add_byte(&big, '/');
    while (big.n < STORE_SIGN_MAX_TARGET)
        el_buf_add_byte(&big, 'a');
    assert_int_equal(check(el_buf_str(&big)), EL_OK);
    el_buf_add_byte(&big, 'a');
    assert_int_equal(check(el_buf_str(&big)), EL_ETOOLARGE);
    el_buf_deinit(&big);
}

static void fields_that_are_too_large_are_refused(void **state)
{
    static char value[STORE_SIGN_MAX_REST];
    const struct el_field field = { EL_STR("x"), { value, sizeof(value) - 4 } };
    struct store_sign_request req = {
        .method = EL_STR("GET"),
        .target = EL_STR("/"),
        .fields = { &field, 1 },
    };

    (void)state;
    assert_int_equal(store_sign_check(&req, NULL), EL_OK);
    req.host = EL_STR("h");
    assert_int_equal(store_sign_check(&req, NULL), EL_ETOOLARGE);
}

static void a_target_is_cut_at_its_first_question_mark(void **state)
{
    (void)state;
    assert_true(el_str_eq(store_sign_path(EL_STR("/a?b?c")), EL_STR("/a")));
    assert_true(el_str_eq(store_sign_query(EL_STR("/a?b?c")), EL_STR("b?c")));
    assert_null(store_sign_query(EL_STR("/a")).p);
    assert_non_null(store_sign_query(EL_STR("/a?")).p);
    assert_true(store_sign_has_plus(EL_STR("/a?b+c")));
    assert_false(store_sign_has_plus(EL_STR("/a%2Bc")));
}

/* ---- the query ---- */

static void a_parameter_is_found_when_there_is_one_of_its_name(void **state)
{
    struct el_str query = EL_STR("a=1&b&c=&a1=2&d=1&d=2&e=x=y"), value;

    (void)state;
    assert_true(store_sign_parameter(query, "a", &value) && el_str_eq(value, EL_STR("1")));
    assert_true(store_sign_parameter(query, "b", &value) && value.n == 0);
    assert_true(store_sign_parameter(query, "c", &value) && value.n == 0);
    assert_true(store_sign_parameter(query, "e", &value) && el_str_eq(value, EL_STR("x=y")));
    assert_false(store_sign_parameter(query, "d", &value));
    assert_false(store_sign_parameter(query, "A", &value));
    assert_true(store_sign_has_parameter(query, "d"));
    assert_false(store_sign_has_parameter(query, "x"));
    assert_false(store_sign_has_parameter((struct el_str){ NULL, 0 }, "x"));
}

static void parameters_are_recoded_and_sorted_by_name_and_value(void **state)
{
    struct el_buf out = { 0 };
    struct el_str query = EL_STR("b=2&a=%7e&&a-b=1&a=%2f+&s=x&c&A=&=v");

    (void)state;
    assert_int_equal(store_sign_add_query(&out, query, "s", false, NULL), EL_OK);
    assert_text(&out, "=v&A=&a=%2F%2B&a=~&a-b=1&b=2&c=");
    assert_int_equal(store_sign_add_query(&out, query, NULL, true, NULL), EL_OK);
    assert_text(&out, "=v&A&a=%2F%2B&a=~&a-b=1&b=2&c&s=x");
    assert_int_equal(store_sign_add_query(&out, EL_STR(""), NULL, false, NULL), EL_OK);
    assert_text(&out, "");
    el_buf_deinit(&out);
}

static void a_query_of_too_many_parameters_is_refused(void **state)
{
    struct el_buf query = { 0 }, out = { 0 };

    (void)state;
    for (int i = 0; i < STORE_SIGN_MAX_PARAMETERS; i++)
        el_buf_add_str(&query, EL_STR("a&"));
    assert_int_equal(store_sign_add_query(&out, el_buf_str(&query), NULL, false, NULL), EL_OK);
    el_buf_clear(&out);
    el_buf_add_byte(&query, 'a');
    assert_int_equal(store_sign_add_query(&out, el_buf_str(&query), NULL, false, NULL),
                     EL_ETOOLARGE);
    assert_text(&out, "");
    el_buf_deinit(&query);
    el_buf_deinit(&out);
}

/* ---- header fields ---- */

static void names_are_kept_in_order_and_once(void **state)
{
    struct store_sign_names names = { .n = 0 };
    struct el_buf out = { 0 };

    (void)state;
    assert_true(store_sign_names_add(&names, EL_STR("Range")));
    assert_true(store_sign_names_collect(
        &names, FIELDS(FIELD("X-B", ""), FIELD("Date", ""), FIELD("x-a", ""), FIELD("x-b", "")),
        "x-"));
    assert_true(store_sign_names_add(&names, EL_STR("HOST")));
    assert_true(store_sign_names_add(&names, EL_STR("range")));
    store_sign_names_write(&names, &out);
    assert_text(&out, "host;range;x-a;x-b");
    assert_true(store_sign_names_has(&names, EL_STR("X-A")));
    assert_false(store_sign_names_has(&names, EL_STR("date")));
    el_buf_deinit(&out);
}

static void there_is_room_for_so_many_names(void **state)
{
    static char text[STORE_SIGN_MAX_NAMES + 1][8];
    struct store_sign_names names = { .n = 0 };
    struct el_buf list = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(text); i++) {
        bool fits = i < STORE_SIGN_MAX_NAMES;

        (void)snprintf(text[i], sizeof(text[i]), "x%03d", (int)i);
        assert_int_equal(store_sign_names_add(&names, el_str_of(text[i])), fits);
        el_buf_addf(&list, "%s%s", i > 0 ? ";" : "", text[i]);
        assert_int_equal(store_sign_names_parse(&names, el_buf_str(&list)), fits);
    }
    el_buf_deinit(&list);
}

static void a_list_of_names_has_one_form(void **state)
{
    static const char *const wrong[] = { "",    ";", "a;",  ";a",  "a;a",   "b;a",
                                         "a;B", "A", "a b", "a,b", "a;\tb", "host;h\xc3\xa4" };
    struct store_sign_names names;

    (void)state;
    assert_true(store_sign_names_parse(&names, EL_STR("a;a-b;ab")));
    assert_int_equal(names.n, 3);
    for (size_t i = 0; i < EL_COUNT(wrong); i++)
        assert_false(store_sign_names_parse(&names, el_str_of(wrong[i])));
}

static void values_of_one_name_are_joined_and_trimmed(void **state)
{
    struct store_sign_request req = {
        .fields = FIELDS(FIELD("X-A", " a  b\t c "), FIELD("x-b", "1"), FIELD("x-a", "d")),
        .host = EL_STR("h:80"),
    };
    struct el_buf out = { 0 };

    (void)state;
    assert_true(store_sign_add_field(&out, &req, EL_STR("X-a"), true));
    assert_text(&out, "x-a:a b c,d\n");
    assert_true(store_sign_add_field(&out, &req, EL_STR("X-a"), false));
    assert_text(&out, "x-a:a  b\t c,d\n");
    assert_true(store_sign_add_field(&out, &req, EL_STR("Host"), true));
    assert_text(&out, "host:h:80\n");
    assert_false(store_sign_add_field(&out, &req, EL_STR("x-c"), true));
    el_buf_deinit(&out);
}

/* ---- time ---- */

static void a_time_is_read_as_it_is_written(void **state)
{
    static const struct {
        int64_t s;
        const char *iso, *http;
    } cases[] = {
        { 0, "19700101T000000Z", "Thu, 01 Jan 1970 00:00:00 GMT" },
        { 1369353600, "20130524T000000Z", "Fri, 24 May 2013 00:00:00 GMT" },
        { 1709251199, "20240229T235959Z", "Thu, 29 Feb 2024 23:59:59 GMT" },
        { 253402300799, "99991231T235959Z", "Fri, 31 Dec 9999 23:59:59 GMT" },
    };
    char iso[STORE_SIGN_TIME_BYTES], http[STORE_SIGN_HTTP_DATE_BYTES];
    int64_t s;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        store_sign_time_write(cases[i].s, iso);
        store_sign_http_date_write(cases[i].s, http);
        assert_string_equal(iso, cases[i].iso);
        assert_string_equal(http, cases[i].http);
        assert_true(store_sign_time_read(el_str_of(iso), &s) && s == cases[i].s);
        assert_true(store_sign_http_date_read(el_str_of(http), &s) && s == cases[i].s);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "20130524T000000",
        "20130524T000000z",
        "20130524 000000Z",
        "2013-05-24T00:00:00Z",
        "20130532T000000Z",
        "20130229T000000Z",
        "20131301T000000Z",
        "20130524T240000Z",
        "20130524T006000Z",
        "20130524T000060Z",
        "19691231T235959Z",
        "+0130524T000000Z",
        "20130524T0000 0Z",
        "Fri, 24 May 2013 00:00:00 UTC",
        "Thu, 24 May 2013 00:00:00 GMT",
        "Fri, 24 Mai 2013 00:00:00 GMT",
        "Fri, 31 Jun 2013 00:00:00 GMT",
        "Fri,  4 May 2013 00:00:00 GMT",
        "Friday, 24-May-13 00:00:00 GMT",
        "Fri May 24 00:00:00 2013     ",
    };
    int64_t s = -7;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(wrong); i++) {
        assert_false(store_sign_time_read(el_str_of(wrong[i]), &s));
        assert_false(store_sign_http_date_read(el_str_of(wrong[i]), &s));
    }
    assert_int_equal(s, -7);
}

static void a_signature_is_good_from_its_time_less_the_skew_until_it_expires(void **state)
{
    (void)state;
    assert_int_equal(store_sign_check_time(1000, 2000, 1000 - STORE_SIGN_SKEW_S, NULL), EL_OK);
    assert_int_equal(store_sign_check_time(1000, 2000, 1000 - STORE_SIGN_SKEW_S - 1, NULL),
                     EL_EFORBIDDEN);
    assert_int_equal(store_sign_check_time(1000, 2000, 2000, NULL), EL_OK);
    assert_int_equal(store_sign_check_time(1000, 2000, 2001, NULL), EL_EFORBIDDEN);
}

/* ---- version 4 ---- */

static void a_scope_holds_only_what_can_stand_in_one(void **state)
{
    static const char *const wrong[] = { "", "a/b", "a b", "a\n" };
    struct store_sign_scope scope, same, other;
    char longest[66];

    (void)state;
    assert_int_equal(store_sign_scope_make(1369353600, EL_STR("r"), EL_STR("s3"), &scope, NULL),
                     EL_OK);
    assert_string_equal(scope.date, "20130524");
    same = scope;
    assert_true(store_sign_scope_is_same(&scope, &same));
    assert_int_equal(store_sign_scope_make(1369353600, EL_STR("q"), EL_STR("s3"), &other, NULL),
                     EL_OK);
    assert_false(store_sign_scope_is_same(&scope, &other));
    for (size_t i = 0; i < EL_COUNT(wrong); i++) {
        assert_int_equal(store_sign_scope_make(0, el_str_of(wrong[i]), EL_STR("s3"), &other, NULL),
                         EL_EINVAL);
        assert_int_equal(store_sign_scope_make(0, EL_STR("r"), el_str_of(wrong[i]), &other, NULL),
                         EL_EINVAL);
    }
    memset(longest, 'r', sizeof(longest));
    assert_int_equal(
        store_sign_scope_make(0, (struct el_str){ longest, 64 }, EL_STR("s3"), &other, NULL),
        EL_OK);
    assert_int_equal(
        store_sign_scope_make(0, (struct el_str){ longest, 65 }, EL_STR("s3"), &other, NULL),
        EL_EINVAL);
}

static void a_credential_is_read_as_it_is_written(void **state)
{
    static const char *const wrong[] = {
        "",
        "id/20130524/r/s/END",
        "id/20130524/r/s",
        "id/20130524/r/s/end/",
        "/20130524/r/s/end",
        "i d/20130524/r/s/end",
        "id/201305240/r/s/end",
        "id/20130524//s/end",
    };
    char key_id[STORE_SIGN_KEY_ID_BYTES];
    struct store_sign_scope scope;
    struct el_buf out = { 0 };

    (void)state;
    assert_true(
        store_sign_credential_parse(&dialect, EL_STR("id/20130524/r-1/s/end"), key_id, &scope));
    assert_string_equal(key_id, "id");
    assert_string_equal(scope.region, "r-1");
    store_sign_add_credential(&out, &dialect, el_str_of(key_id), &scope);
    assert_text(&out, "id/20130524/r-1/s/end");
    for (size_t i = 0; i < EL_COUNT(wrong); i++)
        assert_false(store_sign_credential_parse(&dialect, el_str_of(wrong[i]), key_id, &scope));
    el_buf_deinit(&out);
}

static void the_id_of_a_key_is_short_and_plain(void **state)
{
    char longest[STORE_SIGN_KEY_ID_BYTES];

    (void)state;
    memset(longest, 'i', sizeof(longest));
    assert_true(store_sign_is_key_id(EL_STR("AKID:x+y=")));
    assert_true(store_sign_is_key_id((struct el_str){ longest, sizeof(longest) - 1 }));
    assert_false(store_sign_is_key_id((struct el_str){ longest, sizeof(longest) }));
    assert_false(store_sign_is_key_id(EL_STR("")));
    assert_false(store_sign_is_key_id(EL_STR("a/b")));
    assert_false(store_sign_is_key_id(EL_STR("a,b")));
    assert_false(store_sign_is_key_id(EL_STR("a\nb")));
}

static void a_secret_is_neither_empty_nor_endless(void **state)
{
    static const char secret[STORE_SIGN_MAX_SECRET + 1] = "x";
    struct store_sign_scope scope;
    struct store_sign_key key;

    (void)state;
    assert_int_equal(store_sign_scope_make(0, EL_STR("r"), EL_STR("s"), &scope, NULL), EL_OK);
    assert_int_equal(store_sign_key_derive(&dialect, EL_STR(""), &scope, &key, NULL), EL_EINVAL);
    assert_int_equal(store_sign_key_derive(&dialect,
                                           (struct el_str){ secret, STORE_SIGN_MAX_SECRET }, &scope,
                                           &key, NULL),
                     EL_OK);
    assert_int_equal(store_sign_key_derive(&dialect, (struct el_str){ secret, sizeof(secret) },
                                           &scope, &key, NULL),
                     EL_EINVAL);
}

static void an_authorization_has_these_names_and_no_others(void **state)
{
    static const char *const names[] = { "A", "B" };
    static const char *const wrong[] = { "",           "T-HMAC A",        "T-HMAC A=1,A=2",
                                         "T-HMAC C=1", "T-HMAC A=1,",     "t-hmac A=1",
                                         "T-HMACA=1",  "T-HMAC A=1 B=2,", "T-HMAC a=1" };
    struct el_str v[2];

    (void)state;
    assert_true(
        store_sign_authorization_parse(&dialect, EL_STR("T-HMAC  B=x=y, A=1"), names, 2, v));
    assert_true(el_str_eq(v[0], EL_STR("1")));
    assert_true(el_str_eq(v[1], EL_STR("x=y")));
    assert_true(store_sign_authorization_parse(&dialect, EL_STR("T-HMAC A="), names, 2, v));
    assert_non_null(v[0].p);
    assert_null(v[1].p);
    for (size_t i = 0; i < EL_COUNT(wrong); i++)
        assert_false(store_sign_authorization_parse(&dialect, el_str_of(wrong[i]), names, 2, v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_has_one_spelling),
        cmocka_unit_test(base64_is_padded),
        cmocka_unit_test(hex_of_a_signature_is_lower_case_and_whole),
        cmocka_unit_test(a_target_that_cannot_be_signed_is_refused),
        cmocka_unit_test(fields_that_are_too_large_are_refused),
        cmocka_unit_test(a_target_is_cut_at_its_first_question_mark),
        cmocka_unit_test(a_parameter_is_found_when_there_is_one_of_its_name),
        cmocka_unit_test(parameters_are_recoded_and_sorted_by_name_and_value),
        cmocka_unit_test(a_query_of_too_many_parameters_is_refused),
        cmocka_unit_test(names_are_kept_in_order_and_once),
        cmocka_unit_test(there_is_room_for_so_many_names),
        cmocka_unit_test(a_list_of_names_has_one_form),
        cmocka_unit_test(values_of_one_name_are_joined_and_trimmed),
        cmocka_unit_test(a_time_is_read_as_it_is_written),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(a_signature_is_good_from_its_time_less_the_skew_until_it_expires),
        cmocka_unit_test(a_scope_holds_only_what_can_stand_in_one),
        cmocka_unit_test(a_credential_is_read_as_it_is_written),
        cmocka_unit_test(the_id_of_a_key_is_short_and_plain),
        cmocka_unit_test(a_secret_is_neither_empty_nor_endless),
        cmocka_unit_test(an_authorization_has_these_names_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
