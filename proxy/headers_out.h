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
 * stream makes. is_cut: only a part of those bytes is sent, so Content-Range, of which the caller
 * writes its own, and checksums of the body are left out too.
 */
void proxy_headers_response(struct el_fieldv origin, bool is_cut, struct el_buf *out);
/* Whether the field is left out of a part: Content-Range, or a checksum. */
bool proxy_headers_is_of_whole(struct el_str name);

/*
 * Whether the field is a checksum of the very bytes of its message, which says nothing of a part of
 * them. (Repr-Digest, ETag and x-oss-hash-crc64ecma are of the whole wherever they stand.)
 */
bool proxy_headers_is_checksum(struct el_str name);

/*
 * Whether Connection names a field of the request that is none of the connection: it ends here, and
 * so the origin does not see what the client seems to have asked with.
 */
bool proxy_headers_takes_away(struct el_fieldv client);

/*
 * Whether the field belongs to this connection only, among `all` of its message: by its nature, or
 * because Connection names it; but what others rely on cannot be named away.
 */
bool proxy_headers_is_hop(struct el_fieldv all, struct el_str name);
