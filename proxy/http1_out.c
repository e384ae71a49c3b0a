/* SPDX-License-Identifier: MIT */
/*
 * Responses. What this layer makes itself (heads, chunk framing) collects in c->out and leaves in
 * front of the next bytes of the body, in one system call: writev() of both, or send() with
 * MSG_MORE and sendfile(). The body is never copied on a plain connection; when the kernel takes no
 * more, the caller hears how much it took and keeps the rest.
 *
 * TLS: libh2o encrypts (copies) what it is given at once and then has one write in flight; nothing
 * is taken until that is done.
 */
#include "proxy/http1_conn.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "common/http_client.h"
#include "proxy/status.h"

/* Below it a copy is cheaper than the bookkeeping of pages (measured). */
#define MIN_SENDFILE_BYTES (32 * 1024)
/* One connection's share before the loop turns to the others. */
#define TURN_BYTES      (4 * 1024 * 1024)
#define TLS_PIECE_BYTES (256 * 1024)

static void on_writable(h2o_socket_t *sock, const char *err);

static size_t pending(const struct http1_conn *c)
{
    return c->out.n - c->out_off;
}

static void consume_out(struct http1_conn *c, size_t n)
{
    c->out_off += n;
    if (pending(c) == 0) {
        el_buf_clear(&c->out);
        c->out_off = 0;
    }
}

bool proxy_http1_out_progressed(struct http1_conn *c)
{
    int unsent = 0, seen = c->unsent_seen;

    if (ioctl(c->fd, SIOCOUTQ, &unsent) != 0)
        return false;
    c->unsent_seen = unsent;
    return unsent < seen;
}

/* ---- the socket ---- */

/* on_writable() comes when the kernel has room. Not for TLS, where each write reports. */
static void await_room(struct http1_conn *c)
{
    if (c->is_writing)
        return;
    c->is_writing = true;
    h2o_socket_notify_write(c->sock, on_writable);
    proxy_http1_await_writable(c);
}

static void note_sent(struct http1_conn *c, size_t n)
{
    c->turn_bytes += n;
    if (n > 0)
        c->res.is_head_sent = true;
}

/* How much the kernel took, 0 when it has no room, -1 when the connection is lost. */
static ssize_t sent_or_full(struct http1_conn *c, ssize_t n)
{
    if (n >= 0) {
        note_sent(c, (size_t)n);
        return n;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return 0;
    c->is_gone = true;
    return -1;
}

/*
 * Writes what is pending, then n bytes of body, then the end of their chunk; what is left of the
 * two that are ours stays pending. Returns how many bytes of the body left, or -1.
 */
static ssize_t write_plain(struct http1_conn *c, const void *mem, size_t n, struct el_str chunk_end)
{
    size_t ours = pending(c);
    struct iovec v[] = {
        { c->out.p + c->out_off, ours },
        { (void *)(uintptr_t)mem, n },
        { (void *)(uintptr_t)chunk_end.p, chunk_end.n },
    };
    size_t first = ours > 0 ? 0 : 1;
    ssize_t rc =
        sent_or_full(c, writev(c->fd, v + first, (int)((chunk_end.n > 0 ? 3 : 2) - first)));
    size_t sent, of_ours, of_body;

    if (rc < 0)
        return -1;
    sent = (size_t)rc;
    of_ours = el_min_size(sent, ours);
    of_body = el_min_size(sent - of_ours, n);
    consume_out(c, of_ours);
    if (of_body == n && n > 0)
        el_buf_add_str(&c->out, el_str_from(chunk_end, sent - of_ours - of_body));
    return (ssize_t)of_body;
}

static ssize_t send_file(struct http1_conn *c, const struct proxy_piece *piece, size_t n)
{
    off_t offset = (off_t)piece->offset;
    ssize_t sent;

    if (pending(c) > 0) {
        ssize_t rc = sent_or_full(c, send(c->fd, c->out.p + c->out_off, pending(c), MSG_MORE));

        if (rc < 0)
            return -1;
        consume_out(c, (size_t)rc);
        if (pending(c) > 0)
            return 0;
    }
    sent = sendfile(c->fd, piece->fd, &offset, n);
    /* UNTESTED: a file that is shorter than it should be; the bytes are in memory as well. */
    return sent != 0 ? sent_or_full(c, sent) : write_plain(c, piece->mem, n, EL_STR(""));
}

static void write_tls(struct http1_conn *c, const void *mem, size_t n, struct el_str chunk_end)
{
    h2o_iovec_t v[] = {
        { c->out.p + c->out_off, pending(c) },
        { (char *)(uintptr_t)mem, n },
        { (char *)(uintptr_t)chunk_end.p, chunk_end.n },
    };

    note_sent(c, pending(c) + n);
    c->is_writing = true;
    h2o_socket_write(c->sock, v, EL_COUNT(v), on_writable);
    proxy_http1_await_writable(c);
    consume_out(c, pending(c));
}

/* True: nothing of ours is left to write. False: on_writable() goes on, or the connection is lost.
 */
static bool flush(struct http1_conn *c)
{
    if (c->is_gone || c->is_writing)
        return false;
    if (pending(c) == 0)
        return true;
    if (c->tls != NULL)
        write_tls(c, NULL, 0, EL_STR(""));
    else if (write_plain(c, NULL, 0, EL_STR("")) == 0 && pending(c) > 0)
        await_room(c);
    return !c->is_gone && !c->is_writing;
}

/* The response is complete; go on when the last byte of it has left. */
static void flush_to_end(struct http1_conn *c)
{
    if (flush(c))
        proxy_http1_finish(c);
    else if (c->is_gone)
        proxy_http1_close(c);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct http1_conn *c = EL_CAST(sock->data, struct http1_conn, HTTP1_MAGIC);

    c->is_writing = false;
    c->turn_bytes = 0;
    if (c->state == HTTP1_FLUSHING) {
        c->is_gone = c->is_gone || err != NULL;
        flush_to_end(c);
        proxy_http1_advance(c);
    } else if (c->state == HTTP1_BUSY) {
        bool is_flushed = err == NULL && flush(c);

        if (err != NULL || (!is_flushed && c->is_gone && !c->is_writing)) {
            c->is_gone = false; /* the owner has not heard of it */
            proxy_http1_tell_gone(c);
        } else if (is_flushed && c->wants_writable) {
            c->wants_writable = false;
            if (c->events != NULL)
                c->events->on_writable(c->arg);
        }
    }
}

/* ---- heads ---- */

static const char *reason_of(int status)
{
    static const char *const reasons[] = {
        [100] = "Continue",
        [101] = "Switching Protocols",
        [103] = "Early Hints",
        [200] = "OK",
        [201] = "Created",
        [202] = "Accepted",
        [204] = "No Content",
        [206] = "Partial Content",
        [207] = "Multi-Status",
        [301] = "Moved Permanently",
        [302] = "Found",
        [303] = "See Other",
        [304] = "Not Modified",
        [307] = "Temporary Redirect",
        [308] = "Permanent Redirect",
        [400] = "Bad Request",
        [401] = "Unauthorized",
        [403] = "Forbidden",
        [404] = "Not Found",
        [405] = "Method Not Allowed",
        [407] = "Proxy Authentication Required",
        [408] = "Request Timeout",
        [409] = "Conflict",
        [410] = "Gone",
        [411] = "Length Required",
        [412] = "Precondition Failed",
        [413] = "Content Too Large",
        [415] = "Unsupported Media Type",
        [416] = "Range Not Satisfiable",
        [417] = "Expectation Failed",
        [421] = "Misdirected Request",
        [429] = "Too Many Requests",
        [431] = "Request Header Fields Too Large",
        [500] = "Internal Server Error",
        [501] = "Not Implemented",
        [502] = "Bad Gateway",
        [503] = "Service Unavailable",
        [504] = "Gateway Timeout",
        [505] = "HTTP Version Not Supported",
        [508] = "Loop Detected",
    };
    size_t i = (size_t)status;

    /* The phrase may be empty; nobody reads it but people (RFC 9112 section 4). */
    return i < EL_COUNT(reasons) && reasons[i] != NULL ? reasons[i] : "";
}

static void add_status_line(struct el_buf *out, int status)
{
    el_buf_add_str(out, EL_STR("HTTP/1.1 "));
    el_buf_add_u64(out, (uint64_t)status);
    el_buf_add_byte(out, ' ');
    el_buf_add_str(out, el_str_of(reason_of(status)));
    el_buf_add_str(out, EL_STR("\r\n"));
}

static bool has_date(struct el_str lines)
{
    struct el_str line;

    while (el_str_split(&lines, '\n', &line))
        if (line.n > 5 && (line.p[0] | 0x20) == 'd' && el_str_istarts(line, EL_STR("Date:")))
            return true;
    return false;
}

static bool has_no_body(const struct http1_conn *c, int status)
{
    return status == 204 || status == 304 || el_str_eq(c->stream.head.method, EL_STR("HEAD"));
}

static enum http1_framing choose_framing(const struct http1_conn *c, int status, int64_t length)
{
    if (has_no_body(c, status))
        return HTTP1_NO_BODY;
    if (length != EL_HTTP_BODY_CHUNKED)
        return HTTP1_LENGTH;
    return c->stream.head.minor_version > 0 ? HTTP1_CHUNKED : HTTP1_CLOSE;
}

/* RFC 9112 section 6; the length of a body that HEAD does not get is told all the same. */
static void add_framing(struct http1_conn *c, int status, int64_t length)
{
    struct http1_response *r = &c->res;

    r->framing = choose_framing(c, status, length);
    r->left = length > 0 ? (uint64_t)length : 0;
    if (r->framing == HTTP1_LENGTH ||
        (r->framing == HTTP1_NO_BODY && length >= 0 && status != 204)) {
        el_buf_add_str(&c->out, EL_STR("Content-Length: "));
        el_buf_add_u64(&c->out, r->left);
        el_buf_add_str(&c->out, EL_STR("\r\n"));
    } else if (r->framing == HTTP1_CHUNKED) {
        el_buf_add_str(&c->out, EL_STR("Transfer-Encoding: chunked\r\n"));
    }
}

static bool may_keep_alive(const struct http1_conn *c)
{
    /* Whether a body will come that was announced but not asked for, nobody can know. */
    bool is_unsure = c->stream.head.expects_continue && !c->sent_continue && !c->body.is_done;

    return c->keep_alive && !is_unsure && c->res.framing != HTTP1_CLOSE &&
           !proxy_thread_is_draining(c->stream.thread);
}

void proxy_http1_send_head(struct proxy_stream *s, int status, struct el_str fields,
                           int64_t body_length)
{
    struct http1_conn *c = proxy_http1_conn_of(s);
    struct el_buf *out = &c->out;

    EL_ASSERT(c->state == HTTP1_BUSY && !c->res.has_head);
    c->res.has_head = true;
    add_status_line(out, status);
    el_buf_add_str(out, fields);
    if (!has_date(fields))
        el_buf_add_str(out, proxy_thread_date(s->thread));
    add_framing(c, status, body_length);
    c->keep_alive = may_keep_alive(c);
    if (!c->keep_alive)
        el_buf_add_str(out, EL_STR("Connection: close\r\n"));
    else if (s->head.minor_version == 0)
        el_buf_add_str(out, EL_STR("Connection: keep-alive\r\n"));
    el_buf_add_str(out, EL_STR("\r\n"));
}

bool proxy_http1_flush(struct proxy_stream *s)
{
    struct http1_conn *c = proxy_http1_conn_of(s);

    EL_ASSERT(c->state == HTTP1_BUSY && c->res.has_head);
    (void)flush(c);
    return !c->is_gone;
}

void proxy_http1_send_interim(struct proxy_stream *s, int status, struct el_str fields)
{
    struct http1_conn *c = proxy_http1_conn_of(s);

    EL_ASSERT(status >= 100 && status < 200);
    if (s->head.minor_version == 0 || c->res.has_head || c->is_gone)
        return;
    add_status_line(&c->out, status);
    el_buf_add_str(&c->out, fields);
    el_buf_add_str(&c->out, EL_STR("\r\n"));
    (void)flush(c);
}

void proxy_http1_refuse(struct http1_conn *c, const struct proxy_http1_refusal *why)
{
    struct el_buf body = { 0 };

    proxy_thread_note_refusal(c->stream.thread);
    proxy_problem(&body, why->status, why->code, el_str_of(why->detail));
    add_status_line(&c->out, why->status);
    el_buf_add_str(&c->out, proxy_thread_date(c->stream.thread));
    el_buf_add_str(&c->out, EL_STR("Content-Type: application/problem+json\r\n"
                                   "Cache-Control: no-store\r\nConnection: close\r\n"
                                   "Content-Length: "));
    el_buf_add_u64(&c->out, body.n);
    el_buf_add_str(&c->out, EL_STR("\r\n\r\n"));
    el_buf_add_str(&c->out, el_buf_str(&body));
    el_buf_deinit(&body);
    c->keep_alive = false;
    c->body = (struct http1_body){ .is_done = false }; /* what follows is no request: linger */
    proxy_http1_move(c, HTTP1_FLUSHING);
    flush_to_end(c);
    proxy_http1_advance_later(c);
}

void proxy_http1_establish(struct http1_conn *c)
{
    el_buf_add_str(&c->out, EL_STR("HTTP/1.1 200 Connection established\r\n\r\n"));
    c->keep_alive = true;
    c->events = NULL;
    proxy_http1_move(c, HTTP1_FLUSHING);
    flush_to_end(c);
    proxy_http1_advance_later(c);
}

/* ---- bodies ---- */

/* Where the next n bytes are to go in the chunked coding: opens a chunk when none is open. */
static void open_chunk(struct http1_conn *c, size_t n)
{
    char size[24];
    int len;

    if (c->res.chunk_left > 0)
        return;
    c->res.chunk_left = n;
    len = snprintf(size, sizeof(size), "%zx\r\n", n);
    el_buf_add(&c->out, size, (size_t)len);
}

/* n of the body's bytes were taken, of `asked`. */
static ssize_t took(struct http1_conn *c, size_t n, size_t asked)
{
    c->stream.body_bytes_sent += n;
    if (c->res.framing == HTTP1_LENGTH)
        c->res.left -= n;
    if (c->res.framing == HTTP1_CHUNKED)
        c->res.chunk_left -= n;
    if (n < asked) {
        c->wants_writable = true;
        if (c->tls == NULL)
            await_room(c);
    }
    return (ssize_t)n;
}

static ssize_t push_plain(struct http1_conn *c, const struct proxy_piece *piece, size_t n)
{
    bool ends_chunk = c->res.framing == HTTP1_CHUNKED && n == c->res.chunk_left;
    struct el_str chunk_end = ends_chunk ? EL_STR("\r\n") : EL_STR("");
    ssize_t sent;

    if (piece->fd < 0 || n < MIN_SENDFILE_BYTES)
        return write_plain(c, piece->mem, n, chunk_end);
    sent = send_file(c, piece, n);
    if (sent > 0 && (size_t)sent == n)
        el_buf_add_str(&c->out, chunk_end);
    return sent;
}

static ssize_t push_tls(struct http1_conn *c, const struct proxy_piece *piece, size_t n)
{
    size_t part = el_min_size(n, TLS_PIECE_BYTES);
    bool ends_chunk = c->res.framing == HTTP1_CHUNKED && part == c->res.chunk_left;

    write_tls(c, piece->mem, part, ends_chunk ? EL_STR("\r\n") : EL_STR(""));
    return (ssize_t)part;
}

ssize_t proxy_http1_push(struct proxy_stream *s, const struct proxy_piece *piece)
{
    struct http1_conn *c = proxy_http1_conn_of(s);
    size_t n = piece->n;
    ssize_t sent;

    EL_ASSERT(c->state == HTTP1_BUSY && c->res.has_head);
    /* More than the head promised would be read as the next response. */
    if (c->is_gone || (c->res.framing == HTTP1_LENGTH && n > c->res.left)) {
        c->is_gone = true;
        return -1;
    }
    if (n == 0 || c->res.framing == HTTP1_NO_BODY)
        return (ssize_t)n;
    if (c->is_writing || c->turn_bytes >= TURN_BYTES)
        return took(c, 0, n);
    if (c->res.framing == HTTP1_CHUNKED) {
        open_chunk(c, n);
        n = (size_t)el_min_u64(n, c->res.chunk_left);
    }
    sent = c->tls != NULL ? push_tls(c, piece, n) : push_plain(c, piece, n);
    return sent < 0 ? -1 : took(c, (size_t)sent, piece->n);
}

static bool is_complete(const struct http1_conn *c)
{
    if (!c->res.has_head || c->is_gone)
        return false;
    return (c->res.framing != HTTP1_LENGTH || c->res.left == 0) && c->res.chunk_left == 0;
}

void proxy_http1_end(struct proxy_stream *s)
{
    struct http1_conn *c = proxy_http1_conn_of(s);

    EL_ASSERT(c->state == HTTP1_BUSY);
    if (!is_complete(c)) {
        proxy_http1_abort(s);
        return;
    }
    if (c->res.framing == HTTP1_CHUNKED)
        el_buf_add_str(&c->out, EL_STR("0\r\n\r\n"));
    c->events = NULL;
    proxy_http1_move(c, HTTP1_FLUSHING);
    flush_to_end(c);
    proxy_http1_advance_later(c);
}

/*
 * Length and chunks show a client that the end is missing. A body that ends with the connection
 * shows it only when the connection ends badly: with a reset, or in TLS without its farewell.
 */
void proxy_http1_abort(struct proxy_stream *s)
{
    struct http1_conn *c = proxy_http1_conn_of(s);
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };

    EL_ASSERT(c->state == HTTP1_BUSY);
    c->events = NULL;
    if (c->res.has_head && c->res.framing == HTTP1_CLOSE) {
        if (c->tls != NULL)
            (void)shutdown(c->fd, SHUT_WR);
        else
            (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    proxy_http1_close(c);
}
