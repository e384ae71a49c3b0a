/* SPDX-License-Identifier: MIT */
/*
 * sign: what the signatures of S3 (sigv4.h) and OSS (oss.h) have in common: a request as it is
 * signed, the canonical spelling of its parts, the dates, and the chain of keys of version 4.
 *
 * Pure: the time is handed in. Secrets are borrowed for the call and never copied to where they
 * would stay, nor into an error.
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"
#include "common/fields.h"
#include "common/sha256.h"

/* Bounds of what is looked at; a request beyond them is EL_ETOOLARGE and nothing is allocated. */
#define STORE_SIGN_MAX_TARGET     ((size_t)32 * 1024)
#define STORE_SIGN_MAX_REST       ((size_t)128 * 1024) /* fields and the rest together */
#define STORE_SIGN_MAX_PARAMETERS 128
#define STORE_SIGN_MAX_NAMES      64 /* of signed fields */
#define STORE_SIGN_MAX_SECRET     256
#define STORE_SIGN_MAX_EXPIRES_S  604800 /* of a presigned URL: a week */

/* How far the clocks of client and server may be apart, and how long a signed header lasts. */
#define STORE_SIGN_SKEW_S 900

struct store_sign_request {
    struct el_str method;
    struct el_str target;    /* origin-form, byte for byte as it is sent */
    struct el_fieldv fields; /* as they are sent */
    struct el_str host;      /* the Host, when it is not among the fields */
    struct el_str bucket;    /* OSS: the one that Host names; empty when the path begins with it */
};

/* EL_ETOOLARGE, or EL_EBADREQ for a target that does not begin with "/" or has a broken escape. */
enum el_err store_sign_check(const struct store_sign_request *req, struct el_error *err);
/*
 * A "+" that is not escaped is a space to some servers and itself to others, so it cannot be known
 * what was signed. Whoever verifies refuses it.
 */
bool store_sign_has_plus(struct el_str target);
/* Whether, decoded, it holds a control byte or this one: it would read as more than it is. */
bool store_sign_hides(struct el_str escaped, char byte);
struct el_str store_sign_path(struct el_str target);
struct el_str store_sign_query(struct el_str target); /* without "?"; p is NULL without one */

/* ---- spelling ---- */

/* Escapes all but RFC 3986's unreserved bytes, and "/" if it is not kept. */
void store_sign_add_encoded(struct el_buf *out, struct el_str bytes, bool keeps_slash);
void store_sign_add_decoded(struct el_buf *out, struct el_str escaped);
/* Decodes and encodes again, so that every spelling of the same bytes gives one. */
void store_sign_add_recoded(struct el_buf *out, struct el_str escaped, bool keeps_slash);
/* Decodes into `out` with a NUL; false when it does not fit or holds a NUL itself. */
bool store_sign_decode(struct el_str escaped, char *out, size_t out_bytes);
void store_sign_add_lower(struct el_buf *out, struct el_str s);
void store_sign_add_base64(struct el_buf *out, const uint8_t *bytes, size_t n);
bool store_sign_unhex(struct el_str hex, uint8_t *out, size_t n);

/* ---- the query ---- */

/* False when there is not exactly one of that name. */
bool store_sign_parameter(struct el_str query, const char *name, struct el_str *ret_value);
bool store_sign_has_parameter(struct el_str query, const char *name);
/*
 * Every parameter but `without` (NULL: none), recoded and sorted by name, then value. One without a
 * value is "name=", or "name" when is_bare.
 */
enum el_err store_sign_add_query(struct el_buf *out, struct el_str query, const char *without,
                                 bool is_bare, struct el_error *err);

/* Appends "?name=value" or "&name=value", the value encoded. */
void store_sign_add_parameter(struct el_buf *target, const char *name, struct el_str value);

/* ---- header fields ---- */

/* Names of fields, in order of their lower-case form, each once. Borrowed from where they stand. */
struct store_sign_names {
    size_t n;
    struct el_str v[STORE_SIGN_MAX_NAMES];
};

/* False when there is no room. */
bool store_sign_names_add(struct store_sign_names *names, struct el_str name);
bool store_sign_names_has(const struct store_sign_names *names, struct el_str name);
/* "host;range;x-amz-date": lower-case, ascending, none twice. */
bool store_sign_names_parse(struct store_sign_names *names, struct el_str list);
/* Every field whose name begins with the prefix. */
bool store_sign_names_collect(struct store_sign_names *names, struct el_fieldv fields,
                              const char *prefix);
void store_sign_names_write(const struct store_sign_names *names, struct el_buf *out);
/*
 * "name:value\n", the values of fields of one name joined by commas, each trimmed and with
 * `collapses` every run of blanks made one space. False when there is no such field.
 */
bool store_sign_add_field(struct el_buf *out, const struct store_sign_request *req,
                          struct el_str name, bool collapses);

/* ---- time: seconds since 1970 ---- */

#define STORE_SIGN_TIME_BYTES      17 /* "20130524T000000Z" */
#define STORE_SIGN_HTTP_DATE_BYTES 30 /* "Fri, 24 May 2013 00:00:00 GMT" */

void store_sign_time_write(int64_t s, char out[STORE_SIGN_TIME_BYTES]);
bool store_sign_time_read(struct el_str text, int64_t *ret_s);
void store_sign_http_date_write(int64_t s, char out[STORE_SIGN_HTTP_DATE_BYTES]);
bool store_sign_http_date_read(struct el_str text, int64_t *ret_s);

/* ---- version 4: what AWS4-HMAC-SHA256 and OSS4-HMAC-SHA256 share ---- */

struct store_sign_dialect {
    const char *algorithm, *key_prefix, *terminator;
};

#define STORE_SIGN_KEY_ID_BYTES 129

struct store_sign_scope {
    char date[9]; /* "20130524" */
    char region[65];
    char service[33];
};

/*
 * The key for one day, region and service, derived from a secret that cannot be had back from it:
 * what a node may keep to verify with.
 */
struct store_sign_key {
    struct store_sign_scope scope;
    uint8_t key[EL_SHA256_BYTES];
};

/* EL_EINVAL when region or service are empty, too long, or hold what a scope cannot. */
enum el_err store_sign_scope_make(int64_t now_s, struct el_str region, struct el_str service,
                                  struct store_sign_scope *ret_scope, struct el_error *err);
bool store_sign_scope_is_same(const struct store_sign_scope *a, const struct store_sign_scope *b);
/* EL_EINVAL for an empty secret and for one longer than STORE_SIGN_MAX_SECRET. */
enum el_err store_sign_key_derive(const struct store_sign_dialect *d, struct el_str secret,
                                  const struct store_sign_scope *scope,
                                  struct store_sign_key *ret_key, struct el_error *err);
/* The id of a key, as far as a credential can hold it. */
bool store_sign_is_key_id(struct el_str id);
/* "id/date/region/service/terminator" */
void store_sign_add_credential(struct el_buf *out, const struct store_sign_dialect *d,
                               struct el_str key_id, const struct store_sign_scope *scope);
bool store_sign_credential_parse(const struct store_sign_dialect *d, struct el_str text,
                                 char ret_key_id[STORE_SIGN_KEY_ID_BYTES],
                                 struct store_sign_scope *ret_scope);
/* The signature of a canonical request. */
void store_sign_v4(const struct store_sign_dialect *d, const struct store_sign_key *key,
                   int64_t time_s, struct el_str canonical, uint8_t ret_mac[EL_SHA256_BYTES]);

/*
 * "algorithm Name=value,Name=value": the values of exactly these names, each at most once; ret_v[i]
 * has p NULL when names[i] is not there. False for anything else.
 */
bool store_sign_authorization_parse(const struct store_sign_dialect *d, struct el_str value,
                                    const char *const *names, size_t n, struct el_str *ret_v);

/* EL_EFORBIDDEN before `from_s` less the skew, and after `until_s`. */
enum el_err store_sign_check_time(int64_t from_s, int64_t until_s, int64_t now_s,
                                  struct el_error *err);
