/* SPDX-License-Identifier: MIT */
/* An input is a query, as it stands behind the '?' of a request to a gateway. */
#include "common/url.h"
#include "proxy/route.h"
#include "tests/fuzz/fuzz.h"

static bool has_target_bytes(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] == '#' || (unsigned char)s.p[i] >= 0x7f)
            return false;
    }
    return true;
}

static bool names_a_call(struct el_str target)
{
    struct el_str rest = el_str_from(target, el_str_find(target, '?') + 1), part;

    while (el_str_split(&rest, '&', &part)) {
        if (el_str_istarts(part, EL_STR("x-id=")))
            return true;
    }
    return false;
}

/* The key loses parameters of a signature, and what names the call in an SDK, and nothing else. */
static void check_key(struct el_str url, struct el_str target, bool is_presigned)
{
    struct el_str query = el_str_from(url, el_str_find(url, '?') + 1);

    CLAIM(el_str_starts(url, EL_STR("http://e.test/b/k")));
    CLAIM(!el_url_is_presigned(query));
    if (is_presigned)
        CLAIM(url.n < target.n + strlen("http://e.test"));
    else
        CLAIM(url.n == target.n + strlen("http://e.test") || names_a_call(target));
}

static void check_route(const struct proxy_gateway *g, struct el_str target, bool is_presigned)
{
    const struct proxy_head head = {
        .method = EL_STR("GET"), .target = target, .host = EL_STR("e.test"), .minor_version = 1
    };
    struct proxy_route route = { 0 };

    if (proxy_route_parse(g, &head, &route, NULL) == EL_OK) {
        CLAIM(el_str_eq(route.to.target, target)); /* as it was signed */
        CLAIM(route.has_credentials || !is_presigned);
        check_key(el_buf_str(&route.url), target, is_presigned);
    }
    el_buf_deinit(&route.url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str query = { (const char *)data, n };
    struct proxy_gateway *g = NULL;
    struct el_buf target = { 0 };

    if (!has_target_bytes(query))
        return 0;
    CLAIM(proxy_gateway_new("http://e.test", "", "", &g, NULL) == EL_OK);
    el_buf_add_str(&target, EL_STR("/b/k?"));
    el_buf_add_str(&target, query);
    check_route(g, el_buf_str(&target), el_url_is_presigned(query));
    el_buf_deinit(&target);
    proxy_gateway_free(g);
    return 0;
}
