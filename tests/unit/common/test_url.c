/* SPDX-License-Identifier: MIT */
#include "common/url.h"

#include "tests/lib/test.h"

static void assert_str(struct el_str s, const char *expected)
{
    struct el_buf b = { 0 };

    el_buf_add_str(&b, s);
    el_buf_add_byte(&b, '\0');
    assert_string_equal(b.p, expected);
    el_buf_deinit(&b);
}

/* ---- splitting ---- */

struct split {
    const char *text, *host, *target;
    uint16_t port;
    bool is_https, is_ipv6;
};

static void a_url_is_split_into_what_a_connection_needs(void **state)
{
    static const struct split cases[] = {
        { "http://h/p", "h", "/p", 80, false, false },
        { "https://h/p", "h", "/p", 443, true, false },
        { "HTTPS://Host.Example/P", "Host.Example", "/P", 443, true, false },
        { "hTTp://h", "h", "/", 80, false, false },
        { "http://h/?q=1", "h", "/?q=1", 80, false, false },
        { "http://h:8080/a//b?x=/y&z=http://other/", "h", "/a//b?x=/y&z=http://other/", 8080, false,
          false },
        { "http://h:/p", "h", "/p", 80, false, false },
        { "http://h:00081/p", "h", "/p", 81, false, false },
        { "http://h:1/p", "h", "/p", 1, false, false },
        { "http://h:65535/p", "h", "/p", 65535, false, false },
        { "http://a_b-c.d~e:5/p", "a_b-c.d~e", "/p", 5, false, false },
        { "http://10.0.0.1/%7e%2F", "10.0.0.1", "/%7e%2F", 80, false, false },
        { "http://[::1]/p", "::1", "/p", 80, false, true },
        { "https://[2001:DB8::A]:444/p", "2001:DB8::A", "/p", 444, true, true },
        { "http://[::ffff:10.0.0.1]:80/", "::ffff:10.0.0.1", "/", 80, false, true },
        { "http://h/a@b:c;d=e,f!$&'()*+", "h", "/a@b:c;d=e,f!$&'()*+", 80, false, false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct split *c = &cases[i];
        struct el_error err = { 0 };
        struct el_url url = { 0 };
        enum el_err rc = el_url_parse(el_str_of(c->text), &url, &err);

        if (rc != EL_OK)
            fail_msg("%s: %s", c->text, err.text);
        assert_str(url.host, c->host);
        assert_str(url.target, c->target);
        assert_int_equal(url.port, c->port);
        assert_int_equal(url.is_https, c->is_https);
        assert_int_equal(url.is_ipv6, c->is_ipv6);
    }
}

static void what_is_no_http_url_is_refused_and_nothing_is_written(void **state)
{
    static const char *const cases[] = {
        "",
        "http",
        "http:",
        "http:/h",
        "http//h/",
        "ftp://h/p",
        "//h/p",
        "/p",
        "h/p",
        "httpx://h/",
        "http://",
        "http:///p",
        "http://:80/p",
        "https://?q",
        "http://h?q",
        "http://h#f",
        "http://h/p#f",
        "http://user@h/p",
        "http://user:pw@h/p",
        "http://@h/p",
        "http://h:0/p",
        "http://h:65536/p",
        "http://h:99999999999999999999/p",
        "http://h:8o/p",
        "http://h:+80/p",
        "http://h: 80/p",
        "http://h:80:80/p",
        "http://h:-1/p",
        "http://h h/p",
        "http://h\\x/p",
        "http://h%41/p",
        "http://h\t/p",
        "http://[::1/p",
        "http://[]/p",
        "http://[::1]x/p",
        "http://[::1]80/p",
        "http://[::1%25eth0]/p",
        "http://[1:2]/p",
        "http://[::::]/p",
        "http://[h]/p",
        "http://::1/p",
        "http://[::1]]/p",
        "http://h/a b",
        "http://h/a\nb",
        "http://h/a\x7f",
        "http://h/\x80",
        "http://h/\xc3\xa4",
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct el_url url = { .port = 4711 };
        struct el_error err = { 0 };

        if (el_url_parse(el_str_of(cases[i]), &url, &err) != EL_EBADREQ)
            fail_msg("accepted: %s", cases[i]);
        assert_true(err.text[0] != '\0');
        assert_int_equal(url.port, 4711);
        assert_null(url.host.p);
    }
}

static void a_nul_does_not_end_a_url(void **state)
{
    struct el_url url;

    (void)state;
    assert_int_equal(el_url_parse(EL_STR("http://h\0.evil/p"), &url, NULL), EL_EBADREQ);
    assert_int_equal(el_url_parse(EL_STR("http://h/p\0q"), &url, NULL), EL_EBADREQ);
    assert_int_equal(el_url_parse(EL_STR("http://[::1\0]/p"), &url, NULL), EL_EBADREQ);
}

static void a_host_name_has_at_most_255_bytes(void **state)
{
    char text[400] = "http://";
    struct el_url url;

    (void)state;
    memset(text + 7, 'a', 255);
    text[7 + 255] = '/';
    assert_int_equal(el_url_parse(el_str_of(text), &url, NULL), EL_OK);
    text[7 + 255] = 'a';
    assert_int_equal(el_url_parse(el_str_of(text), &url, NULL), EL_EBADREQ);
}

static void the_port_of_connect_must_be_there(void **state)
{
    struct el_url url = { 0 };

    (void)state;
    assert_int_equal(el_url_parse_authority(EL_STR("h:443"), 0, &url, NULL), EL_OK);
    assert_int_equal(url.port, 443);
    assert_int_equal(el_url_parse_authority(EL_STR("[::1]:443"), 0, &url, NULL), EL_OK);
    assert_str(url.host, "::1");
    assert_int_equal(el_url_parse_authority(EL_STR("h"), 0, &url, NULL), EL_EBADREQ);
    assert_int_equal(el_url_parse_authority(EL_STR("h:"), 0, &url, NULL), EL_EBADREQ);
    assert_int_equal(el_url_parse_authority(EL_STR("http://h:443"), 0, &url, NULL), EL_EBADREQ);
    assert_int_equal(el_url_parse_authority(EL_STR("h"), 80, &url, NULL), EL_OK);
    assert_int_equal(url.port, 80);
}

/* ---- the origin URL ---- */

struct key {
    const char *url, *expected;
};

static void assert_keys(const struct key *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct el_buf out = { 0 };
        struct el_url url = { 0 };

        assert_int_equal(el_url_parse(el_str_of(cases[i].url), &url, NULL), EL_OK);
        el_url_write_key(&out, url.is_https, url.host, url.port, url.target);
        assert_string_equal(out.p, cases[i].expected);
        el_buf_deinit(&out);
    }
}

static void spellings_of_one_resource_have_one_key_and_no_more_than_that(void **state)
{
    static const struct key cases[] = {
        { "HTTP://Host.Example:80/P", "http://host.example/P" },
        { "https://H:443", "https://h/" },
        { "https://h:80/", "https://h:80/" },
        { "http://h:443/", "http://h:443/" },
        { "http://[2001:DB8::A]:81/", "http://[2001:db8::a]:81/" },
        { "http://h/%7e%c3%A4", "http://h/%7E%C3%A4" },
        /* RFC 3986 would make more of these alike; a store may tell them apart. */
        { "http://h/a/../b/./c//d", "http://h/a/../b/./c//d" },
        { "http://h/%41", "http://h/%41" },
        { "http://h/%", "http://h/%" },
        { "http://h/%4", "http://h/%4" },
        { "http://h/%4g%g4", "http://h/%4g%g4" },
        { "http://h/%%4a", "http://h/%%4A" },
        { "http://h/?", "http://h/?" },
        { "http://h/?a&b=&&c", "http://h/?a&b=&&c" },
        { "http://h/?b=%2f&a=1", "http://h/?b=%2F&a=1" },
        { "http://h/?versionId=3&partNumber=2&response-content-type=x&x-oss-process=y",
          "http://h/?versionId=3&partNumber=2&response-content-type=x&x-oss-process=y" },
    };

    (void)state;
    assert_keys(cases, EL_COUNT(cases));
}

static void a_signature_is_no_part_of_the_key(void **state)
{
    static const struct key cases[] = {
        { "http://h/k?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Date=c&X-Amz-Expires=d"
          "&X-Amz-SignedHeaders=e&X-Amz-Security-Token=f&X-Amz-Signature=g",
          "http://h/k" },
        { "http://h/k?versionId=1&X-Amz-Signature=g&response-expires=2&X-Amz-Date=c",
          "http://h/k?versionId=1&response-expires=2" },
        { "http://h/k?AWSAccessKeyId=a&Signature=b%3D&Expires=1", "http://h/k" },
        { "http://h/k?OSSAccessKeyId=a&Signature=b&Expires=1&security-token=t", "http://h/k" },
        { "http://h/k?x-oss-signature-version=OSS4&x-oss-credential=a&x-oss-date=b&x-oss-expires=c"
          "&x-oss-signature=d&x-oss-security-token=e&x-oss-additional-headers=host&x-oss-process=p",
          "http://h/k?x-oss-process=p" },
        { "http://h/k?X-Amz-Signature=g&X-Amz-Meta=1", "http://h/k?X-Amz-Meta=1" },
        { "http://h/k?x-id=GetObject", "http://h/k" },
        { "http://h/k?a=1&x-id=PutObject&b=2", "http://h/k?a=1&b=2" },
    };

    (void)state;
    assert_keys(cases, EL_COUNT(cases));
}

/* Without a signature the same names may select content, or be the caller's secret. */
static void names_of_signing_parameters_are_kept_where_nothing_is_signed(void **state)
{
    static const struct key cases[] = {
        { "http://h/k?security-token=s3cret", "http://h/k?security-token=s3cret" },
        { "http://h/k?Expires=1", "http://h/k?Expires=1" },
        { "http://h/k?Signature=1", "http://h/k?Signature=1" },
        { "http://h/k?X-Amz-Date=1", "http://h/k?X-Amz-Date=1" },
        { "http://h/k?X-Amz-Signature=1&Expires=2", "http://h/k?Expires=2" },
        { "http://h/k?x-id=7", "http://h/k?x-id=7" },
        { "http://h/k?x-id", "http://h/k?x-id" },
    };

    (void)state;
    assert_keys(cases, EL_COUNT(cases));
}

static void presigned_queries_are_told_from_others(void **state)
{
    static const struct {
        const char *query;
        bool is_presigned;
    } cases[] = {
        { "", false },
        { "a=b", false },
        { "X-Amz-Signature=1", true },
        { "a=b&X-Amz-Signature=1", true },
        { "AWSAccessKeyId=1&Signature=2&Expires=3", true },
        { "OSSAccessKeyId=1&Signature=2&Expires=3", true },
        { "x-oss-signature=1", true },
        { "Signature=2&Expires=3", false },
        { "x=X-Amz-Signature=1", false },
        { "X-Amz-SignatureX=1", false },
        { "security-token=1", false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++)
        assert_int_equal(el_url_is_presigned(el_str_of(cases[i].query)), cases[i].is_presigned);
}

/* ---- what a log may show ---- */

static void assert_shown(struct el_str url, const char *expected)
{
    struct el_buf b = { 0 };

    el_url_write_shown(&b, url);
    assert_string_equal(b.p, expected);
    el_buf_deinit(&b);
}

static void values_of_secret_parameters_are_masked(void **state)
{
    (void)state;
    assert_shown(EL_STR("http://h/b/k?X-Amz-Date=1&X-Amz-Signature=abc&x-amz-credential=AK%2Fx"),
                 "http://h/b/k?X-Amz-Date=1&X-Amz-Signature=***&x-amz-credential=***");
    assert_shown(EL_STR("/b/k?OSSAccessKeyId=A&Expires=9&Signature=s%3D"),
                 "/b/k?OSSAccessKeyId=***&Expires=9&Signature=***");
    assert_shown(EL_STR("/b/k?api_key=1&X-Auth-Token=2"), "/b/k?api_key=***&X-Auth-Token=***");
    assert_shown(EL_STR("/b/k?versionId=1&design=2&sig"), "/b/k?versionId=1&design=2&sig");
}

static void where_a_listing_goes_on_is_shown_and_no_other_token(void **state)
{
    (void)state;
    assert_shown(EL_STR("/b?list-type=2&continuation-token=1ueGcxLPRx1Tr%2FXYExHnhbYLgveDs2J%3D"),
                 "/b?list-type=2&continuation-token=1ueGcxLPRx1Tr%2FXYExHnhbYLgveDs2J%3D");
    assert_shown(EL_STR("/b?continuation-token=1&token=2&x-amz-security-token=3"),
                 "/b?continuation-token=1&token=***&x-amz-security-token=***");
    assert_shown(EL_STR("/b?x-continuation-token=1&continuation-token-secret=2"),
                 "/b?x-continuation-token=***&continuation-token-secret=***");
}

static void an_encoded_parameter_name_does_not_hide_a_signature(void **state)
{
    (void)state;
    assert_shown(EL_STR("/k?%53ignature=s&X%2dAmz%2DSignature=t"),
                 "/k?%53ignature=***&X%2dAmz%2DSignature=***");
}

static void a_password_in_the_url_is_masked(void **state)
{
    (void)state;
    assert_shown(EL_STR("http://user:pa@ss@host/p@th"), "http://***@host/p@th");
    assert_shown(EL_STR("http://host/a:b@c"), "http://host/a:b@c");
}

static void bytes_that_break_a_line_or_a_terminal_are_escaped(void **state)
{
    (void)state;
    assert_shown(EL_STR("/a b\n\x1b[2J\"\\\xc3\xa9?\t=\r"),
                 "/a\\x20b\\x0A\\x1B[2J\\x22\\x5C\\xC3\\xA9?\\x09=\\x0D");
}

static void a_long_url_is_cut_and_says_so(void **state)
{
    struct el_buf url = { 0 }, shown = { 0 };

    (void)state;
    for (int i = 0; i < 5000; i++)
        el_buf_add_byte(&url, 'a');
    el_url_write_shown(&shown, el_buf_str(&url));
    assert_int_equal(shown.n, 4096 + 3);
    assert_string_equal(shown.p + 4096, "...");
    el_buf_deinit(&url);
    el_buf_deinit(&shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_split_into_what_a_connection_needs),
        cmocka_unit_test(what_is_no_http_url_is_refused_and_nothing_is_written),
        cmocka_unit_test(a_nul_does_not_end_a_url),
        cmocka_unit_test(a_host_name_has_at_most_255_bytes),
        cmocka_unit_test(the_port_of_connect_must_be_there),
        cmocka_unit_test(spellings_of_one_resource_have_one_key_and_no_more_than_that),
        cmocka_unit_test(a_signature_is_no_part_of_the_key),
        cmocka_unit_test(names_of_signing_parameters_are_kept_where_nothing_is_signed),
        cmocka_unit_test(presigned_queries_are_told_from_others),
        cmocka_unit_test(values_of_secret_parameters_are_masked),
        cmocka_unit_test(where_a_listing_goes_on_is_shown_and_no_other_token),
        cmocka_unit_test(an_encoded_parameter_name_does_not_hide_a_signature),
        cmocka_unit_test(a_password_in_the_url_is_masked),
        cmocka_unit_test(bytes_that_break_a_line_or_a_terminal_are_escaped),
        cmocka_unit_test(a_long_url_is_cut_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
