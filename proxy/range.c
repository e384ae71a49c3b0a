/* SPDX-License-Identifier: MIT */
/* range: see range.h. */
#include "proxy/range.h"

#include <inttypes.h>

#include "proxy/date.h"
#include "proxy/fresh.h"

/* No object is longer. Larger positions are as good as this one: past every end. */
#define MAX_POSITION ((uint64_t)INT64_MAX - 1)

static bool parse_position(struct el_str digits, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return false;
        v = v > MAX_POSITION / 10
                ? MAX_POSITION
                : el_min_u64(v * 10 + (uint64_t)(digits.p[i] - '0'), MAX_POSITION);
    }
    if (digits.n == 0)
        return false;
    *ret = v;
    return true;
}

static bool parse_spec(struct el_str spec, struct proxy_range *ret)
{
    size_t dash = el_str_find(spec, '-');
    struct el_str first = el_str_first(spec, dash), last = el_str_from(spec, dash + 1);
    uint64_t to;

    *ret = (struct proxy_range){ .kind = PROXY_RANGE_OPEN };
    if (dash == spec.n)
        return false;
    if (first.n == 0) {
        ret->kind = PROXY_RANGE_SUFFIX;
        return parse_position(last, &ret->suffix);
    }
    if (!parse_position(first, &ret->first))
        return false;
    if (last.n == 0)
        return true;
    if (!parse_position(last, &to) || to < ret->first)
        return false;
    ret->kind = PROXY_RANGE_BYTES;
    ret->end = to + 1;
    return true;
}

/* One bad member spoils the whole set (RFC 9110 section 14.2: an invalid Range is ignored). */
static bool parse_set(struct el_str set, struct proxy_range *ret)
{
    struct el_str spec;
    size_t n = 0;

    while (el_str_split(&set, ',', &spec)) {
        spec = el_str_trim(spec);
        if (spec.n == 0)
            continue;
        if (!parse_spec(spec, ret))
            return false;
        n++;
    }
    if (n > 1)
        *ret = (struct proxy_range){ .kind = PROXY_RANGE_MULTI };
    return n > 0;
}

void proxy_range_parse(struct el_fieldv request, struct proxy_range *ret)
{
    struct el_str value;

    if (el_fieldv_count(request, EL_STR("Range")) == 1 &&
        el_fieldv_get(request, EL_STR("Range"), &value) &&
        el_str_istarts(value, EL_STR("bytes=")) && parse_set(el_str_from(value, 6), ret))
        return;
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

/* Bytes about as many as stand between two parts. */
#define NEAR 128

static bool is_near(const struct proxy_parts *p, size_t i, size_t k)
{
    return p->v[i].first <= p->v[k].end + NEAR && p->v[k].first <= p->v[i].end + NEAR;
}

/* Part k becomes part of part i, which comes before it. */
static void merge(struct proxy_parts *p, size_t i, size_t k)
{
    p->v[i].first = el_min_u64(p->v[i].first, p->v[k].first);
    p->v[i].end = el_max_u64(p->v[i].end, p->v[k].end);
    p->n--;
    memmove(&p->v[k], &p->v[k + 1], (p->n - k) * sizeof(p->v[0]));
}

/* The last part becomes one with every part that it is near; what it grows by may be near more. */
static void merge_last(struct proxy_parts *p)
{
    size_t grown = p->n - 1, k = 0;

    while (k < p->n) {
        if (k == grown || !is_near(p, k, grown)) {
            k++;
            continue;
        }
        merge(p, el_min_size(k, grown), k > grown ? k : grown);
        grown = el_min_size(k, grown);
        k = 0;
    }
}

bool proxy_range_parts(struct el_fieldv request, uint64_t length, struct proxy_parts *ret)
{
    struct el_str set = { NULL, 0 }, spec;
    struct proxy_range r;

    ret->n = 0;
    (void)el_fieldv_get(request, EL_STR("Range"), &set);
    set = el_str_from(set, strlen("bytes="));
    while (el_str_split(&set, ',', &spec)) {
        spec = el_str_trim(spec);
        if (spec.n == 0 || !parse_spec(spec, &r))
            continue;
        if (ret->n == PROXY_RANGE_PARTS)
            return false;
        if (!proxy_range_resolve(&r, length, &ret->v[ret->n].first, &ret->v[ret->n].end))
            continue;
        ret->n++;
        merge_last(ret);
    }
    return true;
}

void proxy_range_widen(const struct proxy_range *r, uint64_t block, uint64_t length,
                       struct proxy_range *ret)
{
    *ret = *r;
    if (r->kind == PROXY_RANGE_SUFFIX)
        return;
    ret->first = r->first - r->first % block;
    if (r->kind == PROXY_RANGE_BYTES)
        ret->end = el_min_u64((r->end + block - 1) / block * block, MAX_POSITION + 1);
    if (r->kind == PROXY_RANGE_BYTES && r->first < length)
        ret->end = el_min_u64(ret->end, length);
}

bool proxy_range_is_same(const struct proxy_range *a, const struct proxy_range *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == PROXY_RANGE_SUFFIX)
        return a->suffix == b->suffix;
    return a->first == b->first && (a->kind == PROXY_RANGE_OPEN || a->end == b->end);
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
    struct el_str positions, total;
    size_t dash, slash;
    uint64_t last;

    if (!el_str_istarts(value, EL_STR("bytes ")))
        return false;
    value = el_str_from(value, 6);
    slash = el_str_find(value, '/');
    positions = el_str_first(value, slash);
    dash = el_str_find(positions, '-');
    if (!el_str_u64(el_str_first(positions, dash), MAX_POSITION, &cr.first) ||
        !el_str_u64(el_str_from(positions, dash + 1), MAX_POSITION, &last) || last < cr.first)
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

/* Any of the list has the tag, compared weakly (RFC 9110 section 13.1.2); "*" is any object at all.
 */
static bool is_named(struct el_fieldv request, struct el_str etag)
{
    struct el_list_cursor c = { 0 };
    struct el_str member;

    while (el_fieldv_member(request, EL_STR("If-None-Match"), &c, &member)) {
        if (el_str_eq(member, EL_STR("*")))
            return true;
        if (etag.n > 0 && el_str_eq(without_weakness(member), without_weakness(etag)))
            return true;
    }
    return false;
}

/* Last-Modified, or what RFC 9111 section 4.3.2 says to take where there is none. */
static int64_t modified_of(const struct cache_meta *meta)
{
    struct el_str date;
    int64_t ms;

    if (proxy_date_parse(meta->last_modified, meta->response_ms, &ms))
        return ms;
    if (el_fieldv_get(el_fields_view(&meta->fields), EL_STR("Date"), &date) &&
        proxy_date_parse(date, meta->response_ms, &ms))
        return ms;
    return meta->response_ms;
}

bool proxy_cond_is_not_modified(struct el_fieldv request, const struct cache_meta *meta)
{
    struct el_str value;
    int64_t since;

    /* RFC 9110 section 13.1.3: a date does not count beside a tag, nor when it cannot be read. */
    if (el_fieldv_has(request, EL_STR("If-None-Match")))
        return is_named(request, meta->etag);
    return el_fieldv_count(request, EL_STR("If-Modified-Since")) == 1 &&
           el_fieldv_get(request, EL_STR("If-Modified-Since"), &value) &&
           proxy_date_parse(value, meta->response_ms, &since) && modified_of(meta) <= since;
}

bool proxy_cond_if_range_holds(struct el_fieldv request, const struct cache_meta *meta)
{
    struct el_str value;

    if (!el_fieldv_get(request, EL_STR("If-Range"), &value))
        return true;
    if (el_fieldv_count(request, EL_STR("If-Range")) > 1)
        return false;
    if (value.n > 0 && value.p[0] == '"')
        return meta->has_strong_validator && el_str_eq(value, meta->etag);
    /* A date has to be the very same one, and strong (section 13.1.5); weak tags never match. */
    return meta->last_modified.n > 0 && el_str_eq(value, meta->last_modified) &&
           proxy_fresh_date_is_strong(meta);
}
