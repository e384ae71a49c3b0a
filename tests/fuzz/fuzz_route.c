/* SPDX-License-Identifier: MIT */
/* An input is a method, a target, a Host, and the fields of the request, one a line. */
#include "common/url.h"
#include "proxy/guard.h"
#include "proxy/headers_out.h"
#include "proxy/route.h"
#include "tests/fuzz/fuzz.h"

/* What is cached has a URL that is its own key: no two spellings of one object can part. */
static void check_url(struct el_str text)
{
    struct el_buf again = { 0 };
    struct el_url url = { 0 };

    /* The target of a gateway may hold bytes that a URL of a forward proxy may not. */
    if (el_url_parse(text, &url, NULL) != EL_OK)
        return;
    el_url_write_key(&again, url.is_https, url.host, url.port, url.target);
    CLAIM(el_str_eq(el_buf_str(&again), text));
    el_buf_deinit(&again);
}

/* Nothing of the connection goes on, everything signed does, and our name is on it once. */
static void check_fields(const struct proxy_head *head, const struct proxy_route *route)
{
    struct el_fields out = { 0 };
    struct el_fieldv sent;

    proxy_headers_request(head->fields, route, EL_STR("node-1"), &out);
    sent = el_fields_view(&out);
    CLAIM(!el_fieldv_has(sent, EL_STR("Connection")) && !el_fieldv_has(sent, EL_STR("TE")));
    CLAIM(!el_fieldv_has(sent, EL_STR("Proxy-Authorization")));
    CLAIM(!el_fieldv_has(sent, EL_STR("Transfer-Encoding")));
    CLAIM(el_fieldv_count(sent, EL_STR("Host")) == (route->host_field.n > 0));
    CLAIM(el_fieldv_count(sent, EL_STR("Authorization")) ==
          el_fieldv_count(head->fields, EL_STR("Authorization")));
    CLAIM(el_fieldv_count(sent, EL_STR("Range")) == el_fieldv_count(head->fields, EL_STR("Range")));
    CLAIM(proxy_guard_loop(sent, EL_STR("node-1"), NULL) == EL_ELOOP);
    el_fields_deinit(&out);
}

static void check_route(const struct proxy_gateway *g, const struct proxy_head *head,
                        struct proxy_route *route)
{
    struct el_error err;

    if (proxy_route_parse(g, head, route, &err) != EL_OK)
        return;
    if (route->kind == PROXY_ROUTE_CONNECT)
        CLAIM(route->to.host.n > 0 && route->to.port > 0);
    if (route->kind != PROXY_ROUTE_FORWARD && route->kind != PROXY_ROUTE_GATEWAY)
        return;
    CLAIM(route->to.host.n > 0 && route->to.port > 0 && route->to.target.n > 0);
    CLAIM(!route->range_is_signed || el_fieldv_has(head->fields, EL_STR("Range")));
    CLAIM(route->has_credentials || !el_fieldv_has(head->fields, EL_STR("Authorization")));
    check_url(el_buf_str(&route->url));
    check_fields(head, route);
}

/* Whatever is asked for inside of an intercepted tunnel, its host is. */
static void check_inside(const struct proxy_head *head, struct proxy_route *route)
{
    struct proxy_head inside = *head;
    struct el_error err;

    inside.inside = EL_STR("in.test:8443");
    check_route(NULL, &inside, route);
    if (proxy_route_parse(NULL, &inside, route, &err) != EL_OK ||
        route->kind != PROXY_ROUTE_FORWARD)
        return;
    CLAIM(el_str_eq(route->to.scheme, EL_STR("https")) && route->to.port == 8443);
    CLAIM(el_str_eq(route->to.host, EL_STR("in.test")));
    CLAIM(el_str_starts(el_buf_str(&route->url), EL_STR("https://in.test:8443")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const buckets[] = { "", "b" };
    struct el_str rest = { (const char *)data, n };
    struct el_field v[FUZZ_MAX_FIELDS];
    struct proxy_route route = { 0 };
    struct proxy_head head = { .minor_version = 1 };

    head.method = fuzz_line(&rest);
    head.target = fuzz_line(&rest);
    head.host = fuzz_line(&rest);
    head.fields = fuzz_fields(rest, v);
    for (size_t i = 0; i < EL_COUNT(buckets); i++) {
        struct proxy_gateway *g = NULL;

        CLAIM(proxy_gateway_new("http://e.test:9000", buckets[i], "s3.test", &g, NULL) == EL_OK);
        check_route(g, &head, &route);
        proxy_gateway_free(g);
    }
    check_inside(&head, &route);
    el_buf_deinit(&route.url);
    return 0;
}
