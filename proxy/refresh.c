/* SPDX-License-Identifier: MIT */
/*
 * refresh: how what is stored is used, or put right, beside the straight way of req.c and ask.c
 * (RFC 9111 sections 4.2.4 and 4.3.5, RFC 5861):
 *
 *   stale-while-revalidate   the client gets the stale copy at once; a request of our own, which
 *                            has no client and outlives the one that caused it, asks other nodes
 *                            whether somebody has asked, and else the origin
 *   the origin failed        a stale copy stands in, where the origin or the operator allows it
 *   HEAD                     its answer freshens the stored GET, or ends it
 *
 * Only public copies are used here: a private one is nobody's without the origin's word.
 */
#include "proxy/req.h"

#include "proxy/fresh.h"

/* ---- a request without a client ---- */

void proxy_refresh_keep_fields(struct proxy_req *r)
{
    struct el_fieldv fields = r->fresh.fields;

    el_fields_init(&r->kept);
    for (size_t i = 0; i < fields.n; i++)
        el_fields_add(&r->kept, fields.v[i].name, fields.v[i].value);
    r->fresh.fields = el_fields_view(&r->kept);
}

/* Likewise what it is asked for: the origin may be asked later, and once more. */
static void keep_route(struct proxy_req *b)
{
    struct proxy_route *route = &b->route;
    struct el_str *const all[] = { &route->to.scheme, &route->to.host,    &route->to.target,
                                   &route->to.bucket, &route->host_field, &route->signed_fields };
    size_t n = 0;
    char *at;

    for (size_t i = 0; i < EL_COUNT(all); i++)
        n += all[i]->n;
    at = b->kept_route = el_alloc(n + 1);
    for (size_t i = 0; i < EL_COUNT(all); i++) {
        if (all[i]->n > 0)
            memcpy(at, all[i]->p, all[i]->n);
        all[i]->p = at;
        at += all[i]->n;
    }
}

/* Whether the cache has every byte of the answer: one that would break off, or mix versions when
 * the rest is fetched, is worse than a question. */
static bool is_here(const struct proxy_req *r)
{
    uint64_t length = cache_object_length(r->object), first = 0, end = length;

    if (length == CACHE_UNKNOWN_LENGTH)
        return false;
    if (r->range.kind != PROXY_RANGE_NONE && r->range.kind != PROXY_RANGE_MULTI &&
        !proxy_range_resolve(&r->range, length, &first, &end))
        return true; /* 416 */
    return r->is_head || cache_object_has(r->object, first, end);
}

bool proxy_refresh_may_follow(const struct proxy_req *r)
{
    /* What is signed is good for one request, and HEAD could not bring a new body. */
    return r->is_get && !r->route.has_credentials && is_here(r);
}

/*
 * It will ask as `served` would have: the same url, fields and policy. What these say lies in the
 * client's memory until it is kept.
 */
static void be_like(struct proxy_req *b, const struct proxy_req *served)
{
    struct el_buf url = b->route.url;

    b->route = served->route;
    el_buf_clear(&url);
    el_buf_add_str(&url, el_buf_str(&served->route.url));
    b->route.url = url;
    b->is_get = true;
    b->settings = served->settings;
    b->policy = served->policy;
    b->fresh = served->fresh;
    b->fresh.no_store = false; /* of that client's own answer */
    b->object = cache_object_ref(served->object);
}

static void keep_words(struct proxy_req *b)
{
    if (b->kept_route != NULL)
        return;
    proxy_refresh_keep_fields(b);
    keep_route(b);
}

void proxy_refresh_ask(struct proxy_req *b)
{
    struct el_str url = el_buf_str(&b->route.url);
    enum cache_flight flight = cache_flight_join(b->proxy->cache, url, &b->waiter);

    if (flight == CACHE_FLIGHT_WAIT) {
        proxy_req_step(b, PROXY_STEP_DONE);
        return;
    }
    keep_words(b);
    b->leads = flight == CACHE_FLIGHT_LEAD;
    b->is_alone = flight == CACHE_FLIGHT_SOLO;
    proxy_req_step(b, PROXY_STEP_ASK);
}

void proxy_refresh_start(struct proxy_req *r)
{
    struct proxy_req *b = proxy_req_new(r->proxy, r->thread, PROXY_STEP_LOOKUP);

    be_like(b, r);
    if (!proxy_req_asks_others(b)) {
        proxy_refresh_ask(b);
    } else if (!b->waiter.is_first) {
        proxy_req_step(b, PROXY_STEP_DONE);
    } else {
        keep_words(b);
        proxy_req_step(b, PROXY_STEP_WAIT);
    }
}

/* ---- standing in ---- */

/*
 * The last failure of a url, in one word: 23 bits of its hash, whether the origin was out of reach,
 * and when, in 40 bits of monotonic milliseconds. Two urls in one place only cost a question.
 */
#define TIME_BITS       40
#define TIME_MASK       (((uint64_t)1 << TIME_BITS) - 1)
#define UNREACHABLE_BIT ((uint64_t)1 << TIME_BITS)

static uint64_t hash_bits(uint64_t hash)
{
    return hash & ~(TIME_MASK | UNREACHABLE_BIT);
}

static void note_failure(struct proxy_req *r, bool is_unreachable)
{
    uint64_t hash = el_str_hash(el_buf_str(&r->route.url));
    uint64_t now = el_clock_mono_ms(r->proxy->clock) & TIME_MASK;

    atomic_store(&r->proxy->failures[hash % PROXY_FAILURES],
                 hash_bits(hash) | (is_unreachable ? UNREACHABLE_BIT : 0) | now);
}

bool proxy_refresh_stand_in_after_wait(struct proxy_req *r)
{
    uint64_t hash = el_str_hash(el_buf_str(&r->route.url));
    uint64_t failure = atomic_load(&r->proxy->failures[hash % PROXY_FAILURES]);
    uint64_t came = r->stream->started_ns / 1000000 & TIME_MASK;

    return hash_bits(failure) == hash_bits(hash) && (failure & TIME_MASK) >= came &&
           proxy_refresh_stand_in(r, (failure & UNREACHABLE_BIT) != 0);
}

bool proxy_refresh_stand_in(struct proxy_req *r, bool is_unreachable)
{
    struct cache_meta *meta;
    bool may;

    if (r->leads)
        note_failure(r, is_unreachable);
    if (r->stream == NULL || r->object == NULL || r->head_is_sent)
        return false;
    meta = cache_object_meta(r->object);
    may = meta->is_public && !proxy_invalidate_doubts(r, meta->response_ms) &&
          proxy_fresh_may_stand_in(meta, &r->fresh, proxy_req_now(r), is_unreachable);
    cache_meta_unref(meta);
    if (!may || !is_here(r))
        return false;
    store_exchange_close(r->ex);
    r->ex = NULL;
    r->stands_in = true;
    proxy_req_land(r, false, 0);
    proxy_req_step(r, PROXY_STEP_DELIVER);
    return true;
}

bool proxy_refresh_is_failure(int status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

bool proxy_refresh_must_fail(const struct proxy_req *r)
{
    struct cache_meta *meta;
    bool must;

    if (r->object == NULL || r->step != PROXY_STEP_ASK)
        return false;
    meta = cache_object_meta(r->object);
    must = meta->must_revalidate;
    cache_meta_unref(meta);
    return must;
}

/* ---- HEAD ---- */

void proxy_refresh_by_head(struct proxy_req *r)
{
    const struct proxy_fresh_response answer = {
        .status = r->ex->status,
        .fields = el_fields_view(&r->ex->fields),
        .request_ms = r->asked_wall_ms,
        .response_ms = proxy_req_now(r),
    };
    struct cache_meta *old, *meta;

    if (r->object == NULL || proxy_invalidate_epoch(r) != r->epoch)
        return;
    old = cache_object_meta(r->object);
    if (answer.status != old->status) {
        /* 304 answers the client's own condition; what others say is not about the object. */
        if (old->is_public && !r->route.has_credentials &&
            (answer.status == 200 || answer.status == 404 || answer.status == 410))
            cache_object_kill(r->object);
    } else if (!proxy_fresh_head_agrees(old, answer.fields, cache_object_length(r->object))) {
        cache_object_kill(r->object);
    } else {
        meta = proxy_fresh_update(old, &r->fresh, &answer);
        /* Who may ask for the head may not therefore read the body. */
        meta->is_public = meta->is_public && old->is_public;
        cache_object_freshen(r->object, meta);
        cache_meta_unref(meta);
    }
    cache_meta_unref(old);
}
