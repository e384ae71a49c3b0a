/* SPDX-License-Identifier: MIT */
/*
 * route: what a request is for. A head becomes: where to connect, what to send there, and the
 * origin URL under which the object is known, the same however it was asked for.
 *
 *   GET http://host/path        forward proxy (RFC 9112 section 3.2.2)
 *   GET /bucket/key             gateway: an object of storage.endpoint, path style
 *   GET /key, Host: bucket.sfx  gateway, virtual-host style; the same origin URL
 *   CONNECT host:port           tunnel
 *   OPTIONS *                   about the proxy itself
 *   GET /path                   inside of an intercepted tunnel to host:port:
 * https://host:port/path
 *
 * Pure. Slices of the route point into the head, the gateway, or the memory of its own `url`.
 */
#pragma once

#include "common/err.h"
#include "proxy/stream.h"
#include "storage/storage.h"

enum proxy_route_kind {
    PROXY_ROUTE_FORWARD,
    PROXY_ROUTE_GATEWAY,
    PROXY_ROUTE_CONNECT,
    PROXY_ROUTE_OPTIONS_STAR,
};

/* The origin behind origin-form requests. Immutable. */
struct proxy_gateway;

/*
 * endpoint: "http://host[:port]" or "https://...", "" for none; bucket: "" or the one bucket whose
 * keys the paths are; suffixes: comma separated host names. Errors name what is wrong with which.
 */
enum el_err proxy_gateway_new(const char *endpoint, const char *bucket, const char *suffixes,
                              struct proxy_gateway **ret_gateway, struct el_error *err);
void proxy_gateway_free(struct proxy_gateway *g); /* NULL is fine */

struct proxy_route {
    enum proxy_route_kind kind;
    struct store_target to;
    struct el_str host_field; /* the Host to send, as the client signed it; empty: made from `to` */
    bool by_host; /* gateway: the origin may take the Host for the name of something else, such as
                     another bucket. What it answers then is good for this Host only */
    struct el_buf url; /* origin URL; the caller deinitialises it, and may pass one to be reused.
                          Not to be appended to: `to.target` may lie behind its end */
    bool
        has_credentials; /* what the origin answers may depend on who asks: Authorization, a signing
                            query, a cookie, a token, or a field that redirects the origin itself */
    bool is_somebodys;   /* of these, such as an origin looks at: not what is only a likely name */
    bool is_led_astray;  /* a field may make the origin answer for something else than the url says:
                             the cache has no part in it */
    bool range_is_signed; /* the signature covers Range: it can be sent as it is or not at all */
    struct el_str signed_fields; /* "host;range;x-amz-date", empty when the signature names none */
    int64_t max_forwards; /* to send in Max-Forwards (RFC 9110 section 7.6.2); -1: leave it alone */
};

/*
 * EL_EBADREQ: the target is malformed. EL_ENOORIGIN: an origin-form request, and no endpoint.
 * EL_EMISDIRECTED: inside of an intercepted tunnel, and for another host. EL_EUNSUPPORTED: a TRACE
 * that ends here. OPTIONS with Max-Forwards: 0 is about the proxy itself.
 *
 * The target is sent byte for byte as it came, but for one case: with storage.bucket set, a request
 * that does not name a bucket by its Host is sent as "/bucket" and its target, so that what is
 * asked of the origin is what the origin URL says. (A SigV4 signature covers the path: such a
 * client has to name the bucket itself.)
 */
enum el_err proxy_route_parse(const struct proxy_gateway *g, const struct proxy_head *head,
                              struct proxy_route *route, struct el_error *err);

/*
 * The origin URL of what a GET of `target` asks for: a URL, or a path of the gateway. Appended to
 * `out`. EL_EBADREQ and EL_ENOORIGIN as above.
 */
enum el_err proxy_route_key(const struct proxy_gateway *g, struct el_str target, struct el_buf *out,
                            struct el_error *err);

/*
 * The origin URL that a Location or Content-Location names in an answer to this route's request
 * (RFC 3986 section 5.2), appended to `out`. False, and nothing appended, when it is none of the
 * same origin: no answer says anything about another's. Dot segments and bare queries are not
 * resolved, nor are paths where ours differ from the origin's (virtual hosts, storage.bucket).
 */
bool proxy_route_related(const struct proxy_route *route, struct el_str reference,
                         struct el_buf *out);

/*
 * Whether the client's signature covers the field: SignedHeaders of AWS signature version 4 and the
 * like of Google, AdditionalHeaders of OSS version 4, q-header-list of COS, in Authorization or in
 * the query. Older signatures cover no field that this proxy would change.
 */
bool proxy_route_signed_has(const struct proxy_route *route, struct el_str name);
