/* SPDX-License-Identifier: MIT */
/* fresh: see fresh.h; section numbers are RFC 9111's unless said otherwise. */
#include "proxy/fresh.h"

#include "proxy/date.h"
#include "proxy/directives.h"
#include "proxy/headers_out.h"
#include "proxy/vary.h"

#define DAY_MS   ((int64_t)86400 * 1000)
#define NOT_SAID PROXY_NOT_SAID

/* ---- what the request says (section 5.2.1) ---- */

/* A wish that cannot be read is taken for the strictest one. */
static int64_t seconds_or(struct el_str value, int64_t otherwise)
{
    int64_t s;

    return proxy_delta_parse(value, &s) ? s : otherwise;
}

static void read_request_directive(struct proxy_fresh_request *r, struct el_str member)
{
    struct el_str name, value;

    proxy_directive_split(member, &name, &value);
    if (el_str_ieq(name, EL_STR("no-store")))
        r->no_store = true;
    else if (el_str_ieq(name, EL_STR("no-cache")))
        r->no_cache = true;
    else if (el_str_ieq(name, EL_STR("only-if-cached")))
        r->only_if_cached = true;
    else if (el_str_ieq(name, EL_STR("max-age")))
        r->max_age_s = seconds_or(value, 0);
    else if (el_str_ieq(name, EL_STR("min-fresh")))
        r->min_fresh_s = seconds_or(value, PROXY_DELTA_MAX);
    else if (el_str_ieq(name, EL_STR("max-stale")))
        r->max_stale_s = value.n == 0 ? INT64_MAX : seconds_or(value, 0);
    else if (el_str_ieq(name, EL_STR("stale-if-error")))
        r->stale_if_error_s = seconds_or(value, 0);
}

void proxy_fresh_request(struct proxy_fresh_request *ret, struct el_fieldv fields,
                         bool has_credentials, bool is_object_store, uint64_t freshness_ms)
{
    struct el_list_cursor c = { 0 };
    struct el_str member;

    *ret = (struct proxy_fresh_request){
        .fields = fields,
        .has_credentials = has_credentials,
        .is_object_store = is_object_store,
        .freshness_ms = (int64_t)freshness_ms,
        .lifetime_ms = NOT_SAID,
        .max_age_s = NOT_SAID,
        .min_fresh_s = NOT_SAID,
        .max_stale_s = NOT_SAID,
        .stale_if_error_s = NOT_SAID,
    };
    while (el_fieldv_member(fields, EL_STR("Cache-Control"), &c, &member))
        read_request_directive(ret, member);
    /* Section 5.4: Pragma speaks only where Cache-Control is silent. */
    if (!el_fieldv_has(fields, EL_STR("Cache-Control")) &&
        el_fieldv_has_token(fields, EL_STR("Pragma"), EL_STR("no-cache")))
        ret->no_cache = true;
}

/* ---- age and lifetime (section 4.2) ---- */

/* The first member of the first line; what is not a number is no age (section 5.1). */
static int64_t age_field_s(struct el_fieldv fields)
{
    struct el_str value, member;
    int64_t s = 0;

    if (el_fieldv_get(fields, EL_STR("Age"), &value) && el_str_split(&value, ',', &member))
        (void)proxy_delta_parse(el_str_trim(member), &s);
    return s;
}

/* A field that is there twice has no date. */
static bool date_field(struct el_fieldv fields, struct el_str name, int64_t now_ms, int64_t *ret_ms)
{
    struct el_str value;

    return el_fieldv_count(fields, name) == 1 && el_fieldv_get(fields, name, &value) &&
           proxy_date_parse(value, now_ms, ret_ms);
}

/* When the origin made the message; without a Date that is when it came (RFC 9110 section 6.6.1).
 */
static int64_t date_of(const struct proxy_fresh_response *res)
{
    int64_t date;

    return date_field(res->fields, EL_STR("Date"), res->response_ms, &date) ? date
                                                                            : res->response_ms;
}

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Date and Age count whole seconds: less than one is no difference. */
static int64_t whole_ms(int64_t ms)
{
    return ms < 1000 ? 0 : ms;
}

/* corrected_initial_age (section 4.2.3) */
static int64_t initial_age_ms(const struct proxy_fresh_response *res)
{
    int64_t apparent = whole_ms(res->response_ms - date_of(res));
    int64_t delay = whole_ms(res->response_ms - res->request_ms);

    return max_i64(apparent, age_field_s(res->fields) * 1000 + delay);
}

/* Section 4.2.1; NOT_SAID when there is no explicit lifetime. `date_ms` is what Expires counts
 * from. */
static int64_t explicit_lifetime_ms(const struct proxy_directives *d, struct el_fieldv fields,
                                    int64_t date_ms)
{
    int64_t expires;

    if (d->s_maxage_s != NOT_SAID)
        return d->s_maxage_s * 1000;
    if (d->max_age_s != NOT_SAID)
        return d->max_age_s * 1000;
    if (d->is_targeted || !el_fieldv_has(fields, EL_STR("Expires")))
        return NOT_SAID;
    if (!date_field(fields, EL_STR("Expires"), date_ms, &expires) || expires <= date_ms)
        return 0;
    return expires - date_ms < PROXY_DELTA_MAX * 1000 ? expires - date_ms : PROXY_DELTA_MAX * 1000;
}

/* Section 4.2.2: a tenth of the time since the last change, a day at most. */
static int64_t heuristic_lifetime_ms(struct el_fieldv fields, int64_t date_ms)
{
    int64_t modified;

    if (!date_field(fields, EL_STR("Last-Modified"), date_ms, &modified) || modified >= date_ms)
        return 0;
    return (date_ms - modified) / 10 < DAY_MS ? (date_ms - modified) / 10 : DAY_MS;
}

/* Fields of AWS services in front of any web site say nothing about an object store behind them. */
static bool is_of_object_store(struct el_str name)
{
    return (el_str_istarts(name, EL_STR("x-amz-")) && !el_str_istarts(name, EL_STR("x-amz-cf-")) &&
            !el_str_istarts(name, EL_STR("x-amz-apigw-")) &&
            !el_str_ieq(name, EL_STR("x-amz-rid"))) ||
           el_str_istarts(name, EL_STR("x-oss-"));
}

bool proxy_fresh_from_object_store(const struct proxy_fresh_request *req, struct el_fieldv fields)
{
    for (size_t i = 0; i < fields.n; i++) {
        if (is_of_object_store(fields.v[i].name))
            return true;
    }
    return req->is_object_store;
}

static bool has_validator(struct el_fieldv fields)
{
    return el_fieldv_has(fields, EL_STR("ETag")) || el_fieldv_has(fields, EL_STR("Last-Modified"));
}

/* Of other stores, where Cache-Control is what an uploader wrote as well. */
static bool is_of_other_store(struct el_fieldv fields)
{
    static const char *const prefixes[] = { "x-goog-", "x-ms-", "x-bz-", "x-obs-", "x-cos-" };

    for (size_t i = 0; i < fields.n; i++) {
        for (size_t k = 0; k < EL_COUNT(prefixes); k++) {
            if (el_str_istarts(fields.v[i].name, el_str_of(prefixes[k])))
                return true;
        }
    }
    return false;
}

/*
 * Whether the answer tells apart for whom it is: then the 304 to the next caller means the stored
 * bytes. "Not modified since" may be said of another caller's page too; only at an object store all
 * callers mean the same bytes.
 */
static bool is_told_apart(const struct proxy_fresh_request *req, struct el_fieldv fields)
{
    return el_fieldv_has(fields, EL_STR("ETag")) ||
           (has_validator(fields) && proxy_fresh_from_object_store(req, fields));
}

/* ---- storable (section 3) ---- */

static bool is_one_of(int status, const int *statuses, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (status == statuses[i])
            return true;
    }
    return false;
}

/*
 * RFC 9110 section 15.1, without what an object that is not there, or not yet, is answered with:
 * that has to be meant.
 */
static bool is_heuristically_cacheable(int status)
{
    static const int statuses[] = { 200, 203, 204, 300, 301, 308, 414, 501 };

    return is_one_of(status, statuses, EL_COUNT(statuses));
}

/* Statuses whose rules about caching are kept here (sections 3 and 5.2.2.3). */
static bool is_understood(int status)
{
    static const int statuses[] = { 302, 303, 307, 404, 405, 410 };

    return is_heuristically_cacheable(status) || is_one_of(status, statuses, EL_COUNT(statuses));
}

/*
 * About one request or one connection, whatever the answer says of itself: whoever provokes one
 * would give it to everybody.
 */
static bool is_about_one_request(int status)
{
    static const int statuses[] = { 304, 401, 407, 408, 411, 412, 413, 415, 416,
                                    417, 421, 425, 426, 428, 429, 431, 511 };

    return status < 200 || is_one_of(status, statuses, EL_COUNT(statuses));
}

/* Failures that may be one moment's: believed when they say how long, but not for long. */
static bool is_failure(int status)
{
    return status >= 400 && !is_understood(status);
}

/* no-store and private; must-understand lifts the former for statuses that are understood, and
 * forbids the others (5.2.2.3). */
static bool is_forbidden(const struct proxy_directives *d, int status)
{
    if (d->must_understand)
        return d->is_private || !is_understood(status);
    return d->no_store || d->is_private;
}

static bool is_meant_for_all(const struct proxy_directives *d)
{
    return d->is_public || d->s_maxage_s != NOT_SAID;
}

/* The same where the request had credentials: at a store, Cache-Control says nothing of who may
 * read. */
static bool lets_all_read(const struct proxy_fresh_request *req, struct el_fieldv fields,
                          const struct proxy_directives *d)
{
    return is_meant_for_all(d) && !req->is_signed && !is_of_other_store(fields) &&
           !proxy_fresh_from_object_store(req, fields);
}

static bool is_negative(int status)
{
    return status == 404 || status == 410;
}

/* Whether somebody wants the status stored that is not by itself: its origin, or the operator. */
static bool is_told(const struct proxy_fresh_request *req, const struct proxy_fresh_response *res,
                    const struct proxy_directives *d, int status)
{
    bool is_explicit = explicit_lifetime_ms(d, res->fields, date_of(res)) != NOT_SAID;

    if (is_failure(status))
        return is_explicit && req->policy.error_ms > 0;
    return is_explicit || (d->is_public && is_understood(status)) ||
           (is_negative(status) && req->policy.negative_ms > 0);
}

/* NULL: it may be stored. Otherwise a token of RFC 9211 section 2.2. */
static const char *why_not(const struct proxy_fresh_request *req,
                           const struct proxy_fresh_response *res, const struct proxy_directives *d,
                           int status)
{
    if (req->no_store)
        return "request";
    if (is_about_one_request(status) || is_forbidden(d, status))
        return "miss";
    if (!is_heuristically_cacheable(status) && !is_told(req, res, d, status))
        return "miss";
    if (req->is_about && explicit_lifetime_ms(d, res->fields, date_of(res)) == NOT_SAID &&
        proxy_fresh_from_object_store(req, res->fields))
        return "miss";
    /* A cookie is meant for one client. */
    if (el_fieldv_has(res->fields, EL_STR("Set-Cookie")) && !is_meant_for_all(d))
        return "miss";
    /* Without a validator nobody could be asked whether the next caller may have it. */
    if (req->has_credentials && !is_told_apart(req, res->fields) &&
        !lets_all_read(req, res->fields, d))
        return "miss";
    return NULL;
}

/* ---- the meta ---- */

/* Of one connection, of one answer, or made anew for each (section 3.1). */
static bool is_kept(struct el_fieldv all, struct el_str name)
{
    return !proxy_headers_is_hop(all, name) && !el_str_ieq(name, EL_STR("Age")) &&
           !el_str_ieq(name, EL_STR("X-Cache")) && !el_str_ieq(name, EL_STR("Cache-Status"));
}

/* RFC 9110 section 6.6.1: without a Date the answer has that of its arrival, then and later. */
static void add_date(struct cache_meta *meta, int64_t response_ms)
{
    char date[PROXY_DATE_BYTES + 1];

    proxy_date_write(response_ms, date);
    el_fields_add(&meta->fields, EL_STR("Date"), el_str_of(date));
}

/* What of a 206 is about the part that it is; of the whole it would say nothing, or be wrong. */
static bool is_of_part(struct el_str name)
{
    return el_str_ieq(name, EL_STR("Content-Range")) || proxy_headers_is_checksum(name);
}

static void copy_fields(struct cache_meta *meta, const struct proxy_fresh_response *res)
{
    for (size_t i = 0; i < res->fields.n; i++) {
        struct el_field f = res->fields.v[i];

        if (is_kept(res->fields, f.name) && (res->status != 206 || !is_of_part(f.name)))
            el_fields_add(&meta->fields, f.name, f.value);
    }
    if (!el_fieldv_has(res->fields, EL_STR("Date")))
        add_date(meta, res->response_ms);
}

/*
 * RFC 9110 section 8.8.2.2: a date is strong when the object cannot have changed twice within its
 * second unnoticed. Object stores write whole objects, so one second is enough there.
 */
bool proxy_fresh_date_is_strong(const struct cache_meta *meta)
{
    struct el_fieldv fields = el_fields_view(&meta->fields);
    int64_t modified, date;

    if (!date_field(fields, EL_STR("Last-Modified"), meta->response_ms, &modified))
        return false;
    if (!date_field(fields, EL_STR("Date"), meta->response_ms, &date))
        date = meta->response_ms;
    return date - modified >= (meta->from_object_store ? 1000 : 60000);
}

static bool etag_is_strong(struct el_fieldv fields, struct el_str etag)
{
    return el_fieldv_count(fields, EL_STR("ETag")) == 1 && etag.n >= 2 && etag.p[0] == '"' &&
           etag.p[etag.n - 1] == '"';
}

static bool has_strong_validator(const struct cache_meta *meta)
{
    return meta->etag.n > 0 ? etag_is_strong(el_fields_view(&meta->fields), meta->etag)
                            : proxy_fresh_date_is_strong(meta);
}

/*
 * An answer to credentials is public only where the origin says so, and never from an object store:
 * there Cache-Control is what an uploader wrote, not who may read. A 304 counts as such an answer:
 * after one to credentials nobody knows whether anonymous callers would still be served.
 */
static bool is_for_all(const struct cache_meta *meta, const struct proxy_fresh_request *req,
                       const struct proxy_directives *d)
{
    struct el_fieldv fields = el_fields_view(&meta->fields);

    /* Buckets can be closed to all but the pages of a site. */
    if (!req->has_credentials)
        return !meta->from_object_store || !el_fieldv_has(req->fields, EL_STR("Referer"));
    return lets_all_read(req, fields, d);
}

static int64_t lifetime_ms(const struct cache_meta *meta, const struct proxy_fresh_request *req,
                           const struct proxy_directives *d, int64_t date_ms)
{
    struct el_fieldv fields = el_fields_view(&meta->fields);
    int64_t lifetime = explicit_lifetime_ms(d, fields, date_ms);

    if (is_failure(meta->status) && lifetime > req->policy.error_ms)
        return req->policy.error_ms;
    if (lifetime != NOT_SAID)
        return lifetime;
    if (is_negative(meta->status))
        return req->policy.negative_ms;
    /* Listings and the like have no validator: only objects are given time that nobody granted. */
    if (meta->from_object_store)
        return has_validator(fields) ? req->freshness_ms : 0;
    return heuristic_lifetime_ms(fields, date_ms);
}

/* What the fields in `meta` and the moment of `res` say about its use. */
static void judge(struct cache_meta *meta, const struct proxy_fresh_request *req,
                  const struct proxy_fresh_response *res)
{
    struct el_fieldv fields = el_fields_view(&meta->fields);
    struct proxy_directives d;

    proxy_directives_read(fields, &d);
    meta->from_object_store = proxy_fresh_from_object_store(req, fields);
    meta->is_public = is_for_all(meta, req, &d);
    meta->by_node = meta->is_public && req->by_node;
    meta->must_revalidate = d.must_revalidate || d.s_maxage_s != NOT_SAID;
    /* What must not be stored any more is at least not used unasked. */
    meta->always_revalidate = d.no_cache || is_forbidden(&d, meta->status);
    meta->response_ms = res->response_ms;
    meta->corrected_age_ms = initial_age_ms(res);
    meta->lifetime_ms = lifetime_ms(meta, req, &d, date_of(res));
}

/* A policy may change while the answer is stored, so it is asked at each use. It is about objects:
 * errors and redirects keep the lifetime that they have. */
int64_t proxy_fresh_lifetime_ms(const struct cache_meta *meta,
                                const struct proxy_fresh_request *req)
{
    return req->lifetime_ms != NOT_SAID && meta->status == 200 ? req->lifetime_ms
                                                               : meta->lifetime_ms;
}

/* Neither fresh for a moment nor fit to be asked about: storing it would serve nobody. */
static bool is_useless(const struct cache_meta *meta, const struct proxy_fresh_request *req)
{
    return (meta->always_revalidate ||
            proxy_fresh_lifetime_ms(meta, req) <= meta->corrected_age_ms) &&
           !has_validator(el_fields_view(&meta->fields));
}

struct cache_meta *proxy_fresh_meta(const struct proxy_fresh_request *req,
                                    const struct proxy_fresh_response *res, const char **ret_why)
{
    int status = res->status == 206 ? 200 : res->status;
    struct proxy_directives d;
    struct cache_meta *meta;

    proxy_directives_read(res->fields, &d);
    *ret_why = why_not(req, res, &d, status);
    if (*ret_why != NULL)
        return NULL;
    meta = cache_meta_new();
    meta->status = status;
    copy_fields(meta, res);
    judge(meta, req, res);
    if (is_useless(meta, req) || !proxy_vary_set(meta, res->fields, req->fields, req->by_host)) {
        *ret_why = "miss";
        cache_meta_unref(meta);
        return NULL;
    }
    cache_meta_finish(meta);
    meta->has_strong_validator = has_strong_validator(meta);
    return meta;
}

/*
 * Section 3.2: everything is updated but what describes the stored bytes, or tells versions apart.
 * A 304 of a real store carries a Content-Type of its own (empty) body, and Content-Length: 0.
 */
static bool describes_bytes(struct el_str name)
{
    return el_str_ieq(name, EL_STR("Content-Length")) ||
           el_str_ieq(name, EL_STR("Content-Encoding")) ||
           el_str_ieq(name, EL_STR("Content-Range")) || el_str_ieq(name, EL_STR("Content-Type")) ||
           el_str_ieq(name, EL_STR("ETag")) || el_str_ieq(name, EL_STR("Vary")) ||
           proxy_headers_is_checksum(name);
}

/* A cookie is meant for one client, as in a 200. */
static bool is_updated(struct el_fieldv fresh, struct el_str name)
{
    return !describes_bytes(name) && is_kept(fresh, name) &&
           !el_str_ieq(name, EL_STR("Set-Cookie"));
}

struct cache_meta *proxy_fresh_update(const struct cache_meta *old,
                                      const struct proxy_fresh_request *req,
                                      const struct proxy_fresh_response *res)
{
    struct cache_meta *meta = cache_meta_new();

    meta->status = old->status;
    el_buf_add_str(&meta->vary_bytes, el_buf_str(&old->vary_bytes));
    meta->vary = (struct el_str){ meta->vary_bytes.p, old->vary.n };
    for (size_t i = 0; i < old->fields.n; i++) {
        struct el_field f = old->fields.v[i];

        if (!el_fieldv_has(res->fields, f.name) || !is_updated(res->fields, f.name))
            el_fields_add(&meta->fields, f.name, f.value);
    }
    for (size_t i = 0; i < res->fields.n; i++) {
        struct el_field f = res->fields.v[i];

        if (is_updated(res->fields, f.name))
            el_fields_add(&meta->fields, f.name, f.value);
    }
    if (!el_fieldv_has(res->fields, EL_STR("Date"))) {
        el_fields_remove(&meta->fields, EL_STR("Date"));
        add_date(meta, res->response_ms);
    }
    judge(meta, req, res);
    cache_meta_finish(meta);
    /* How far the stored version can be told from others was settled when it came. */
    meta->has_strong_validator = old->has_strong_validator;
    return meta;
}

/* ---- use (section 4) ---- */

int64_t proxy_fresh_age_ms(const struct cache_meta *meta, int64_t now_ms)
{
    return meta->corrected_age_ms + max_i64(0, now_ms - meta->response_ms);
}

/* Within the window that the origin opened beyond the lifetime (RFC 5861). */
static bool is_within(int64_t stale_ms, int64_t window_s)
{
    return window_s != NOT_SAID && stale_ms <= window_s * 1000;
}

static bool allows_stale(const struct proxy_fresh_request *req, const struct cache_meta *meta,
                         int64_t stale_ms)
{
    return req->max_stale_s != NOT_SAID && !meta->must_revalidate &&
           (req->max_stale_s == INT64_MAX || stale_ms <= req->max_stale_s * 1000);
}

/* Whether the request itself excludes an answer of that age: it wants the origin's word. */
static bool is_refused(const struct proxy_fresh_request *req, int64_t age_ms, int64_t left_ms)
{
    return req->no_cache || (req->max_age_s != NOT_SAID && age_ms > req->max_age_s * 1000) ||
           (req->min_fresh_s != NOT_SAID && left_ms < req->min_fresh_s * 1000);
}

enum proxy_fresh_use proxy_fresh_use(const struct cache_meta *meta,
                                     const struct proxy_fresh_request *req, int64_t now_ms)
{
    int64_t age = proxy_fresh_age_ms(meta, now_ms);
    int64_t left = proxy_fresh_lifetime_ms(meta, req) - age;
    struct proxy_directives d;

    if (meta->always_revalidate || is_refused(req, age, left))
        return PROXY_STALE;
    if (left > 0 || allows_stale(req, meta, -left))
        return PROXY_FRESH;
    if (meta->must_revalidate)
        return PROXY_STALE;
    proxy_directives_read(el_fields_view(&meta->fields), &d);
    return is_within(-left, d.stale_while_revalidate_s) ? PROXY_STALE_WHILE_ASKING : PROXY_STALE;
}

bool proxy_fresh_may_stand_in(const struct cache_meta *meta, const struct proxy_fresh_request *req,
                              int64_t now_ms, bool is_unreachable)
{
    int64_t age = proxy_fresh_age_ms(meta, now_ms);
    int64_t left = proxy_fresh_lifetime_ms(meta, req) - age;
    struct proxy_directives d;

    if (meta->always_revalidate || meta->must_revalidate || is_refused(req, age, left))
        return false;
    proxy_directives_read(el_fields_view(&meta->fields), &d);
    return is_within(-left, d.stale_if_error_s) || is_within(-left, req->stale_if_error_s) ||
           (is_unreachable && -left <= req->policy.stale_error_ms);
}

bool proxy_fresh_is_out_of_reach(enum el_err code)
{
    static const enum el_err codes[] = { EL_ECONNECT,   EL_ERESOLVE, EL_ETIMEOUT, EL_EPROTO,
                                         EL_ETRUNCATED, EL_ERESET,   EL_EBUSY,    EL_EBREAKER };

    for (size_t i = 0; i < EL_COUNT(codes); i++) {
        if (code == codes[i])
            return true;
    }
    return false;
}

static bool differs(struct el_fieldv head, struct el_str name, struct el_str stored)
{
    struct el_str value;

    return el_fieldv_get(head, name, &value) && !el_str_eq(value, stored);
}

bool proxy_fresh_head_agrees(const struct cache_meta *meta, struct el_fieldv head, uint64_t length)
{
    struct el_str value;
    uint64_t n;

    if (differs(head, EL_STR("ETag"), meta->etag) ||
        differs(head, EL_STR("Last-Modified"), meta->last_modified))
        return false;
    return length == CACHE_UNKNOWN_LENGTH ||
           !el_fieldv_get(head, EL_STR("Content-Length"), &value) ||
           (el_str_u64(value, INT64_MAX, &n) && n == length);
}
