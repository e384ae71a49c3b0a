/* SPDX-License-Identifier: MIT */
/*
 * signature: one small reader for each kind of signature. What is there twice, or both in the
 * query and in Authorization, is not known here: two readers could take it for different things.
 */
#include "proxy/signature.h"

#include "proxy/date.h"

/* How long a signed Authorization lasts at S3 and OSS. */
#define HEADER_LASTS_MS ((int64_t)15 * 60 * 1000)
/* A week is the longest that version 4 allows; the older ones name the end itself. */
#define MAX_EXPIRES_S ((uint64_t)7 * 86400)
#define MAX_UNIX_S    ((uint64_t)253402300799)

/* ---- reading ---- */

static struct el_str query_of(struct el_str target)
{
    return el_str_from(target, el_str_find(target, '?') + 1);
}

/* False when there is not exactly one of that name, in any case. */
static bool parameter(struct el_str query, struct el_str name, struct el_str *ret_value)
{
    struct el_str part;
    size_t found = 0;

    while (el_str_split(&query, '&', &part)) {
        size_t eq = el_str_find(part, '=');

        if (!el_str_ieq(el_str_first(part, eq), name))
            continue;
        *ret_value = el_str_from(part, eq + 1);
        found++;
    }
    return found == 1;
}

static bool field(struct el_fieldv fields, struct el_str name, struct el_str *ret_value)
{
    return el_fieldv_count(fields, name) == 1 && el_fieldv_get(fields, name, ret_value);
}

/* "20130524T000000Z" or a date of HTTP. */
static bool time_ms(struct el_str text, int64_t now_ms, int64_t *ret_ms)
{
    return proxy_date_compact_parse(text, ret_ms) || proxy_date_parse(text, now_ms, ret_ms);
}

/* The id in front of a separator; in a query "/" is escaped. */
static struct el_str id_before(struct el_str text, const char *separators)
{
    size_t n = 0;

    while (n < text.n && strchr(separators, text.p[n]) == NULL)
        n++;
    return el_str_first(text, n);
}

static void set(struct proxy_signature *c, struct el_str key_id, int64_t until_ms)
{
    *c = (struct proxy_signature){ .is_known = key_id.n > 0,
                                   .key_id = key_id,
                                   .until_ms = until_ms };
}

/* ---- in the query ---- */

/* The names of version 4's parameters. */
struct v4_names {
    struct el_str credential, date, expires, signature;
};

/* Version 4: when it was signed, and for how long. */
static bool read_query_v4(struct el_str query, const struct v4_names *names,
                          struct proxy_signature *c)
{
    struct el_str id, from, lasts, signature;
    int64_t ms;
    uint64_t s;

    if (!parameter(query, names->credential, &id) || !parameter(query, names->date, &from) ||
        !parameter(query, names->expires, &lasts) ||
        !parameter(query, names->signature, &signature) || !proxy_date_compact_parse(from, &ms) ||
        !el_str_u64(lasts, MAX_EXPIRES_S, &s))
        return false;
    set(c, id_before(id, "/%"), ms + (int64_t)s * 1000);
    return true;
}

/* Before version 4: when it ends. */
static bool read_query_old(struct el_str query, struct el_str key_id, struct proxy_signature *c)
{
    struct el_str id, expires, signature;
    uint64_t s;

    if (!parameter(query, key_id, &id) || !parameter(query, EL_STR("Expires"), &expires) ||
        !parameter(query, EL_STR("Signature"), &signature) || !el_str_u64(expires, MAX_UNIX_S, &s))
        return false;
    set(c, id, (int64_t)s * 1000);
    return true;
}

static void read_query(struct el_str query, struct proxy_signature *c)
{
    const struct v4_names aws = { EL_STR("X-Amz-Credential"), EL_STR("X-Amz-Date"),
                                  EL_STR("X-Amz-Expires"), EL_STR("X-Amz-Signature") };
    const struct v4_names oss = { EL_STR("x-oss-credential"), EL_STR("x-oss-date"),
                                  EL_STR("x-oss-expires"), EL_STR("x-oss-signature") };
    struct proxy_signature found[4] = { 0 };
    unsigned n = 0;

    n += read_query_v4(query, &aws, &found[n]);
    n += read_query_v4(query, &oss, &found[n]);
    n += read_query_old(query, EL_STR("AWSAccessKeyId"), &found[n]);
    n += read_query_old(query, EL_STR("OSSAccessKeyId"), &found[n]);
    if (n == 1)
        *c = found[0];
}

/* ---- in Authorization ---- */

/* "AWS4-HMAC-SHA256 Credential=KEY/20130524/...,...": the id behind "Credential=". */
static struct el_str id_of_v4(struct el_str parts)
{
    struct el_str part, id = { NULL, 0 };
    const struct el_str name = EL_STR("Credential=");

    while (el_str_split(&parts, ',', &part)) {
        part = el_str_trim(part);
        if (!el_str_starts(part, name))
            continue;
        if (id.n > 0)
            return (struct el_str){ NULL, 0 };
        id = id_before(el_str_from(part, name.n), "/");
    }
    return id;
}

static void read_authorization(struct el_str value, struct el_fieldv fields, int64_t now_ms,
                               struct proxy_signature *c)
{
    struct el_str scheme, rest = value, date;
    bool is_oss, is_v4;
    int64_t ms;

    if (!el_str_split(&rest, ' ', &scheme))
        return;
    is_oss = el_str_eq(scheme, EL_STR("OSS")) || el_str_eq(scheme, EL_STR("OSS4-HMAC-SHA256"));
    is_v4 = el_str_eq(scheme, EL_STR("AWS4-HMAC-SHA256")) ||
            el_str_eq(scheme, EL_STR("OSS4-HMAC-SHA256"));
    if (!is_oss && !is_v4 && !el_str_eq(scheme, EL_STR("AWS")))
        return;
    if (!field(fields, is_oss ? EL_STR("x-oss-date") : EL_STR("x-amz-date"), &date) &&
        !field(fields, EL_STR("Date"), &date))
        return;
    if (time_ms(date, now_ms, &ms))
        set(c, is_v4 ? id_of_v4(rest) : id_before(el_str_trim(rest), ":"), ms + HEADER_LASTS_MS);
}

void proxy_signature_read(struct el_str target, struct el_fieldv fields, int64_t now_ms,
                          struct proxy_signature *ret)
{
    size_t n = el_fieldv_count(fields, EL_STR("Authorization"));
    struct proxy_signature of_query = { 0 };
    struct el_str value;

    *ret = (struct proxy_signature){ 0 };
    read_query(query_of(target), &of_query);
    if (n == 0)
        *ret = of_query;
    else if (n == 1 && !of_query.is_known && el_fieldv_get(fields, EL_STR("Authorization"), &value))
        read_authorization(value, fields, now_ms, ret);
}
