/* SPDX-License-Identifier: MIT */
#include "proxy/s3_delete.h"

#include "tests/lib/test.h"

static void add(void *arg, struct el_str key, struct el_str version)
{
    el_buf_addf(arg, "%.*s@%.*s|", EL_STR_ARG(key), EL_STR_ARG(version));
}

static void assert_named(const char *body, const char *expected)
{
    struct el_buf b = { 0 };

    if (!proxy_s3_delete_parse(el_str_of(body), add, &b))
        fail_msg("not understood: %s", body);
    assert_string_equal(b.p == NULL ? "" : b.p, expected);
    el_buf_deinit(&b);
}

static void assert_not_understood(const char *body)
{
    struct el_buf b = { 0 };

    if (proxy_s3_delete_parse(el_str_of(body), add, &b))
        fail_msg("understood: %s", body);
    el_buf_deinit(&b);
}

static void keys_and_versions_are_named(void **state)
{
    (void)state;
    assert_named("<Delete><Object><Key>a</Key></Object></Delete>", "a@|");
    assert_named("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                 "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n"
                 "  <Object><Key>d/a b.txt</Key><VersionId>v1</VersionId></Object>\n"
                 "  <Object><VersionId>null</VersionId><Key>c</Key><ETag>\"e\"</ETag></Object>\n"
                 "  <Quiet>true</Quiet>\n</Delete>\n",
                 "d/a b.txt@v1|c@null|");
    assert_named("<s:Delete xmlns:s='x'><s:Object><s:Key>a</s:Key></s:Object></s:Delete>", "a@|");
    assert_named("\xef\xbb\xbf<Delete><Quiet/><Object><Key>a</Key><VersionId/></Object></Delete>",
                 "a@|");
}

static void text_is_read_as_xml_has_it(void **state)
{
    (void)state;
    assert_named("<Delete><Object><Key>a&amp;&lt;&gt;&quot;&apos;&#38;&#x26;&#233;&#x20AC;&#x1F600;"
                 "</Key></Object></Delete>",
                 "a&<>\"'&&\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80@|");
    assert_named("<Delete><Object><Key> a<![CDATA[<b>&amp;]]>c </Key></Object></Delete>",
                 " a<b>&amp;c @|");
    assert_named("<Delete><Object><Key>a<!-- <Key>x</Key> -->b</Key></Object></Delete>", "ab@|");
    assert_named("<Delete><Object><Key>a\r\nb\rc</Key></Object></Delete>", "a\nb\nc@|");
}

static void anything_else_is_not_understood(void **state)
{
    static const char *const bodies[] = {
        "",
        "x",
        "<Delete>",
        "<Delete><Object><Key>a</Key></Object>",
        "<Delete><Object><Key>a</Object></Key></Delete>",
        "<Delete><Object></Object></Delete>",
        "<Delete><Object><Key></Key></Object></Delete>",
        "<Delete><Object>text<Key>a</Key></Object></Delete>",
        "<Delete><Object><Key>a<b/>c</Key></Object></Delete>",
        "<Delete><Object><Key>a&nbsp;</Key></Object></Delete>",
        "<Delete><Object><Key>a&amp</Key></Object></Delete>",
        "<Delete><Object><Key>&#0;</Key></Object></Delete>",
        "<Delete><Object><Key>&#x110000;</Key></Object></Delete>",
        "<Delete><Object><Key>&#99999999999999999999;</Key></Object></Delete>",
        "<Delete><Object><Key>&#x;</Key></Object></Delete>",
        "<Delete><Object><Key>a</Key></Object></Delete>more",
        "<Delete><Object><Key>a</Key></Object></Delete><Delete/>",
        "<Other><Object><Key>a</Key></Object></Other>",
        "<!DOCTYPE d [<!ENTITY e \"k\">]><Delete><Object><Key>&e;</Key></Object></Delete>",
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Delete><Object><Key>a</Key></Object></Delete>",
        "2a;chunk-signature=0\r\n<Delete><Object><Key>a</Key></Object></Delete>\r\n0\r\n",
        "<Delete><Object><Key>a</Key></Object><",
        "<Delete><!-- <Object><Key>a</Key></Object></Delete>",
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bodies); i++)
        assert_not_understood(bodies[i]);
}

static void count(void *arg, struct el_str key, struct el_str version)
{
    (void)key;
    (void)version;
    ++*(size_t *)arg;
}

static bool parse_many(size_t n, size_t *ret_named)
{
    struct el_buf body = { 0 };
    bool is_understood;

    *ret_named = 0;
    el_buf_add_str(&body, EL_STR("<Delete>"));
    for (size_t i = 0; i < n; i++)
        el_buf_add_str(&body, EL_STR("<Object><Key>a</Key></Object>"));
    el_buf_add_str(&body, EL_STR("<Quiet>true</Quiet></Delete>"));
    is_understood = proxy_s3_delete_parse(el_buf_str(&body), count, ret_named);
    el_buf_deinit(&body);
    return is_understood;
}

static void as_many_keys_as_a_store_takes_are_understood(void **state)
{
    size_t named;

    (void)state;
    assert_true(parse_many(PROXY_S3_DELETE_MAX, &named));
    assert_int_equal(named, PROXY_S3_DELETE_MAX);
    assert_false(parse_many(PROXY_S3_DELETE_MAX + 2, &named));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_versions_are_named),
        cmocka_unit_test(text_is_read_as_xml_has_it),
        cmocka_unit_test(anything_else_is_not_understood),
        cmocka_unit_test(as_many_keys_as_a_store_takes_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
