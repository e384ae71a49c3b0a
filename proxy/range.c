/* SPDX-License-Identifier: MIT */
/* range: see range.h. */
#include "proxy/range.h"

#include <inttypes.h>

#include "proxy/date.h"

static bool parse_spec(struct el_str spec, struct proxy_range *ret)
{
    size_t dash = el_str_find(spec, '-');
    struct el_str first = el_str_trim(el_str_first(spec, dash));
    struct el_str last = el_str_trim(el_str_from(spec, dash + 1));
    uint64_t from = 0, to = 0;

    if (dash == spec.n)
        return false;
    if (first.n == 0) {
        ret->kind = PROXY_RANGE_SUFFIX;
        return el_str_u64(last, INT64_MAX, &ret->suffix);
    }
    if (!el_str_u64(first, INT64_MAX - 1, &from))
        return false;
    ret->first = from;
    if (last.n == 0) {
        ret->kind = PROXY_RANGE_OPEN;
        return true;
    }
    if (!el_str_u64(last, INT64_MAX - 1, &to) || to < from)
        return false;
    ret->end = to + 1;
    ret->kind = PROXY_RANGE_BYTES;
    return true;
}

void proxy_range_parse(struct el_fieldv request, struct proxy_range *ret)
{
    struct el_str value;

    *ret = (struct proxy_range){ .kind = PROXY_RANGE_NONE };
    if (el_fieldv_count(request, EL_STR("Range")) != 1 ||
        !el_fieldv_get(request, EL_STR("Range"), &value) ||
        !el_str_istarts(value, EL_STR("bytes=")))
        return;
    value = el_str_from(value, 6);
    if (el_str_find(value, ',') < value.n)
        ret->kind = PROXY_RANGE_MULTI;
    else if (!parse_spec(el_str_trim(value), ret))
        *ret = (struct proxy_range){ .kind = PROXY_RANGE_NONE };
}

bool proxy_range_resolve(const struct proxy_range *r, uint64_t length, uint64_t *ret_first,
                         uint64_t *ret_end)
{
    uint64_t first = r->first, end = length;

    if (r->kind == PROXY_RANGE_SUFFIX)
        first = length - el_min_u64(r->suffix, length);
    else if (r->kind == PROXY_RANGE_BYTES)
        end = el_min_u64(r->end, length);
    if (first >= end)
        return false;
    *ret_first = first;
    *ret_end = end;
    return true;
}

void proxy_range_widen(const struct proxy_range *r, uint64_t block, struct proxy_range *ret)
{
    *ret = *r;
    if (r->kind == PROXY_RANGE_SUFFIX)
        return;
    ret->first = r->first - r->first % block;
    if (r->kind == PROXY_RANGE_BYTES)
        ret->end = (r->end + block - 1) / block * block;
}

void proxy_range_write(const struct proxy_range *r, struct el_buf *out)
{
    if (r->kind == PROXY_RANGE_SUFFIX)
        el_buf_addf(out, "bytes=-%" PRIu64, r->suffix);
    else if (r->kind == PROXY_RANGE_OPEN)
        el_buf_addf(out, "bytes=%" PRIu64 "-", r->first);
    else
        el_buf_addf(out, "bytes=%" PRIu64 "-%" PRIu64, r->first, r->end - 1);
}

bool proxy_content_range_parse(struct el_str value, struct proxy_content_range *ret)
{
    struct proxy_content_range cr = { 0 };
    size_t dash, slash;
    struct el_str total;
    uint64_t last;

    if (!el_str_istarts(value, EL_STR("bytes ")))
        return false;
    value = el_str_from(value, 6);
    dash = el_str_find(value, '-');
    slash = el_str_find(value, '/');
    if (dash >= slash || slash == value.n ||
        !el_str_u64(el_str_first(value, dash), INT64_MAX - 1, &cr.first) ||
        !el_str_u64(el_str_from(el_str_first(value, slash), dash + 1), INT64_MAX - 1, &last) ||
        last < cr.first)
        return false;
    cr.end = last + 1;
    total = el_str_from(value, slash + 1);
    cr.has_total = !el_str_eq(total, EL_STR("*"));
    if (cr.has_total && (!el_str_u64(total, INT64_MAX, &cr.total) || cr.total < cr.end))
        return false;
    *ret = cr;
    return true;
}

bool proxy_range_answers(const struct proxy_range *asked, const struct proxy_content_range *cr)
{
    uint64_t first, end;

    if (asked->kind == PROXY_RANGE_NONE || asked->kind == PROXY_RANGE_MULTI || !cr->has_total)
        return false;
    return proxy_range_resolve(asked, cr->total, &first, &end) && cr->first == first &&
           cr->end <= end;
}

/* ---- conditions ---- */

static struct el_str without_weakness(struct el_str etag)
{
    return el_str_starts(etag, EL_STR("W/")) ? el_str_from(etag, 2) : etag;
}

static bool none_match_holds(struct el_fieldv request, const struct cache_meta *meta)
{
    struct el_list_cursor c = { 0 };
    struct el_str member;

    while (el_fieldv_member(request, EL_STR("If-None-Match"), &c, &member)) {
        if (el_str_eq(member, EL_STR("*")))
            return true;
        if (meta->etag.n > 0 && el_str_eq(without_weakness(member), without_weakness(meta->etag)))
            return true;
    }
    return false;
}

bool proxy_cond_is_not_modified(struct el_fieldv request, const struct cache_meta *meta)
{
    struct el_str value;
    int64_t since, modified;

    if (el_fieldv_has(request, EL_STR("If-None-Match")))
        return none_match_holds(request, meta);
    if (!el_fieldv_get(request, EL_STR("If-Modified-Since"), &value) ||
        !proxy_date_parse(value, meta->response_ms, &since) ||
        !proxy_date_parse(meta->last_modified, meta->response_ms, &modified))
        return false;
    return modified <= since;
}

bool proxy_cond_if_range_holds(struct el_fieldv request, const struct cache_meta *meta)
{
    struct el_str value;

    if (!el_fieldv_get(request, EL_STR("If-Range"), &value))
        return true;
    if (!meta->has_strong_validator)
        return false;
    if (value.n > 0 && value.p[0] == '"')
        return el_str_eq(value, meta->etag);
    /* A date has to be the very same one (RFC 9110 section 13.1.5); weak tags never match. */
    return meta->last_modified.n > 0 && el_str_eq(value, meta->last_modified);
}
