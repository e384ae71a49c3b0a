/* SPDX-License-Identifier: MIT */
/*
 * headers_out: which fields go on, and which end here (RFC 9110 section 7.6). What a client signed
 * is forwarded byte for byte; the proxy adds Via and removes only what belongs to one connection.
 * Pure.
 */
#pragma once

#include "common/fields.h"
#include "proxy/route.h"

/* The client's fields for the origin: end-to-end ones in their order, Host by the route, Via added.
 */
void proxy_headers_request(struct el_fieldv client, const struct proxy_route *route,
                           struct el_str via_token, struct el_fields *out);
/*
 * The origin's fields for the client, as "Name: value\r\n" lines; without the framing, which the
 * stream makes. without_range: Content-Range is left out too, because the caller writes its own.
 */
void proxy_headers_response(struct el_fieldv origin, bool without_range, struct el_buf *out);

/*
 * Whether the field belongs to this connection only, among `all` of its message: by its nature, or
 * because Connection names it; but what others rely on cannot be named away.
 */
bool proxy_headers_is_hop(struct el_fieldv all, struct el_str name);
