/* SPDX-License-Identifier: MIT */
/* fresh: see fresh.h; section numbers are RFC 9111's unless said otherwise. */
#include "proxy/fresh.h"

#include "proxy/date.h"
#include "proxy/headers_out.h"
#include "proxy/vary.h"

#define DELTA_MAX ((int64_t)1 << 31)
#define DAY_MS    ((int64_t)86400 * 1000)
#define NOT_SAID  ((int64_t)-1)
#define INVALID_IS_PAST \
    ((int64_t)0) /* a lifetime that cannot be read: already stale (section 4.2.1) */

/* ---- Cache-Control (section 5.2) ---- */

struct directives {
    bool no_store, no_cache, private_, public_, must_revalidate, must_understand;
    int64_t max_age_s, s_maxage_s; /* NOT_SAID, or as small as any of several */
};

static struct el_str unquoted(struct el_str v)
{
    if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
        return (struct el_str){ v.p + 1, v.n - 2 };
    return v;
}

/* Digits, saturated; anything else is stale at once. */
static int64_t delta_seconds(struct el_str v)
{
    uint64_t n;

    if (el_str_u64(v, UINT64_MAX, &n))
        return (int64_t)el_min_u64(n, (uint64_t)DELTA_MAX);
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return INVALID_IS_PAST;
    }
    return v.n > 0 ? DELTA_MAX : INVALID_IS_PAST;
}

static void take_smallest(int64_t *have, int64_t v)
{
    if (*have == NOT_SAID || v < *have)
        *have = v;
}

static void split_directive(struct el_str member, struct el_str *name, struct el_str *value)
{
    size_t eq = el_str_find(member, '=');

    *name = el_str_trim(el_str_first(member, eq));
    *value = unquoted(el_str_trim(el_str_from(member, eq + 1)));
}

static void read_directive(struct directives *d, struct el_str member)
{
    struct el_str name, value;

    split_directive(member, &name, &value);
    if (el_str_ieq(name, EL_STR("no-store")))
        d->no_store = true;
    else if (el_str_ieq(name, EL_STR("no-cache")))
        d->no_cache = true; /* with a field list too: more than asked for, never less */
    else if (el_str_ieq(name, EL_STR("private")))
        d->private_ = true;
    else if (el_str_ieq(name, EL_STR("public")))
        d->public_ = true;
    else if (el_str_ieq(name, EL_STR("must-revalidate")) ||
             el_str_ieq(name, EL_STR("proxy-revalidate")))
        d->must_revalidate = true;
    else if (el_str_ieq(name, EL_STR("must-understand")))
        d->must_understand = true;
    else if (el_str_ieq(name, EL_STR("max-age")))
        take_smallest(&d->max_age_s, delta_seconds(value));
    else if (el_str_ieq(name, EL_STR("s-maxage")))
        take_smallest(&d->s_maxage_s, delta_seconds(value));
}

static struct directives read_directives(struct el_fieldv fields)
{
    struct directives d = { .max_age_s = NOT_SAID, .s_maxage_s = NOT_SAID };
    struct el_list_cursor c = { 0 };
    struct el_str member;

    while (el_fieldv_member(fields, EL_STR("Cache-Control"), &c, &member))
        read_directive(&d, member);
    return d;
}

static void read_request_directive(struct proxy_fresh_request *r, struct el_str member)
{
    struct el_str name, value;

    split_directive(member, &name, &value);
    if (el_str_ieq(name, EL_STR("no-store")))
        r->no_store = true;
    else if (el_str_ieq(name, EL_STR("no-cache")))
        r->no_cache = true;
    else if (el_str_ieq(name, EL_STR("only-if-cached")))
        r->only_if_cached = true;
    else if (el_str_ieq(name, EL_STR("max-age")))
        take_smallest(&r->max_age_s, delta_seconds(value));
    else if (el_str_ieq(name, EL_STR("min-fresh")))
        r->min_fresh_s = delta_seconds(value);
    else if (el_str_ieq(name, EL_STR("max-stale")))
        r->max_stale_s = value.n == 0 ? INT64_MAX : delta_seconds(value);
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
        .max_age_s = NOT_SAID,
        .min_fresh_s = NOT_SAID,
        .max_stale_s = NOT_SAID,
    };
    while (el_fieldv_member(fields, EL_STR("Cache-Control"), &c, &member))
        read_request_directive(ret, member);
    /* Section 5.4: Pragma speaks only where Cache-Control is silent. */
    if (!el_fieldv_has(fields, EL_STR("Cache-Control")) &&
        el_fieldv_has_token(fields, EL_STR("Pragma"), EL_STR("no-cache")))
        ret->no_cache = true;
}

/* ---- age and lifetime (section 4.2) ---- */

/* The first member of the first line; what is not a number is no age. */
static int64_t age_field_s(struct el_fieldv fields)
{
    struct el_str value, member;

    if (!el_fieldv_get(fields, EL_STR("Age"), &value) || !el_str_split(&value, ',', &member))
        return 0;
    return delta_seconds(el_str_trim(member));
}

static bool date_field(struct el_fieldv fields, struct el_str name, int64_t now_ms, int64_t *ret_ms)
{
    struct el_str value;

    return el_fieldv_count(fields, name) == 1 && el_fieldv_get(fields, name, &value) &&
           proxy_date_parse(value, now_ms, ret_ms);
}

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* corrected_initial_age */
static int64_t initial_age_ms(const struct proxy_fresh_response *res)
{
    int64_t date, apparent = 0, delay = max_i64(0, res->response_ms - res->request_ms);

    if (date_field(res->fields, EL_STR("Date"), res->response_ms, &date))
        apparent = max_i64(0, res->response_ms - date);
    /* Date has whole seconds: less than one apart is no age. */
    apparent = apparent < 1000 ? 0 : apparent;
    return max_i64(apparent, age_field_s(res->fields) * 1000 + (delay < 1000 ? 0 : delay));
}

/* Sections 4.2.1 and 3; NOT_SAID when the answer has no explicit lifetime. */
static int64_t explicit_lifetime_ms(const struct directives *d,
                                    const struct proxy_fresh_response *res)
{
    int64_t expires, date;

    if (d->s_maxage_s != NOT_SAID)
        return d->s_maxage_s * 1000;
    if (d->max_age_s != NOT_SAID)
        return d->max_age_s * 1000;
    if (!el_fieldv_has(res->fields, EL_STR("Expires")))
        return NOT_SAID;
    if (!date_field(res->fields, EL_STR("Expires"), res->response_ms, &expires))
        return INVALID_IS_PAST;
    if (!date_field(res->fields, EL_STR("Date"), res->response_ms, &date))
        date = res->response_ms;
    return max_i64(0, expires - date);
}

/* Section 4.2.2: a tenth of the time since the last change, a day at most. */
static int64_t heuristic_lifetime_ms(const struct proxy_fresh_response *res)
{
    int64_t modified, date;

    if (!date_field(res->fields, EL_STR("Last-Modified"), res->response_ms, &modified))
        return 0;
    if (!date_field(res->fields, EL_STR("Date"), res->response_ms, &date))
        date = res->response_ms;
    if (modified >= date)
        return 0;
    return (date - modified) / 10 < DAY_MS ? (date - modified) / 10 : DAY_MS;
}

static bool is_object_store(const struct proxy_fresh_request *req, struct el_fieldv fields)
{
    for (size_t i = 0; i < fields.n; i++) {
        if (el_str_istarts(fields.v[i].name, EL_STR("x-amz-")) ||
            el_str_istarts(fields.v[i].name, EL_STR("x-oss-")))
            return true;
    }
    return req->is_object_store;
}

static int64_t lifetime_ms(const struct directives *d, const struct proxy_fresh_request *req,
                           const struct proxy_fresh_response *res, bool from_store)
{
    int64_t lifetime = explicit_lifetime_ms(d, res);

    if (lifetime != NOT_SAID)
        return lifetime;
    return from_store ? req->freshness_ms : heuristic_lifetime_ms(res);
}

/* ---- storable (section 3) ---- */

static bool is_heuristically_cacheable(int status)
{
    return status == 200 || status == 203 || status == 204 || status == 300 || status == 301 ||
           status == 308 || status == 414 || status == 501;
}

/* Their meaning is known here; any other status is stored by nobody who does not understand it. */
static bool is_understood(int status)
{
    return is_heuristically_cacheable(status) || status == 302 || status == 307 || status == 404 ||
           status == 410;
}

static const char *why_not(const struct proxy_fresh_request *req,
                           const struct proxy_fresh_response *res, const struct directives *d,
                           int status)
{
    bool is_explicit = explicit_lifetime_ms(d, res) != NOT_SAID;

    if (!is_understood(status))
        return "bypass";
    if (req->no_store || d->no_store)
        return "bypass";
    if (d->private_ && !req->has_credentials)
        return "bypass";
    if (!is_heuristically_cacheable(status) && !is_explicit)
        return "bypass";
    /* A cookie is meant for one client. */
    if (el_fieldv_has(res->fields, EL_STR("Set-Cookie")) && !d->public_ &&
        d->s_maxage_s == NOT_SAID)
        return "bypass";
    /* Without a validator nobody could be asked whether the next caller may have it. */
    if (req->has_credentials && !el_fieldv_has(res->fields, EL_STR("ETag")) &&
        !el_fieldv_has(res->fields, EL_STR("Last-Modified")))
        return "bypass";
    return NULL;
}

/* ---- the meta ---- */

static void copy_fields(struct cache_meta *meta, struct el_fieldv fields)
{
    for (size_t i = 0; i < fields.n; i++) {
        struct el_str name = fields.v[i].name;

        if (proxy_headers_is_hop(fields, name) || el_str_ieq(name, EL_STR("Content-Range")) ||
            el_str_ieq(name, EL_STR("Age")) || el_str_ieq(name, EL_STR("Via")) ||
            el_str_ieq(name, EL_STR("X-Cache")) || el_str_ieq(name, EL_STR("Cache-Status")))
            continue;
        el_fields_add(&meta->fields, name, fields.v[i].value);
    }
}

static void render(struct cache_meta *meta)
{
    proxy_headers_response(el_fields_view(&meta->fields), false, &meta->head);
}

/*
 * RFC 9110 section 8.8.2.2: a date is strong when the object cannot have changed twice within its
 * second unnoticed. Object stores write whole objects, so one second is enough there.
 */
static bool date_is_strong(const struct cache_meta *meta, const struct proxy_fresh_response *res)
{
    int64_t modified, date;

    if (!proxy_date_parse(meta->last_modified, res->response_ms, &modified))
        return false;
    if (!date_field(res->fields, EL_STR("Date"), res->response_ms, &date))
        date = res->response_ms;
    return date - modified >= (meta->from_object_store ? 1000 : 60000);
}

static void find_validators(struct cache_meta *meta, const struct proxy_fresh_response *res)
{
    struct el_fieldv fields = el_fields_view(&meta->fields);

    (void)el_fieldv_get(fields, EL_STR("ETag"), &meta->etag);
    (void)el_fieldv_get(fields, EL_STR("Last-Modified"), &meta->last_modified);
    meta->has_strong_validator =
        meta->etag.n > 0 ? meta->etag.p[0] == '"' : date_is_strong(meta, res);
}

/* What the fields in `meta` and the moment of `res` say about its use. */
static void judge(struct cache_meta *meta, const struct proxy_fresh_request *req,
                  const struct proxy_fresh_response *res)
{
    const struct proxy_fresh_response whole = {
        .status = meta->status,
        .fields = el_fields_view(&meta->fields),
        .request_ms = res->request_ms,
        .response_ms = res->response_ms,
    };
    struct directives d = read_directives(whole.fields);

    meta->from_object_store = is_object_store(req, whole.fields);
    meta->is_public = !req->has_credentials || d.public_ || d.s_maxage_s != NOT_SAID;
    meta->is_public = meta->is_public && !d.private_;
    meta->must_revalidate = d.must_revalidate || d.s_maxage_s != NOT_SAID;
    meta->always_revalidate = d.no_cache;
    meta->response_ms = res->response_ms;
    meta->corrected_age_ms = initial_age_ms(res);
    meta->lifetime_ms = lifetime_ms(&d, req, &whole, meta->from_object_store);
}

struct cache_meta *proxy_fresh_meta(const struct proxy_fresh_request *req,
                                    const struct proxy_fresh_response *res, const char **ret_why)
{
    struct directives d = read_directives(res->fields);
    int status = res->status == 206 ? 200 : res->status;
    struct cache_meta *meta;

    *ret_why = why_not(req, res, &d, status);
    if (*ret_why != NULL)
        return NULL;
    meta = cache_meta_new();
    meta->status = status;
    if (!proxy_vary_set(meta, res->fields, req->fields)) {
        *ret_why = "bypass";
        cache_meta_unref(meta);
        return NULL;
    }
    copy_fields(meta, res->fields);
    render(meta);
    judge(meta, req, res);
    find_validators(meta, res);
    return meta;
}

/* Section 3.2: everything is updated but what describes the stored bytes. */
static bool describes_bytes(struct el_str name)
{
    return el_str_ieq(name, EL_STR("Content-Length")) ||
           el_str_ieq(name, EL_STR("Content-Encoding")) ||
           el_str_ieq(name, EL_STR("Content-Range")) || el_str_ieq(name, EL_STR("Content-Type")) ||
           el_str_ieq(name, EL_STR("ETag"));
}

static bool is_updated(const struct cache_meta *old, struct el_fieldv fresh, size_t i)
{
    struct el_str name = old->fields.v[i].name;

    return el_fieldv_has(fresh, name) && !describes_bytes(name) &&
           !proxy_headers_is_hop(fresh, name);
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
        if (!is_updated(old, res->fields, i))
            el_fields_add(&meta->fields, old->fields.v[i].name, old->fields.v[i].value);
    }
    for (size_t i = 0; i < res->fields.n; i++) {
        struct el_str name = res->fields.v[i].name;

        if (!describes_bytes(name) && !proxy_headers_is_hop(res->fields, name) &&
            !el_str_ieq(name, EL_STR("Age")) && !el_str_ieq(name, EL_STR("Via")))
            el_fields_add(&meta->fields, name, res->fields.v[i].value);
    }
    render(meta);
    judge(meta, req, res);
    find_validators(meta, res);
    meta->has_strong_validator = old->has_strong_validator;
    return meta;
}

/* ---- use (section 4) ---- */

int64_t proxy_fresh_age_ms(const struct cache_meta *meta, int64_t now_ms)
{
    return meta->corrected_age_ms + max_i64(0, now_ms - meta->response_ms);
}

enum proxy_fresh_use proxy_fresh_use(const struct cache_meta *meta,
                                     const struct proxy_fresh_request *req, int64_t now_ms)
{
    int64_t age = proxy_fresh_age_ms(meta, now_ms), left = meta->lifetime_ms - age;

    if (meta->always_revalidate || req->no_cache)
        return PROXY_STALE;
    if (req->max_age_s != NOT_SAID && age > req->max_age_s * 1000)
        return PROXY_STALE;
    if (req->min_fresh_s != NOT_SAID && left < req->min_fresh_s * 1000)
        return PROXY_STALE;
    if (left > 0)
        return PROXY_FRESH;
    if (req->max_stale_s != NOT_SAID && !meta->must_revalidate &&
        (req->max_stale_s == INT64_MAX || -left <= req->max_stale_s * 1000))
        return PROXY_FRESH;
    return PROXY_STALE;
}
