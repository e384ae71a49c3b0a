/* SPDX-License-Identifier: MIT */
#include "proxy/vary.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"

/* Whether what was stored for `first` may answer `second` (RFC 9111 section 4.1). */
static bool is_reused(struct el_fieldv vary, struct el_fieldv first, struct el_fieldv second)
{
    struct cache_meta *m = cache_meta_new();
    bool reused = proxy_vary_set(m, vary, first, false) && proxy_vary_matches(m, second, false);

    cache_meta_unref(m);
    return reused;
}

static void without_vary_any_request_matches(void **state)
{
    (void)state;
    assert_true(is_reused(NO_FIELDS, NO_FIELDS, FIELDS(FIELD("Accept-Encoding", "gzip"))));
    assert_true(is_reused(FIELDS(FIELD("Vary", "")), FIELDS(FIELD("A", "1")), NO_FIELDS));
    assert_true(is_reused(FIELDS(FIELD("Vary", " , ")), FIELDS(FIELD("A", "1")), NO_FIELDS));
}

static void packed_bytes_are_for_those_who_asked_for_them(void **state)
{
    struct el_fieldv vary = FIELDS(FIELD("Vary", "Accept-Encoding"));
    struct el_fieldv gzip = FIELDS(FIELD("Accept-Encoding", "gzip"));

    (void)state;
    assert_true(is_reused(vary, gzip, FIELDS(FIELD("accept-encoding", "gzip"), FIELD("A", "1"))));
    assert_false(is_reused(vary, gzip, FIELDS(FIELD("Accept-Encoding", "identity"))));
    assert_false(is_reused(vary, gzip, FIELDS(FIELD("Accept-Encoding", "gzip, br"))));
}

static void an_absent_field_matches_only_an_absent_one(void **state)
{
    struct el_fieldv vary = FIELDS(FIELD("Vary", "A"));

    (void)state;
    assert_true(is_reused(vary, NO_FIELDS, FIELDS(FIELD("B", "1"))));
    assert_false(is_reused(vary, NO_FIELDS, FIELDS(FIELD("A", "1"))));
    assert_false(is_reused(vary, FIELDS(FIELD("A", "1")), NO_FIELDS));
    assert_false(is_reused(vary, FIELDS(FIELD("A", "")), NO_FIELDS));
    assert_true(is_reused(vary, FIELDS(FIELD("A", "")), FIELDS(FIELD("A", ""))));
}

static void every_named_field_has_to_match(void **state)
{
    struct el_fieldv vary = FIELDS(FIELD("Vary", "A, b"), FIELD("vary", "C"));
    struct el_fieldv first = FIELDS(FIELD("A", "1"), FIELD("B", "2"), FIELD("C", "3"));

    (void)state;
    assert_true(is_reused(vary, first, FIELDS(FIELD("c", "3"), FIELD("b", "2"), FIELD("a", "1"))));
    assert_false(is_reused(vary, first, FIELDS(FIELD("A", "1"), FIELD("B", "2"), FIELD("C", "4"))));
    assert_false(is_reused(vary, first, FIELDS(FIELD("A", "1"), FIELD("B", "2"))));
    assert_false(is_reused(vary, first, FIELDS(FIELD("A", "2"), FIELD("B", "1"), FIELD("C", "3"))));
}

static void a_star_anywhere_is_never_reused(void **state)
{
    static const char *const values[] = { "*", "A, *", "*, A", " , *", "*,*" };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(values); i++)
        assert_false(is_reused(ONE_FIELD("Vary", values[i]), NO_FIELDS, NO_FIELDS));
    assert_false(is_reused(FIELDS(FIELD("Vary", "A"), FIELD("Vary", "*")), NO_FIELDS, NO_FIELDS));
}

static void white_space_and_lines_of_a_list_do_not_count(void **state)
{
    struct el_fieldv vary = FIELDS(FIELD("Vary", "A"));
    struct el_fieldv plain = FIELDS(FIELD("A", "1,2"));

    (void)state;
    assert_true(is_reused(vary, plain, FIELDS(FIELD("A", "1, \t2"))));
    assert_true(is_reused(vary, plain, FIELDS(FIELD("A", "1 ,, 2"))));
    assert_true(is_reused(vary, plain, FIELDS(FIELD("A", "1"), FIELD("a", "2"))));
    assert_false(is_reused(vary, plain, FIELDS(FIELD("A", "2, 1"))));
    assert_false(is_reused(vary, plain, FIELDS(FIELD("A", "1 2"))));
    assert_false(is_reused(vary, plain, FIELDS(FIELD("A", "\"1,2\""))));
}

/* The layout is an identity of the variant: names, then values, one a line. */
static void names_are_kept_once_and_in_lower_case(void **state)
{
    struct cache_meta *m = cache_meta_new();

    (void)state;
    assert_true(
        proxy_vary_set(m, FIELDS(FIELD("Vary", "Cookie, A, cookie,COOKIE"), FIELD("Vary", "a")),
                       FIELDS(FIELD("Cookie", "c=1")), false));
    assert_string_equal(m->vary_bytes.p, "cookie,a\n=c=1\n-\n");
    assert_int_equal(m->vary.n, strlen("cookie,a"));
    assert_ptr_equal(m->vary.p, m->vary_bytes.p);
    cache_meta_unref(m);
}

static bool matches(const struct cache_meta *m, const char *host, bool by_host)
{
    const struct el_field f = { EL_STR("Host"), el_str_of(host) };

    return proxy_vary_matches(m, (struct el_fieldv){ &f, 1 }, by_host);
}

static void where_the_host_selects_something_only_the_same_host_matches(void **state)
{
    struct cache_meta *m = cache_meta_new(), *plain = cache_meta_new();

    (void)state;
    assert_true(proxy_vary_set(m, NO_FIELDS, FIELDS(FIELD("Host", "other.test")), true));
    assert_true(matches(m, "other.test", true));
    assert_false(matches(m, "third.test", true));
    assert_false(matches(m, "other.test", false));
    assert_false(matches(m, "127.0.0.1", false));
    assert_true(proxy_vary_set(plain, NO_FIELDS, FIELDS(FIELD("Host", "127.0.0.1")), false));
    assert_true(matches(plain, "127.0.0.1:1", false));
    assert_false(matches(plain, "127.0.0.1", true));
    cache_meta_unref(m);
    cache_meta_unref(plain);
}

static void packed_bytes_belong_to_an_accept_encoding_whatever_vary_says(void **state)
{
    struct el_fieldv packed = FIELDS(FIELD("Content-Encoding", "gzip"));
    struct el_fieldv gzip = FIELDS(FIELD("Accept-Encoding", "gzip"));
    struct cache_meta *m = cache_meta_new();

    (void)state;
    assert_true(is_reused(packed, gzip, gzip));
    assert_false(is_reused(packed, gzip, NO_FIELDS));
    /* A store gives what lies there, packed or not, to everybody. */
    m->from_object_store = true;
    assert_true(proxy_vary_set(m, packed, gzip, false));
    assert_true(proxy_vary_matches(m, NO_FIELDS, false));
    cache_meta_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_vary_any_request_matches),
        cmocka_unit_test(packed_bytes_are_for_those_who_asked_for_them),
        cmocka_unit_test(an_absent_field_matches_only_an_absent_one),
        cmocka_unit_test(every_named_field_has_to_match),
        cmocka_unit_test(a_star_anywhere_is_never_reused),
        cmocka_unit_test(white_space_and_lines_of_a_list_do_not_count),
        cmocka_unit_test(names_are_kept_once_and_in_lower_case),
        cmocka_unit_test(where_the_host_selects_something_only_the_same_host_matches),
        cmocka_unit_test(packed_bytes_belong_to_an_accept_encoding_whatever_vary_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
