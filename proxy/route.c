/* SPDX-License-Identifier: MIT */
/* route: see route.h. */
#include "proxy/route.h"

#include <arpa/inet.h>

#include "common/url.h"
#include "proxy/headers_out.h"

#define MAX_SUFFIXES 16

/* The greatest Max-Forwards that is counted down; a message that may go further is left alone. */
#define MAX_HOPS 1000

struct proxy_gateway {
    char *endpoint, *bucket, *suffixes; /* owned; the slices below point into them */
    bool is_set;
    struct el_url origin;
    struct el_str suffix[MAX_SUFFIXES];
    size_t n_suffixes;
};

/* ---- the gateway ---- */

/* As part of a path and of a host name: a bucket, or what follows one in a Host. */
static bool is_name(struct el_str s)
{
    struct el_url url = { 0 };

    return el_str_find(s, ':') == s.n && s.n > 0 && s.p[0] != '.' &&
           el_url_parse_authority(s, 80, &url, NULL) == EL_OK;
}

static enum el_err parse_suffixes(struct proxy_gateway *g, struct el_error *err)
{
    struct el_str rest = el_str_of(g->suffixes), part;

    while (el_str_split(&rest, ',', &part)) {
        part = el_str_trim(part);
        if (part.n == 0)
            continue;
        if (!is_name(part))
            return el_fail(err, EL_ECONF, 0,
                           "storage.virtual_host_suffixes: \"%.*s\" is not a host name",
                           EL_STR_ARG(part));
        if (g->n_suffixes == MAX_SUFFIXES)
            return el_fail(err, EL_ECONF, 0,
                           "storage.virtual_host_suffixes: at most %d names are allowed",
                           MAX_SUFFIXES);
        g->suffix[g->n_suffixes++] = part;
    }
    return EL_OK;
}

static enum el_err check_bucket(const struct proxy_gateway *g, struct el_error *err)
{
    if (g->bucket[0] != '\0' && !is_name(el_str_of(g->bucket)))
        return el_fail(err, EL_ECONF, 0,
                       "storage.bucket = \"%s\": letters, digits, '-', '_' and '.' only",
                       g->bucket);
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
        rc = check_bucket(g, err);
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

static bool is_address(const struct el_url *host)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr address;

    if (host->is_ipv6)
        return true;
    if (host->host.n == 0 || host->host.n >= sizeof(text))
        return false;
    memcpy(text, host->host.p, host->host.n);
    text[host->host.n] = '\0';
    return inet_pton(AF_INET, text, &address) == 1;
}

static bool is_suffix(const struct proxy_gateway *g, struct el_str host)
{
    for (size_t i = 0; i < g->n_suffixes; i++) {
        if (el_str_ieq(host, g->suffix[i]))
            return true;
    }
    return false;
}

static bool has_upper_case(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            return true;
    }
    return false;
}

/*
 * Whether the Host, which is sent as the client signed it, selects nothing beyond what the origin
 * URL says: it is the origin's own name or none, or a bucket's as configured. Any other name the
 * origin may know as that of another bucket or site. Bucket names in a Host may be folded to lower
 * case there.
 */
static bool is_neutral(const struct proxy_gateway *g, const struct el_url *host,
                       struct el_str of_host)
{
    if (of_host.n > 0)
        return !has_upper_case(of_host);
    return host->host.n == 0 || is_address(host) || el_str_ieq(host->host, g->origin.host) ||
           is_suffix(g, host->host);
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

/*
 * "/bucket/key", kept in the memory behind the end of `url`: what is sent must live as long as the
 * route and is not the key, which is normalised.
 */
static struct el_str keep_behind(struct el_buf *url, struct el_str bytes)
{
    char *kept;

    el_buf_reserve(url, bytes.n + 1);
    kept = url->p + url->n + 1;
    memcpy(kept, bytes.p, bytes.n);
    return (struct el_str){ kept, bytes.n };
}

static enum el_err route_gateway(const struct proxy_gateway *g, const struct proxy_head *head,
                                 struct proxy_route *route, struct el_error *err)
{
    struct el_str bucket, of_host;
    struct el_buf path = { 0 };
    struct el_url host = { 0 };

    if (head->host.n > 0 && el_url_parse_authority(head->host, 80, &host, err) != EL_OK)
        return EL_EBADREQ;
    if (!g->is_set)
        return el_fail(err, EL_ENOORIGIN, 0,
                       "this is a proxy: ask for http://host/path, or set storage.endpoint to use "
                       "it as an endpoint");
    of_host = bucket_of_host(g, head->host);
    bucket = of_host.n > 0 ? of_host : el_str_of(g->bucket);
    route->kind = PROXY_ROUTE_GATEWAY;
    route->host_field = head->host;
    route->by_host = !is_neutral(g, &host, of_host);
    set_target(route, &g->origin);
    route->to.bucket = of_host;
    if (bucket.n > 0) {
        el_buf_add_byte(&path, '/');
        el_buf_add_str(&path, bucket);
    }
    el_buf_add_str(&path, head->target);
    el_url_write_key(&route->url, g->origin.is_https, g->origin.host, g->origin.port,
                     el_buf_str(&path));
    route->to.target =
        of_host.n == 0 && bucket.n > 0 ? keep_behind(&route->url, el_buf_str(&path)) : head->target;
    el_buf_deinit(&path);
    return EL_OK;
}

/* ---- forward and CONNECT ---- */

static bool is_same_authority(struct el_str host_field, const struct el_url *url)
{
    struct el_url host = { 0 };

    return el_url_parse_authority(host_field, url->is_https ? 443 : 80, &host, NULL) == EL_OK &&
           el_str_ieq(host.host, url->host) && host.port == url->port;
}

static struct el_str authority_of(struct el_str target)
{
    struct el_str rest = el_str_from(target, el_str_find(target, ':') + 3);

    return el_str_first(rest, el_str_find(rest, '/'));
}

static bool has_no_path(struct el_str target)
{
    struct el_str authority = authority_of(target);

    return authority.p + authority.n == target.p + target.n;
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
    /* RFC 9112 section 3.2.4: the last proxy turns OPTIONS without a path into OPTIONS *. */
    if (el_str_eq(head->method, EL_STR("OPTIONS")) && has_no_path(head->target))
        route->to.target = EL_STR("*");
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

/* ---- inside of an intercepted tunnel ---- */

/* The target as it is to be sent: what the tunnel was asked for cannot be left by naming another.
 */
static enum el_err target_inside(const struct proxy_head *head, const struct el_url *to,
                                 struct el_str *ret_target, struct el_error *err)
{
    struct el_url url;
    enum el_err rc;

    if (el_str_eq(head->method, EL_STR("CONNECT")))
        return el_fail(err, EL_EBADREQ, 0, "a CONNECT inside of an intercepted tunnel");
    if (head->target.n > 0 && (head->target.p[0] == '/' || el_str_eq(head->target, EL_STR("*")))) {
        *ret_target = head->target;
        return EL_OK;
    }
    rc = el_url_parse(head->target, &url, err);
    if (rc != EL_OK)
        return rc;
    if (!url.is_https || !el_str_ieq(url.host, to->host) || url.port != to->port)
        return el_fail(err, EL_EMISDIRECTED, 0, "the URL names another host than the tunnel");
    *ret_target = url.target;
    return EL_OK;
}

/*
 * Which host is meant, and is verified, is what CONNECT said. A Host that differs would be answered
 * by another site of the same server, and kept under this one's name: it is refused.
 */
static enum el_err route_inside(const struct proxy_head *head, struct proxy_route *route,
                                struct el_error *err)
{
    struct el_url to = { .is_https = true };
    struct el_str target = EL_STR("");
    enum el_err rc = el_url_parse_authority(head->inside, 0, &to, err);

    if (rc == EL_OK)
        rc = target_inside(head, &to, &target, err);
    if (rc != EL_OK)
        return rc;
    if (head->host.n > 0 && !is_same_authority(head->host, &to))
        return el_fail(err, EL_EMISDIRECTED, 0,
                       "the Host field names another host than the tunnel");
    if (el_str_eq(target, EL_STR("*")) && !el_str_eq(head->method, EL_STR("OPTIONS")))
        return el_fail(err, EL_EBADREQ, 0, "only OPTIONS may ask for *");
    to.target = target;
    route->kind = PROXY_ROUTE_FORWARD;
    route->host_field = head->host.n > 0 ? head->host : head->inside;
    set_target(route, &to);
    el_url_write_key(&route->url, true, to.host, to.port, target);
    return EL_OK;
}

/* ---- credentials ---- */

static struct el_str query_of(struct el_str target)
{
    return el_str_from(target, el_str_find(target, '?') + 1);
}

/* The value of `name` among "name=value" parts separated by `separator`; empty when there is none.
 */
static struct el_str parameter(struct el_str rest, char separator, struct el_str name)
{
    struct el_str part;

    while (el_str_split(&rest, separator, &part)) {
        size_t eq = el_str_find(part, '=');

        if (eq < part.n && el_str_ieq(el_str_trim(el_str_first(part, eq)), name))
            return el_str_trim(el_str_from(part, eq + 1));
    }
    return (struct el_str){ NULL, 0 };
}

/* Of "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=...", the like of OSS, or COS's query. */
static struct el_str signed_by_authorization(struct el_str value)
{
    struct el_str parts = el_str_from(value, el_str_find(value, ' ')), names;

    names = parameter(parts, ',', EL_STR("SignedHeaders"));
    if (names.n == 0)
        names = parameter(parts, ',', EL_STR("AdditionalHeaders"));
    return names.n > 0 ? names : parameter(value, '&', EL_STR("q-header-list"));
}

static struct el_str signed_by_query(struct el_str query, bool is_presigned)
{
    struct el_str names = { NULL, 0 };

    if (is_presigned)
        names = parameter(query, '&', EL_STR("X-Amz-SignedHeaders"));
    if (is_presigned && names.n == 0)
        names = parameter(query, '&', EL_STR("x-oss-additional-headers"));
    if (names.n == 0)
        names = parameter(query, '&', EL_STR("X-Goog-SignedHeaders"));
    return names.n > 0 ? names : parameter(query, '&', EL_STR("q-header-list"));
}

static bool is_among(struct el_str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (el_str_ieq(name, el_str_of(names[i])))
            return true;
    }
    return false;
}

static bool has_any(struct el_fieldv fields, bool (*is_it)(struct el_str name))
{
    for (size_t i = 0; i < fields.n; i++) {
        if (is_it(fields.v[i].name))
            return true;
    }
    return false;
}

/* By which many origins tell callers apart. */
static bool is_telling(struct el_str name)
{
    static const char *const names[] = { "Cookie", "X-Auth-Token", "X-Api-Key",
                                         "X-Amz-Security-Token", "X-Oss-Security-Token" };

    return is_among(name, names, EL_COUNT(names));
}

/* By which some may. Proxy-Authorization is for us, x-amz-meta-* for the object. */
static bool is_guessed(struct el_str name)
{
    static const char *const names[] = { "X-JFrog-Art-Api", "Remote-User", "X-Remote-User",
                                         "X-Forwarded-User" };

    return (el_url_names_secret(name) && !el_str_istarts(name, EL_STR("Proxy-")) &&
            !el_str_istarts(name, EL_STR("x-amz-")) && !el_str_istarts(name, EL_STR("x-oss-"))) ||
           is_among(name, names, EL_COUNT(names));
}

/* A customer's key decrypts for whoever shows it: the bytes are for him alone. */
static bool is_customers_key(struct el_str name)
{
    return el_str_istarts(name, EL_STR("x-amz-server-side-encryption-customer-")) ||
           el_str_istarts(name, EL_STR("x-oss-server-side-encryption-customer-"));
}

/*
 * Fields that frameworks take for the method, the path or the host in place of the real ones, and
 * one that Azure takes for Range.
 */
static bool is_misleading(struct el_str name)
{
    static const char *const names[] = {
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-HTTP-Method",
        "X-Original-Host",
        "X-Host",
        "X-Forwarded-Prefix",
        "X-HTTP-Host-Override",
        "x-ms-range",
    };

    return is_among(name, names, EL_COUNT(names));
}

/* What a proxy in front of us says of the request is fine as long as it is what we see ourselves.
 */
static bool is_contradicted(const struct proxy_head *head, const struct proxy_route *route)
{
    struct el_str value;

    if (el_fieldv_get(head->fields, EL_STR("X-Forwarded-Host"), &value) &&
        (el_fieldv_count(head->fields, EL_STR("X-Forwarded-Host")) > 1 ||
         !el_str_ieq(value, head->host)))
        return true;
    return route->kind == PROXY_ROUTE_FORWARD &&
           el_fieldv_get(head->fields, EL_STR("X-Forwarded-Proto"), &value) &&
           !el_str_ieq(value, route->to.scheme);
}

static bool is_led_astray(const struct proxy_head *head, const struct proxy_route *route)
{
    return has_any(head->fields, is_misleading) || has_any(head->fields, is_customers_key) ||
           is_contradicted(head, route) || proxy_headers_takes_away(head->fields);
}

static void find_credentials(const struct proxy_head *head, struct proxy_route *route)
{
    struct el_str authorization, query = query_of(route->to.target);
    bool has_authorization = el_fieldv_get(head->fields, EL_STR("Authorization"), &authorization);
    bool is_presigned = el_url_is_presigned(query);

    route->is_somebodys = has_authorization || is_presigned || has_any(head->fields, is_telling);
    route->has_credentials =
        route->is_somebodys || el_url_has_secret(query) || has_any(head->fields, is_guessed);
    if (has_authorization)
        route->signed_fields = signed_by_authorization(authorization);
    if (route->signed_fields.n == 0)
        route->signed_fields = signed_by_query(query, is_presigned);
    route->range_is_signed = proxy_route_signed_has(route, EL_STR("range")) &&
                             el_fieldv_has(head->fields, EL_STR("Range"));
}

bool proxy_route_signed_has(const struct proxy_route *route, struct el_str name)
{
    struct el_str rest = route->signed_fields;

    /* In a URL the separator is escaped: "host%3Brange". */
    while (rest.n > 0) {
        size_t semicolon = el_str_find(rest, ';'), percent = el_str_find(rest, '%');
        size_t cut = el_min_size(semicolon, percent);

        if (el_str_ieq(el_str_trim(el_str_first(rest, cut)), name))
            return true;
        rest = el_str_from(rest, cut + (percent < semicolon ? 3 : 1));
    }
    return false;
}

/* ---- what an answer names ---- */

static bool is_same_origin(const struct proxy_route *route, const struct el_url *url)
{
    bool is_https = el_str_eq(route->to.scheme, EL_STR("https"));
    struct el_url own = { 0 };

    if (url->is_https != is_https)
        return false;
    if (el_str_ieq(url->host, route->to.host) && url->port == route->to.port)
        return true;
    /* Behind a gateway the origin may call itself by the name that the client used. */
    return el_url_parse_authority(route->host_field, is_https ? 443 : 80, &own, NULL) == EL_OK &&
           el_str_ieq(url->host, own.host) && url->port == own.port;
}

static void write_key(const struct proxy_route *route, struct el_str target, struct el_buf *out)
{
    el_url_write_key(out, el_str_eq(route->to.scheme, EL_STR("https")), route->to.host,
                     route->to.port, target);
}

/* Whether the target that the origin sees is the path of the origin URL. */
static bool has_own_paths(const struct proxy_route *route)
{
    struct el_buf key = { 0 };
    bool same;

    write_key(route, route->to.target, &key);
    same = el_str_eq(el_buf_str(&key), el_buf_str(&route->url));
    el_buf_deinit(&key);
    return same;
}

static bool has_dot_segment(struct el_str path)
{
    struct el_str segment;

    while (el_str_split(&path, '/', &segment)) {
        if (el_str_eq(segment, EL_STR(".")) || el_str_eq(segment, EL_STR("..")))
            return true;
    }
    return false;
}

/* "/x", or "x" beside what was asked for. False: neither. */
static bool resolve_path(const struct proxy_route *route, struct el_str reference,
                         struct el_buf *target)
{
    struct el_str base = el_str_first(route->to.target, el_str_find(route->to.target, '?'));

    if (reference.n == 0 || reference.p[0] == '?' || el_str_starts(reference, EL_STR("//")) ||
        el_str_find(reference, ':') < el_str_find(reference, '/'))
        return false;
    if (reference.p[0] != '/') {
        while (base.n > 0 && base.p[base.n - 1] != '/')
            base.n--;
        el_buf_add_str(target, base);
    }
    el_buf_add_str(target, reference);
    return true;
}

bool proxy_route_related(const struct proxy_route *route, struct el_str reference,
                         struct el_buf *out)
{
    struct el_buf target = { 0 };
    struct el_str path;
    struct el_url url;
    bool is_related;

    reference = el_str_first(reference, el_str_find(reference, '#'));
    if (el_url_parse(reference, &url, NULL) == EL_OK) {
        is_related = is_same_origin(route, &url);
        el_buf_add_str(&target, url.target);
    } else {
        is_related = resolve_path(route, reference, &target);
    }
    path = el_str_first(el_buf_str(&target), el_str_find(el_buf_str(&target), '?'));
    is_related = is_related && !has_dot_segment(path) && has_own_paths(route);
    if (is_related)
        write_key(route, el_buf_str(&target), out);
    el_buf_deinit(&target);
    return is_related;
}

/* ---- a request ---- */

/* Max-Forwards means something in TRACE and OPTIONS only (RFC 9110 section 7.6.2). */
static enum el_err count_forwards(const struct proxy_head *head, struct proxy_route *route,
                                  struct el_error *err)
{
    bool is_trace = el_str_eq(head->method, EL_STR("TRACE"));
    struct el_str value;
    uint64_t hops;

    if ((!is_trace && !el_str_eq(head->method, EL_STR("OPTIONS"))) ||
        !el_fieldv_get(head->fields, EL_STR("Max-Forwards"), &value) ||
        !el_str_u64(value, MAX_HOPS, &hops))
        return EL_OK;
    if (hops > 0)
        route->max_forwards = (int64_t)hops - 1;
    else if (is_trace)
        return el_fail(err, EL_EUNSUPPORTED, 0, "TRACE is not answered by this proxy");
    else
        route->kind = PROXY_ROUTE_OPTIONS_STAR;
    return EL_OK;
}

static enum el_err route_star(const struct proxy_head *head, struct proxy_route *route,
                              struct el_error *err)
{
    route->kind = PROXY_ROUTE_OPTIONS_STAR;
    if (!el_str_eq(head->method, EL_STR("OPTIONS")))
        return el_fail(err, EL_EBADREQ, 0, "only OPTIONS may ask for *");
    return EL_OK;
}

enum el_err proxy_route_parse(const struct proxy_gateway *g, const struct proxy_head *head,
                              struct proxy_route *route, struct el_error *err)
{
    bool is_origin_form = head->target.n > 0 && head->target.p[0] == '/';
    struct el_buf url = route->url;
    enum el_err rc;

    el_buf_clear(&url);
    *route = (struct proxy_route){ .url = url, .max_forwards = -1 };
    if (head->inside.n == 0 && el_str_eq(head->method, EL_STR("CONNECT")))
        return route_connect(head, route, err);
    if (head->inside.n == 0 && el_str_eq(head->target, EL_STR("*")))
        return route_star(head, route, err);
    if (head->inside.n > 0)
        rc = route_inside(head, route, err);
    else
        rc = is_origin_form ? route_gateway(g, head, route, err) : route_forward(head, route, err);
    if (rc != EL_OK)
        return rc;
    find_credentials(head, route);
    route->is_led_astray = is_led_astray(head, route);
    return count_forwards(head, route, err);
}

enum el_err proxy_route_key(const struct proxy_gateway *g, struct el_str target, struct el_buf *out,
                            struct el_error *err)
{
    const struct proxy_head head = { .method = EL_STR("GET"), .target = target };
    struct proxy_route route = { 0 };
    enum el_err rc = proxy_route_parse(g, &head, &route, err);

    if (rc == EL_OK && route.kind == PROXY_ROUTE_OPTIONS_STAR)
        rc = el_fail(err, EL_EBADREQ, 0, "* names no object");
    if (rc == EL_OK)
        el_buf_add_str(out, el_buf_str(&route.url));
    el_buf_deinit(&route.url);
    return rc;
}
