/* SPDX-License-Identifier: MIT */
/*
 * url: http and https URLs as a proxy needs them: split strictly (RFC 3986, RFC 9110 section 4.2),
 * and written as the *origin URL* under which an object is known, without what only signs the
 * request.
 *
 * Pure. Slices point into the text that was parsed.
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"

struct el_url {
    bool is_https;
    struct el_str host;   /* as written; an IPv6 literal without its brackets */
    bool is_ipv6;         /* the host was in brackets */
    uint16_t port;        /* the scheme's default when there is none */
    struct el_str target; /* path and query, byte for byte; "/" when the path is empty */
};

/*
 * "http://host[:port][/path][?query]", the scheme in any case. EL_EBADREQ for other schemes,
 * userinfo (RFC 9110 section 4.2.4), fragments, bad hosts and ports, and for bytes that no URL may
 * hold. A query right after the host ("http://h?q") has no path that could be sent as it is:
 * refused.
 */
enum el_err el_url_parse(struct el_str text, struct el_url *ret_url, struct el_error *err);
/*
 * "host:port" or "host" (Host field, CONNECT); fills host, is_ipv6 and port. The port is
 * default_port when absent; 0 there means it must be present.
 */
enum el_err el_url_parse_authority(struct el_str text, uint16_t default_port,
                                   struct el_url *ret_url, struct el_error *err);

/* Whether the query carries a signature: of S3 (V2, V4) or OSS (V1, V4). */
bool el_url_is_presigned(struct el_str query);

/*
 * Whether a parameter of that name, or a field of a request, is likely to be a secret that tells
 * who asks: "X-Auth-Token", "sig", "api_key". Guessed generously: who is wrongly taken for somebody
 * is asked about once more.
 */
bool el_url_names_secret(struct el_str name);
/* Whether the query has one; names may be escaped in it. */
bool el_url_has_secret(struct el_str query);

/*
 * The URL as a log may show it: without user and password, the values of secrets masked, escaped,
 * and at most 4 KiB of it.
 */
void el_url_write_shown(struct el_buf *out, struct el_str url);

/*
 * The origin URL: scheme, host in lower case, port unless default, path byte for byte except that
 * the hex digits of %-escapes become upper case, and the query in order. Of a presigned query the
 * parameters that only sign are left out. Without a signature the same names are kept: at some
 * other origin they may select content, or be what admits the caller.
 */
void el_url_write_key(struct el_buf *out, bool is_https, struct el_str host, uint16_t port,
                      struct el_str target);
