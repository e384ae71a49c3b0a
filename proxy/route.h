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
 *
 * Pure. Slices of the route point into the head, the gateway, or nothing that can move.
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
    struct el_buf url; /* origin URL; the caller deinitialises it, and may pass one to be reused */
    bool has_credentials; /* Authorization, a signing query, or a cookie */
    bool range_is_signed; /* the signature covers Range: it can be sent as it is or not at all */
    struct el_str signed_fields; /* "host;range;x-amz-date", empty when the signature names none */
};

enum el_err proxy_route_parse(const struct proxy_gateway *g, const struct proxy_head *head,
                              struct proxy_route *route, struct el_error *err);

/* Whether the client's signature covers the field. */
bool proxy_route_signed_has(const struct proxy_route *route, struct el_str name);
