/* SPDX-License-Identifier: MIT */
/*
 * pass: what is not cached streams through. The request's body goes to the origin as the client
 * sends it, the answer comes back as the origin sends it, and each side is read only as fast as the
 * other takes it: an upload of any size costs the two rings of the exchange and nothing more.
 *
 * Two ways in: proxy_pass_start() for requests in which the cache has no part, proxy_pass_answer()
 * for a question of ask.c whose answer may not be stored. In the second case the origin may have
 * been asked for more than the client wanted (a range on block borders); the surplus is cut off
 * here.
 */
#include "proxy/req.h"

#include "proxy/headers_out.h"

/* ---- the request's body ---- */

void proxy_pass_body(struct proxy_req *r)
{
    const void *bytes;
    size_t n, taken;
    bool is_end;
    enum el_err rc;

    while (!r->body_is_sent && r->ex != NULL && !r->ex->is_done) {
        rc = r->stream->ops->body_read(r->stream, &bytes, &n, &is_end);
        if (rc != EL_OK) {
            proxy_req_fail(r, rc, "the body of the request broke off or is malformed");
            return;
        }
        if (n == 0 && !is_end)
            return;
        if (n == 0) {
            store_exchange_write_end(r->ex);
            r->body_is_sent = true;
            return;
        }
        taken = store_exchange_write(r->ex, bytes, n);
        if (taken == 0)
            return;
        proxy_invalidate_note_body(r, bytes, taken);
        r->stream->ops->body_consume(r->stream, taken);
    }
}

static void send_request(struct proxy_req *r)
{
    const struct proxy_head *head = &r->stream->head;
    struct el_fields fields;

    el_fields_init(&fields);
    proxy_headers_request(head->fields, &r->route, el_str_of(r->proxy->via_token), &fields);
    r->body_is_sent = head->body_length == EL_HTTP_BODY_NONE;
    proxy_invalidate_begin(r);
    proxy_req_exchange(r, &fields, head->body_length, STORE_PASS);
    el_fields_deinit(&fields);
    proxy_pass_body(r);
}

void proxy_pass_start(struct proxy_req *r)
{
    if (r->ex == NULL)
        send_request(r);
    else
        proxy_pass_answer(r);
}

/* ---- the answer's head ---- */

/* The client wants nothing that there is; the widened range began before that. */
static void plan_nothing(struct proxy_req *r)
{
    r->status = 416;
    r->body_first = r->body_end = 0;
    r->pipe_skip = r->pipe_left = 0;
}

/*
 * The part of a widened 206 that the client asked for; less of it when the object has grown, or the
 * origin chose to send less (RFC 9110 section 15.3.7). False: it holds nothing of what was asked.
 */
static bool cut_range(struct proxy_req *r)
{
    struct el_fieldv fields = el_fields_view(&r->ex->fields);
    struct proxy_content_range cr;
    struct el_str value;

    if (!el_fieldv_get(fields, EL_STR("Content-Range"), &value) ||
        !proxy_content_range_parse(value, &cr) || !cr.has_total)
        return false;
    r->length = cr.total;
    if (!proxy_range_resolve(&r->range, cr.total, &r->body_first, &r->body_end)) {
        plan_nothing(r);
        return true;
    }
    if (r->body_first < cr.first || r->body_first >= cr.end)
        return false;
    r->body_end = el_min_u64(r->body_end, cr.end);
    r->pipe_skip = r->body_first - cr.first;
    r->pipe_left = r->body_end - r->body_first;
    return true;
}

static int64_t length_of(const struct proxy_req *r)
{
    struct el_str value;
    uint64_t n;

    if (!el_fieldv_get(el_fields_view(&r->ex->fields), EL_STR("Content-Length"), &value) ||
        !el_str_u64(value, INT64_MAX, &n))
        return r->is_head || r->status == 304 || r->status == 204 ? EL_HTTP_BODY_NONE
                                                                  : EL_HTTP_BODY_CHUNKED;
    return (int64_t)n;
}

static void write_head(struct proxy_req *r)
{
    const struct proxy_status_line line = {
        .fwd = r->why != NULL ? r->why : "bypass",
        .fwd_status = r->ex->status,
        .is_collapsed = r->collapsed,
    };

    el_buf_clear(&r->head);
    proxy_headers_response(el_fields_view(&r->ex->fields), r->is_cut, &r->head);
    if (r->is_cut)
        proxy_req_write_content_range(r);
    r->xcache = PROXY_XCACHE_MISS;
    proxy_req_write_own_fields(r, &line);
}

void proxy_pass_answer(struct proxy_req *r)
{
    static const struct proxy_piece nothing = { .fd = -1 };
    int64_t length;

    r->status = r->ex->status;
    proxy_invalidate_answered(r);
    if (r->is_head)
        proxy_refresh_by_head(r);
    r->pipe_left = UINT64_MAX;
    r->is_cut = r->status == 206 && r->has_asked_range;
    /* UNTESTED: ask.c has asked again where the part is not what is wanted. */
    if (r->is_cut && !cut_range(r)) {
        proxy_req_origin_failed(r, EL_EPROTO,
                                "the origin's partial answer does not hold what was asked");
        return;
    }
    length = r->is_cut ? (int64_t)r->pipe_left : length_of(r);
    write_head(r);
    r->head_is_sent = true;
    r->stream->ops->send_head(r->stream, r->status, el_buf_str(&r->head), length);
    store_exchange_pipe(r->ex);
    if (r->stream->ops->push(r->stream, &nothing) < 0) {
        proxy_req_gone(r);
        return;
    }
    proxy_req_first_byte(r);
    proxy_pass_push(r);
}

/* ---- the answer's body ---- */

/* What of the n bytes at hand is for the client, after dropping what lies before its range. */
static size_t cut(struct proxy_req *r, const void **bytes, size_t n)
{
    size_t skip = (size_t)el_min_u64(r->pipe_skip, n);

    if (skip > 0) {
        store_exchange_consume(r->ex, skip);
        r->pipe_skip -= skip;
        *bytes = (const char *)*bytes + skip;
    }
    return (size_t)el_min_u64(n - skip, r->pipe_left);
}

/* The origin has begun to answer, and its first byte may be an event that is long in coming. */
static void send_what_there_is(struct proxy_req *r)
{
    if (!r->stream->ops->flush(r->stream))
        proxy_req_gone(r);
}

static void finish(struct proxy_req *r)
{
    if (r->ex->is_done && r->ex->err.code != EL_OK && r->pipe_left > 0)
        proxy_req_origin_failed(r, r->ex->err.code, r->ex->err.text);
    else
        proxy_req_step(r, PROXY_STEP_DONE);
}

void proxy_pass_push(struct proxy_req *r)
{
    const void *bytes;
    size_t n, want;
    ssize_t sent;

    while (r->pipe_left > 0) {
        store_exchange_read(r->ex, &bytes, &n);
        if (n == 0 && !r->ex->is_done) {
            send_what_there_is(r);
            return;
        }
        if (n == 0)
            break;
        want = cut(r, &bytes, n);
        if (want == 0)
            continue;
        sent = r->stream->ops->push(r->stream,
                                    &(struct proxy_piece){ .mem = bytes, .n = want, .fd = -1 });
        if (sent < 0) {
            proxy_req_gone(r);
            return;
        }
        store_exchange_consume(r->ex, (size_t)sent);
        proxy_tiers_note(&r->share, CACHE_FROM_ORIGIN, (size_t)sent);
        if (r->pipe_left != UINT64_MAX)
            r->pipe_left -= (uint64_t)sent;
        if ((size_t)sent < want)
            return;
    }
    finish(r);
}
