/* SPDX-License-Identifier: MIT */
/*
 * req: Request path 2 of 7. Before: http1.c (or h2.c) found a request and made a stream of it.
 * Next: deliver.c opens a cache reader (cache/reader.c, 3 of 7).
 *
 *     ROUTE ------------------------> TUNNEL    CONNECT; inside.c when it is intercepted
 *       | \-------------------------> PASS      what the cache has no part in
 *       v
 *     LOOKUP -----------------------> DELIVER   fresh, and for this caller
 *       |  ^ \
 *       |  |  v
 *       |  +-- WAIT                             another request is asking the origin the same; or
 *       v     /                                 the disk or other nodes are asked
 *      ASK <-+----------------------> DELIVER   our copy is good, or this is the new copy
 *       ^ \-------------------------> PASS      not to be stored
 *       |
 *     DELIVER                                   the origin refuses what is missing of the copy, or
 *                                               has another version
 *
 *     every step -> DONE, exactly once: there everything is let go.
 *
 * In ROUTE caller.c comes first: may the sender use the proxy at all.
 *
 * Who may read: rules.h. What the origin gave to an anonymous request is served while it is fresh,
 * and so is what it gave to this very request a moment ago. Anything else is served only while the
 * origin is sending it in answer to this client's own request, or after it answered that with 304.
 */
#include "proxy/req.h"

#include <inttypes.h>

#include "common/log.h"
#include "common/trace.h"
#include "common/url.h"
#include "proxy/access.h"
#include "proxy/caller.h"
#include "proxy/fresh.h"
#include "proxy/headers_out.h"
#include "proxy/inside.h"
#include "proxy/notice.h"
#include "proxy/vary.h"

/* A leader whose connection to the origin hangs must not hang everybody: after this a request asks
 * for itself, however many it has waited for. */
#define WAIT_MS 10000u
/* What other variants' leaders bring is of no use: those of as many are waited for. */
#define MAX_WAITS 2
#define LOAD_WAIT_MS \
    500u /* for the disk, which has its own deadlines: a stalled one holds nobody up */
#define CONFIRM_WAIT_MS 1000u /* for other nodes, about a stale copy: then it asks the origin */

/* Finished requests that a thread keeps for the next ones. */
#define MAX_SPARES 256

struct thread_state {
    struct el_list running; /* of proxy_req.link */
    struct el_list spare;
    unsigned spares;
    struct proxy_notices notices; /* of what failed, by host and port */
    struct el_sha256 *hash;       /* of grants */
    struct proxy_verifier *verifier;
};

static void on_exchange(void *arg, struct store_exchange *ex, enum store_event ev);

/* ---- moving from step to step ---- */

static const unsigned moves[PROXY_STEPS] = {
#define TO(step) (1u << PROXY_STEP_##step)
    [PROXY_STEP_ROUTE] = TO(LOOKUP) | TO(PASS) | TO(TUNNEL) | TO(DONE),
    [PROXY_STEP_LOOKUP] = TO(WAIT) | TO(ASK) | TO(DELIVER) | TO(PASS) | TO(DONE),
    [PROXY_STEP_WAIT] = TO(LOOKUP) | TO(DONE),
    [PROXY_STEP_ASK] = TO(DELIVER) | TO(PASS) | TO(DONE),
    [PROXY_STEP_DELIVER] = TO(ASK) | TO(PASS) | TO(DONE),
    [PROXY_STEP_PASS] = TO(DONE),
    [PROXY_STEP_TUNNEL] = TO(DONE),
    [PROXY_STEP_DONE] = 0,
#undef TO
};

int64_t proxy_req_now(const struct proxy_req *r)
{
    return el_clock_wall_ms(r->proxy->clock);
}

void proxy_req_land(struct proxy_req *r, bool stored, uint64_t solo_ms)
{
    if (!r->leads)
        return;
    r->leads = false;
    cache_flight_land(r->proxy->cache, el_buf_str(&r->route.url), stored, solo_ms);
}

/* ---- lines of the log ---- */

/* The host that the request is for, as a name for the log. Empty before it is routed. */
static struct el_str origin_name(const struct proxy_req *r, struct el_buf *room)
{
    el_buf_add_str(room, r->route.to.host);
    if (r->route.to.host.n > 0)
        el_buf_addf(room, ":%u", (unsigned)r->route.to.port);
    return el_buf_str(room);
}

static void note(struct proxy_req *r, enum el_event event, enum el_err code, const char *detail)
{
    struct thread_state *ts = r->thread->user;
    struct el_buf room = { 0 };
    struct el_str origin = origin_name(r, &room);

    if (proxy_notice_due(&ts->notices, origin, el_clock_mono_ms(r->proxy->clock)))
        el_log(EL_WARN, event, "origin=%s client=%s code=%d error=%s", EL_LOG_Q(origin),
               EL_LOG_Q(el_str_of(r->stream->client)), (int)code, EL_LOG_Q(el_str_of(detail)));
    el_buf_deinit(&room);
}

/* A malformed request is the client's business: it is answered and counted, but no line. */
static void note_refusal(struct proxy_req *r, enum el_err code, const char *detail)
{
    if (code == EL_EFORBIDDEN || code == EL_ELOOP)
        note(r, EV_REFUSED, code, detail);
    else if (code == EL_EPROXYAUTH)
        note(r, EV_PROXY_AUTH, code, detail);
}

void proxy_req_note_origin(struct proxy_req *r, enum el_err code, const char *detail)
{
    /* Without a client it concerns nobody yet, and the breaker has a line of its own. */
    bool is_news =
        r->stream != NULL && code != EL_EBREAKER && code != EL_ECANCELED && code != EL_ESHUTDOWN;

    if (is_news && code == EL_EFORBIDDEN)
        note_refusal(r, code, detail);
    else if (is_news)
        note(r, EV_ORIGIN_ERROR, code, detail);
}

void proxy_req_origin_failed(struct proxy_req *r, enum el_err code, const char *detail)
{
    proxy_req_note_origin(r, code, detail);
    proxy_req_fail(r, code, detail);
}

/* ---- the exchange with the origin ---- */

void proxy_req_exchange(struct proxy_req *r, const struct el_fields *fields, int64_t body_length,
                        enum store_reason reason)
{
    bool is_safe = !r->is_unsafe && body_length == EL_HTTP_BODY_NONE;
    const struct store_request req = {
        .method = r->stream != NULL ? r->stream->head.method : EL_STR("GET"),
        .to = r->route.to,
        .fields = el_fields_view(fields),
        .body_length = body_length,
        .reason = reason,
        .retry = is_safe,
    };

    r->epoch = proxy_invalidate_epoch(r);
    r->asked_wall_ms = proxy_req_now(r);
    r->ex = store_exchange_start(r->proxy->storage, &req, r->thread->queue, on_exchange, r);
}

/* Over before there was a head. */
static void on_no_answer(struct proxy_req *r)
{
    struct el_error err = r->ex->err;

    if (err.code == EL_OK)
        err.code = EL_EPROTO;
    proxy_req_note_origin(r, err.code, err.text);
    if (r->step == PROXY_STEP_ASK && proxy_fresh_is_out_of_reach(err.code) &&
        proxy_refresh_stand_in(r, true))
        return;
    proxy_req_fail(r, proxy_refresh_must_fail(r) ? EL_ENOTCACHED : err.code, err.text);
}

static void on_answer(struct proxy_req *r)
{
    r->origin_status = r->ex->status;
    if (r->is_get || r->is_head)
        proxy_authorise_learn(r->proxy->grants, r->policy, &r->who, r->ex->status, r->asked_wall_ms,
                              proxy_req_now(r), el_clock_mono_ms(r->proxy->clock));
    if (r->step == PROXY_STEP_ASK)
        proxy_ask_answer(r);
    else
        proxy_pass_answer(r);
}

static void on_interim(struct proxy_req *r)
{
    struct el_buf fields = { 0 };

    if (r->stream == NULL)
        return;
    proxy_headers_response(el_fields_view(&r->ex->fields), false, &fields);
    r->stream->ops->send_interim(r->stream, r->ex->status, el_buf_str(&fields));
    el_buf_deinit(&fields);
}

static void on_exchange(void *arg, struct store_exchange *ex, enum store_event ev)
{
    struct proxy_req *r = EL_CAST(arg, struct proxy_req, PROXY_REQ_MAGIC);

    EL_ASSERT(ex == r->ex);
    switch (ev) {
    case STORE_EV_INTERIM:
        on_interim(r);
        return;
    case STORE_EV_HEAD:
        on_answer(r);
        return;
    case STORE_EV_WRITABLE:
        proxy_pass_body(r);
        return;
    case STORE_EV_READABLE:
    case STORE_EV_DONE:
        if (r->head_is_sent)
            proxy_pass_push(r);
        else if (ev == STORE_EV_DONE)
            on_no_answer(r);
        return;
    }
}

/* Once for each request of a client: when it ends, or the client leaves. */
static void count_decision(struct proxy_req *r)
{
    el_counter_add(r->proxy->decisions[r->rule], 1);
}

/* ---- what the client does ---- */

void proxy_req_gone(struct proxy_req *r)
{
    /* The answer to a leader's question is for the others too. */
    bool goes_on = r->step == PROXY_STEP_ASK && r->leads && !r->route.range_is_signed;

    count_decision(r);
    if (goes_on)
        proxy_refresh_keep_fields(r);
    r->stream->ops->abort(r->stream);
    r->stream = NULL;
    if (!goes_on)
        proxy_req_step(r, PROXY_STEP_DONE);
}

static void on_gone(void *arg)
{
    proxy_req_gone(EL_CAST(arg, struct proxy_req, PROXY_REQ_MAGIC));
}

static void on_body(void *arg)
{
    proxy_pass_body(EL_CAST(arg, struct proxy_req, PROXY_REQ_MAGIC));
}

static void on_writable(void *arg)
{
    struct proxy_req *r = EL_CAST(arg, struct proxy_req, PROXY_REQ_MAGIC);

    if (r->step == PROXY_STEP_DELIVER)
        proxy_deliver_push(r);
    else if (r->step == PROXY_STEP_PASS && r->head_is_sent)
        proxy_pass_push(r);
}

static const struct proxy_stream_events events = {
    .on_writable = on_writable,
    .on_body = on_body,
    .on_gone = on_gone,
};

/* ---- ROUTE ---- */

/* The client itself says so, or the gateway's configuration does. */
static bool is_for_object_store(const struct proxy_req *r)
{
    struct el_str target = r->route.to.target, value;

    if (r->fresh.is_object_store ||
        el_url_is_presigned(el_str_from(target, el_str_find(target, '?') + 1)))
        return true;
    return el_fieldv_get(r->stream->head.fields, EL_STR("Authorization"), &value) &&
           (el_str_starts(value, EL_STR("AWS")) || el_str_starts(value, EL_STR("OSS")));
}

/* Azure's covers Range and the conditions, absent or not, and names none: nothing can be added. */
static bool is_signed_by_position(struct el_fieldv f)
{
    struct el_str value;

    return el_fieldv_get(f, EL_STR("Authorization"), &value) &&
           el_str_istarts(value, EL_STR("SharedKey "));
}

/* "Content-Length: 0" is a body of nothing; where it is signed it has to go on as it came. */
static bool has_body(const struct proxy_req *r)
{
    int64_t n = r->stream->head.body_length;

    return n != EL_HTTP_BODY_NONE &&
           (n != 0 || proxy_route_signed_has(&r->route, EL_STR("Content-Length")));
}

static bool wants_cache(const struct proxy_req *r)
{
    struct el_fieldv f = r->stream->head.fields;

    if (r->fresh.is_about && is_for_object_store(r))
        return false;
    /* If-Match and If-Unmodified-Since are the origin's to judge (RFC 9111 section 4.3.2). */
    return (r->is_get || r->is_head) && !r->policy->bypass && !r->route.is_led_astray &&
           !has_body(r) && !is_signed_by_position(f) && !el_fieldv_has(f, EL_STR("If-Match")) &&
           !el_fieldv_has(f, EL_STR("If-Unmodified-Since"));
}

static enum el_err find_policy(struct proxy_req *r, struct el_error *err)
{
    r->policy = proxy_policies_find(r->settings->policies, el_buf_str(&r->route.url));
    if (r->policy->auth != EL_AUTH_DENY)
        return EL_OK;
    r->rule = PROXY_RULE_DENY;
    return el_fail(err, EL_EFORBIDDEN, 0, "%s",
                   r->policy->prefix[0] != '\0' ? "a policy denies this part of the origin"
                                                : "auth.mode denies it");
}

/* A loop is told from its fields alone: in origin-form it may well name nothing that we serve. */
enum el_err proxy_req_admit(struct proxy_req *r, struct el_error *err)
{
    const struct proxy_head *head = &r->stream->head;
    enum el_err rc = proxy_guard_loop(head->fields, el_str_of(r->proxy->via_token), err);

    if (rc == EL_OK)
        rc = proxy_route_parse(r->proxy->gateway, head, &r->route, err);
    /* What says nothing of who asks is asked for in the node's own name, where it has one. */
    r->route.to.as_node = r->route.kind == PROXY_ROUTE_GATEWAY && !r->route.is_somebodys &&
                          storage_signs(r->proxy->storage);
    if (rc == EL_OK && r->route.to.as_node && r->is_unsafe &&
        proxy_access_is_of_a_page(head->fields))
        rc =
            el_fail(err, EL_EFORBIDDEN, 0, "nothing that a web page sends is signed as the node's");
    if (rc == EL_OK && r->route.kind == PROXY_ROUTE_CONNECT)
        rc = proxy_guard_connect(r->settings->guard, r->route.to.host, r->route.to.port, err);
    else if (rc == EL_OK && r->route.kind == PROXY_ROUTE_FORWARD)
        rc = proxy_guard_host(r->settings->guard, r->route.to.host, err);
    if (rc == EL_OK && r->route.url.n > 0)
        rc = find_policy(r, err);
    return rc;
}

static void on_tunnel(void *arg, enum el_err code, const struct el_error *err)
{
    struct proxy_req *r = EL_CAST(arg, struct proxy_req, PROXY_REQ_MAGIC);

    if (code == EL_OK) {
        r->stream = NULL; /* its socket is the tunnel's now */
        proxy_req_first_byte(r);
    } else if (code == EL_ERESET) {
        proxy_req_gone(r);
    } else {
        proxy_req_origin_failed(r, code, err->text);
    }
}

static void on_tunnel_end(void *arg, uint64_t up, uint64_t down)
{
    struct proxy_req *r = EL_CAST(arg, struct proxy_req, PROXY_REQ_MAGIC);
    const struct proxy_access_entry entry = {
        .wall_ms = r->started_wall_ms,
        .client = r->tunnel_client,
        .method = EL_STR("CONNECT"),
        .url = el_str_of(r->tunnel_target),
        .status = 200,
        .bytes = down,
        .is_tunnel = true,
        .bytes_in = up,
        .total_ms = (el_clock_mono_ns(r->proxy->clock) - r->tunnel_began_ns) / 1000000,
        .ttfb_ms = (r->first_byte_ns - r->tunnel_began_ns) / 1000000,
    };

    proxy_accesslog_write(r->proxy->access_log, r->thread->index, &entry);
    proxy_req_step(r, PROXY_STEP_DONE);
}

/* OPTIONS *: about the proxy itself (RFC 9110 section 9.3.7). */
static void answer_options(struct proxy_req *r)
{
    el_buf_clear(&r->head);
    el_buf_add_str(&r->head, EL_STR("Allow: GET, HEAD, PUT, POST, DELETE, OPTIONS, CONNECT\r\n"));
    r->status = 200;
    r->head_is_sent = true;
    r->stream->ops->send_head(r->stream, 200, el_buf_str(&r->head), 0);
    proxy_req_step(r, PROXY_STEP_DONE);
}

void proxy_req_refuse(struct proxy_req *r, enum el_err code, const char *detail)
{
    el_counter_add(r->proxy->refused, 1);
    note_refusal(r, code, detail);
    proxy_req_fail(r, code, detail);
}

void proxy_req_route(struct proxy_req *r)
{
    struct el_error err = { 0 };
    enum el_err rc = proxy_req_admit(r, &err);

    if (rc != EL_OK) {
        proxy_req_refuse(r, rc, err.text);
        return;
    }
    if (r->route.kind == PROXY_ROUTE_CONNECT)
        proxy_req_step(r, PROXY_STEP_TUNNEL);
    else if (r->route.kind == PROXY_ROUTE_OPTIONS_STAR)
        answer_options(r);
    else
        proxy_req_step(r, PROXY_STEP_LOOKUP);
}

/* ---- LOOKUP ---- */

/* The other variants are let go. */
struct cache_object *proxy_req_find(struct proxy_req *r)
{
    struct cache_object *found[CACHE_MAX_VARIANTS], *match = NULL;
    size_t n = cache_lookup(r->proxy->cache, el_buf_str(&r->route.url), found);

    for (size_t i = 0; i < n; i++) {
        struct cache_meta *meta = cache_object_meta(found[i]);

        if (match == NULL && proxy_vary_matches(meta, r->fresh.fields, r->route.by_host))
            match = found[i];
        else
            cache_object_unref(found[i]);
        cache_meta_unref(meta);
    }
    return match;
}

static enum proxy_rule authorise(struct proxy_req *r, const struct cache_meta *meta, bool is_fresh)
{
    const struct thread_state *ts = r->thread->user;
    const struct proxy_authorise_in in = {
        .grants = r->proxy->grants,
        .hash = ts->hash,
        .verifier = ts->verifier,
        .keys = r->settings->keys,
        .policy = r->policy,
        .route = &r->route,
        .method = r->stream->head.method,
        .fields = r->stream->head.fields,
        .wall_ms = proxy_req_now(r),
        .mono_ms = el_clock_mono_ms(r->proxy->clock),
    };

    if (r->route.has_credentials && !r->who.is_known)
        proxy_authority_read(&in, &r->who);
    return proxy_authorise(&in, &r->who, meta, is_fresh);
}

/* A change that may have come since makes it stale. */
static enum proxy_fresh_use use_of(struct proxy_req *r, const struct cache_meta *meta)
{
    return proxy_invalidate_doubts(r, meta->response_ms)
               ? PROXY_STALE
               : proxy_fresh_use(meta, &r->fresh, proxy_req_now(r));
}

/* Whether the copy may be delivered without asking anybody, if that is all it takes to be fresh. */
static bool may_deliver(struct proxy_req *r, bool is_fresh_anyway)
{
    struct cache_meta *meta = r->object != NULL ? cache_object_meta(r->object) : NULL;
    bool is_fresh = is_fresh_anyway;
    enum proxy_fresh_use use;

    if (meta != NULL && !is_fresh) {
        use = use_of(r, meta);
        r->is_to_refresh =
            use == PROXY_STALE_WHILE_ASKING && meta->is_public && proxy_refresh_may_follow(r);
        is_fresh = use == PROXY_FRESH || r->is_to_refresh ||
                   /* Confirmed after this request came, by the one it waited for. */
                   (r->collapsed && meta->response_ms >= r->started_wall_ms &&
                    !proxy_invalidate_doubts(r, meta->response_ms));
    }
    r->rule = authorise(r, meta, is_fresh);
    cache_meta_unref(meta);
    return r->rule != PROXY_RULE_ORIGIN;
}

/* Each leader that it waited for had another variant in mind: who knows how many are to come. */
static bool has_waited_enough(const struct proxy_req *r)
{
    return r->waits >= MAX_WAITS && r->object == NULL;
}

static void ask_or_wait(struct proxy_req *r)
{
    /* Only this caller's own question authorises it, or did so a moment ago. */
    bool is_private =
        r->object != NULL && (r->route.has_credentials || r->collapsed) && !may_deliver(r, true);

    r->rule = PROXY_RULE_ORIGIN;
    /* Conditions of its own may hide the body. */
    if (r->is_alone || is_private || r->has_conditions || has_waited_enough(r)) {
        proxy_req_step(r, PROXY_STEP_ASK);
        return;
    }
    switch (cache_flight_join(r->proxy->cache, el_buf_str(&r->route.url), &r->waiter)) {
    case CACHE_FLIGHT_LEAD:
        r->leads = true;
        proxy_req_step(r, PROXY_STEP_ASK);
        return;
    case CACHE_FLIGHT_SOLO:
        r->is_alone = true;
        proxy_req_step(r, PROXY_STEP_ASK);
        return;
    case CACHE_FLIGHT_WAIT:
        proxy_req_step(r, PROXY_STEP_WAIT);
        return;
    }
}

/* What the origin answers to it serves others as well. */
static bool asks_for_all(const struct proxy_req *r)
{
    return !r->is_head && r->range.kind != PROXY_RANGE_MULTI && !r->has_conditions &&
           !r->fresh.only_if_cached;
}

/* Whether the disk may have it; then the lookup is repeated once that has been seen to. */
static bool load(struct proxy_req *r)
{
    r->waiter.leads = asks_for_all(r);
    if (r->was_loaded || !cache_load(r->proxy->cache, el_buf_str(&r->route.url), &r->waiter))
        return false;
    r->was_loaded = r->is_loading = true;
    proxy_req_step(r, PROXY_STEP_WAIT);
    return true;
}

/* The client is content with what the cache takes for fresh. */
static bool leaves_it_to_cache(const struct proxy_fresh_request *f)
{
    return !f->no_cache && f->max_age_s < 0 && f->min_fresh_s < 0;
}

bool proxy_req_asks_others(struct proxy_req *r)
{
    struct cache_meta *meta;
    int64_t lifetime;
    bool may;

    if (!leaves_it_to_cache(&r->fresh))
        return false;
    meta = cache_object_meta(r->object);
    lifetime = proxy_fresh_lifetime_ms(meta, &r->fresh);
    /* What the key of this node opened others know as private. */
    may = meta->has_strong_validator && !meta->by_node && !meta->always_revalidate &&
          lifetime > 0 && !proxy_invalidate_doubts(r, meta->response_ms);
    cache_meta_unref(meta);
    r->waiter.leads = true;
    if (!may ||
        !cache_confirm(r->proxy->cache, el_buf_str(&r->route.url), (uint64_t)lifetime, &r->waiter))
        return false;
    r->was_confirmed = r->is_loading = true;
    r->was_loaded = false; /* memory may have lost it by then, and the disk has it */
    return true;
}

/* Not where this caller's own question is what lets him have it. */
static bool confirm(struct proxy_req *r)
{
    if (r->object == NULL || r->was_confirmed || r->collapsed || r->is_alone || !asks_for_all(r) ||
        !may_deliver(r, true) || !proxy_req_asks_others(r))
        return false;
    proxy_req_step(r, PROXY_STEP_WAIT);
    return true;
}

static bool is_about(const struct proxy_route *route)
{
    struct el_str target = route->to.target;

    return proxy_s3_kind(el_str_from(target, el_str_find(target, '?') + 1)) != PROXY_S3_OBJECT;
}

bool proxy_req_prepare(struct proxy_req *r)
{
    struct el_fieldv fields = r->stream->head.fields;

    proxy_range_parse(fields, &r->range);
    r->has_conditions = el_fieldv_has(fields, EL_STR("If-None-Match")) ||
                        el_fieldv_has(fields, EL_STR("If-Modified-Since"));
    proxy_fresh_request(&r->fresh, fields, r->route.has_credentials,
                        r->route.kind == PROXY_ROUTE_GATEWAY && r->proxy->gateway_is_object_store,
                        r->policy->freshness_ms);
    r->fresh.lifetime_ms = r->policy->lifetime_ms;
    r->fresh.policy = r->settings->policy;
    r->fresh.is_about = is_about(&r->route);
    r->fresh.is_signed = r->route.has_credentials && is_for_object_store(r);
    r->fresh.by_host = r->route.by_host;
    r->fresh.by_node = r->route.to.as_node;
    return wants_cache(r);
}

/* Without a client: other nodes have said what they know of the copy, or nothing in time. */
static void look_again(struct proxy_req *r)
{
    struct cache_meta *meta;
    bool is_fresh = true; /* what is gone needs no question */

    r->object = proxy_req_find(r);
    if (r->object != NULL) {
        meta = cache_object_meta(r->object);
        is_fresh = use_of(r, meta) == PROXY_FRESH;
        cache_meta_unref(meta);
    }
    if (is_fresh)
        proxy_req_step(r, PROXY_STEP_DONE);
    else
        proxy_refresh_ask(r);
}

static void lookup(struct proxy_req *r)
{
    if (r->stream == NULL) {
        look_again(r);
        return;
    }
    if (!proxy_req_prepare(r)) {
        proxy_req_step(r, PROXY_STEP_PASS);
        return;
    }
    r->object = proxy_req_find(r);
    if (r->object == NULL && load(r))
        return;
    if (may_deliver(r, false)) {
        if (r->is_to_refresh)
            proxy_refresh_start(r);
        proxy_req_step(r, PROXY_STEP_DELIVER);
        return;
    }
    if (confirm(r))
        return;
    if (r->fresh.only_if_cached)
        proxy_req_fail(r, EL_ENOTCACHED, "only-if-cached was asked for");
    else if (r->is_head || r->range.kind == PROXY_RANGE_MULTI)
        proxy_req_step(r, PROXY_STEP_PASS);
    else if (!r->collapsed || !proxy_refresh_stand_in_after_wait(r))
        ask_or_wait(r);
}

/* ---- WAIT ---- */

static void stop_waiting(struct proxy_req *r)
{
    cache_flight_leave(r->proxy->cache, &r->waiter);
    proxy_timer_stop(&r->wait_timer);
    cache_object_unref(r->object);
    r->object = NULL;
    r->is_loading = false;
    proxy_req_step(r, PROXY_STEP_LOOKUP);
}

static void on_landed(struct el_msg *m)
{
    struct proxy_req *r = EL_ENTRY(m, struct proxy_req, waiter.msg);

    if (!r->is_loading) {
        r->collapsed = true;
        r->waits++;
        r->is_alone = !r->waiter.stored;
    }
    stop_waiting(r);
}

static void on_waited(struct proxy_timer *tm)
{
    struct proxy_req *r = EL_ENTRY(tm, struct proxy_req, wait_timer);

    r->is_alone = !r->is_loading;
    stop_waiting(r);
}

static uint32_t patience_ms(const struct proxy_req *r)
{
    if (r->stream == NULL)
        return WAIT_MS; /* nobody waits for it */
    if (r->is_loading && !r->waiter.is_asked)
        return LOAD_WAIT_MS;
    /* What is loaded is not here yet; what is confirmed is. */
    return r->is_loading && r->object != NULL ? CONFIRM_WAIT_MS : WAIT_MS;
}

static void wait_for_leader(struct proxy_req *r)
{
    uint64_t now = el_clock_mono_ms(r->proxy->clock), left;

    if (r->wait_end_ms == 0)
        r->wait_end_ms = now + WAIT_MS;
    left = r->wait_end_ms > now ? r->wait_end_ms - now : 0;
    proxy_timer_start(r->thread, &r->wait_timer, (uint32_t)el_min_u64(patience_ms(r), left),
                      on_waited);
}

/* ---- TUNNEL ---- */

static void tunnel(struct proxy_req *r)
{
    const struct proxy_stream *s = r->stream;
    const struct proxy_tunnel_user user = {
        .address_allowed = r->proxy->address_allowed,
        .allowed_arg = r->proxy->allowed_arg,
        .on_done = on_tunnel,
        .on_end = on_tunnel_end,
        .arg = r,
    };

    if (r->stream->ops->take_socket == NULL) {
        proxy_req_fail(r, EL_EUNSUPPORTED, "CONNECT is not available over HTTP/2");
        return;
    }
    if (proxy_inside_wants(r)) {
        proxy_inside_start(r);
        return;
    }
    r->tunnel_client = el_strndup(s->client, strlen(s->client));
    r->tunnel_target = el_strndup(s->head.target.p, s->head.target.n);
    r->tunnel_began_ns = s->started_ns;
    proxy_tunnel_start(r->thread, r->stream, r->route.to.host, r->route.to.port, &user);
}

/* ---- the answer's first and last byte ---- */

void proxy_req_first_byte(struct proxy_req *r)
{
    if (r->first_byte_ns == 0)
        r->first_byte_ns = el_clock_mono_ns(r->proxy->clock);
}

void proxy_req_write_content_range(struct proxy_req *r)
{
    if (r->status == 206 && r->multi == NULL)
        el_buf_addf(&r->head, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
                    r->body_first, r->body_end - 1, r->length);
    else if (r->status == 416)
        el_buf_addf(&r->head, "Content-Range: bytes */%" PRIu64 "\r\n", r->length);
}

void proxy_req_write_own_fields(struct proxy_req *r, const struct proxy_status_line *line)
{
    el_buf_add_str(&r->head, el_str_of(r->proxy->via_line));
    proxy_status_write(&r->head, el_str_of(r->proxy->node_id), r->xcache, line);
}

void proxy_req_fail(struct proxy_req *r, enum el_err code, const char *detail)
{
    struct proxy_piece body = { .fd = -1 };
    struct el_buf problem = { 0 };
    ssize_t sent;

    el_counter_add(r->proxy->failed, 1);
    proxy_invalidate_failed(r);
    if (r->stream == NULL || r->head_is_sent) {
        r->is_broken = true;
        proxy_req_step(r, PROXY_STEP_DONE);
        return;
    }
    r->status = el_err_status(code);
    proxy_problem(&problem, r->status, code, el_str_of(detail));
    el_buf_clear(&r->head);
    el_buf_add_str(&r->head, EL_STR("Content-Type: application/problem+json\r\n"));
    if (code == EL_EPROXYAUTH)
        el_buf_add_str(&r->head, proxy_auth_challenge(r->settings->auth));
    el_buf_add_str(&r->head, el_str_of(r->proxy->via_line));
    r->head_is_sent = true;
    r->stream->ops->send_head(r->stream, r->status, el_buf_str(&r->head), (int64_t)problem.n);
    body.mem = problem.p;
    body.n = r->is_head ? 0 : problem.n;
    sent = r->stream->ops->push(r->stream, &body);
    r->is_broken = sent != (ssize_t)body.n;
    el_buf_deinit(&problem);
    proxy_req_step(r, PROXY_STEP_DONE);
}

/* ---- DONE ---- */

/* In an intercepted tunnel the head has only the path. */
static struct el_str asked_url(const struct proxy_req *r, struct el_buf *room)
{
    const struct proxy_head *head = &r->stream->head;

    if (head->inside.n == 0 || head->target.p[0] != '/')
        return head->target;
    el_buf_add_str(room, EL_STR("https://"));
    el_buf_add_str(room, head->inside);
    el_buf_add_str(room, head->target);
    return el_buf_str(room);
}

/* For `elionode get`, which asks who gave it what. */
static void note_served(struct proxy_req *r)
{
    const struct cache_object_id *version = r->object != NULL ? cache_object_id(r->object) : NULL;
    struct proxy_served_by by = { .share = r->share, .has_version = version != NULL };
    struct el_str agent = { 0 };

    if (!el_fieldv_get(r->stream->head.fields, EL_STR("User-Agent"), &agent) ||
        !el_str_starts(agent, EL_STR(PROXY_SERVED_AGENT)))
        return;
    if (version != NULL)
        by.version = *version;
    proxy_served_note(r->proxy->served, r->stream->client, &by);
}

/* The client's traceparent goes on to the origin as it came; here the line can be found by it. */
static struct el_trace trace_of(const struct proxy_req *r)
{
    struct el_trace trace = { .id = { "", 0 } };
    struct el_str field = { "", 0 };

    if (r->proxy->access_log == NULL && r->proxy->spans == NULL)
        return trace;
    (void)el_fieldv_get(r->stream->head.fields, EL_STR("traceparent"), &field);
    (void)el_trace_parse(field, &trace);
    return trace;
}

static void record_span(const struct proxy_req *r, const struct el_trace *trace,
                        const struct proxy_access_entry *entry, uint64_t now)
{
    const uint64_t began = r->stream->started_ns;
    const struct proxy_span span = {
        .trace = *trace,
        .request = entry,
        .share = &r->share,
        .origin_status = r->origin_status,
        .is_broken = r->is_broken,
        .end_wall_ns = el_clock_wall_ms(r->proxy->clock) * 1000000,
        .took_ns = now - began,
        .first_byte_ns = r->first_byte_ns != 0 ? r->first_byte_ns - began : 0,
    };

    proxy_spans_write(r->proxy->spans, r->thread->index, &span);
}

static void account(struct proxy_req *r)
{
    struct proxy *p = r->proxy;
    uint64_t now = el_clock_mono_ns(p->clock), began = r->stream->started_ns;
    uint64_t first = r->first_byte_ns == 0 ? now : r->first_byte_ns;
    enum proxy_xcache xcache = proxy_xcache_final(&r->share, r->xcache);
    const struct el_trace trace = trace_of(r);
    struct el_buf room = { 0 };
    const struct proxy_access_entry entry = {
        .wall_ms = r->started_wall_ms,
        .client = r->stream->client,
        .method = r->stream->head.method,
        .url = asked_url(r, &room),
        .status = r->status,
        .bytes = r->stream->body_bytes_sent,
        .x_cache = r->object != NULL ? proxy_xcache_name(xcache) : NULL,
        .peer_bytes = r->share.bytes[PROXY_TIER_PEER],
        .total_ms = (now - began) / 1000000,
        .ttfb_ms = (first - began) / 1000000,
        .trace = trace.id,
    };

    el_counter_add(p->requests[xcache], 1);
    count_decision(r);
    el_counter_add(p->bytes_out, r->stream->body_bytes_sent);
    el_hist_add(p->ttfb, (first - began) / 1000);
    if (p->access_log != NULL)
        proxy_accesslog_write(p->access_log, r->thread->index, &entry);
    if (p->spans != NULL && trace.is_recorded)
        record_span(r, &trace, &entry, now);
    note_served(r);
    el_buf_deinit(&room);
}

/* One that the origin answered, or that needed no body, is told by that; our own errors by nobody.
 */
static void count_tiers(struct proxy_req *r)
{
    enum proxy_tier bare = r->origin_status != 0 ? PROXY_TIER_ORIGIN
                           : r->is_planned       ? PROXY_TIER_MEMORY
                                                 : PROXY_TIERS;

    proxy_tiers_count(&r->proxy->tiers, &r->share, bare);
}

/* A spare request keeps its two buffers, so that a busy thread allocates nothing for the next one.
 */
static void recycle(struct proxy_req *r)
{
    struct thread_state *ts = r->thread->user;
    struct el_buf head = r->head, url = r->route.url;

    el_list_remove(&r->link);
    if (ts->spares >= MAX_SPARES) {
        el_buf_deinit(&head);
        el_buf_deinit(&url);
        r->magic = 0;
        free(r);
        return;
    }
    memset(r, 0, sizeof(*r));
    r->head = head;
    r->route.url = url;
    el_list_prepend(&ts->spare, &r->link);
    ts->spares++;
}

static void release(struct proxy_req *r)
{
    proxy_auth_forget(r->check);
    proxy_inside_forget(r->inside);
    SSL_CTX_free(r->tls);
    proxy_req_land(r, false, 0);
    proxy_invalidate_ended(r);
    cache_flight_leave(r->proxy->cache, &r->waiter);
    proxy_timer_stop(&r->wait_timer);
    if (r->reader_is_open)
        cache_reader_close(&r->reader);
    store_exchange_close(r->ex);
    proxy_multi_free(r->multi);
    cache_object_unref(r->object);
    cache_ticket_unref(r->ticket);
    el_fields_deinit(&r->cookies);
    el_fields_deinit(&r->kept);
    free(r->kept_route);
    el_buf_deinit(&r->named);
    free(r->tunnel_client);
    free(r->tunnel_target);
}

static void done(struct proxy_req *r)
{
    struct proxy_stream *s = r->stream;
    bool is_broken = r->is_broken;
    SSL_CTX *tls = s != NULL ? r->tls : NULL;

    if (s != NULL) {
        account(r);
        r->tls = NULL; /* the stream's */
    }
    count_tiers(r);
    release(r);
    recycle(r);
    if (s == NULL)
        return;
    if (tls != NULL)
        s->ops->intercept(s, tls);
    else if (is_broken)
        s->ops->abort(s);
    else
        s->ops->end(s);
}

void proxy_req_step(struct proxy_req *r, enum proxy_step next)
{
    EL_ASSERT((moves[r->step] & (1u << next)) != 0);
    r->step = next;
    switch (next) {
    case PROXY_STEP_ROUTE:
    case PROXY_STEPS:
        return;
    case PROXY_STEP_LOOKUP:
        lookup(r);
        return;
    case PROXY_STEP_WAIT:
        wait_for_leader(r);
        return;
    case PROXY_STEP_ASK:
        proxy_ask_start(r);
        return;
    case PROXY_STEP_DELIVER:
        proxy_deliver_start(r);
        return;
    case PROXY_STEP_PASS:
        proxy_pass_start(r);
        return;
    case PROXY_STEP_TUNNEL:
        tunnel(r);
        return;
    case PROXY_STEP_DONE:
        done(r);
        return;
    }
}

/* ---- the beginning ---- */

static struct proxy_req *take_request(struct thread_state *ts)
{
    struct el_list *spare = el_list_pop(&ts->spare);

    if (spare == NULL)
        return el_new(struct proxy_req);
    ts->spares--;
    return EL_ENTRY(spare, struct proxy_req, link);
}

static void classify(struct proxy_req *r)
{
    struct el_str method = r->stream->head.method;

    r->is_head = el_str_eq(method, EL_STR("HEAD"));
    r->is_get = el_str_eq(method, EL_STR("GET"));
    r->is_unsafe = !r->is_head && !r->is_get && !el_str_eq(method, EL_STR("OPTIONS")) &&
                   !el_str_eq(method, EL_STR("TRACE"));
}

struct proxy_req *proxy_req_new(struct proxy *p, struct proxy_thread *t, enum proxy_step step)
{
    struct thread_state *ts = t->user;
    struct proxy_req *r = take_request(ts);

    r->magic = PROXY_REQ_MAGIC;
    r->step = step;
    r->proxy = p;
    r->settings = atomic_load(&p->settings);
    r->thread = t;
    r->started_wall_ms = proxy_req_now(r);
    el_list_init(&r->waiter.link);
    el_msg_init(&r->waiter.msg, on_landed);
    r->waiter.queue = t->queue;
    el_list_append(&ts->running, &r->link);
    return r;
}

void proxy_req_start(void *arg, struct proxy_thread *t, struct proxy_stream *s)
{
    struct proxy_req *r = proxy_req_new(arg, t, PROXY_STEP_ROUTE);

    r->stream = s;
    classify(r);
    s->ops->listen(s, &events, r);
    proxy_caller_check(r);
}

void proxy_req_thread_start(void *arg, struct proxy_thread *t)
{
    struct thread_state *ts = el_new(struct thread_state);

    (void)arg;
    el_list_init(&ts->running);
    el_list_init(&ts->spare);
    ts->hash = el_sha256_new();
    ts->verifier = proxy_verifier_new();
    t->user = ts;
}

/* The connections are gone, so what still runs are leaders without a client. */
void proxy_req_thread_stop(void *arg, struct proxy_thread *t)
{
    struct thread_state *ts = t->user;
    struct el_list *l;

    (void)arg;
    while (!el_list_empty(&ts->running))
        proxy_req_step(EL_ENTRY(ts->running.next, struct proxy_req, link), PROXY_STEP_DONE);
    while ((l = el_list_pop(&ts->spare)) != NULL) {
        struct proxy_req *r = EL_ENTRY(l, struct proxy_req, link);

        el_buf_deinit(&r->head);
        el_buf_deinit(&r->route.url);
        free(r);
    }
    el_sha256_free(ts->hash);
    proxy_verifier_free(ts->verifier);
    free(ts);
    t->user = NULL;
}
