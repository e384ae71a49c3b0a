/* SPDX-License-Identifier: MIT */
/*
 * page: the dashboard, the files of controlplane/dashboard/ and the library for charts of the
 * system it was built on. They are part of the program: no file is looked for while it runs. What
 * the page shows it asks the API for, as anybody may.
 */
#include "common/embed.h"
#include "common/sha256.h"
#include "controlplane/serve.h"

EL_EMBED("cp_page_html", CP_DASHBOARD_DIR "/index.html");
EL_EMBED("cp_page_css", CP_DASHBOARD_DIR "/dashboard.css");
EL_EMBED("cp_page_js", CP_DASHBOARD_DIR "/dashboard.js");
EL_EMBED("cp_page_early", CP_DASHBOARD_DIR "/theme.js");
EL_EMBED("cp_page_icon", CP_DASHBOARD_DIR "/icon.svg");
EL_EMBED("cp_page_chart", CP_CHART_JS);

extern const char cp_page_html[], cp_page_html_end[], cp_page_css[], cp_page_css_end[];
extern const char cp_page_js[], cp_page_js_end[], cp_page_chart[], cp_page_chart_end[];
extern const char cp_page_early[], cp_page_early_end[], cp_page_icon[], cp_page_icon_end[];

struct page {
    const char *name, *content_type, *bytes, *end;
};

static const struct page pages[CP_PAGES] = {
    { "", "text/html; charset=utf-8", cp_page_html, cp_page_html_end },
    { "dashboard.css", "text/css; charset=utf-8", cp_page_css, cp_page_css_end },
    { "dashboard.js", "text/javascript; charset=utf-8", cp_page_js, cp_page_js_end },
    { "theme.js", "text/javascript; charset=utf-8", cp_page_early, cp_page_early_end },
    { "icon.svg", "image/svg+xml", cp_page_icon, cp_page_icon_end },
    { "chart.js", "text/javascript; charset=utf-8", cp_page_chart, cp_page_chart_end },
};

/* Nothing but what this service gives: no script in the page, no other host, no frame. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                             "img-src 'self'; connect-src 'self'; base-uri 'none'; "
                             "form-action 'none'; frame-ancestors 'none'";

static struct el_str bytes_of(const struct page *p)
{
    return (struct el_str){ p->bytes, (size_t)(p->end - p->bytes) };
}

void cp_pages_name(char ret[CP_PAGES][CP_ETAG_CHARS + 1])
{
    for (size_t i = 0; i < CP_PAGES; i++) {
        struct el_str bytes = bytes_of(&pages[i]);
        struct el_digest hash;

        el_sha256_of(bytes.p, bytes.n, &hash);
        (void)snprintf(ret[i], CP_ETAG_CHARS + 1, "\"%02x%02x%02x%02x%02x%02x%02x%02x\"", hash.b[0],
                       hash.b[1], hash.b[2], hash.b[3], hash.b[4], hash.b[5], hash.b[6], hash.b[7]);
    }
}

/* The client has these very bytes. */
static bool is_known(struct el_fieldv fields, const char *etag)
{
    struct el_str list, one;

    if (!el_fieldv_get(fields, EL_STR("If-None-Match"), &list))
        return false;
    while (el_str_split(&list, ',', &one)) {
        one = el_str_trim(one);
        if (el_str_starts(one, EL_STR("W/")))
            one = el_str_from(one, 2);
        if (el_str_eq(one, el_str_of(etag)) || el_str_eq(one, EL_STR("*")))
            return true;
    }
    return false;
}

static void give(struct cp_service *s, size_t i, const struct el_http_call_in *in,
                 struct el_http_reply *out)
{
    bool has_it = is_known(in->fields, s->page_etags[i]);

    out->status = has_it ? 304 : 200;
    out->content_type = pages[i].content_type;
    cp_reply_field(out, "ETag", s->page_etags[i]);
    cp_reply_field(out, "Cache-Control", "no-cache");
    cp_reply_field(out, "Content-Security-Policy", policy);
    cp_reply_field(out, "X-Content-Type-Options", "nosniff");
    cp_reply_field(out, "X-Frame-Options", "DENY");
    cp_reply_field(out, "Referrer-Policy", "no-referrer");
    cp_reply_field(out, "Cross-Origin-Opener-Policy", "same-origin");
    cp_reply_field(out, "Cross-Origin-Resource-Policy", "same-origin");
    if (!has_it)
        el_buf_add_str(&out->body, bytes_of(&pages[i]));
}

static bool wants_page(struct el_fieldv fields)
{
    struct el_str list, one;

    if (!el_fieldv_get(fields, EL_STR("Accept"), &list))
        return false;
    while (el_str_split(&list, ',', &one)) {
        if (el_str_istarts(el_str_trim(one), EL_STR("text/html")))
            return true;
    }
    return false;
}

/* The dashboard for who wants to read, for programs the same as /health. */
void cp_get_root(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    cp_reply_field(out, "Vary", "Accept");
    if (wants_page(in->fields))
        give((struct cp_service *)arg, 0, in, out);
    else
        cp_get_health(arg, in, out);
}

void cp_get_page(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    for (size_t i = 1; i < CP_PAGES; i++) {
        if (el_str_eq(in->params[0], el_str_of(pages[i].name))) {
            give((struct cp_service *)arg, i, in, out);
            return;
        }
    }
    cp_reply_say(out, 404, EL_ENOTFOUND, "file", "the dashboard has no such file");
}
