/* SPDX-License-Identifier: MIT */
/* An input is a Content-Range, and then fields of a request: Range, If-Range, If-None-Match ... */
#include "proxy/range.h"
#include "tests/fuzz/fuzz.h"

#define BLOCK ((uint64_t)1 << 20)

static bool is_one_range(const struct proxy_range *r)
{
    return r->kind != PROXY_RANGE_NONE && r->kind != PROXY_RANGE_MULTI;
}

/* What is written is read as the same range. */
static void check_written(const struct proxy_range *r)
{
    struct el_buf text = { 0 };
    struct proxy_range again;
    struct el_field f = { .name = EL_STR("Range") };

    proxy_range_write(r, &text);
    f.value = el_buf_str(&text);
    proxy_range_parse((struct el_fieldv){ &f, 1 }, &again);
    CLAIM(again.kind == r->kind && again.first == r->first && again.end == r->end &&
          again.suffix == r->suffix);
    el_buf_deinit(&text);
}

/* Within the length, and still so, and no smaller, when it is moved out to borders. */
static void check_against(const struct proxy_range *r, const struct proxy_range *wide,
                          uint64_t length)
{
    uint64_t first, end, wide_first, wide_end;

    if (!proxy_range_resolve(r, length, &first, &end))
        return;
    CLAIM(first < end && end <= length);
    CLAIM(proxy_range_resolve(wide, length, &wide_first, &wide_end));
    CLAIM(wide_first <= first && end <= wide_end && wide_end <= length);
}

/* Inside the object, and none near another. */
static void check_parts(struct el_fieldv request, uint64_t length)
{
    struct proxy_parts p;

    if (!proxy_range_parts(request, length, &p))
        return;
    CLAIM(p.n <= PROXY_RANGE_PARTS);
    for (size_t i = 0; i < p.n; i++) {
        CLAIM(p.v[i].first < p.v[i].end && p.v[i].end <= length);
        for (size_t k = 0; k < i; k++)
            CLAIM(p.v[i].first > p.v[k].end || p.v[k].first > p.v[i].end);
    }
}

static void check_range(struct el_fieldv request)
{
    static const uint64_t lengths[] = { 0, 1, 1000, BLOCK, BLOCK * 5 + 7, INT64_MAX };
    struct proxy_range r, wide, clamped;

    proxy_range_parse(request, &r);
    for (size_t i = 0; i < EL_COUNT(lengths) && r.kind == PROXY_RANGE_MULTI; i++)
        check_parts(request, lengths[i]);
    if (!is_one_range(&r))
        return;
    check_written(&r);
    proxy_range_widen(&r, BLOCK, CACHE_UNKNOWN_LENGTH, &wide);
    check_written(&wide);
    for (size_t i = 0; i < EL_COUNT(lengths); i++) {
        check_against(&r, &wide, lengths[i]);
        proxy_range_widen(&r, BLOCK, lengths[i], &clamped);
        check_written(&clamped);
        check_against(&r, &clamped, lengths[i]);
    }
}

static void check_content_range(struct el_str value, struct el_fieldv request)
{
    struct proxy_content_range cr;
    struct proxy_range asked;

    if (!proxy_content_range_parse(value, &cr))
        return;
    CLAIM(cr.first < cr.end && (!cr.has_total || cr.end <= cr.total));
    proxy_range_parse(request, &asked);
    if (proxy_range_answers(&asked, &cr))
        CLAIM(cr.has_total && is_one_range(&asked));
}

static void check_conditions(struct el_fieldv request)
{
    struct cache_meta *m = cache_meta_new();

    m->status = 200;
    el_fields_add(&m->fields, EL_STR("ETag"), EL_STR("\"a\""));
    el_fields_add(&m->fields, EL_STR("Last-Modified"), EL_STR("Sun, 06 Nov 1994 08:49:37 GMT"));
    m->etag = m->fields.v[0].value;
    m->last_modified = m->fields.v[1].value;
    m->has_strong_validator = true;
    m->response_ms = (int64_t)1767225600 * 1000;
    (void)proxy_cond_is_not_modified(request, m);
    (void)proxy_cond_if_range_holds(request, m);
    cache_meta_unref(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str rest = { (const char *)data, n }, content_range = fuzz_line(&rest);
    struct el_field v[FUZZ_MAX_FIELDS];
    struct el_fieldv request = fuzz_fields(rest, v);

    check_range(request);
    check_content_range(content_range, request);
    check_conditions(request);
    return 0;
}
