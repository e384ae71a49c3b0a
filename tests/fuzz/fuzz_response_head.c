/* SPDX-License-Identifier: MIT */
/* An input is the head of an origin's answer: what is gathered of it, sent on, stored and followed.
 */
#include "common/http_head.h"
#include "proxy/fresh.h"
#include "proxy/headers_out.h"
#include "proxy/route.h"
#include "tests/fuzz/fuzz.h"

#define NOW_MS ((int64_t)1767225600 * 1000)

/* Each field is one line, ended by our own CRLF and by nothing else. */
static void check_lines(struct el_str lines, size_t most)
{
    struct el_str line;
    size_t n = 0;

    while (el_str_split(&lines, '\n', &line) && lines.p != NULL) {
        CLAIM(line.n > 2 && line.p[line.n - 1] == '\r');
        CLAIM(el_str_find(line, '\r') == line.n - 1 && el_str_find(line, '\0') == line.n);
        n++;
    }
    CLAIM(n <= most);
}

static void check_stored(int status, struct el_fieldv fields)
{
    const struct proxy_fresh_response res = {
        .status = status, .fields = fields, .request_ms = NOW_MS, .response_ms = NOW_MS
    };
    struct proxy_fresh_request req;
    struct cache_meta *m;
    const char *why;

    proxy_fresh_request(&req, (struct el_fieldv){ NULL, 0 }, false, false, 10000);
    req.policy = (struct proxy_fresh_policy){ 10000, 5000, 60000 };
    m = proxy_fresh_meta(&req, &res, &why);
    if (m == NULL)
        return;
    check_lines(el_buf_str(&m->head), fields.n + 1);
    CLAIM(el_fieldv_has(el_fields_view(&m->fields), EL_STR("Date")));
    CLAIM(proxy_fresh_head_agrees(m, el_fields_view(&m->fields), CACHE_UNKNOWN_LENGTH) ||
          el_fieldv_count(fields, EL_STR("ETag")) > 1 ||
          el_fieldv_count(fields, EL_STR("Last-Modified")) > 1);
    cache_meta_unref(m);
}

static void check_related(struct el_fieldv fields)
{
    const struct proxy_head head = { .method = EL_STR("PUT"),
                                     .target = EL_STR("http://o.test/a/b?c"),
                                     .host = EL_STR("o.test"),
                                     .minor_version = 1 };
    struct proxy_route route = { 0 };
    struct el_buf url = { 0 };
    struct el_str value;

    CLAIM(proxy_route_parse(NULL, &head, &route, NULL) == EL_OK);
    if (el_fieldv_get(fields, EL_STR("Location"), &value) &&
        proxy_route_related(&route, value, &url))
        CLAIM(el_str_starts(el_buf_str(&url), EL_STR("http://o.test/")));
    el_buf_deinit(&url);
    el_buf_deinit(&route.url);
}

static void check_head(const struct el_http_head *h)
{
    struct el_fieldv fields = el_fields_view(&h->fields);
    struct el_buf out = { 0 };

    CLAIM(h->status >= 100 && h->status <= 999);
    CLAIM(fields.n <= EL_HTTP_HEAD_MAX_FIELDS && h->bytes <= EL_HTTP_HEAD_MAX_BYTES);
    /* An interim head has no body to frame. */
    CLAIM(h->status < 200 || !el_fieldv_has(fields, EL_STR("Content-Length")) ||
          !el_fieldv_has(fields, EL_STR("Transfer-Encoding")));
    proxy_headers_response(fields, false, &out);
    check_lines(el_buf_str(&out), fields.n);
    el_buf_deinit(&out);
    check_stored(h->status, fields);
    check_related(fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str rest = { (const char *)data, n };
    struct el_http_head h;
    bool is_complete = false, is_refused = false;

    el_http_head_init(&h);
    while (rest.n > 0 && !is_complete && !is_refused) {
        size_t end = el_str_find(rest, '\n');
        struct el_str line = el_str_first(rest, end < rest.n ? end + 1 : end);

        is_refused = el_http_head_line(&h, line, &is_complete, NULL) != EL_OK;
        rest = el_str_from(rest, line.n);
    }
    if (is_complete && !is_refused)
        check_head(&h);
    el_http_head_deinit(&h);
    return 0;
}
