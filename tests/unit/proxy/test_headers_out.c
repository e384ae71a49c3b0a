/* SPDX-License-Identifier: MIT */
#include "proxy/headers_out.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"

static const struct proxy_route to_host = { .host_field = { "o.test", 6 }, .max_forwards = -1 };

static void assert_sent(struct el_fieldv client, const struct proxy_route *route,
                        const char *expected)
{
    struct el_fields out = { 0 };
    struct el_buf b = { 0 };

    proxy_headers_request(client, route, EL_STR("node-1"), &out);
    for (size_t i = 0; i < out.n; i++)
        el_buf_addf(&b, "%.*s: %.*s\n", EL_STR_ARG(out.v[i].name), EL_STR_ARG(out.v[i].value));
    assert_string_equal(b.p, expected);
    el_buf_deinit(&b);
    el_fields_deinit(&out);
}

static void assert_answered(struct el_fieldv origin, bool is_cut, const char *expected)
{
    struct el_buf b = { 0 };

    proxy_headers_response(origin, is_cut, &b);
    assert_string_equal(b.p, expected);
    el_buf_deinit(&b);
}

static void what_the_client_says_goes_on_byte_for_byte_and_in_order(void **state)
{
    (void)state;
    assert_sent(FIELDS(FIELD("host", "o.test"), FIELD("x-ODD", "a,  b"), FIELD("Cookie", "a=b; c"),
                       FIELD("Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host"),
                       FIELD("x-odd", ""), FIELD("Via", "1.0 before")),
                &to_host,
                "Host: o.test\nx-ODD: a,  b\nCookie: a=b; c\n"
                "Authorization: AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host\nx-odd: \n"
                "Via: 1.0 before\nVia: 1.1 node-1\n");
}

static void the_host_is_the_route_s(void **state)
{
    const struct proxy_route none = { .max_forwards = -1 };

    (void)state;
    assert_sent(FIELDS(FIELD("Host", "evil.test"), FIELD("A", "1")), &to_host,
                "Host: o.test\nA: 1\nVia: 1.1 node-1\n");
    assert_sent(FIELDS(FIELD("A", "1")), &none, "A: 1\nVia: 1.1 node-1\n");
}

/* RFC 9110 section 7.6.1; the framing is made anew. */
static void what_belongs_to_the_connection_ends_with_it(void **state)
{
    (void)state;
    assert_sent(FIELDS(FIELD("Connection", "keep-alive, X-Mine"), FIELD("Connection", "other"),
                       FIELD("Keep-Alive", "timeout=5"), FIELD("Proxy-Connection", "keep-alive"),
                       FIELD("TE", "trailers"), FIELD("Trailer", "X"), FIELD("Upgrade", "h2c"),
                       FIELD("Transfer-Encoding", "chunked"), FIELD("Content-Length", "5"),
                       FIELD("Proxy-Authorization", "Basic c2VjcmV0"),
                       FIELD("Expect", "100-continue"), FIELD("x-mine", "1"), FIELD("OTHER", "2"),
                       FIELD("X-Yours", "3")),
                &to_host, "Host: o.test\nX-Yours: 3\nVia: 1.1 node-1\n");
}

static void connection_cannot_take_away_what_others_rely_on(void **state)
{
    (void)state;
    assert_sent(
        FIELDS(FIELD("Connection",
                     "close, Authorization, Range, Cache-Control, x-amz-date, If-Match, "
                     "Cookie, Content-Type, x-oss-date, Via, Host"),
               FIELD("Authorization", "a"), FIELD("Range", "b"), FIELD("Cache-Control", "c"),
               FIELD("x-amz-date", "d"), FIELD("If-Match", "e"), FIELD("Cookie", "f"),
               FIELD("Content-Type", "g"), FIELD("x-oss-date", "h"), FIELD("Via", "1.1 i")),
        &to_host,
        "Host: o.test\nAuthorization: a\nRange: b\nCache-Control: c\nx-amz-date: d\nIf-Match: e\n"
        "Cookie: f\nContent-Type: g\nx-oss-date: h\nVia: 1.1 i\nVia: 1.1 node-1\n");
}

static void nor_what_the_client_signed(void **state)
{
    struct proxy_route route = to_host;

    (void)state;
    route.signed_fields = EL_STR("host;x-mine;te");
    assert_sent(FIELDS(FIELD("Connection", "x-mine, x-other"), FIELD("X-Mine", "1"),
                       FIELD("X-Other", "2"), FIELD("TE", "trailers")),
                &route, "Host: o.test\nX-Mine: 1\nVia: 1.1 node-1\n");
}

static void max_forwards_is_the_route_s_when_it_counts(void **state)
{
    struct proxy_route route = to_host;

    (void)state;
    assert_sent(FIELDS(FIELD("Max-Forwards", "5")), &route,
                "Host: o.test\nMax-Forwards: 5\nVia: 1.1 node-1\n");
    route.max_forwards = 4;
    assert_sent(FIELDS(FIELD("Max-Forwards", "5")), &route,
                "Host: o.test\nVia: 1.1 node-1\nMax-Forwards: 4\n");
}

static void the_origin_s_fields_reach_the_client_without_its_framing(void **state)
{
    struct el_fieldv origin =
        FIELDS(FIELD("Date", "d"), FIELD("content-length", "5"), FIELD("ETag", "\"a\""),
               FIELD("Connection", "X-Mine, ETag, Set-Cookie"), FIELD("X-Mine", "1"),
               FIELD("Transfer-Encoding", "chunked"), FIELD("Content-Range", "bytes 0-1/2"),
               FIELD("Set-Cookie", "a=1, b"), FIELD("Set-Cookie", "c=2"), FIELD("Trailer", "t"));

    (void)state;
    assert_answered(origin, false,
                    "Date: d\r\nETag: \"a\"\r\nContent-Range: bytes 0-1/2\r\nSet-Cookie: a=1, b\r\n"
                    "Set-Cookie: c=2\r\n");
    assert_answered(origin, true,
                    "Date: d\r\nETag: \"a\"\r\nSet-Cookie: a=1, b\r\nSet-Cookie: c=2\r\n");
}

static void a_part_of_a_body_has_no_checksum_of_the_body(void **state)
{
    const struct el_fieldv origin =
        FIELDS(FIELD("ETag", "\"e\""), FIELD("Content-MD5", "m"), FIELD("content-digest", "d"),
               FIELD("X-Amz-Checksum-CRC32", "c"), FIELD("Content-Range", "bytes 0-1/2"));

    (void)state;
    assert_answered(origin, true, "ETag: \"e\"\r\n");
    assert_answered(origin, false,
                    "ETag: \"e\"\r\nContent-MD5: m\r\ncontent-digest: d\r\n"
                    "X-Amz-Checksum-CRC32: c\r\nContent-Range: bytes 0-1/2\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_client_says_goes_on_byte_for_byte_and_in_order),
        cmocka_unit_test(the_host_is_the_route_s),
        cmocka_unit_test(what_belongs_to_the_connection_ends_with_it),
        cmocka_unit_test(connection_cannot_take_away_what_others_rely_on),
        cmocka_unit_test(nor_what_the_client_signed),
        cmocka_unit_test(max_forwards_is_the_route_s_when_it_counts),
        cmocka_unit_test(the_origin_s_fields_reach_the_client_without_its_framing),
        cmocka_unit_test(a_part_of_a_body_has_no_checksum_of_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
