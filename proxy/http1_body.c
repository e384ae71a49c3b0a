/* SPDX-License-Identifier: MIT */
/*
 * The body of a request, streamed: the owner reads slices of the connection's input buffer in
 * place. Nobody reads from the socket while the buffer is full, so the kernel's window holds the
 * client back.
 */
#include "proxy/http1_conn.h"

#include "common/http_client.h"

/* An unread rest of at most so much is dropped, to keep the connection; more is not worth it. */
#define MAX_SKIP_BYTES (256 * 1024)

void proxy_http1_body_begin(struct http1_conn *c, int64_t length)
{
    c->body.is_chunked = length == EL_HTTP_BODY_CHUNKED;
    c->body.is_done = length == EL_HTTP_BODY_NONE || length == 0;
    c->body.left = length > 0 ? (uint64_t)length : 0;
    c->body.given = 0;
    c->body.offered = 0;
    c->body.code = EL_OK;
    if (c->body.is_chunked)
        proxy_chunked_init(&c->body.chunked);
}

/* Removes framing in front; *ret_n bytes of body lie at the start of the input then. */
static enum el_err find_data(struct http1_conn *c, size_t *ret_n)
{
    struct http1_body *b = &c->body;
    const char *bytes = c->in.p + c->in.off;
    size_t n = c->in.n - c->in.off, used;
    uint64_t limit;

    if (!b->is_chunked) {
        *ret_n = (size_t)el_min_u64(b->left, n);
        return EL_OK;
    }
    if (!proxy_chunked_next(&b->chunked, bytes, n, &used, ret_n))
        return EL_EBADREQ;
    proxy_http1_consume(c, used);
    b->is_done = proxy_chunked_is_done(&b->chunked);
    limit = proxy_thread_limits(c->stream.thread)->max_body_bytes;
    if (limit != 0 && *ret_n > 0 && (b->given >= limit || b->chunked.left > limit - b->given))
        return EL_EBODYTOOLARGE;
    return EL_OK;
}

static void take_data(struct http1_conn *c, size_t n)
{
    struct http1_body *b = &c->body;

    proxy_http1_consume(c, n);
    if (b->is_chunked) {
        proxy_chunked_take(&b->chunked, n);
        b->given += n;
    } else {
        b->left -= n;
        b->is_done = b->left == 0;
    }
}

/* Once, when the body is first wanted and the client may be waiting to be asked for it. */
static void ask_for_body(struct http1_conn *c)
{
    if (!c->stream.head.expects_continue || c->sent_continue || c->res.has_head)
        return;
    c->sent_continue = true;
    proxy_http1_send_interim(&c->stream, 100, EL_STR(""));
}

enum el_err proxy_http1_body_read(struct proxy_stream *s, const void **ret_bytes, size_t *ret_n,
                                  bool *ret_end)
{
    struct http1_conn *c = proxy_http1_conn_of(s);
    size_t n = 0;

    if (c->is_gone)
        return EL_ERESET;
    if (c->body.code == EL_OK && !c->body.is_done)
        c->body.code = find_data(c, &n);
    if (c->body.code == EL_OK && !c->body.is_done && n == 0) {
        /* What lay in the way (TLS: already decrypted) may make room for more. */
        proxy_http1_receive(c);
        c->body.code = find_data(c, &n);
    }
    if (c->body.code != EL_OK)
        return c->body.code;
    c->body.offered = n;
    *ret_bytes = c->in.p + c->in.off;
    *ret_n = n;
    *ret_end = c->body.is_done;
    if (n == 0 && !c->body.is_done) {
        ask_for_body(c);
        c->wants_body = true;
        proxy_http1_await_body(c);
    }
    return EL_OK;
}

void proxy_http1_body_consume(struct proxy_stream *s, size_t n)
{
    struct http1_conn *c = proxy_http1_conn_of(s);

    EL_ASSERT(n <= c->body.offered);
    c->body.offered -= n;
    take_data(c, n);
}

void proxy_http1_body_wake(struct http1_conn *c)
{
    size_t n = 0;

    if (!c->wants_body)
        return;
    if (c->body.code == EL_OK)
        c->body.code = find_data(c, &n);
    if (c->body.code == EL_OK && n == 0 && !c->body.is_done)
        return;
    c->wants_body = false;
    if (c->events != NULL)
        c->events->on_body(c->arg);
}

bool proxy_http1_body_skip(struct http1_conn *c)
{
    size_t n;

    do {
        if (c->body.code == EL_OK)
            c->body.code = find_data(c, &n);
        if (c->body.code != EL_OK)
            return true;
        c->discarded += n;
        take_data(c, n);
    } while (n > 0);
    return c->body.is_done || c->discarded > MAX_SKIP_BYTES;
}
