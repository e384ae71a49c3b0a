/* SPDX-License-Identifier: MIT */
/* An input is a method, a target, a Host, and the fields of the request, one a line. */
#include "proxy/grant.h"
#include "proxy/policies.h"
#include "proxy/verify.h"
#include "tests/fuzz/fuzz.h"

#define NOW_MS ((int64_t)1714979289000) /* 2024-05-06T07:08:09Z */

static const uint8_t secret[PROXY_GRANT_SECRET_BYTES];

/* ---- who asks ---- */

static void check_signature(const struct proxy_head *head, const struct proxy_route *route)
{
    struct proxy_signature s;

    proxy_signature_read(route->to.target, head->fields, NOW_MS, &s);
    CLAIM(s.is_known == (s.key_id.n > 0));
    CLAIM(proxy_grant_ttl_ms(&s, NOW_MS, 30000) <= 30000);
    CLAIM(proxy_grant_ttl_ms(&s, s.until_ms, 30000) == 0);
}

/* The same request has the same id, and no other method has it. */
static void check_id(const struct proxy_head *head, const struct proxy_route *route)
{
    const struct proxy_grant_hash by = { el_sha256_new(), secret };
    struct el_digest a, b, c;

    proxy_grant_request_id(&by, head->method, route, head->fields, &a);
    proxy_grant_request_id(&by, head->method, route, head->fields, &b);
    proxy_grant_request_id(&by, EL_STR("?"), route, head->fields, &c);
    CLAIM(memcmp(&a, &b, sizeof(a)) == 0);
    CLAIM(el_str_eq(head->method, EL_STR("?")) || memcmp(&a, &c, sizeof(a)) != 0);
    el_sha256_free(by.h);
}

/* Nobody forges what is signed with a secret that no input knows. */
static void check_forgery(const struct proxy_head *head, const struct proxy_route *route)
{
    struct proxy_verifier *v = proxy_verifier_new();
    struct proxy_verified who;
    struct proxy_keys *keys;

    CLAIM(proxy_keys_parse("f", EL_STR("[a]\naccess_key = AKID\nsecret_key = 8f2c61d7a9e04b35\n"),
                           &keys, NULL) == EL_OK);
    CLAIM(!proxy_verify(v, keys, head->method, route, head->fields, NOW_MS / 1000, &who));
    proxy_verifier_free(v);
    proxy_keys_free(keys);
}

/* ---- what for ---- */

static int hex(char c)
{
    const char *digits = "0123456789ABCDEF", *at = memchr(digits, c, 16);

    return at == NULL ? -1 : (int)(at - digits); /* a key's escapes are in upper case */
}

/* The path as an object store reads it. */
static void decode(struct el_buf *out, struct el_str path)
{
    for (size_t i = 0; i < path.n; i++) {
        int high = i + 2 < path.n && path.p[i] == '%' ? hex(path.p[i + 1]) : -1;
        int low = high >= 0 ? hex(path.p[i + 2]) : -1;

        el_buf_add_byte(out, low >= 0 ? (char)(high * 16 + low) : path.p[i]);
        i += low >= 0 ? 2 : 0;
    }
}

static bool is_below(struct el_str path, struct el_str prefix)
{
    return el_str_starts(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/');
}

/* Whatever the spelling, what an object store would take for a denied key is denied. */
static void check_policy(const struct proxy_route *route)
{
    char prefix[] = "http://e.test:9000/b/no";
    struct el_conf_policy section = { .prefix = prefix, .auth = EL_AUTH_DENY, .has_auth = true };
    const struct el_conf conf = { .policies = &section, .n_policies = 1 };
    struct el_str url = el_buf_str(&route->url), origin = EL_STR("http://e.test:9000");
    struct proxy_policies *policies;
    struct el_buf path = { 0 };
    const struct proxy_policy *p;

    CLAIM(proxy_policies_new(&conf, &policies, NULL) == EL_OK);
    p = proxy_policies_find(policies, url);
    if (el_str_starts(url, origin) && url.n > origin.n && url.p[origin.n] == '/') {
        struct el_str rest = el_str_from(url, origin.n);

        decode(&path, el_str_first(rest, el_str_find(rest, '?')));
        CLAIM(!is_below(el_buf_str(&path), EL_STR("/b/no")) || p->auth == EL_AUTH_DENY);
    } else {
        CLAIM(p->auth == EL_AUTH_ORIGIN);
    }
    el_buf_deinit(&path);
    proxy_policies_free(policies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str rest = { (const char *)data, n };
    struct el_field v[FUZZ_MAX_FIELDS];
    struct proxy_head head = { .minor_version = 1 };
    struct proxy_route route = { 0 };
    struct proxy_gateway *g = NULL;

    head.method = fuzz_line(&rest);
    head.target = fuzz_line(&rest);
    head.host = fuzz_line(&rest);
    head.fields = fuzz_fields(rest, v);
    CLAIM(proxy_gateway_new("http://e.test:9000", "", "s3.test", &g, NULL) == EL_OK);
    if (proxy_route_parse(g, &head, &route, NULL) == EL_OK &&
        (route.kind == PROXY_ROUTE_FORWARD || route.kind == PROXY_ROUTE_GATEWAY)) {
        check_signature(&head, &route);
        check_id(&head, &route);
        check_forgery(&head, &route);
        check_policy(&route);
    }
    proxy_gateway_free(g);
    el_buf_deinit(&route.url);
    return 0;
}
