/* SPDX-License-Identifier: MIT */
/* url: see url.h. Which parameters only sign is stated by AWS ("Authenticating Requests: Using
 * Query Parameters", and signature version 2) and by Alibaba Cloud OSS ("Add signatures to URLs",
 * V1 and V4). */
#include "common/url.h"

#include <arpa/inet.h>

#define MAX_HOST        255  /* of a DNS name in text */
#define MAX_SHOWN_BYTES 4096 /* of a URL in a log */

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static bool all_bytes(struct el_str s, bool (*is_fine)(char))
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_fine(s.p[i]))
            return false;
    }
    return s.n > 0;
}

static bool is_ipv6_literal(struct el_str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (s.n >= sizeof(text) || el_str_find(s, '\0') < s.n)
        return false;
    if (s.n > 0)
        memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

/* Visible ASCII without '#': more than RFC 3986 allows, as much as servers and clients use. */
static bool is_target_byte(char c)
{
    return c > 0x20 && c < 0x7f && c != '#';
}

static enum el_err refuse(struct el_error *err, const char *what)
{
    return el_fail(err, EL_EBADREQ, 0, "%s", what);
}

/* What stands before the port; *ret_rest is empty or begins with the colon. */
static enum el_err split_host(struct el_str text, struct el_url *url, struct el_str *ret_rest,
                              struct el_error *err)
{
    size_t end = el_str_find(text, ':');

    url->is_ipv6 = text.n > 0 && text.p[0] == '[';
    if (url->is_ipv6) {
        end = el_str_find(text, ']');
        if (end == text.n)
            return refuse(err, "the host has an opening bracket only");
        url->host = el_str_from(el_str_first(text, end), 1);
        end++;
    } else {
        url->host = el_str_first(text, end);
    }
    *ret_rest = el_str_from(text, end);
    if (ret_rest->n > 0 && ret_rest->p[0] != ':')
        return refuse(err, "something other than a port follows the host");
    if (url->is_ipv6 ? !is_ipv6_literal(url->host)
                     : url->host.n > MAX_HOST || !all_bytes(url->host, is_host_byte))
        return refuse(err, "the host is empty, or is no host name and no address");
    return EL_OK;
}

enum el_err el_url_parse_authority(struct el_str text, uint16_t default_port,
                                   struct el_url *ret_url, struct el_error *err)
{
    struct el_url url = { 0 };
    uint64_t number = default_port;
    struct el_str rest = { NULL, 0 }, port;
    enum el_err rc = split_host(text, &url, &rest, err);

    if (rc != EL_OK)
        return rc;
    /* "host:" means the default port (RFC 3986 section 3.2.3). */
    port = el_str_from(rest, 1);
    if (port.n > 0 && (!el_str_u64(port, 65535, &number) || number == 0))
        return refuse(err, "the port is not a number from 1 to 65535");
    if (number == 0)
        return refuse(err, "the port is missing");
    ret_url->host = url.host;
    ret_url->is_ipv6 = url.is_ipv6;
    ret_url->port = (uint16_t)number;
    return EL_OK;
}

enum el_err el_url_parse(struct el_str text, struct el_url *ret_url, struct el_error *err)
{
    struct el_url url = { .is_https = el_str_istarts(text, EL_STR("https://")) };
    struct el_str authority;
    size_t slash;
    enum el_err rc;

    if (!url.is_https && !el_str_istarts(text, EL_STR("http://")))
        return refuse(err, "only http:// and https:// are spoken here");
    text = el_str_from(text, url.is_https ? 8 : 7);
    slash = el_str_find(text, '/');
    authority = el_str_first(text, slash);
    url.target = slash == text.n ? EL_STR("/") : el_str_from(text, slash);
    if (el_str_find(authority, '@') < authority.n)
        return refuse(err, "user names in URLs are not accepted");
    rc = el_url_parse_authority(authority, url.is_https ? 443 : 80, &url, err);
    if (rc != EL_OK)
        return rc;
    if (!all_bytes(url.target, is_target_byte))
        return refuse(err, "the path or query holds a byte that must be percent-encoded");
    *ret_url = url;
    return EL_OK;
}

/* ---- the query ---- */

static bool is_one_of(struct el_str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (el_str_ieq(name, el_str_of(names[i])))
            return true;
    }
    return false;
}

static bool is_signing_name(struct el_str name)
{
    static const char *const names[] = {
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "x-oss-signature",
        "x-oss-signature-version",
        "x-oss-date",
        "x-oss-expires",
        "x-oss-credential",
        "x-oss-security-token",
        "x-oss-additional-headers",
        "security-token",
        "AWSAccessKeyId",
        "OSSAccessKeyId",
    };

    return is_one_of(name, names, EL_COUNT(names));
}

/* These sign only beside an access key id; alone they may select content. */
static bool is_signing_beside_key(struct el_str name)
{
    return el_str_eq(name, EL_STR("Signature")) || el_str_eq(name, EL_STR("Expires"));
}

/*
 * "x-id=GetObject": the SDK for JavaScript notes the operation, which the method and the rest of
 * the query say as well. With any other value it is somebody else's parameter.
 */
static bool is_operation_note(struct el_str parameter)
{
    static const char *const notes[] = {
        "x-id=GetObject",  "x-id=HeadObject", "x-id=PutObject",   "x-id=DeleteObject",
        "x-id=UploadPart", "x-id=CopyObject", "x-id=ListObjects", "x-id=ListObjectsV2",
    };

    for (size_t i = 0; i < EL_COUNT(notes); i++) {
        if (el_str_eq(parameter, el_str_of(notes[i])))
            return true;
    }
    return false;
}

static struct el_str name_of(struct el_str parameter)
{
    return el_str_first(parameter, el_str_find(parameter, '='));
}

static bool has_parameter(struct el_str query, bool (*matches)(struct el_str name))
{
    struct el_str parameter;

    while (el_str_split(&query, '&', &parameter)) {
        if (matches(name_of(parameter)))
            return true;
    }
    return false;
}

static bool is_key_id(struct el_str name)
{
    return el_str_eq(name, EL_STR("AWSAccessKeyId")) || el_str_eq(name, EL_STR("OSSAccessKeyId"));
}

static bool is_signature(struct el_str name)
{
    return is_key_id(name) || el_str_ieq(name, EL_STR("X-Amz-Signature")) ||
           el_str_ieq(name, EL_STR("x-oss-signature"));
}

bool el_url_is_presigned(struct el_str query)
{
    return has_parameter(query, is_signature);
}

/* ---- secrets ---- */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Whether `name` goes on with `word`; "_" is as good as "-", or as nothing. */
static bool goes_on_with(struct el_str name, struct el_str word)
{
    size_t k = 0;

    for (size_t i = 0; i < name.n && k < word.n; i++) {
        char c = name.p[i];

        if (c == '_' || c == '-')
            continue;
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != word.p[k])
            return false;
        k++;
    }
    return k == word.n;
}

bool el_url_names_secret(struct el_str name)
{
    static const char *const words[] = {
        "token",  "secret",   "signature",  "apikey", "accesskey",
        "passwd", "password", "credential", "xauth",  "keypairid"
    };
    static const char *const names[] = { "sig", "sign", "hmac", "GoogleAccessId", "temp_url_sig" };

    for (size_t i = 0; i < name.n; i++) {
        if (strchr("tscapkxTSCAPKX", name.p[i]) == NULL)
            continue;
        for (size_t k = 0; k < EL_COUNT(words); k++) {
            if (goes_on_with(el_str_from(name, i), el_str_of(words[k])))
                return true;
        }
    }
    return is_one_of(name, names, EL_COUNT(names));
}

static int hex_of(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* An escaped letter is a letter to whoever looks for a signature. */
static void add_unescaped(struct el_buf *out, struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool is_escape = s.p[i] == '%' && s.n - i > 2 && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2]);

        el_buf_add_byte(out,
                        is_escape ? (char)(hex_of(s.p[i + 1]) * 16 + hex_of(s.p[i + 2])) : s.p[i]);
        i += is_escape ? 2 : 0;
    }
}

/* "%53ignature" opens the same door as "Signature". */
static bool is_secret(struct el_str parameter)
{
    struct el_buf name = { 0 };
    bool is;

    add_unescaped(&name, name_of(parameter));
    is = el_url_names_secret(el_buf_str(&name));
    el_buf_deinit(&name);
    return is;
}

bool el_url_has_secret(struct el_str query)
{
    struct el_str parameter;

    while (el_str_split(&query, '&', &parameter)) {
        if (is_secret(parameter))
            return true;
    }
    return false;
}

/* ---- for a log ---- */

/* "http://user:password@host/path" loses what stands before the '@'. */
static void show_before_query(struct el_buf *out, struct el_str s)
{
    size_t colon = el_str_find(s, ':');
    struct el_str scheme = el_str_first(s, colon), rest = el_str_from(s, colon);
    struct el_str authority;
    size_t at = 0;

    if (!el_str_starts(rest, EL_STR("://"))) {
        el_buf_add_visible(out, s);
        return;
    }
    rest = el_str_from(rest, 3);
    authority = el_str_first(rest, el_str_find(rest, '/'));
    for (size_t i = 0; i < authority.n; i++) {
        if (authority.p[i] == '@')
            at = i + 1;
    }
    el_buf_add_visible(out, scheme);
    el_buf_add_str(out, at > 0 ? EL_STR("://***@") : EL_STR("://"));
    el_buf_add_visible(out, el_str_from(rest, at));
}

/* It says where a listing of S3 goes on, and opens nothing: whoever reads a log wants to see it. */
static bool is_place_in_list(struct el_str name)
{
    return el_str_eq(name, EL_STR("continuation-token"));
}

static void show_query(struct el_buf *out, struct el_str query)
{
    struct el_str parameter;
    char before = '?';

    while (el_str_split(&query, '&', &parameter)) {
        struct el_str name = name_of(parameter);

        el_buf_add_byte(out, before);
        before = '&';
        if (name.n < parameter.n && is_secret(parameter) && !is_place_in_list(name)) {
            el_buf_add_visible(out, name);
            el_buf_add_str(out, EL_STR("=***"));
        } else {
            el_buf_add_visible(out, parameter);
        }
    }
}

void el_url_write_shown(struct el_buf *out, struct el_str url)
{
    struct el_str shown = el_str_first(url, MAX_SHOWN_BYTES);
    size_t query_at = el_str_find(shown, '?');

    show_before_query(out, el_str_first(shown, query_at));
    if (query_at < shown.n)
        show_query(out, el_str_from(shown, query_at + 1));
    if (shown.n < url.n)
        el_buf_add_str(out, EL_STR("..."));
}

/* ---- the key ---- */

static char upper(char c)
{
    return c >= 'a' && c <= 'f' ? (char)(c - 'a' + 'A') : c;
}

static void add_normalised(struct el_buf *out, struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool is_escape = s.p[i] == '%' && i + 2 < s.n && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2]);

        el_buf_add_byte(out, s.p[i]);
        if (is_escape) {
            el_buf_add_byte(out, upper(s.p[i + 1]));
            el_buf_add_byte(out, upper(s.p[i + 2]));
            i += 2;
        }
    }
}

static void add_query(struct el_buf *out, struct el_str query)
{
    bool is_presigned = el_url_is_presigned(query);
    bool has_key_id = has_parameter(query, is_key_id);
    struct el_str parameter;
    char separator = '?';

    while (el_str_split(&query, '&', &parameter)) {
        struct el_str name = name_of(parameter);

        if ((is_presigned && is_signing_name(name)) ||
            (has_key_id && is_signing_beside_key(name)) || is_operation_note(parameter))
            continue;
        el_buf_add_byte(out, separator);
        add_normalised(out, parameter);
        separator = '&';
    }
}

static void add_host(struct el_buf *out, struct el_str host)
{
    bool is_ipv6 = el_str_find(host, ':') < host.n;

    if (is_ipv6)
        el_buf_add_byte(out, '[');
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];

        el_buf_add_byte(out, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    if (is_ipv6)
        el_buf_add_byte(out, ']');
}

void el_url_write_key(struct el_buf *out, bool is_https, struct el_str host, uint16_t port,
                      struct el_str target)
{
    size_t question = el_str_find(target, '?');

    el_buf_add_str(out, is_https ? EL_STR("https://") : EL_STR("http://"));
    add_host(out, host);
    if (port != (is_https ? 443 : 80)) {
        el_buf_add_byte(out, ':');
        el_buf_add_u64(out, port);
    }
    add_normalised(out, el_str_first(target, question));
    if (question < target.n)
        add_query(out, el_str_from(target, question + 1));
}
