/* SPDX-License-Identifier: MIT */
/*
 * page: what a browser is shown at the node API's own address, the files of proxy/page/, which are
 * part of the program. All that the page shows it asks /api/v1/status for, as anybody may; it holds
 * nothing that needs a role.
 */
#include "common/embed.h"
#include "proxy/nodeapi_routes.h"

EL_EMBED("proxy_page_html", PROXY_PAGE_DIR "/index.html");
EL_EMBED("proxy_page_css", PROXY_PAGE_DIR "/status.css");
EL_EMBED("proxy_page_js", PROXY_PAGE_DIR "/status.js");

extern const char proxy_page_html[], proxy_page_html_end[];
extern const char proxy_page_css[], proxy_page_css_end[];
extern const char proxy_page_js[], proxy_page_js_end[];

/* Nothing but what this port gives: no script in the page, no other host, no frame. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                             "img-src data:; connect-src 'self'; base-uri 'none'; "
                             "form-action 'none'; frame-ancestors 'none'";

static void add_field(struct el_http_reply *out, const char *name, const char *value)
{
    el_fields_add(&out->fields, el_str_of(name), el_str_of(value));
}

static void give(struct el_http_reply *out, const char *content_type, const char *bytes,
                 const char *end)
{
    out->content_type = content_type;
    add_field(out, "Cache-Control", "no-cache");
    add_field(out, "Content-Security-Policy", policy);
    add_field(out, "X-Content-Type-Options", "nosniff");
    add_field(out, "Referrer-Policy", "no-referrer");
    el_buf_add_str(&out->body, (struct el_str){ bytes, (size_t)(end - bytes) });
}

void proxy_page_get(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    (void)in;
    give(out, "text/html; charset=utf-8", proxy_page_html, proxy_page_html_end);
}

void proxy_page_get_css(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    (void)in;
    give(out, "text/css; charset=utf-8", proxy_page_css, proxy_page_css_end);
}

void proxy_page_get_js(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    (void)in;
    give(out, "text/javascript; charset=utf-8", proxy_page_js, proxy_page_js_end);
}
