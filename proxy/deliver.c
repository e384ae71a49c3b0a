/* SPDX-License-Identifier: MIT */
/*
 * deliver: the answer out of the cache. Before: req.c or ask.c settled which object version this
 * caller may have. Here the client's conditions and range are held against it, the head is written,
 * and a cache reader (cache/reader.c, request path 3 of 7) is emptied into the client's stream,
 * piece by piece; no block is held while the client is slow.
 *
 * The head leaves with the first byte of the body: a failure before that byte is still a clean 502,
 * a failure after it breaks the connection, so that no client takes a part for the whole.
 */
#include "proxy/req.h"

#include <inttypes.h>

#include "common/sha256.h"
#include "proxy/fresh.h"
#include "proxy/headers_out.h"

/* Below this a write from the mapping is cheaper than sendfile(): docs/performance.md. */
#define SENDFILE_FROM ((size_t)32 * 1024)

static void on_bytes(struct el_msg *m)
{
    struct proxy_req *r = EL_ENTRY(m, struct proxy_req, reader.msg);

    proxy_deliver_push(r);
}

/* ---- what the client gets of the object ---- */

/* Nobody can have put it into the bytes before: it depends on the moment, too. */
static void make_boundary(const struct proxy_req *r, char out[PROXY_MULTI_BOUNDARY + 1])
{
    struct el_buf seed = { 0 };
    struct el_digest digest;

    el_buf_addf(&seed, "%s %" PRIu64 " %p", r->proxy->via_token, el_clock_mono_ns(r->proxy->clock),
                (const void *)r);
    el_sha256_of(seed.p, seed.n, &digest);
    el_hex(digest.b, PROXY_MULTI_BOUNDARY / 2, out);
    el_buf_deinit(&seed);
}

/* False: the client's ranges do not count. */
static bool plan_parts(struct proxy_req *r, const struct cache_meta *meta)
{
    struct el_str type = { NULL, 0 };
    char boundary[PROXY_MULTI_BOUNDARY + 1];
    struct proxy_parts parts;

    if (!proxy_range_parts(r->stream->head.fields, r->length, &parts))
        return false;
    r->status = parts.n > 0 ? 206 : 416;
    r->body_first = parts.n > 0 ? parts.v[0].first : 0;
    r->body_end = parts.n > 0 ? parts.v[0].end : 0;
    if (parts.n < 2)
        return true;
    (void)el_fieldv_get(el_fields_view(&meta->fields), EL_STR("Content-Type"), &type);
    make_boundary(r, boundary);
    r->multi = proxy_multi_new(&parts, r->length, type, boundary);
    return proxy_multi_next(r->multi, &r->body_first, &r->body_end);
}

/* Status and byte range of the answer. */
static void plan(struct proxy_req *r, const struct cache_meta *meta)
{
    struct el_fieldv fields = r->stream->head.fields;

    r->length = cache_object_length(r->object);
    r->status = meta->status;
    r->body_first = 0;
    r->body_end = r->length;
    if (meta->status != 200)
        return;
    if (proxy_cond_is_not_modified(fields, meta)) {
        r->status = 304;
        r->body_end = 0;
        return;
    }
    if (r->is_head || r->range.kind == PROXY_RANGE_NONE || r->length == CACHE_UNKNOWN_LENGTH ||
        !proxy_cond_if_range_holds(fields, meta))
        return;
    if (r->range.kind == PROXY_RANGE_MULTI) {
        (void)plan_parts(r, meta); /* otherwise it is the whole */
        return;
    }
    if (!proxy_range_resolve(&r->range, r->length, &r->body_first, &r->body_end)) {
        r->status = 416;
        r->body_first = r->body_end = 0;
        return;
    }
    r->status = 206;
}

static bool is_here(struct proxy_req *r)
{
    const struct proxy_parts *parts = r->multi != NULL ? &r->multi->parts : NULL;

    for (size_t i = 0; parts != NULL && i < parts->n; i++) {
        if (!cache_object_has(r->object, parts->v[i].first, parts->v[i].end))
            return false;
    }
    return cache_object_has(r->object, r->body_first, r->body_end);
}

void proxy_deliver_open(struct proxy_req *r)
{
    struct cache_meta *meta = cache_object_meta(r->object);

    plan(r, meta);
    cache_meta_unref(meta);
    r->is_planned = true;
    r->was_here = !r->from_origin && r->body_end != CACHE_UNKNOWN_LENGTH && is_here(r);
    if (r->is_head || r->body_end == r->body_first)
        return;
    if (r->ticket == NULL && !r->was_here)
        r->ticket = proxy_ask_ticket(r, r->body_first, r->body_end);
    el_msg_init(&r->reader.msg, on_bytes);
    r->reader.queue = r->thread->queue;
    r->reader.from = 0;
    cache_reader_open(&r->reader, r->object, r->ticket, r->body_first, r->body_end);
    r->reader_is_open = true;
}

/* It was all there and went away while it was read: now somebody has to be asked after all. */
static void reopen(struct proxy_req *r)
{
    uint64_t position = r->reader.position;

    cache_reader_close(&r->reader);
    r->ticket = proxy_ask_ticket(r, position, r->body_end);
    cache_reader_open(&r->reader, r->object, r->ticket, position, r->body_end);
}

/*
 * Nothing is promised yet, and now that bytes are missing the origin has them of another version
 * only, or none, or refuses them to who was served without a question, or nothing could be done
 * with a part: what it says to the request itself is the answer. Once: that answer brings its bytes
 * along.
 */
static bool is_to_be_asked(const struct proxy_req *r)
{
    enum el_err code = r->reader.err.code;

    if (r->head_is_sent || r->was_asked_after_all)
        return false;
    if (code == EL_ENOTCACHED && r->reader.ticket != NULL)
        return true;
    return code == EL_ECHANGED || (code == EL_EFORBIDDEN && !r->from_origin && !r->was_validated);
}

/* A condition about what is no more would only be in the way. */
static void forget_copy(struct proxy_req *r)
{
    cache_object_unref(r->object);
    r->object = NULL;
}

/* Of a question that was answered: the next one is as if it were the first. */
static void forget_question(struct proxy_req *r)
{
    cache_ticket_unref(r->ticket);
    r->ticket = NULL;
    r->asked_condition = r->has_asked_range = r->asked_beginning = r->asks_plainly = false;
    r->from_origin = r->was_validated = r->was_stored = r->is_new_object = false;
    r->has_age = r->stands_in = false;
    r->origin_status = 0;
    r->why = NULL;
    el_fields_deinit(&r->cookies);
    el_fields_init(&r->cookies);
}

/* What has changed is new to all who wait for it, and they share it; who is refused is alone. */
static void ask_after_all(struct proxy_req *r)
{
    bool is_refused = r->reader.err.code == EL_EFORBIDDEN;

    cache_reader_close(&r->reader);
    if (!is_refused)
        forget_copy(r);
    forget_question(r);
    r->reader_is_open = r->is_planned = false;
    r->is_alone = is_refused;
    r->was_asked_after_all = true;
    r->rule = PROXY_RULE_ORIGIN;
    proxy_multi_free(r->multi);
    r->multi = NULL;
    proxy_req_step(r, r->range.kind == PROXY_RANGE_MULTI ? PROXY_STEP_PASS : PROXY_STEP_ASK);
}

/* ---- the head ---- */

/* What describes the bytes of the whole would be wrong of a part of them. */
static void write_fields(struct proxy_req *r, const struct cache_meta *meta)
{
    if (r->multi != NULL)
        proxy_multi_write_fields(r->multi, el_fields_view(&meta->fields), &r->head);
    else if (r->status == 206 || r->status == 416)
        proxy_headers_response(el_fields_view(&meta->fields), true, &r->head);
    else
        el_buf_add_str(&r->head, el_buf_str(&meta->head));
}

/* The head leaves with the first bytes, so who gives these is known, and little more. */
static enum proxy_xcache judge(struct proxy_req *r)
{
    if (r->was_here || (!r->reader_is_open && !r->from_origin))
        return PROXY_XCACHE_HIT;
    if (r->from_origin || !r->reader_is_open)
        return PROXY_XCACHE_MISS;
    return proxy_xcache_foreseen(cache_reader_foresee(&r->reader));
}

/* RFC 9211 section 2.2: what was asked of somebody else, a request that this one waited for too. */
static const char *forwarded(const struct proxy_req *r)
{
    if (!r->from_origin && (r->was_validated || r->stands_in))
        return "stale";
    return r->from_origin || r->collapsed ? "uri-miss" : "partial";
}

static void write_head(struct proxy_req *r)
{
    struct cache_meta *meta = cache_object_meta(r->object);
    int64_t now = proxy_req_now(r), age_ms = proxy_fresh_age_ms(meta, now);
    enum proxy_xcache xcache = judge(r);
    struct proxy_status_line line = {
        .is_hit =
            xcache == PROXY_XCACHE_HIT && !r->from_origin && !r->was_validated && !r->stands_in,
        .fwd = forwarded(r),
        .fwd_status = r->origin_status,
        .is_stored = r->was_stored,
        .is_collapsed = r->collapsed,
        .detail = xcache == PROXY_XCACHE_P2P ? "peer" : NULL,
        .has_ttl = true,
        .ttl_s = (proxy_fresh_lifetime_ms(meta, &r->fresh) - age_ms) / 1000,
    };

    el_buf_clear(&r->head);
    write_fields(r, meta);
    proxy_headers_response(el_fields_view(&r->cookies), false, &r->head);
    proxy_req_write_content_range(r);
    /* RFC 9111 section 5.1: Age on every answer that the origin did not just make or validate. */
    if ((!r->from_origin && !r->was_validated) || r->has_age) {
        el_buf_add_str(&r->head, EL_STR("Age: "));
        el_buf_add_u64(&r->head, (uint64_t)age_ms / 1000);
        el_buf_add_str(&r->head, EL_STR("\r\n"));
    }
    r->xcache = xcache;
    proxy_req_write_own_fields(r, &line);
    cache_meta_unref(meta);
}

static void send_head(struct proxy_req *r)
{
    int64_t length = EL_HTTP_BODY_CHUNKED;

    if (r->head_is_sent)
        return;
    write_head(r);
    if (r->status == 304)
        length = EL_HTTP_BODY_NONE;
    else if (r->multi != NULL)
        length = (int64_t)proxy_multi_length(r->multi);
    else if (r->body_end != CACHE_UNKNOWN_LENGTH)
        length = (int64_t)(r->body_end - r->body_first);
    r->head_is_sent = true;
    r->stream->ops->send_head(r->stream, r->status, el_buf_str(&r->head), length);
}

/* ---- the body ---- */

static bool is_text_sent(const struct proxy_req *r)
{
    return r->multi == NULL || r->multi->text_sent == r->multi->text.n;
}

/* What stands before the part, or behind the last: 1 when all is sent, 0: wait, -1: gone. */
static int push_text(struct proxy_req *r)
{
    struct proxy_piece piece = { .fd = -1 };
    ssize_t n;

    if (is_text_sent(r))
        return 1;
    piece.mem = r->multi->text.p + r->multi->text_sent;
    piece.n = r->multi->text.n - r->multi->text_sent;
    n = r->stream->ops->push(r->stream, &piece);
    if (n < 0)
        return -1;
    r->multi->text_sent += (size_t)n;
    return is_text_sent(r);
}

static ssize_t push(struct proxy_req *r, const struct proxy_piece *piece)
{
    int sent = push_text(r);

    return sent == 1 ? r->stream->ops->push(r->stream, piece) : sent;
}

/* True: go on. */
static bool push_span(struct proxy_req *r, const struct cache_span *span)
{
    const struct proxy_piece piece = {
        .mem = span->mem, .n = span->n, .fd = span->fd, .offset = span->offset
    };
    ssize_t n;

    send_head(r);
    n = push(r, &piece);
    cache_reader_advance(&r->reader, n > 0 ? (size_t)n : 0);
    proxy_tiers_note(&r->share, span->from, n > 0 ? (size_t)n : 0);
    if (n < 0) {
        proxy_req_gone(r);
        return false;
    }
    proxy_req_first_byte(r);
    return (size_t)n == span->n;
}

/* The reader of the part after this one; false: this was the last. */
static bool next_part(struct proxy_req *r)
{
    if (r->multi == NULL || !is_text_sent(r) ||
        !proxy_multi_next(r->multi, &r->body_first, &r->body_end))
        return false;
    cache_reader_close(&r->reader);
    cache_reader_open(&r->reader, r->object, r->ticket, r->body_first, r->body_end);
    return true;
}

/* The bytes are out, and perhaps text is left. */
static void finish(struct proxy_req *r)
{
    int sent;

    send_head(r);
    sent = push_text(r);
    if (sent < 0)
        proxy_req_gone(r);
    else if (sent > 0)
        proxy_req_step(r, PROXY_STEP_DONE);
}

void proxy_deliver_push(struct proxy_req *r)
{
    size_t sendfile_from = r->stream->wants_sendfile ? SENDFILE_FROM : SIZE_MAX;
    struct cache_span span;

    for (;;) {
        switch (cache_reader_next(&r->reader, sendfile_from, &span)) {
        case CACHE_READ_DATA:
            if (!push_span(r, &span))
                return;
            break;
        case CACHE_READ_WAIT:
            return;
        case CACHE_READ_END:
            if (next_part(r))
                break;
            finish(r);
            return;
        case CACHE_READ_ERROR:
            if (is_to_be_asked(r)) {
                ask_after_all(r);
                return;
            }
            if (r->reader.err.code != EL_ENOTCACHED || r->reader.ticket != NULL) {
                proxy_req_origin_failed(r, r->reader.err.code, r->reader.err.text);
                return;
            }
            reopen(r);
            break;
        }
    }
}

void proxy_deliver_start(struct proxy_req *r)
{
    if (!r->is_planned)
        proxy_deliver_open(r);
    if (r->reader_is_open) {
        proxy_deliver_push(r);
        return;
    }
    send_head(r);
    proxy_req_step(r, PROXY_STEP_DONE);
}
