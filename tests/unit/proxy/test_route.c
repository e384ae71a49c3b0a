/* SPDX-License-Identifier: MIT */
#include "proxy/route.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"

static void assert_str(struct el_str s, const char *expected)
{
    struct el_buf b = { 0 };

    el_buf_add_str(&b, s);
    el_buf_add_byte(&b, '\0');
    assert_string_equal(b.p, expected);
    el_buf_deinit(&b);
}

static struct proxy_gateway *gateway(const char *endpoint, const char *bucket, const char *suffixes)
{
    struct proxy_gateway *g = NULL;
    struct el_error err = { 0 };

    if (proxy_gateway_new(endpoint, bucket, suffixes, &g, &err) != EL_OK)
        fail_msg("%s", err.text);
    return g;
}

static struct proxy_head head(const char *method, const char *target, const char *host,
                              struct el_fieldv fields)
{
    return (struct proxy_head){
        .method = el_str_of(method),
        .target = el_str_of(target),
        .host = el_str_of(host),
        .minor_version = 1,
        .fields = fields,
    };
}

static enum el_err parse(const struct proxy_gateway *g, const struct proxy_head *h,
                         struct proxy_route *route)
{
    return proxy_route_parse(g, h, route, NULL);
}

/* ---- forward proxy ---- */

struct forward {
    const char *target, *host;
    const char *sent_host, *sent_target, *url;
};

static void absolute_form_goes_to_its_authority_as_origin_form(void **state)
{
    static const struct forward cases[] = {
        { "http://o.test/p?q", "o.test", "o.test", "/p?q", "http://o.test/p?q" },
        { "http://o.test", "o.test", "o.test", "/", "http://o.test/" },
        /* The same authority: as the client wrote, and perhaps signed, it. */
        { "http://o.test/p", "O.Test:80", "O.Test:80", "/p", "http://o.test/p" },
        { "http://O.test:80/p", "o.test", "o.test", "/p", "http://o.test/p" },
        { "https://o.test:443/p", "o.test", "o.test", "/p", "https://o.test/p" },
        /* Another one: the target wins (RFC 9112 section 3.2.2). */
        { "http://127.0.0.1:8080/b/k", "b.oss.test", "127.0.0.1:8080", "/b/k",
          "http://127.0.0.1:8080/b/k" },
        { "http://o.test/p", "o.test:8080", "o.test", "/p", "http://o.test/p" },
        { "http://o.test/p", "", "o.test", "/p", "http://o.test/p" },
        { "http://o.test/p", "a b", "o.test", "/p", "http://o.test/p" },
        { "http://[::1]:81/p", "[::1]:81", "[::1]:81", "/p", "http://[::1]:81/p" },
        { "http://o.test/%7e?X-Amz-Signature=1&a=%2f", "o.test", "o.test",
          "/%7e?X-Amz-Signature=1&a=%2f", "http://o.test/%7E?a=%2F" },
    };
    struct proxy_gateway *g = gateway("", "", "");
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_head h = head("GET", cases[i].target, cases[i].host, NO_FIELDS);

        assert_int_equal(parse(g, &h, &route), EL_OK);
        assert_int_equal(route.kind, PROXY_ROUTE_FORWARD);
        assert_str(route.host_field, cases[i].sent_host);
        assert_str(route.to.target, cases[i].sent_target);
        assert_str(el_buf_str(&route.url), cases[i].url);
    }
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void where_to_connect_is_taken_from_the_target(void **state)
{
    struct proxy_gateway *g = gateway("http://elsewhere:1", "", "");
    struct proxy_head h = head("GET", "https://[::1]:8443/p", "other", NO_FIELDS);
    struct proxy_route route = { 0 };

    (void)state;
    assert_int_equal(parse(g, &h, &route), EL_OK);
    assert_str(route.to.scheme, "https");
    assert_str(route.to.host, "::1");
    assert_int_equal(route.to.port, 8443);
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void malformed_targets_are_refused(void **state)
{
    static const struct {
        const char *method, *target;
    } cases[] = {
        { "GET", "" },           { "GET", "ftp://h/p" },   { "GET", "http://u@h/p" },
        { "GET", "http://h#f" }, { "GET", "*" },           { "GET", "h:80" },
        { "CONNECT", "h" },      { "CONNECT", "/p" },      { "CONNECT", "http://h:443" },
        { "CONNECT", "*" },      { "CONNECT", "h:443/p" }, { "CONNECT", "u@h:443" },
        { "CONNECT", "h:0" },    { "CONNECT", "h:65536" },
    };
    struct proxy_gateway *g = gateway("http://e", "", "");
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_head h = head(cases[i].method, cases[i].target, "h", NO_FIELDS);

        if (parse(g, &h, &route) != EL_EBADREQ)
            fail_msg("accepted: %s %s", cases[i].method, cases[i].target);
    }
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

/* ---- CONNECT, OPTIONS, TRACE ---- */

static void connect_names_host_and_port(void **state)
{
    struct proxy_gateway *g = gateway("", "", "");
    struct proxy_head h = head("CONNECT", "[2001:db8::1]:443", "", NO_FIELDS);
    struct proxy_route route = { 0 };

    (void)state;
    assert_int_equal(parse(g, &h, &route), EL_OK);
    assert_int_equal(route.kind, PROXY_ROUTE_CONNECT);
    assert_str(route.to.host, "2001:db8::1");
    assert_int_equal(route.to.port, 443);
    assert_false(route.has_credentials);
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void options_of_a_host_is_sent_to_it_as_a_star(void **state)
{
    struct proxy_gateway *g = gateway("", "", "");
    struct proxy_head star = head("OPTIONS", "*", "h", NO_FIELDS);
    struct proxy_head no_path = head("OPTIONS", "http://h:81", "h:81", NO_FIELDS);
    struct proxy_head path = head("OPTIONS", "http://h:81/", "h:81", NO_FIELDS);
    struct proxy_route route = { 0 };

    (void)state;
    assert_int_equal(parse(g, &star, &route), EL_OK);
    assert_int_equal(route.kind, PROXY_ROUTE_OPTIONS_STAR);
    assert_int_equal(parse(g, &no_path, &route), EL_OK);
    assert_int_equal(route.kind, PROXY_ROUTE_FORWARD);
    assert_str(route.to.target, "*");
    assert_int_equal(parse(g, &path, &route), EL_OK);
    assert_str(route.to.target, "/");
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void max_forwards_is_counted_down_to_an_answer_of_our_own(void **state)
{
    static const struct {
        const char *method, *value;
        enum el_err rc;
        enum proxy_route_kind kind;
        int64_t sent;
    } cases[] = {
        { "OPTIONS", "0", EL_OK, PROXY_ROUTE_OPTIONS_STAR, -1 },
        { "OPTIONS", "1", EL_OK, PROXY_ROUTE_FORWARD, 0 },
        { "OPTIONS", "10", EL_OK, PROXY_ROUTE_FORWARD, 9 },
        { "TRACE", "3", EL_OK, PROXY_ROUTE_FORWARD, 2 },
        { "TRACE", "0", EL_EUNSUPPORTED, PROXY_ROUTE_FORWARD, -1 },
        { "OPTIONS", "x", EL_OK, PROXY_ROUTE_FORWARD, -1 },
        { "OPTIONS", "99999999999999999999", EL_OK, PROXY_ROUTE_FORWARD, -1 },
        /* It means nothing in any other method. */
        { "GET", "0", EL_OK, PROXY_ROUTE_FORWARD, -1 },
    };
    struct proxy_gateway *g = gateway("", "", "");
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_head h =
            head(cases[i].method, "http://h/p", "h", ONE_FIELD("Max-Forwards", cases[i].value));

        assert_int_equal(parse(g, &h, &route), cases[i].rc);
        assert_int_equal(route.kind, cases[i].kind);
        assert_int_equal(route.max_forwards, cases[i].sent);
    }
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

/* ---- gateway ---- */

struct asked {
    const char *bucket, *target, *host; /* storage.bucket, and the request */
    const char *sent_target, *url;
};

static void one_object_has_one_url_however_it_is_asked_for(void **state)
{
    static const struct asked cases[] = {
        { "", "/b/dir/k", "127.0.0.1:8080", "/b/dir/k", "http://e.test:9000/b/dir/k" },
        { "", "/dir/k", "b.s3.test", "/dir/k", "http://e.test:9000/b/dir/k" },
        { "", "/dir/k", "b.S3.Test:8080", "/dir/k", "http://e.test:9000/b/dir/k" },
        { "", "/dir/k", "b.other.test", "/dir/k", "http://e.test:9000/b/dir/k" },
        { "", "/dir/k?versionId=1&X-Amz-Signature=2", "b.s3.test",
          "/dir/k?versionId=1&X-Amz-Signature=2", "http://e.test:9000/b/dir/k?versionId=1" },
        { "", "/k", "my.dotted.b.s3.test", "/k", "http://e.test:9000/my.dotted.b/k" },
        { "b", "/dir/k", "127.0.0.1:8080", "/b/dir/k", "http://e.test:9000/b/dir/k" },
        { "b", "/dir/%7ek?X-Amz-Signature=2", "localhost", "/b/dir/%7ek?X-Amz-Signature=2",
          "http://e.test:9000/b/dir/%7Ek" },
        /* A Host that names a bucket goes before storage.bucket, and is what the origin sees. */
        { "b", "/k", "c.s3.test", "/k", "http://e.test:9000/c/k" },
        /* The suffix alone, or as the end of another word, names none. */
        { "", "/b/k", "s3.test", "/b/k", "http://e.test:9000/b/k" },
        { "", "/b/k", "xs3.test", "/b/k", "http://e.test:9000/b/k" },
        { "", "/b/k", "", "/b/k", "http://e.test:9000/b/k" },
    };
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct asked *c = &cases[i];
        struct proxy_gateway *g = gateway("http://e.test:9000", c->bucket, "s3.test, other.test");
        struct proxy_head h = head("GET", c->target, c->host, NO_FIELDS);

        assert_int_equal(parse(g, &h, &route), EL_OK);
        assert_int_equal(route.kind, PROXY_ROUTE_GATEWAY);
        assert_str(route.to.host, "e.test");
        assert_int_equal(route.to.port, 9000);
        assert_str(route.to.target, c->sent_target);
        assert_str(el_buf_str(&route.url), c->url);
        assert_str(route.host_field, c->host);
        proxy_gateway_free(g);
    }
    el_buf_deinit(&route.url);
}

/* Each object of the origin has its own key: what is asked for is what the key says. */
static void a_bucket_of_the_configuration_is_no_alias_of_another(void **state)
{
    struct proxy_gateway *g = gateway("http://e", "b", "");
    struct proxy_head as_key = head("GET", "/x/k", "node:8080", NO_FIELDS);
    struct proxy_head direct = head("GET", "http://e/b/x/k", "e", NO_FIELDS);
    struct proxy_route one = { 0 }, two = { 0 };

    (void)state;
    assert_int_equal(parse(g, &as_key, &one), EL_OK);
    assert_int_equal(parse(g, &direct, &two), EL_OK);
    assert_str(el_buf_str(&one.url), "http://e/b/x/k");
    assert_str(el_buf_str(&two.url), "http://e/b/x/k");
    assert_str(one.to.target, "/b/x/k");
    assert_str(two.to.target, "/b/x/k");
    el_buf_deinit(&one.url);
    el_buf_deinit(&two.url);
    proxy_gateway_free(g);
}

static void a_host_with_a_path_in_it_names_no_bucket(void **state)
{
    static const char *const hosts[] = { "a/b.s3.test", "a?b.s3.test", "a b.s3.test", "a@b.s3.test",
                                         "b.s3.test:x", "b.s3.test/",  "%61.s3.test" };
    struct proxy_gateway *g = gateway("http://e", "", "s3.test");
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(hosts); i++) {
        struct proxy_head h = head("GET", "/k", hosts[i], NO_FIELDS);

        assert_int_equal(parse(g, &h, &route), EL_EBADREQ);
    }
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void without_an_endpoint_the_answer_says_what_to_do(void **state)
{
    struct proxy_gateway *g = gateway("", "", "");
    struct proxy_head h = head("GET", "/b/k", "h", NO_FIELDS);
    struct proxy_route route = { 0 };
    struct el_error err = { 0 };

    (void)state;
    assert_int_equal(proxy_route_parse(g, &h, &route, &err), EL_ENOORIGIN);
    assert_non_null(strstr(err.text, "storage.endpoint"));
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void a_gateway_that_cannot_be_is_refused_by_the_name_of_its_key(void **state)
{
    static const struct {
        const char *endpoint, *bucket, *suffixes, *named;
    } cases[] = {
        { "e.test", "", "", "storage.endpoint" },
        { "ftp://e.test", "", "", "storage.endpoint" },
        { "http://e.test/path", "", "", "storage.endpoint" },
        { "http://u:p@e.test", "", "", "storage.endpoint" },
        { "http://e", "a/b", "", "storage.bucket" },
        { "http://e", "a b", "", "storage.bucket" },
        { "http://e", "..", "", "storage.bucket" },
        { "http://e", "", "s3.test:80", "storage.virtual_host_suffixes" },
        { "http://e", "", "*.s3.test", "storage.virtual_host_suffixes" },
        { "http://e", "", "s3.test,.s4.test", "storage.virtual_host_suffixes" },
        { "http://e", "", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "storage.virtual_host_suffixes" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_gateway *g = NULL;
        struct el_error err = { 0 };

        assert_int_equal(
            proxy_gateway_new(cases[i].endpoint, cases[i].bucket, cases[i].suffixes, &g, &err),
            EL_ECONF);
        assert_null(g);
        if (strstr(err.text, cases[i].named) == NULL)
            fail_msg("%s does not name %s", err.text, cases[i].named);
    }
}

/* ---- credentials ---- */

static void whoever_shows_something_of_his_own_has_credentials(void **state)
{
    static const struct {
        const char *name, *value, *target;
        bool has;
    } cases[] = {
        { "Accept", "x", "/b/k", false },
        { "Authorization", "Basic Og==", "/b/k", true },
        { "authorization", "AWS a:b", "/b/k", true },
        { "Cookie", "a=b", "/b/k", true },
        { "X-Auth-Token", "t", "/b/k", true },
        { "X-Amz-Security-Token", "t", "/b/k", true },
        { "X-Amz-Date", "t", "/b/k", false },
        { "Proxy-Authorization", "Basic Og==", "/b/k", false },
        { "Accept", "x", "/b/k?X-Amz-Signature=1", true },
        { "Accept", "x", "/b/k?AWSAccessKeyId=1&Signature=2&Expires=3", true },
        { "Accept", "x", "/b/k?x-oss-signature=1", true },
        { "Accept", "x", "/b/k?Expires=3", false },
        { "x-oss-security-token", "t", "/b/k", true },
        { "x-amz-checksum-mode", "ENABLED", "/b/k", false },
        { "x-amz-meta-token", "t", "/b/k", false },
        { "PRIVATE-TOKEN", "t", "/b/k", true },
        { "X-Api_Key", "t", "/b/k", true },
        { "User-Agent", "a", "/b/k?partNumber=1&list-type=2", false },
        /* URLs that other stores sign; they end, and what they opened closes. */
        { "Accept", "x", "/b/k?sv=1&sig=2", true },
        { "Accept", "x", "/b/k?X-Goog-Signature=1", true },
        { "Accept", "x", "/b/k?temp_url_sig=1&temp_url_expires=2", true },
        { "Accept", "x", "/b/k?access_token=1", true },
        { "Accept", "x", "/b/k?X-Amz-Sign%61ture=1", true },
        { "X-Forwarded-Host", "node.test", "/b/k", false },
        { "X-Forwarded-For", "10.0.0.1", "/b/k", false },
    };
    struct proxy_gateway *g = gateway("http://e", "", "");
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f = { el_str_of(cases[i].name), el_str_of(cases[i].value) };
        struct proxy_head h =
            head("GET", cases[i].target, "node.test", (struct el_fieldv){ &f, 1 });

        assert_int_equal(parse(g, &h, &route), EL_OK);
        if (route.has_credentials != cases[i].has)
            fail_msg("%s: %s, %s", cases[i].name, cases[i].value, cases[i].target);
    }
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void what_may_lead_the_origin_elsewhere_than_to_the_url_is_known(void **state)
{
    static const struct {
        const char *name, *value, *target;
        bool is_led_astray;
    } cases[] = {
        { "Accept", "x", "/b/k", false },
        { "X-Original-URL", "/other", "/b/k", true },
        { "X-HTTP-Method-Override", "DELETE", "/b/k", true },
        { "x-ms-range", "bytes=0-9", "/b/k", true },
        { "X-Forwarded-Host", "evil.test", "/b/k", true },
        { "X-Forwarded-Host", "node.test", "/b/k", false },
        { "X-Forwarded-Proto", "https", "http://node.test/", true },
        { "X-Forwarded-Proto", "http", "http://node.test/", false },
        { "X-Forwarded-Proto", "https", "/b/k", false },
        { "Connection", "keep-alive", "/b/k", false },
        /* A customer's key decrypts for whoever shows it. */
        { "x-amz-server-side-encryption-customer-key", "a2V5", "/b/k", true },
        { "x-amz-server-side-encryption", "AES256", "/b/k", false },
        /* The origin does not see what the variant would be chosen by. */
        { "Connection", "X-Shade", "/b/k", true },
        { "Connection", "Authorization, X-Absent", "/b/k", false },
    };
    struct proxy_gateway *g = gateway("http://e", "", "");
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { { el_str_of(cases[i].name), el_str_of(cases[i].value) },
                                      FIELD("X-Shade", "dark") };
        struct proxy_head h = head("GET", cases[i].target, "node.test", (struct el_fieldv){ f, 2 });

        assert_int_equal(parse(g, &h, &route), EL_OK);
        if (route.is_led_astray != cases[i].is_led_astray)
            fail_msg("%s: %s, %s", cases[i].name, cases[i].value, cases[i].target);
    }
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void a_host_that_the_origin_may_know_as_something_else_is_told_apart(void **state)
{
    static const struct {
        const char *host;
        bool by_host;
    } cases[] = {
        { "", false },          { "127.0.0.1:8080", false }, { "[::1]:8080", false },
        { "E.test", false },    { "e.test:9000", false },    { "s3.test", false },
        { "b.s3.test", false }, { "B.s3.test", true }, /* the origin may fold it: that is another
                                                          bucket */
        { "b.e.test", true },   { "b.s3.test.", true },      { "localhost:8080", true },
        { "127.1", true },
    };
    struct proxy_gateway *g = gateway("http://e.test:9000", "", "s3.test");
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_head h = head("GET", "/b/k", cases[i].host, NO_FIELDS);

        assert_int_equal(parse(g, &h, &route), EL_OK);
        if (route.by_host != cases[i].by_host)
            fail_msg("%s", cases[i].host);
    }
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

struct signature {
    const char *authorization, *target;
    bool range, none_match;
};

static void what_a_signature_covers_is_known(void **state)
{
    static const struct signature cases[] = {
        { "AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/s3/aws4_request, "
          "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=ab",
          "/k", true, false },
        { "AWS4-HMAC-SHA256 Credential=AK/a,SignedHeaders=host;if-none-match;range,Signature=ab",
          "/k", true, true },
        { "AWS4-HMAC-SHA256 SignedHeaders=host, Credential=AK/range;range, Signature=ab", "/k",
          false, false },
        { "AWS4-HMAC-SHA256 Credential=SignedHeaders=range, SignedHeaders=host, Signature=ab", "/k",
          false, false },
        { "AWS4-HMAC-SHA256 Credential=AK, SignedHeaders=host;x-range;ranges, Signature=ab", "/k",
          false, false },
        { "AWS4-ECDSA-P256-SHA256 Credential=AK, SignedHeaders=host;Range, Signature=ab", "/k",
          true, false },
        { "OSS4-HMAC-SHA256 Credential=AK/x,AdditionalHeaders=host;range,Signature=ab", "/k", true,
          false },
        { "OSS4-HMAC-SHA256 Credential=AK/x,Signature=ab", "/k", false, false },
        { "GOOG4-RSA-SHA256 Credential=a/x, SignedHeaders=host;range, Signature=ab", "/k", true,
          false },
        { "q-sign-algorithm=sha1&q-ak=AK&q-sign-time=1;2&q-key-time=1;2&q-header-list=host;range&"
          "q-url-param-list=&q-signature=ab",
          "/k", true, false },
        { "q-sign-algorithm=sha1&q-ak=AK&q-header-list=host&q-url-param-list=range&q-signature=ab",
          "/k", false, false },
        { "AWS AK:range", "/k", false, false },
        { "OSS AK:range", "/k", false, false },
        { "Bearer range", "/k", false, false },
        { "", "/k", false, false },
        { NULL, "/k?X-Amz-SignedHeaders=host%3Brange&X-Amz-Signature=1", true, false },
        { NULL, "/k?X-Amz-SignedHeaders=host%3brange%3bif-none-match&X-Amz-Signature=1", true,
          true },
        { NULL, "/k?X-Amz-SignedHeaders=host;range&X-Amz-Signature=1", true, false },
        { NULL, "/k?X-Amz-SignedHeaders=host&X-Amz-Signature=1", false, false },
        { NULL, "/k?prefix=X-Amz-SignedHeaders=range&X-Amz-Signature=1", false, false },
        { NULL, "/k?x-oss-additional-headers=host%3Brange&x-oss-signature=1", true, false },
        { NULL, "/k?X-Goog-SignedHeaders=host%3Brange&X-Goog-Signature=1", true, false },
        { NULL, "/k?q-header-list=host%3bif-none-match%3brange&q-signature=1", true, true },
        { NULL, "/k?q-header-list=host&q-url-param-list=range&q-signature=1", false, false },
        { NULL, "/k?X-Amz-SignedHeaders=range", false, false },
        { NULL, "/k?AWSAccessKeyId=a&Signature=b&Expires=1", false, false },
    };
    struct proxy_gateway *g = gateway("http://e", "", "");
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct signature *c = &cases[i];
        const struct el_field f[] = { FIELD("Range", "bytes=0-1"),
                                      { EL_STR("Authorization"), el_str_of(c->authorization) } };
        struct proxy_head h =
            head("GET", c->target, "h", (struct el_fieldv){ f, c->authorization == NULL ? 1 : 2 });

        assert_int_equal(parse(g, &h, &route), EL_OK);
        if (route.range_is_signed != c->range ||
            proxy_route_signed_has(&route, EL_STR("If-None-Match")) != c->none_match)
            fail_msg("case %zu", i);
    }
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void a_range_that_is_not_there_is_not_signed(void **state)
{
    struct proxy_gateway *g = gateway("http://e", "", "");
    struct proxy_head h =
        head("GET", "/k?X-Amz-SignedHeaders=host%3Brange&X-Amz-Signature=1", "h", NO_FIELDS);
    struct proxy_route route = { 0 };

    (void)state;
    assert_int_equal(parse(g, &h, &route), EL_OK);
    assert_false(route.range_is_signed);
    assert_true(proxy_route_signed_has(&route, EL_STR("range")));
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void a_route_that_is_used_again_keeps_nothing_of_the_last_request(void **state)
{
    struct proxy_gateway *g = gateway("http://e", "", "");
    struct proxy_head signed_one =
        head("OPTIONS", "http://o/long/path?X-Amz-Signature=1&X-Amz-SignedHeaders=range", "o",
             FIELDS(FIELD("Range", "bytes=0-"), FIELD("Max-Forwards", "7")));
    struct proxy_head connect = head("CONNECT", "h:443", "h:443", NO_FIELDS);
    struct proxy_route route = { 0 };

    (void)state;
    assert_int_equal(parse(g, &signed_one, &route), EL_OK);
    assert_true(route.has_credentials && route.range_is_signed && route.max_forwards == 6);
    assert_int_equal(parse(g, &connect, &route), EL_OK);
    assert_false(route.has_credentials);
    assert_false(route.range_is_signed);
    assert_int_equal(route.max_forwards, -1);
    assert_int_equal(route.url.n, 0);
    assert_int_equal(route.host_field.n, 0);
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void a_key_is_the_same_however_the_object_is_named(void **state)
{
    static const char *const names[] = {
        "http://e/b/k",
        "http://E:80/b/k",
        "/b/k",
        "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Signature=1",
    };
    static const char *const wrong[] = { "", "*", "b/k", "ftp://e/b/k", "http://u@e/b/k" };
    struct proxy_gateway *g = gateway("http://e", "", "");
    struct el_buf key = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(names); i++) {
        el_buf_clear(&key);
        assert_int_equal(proxy_route_key(g, el_str_of(names[i]), &key, NULL), EL_OK);
        assert_str(el_buf_str(&key), "http://e/b/k");
    }
    el_buf_clear(&key);
    for (size_t i = 0; i < EL_COUNT(wrong); i++)
        assert_int_equal(proxy_route_key(g, el_str_of(wrong[i]), &key, NULL), EL_EBADREQ);
    assert_int_equal(key.n, 0);
    proxy_gateway_free(g);
    g = gateway("", "", "");
    assert_int_equal(proxy_route_key(g, EL_STR("/b/k"), &key, NULL), EL_ENOORIGIN);
    proxy_gateway_free(g);
    el_buf_deinit(&key);
}

/* ---- what an answer names (RFC 9111 section 4.4) ---- */

struct related {
    const char *reference, *url; /* NULL: none of this origin */
};

static void check_related(const struct proxy_route *route, const struct related *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct el_buf out = { 0 };
        bool is_related = proxy_route_related(route, el_str_of(cases[i].reference), &out);

        if (is_related != (cases[i].url != NULL) || (!is_related && out.n > 0))
            fail_msg("%s", cases[i].reference);
        if (is_related)
            assert_str(el_buf_str(&out), cases[i].url);
        el_buf_deinit(&out);
    }
}

static void an_answer_names_resources_of_its_own_origin_only(void **state)
{
    static const struct related cases[] = {
        { "http://o.test/x", "http://o.test/x" },
        { "http://O.TEST:80/x?y#z", "http://o.test/x?y" },
        { "/x", "http://o.test/x" },
        { "x", "http://o.test/a/x" },
        { "x/y?z", "http://o.test/a/x/y?z" },
        { "https://o.test/x", NULL },
        { "http://o.test:81/x", NULL },
        { "http://other.test/x", NULL },
        { "//other.test/x", NULL },
        { "mailto:o.test", NULL },
        { "?x", NULL },
        { "#x", NULL },
        { "", NULL },
        { "../x", NULL },
        { "/a/../x", NULL },
        { "./x", NULL },
        { "/a b", "http://o.test/a b" }, /* names nothing, and so does no harm */
    };
    const struct proxy_head h = head("PUT", "http://o.test/a/b?c", "o.test", NO_FIELDS);
    struct proxy_gateway *g = gateway("", "", "");
    struct proxy_route route = { 0 };

    (void)state;
    assert_int_equal(parse(g, &h, &route), EL_OK);
    check_related(&route, cases, EL_COUNT(cases));
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

static void behind_a_gateway_both_names_of_the_origin_are_its_own(void **state)
{
    static const struct related cases[] = {
        { "http://e.test:9000/x", "http://e.test:9000/x" },
        { "http://node.test:8080/x", "http://e.test:9000/x" },
        { "http://node.test/x", NULL },
        { "/x", "http://e.test:9000/x" },
    };
    static const struct related none[] = { { "/x", NULL }, { "http://e.test:9000/x", NULL } };
    const struct proxy_head plain = head("POST", "/a/b", "node.test:8080", NO_FIELDS);
    const struct proxy_head virtual = head("POST", "/b", "a.s3.test", NO_FIELDS);
    struct proxy_gateway *g = gateway("http://e.test:9000", "", "s3.test");
    struct proxy_route route = { 0 };

    (void)state;
    assert_int_equal(parse(g, &plain, &route), EL_OK);
    check_related(&route, cases, EL_COUNT(cases));
    /* There the origin's paths are not those of the origin URL. */
    assert_int_equal(parse(g, &virtual, &route), EL_OK);
    check_related(&route, none, EL_COUNT(none));
    el_buf_deinit(&route.url);
    proxy_gateway_free(g);
}

/* ---- inside of an intercepted tunnel ---- */

static enum el_err parse_inside(const char *method, const char *target, const char *host,
                                struct proxy_route *route)
{
    struct proxy_head h = head(method, target, host, NO_FIELDS);

    h.inside = EL_STR("O.test:443");
    return parse(NULL, &h, route);
}

static void what_comes_in_an_intercepted_tunnel_is_for_its_host(void **state)
{
    static const struct forward cases[] = {
        { "/p?q", "o.test", "o.test", "/p?q", "https://o.test/p?q" },
        { "/p%2f", "O.TEST:443", "O.TEST:443", "/p%2f", "https://o.test/p%2F" },
        { "//e.test/p", "o.test", "o.test", "//e.test/p", "https://o.test//e.test/p" },
        { "/p", "", "O.test:443", "/p", "https://o.test/p" },
        { "https://o.test/p", "o.test", "o.test", "/p", "https://o.test/p" },
        { "https://o.test:443", "o.test", "o.test", "/", "https://o.test/" },
    };
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        assert_int_equal(parse_inside("GET", cases[i].target, cases[i].host, &route), EL_OK);
        assert_int_equal(route.kind, PROXY_ROUTE_FORWARD);
        assert_str(route.to.scheme, "https");
        assert_str(route.to.host, "O.test");
        assert_int_equal(route.to.port, 443);
        assert_str(route.host_field, cases[i].sent_host);
        assert_str(route.to.target, cases[i].sent_target);
        assert_str(el_buf_str(&route.url), cases[i].url);
    }
    assert_int_equal(parse_inside("OPTIONS", "*", "o.test", &route), EL_OK);
    assert_int_equal(route.kind, PROXY_ROUTE_FORWARD);
    assert_str(route.to.target, "*");
    el_buf_deinit(&route.url);
}

static void nothing_in_an_intercepted_tunnel_leaves_its_host(void **state)
{
    static const struct {
        const char *method, *target, *host;
        enum el_err code;
    } cases[] = {
        { "GET", "/p", "e.test", EL_EMISDIRECTED },
        { "GET", "/p", "o.test:80", EL_EMISDIRECTED },
        { "GET", "/p", "o.test.", EL_EMISDIRECTED },
        { "GET", "https://e.test/p", "e.test", EL_EMISDIRECTED },
        { "GET", "https://e.test/p", "o.test", EL_EMISDIRECTED },
        { "GET", "https://o.test/p", "e.test", EL_EMISDIRECTED },
        { "GET", "https://o.test:444/p", "o.test", EL_EMISDIRECTED },
        { "GET", "http://o.test/p", "o.test", EL_EMISDIRECTED },
        { "GET", "http://o.test:443/p", "o.test", EL_EMISDIRECTED },
        { "CONNECT", "o.test:443", "o.test", EL_EBADREQ },
        { "CONNECT", "/p", "o.test", EL_EBADREQ },
        { "GET", "*", "o.test", EL_EBADREQ },
        { "GET", "p", "o.test", EL_EBADREQ },
        { "GET", "", "o.test", EL_EBADREQ },
    };
    struct proxy_route route = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        enum el_err rc = parse_inside(cases[i].method, cases[i].target, cases[i].host, &route);

        if (rc != cases[i].code)
            fail_msg("%s %s, Host %s: %s", cases[i].method, cases[i].target, cases[i].host,
                     el_err_name(rc));
    }
    el_buf_deinit(&route.url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absolute_form_goes_to_its_authority_as_origin_form),
        cmocka_unit_test(where_to_connect_is_taken_from_the_target),
        cmocka_unit_test(malformed_targets_are_refused),
        cmocka_unit_test(connect_names_host_and_port),
        cmocka_unit_test(options_of_a_host_is_sent_to_it_as_a_star),
        cmocka_unit_test(max_forwards_is_counted_down_to_an_answer_of_our_own),
        cmocka_unit_test(one_object_has_one_url_however_it_is_asked_for),
        cmocka_unit_test(a_bucket_of_the_configuration_is_no_alias_of_another),
        cmocka_unit_test(a_host_with_a_path_in_it_names_no_bucket),
        cmocka_unit_test(without_an_endpoint_the_answer_says_what_to_do),
        cmocka_unit_test(a_gateway_that_cannot_be_is_refused_by_the_name_of_its_key),
        cmocka_unit_test(whoever_shows_something_of_his_own_has_credentials),
        cmocka_unit_test(what_may_lead_the_origin_elsewhere_than_to_the_url_is_known),
        cmocka_unit_test(a_host_that_the_origin_may_know_as_something_else_is_told_apart),
        cmocka_unit_test(what_a_signature_covers_is_known),
        cmocka_unit_test(a_range_that_is_not_there_is_not_signed),
        cmocka_unit_test(a_route_that_is_used_again_keeps_nothing_of_the_last_request),
        cmocka_unit_test(what_comes_in_an_intercepted_tunnel_is_for_its_host),
        cmocka_unit_test(nothing_in_an_intercepted_tunnel_leaves_its_host),
        cmocka_unit_test(a_key_is_the_same_however_the_object_is_named),
        cmocka_unit_test(an_answer_names_resources_of_its_own_origin_only),
        cmocka_unit_test(behind_a_gateway_both_names_of_the_origin_are_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
