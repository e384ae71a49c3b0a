/* SPDX-License-Identifier: MIT */
/* route: see route.h. */
#include "proxy/route.h"

#include "common/url.h"

#define MAX_SUFFIXES 16

struct proxy_gateway {
    char *endpoint, *bucket, *suffixes; /* owned; the slices below point into them */
    bool is_set;
    struct el_url origin;
    struct el_str suffix[MAX_SUFFIXES];
    size_t n_suffixes;
};

/* ---- the gateway ---- */

static enum el_err parse_suffixes(struct proxy_gateway *g, struct el_error *err)
{
    struct el_str rest = el_str_of(g->suffixes), part;

    while (el_str_split(&rest, ',', &part)) {
        part = el_str_trim(part);
        if (part.n == 0)
            continue;
        if (g->n_suffixes == MAX_SUFFIXES)
            return el_fail(err, EL_ECONF, 0,
                           "storage.virtual_host_suffixes: at most %d names are allowed",
                           MAX_SUFFIXES);
        g->suffix[g->n_suffixes++] = part;
    }
    return EL_OK;
}

static enum el_err parse_endpoint(struct proxy_gateway *g, struct el_error *err)
{
    struct el_error why = { 0 };
    struct el_str text = el_str_of(g->endpoint);

    if (text.n == 0)
        return EL_OK;
    if (el_url_parse(text, &g->origin, &why) != EL_OK)
        return el_fail(err, EL_ECONF, 0, "storage.endpoint = \"%s\": %s", g->endpoint, why.text);
    if (!el_str_eq(g->origin.target, EL_STR("/")))
        return el_fail(
            err, EL_ECONF, 0,
            "storage.endpoint = \"%s\": a path is not allowed, only scheme, host and port",
            g->endpoint);
    g->is_set = true;
    return EL_OK;
}

enum el_err proxy_gateway_new(const char *endpoint, const char *bucket, const char *suffixes,
                              struct proxy_gateway **ret_gateway, struct el_error *err)
{
    struct proxy_gateway *g = el_new(struct proxy_gateway);
    enum el_err rc;

    g->endpoint = el_strndup(endpoint, strlen(endpoint));
    g->bucket = el_strndup(bucket, strlen(bucket));
    g->suffixes = el_strndup(suffixes, strlen(suffixes));
    rc = parse_endpoint(g, err);
    if (rc == EL_OK)
        rc = parse_suffixes(g, err);
    if (rc != EL_OK) {
        proxy_gateway_free(g);
        return rc;
    }
    *ret_gateway = g;
    return EL_OK;
}

void proxy_gateway_free(struct proxy_gateway *g)
{
    if (g == NULL)
        return;
    free(g->endpoint);
    free(g->bucket);
    free(g->suffixes);
    free(g);
}

/* "bucket" of Host "bucket.suffix[:port]"; empty when the Host is no bucket's. */
static struct el_str bucket_of_host(const struct proxy_gateway *g, struct el_str host)
{
    struct el_str name = el_str_first(host, el_str_find(host, ':'));

    for (size_t i = 0; i < g->n_suffixes; i++) {
        size_t n = g->suffix[i].n;

        if (name.n > n + 1 && name.p[name.n - n - 1] == '.' &&
            el_str_ieq(el_str_from(name, name.n - n), g->suffix[i]))
            return el_str_first(name, name.n - n - 1);
    }
    return (struct el_str){ NULL, 0 };
}

static void set_target(struct proxy_route *route, const struct el_url *url)
{
    route->to = (struct store_target){
        .scheme = url->is_https ? EL_STR("https") : EL_STR("http"),
        .host = url->host,
        .port = url->port,
        .target = url->target,
    };
}

static enum el_err route_gateway(const struct proxy_gateway *g, const struct proxy_head *head,
                                 struct proxy_route *route, struct el_error *err)
{
    struct el_url url = g->origin;
    struct el_buf path = { 0 };
    struct el_str bucket;

    if (!g->is_set)
        return el_fail(
            err, EL_ENOORIGIN, 0,
            "this is a proxy: ask for http://host/path, or set storage.endpoint to use it as an "
            "endpoint");
    bucket = bucket_of_host(g, head->host);
    if (bucket.n == 0)
        bucket = el_str_of(g->bucket);
    url.target = head->target;
    set_target(route, &url);
    route->kind = PROXY_ROUTE_GATEWAY;
    route->host_field = head->host;
    if (bucket.n > 0) {
        el_buf_add_byte(&path, '/');
        el_buf_add_str(&path, bucket);
    }
    el_buf_add_str(&path, head->target);
    el_url_write_key(&route->url, url.is_https, url.host, url.port, el_buf_str(&path));
    el_buf_deinit(&path);
    return EL_OK;
}

/* ---- forward and CONNECT ---- */

static bool is_same_authority(struct el_str host_field, const struct el_url *url)
{
    struct el_url host;

    return el_url_parse_authority(host_field, url->is_https ? 443 : 80, &host, NULL) == EL_OK &&
           el_str_ieq(host.host, url->host) && host.port == url->port;
}

static struct el_str authority_of(struct el_str target)
{
    struct el_str rest = el_str_from(target, el_str_find(target, ':') + 3);

    return el_str_first(rest, el_str_find(rest, '/'));
}

static enum el_err route_forward(const struct proxy_head *head, struct proxy_route *route,
                                 struct el_error *err)
{
    struct el_url url;
    enum el_err rc = el_url_parse(head->target, &url, err);

    if (rc != EL_OK)
        return rc;
    route->kind = PROXY_ROUTE_FORWARD;
    set_target(route, &url);
    /*
     * RFC 9112 section 3.2.2: the target wins over a Host that differs. One that only differs in
     * spelling is kept byte for byte, because signatures cover it.
     */
    route->host_field =
        is_same_authority(head->host, &url) ? head->host : authority_of(head->target);
    el_url_write_key(&route->url, url.is_https, url.host, url.port, url.target);
    return EL_OK;
}

static enum el_err route_connect(const struct proxy_head *head, struct proxy_route *route,
                                 struct el_error *err)
{
    struct el_url url = { 0 };
    enum el_err rc = el_url_parse_authority(head->target, 0, &url, err);

    route->kind = PROXY_ROUTE_CONNECT;
    route->to = (struct store_target){ .host = url.host, .port = url.port };
    return rc;
}

/* ---- credentials ---- */

static struct el_str query_of(struct el_str target)
{
    return el_str_from(target, el_str_find(target, '?') + 1);
}

/* The value of `name=` up to `stop`, anywhere in s. */
static struct el_str value_after(struct el_str s, struct el_str name, char stop)
{
    for (size_t i = 0; i + name.n <= s.n; i++) {
        struct el_str at = el_str_from(s, i);

        if (el_str_istarts(at, name)) {
            at = el_str_from(at, name.n);
            return el_str_first(at, el_str_find(at, stop));
        }
    }
    return (struct el_str){ NULL, 0 };
}

static void find_credentials(const struct proxy_head *head, struct proxy_route *route)
{
    struct el_str authorization, query = query_of(route->to.target);
    bool has_authorization = el_fieldv_get(head->fields, EL_STR("Authorization"), &authorization);
    bool is_presigned = el_url_is_presigned(query);

    route->has_credentials =
        has_authorization || is_presigned || el_fieldv_has(head->fields, EL_STR("Cookie"));
    route->signed_fields = (struct el_str){ NULL, 0 };
    if (has_authorization)
        route->signed_fields = value_after(authorization, EL_STR("SignedHeaders="), ',');
    else if (is_presigned)
        route->signed_fields = value_after(query, EL_STR("X-Amz-SignedHeaders="), '&');
    route->range_is_signed = proxy_route_signed_has(route, EL_STR("range")) &&
                             el_fieldv_has(head->fields, EL_STR("Range"));
}

bool proxy_route_signed_has(const struct proxy_route *route, struct el_str name)
{
    struct el_str rest = route->signed_fields, part;

    /* In a URL the separator is escaped: "host%3Brange". */
    while (rest.n > 0) {
        size_t semicolon = el_str_find(rest, ';'), percent = el_str_find(rest, '%');
        size_t cut = el_min_size(semicolon, percent);

        part = el_str_first(rest, cut);
        if (el_str_ieq(el_str_trim(part), name))
            return true;
        rest = el_str_from(rest, cut + (percent < semicolon ? 3 : 1));
    }
    return false;
}

enum el_err proxy_route_parse(const struct proxy_gateway *g, const struct proxy_head *head,
                              struct proxy_route *route, struct el_error *err)
{
    enum el_err rc;

    el_buf_clear(&route->url);
    if (el_str_eq(head->method, EL_STR("CONNECT")))
        return route_connect(head, route, err);
    if (el_str_eq(head->target, EL_STR("*"))) {
        route->kind = PROXY_ROUTE_OPTIONS_STAR;
        return el_str_eq(head->method, EL_STR("OPTIONS"))
                   ? EL_OK
                   : el_fail(err, EL_EBADREQ, 0, "only OPTIONS may ask for *");
    }
    rc = head->target.n > 0 && head->target.p[0] == '/' ? route_gateway(g, head, route, err)
                                                        : route_forward(head, route, err);
    if (rc == EL_OK)
        find_credentials(head, route);
    return rc;
}
