/* SPDX-License-Identifier: MIT */
/*
 * invalidate: what an unsafe request that went to the origin has changed (RFC 9111 section 4.4,
 * and for object stores proxy/s3.h) is forgotten before the client sees the end of the answer.
 *
 *   begin:     which effect it has, as far as its head says
 *   note_body: DeleteObjects names keys in its body, which is kept for that up to a bound
 *   answered:  2xx and 3xx: forgotten, here and on disk. 4xx: nothing has changed
 *   ended:     once more where the answer had no length, because stores say 200 first and then take
 *              their time (CompleteMultipartUpload, CopyObject); and without an answer, or after a
 *              5xx, nobody knows, so what is cached is doubted: it is confirmed before its next use
 *
 * An object has several names: spellings of its path, path style and virtual-host style, its
 * versions. Copies under names that can be made up here are dropped; those under others are older
 * than the change (proxy/changes.h), which comes to the same until a restart.
 */
#include "proxy/req.h"

#include "proxy/fresh.h"
#include "proxy/s3_delete.h"

/* Longest body of DeleteObjects that is looked at; S3 takes 2 MB, which 1000 keys seldom need. */
#define MAX_NAMED_BYTES ((size_t)EL_MIB)

static struct el_str url_of(const struct proxy_req *r)
{
    return el_buf_str(&r->route.url);
}

static struct el_str without_query(struct el_str url)
{
    return el_str_first(url, el_str_find(url, '?'));
}

static struct el_str query_of(struct el_str url)
{
    return el_str_from(url, el_str_find(url, '?') + 1);
}

/* "http://host/path?query" -> "/path" */
static struct el_str path_of(struct el_str url)
{
    struct el_str rest = el_str_from(without_query(url), el_str_find(url, ':') + 3);

    return el_str_from(rest, el_str_find(rest, '/'));
}

/* ---- one object ---- */

static void forget(struct proxy_req *r, struct el_str url)
{
    proxy_changes_note(&r->proxy->changes, url, proxy_req_now(r));
    (void)cache_invalidate(r->proxy->cache, url);
}

static void forget_version(struct proxy_req *r, struct el_str url, struct el_str version)
{
    struct el_buf of_version = { 0 };

    if (version.n == 0)
        return;
    el_buf_add_str(&of_version, url);
    el_buf_add_str(&of_version, EL_STR("?versionId="));
    el_buf_add_str(&of_version, version);
    (void)cache_invalidate(r->proxy->cache, el_buf_str(&of_version));
    el_buf_deinit(&of_version);
}

/* What a version of its own was made of leaves the one without a name alone. */
static bool touches_null_version(const struct proxy_req *r)
{
    struct el_fieldv fields = el_fields_view(&r->ex->fields);
    struct el_str version;

    return (!el_fieldv_get(fields, EL_STR("x-amz-version-id"), &version) &&
            !el_fieldv_get(fields, EL_STR("x-oss-version-id"), &version)) ||
           el_str_eq(version, EL_STR("null"));
}

static void forget_spelling(struct proxy_req *r, struct el_str url, struct el_str version)
{
    forget(r, url);
    forget_version(r, url, version);
    if (touches_null_version(r))
        forget_version(r, url, EL_STR("null"));
}

static void forget_style(struct proxy_req *r, struct el_str url, struct el_str version)
{
    struct el_buf canonical = { 0 };

    proxy_s3_write_canonical(&canonical, url);
    forget_spelling(r, url, version);
    if (!el_str_eq(el_buf_str(&canonical), url))
        forget_spelling(r, el_buf_str(&canonical), version);
    el_buf_deinit(&canonical);
}

/* url: without a query. version: as in a URL, or empty. */
static void forget_object(struct proxy_req *r, struct el_str url, struct el_str version)
{
    struct el_buf other = { 0 };

    forget_style(r, url, version);
    if (proxy_s3_write_virtual_host(&other, url))
        forget_style(r, el_buf_str(&other), version);
    el_buf_clear(&other);
    if (proxy_s3_write_path_style(&other, url))
        forget_style(r, el_buf_str(&other), version);
    el_buf_deinit(&other);
}

/* ---- a bucket ---- */

typedef void each_prefix(struct proxy_req *r, struct el_str prefix);

static void doubt_prefix(struct proxy_req *r, struct el_str prefix)
{
    proxy_changes_note_prefix(&r->proxy->changes, prefix, proxy_req_now(r));
}

static void forget_prefix(struct proxy_req *r, struct el_str prefix)
{
    doubt_prefix(r, prefix);
    cache_forget_prefix(r->proxy->cache, prefix);
}

/* Of the bucket that the request is about, in both styles. */
static void for_bucket(struct proxy_req *r, each_prefix *each)
{
    struct el_str url = without_query(url_of(r));
    struct el_buf prefix = { 0 }, other = { 0 };

    el_buf_add_str(&prefix, url);
    if (url.p[url.n - 1] != '/')
        el_buf_add_byte(&prefix, '/');
    each(r, el_buf_str(&prefix));
    if (proxy_s3_write_virtual_host(&other, el_buf_str(&prefix)))
        each(r, el_buf_str(&other));
    el_buf_clear(&other);
    if (proxy_s3_write_path_style(&other, el_buf_str(&prefix)))
        each(r, el_buf_str(&other));
    el_buf_deinit(&prefix);
    el_buf_deinit(&other);
}

/* ---- keys in the body ---- */

static void forget_named(void *arg, struct el_str key, struct el_str version)
{
    struct proxy_req *r = arg;
    struct el_str bucket = without_query(url_of(r));
    struct el_buf url = { 0 }, escaped = { 0 };

    el_buf_add_str(&url, bucket);
    if (bucket.p[bucket.n - 1] != '/')
        el_buf_add_byte(&url, '/');
    proxy_s3_write_key(&url, key);
    proxy_s3_write_key(&escaped, version);
    forget_object(r, el_buf_str(&url), el_buf_str(&escaped));
    el_buf_deinit(&url);
    el_buf_deinit(&escaped);
}

static void forget_all_named(struct proxy_req *r)
{
    if (!r->has_named_all || !proxy_s3_delete_parse(el_buf_str(&r->named), forget_named, r))
        for_bucket(r, forget_prefix);
}

/* ---- the request ---- */

static bool is_form(struct el_fieldv fields)
{
    struct el_str type;

    return el_fieldv_get(fields, EL_STR("Content-Type"), &type) &&
           el_str_istarts(type, EL_STR("multipart/form-data"));
}

void proxy_invalidate_begin(struct proxy_req *r)
{
    const struct proxy_head *head = &r->stream->head;

    if (!r->is_unsafe)
        return;
    r->is_unsettled = true;
    r->effect = proxy_s3_effect(head->method, path_of(url_of(r)), query_of(url_of(r)),
                                is_form(head->fields));
    /* A coding would have to be undone first. */
    r->has_named_all =
        r->effect == PROXY_S3_KEYS && !el_fieldv_has(head->fields, EL_STR("Content-Encoding"));
}

void proxy_invalidate_note_body(struct proxy_req *r, const void *bytes, size_t n)
{
    if (!r->has_named_all)
        return;
    if (n <= MAX_NAMED_BYTES - r->named.n) {
        el_buf_add(&r->named, bytes, n);
        return;
    }
    r->has_named_all = false;
    el_buf_deinit(&r->named);
}

/* At an object store. */
static void forget_effect(struct proxy_req *r)
{
    if (r->effect == PROXY_S3_KEYS)
        forget_all_named(r);
    /* What looks like a bucket may be an object of the other style. */
    if (r->effect == PROXY_S3_ALL)
        for_bucket(r, forget_prefix);
    if (r->effect == PROXY_S3_ALL || r->effect == PROXY_S3_KEY)
        forget_object(r, without_query(url_of(r)),
                      proxy_s3_parameter(query_of(url_of(r)), EL_STR("versionId")));
}

/* What the answer names as made or changed (RFC 9111 section 4.4). */
static void forget_related(struct proxy_req *r, struct el_str field)
{
    struct el_buf url = { 0 };
    struct el_str value;

    if (el_fieldv_get(el_fields_view(&r->ex->fields), field, &value) &&
        proxy_route_related(&r->route, value, &url))
        forget(r, el_buf_str(&url));
    el_buf_deinit(&url);
}

static void forget_changed(struct proxy_req *r)
{
    struct el_str url = url_of(r);

    if (proxy_fresh_from_object_store(&r->fresh, el_fields_view(&r->ex->fields))) {
        (void)cache_invalidate(r->proxy->cache, url);
        forget_effect(r);
        return;
    }
    /* The query of an unsafe request often names an action, not another resource. */
    forget(r, url);
    forget(r, without_query(url));
}

/* Nobody knows whether it was changed. */
static void doubt(struct proxy_req *r)
{
    if (r->effect == PROXY_S3_NOTHING)
        return;
    proxy_changes_note(&r->proxy->changes, url_of(r), proxy_req_now(r));
    if (r->effect != PROXY_S3_KEY)
        for_bucket(r, doubt_prefix);
}

void proxy_invalidate_failed(struct proxy_req *r)
{
    if (r->is_unsettled)
        doubt(r);
}

void proxy_invalidate_answered(struct proxy_req *r)
{
    int status = r->ex->status;

    if (!r->is_unsettled)
        return;
    /* Before its client hears of it, who may ask the next moment; and again at the end. */
    if (status >= 500) {
        doubt(r);
        return;
    }
    if (status < 400) {
        forget_changed(r);
        forget_related(r, EL_STR("Location"));
        forget_related(r, EL_STR("Content-Location"));
    }
    r->is_unsettled = status < 400 && status != 204 &&
                      !el_fieldv_has(el_fields_view(&r->ex->fields), EL_STR("Content-Length"));
}

void proxy_invalidate_ended(struct proxy_req *r)
{
    if (!r->is_unsettled)
        return;
    r->is_unsettled = false;
    if (r->origin_status >= 200 && r->origin_status < 400) {
        forget_changed(r);
        return;
    }
    doubt(r);
}

/* ---- answers to others ---- */

uint32_t proxy_invalidate_epoch(struct proxy_req *r)
{
    return proxy_changes_count(&r->proxy->changes, url_of(r));
}

bool proxy_invalidate_doubts(struct proxy_req *r, int64_t response_ms)
{
    return response_ms <= proxy_changes_last_ms(&r->proxy->changes, url_of(r));
}
