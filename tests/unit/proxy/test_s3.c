/* SPDX-License-Identifier: MIT */
#include "proxy/s3.h"

#include "tests/lib/test.h"

static void a_query_says_what_is_read(void **state)
{
    static const struct {
        const char *query;
        enum proxy_s3_kind kind;
    } cases[] = {
        { "", PROXY_S3_OBJECT },
        { "versionId=v1", PROXY_S3_OBJECT },
        { "response-content-type=text/plain&versionId=v1", PROXY_S3_OBJECT },
        { "x-oss-process=image/resize,w_100", PROXY_S3_OBJECT },
        { "x-id=GetObject", PROXY_S3_OBJECT },
        { "aclx", PROXY_S3_OBJECT },
        { "xacl=1", PROXY_S3_OBJECT },
        { "v=acl", PROXY_S3_OBJECT },
        { "Acl", PROXY_S3_OBJECT },
        { "partNumber=2", PROXY_S3_PART },
        { "versionId=v1&partNumber=2", PROXY_S3_PART },
        { "uploadId=u&partNumber=2", PROXY_S3_ABOUT },
        { "partNumber=2&uploadId=u", PROXY_S3_ABOUT },
        { "acl", PROXY_S3_ABOUT },
        { "acl=", PROXY_S3_ABOUT },
        { "versionId=v1&acl", PROXY_S3_ABOUT },
        { "%61cl", PROXY_S3_ABOUT },
        { "list-type=2&prefix=a", PROXY_S3_ABOUT },
        { "uploads", PROXY_S3_ABOUT },
        { "tagging", PROXY_S3_ABOUT },
        { "torrent", PROXY_S3_ABOUT },
        { "policy", PROXY_S3_ABOUT },
        { "versions", PROXY_S3_ABOUT },
        { "location", PROXY_S3_ABOUT },
        { "delimiter=%2F", PROXY_S3_ABOUT },
        { "attributes", PROXY_S3_ABOUT },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        if (proxy_s3_kind(el_str_of(cases[i].query)) != cases[i].kind)
            fail_msg("?%s", cases[i].query);
    }
}

static void a_method_and_a_query_say_what_is_changed(void **state)
{
    static const struct {
        const char *method, *path, *query;
        enum proxy_s3_effect effect;
    } cases[] = {
        { "PUT", "/b/k", "", PROXY_S3_KEY }, /* CopyObject is one as well */
        { "DELETE", "/b/k", "", PROXY_S3_KEY },
        { "DELETE", "/b/k", "versionId=v", PROXY_S3_KEY },
        { "PUT", "/b/k", "x-id=PutObject", PROXY_S3_KEY },
        { "POST", "/b/k", "uploadId=u", PROXY_S3_KEY },
        { "POST", "/b/k", "append&position=0", PROXY_S3_KEY },
        { "POST", "/b/k", "restore", PROXY_S3_KEY },
        { "PUT", "/b/k", "acl", PROXY_S3_KEY },
        { "PUT", "/b/k", "tagging", PROXY_S3_KEY },
        { "DELETE", "/b/k", "tagging&versionId=v", PROXY_S3_KEY },
        { "PATCH", "/b/k", "", PROXY_S3_KEY },
        { "POST", "/b/k", "uploads", PROXY_S3_NOTHING },
        { "PUT", "/b/k", "partNumber=1&uploadId=u", PROXY_S3_NOTHING },
        { "PUT", "/b/k", "uploadId=u&partNumber=1&x-id=UploadPart", PROXY_S3_NOTHING },
        { "DELETE", "/b/k", "uploadId=u", PROXY_S3_NOTHING },
        { "POST", "/b/k", "select&select-type=2", PROXY_S3_NOTHING },
        { "PUT", "/b", "lifecycle", PROXY_S3_NOTHING },
        { "PUT", "/b", "versioning", PROXY_S3_NOTHING },
        { "POST", "/b", "delete", PROXY_S3_KEYS },
        { "POST", "/b/", "delete=", PROXY_S3_KEYS },
        { "POST", "/", "delete", PROXY_S3_KEYS },
        { "PUT", "/b", "policy", PROXY_S3_ALL },
        { "PUT", "/b/", "p%6Flicy", PROXY_S3_ALL },
        { "DELETE", "/", "policy", PROXY_S3_ALL },
        { "PUT", "/b", "acl", PROXY_S3_ALL },
        { "PUT", "/b", "publicAccessBlock", PROXY_S3_ALL },
        { "PUT", "/b", "", PROXY_S3_KEY },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        if (proxy_s3_effect(el_str_of(cases[i].method), el_str_of(cases[i].path),
                            el_str_of(cases[i].query), false) != cases[i].effect)
            fail_msg("%s %s?%s", cases[i].method, cases[i].path, cases[i].query);
    }
}

static void a_form_may_put_any_key_of_a_bucket(void **state)
{
    const struct el_str post = EL_STR("POST"), none = { NULL, 0 };

    (void)state;
    assert_int_equal(proxy_s3_effect(post, EL_STR("/b"), none, true), PROXY_S3_ALL);
    assert_int_equal(proxy_s3_effect(post, EL_STR("/"), none, true), PROXY_S3_ALL);
    assert_int_equal(proxy_s3_effect(post, EL_STR("/b/k"), none, true), PROXY_S3_KEY);
    assert_int_equal(proxy_s3_effect(post, EL_STR("/b"), none, false), PROXY_S3_KEY);
    assert_int_equal(proxy_s3_effect(EL_STR("PUT"), EL_STR("/b"), none, true), PROXY_S3_KEY);
}

static void a_parameter_is_found_by_its_unescaped_name(void **state)
{
    struct el_str q = EL_STR("a&versionId=x%2Fy&b=2"), escaped = EL_STR("version%49d=z");

    (void)state;
    assert_true(el_str_eq(proxy_s3_parameter(q, EL_STR("versionId")), EL_STR("x%2Fy")));
    assert_true(el_str_eq(proxy_s3_parameter(escaped, EL_STR("versionId")), EL_STR("z")));
    assert_int_equal(proxy_s3_parameter(q, EL_STR("a")).n, 0);
    assert_int_equal(proxy_s3_parameter(q, EL_STR("c")).n, 0);
}

typedef bool writer(struct el_buf *out, struct el_str url);

static void assert_written(writer *write, const char *url, const char *expected)
{
    struct el_buf b = { 0 };

    assert_int_equal(write(&b, el_str_of(url)), expected != NULL);
    assert_string_equal(b.p == NULL ? "" : b.p, expected == NULL ? "" : expected);
    el_buf_deinit(&b);
}

static void both_styles_are_made_from_one(void **state)
{
    (void)state;
    assert_written(proxy_s3_write_virtual_host, "http://h.test:81/b/k/l", "http://b.h.test:81/k/l");
    assert_written(proxy_s3_write_virtual_host, "https://h/b/", "https://b.h/");
    assert_written(proxy_s3_write_virtual_host, "http://h/k", NULL);
    assert_written(proxy_s3_write_virtual_host, "http://h/B_1/k", NULL);
    assert_written(proxy_s3_write_virtual_host, "http://h//k", NULL);
    assert_written(proxy_s3_write_path_style, "http://b.h.test:81/k/l", "http://h.test:81/b/k/l");
    assert_written(proxy_s3_write_path_style, "http://b.h/", "http://h/b/");
    assert_written(proxy_s3_write_path_style, "http://localhost/k", NULL);
}

static bool write_canonical(struct el_buf *out, struct el_str url)
{
    proxy_s3_write_canonical(out, url);
    return true;
}

static void a_key_has_one_canonical_spelling(void **state)
{
    static const char *const spellings[] = { "http://h/b/a(1)%20%c3%a9+",
                                             "http://h/b/a%281%29 \xc3\xa9%2B",
                                             "http://h/b/%61%281)%20\xc3%A9%2b" };
    struct el_buf b = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(spellings); i++)
        assert_written(write_canonical, spellings[i], "http://h/b/a%281%29%20%C3%A9%2B");
    assert_written(write_canonical, "http://h/b/a%2fb%zz%4", "http://h/b/a%2Fb%25zz%254");
    proxy_s3_write_key(&b, EL_STR("dir/a b+~\xff"));
    assert_string_equal(b.p, "dir/a%20b%2B~%FF");
    el_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_says_what_is_read),
        cmocka_unit_test(a_method_and_a_query_say_what_is_changed),
        cmocka_unit_test(a_form_may_put_any_key_of_a_bucket),
        cmocka_unit_test(a_parameter_is_found_by_its_unescaped_name),
        cmocka_unit_test(both_styles_are_made_from_one),
        cmocka_unit_test(a_key_has_one_canonical_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
