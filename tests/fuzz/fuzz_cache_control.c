/* SPDX-License-Identifier: MIT */
/*
 * An input is three digits of a status; a date; the Cache-Control of a request; and the fields of
 * an answer, which also serve as those of the 304 and of the next request.
 */
#include "proxy/date.h"
#include "proxy/directives.h"
#include "proxy/fresh.h"
#include "proxy/vary.h"
#include "tests/fuzz/fuzz.h"

#define NOW_MS     ((int64_t)1767225600 * 1000)
#define LONGEST_MS (PROXY_DELTA_MAX * 1000)

static void check_date(struct el_str text)
{
    int64_t ms;

    /* From year 0 to the end of 9999. */
    if (proxy_date_parse(text, NOW_MS, &ms))
        CLAIM(ms >= -62167219200000 && ms <= 253402300800000);
}

/* What stands in for an origin that answered stands in for one out of reach as well. */
static void check_stand_in(const struct cache_meta *m, const struct proxy_fresh_request *req,
                           const struct proxy_directives *d)
{
    bool for_an_error = proxy_fresh_may_stand_in(m, req, NOW_MS + 1, false);
    bool out_of_reach = proxy_fresh_may_stand_in(m, req, NOW_MS + 1, true);

    CLAIM(!for_an_error || out_of_reach);
    CLAIM(!out_of_reach || (!d->no_cache && !d->must_revalidate && !req->no_cache));
}

static void check_meta(const struct cache_meta *m, const struct proxy_fresh_request *req)
{
    struct proxy_directives d;
    enum proxy_fresh_use soon = proxy_fresh_use(m, req, NOW_MS + 1);
    enum proxy_fresh_use late = proxy_fresh_use(m, req, NOW_MS + 2 * LONGEST_MS);

    CLAIM(m->lifetime_ms >= 0 && m->lifetime_ms <= LONGEST_MS);
    CLAIM(m->corrected_age_ms >= 0);
    CLAIM(proxy_fresh_age_ms(m, NOW_MS + 1000) >= proxy_fresh_age_ms(m, NOW_MS));
    /* What was not fresh does not become so by waiting. */
    CLAIM(late != PROXY_FRESH || soon == PROXY_FRESH);
    CLAIM(late != PROXY_FRESH || req->max_stale_s != -1);
    proxy_directives_read(el_fields_view(&m->fields), &d);
    CLAIM(!d.no_cache || soon == PROXY_STALE);
    check_stand_in(m, req, &d);
    CLAIM(m->etag.n > 0 || m->last_modified.n > 0 || !m->has_strong_validator);
}

static void check_stored(const struct cache_meta *m, const struct proxy_fresh_request *req,
                         const struct proxy_fresh_response *res)
{
    struct proxy_directives d;

    proxy_directives_read(res->fields, &d);
    CLAIM(!req->no_store && !d.is_private && (!d.no_store || d.must_understand));
    CLAIM(!req->has_credentials || m->etag.n > 0 || m->last_modified.n > 0 ||
          el_fieldv_has(res->fields, EL_STR("ETag")) ||
          el_fieldv_has(res->fields, EL_STR("Last-Modified")) ||
          (m->is_public && !m->from_object_store));
    CLAIM(proxy_vary_matches(m, req->fields, false));
    check_meta(m, req);
}

static void check_answer(const struct proxy_fresh_request *req,
                         const struct proxy_fresh_response *res)
{
    const char *why = "";
    struct cache_meta *m = proxy_fresh_meta(req, res, &why), *updated;

    CLAIM((m == NULL) == (why != NULL));
    if (m == NULL)
        return;
    check_stored(m, req, res);
    updated = proxy_fresh_update(m, req, res);
    CLAIM(el_str_eq(updated->etag, m->etag));
    CLAIM(el_str_eq(el_buf_str(&updated->vary_bytes), el_buf_str(&m->vary_bytes)));
    check_meta(updated, req);
    cache_meta_unref(updated);
    cache_meta_unref(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str rest = { (const char *)data, n }, status = fuzz_line(&rest);
    struct el_str date = fuzz_line(&rest);
    struct el_field v[FUZZ_MAX_FIELDS], control = { EL_STR("Cache-Control"), fuzz_line(&rest) };
    struct proxy_fresh_response res = { .fields = fuzz_fields(rest, v),
                                        .request_ms = NOW_MS - 1500,
                                        .response_ms = NOW_MS };
    struct proxy_fresh_request req;
    uint64_t code = 200;

    (void)el_str_u64(status, 999, &code);
    res.status = (int)code;
    check_date(date);
    for (int i = 0; i < 4; i++) {
        proxy_fresh_request(&req, (struct el_fieldv){ &control, 1 }, i & 1, i & 2, 10000);
        req.policy = (struct proxy_fresh_policy){ 10000, 5000, 60000 };
        check_answer(&req, &res);
    }
    proxy_fresh_request(&req, res.fields, false, false, 10000);
    check_answer(&req, &res);
    return 0;
}
