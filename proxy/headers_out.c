/* SPDX-License-Identifier: MIT */
/* headers_out: see headers_out.h. */
#include "proxy/headers_out.h"

static bool is_one_of(struct el_str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (el_str_ieq(name, el_str_of(names[i])))
            return true;
    }
    return false;
}

/* Connection cannot take these away: a client could use it to strip what others rely on. */
static bool is_essential(struct el_str name)
{
    static const char *const names[] = {
        "Host",          "Content-Length",
        "Content-Type",  "Content-Encoding",
        "Content-Range", "Cache-Control",
        "Authorization", "Range",
        "Date",          "Age",
        "Expires",       "ETag",
        "Last-Modified", "Vary",
        "Via",           "Cookie",
        "Set-Cookie",    "Accept-Encoding",
        "Max-Forwards",  "CDN-Cache-Control",
    };

    return is_one_of(name, names, EL_COUNT(names)) || el_str_istarts(name, EL_STR("x-amz-")) ||
           el_str_istarts(name, EL_STR("x-oss-")) || el_str_istarts(name, EL_STR("If-"));
}

/* RFC 9110 section 7.6.1, and the framing, which each connection has of its own. */
static bool is_always_hop(struct el_str name)
{
    static const char *const names[] = {
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Content-Length",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Authentication-Info",
    };

    return is_one_of(name, names, EL_COUNT(names));
}

bool proxy_headers_is_hop(struct el_fieldv all, struct el_str name)
{
    return is_always_hop(name) ||
           (!is_essential(name) && el_fieldv_has_token(all, EL_STR("Connection"), name));
}

/* "Upgrade, HTTP2-Settings" is what a client says who could speak HTTP/2: no origin selects by it.
 */
static bool is_of_connection(struct el_str name)
{
    return is_always_hop(name) || el_str_ieq(name, EL_STR("HTTP2-Settings"));
}

bool proxy_headers_takes_away(struct el_fieldv client)
{
    struct el_list_cursor c = { 0 };
    struct el_str name;

    while (el_fieldv_member(client, EL_STR("Connection"), &c, &name)) {
        if (!is_of_connection(name) && !is_essential(name) && el_fieldv_has(client, name))
            return true;
    }
    return false;
}

/* Whether the client's field ends here. What is signed goes on, whatever Connection says of it. */
static bool ends_here(struct el_fieldv client, const struct proxy_route *route, struct el_str name)
{
    if (el_str_ieq(name, EL_STR("Host")) || el_str_ieq(name, EL_STR("Expect")))
        return true;
    if (el_str_ieq(name, EL_STR("Max-Forwards")) && route->max_forwards >= 0)
        return true;
    return proxy_headers_is_hop(client, name) &&
           (is_always_hop(name) || !proxy_route_signed_has(route, name));
}

static void add_own(const struct proxy_route *route, struct el_str via_token, struct el_fields *out)
{
    struct el_buf value = { 0 };

    el_buf_add_str(&value, EL_STR("1.1 "));
    el_buf_add_str(&value, via_token);
    el_fields_add(out, EL_STR("Via"), el_buf_str(&value));
    if (route->max_forwards >= 0) {
        el_buf_clear(&value);
        el_buf_add_u64(&value, (uint64_t)route->max_forwards);
        el_fields_add(out, EL_STR("Max-Forwards"), el_buf_str(&value));
    }
    el_buf_deinit(&value);
}

void proxy_headers_request(struct el_fieldv client, const struct proxy_route *route,
                           struct el_str via_token, struct el_fields *out)
{
    if (route->host_field.n > 0)
        el_fields_add(out, EL_STR("Host"), route->host_field);
    for (size_t i = 0; i < client.n; i++) {
        if (!ends_here(client, route, client.v[i].name))
            el_fields_add(out, client.v[i].name, client.v[i].value);
    }
    add_own(route, via_token, out);
}

bool proxy_headers_is_checksum(struct el_str name)
{
    return el_str_ieq(name, EL_STR("Content-MD5")) || el_str_ieq(name, EL_STR("Content-Digest")) ||
           el_str_istarts(name, EL_STR("x-amz-checksum-"));
}

bool proxy_headers_is_of_whole(struct el_str name)
{
    return el_str_ieq(name, EL_STR("Content-Range")) || proxy_headers_is_checksum(name);
}

void proxy_headers_response(struct el_fieldv origin, bool is_cut, struct el_buf *out)
{
    for (size_t i = 0; i < origin.n; i++) {
        const struct el_field *f = &origin.v[i];

        if (proxy_headers_is_hop(origin, f->name) || (is_cut && proxy_headers_is_of_whole(f->name)))
            continue;
        el_buf_add_str(out, f->name);
        el_buf_add_str(out, EL_STR(": "));
        el_buf_add_str(out, f->value);
        el_buf_add_str(out, EL_STR("\r\n"));
    }
}
