/* SPDX-License-Identifier: MIT */
/*
 * explain: what the node would do with a request, and why, without doing it.
 *
 *   GET /api/v1/explain?url=     and for each field that the client would send a field
 *   Explain-Field: Name: value
 *
 * The request has a head and no client, and goes through the functions by which req.c decides, up
 * to where it would be delivered, or the origin asked. What the disks have of the url comes by
 * message, as in operate.c. Neither is the origin asked nor anything changed, so a grant that the
 * answer speaks of may be gone a moment later.
 *
 * Thread: the node API's; the proxy is locked while it is looked at, so it does not stop meanwhile.
 */
#include "proxy/nodeapi_routes.h"
#include "proxy/query.h"
#include "proxy/req.h"
#include "proxy/vary.h"

/* ---- the request ---- */

struct explanation {
    struct proxy_nodeapi *api;
    struct el_http_later *later; /* its answer */
    struct el_buf target, key;
    struct el_fields fields; /* that the client would send */
    struct cache_stat stat;
};

static void start_request(struct proxy *p, const struct explanation *q, struct proxy_stream *stream,
                          struct proxy_req *r)
{
    *stream = (struct proxy_stream){ .head = { .method = EL_STR("GET"),
                                               .target = el_buf_str(&q->target),
                                               .fields = el_fields_view(&q->fields),
                                               .minor_version = 1,
                                               .body_length = EL_HTTP_BODY_NONE } };
    (void)el_fieldv_get(stream->head.fields, EL_STR("Host"), &stream->head.host);
    *r = (struct proxy_req){
        .proxy = p, .settings = atomic_load(&p->settings), .stream = stream, .is_get = true
    };
}

/* The copy that the request selects; NULL when there is none. */
static const struct cache_variant *select_copy(const struct proxy_req *r,
                                               const struct cache_stat *st)
{
    for (size_t i = 0; i < st->n; i++) {
        if (proxy_vary_matches(st->v[i].meta, r->stream->head.fields, r->route.by_host))
            return &st->v[i];
    }
    return NULL;
}

static bool is_fresh(const struct proxy_req *r, const struct cache_meta *meta)
{
    enum proxy_fresh_use use = proxy_fresh_use(meta, &r->fresh, proxy_req_now(r));

    return use == PROXY_FRESH ||
           (use == PROXY_STALE_WHILE_ASKING && meta->is_public && proxy_refresh_may_follow(r));
}

static enum proxy_rule decide(struct proxy_req *r, const struct cache_meta *meta)
{
    struct proxy_authorise_in in = {
        .grants = r->proxy->grants,
        .hash = el_sha256_new(),
        .verifier = proxy_verifier_new(),
        .keys = r->settings->keys,
        .policy = r->policy,
        .route = &r->route,
        .method = r->stream->head.method,
        .fields = r->stream->head.fields,
        .wall_ms = proxy_req_now(r),
        .mono_ms = el_clock_mono_ms(r->proxy->clock),
    };
    enum proxy_rule rule;

    if (r->route.has_credentials)
        proxy_authority_read(&in, &r->who);
    rule = proxy_authorise(&in, &r->who, meta, meta != NULL && is_fresh(r, meta));
    proxy_verifier_free(in.verifier);
    el_sha256_free(in.hash);
    return rule;
}

/* ---- what is said of it ---- */

static void add_policy(json_t *root, const struct proxy_policy *policy)
{
    static const char *const auths[] = { "origin", "trust", "deny" };
    json_t *o = el_json_child(root, "policy");

    if (policy->prefix[0] != '\0')
        el_json_add_str(o, "prefix", el_str_of(policy->prefix));
    else
        el_json_add_null(o, "prefix");
    el_json_add_str(o, "auth", el_str_of(auths[policy->auth]));
    el_json_add_str(o, "grant",
                    policy->grant == EL_GRANT_PREFIX ? EL_STR("prefix") : EL_STR("object"));
    el_json_add_u64(o, "grant_ttl_s", policy->grant_ttl_ms / 1000);
    el_json_add_u64(o, "freshness_s", policy->freshness_ms / 1000);
    if (policy->lifetime_ms == PROXY_POLICY_NO_LIFETIME)
        el_json_add_null(o, "ttl_s");
    else
        el_json_add_u64(o, "ttl_s", (uint64_t)policy->lifetime_ms / 1000);
    if (policy->max_bytes == UINT64_MAX)
        el_json_add_null(o, "max_object_mb");
    else
        el_json_add_u64(o, "max_object_mb", policy->max_bytes / EL_MIB);
    el_json_add_bool(o, "bypass", policy->bypass);
}

static void add_signature(json_t *root, const struct proxy_req *r)
{
    int64_t now = proxy_req_now(r), left_ms;
    struct proxy_signature s;
    json_t *o;

    proxy_signature_read(r->route.to.target, r->stream->head.fields, now, &s);
    if (!s.is_known) {
        el_json_add_null(root, "signature");
        return;
    }
    left_ms = s.until_ms > now ? s.until_ms - now : 0;
    o = el_json_child(root, "signature");
    el_json_add_str(o, "access_key", s.key_id);
    el_json_add_u64(o, "ends_in_s", (uint64_t)left_ms / 1000);
    if (r->who.was_verified)
        el_json_add_bool(o, "verified", r->who.is_right);
    else
        el_json_add_null(o, "verified");
}

static void add_copy(json_t *root, const struct proxy_req *r, const struct cache_variant *v)
{
    int64_t now = proxy_req_now(r), age_ms;
    json_t *o;

    if (v == NULL) {
        el_json_add_null(root, "cached");
        return;
    }
    age_ms = proxy_fresh_age_ms(v->meta, now);
    o = el_json_child(root, "cached");
    el_json_add_u64(o, "status", (uint64_t)v->meta->status);
    el_json_add_bool(o, "public", v->meta->is_public);
    el_json_add_bool(o, "fresh", is_fresh(r, v->meta));
    el_json_add_u64(o, "age_s", (uint64_t)age_ms / 1000);
    el_json_add_u64(o, "lifetime_s", (uint64_t)proxy_fresh_lifetime_ms(v->meta, &r->fresh) / 1000);
    el_json_add_u64(o, "blocks", v->blocks);
    el_json_add_u64(o, "cached_blocks", v->cached_blocks);
    el_json_add_u64(o, "memory_blocks", v->memory_blocks);
    el_json_add_u64(o, "disk_blocks", v->disk_blocks);
}

/* Why no rule lets it be served, beginning with what stands in the way of all. */
static const char *why_origin(const struct proxy_req *r, const struct cache_variant *v)
{
    if (v == NULL)
        return "nothing that it selects is cached: the origin is asked";
    if (!is_fresh(r, v->meta))
        return "the copy is not fresh: the origin is asked whether it still is good";
    if (!r->route.has_credentials)
        return "the copy is private and the request anonymous: the origin is asked";
    if (!r->who.is_known)
        return "the credentials are no signature whose end can be told: the origin is asked";
    if (r->who.was_verified && r->who.is_right)
        return "the signature is right, but the origin has not accepted the key for this lately: "
               "it is asked";
    return "the origin has not accepted this very request lately: it is asked";
}

static const char *action_of(enum proxy_rule rule)
{
    switch (rule) {
    case PROXY_RULE_DENY:
        return "refuse";
    case PROXY_RULE_NONE:
        return "pass";
    case PROXY_RULE_ORIGIN:
        return "ask";
    case PROXY_RULE_PUBLIC:
    case PROXY_RULE_TRUST:
    case PROXY_RULE_REQUEST:
    case PROXY_RULE_KEY:
    case PROXY_RULES:
        break;
    }
    return "serve";
}

static void add_decision(json_t *root, enum proxy_rule rule, const char *why)
{
    el_json_add_str(root, "rule", el_str_of(proxy_rule_name(rule)));
    el_json_add_str(root, "action", el_str_of(action_of(rule)));
    el_json_add_str(root, "why", el_str_of(why));
}

static json_t *add_source(json_t *list, const char *source)
{
    json_t *o = el_json_append_child(list);

    el_json_add_str(o, "source", el_str_of(source));
    return o;
}

/* Who would be asked for its bytes, in that order. */
static void add_sources(json_t *root, enum proxy_rule rule, const struct cache_variant *v,
                        size_t others)
{
    json_t *list = el_json_child_list(root, "sources");
    bool is_shared = rule != PROXY_RULE_NONE && rule != PROXY_RULE_DENY;
    bool is_whole = v != NULL && v->blocks > 0 && v->cached_blocks == v->blocks;

    if (is_shared && v != NULL && v->cached_blocks > 0)
        el_json_add_u64(add_source(list, "here"), "blocks", v->cached_blocks);
    if (is_shared && !is_whole && others > 0)
        el_json_add_u64(add_source(list, "peers"), "members", others);
    if (rule == PROXY_RULE_NONE || rule == PROXY_RULE_ORIGIN || (is_shared && !is_whole))
        (void)add_source(list, "origin");
}

static size_t others_of(const struct proxy_nodeapi *api)
{
    size_t n = api->conf.p2p != NULL ? p2p_cluster_size(api->conf.p2p) : 1;

    return n > 1 && p2p_asks_others(api->conf.p2p) ? n - 1 : 0;
}

static void explain_admitted(struct proxy_req *r, const struct explanation *q, json_t *root)
{
    bool wants_cache = proxy_req_prepare(r);
    const struct cache_variant *v = select_copy(r, &q->stat);
    enum proxy_rule rule = PROXY_RULE_NONE;

    if (wants_cache)
        rule = decide(r, v != NULL ? v->meta : NULL);
    add_decision(root, rule,
                 rule == PROXY_RULE_ORIGIN ? why_origin(r, v) : proxy_rule_reason(rule));
    add_policy(root, r->policy);
    add_signature(root, r);
    el_json_add_bool(root, "signed_by_node", r->route.to.as_node);
    add_copy(root, r, v);
    add_sources(root, rule, v, others_of(q->api));
}

static void explain(struct proxy *p, const struct explanation *q, json_t *root)
{
    struct el_error err = { 0 };
    struct proxy_stream stream;
    struct proxy_req r;
    enum el_err rc;

    start_request(p, q, &stream, &r);
    rc = proxy_req_admit(&r, &err);
    el_json_add_str(root, "url", el_buf_str(&q->key));
    if (rc == EL_OK) {
        explain_admitted(&r, q, root);
    } else {
        add_decision(root, PROXY_RULE_DENY, err.text);
        if (r.policy != NULL)
            add_policy(root, r.policy);
    }
    el_buf_deinit(&r.route.url);
}

/* ---- the route ---- */

static void free_explanation(struct explanation *q)
{
    el_buf_deinit(&q->target);
    el_buf_deinit(&q->key);
    el_fields_deinit(&q->fields);
    free(q);
}

static void finish(struct explanation *q)
{
    struct el_http_reply *out = el_http_later_reply(q->later);
    struct proxy *proxy = proxy_nodeapi_lock(q->api);
    json_t *root = el_json_new();
    struct el_error err = { 0 };

    if (proxy != NULL)
        explain(proxy, q, root);
    proxy_nodeapi_unlock(q->api);
    if (proxy != NULL) {
        el_http_reply_json(out, 200, root);
    } else {
        json_decref(root);
        (void)el_fail(&err, EL_ESHUTDOWN, 0, "the node is stopping");
        proxy_operate_reply_error(out, &err);
    }
    el_http_later_give(q->later);
}

static void on_stat(struct el_msg *m)
{
    struct explanation *q = EL_ENTRY(m, struct explanation, stat.msg);

    finish(q);
    cache_stat_deinit(&q->stat);
    free_explanation(q);
}

static enum el_err read_field(struct explanation *q, struct el_str line, struct el_error *err)
{
    size_t colon = el_str_find(line, ':');
    struct el_str name = el_str_first(line, colon);

    if (colon == line.n || name.n == 0 || el_str_trim(name).n != name.n)
        return el_fail(err, EL_EBADREQ, 0, "a field is not \"Name: value\"");
    el_fields_add(&q->fields, name, el_str_trim(el_str_from(line, colon + 1)));
    return EL_OK;
}

static enum el_err read_all(struct explanation *q, const struct el_http_call_in *in,
                            struct el_error *err)
{
    static const char *const names[] = { "url" };
    size_t which;
    enum el_err rc = proxy_query_one(in->query, names, EL_COUNT(names), &which, &q->target, err);

    for (size_t i = 0; rc == EL_OK && i < in->fields.n; i++) {
        if (el_str_ieq(in->fields.v[i].name, EL_STR("Explain-Field")))
            rc = read_field(q, in->fields.v[i].value, err);
    }
    return rc != EL_OK ? rc : proxy_operate_key(q->api, el_buf_str(&q->target), &q->key, err);
}

void proxy_explain_get(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct explanation *q = el_new(struct explanation);
    struct el_error err = { 0 };

    q->api = arg;
    el_fields_init(&q->fields);
    if (read_all(q, in, &err) != EL_OK)
        proxy_operate_reply_error(out, &err);
    else
        q->later = el_http_defer(out);
    if (q->later == NULL) {
        free_explanation(q);
        return;
    }
    el_msg_init(&q->stat.msg, on_stat);
    q->stat.queue = el_http_later_queue(q->later);
    cache_stat(q->api->conf.cache, el_buf_str(&q->key), &q->stat);
}
