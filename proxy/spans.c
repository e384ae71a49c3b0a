/* SPDX-License-Identifier: MIT */
/*
 * spans: see spans.h. Of the encoding: 64-bit integers are strings, enumerations numbers, ids
 * hexadecimal. Attributes have the names of the semantic conventions for HTTP where these have one,
 * others begin with eliop2p.
 */
#include "proxy/spans.h"

#include "common/json.h"
#include "common/url.h"

#define KIND_SERVER  2
#define STATUS_ERROR 2
#define MAX_METHOD   32u

struct proxy_spans {
    struct proxy_linelog *lines;
    const char *node_id;
    struct el_rng *rngs; /* owned; one for each thread index, which alone uses it */
};

/* ---- one line ---- */

static void add_number(json_t *o, const char *key, uint64_t value)
{
    char text[21];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    el_json_add_str(o, key, el_str_of(text));
}

static json_t *add_attribute(json_t *list, const char *key)
{
    json_t *o = el_json_append_child(list);

    el_json_add_str(o, "key", el_str_of(key));
    return el_json_child(o, "value");
}

static void add_text(json_t *list, const char *key, struct el_str value)
{
    el_json_add_str(add_attribute(list, key), "stringValue", value);
}

static void add_u64(json_t *list, const char *key, uint64_t value)
{
    add_number(add_attribute(list, key), "intValue", value);
}

/* "192.0.2.1:4711", or "[2001:db8::1]:4711". */
static void add_client(json_t *list, struct el_str client)
{
    size_t n = client.n;
    uint64_t port;

    while (n > 0 && client.p[n - 1] != ':')
        n--;
    if (n > 1 && el_str_u64(el_str_from(client, n), UINT16_MAX, &port)) {
        add_u64(list, "client.port", port);
        client = el_str_first(client, n - 1);
    }
    if (client.n > 2 && client.p[0] == '[' && client.p[client.n - 1] == ']')
        client = el_str_from(el_str_first(client, client.n - 1), 1);
    add_text(list, "client.address", client);
}

static void add_url(json_t *list, struct el_str url)
{
    struct el_buf shown = { 0 };

    el_url_write_shown(&shown, url);
    add_text(list, "url.full", el_buf_str(&shown));
    el_buf_deinit(&shown);
}

static bool is_failure(const struct proxy_span *s)
{
    return s->is_broken || s->request->status >= 500;
}

static void add_failure(json_t *list, const struct proxy_span *s)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%d", s->request->status);
    add_text(list, "error.type", s->is_broken ? EL_STR("incomplete") : el_str_of(text));
}

static void add_attributes(json_t *list, const struct proxy_span *s)
{
    const struct proxy_access_entry *e = s->request;
    char key[64];

    add_text(list, "http.request.method", el_str_first(e->method, MAX_METHOD));
    add_url(list, e->url);
    if (e->status != 0)
        add_u64(list, "http.response.status_code", (uint64_t)e->status);
    add_u64(list, "http.response.body.size", e->bytes);
    add_client(list, el_str_of(e->client));
    if (e->x_cache != NULL)
        add_text(list, "eliop2p.cache", el_str_of(e->x_cache));
    for (unsigned t = 0; t < PROXY_TIERS; t++) {
        if (s->share->bytes[t] == 0)
            continue;
        (void)snprintf(key, sizeof(key), "eliop2p.bytes.%s", proxy_tier_name((enum proxy_tier)t));
        add_u64(list, key, s->share->bytes[t]);
    }
    if (s->origin_status != 0)
        add_u64(list, "eliop2p.origin.status_code", (uint64_t)s->origin_status);
    if (is_failure(s))
        add_failure(list, s);
}

static void add_span(json_t *o, const struct proxy_span *s, uint64_t id)
{
    uint64_t end = (uint64_t)s->end_wall_ns, began = end - s->took_ns;
    char hex[17];
    json_t *event;

    (void)snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)id);
    el_json_add_str(o, "traceId", s->trace.id);
    el_json_add_str(o, "spanId", el_str_of(hex));
    el_json_add_str(o, "parentSpanId", s->trace.parent);
    el_json_add_str(o, "name", el_str_first(s->request->method, MAX_METHOD));
    el_json_add_u64(o, "kind", KIND_SERVER);
    add_number(o, "startTimeUnixNano", began);
    add_number(o, "endTimeUnixNano", end);
    add_attributes(el_json_child_list(o, "attributes"), s);
    if (s->first_byte_ns != 0) {
        event = el_json_append_child(el_json_child_list(o, "events"));
        add_number(event, "timeUnixNano", began + s->first_byte_ns);
        el_json_add_str(event, "name", EL_STR("first byte"));
    }
    if (is_failure(s))
        el_json_add_u64(el_json_child(o, "status"), "code", STATUS_ERROR);
}

/* What a line is made of. */
struct line {
    const struct proxy_spans *spans;
    const struct proxy_span *span;
    uint64_t id;
};

static void put_line(struct el_buf *out, const void *entry)
{
    const struct line *l = entry;
    json_t *root = el_json_new(), *scope;
    json_t *resource = el_json_append_child(el_json_child_list(root, "resourceSpans"));
    json_t *attributes = el_json_child_list(el_json_child(resource, "resource"), "attributes");

    add_text(attributes, "service.name", EL_STR("elionode"));
    add_text(attributes, "service.version", EL_STR(ELIO_VERSION));
    add_text(attributes, "service.instance.id", el_str_of(l->spans->node_id));
    scope = el_json_append_child(el_json_child_list(resource, "scopeSpans"));
    el_json_add_str(el_json_child(scope, "scope"), "name", EL_STR("eliop2p.proxy"));
    add_span(el_json_append_child(el_json_child_list(scope, "spans")), l->span, l->id);
    el_json_write(out, root);
}

/* ---- its life ---- */

enum el_err proxy_spans_open(const struct proxy_spans_conf *conf, struct proxy_spans **ret_spans,
                             struct el_error *err)
{
    struct proxy_spans *s = el_new(struct proxy_spans);
    const struct proxy_linelog_conf lines = {
        .path = conf->path,
        .name = "trace log",
        .thread_name = "tracelog",
        .threads = conf->threads,
        .lost = el_metrics_counter(conf->metrics, "eliop2p_trace_log_lost_lines_total",
                                   "Lines of the trace log that could not be written.", NULL),
    };
    enum el_err rc;

    s->node_id = conf->node_id;
    s->rngs = el_alloc(conf->threads * sizeof(*s->rngs));
    for (unsigned i = 0; i < conf->threads; i++)
        el_rng_seed_random(&s->rngs[i]);
    rc = proxy_linelog_open(&lines, &s->lines, err);
    if (rc == EL_OK)
        *ret_spans = s;
    else
        proxy_spans_close(s);
    return rc;
}

void proxy_spans_write(struct proxy_spans *s, unsigned thread_index, const struct proxy_span *span)
{
    struct line l = { .spans = s, .span = span };

    do
        l.id = el_rng_u64(&s->rngs[thread_index]);
    while (l.id == 0); /* which is none */
    proxy_linelog_write(s->lines, thread_index, put_line, &l);
}

enum el_err proxy_spans_reopen(struct proxy_spans *s, struct el_error *err)
{
    return s != NULL ? proxy_linelog_reopen(s->lines, err) : EL_OK;
}

void proxy_spans_close(struct proxy_spans *s)
{
    if (s == NULL)
        return;
    proxy_linelog_close(s->lines);
    free(s->rngs);
    free(s);
}
