/* SPDX-License-Identifier: MIT */
/*
 * ask: the question to the origin, and what its answer means. Before: req.c found that the cache
 * cannot answer this caller by itself. Here the client's own request goes out as it was signed,
 * with at most two unsigned additions: a Range on block borders where the client's range is not
 * signed (in a cluster also one for the beginning, where the client wants the whole), and
 * If-None-Match (or If-Modified-Since) where the cache holds a copy.
 *
 *   304 to our condition    the copy is current and this client may read it  -> DELIVER
 *   200, 206 that may stay  a new version, or more bytes of the same one     -> fill, DELIVER
 *   anything else           is between the client and the origin             -> PASS
 *
 * The exchange holds the body back until one of these is chosen. A leader whose client has left
 * goes on to this point, because others wait for the answer.
 */
#include "proxy/req.h"

#include <inttypes.h>

#include "common/log.h"
#include "proxy/fresh.h"
#include "proxy/headers_out.h"

/* How long an answer that may not be shared keeps others from waiting for one ("hit for miss"). */
#define SOLO_MS 120000u

/* ---- the question ---- */

static void plain_fields(const struct proxy_req *r, struct el_fields *out)
{
    static const char *const names[] = { "Range",
                                         "If-Range",
                                         "If-None-Match",
                                         "If-Match",
                                         "If-Modified-Since",
                                         "If-Unmodified-Since",
                                         "Cache-Control",
                                         "Pragma" };

    proxy_headers_request(r->fresh.fields, &r->route, el_str_of(r->proxy->via_token), out);
    for (size_t i = 0; i < EL_COUNT(names); i++) {
        if (!proxy_route_signed_has(&r->route, el_str_of(names[i])))
            el_fields_remove(out, el_str_of(names[i]));
    }
}

struct cache_ticket *proxy_ask_ticket(const struct proxy_req *r, uint64_t first, uint64_t end)
{
    struct el_fields fields;
    struct el_str range = { NULL, 0 };
    bool exact = r->route.range_is_signed;
    struct cache_ticket *t;

    el_fields_init(&fields);
    plain_fields(r, &fields);
    el_fields_remove(&fields, EL_STR("Range"));
    if (exact)
        (void)el_fieldv_get(r->stream->head.fields, EL_STR("Range"), &range);
    t = store_ticket_new(&r->route.to, el_fields_view(&fields), exact, first, end, range);
    el_fields_deinit(&fields);
    return t;
}

/* A condition of ours only where the client has none: its own is forwarded and answered as it is.
 */
static void add_condition(struct proxy_req *r, struct el_fields *fields)
{
    struct cache_meta *meta;

    r->asked_condition = false;
    if (r->object == NULL || r->has_conditions)
        return;
    meta = cache_object_meta(r->object);
    if (meta->etag.n > 0)
        el_fields_add(fields, EL_STR("If-None-Match"), meta->etag);
    else if (meta->last_modified.n > 0)
        el_fields_add(fields, EL_STR("If-Modified-Since"), meta->last_modified);
    r->asked_condition = meta->etag.n > 0 || meta->last_modified.n > 0;
    cache_meta_unref(meta);
}

/*
 * The client's range moved out to block borders, so that what comes is of use to others, but not
 * beyond the end of the version we know; a longer one gives its rest when it is asked again.
 * If-Range is ours to judge: real object stores ignore it and would answer 206 of another version.
 * An answer that we could not judge is asked for once more, with both as they came.
 */
static void widen_range(struct proxy_req *r, struct el_fields *fields)
{
    uint64_t length = r->object != NULL ? cache_object_length(r->object) : CACHE_UNKNOWN_LENGTH;
    struct el_buf value = { 0 };

    /* What is known to be for this client only is of no use to others. */
    if (r->range.kind == PROXY_RANGE_NONE || r->route.range_is_signed || r->asks_plainly ||
        r->is_alone)
        return;
    el_fields_remove(fields, EL_STR("Range"));
    el_fields_remove(fields, EL_STR("If-Range"));
    r->has_asked_range = true;
    proxy_range_widen(&r->range, CACHE_BLOCK_BYTES, length, &r->asked_range);
    proxy_range_write(&r->asked_range, &value);
    el_fields_add(fields, EL_STR("Range"), el_buf_str(&value));
    el_buf_deinit(&value);
}

/* Nothing of it could be asked for by a range; answers that say so would be asked again. */
static bool is_known_empty(const struct proxy_req *r)
{
    struct cache_meta *meta;
    bool is_empty;

    if (r->object == NULL)
        return false;
    meta = cache_object_meta(r->object);
    is_empty = meta->status == 200 && cache_object_length(r->object) == 0;
    cache_meta_unref(meta);
    return is_empty;
}

/*
 * Whether the whole object, which the client wants, may be asked for from its beginning on. Not
 * where the answer is known to be good for this client only: nobody would share the rest. `fields`
 * are the question's.
 */
static bool may_ask_beginning(const struct proxy_req *r, struct el_fieldv fields)
{
    return !r->is_alone && !r->has_conditions && !r->fresh.is_about &&
           !el_fieldv_has(fields, EL_STR("Range")) && !el_fieldv_has(fields, EL_STR("If-Range")) &&
           !proxy_route_signed_has(&r->route, EL_STR("Range")) && !is_known_empty(r);
}

static void add_beginning(struct proxy_req *r, struct el_fields *fields)
{
    uint64_t n = atomic_load(&r->proxy->first_bytes);
    struct el_buf value = { 0 };

    if (n == 0 || r->asks_plainly || !may_ask_beginning(r, el_fields_view(fields)))
        return;
    r->asked_beginning = r->has_asked_range = true;
    r->asked_range = (struct proxy_range){ .kind = PROXY_RANGE_BYTES, .end = n };
    proxy_range_write(&r->asked_range, &value);
    el_fields_add(fields, EL_STR("Range"), el_buf_str(&value));
    el_buf_deinit(&value);
}

void proxy_ask_start(struct proxy_req *r)
{
    struct el_fields fields;

    el_fields_init(&fields);
    if (r->stream != NULL)
        proxy_headers_request(r->fresh.fields, &r->route, el_str_of(r->proxy->via_token), &fields);
    else
        plain_fields(r, &fields);
    widen_range(r, &fields);
    add_beginning(r, &fields);
    add_condition(r, &fields);
    if (!r->route.range_is_signed && r->ticket == NULL)
        r->ticket = proxy_ask_ticket(r, 0, 0);
    proxy_req_exchange(r, &fields, EL_HTTP_BODY_NONE,
                       r->asked_condition ? STORE_REVALIDATE : STORE_MISS);
    el_fields_deinit(&fields);
}

/* ---- the answer ---- */

static struct proxy_fresh_response answer_of(const struct proxy_req *r)
{
    return (struct proxy_fresh_response){
        .status = r->ex->status,
        .fields = el_fields_view(&r->ex->fields),
        .request_ms = r->asked_wall_ms,
        .response_ms = proxy_req_now(r),
    };
}

static void take_cookies(struct proxy_req *r, struct el_fieldv answer)
{
    for (size_t i = 0; i < answer.n; i++) {
        if (el_str_ieq(answer.v[i].name, EL_STR("Set-Cookie")))
            el_fields_add(&r->cookies, answer.v[i].name, answer.v[i].value);
    }
}

/* 304 to our condition. */
static void confirm(struct proxy_req *r)
{
    struct cache_meta *old = cache_object_meta(r->object), *meta;
    const struct proxy_fresh_response answer = answer_of(r);

    take_cookies(r, answer.fields);
    meta = proxy_fresh_update(old, &r->fresh, &answer);
    /* What was changed meanwhile has to be confirmed once more. */
    if (proxy_invalidate_epoch(r) == r->epoch)
        cache_object_freshen(r->object, meta);
    cache_meta_unref(meta);
    cache_meta_unref(old);
    store_exchange_close(r->ex);
    r->ex = NULL;
    r->was_validated = true;
    proxy_req_land(r, true, 0);
    proxy_req_step(r, r->stream != NULL ? PROXY_STEP_DELIVER : PROXY_STEP_DONE);
}

/* Less of it than there is was not cut by our Range, which then says nothing of what comes next. */
static bool is_all_of_beginning(const struct proxy_req *r, const struct proxy_content_range *cr)
{
    return !r->asked_beginning || cr->end == el_min_u64(r->asked_range.end, cr->total);
}

/* Where the body of the answer lies in the object. False: the head contradicts itself or the
 * question. */
static bool extent_of(const struct proxy_req *r, uint64_t *ret_first, uint64_t *ret_end,
                      uint64_t *ret_total)
{
    struct el_fieldv fields = el_fields_view(&r->ex->fields);
    struct proxy_content_range cr;
    struct el_str value;

    if (r->ex->status == 206) {
        if (!el_fieldv_get(fields, EL_STR("Content-Range"), &value) ||
            !proxy_content_range_parse(value, &cr) || !cr.has_total)
            return false;
        *ret_first = cr.first;
        *ret_end = cr.end;
        *ret_total = cr.total;
        return proxy_range_answers(r->has_asked_range ? &r->asked_range : &r->range, &cr) &&
               is_all_of_beginning(r, &cr);
    }
    *ret_first = 0;
    *ret_total = CACHE_UNKNOWN_LENGTH;
    if (el_fieldv_get(fields, EL_STR("Content-Length"), &value) &&
        !el_str_u64(value, INT64_MAX, ret_total))
        return false;
    *ret_end = *ret_total;
    return true;
}

/* ---- the answer to a question for the beginning ---- */

/* A 206 that holds the whole object is what would have come as a 200 without our Range. */
static void unwrap_whole(struct proxy_req *r)
{
    uint64_t first, end, total;

    if (!r->asked_beginning || r->ex->status != 206 || !extent_of(r, &first, &end, &total) ||
        end != total)
        return;
    r->ex->status = 200;
    el_fields_remove(&r->ex->fields, EL_STR("Content-Range"));
    r->asked_beginning = r->has_asked_range = false;
}

/* Perhaps about our Range, of which the client knows nothing; 416 is what empty objects say. */
static bool is_about_range(int status)
{
    return status == 400 || status == 406 || status == 412 || status == 416 || status == 501;
}

/* ---- once more, in the client's own words ---- */

/*
 * The answer cannot be turned into the one that the client would have got without our Range. It is
 * the last question: what comes then is the client's, whatever it is.
 */
static void ask_plainly(struct proxy_req *r)
{
    r->asked_beginning = r->has_asked_range = false;
    if (r->stream == NULL && r->kept_route == NULL) { /* and its words are gone */
        proxy_req_land(r, false, 0);
        proxy_req_step(r, PROXY_STEP_DONE);
        return;
    }
    store_exchange_close(r->ex);
    r->ex = NULL;
    r->asks_plainly = true;
    r->asked_condition = false;
    proxy_ask_start(r);
}

/*
 * The client resumes another version than this part is of, or one that cannot be told from it (RFC
 * 9110 section 13.1.5): with its If-Range, which was not sent, it would have got the whole.
 */
static bool is_against_if_range(const struct proxy_req *r)
{
    struct el_str wanted, have;

    if ((r->ex->status != 206 && r->ex->status != 416) ||
        !el_fieldv_get(r->fresh.fields, EL_STR("If-Range"), &wanted))
        return false;
    return !el_str_starts(wanted, EL_STR("\"")) ||
           !el_fieldv_get(el_fields_view(&r->ex->fields), EL_STR("ETag"), &have) ||
           !el_str_eq(wanted, have);
}

/* The origin chose to send less of a widened range, and stopped before what the client wants. */
static bool stops_short(const struct proxy_req *r)
{
    uint64_t first, end, total, wanted, wanted_end;

    return r->ex->status == 206 && extent_of(r, &first, &end, &total) &&
           proxy_range_resolve(&r->range, total, &wanted, &wanted_end) && wanted >= end;
}

/* Of an answer that is not stored: whether as it is it would tell the client something wrong. */
static bool misses_the_question(const struct proxy_req *r)
{
    if (r->asked_beginning)
        return r->ex->status == 206;
    return r->has_asked_range && (is_against_if_range(r) || stops_short(r));
}

/* ---- the object ---- */

static bool is_same_version(struct cache_object *o, const struct cache_meta *fresh, uint64_t total)
{
    struct cache_meta *have = cache_object_meta(o);
    bool same = have->has_strong_validator && fresh->has_strong_validator &&
                el_str_eq(have->etag, fresh->etag) && have->status == fresh->status &&
                (have->etag.n > 0 || el_str_eq(have->last_modified, fresh->last_modified)) &&
                cache_object_length(o) == total;

    cache_meta_unref(have);
    return same;
}

/* That version, if it was published since this request looked: others may have asked as well. */
static struct cache_object *find_published(struct proxy_req *r, const struct cache_meta *meta,
                                           uint64_t total)
{
    struct cache_object *o = proxy_req_find(r);

    if (o != NULL && !is_same_version(o, meta, total)) {
        cache_object_unref(o);
        o = NULL;
    }
    return o;
}

/* The object that the answer is (part of): the one we have, or else r->object is another one in its
 * place, and that which we had is returned, with its reference. */
static struct cache_object *settle_object(struct proxy_req *r, struct cache_meta *meta,
                                          uint64_t total)
{
    struct cache_object *old = r->object;

    if (old == NULL || !is_same_version(old, meta, total))
        r->object = find_published(r, meta, total);
    if (r->object == NULL) {
        r->object = cache_object_new(r->proxy->cache, el_buf_str(&r->route.url), meta, total);
        r->is_new_object = true;
    } else if (proxy_invalidate_epoch(r) == r->epoch) {
        cache_object_freshen(r->object, meta);
    }
    return r->object != old ? old : NULL;
}

/* Only now: while nothing was there in its place, other nodes would be told that the url is gone,
 * and somebody would be sent to the origin for what is coming. */
static void end_old(struct cache_object *old)
{
    if (old != NULL)
        cache_object_kill(old);
    cache_object_unref(old);
}

/* The body becomes a fill of the object; nothing of it is needed when other fills have it in hand.
 */
static void feed(struct proxy_req *r, struct cache_fill *fill)
{
    if (fill != NULL)
        store_exchange_feed(r->ex, fill, 0);
    store_exchange_close(r->ex);
    r->ex = NULL;
}

static void store(struct proxy_req *r, struct cache_meta *meta, uint64_t first, uint64_t end,
                  uint64_t total)
{
    bool shareable = meta->has_strong_validator && total != CACHE_UNKNOWN_LENGTH, is_there;
    struct cache_object *old = settle_object(r, meta, total);
    struct cache_fill *fill;

    r->from_origin = true;
    if (r->stream != NULL)
        proxy_deliver_open(r);
    fill = cache_fill_adopt(r->object, storage_source(r->proxy->storage), r->ticket, first, end);
    /* An unsafe request that succeeded meanwhile has made this answer old: it is for this client
     * only. */
    if (r->is_new_object && proxy_invalidate_epoch(r) == r->epoch)
        r->was_stored = cache_object_publish(r->object);
    end_old(old);
    is_there = r->was_stored || (!r->is_new_object && proxy_invalidate_epoch(r) == r->epoch);
    /* Not before: of an object that is not published nothing goes to disk. */
    feed(r, fill);
    proxy_req_land(r, is_there && shareable, 0);
    proxy_req_step(r, r->stream != NULL ? PROXY_STEP_DELIVER : PROXY_STEP_DONE);
}

/*
 * When an anonymous caller is told that there is nothing for him, what is cached as public no
 * longer is. An answer to a caller with credentials, or about a private object, says nothing about
 * others.
 */
static void note_refusal(struct proxy_req *r)
{
    int status = r->ex->status;
    struct cache_meta *meta;

    if (r->object == NULL)
        return;
    meta = cache_object_meta(r->object);
    if (meta->is_public && !r->route.has_credentials &&
        (status == 401 || status == 403 || status == 404 || status == 410))
        cache_object_kill(r->object);
    cache_meta_unref(meta);
    cache_object_unref(r->object);
    r->object = NULL;
}

static void pass(struct proxy_req *r, bool is_unshareable)
{
    note_refusal(r);
    proxy_req_land(r, false, is_unshareable ? SOLO_MS : 0);
    proxy_req_step(r, r->stream != NULL ? PROXY_STEP_PASS : PROXY_STEP_DONE);
}

/*
 * A part that cannot be the one that was asked for is not stored and nothing is cut from it. When
 * the client asked in these very words it gets what it would have got without us.
 */
static bool pass_untouched(struct proxy_req *r)
{
    if (r->has_asked_range && !proxy_range_is_same(&r->asked_range, &r->range))
        return false;
    r->has_asked_range = false;
    pass(r, true);
    return true;
}

/* An error of the origin does not take the place of something good, however long it says it lasts.
 */
static bool would_lose(const struct proxy_req *r, int status)
{
    struct cache_meta *have;
    bool is_good;

    if (status < 500 || r->object == NULL)
        return false;
    have = cache_object_meta(r->object);
    is_good = have->status < 500;
    cache_meta_unref(have);
    return is_good;
}

/* The operator does not want it cached, or nobody could. What does not say how long it is may be.
 */
static bool is_too_long(struct proxy_req *r, uint64_t total)
{
    if (total == CACHE_UNKNOWN_LENGTH ||
        total <= el_min_u64(r->policy->max_bytes, CACHE_MAX_LENGTH))
        return false;
    r->why = "bypass";
    return true;
}

static void judge_answer(struct proxy_req *r)
{
    const struct proxy_fresh_response answer = answer_of(r);
    bool has_body = answer.status == 200 || answer.status == 206;
    uint64_t first, end, total;
    struct cache_meta *meta;

    r->has_age = el_fieldv_has(answer.fields, EL_STR("Age"));
    if (answer.status == 304 && r->asked_condition) {
        confirm(r);
        return;
    }
    if (proxy_refresh_is_failure(answer.status) && proxy_refresh_stand_in(r, false))
        return;
    if (answer.status == 206 && !extent_of(r, &first, &end, &total)) {
        if (!pass_untouched(r))
            ask_plainly(r);
        return;
    }
    meta = proxy_fresh_meta(&r->fresh, &answer, &r->why);
    if (meta == NULL || !extent_of(r, &first, &end, &total) || is_too_long(r, total) ||
        (answer.status == 206 && !meta->has_strong_validator) || would_lose(r, answer.status)) {
        cache_meta_unref(meta);
        if (misses_the_question(r))
            ask_plainly(r);
        else
            pass(r, has_body);
        return;
    }
    store(r, meta, first, end, total);
    cache_meta_unref(meta);
}

void proxy_ask_answer(struct proxy_req *r)
{
    unwrap_whole(r);
    if (r->asked_beginning && is_about_range(r->ex->status))
        ask_plainly(r);
    else
        judge_answer(r);
}
