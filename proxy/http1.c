/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 connections: a strict state machine on libh2o's sockets. Requests of one connection are
 * served one after the other, in the order they came (pipelining).
 *
 *    accept            TLS done               first byte            whole head: on_request
 *   -------> HANDSHAKE --------> IDLE <-----> HEAD ------------------------> BUSY
 *     plain: straight to IDLE     ^ ^          | bad, late: refuse()          | end()
 *                                 | |          +--------------> FLUSHING <----+
 *        rest of the body dropped | |                              |  all sent:
 * proxy_http1_finish() SKIPPING + +------------------------------+ ^                 keep-alive |
 *                            +-------------------------------------+ body not read
 *                            |                                     | close
 *                            +------------> LINGER <---------------+
 *   FLUSHING, after the answer to an intercepted CONNECT: go_inside() --> HANDSHAKE
 *   any state: proxy_http1_close() --> CLOSED     (input is dropped for a while, lest a reset
 *                                            destroys the answer on its way)
 *
 *   state      input                         timer                    then
 *   HANDSHAKE  libh2o's                      head_timeout             close
 *   IDLE       awaited                       idle_timeout             close
 *   HEAD       awaited, to max_head_bytes    head_timeout             408
 *   BUSY       body, as fast as it is read;  body_timeout, while the  on_gone, or the body
 *              one request ahead             client is waited for     fails with EL_ETIMEOUT
 *   FLUSHING   as BUSY                       body_timeout             close
 *   SKIPPING   dropped, 256 KiB at most      SKIP_MS                  close
 *   LINGER     dropped, 1 MiB at most        LINGER_MS                close
 *   CLOSED     none                          CLOSE_MS (TLS)           reset
 *
 * Input is watched in BUSY as well, which is how a client that leaves is noticed: end of file means
 * that it has left, although it could have closed just its own direction; other servers agree.
 */
#include "proxy/http1.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <openssl/err.h>

#include "common/log.h"
#include "proxy/h2.h"
#include "proxy/http1_conn.h"

#define MAX_FIELDS 100
/* Room for input: enough for most heads, for bodies, and when a TLS record is longer than that. */
#define IN_BYTES   4096
#define BODY_BYTES (64 * 1024)
/* libh2o reads TLS input for as long as there is some: this bounds what it can find at once. */
#define TLS_RECEIVE_BYTES (512 * 1024)
#define SKIP_MS           1000
#define LINGER_MS         2000
#define LINGER_BYTES      (1024 * 1024)
#define CLOSE_MS          2000

static void on_input(h2o_socket_t *sock, const char *err);

void proxy_http1_move(struct http1_conn *c, enum http1_state to)
{
#define TO(state) (1u << (state))
    static const unsigned allowed[] = {
        [HTTP1_HANDSHAKE] = TO(HTTP1_IDLE),
        [HTTP1_IDLE] = TO(HTTP1_HEAD) | TO(HTTP1_BUSY) | TO(HTTP1_FLUSHING),
        [HTTP1_HEAD] = TO(HTTP1_BUSY) | TO(HTTP1_FLUSHING),
        [HTTP1_BUSY] = TO(HTTP1_FLUSHING),
        [HTTP1_FLUSHING] =
            TO(HTTP1_HANDSHAKE) | TO(HTTP1_IDLE) | TO(HTTP1_SKIPPING) | TO(HTTP1_LINGER),
        [HTTP1_SKIPPING] = TO(HTTP1_IDLE) | TO(HTTP1_LINGER),
        [HTTP1_LINGER] = 0,
        [HTTP1_CLOSED] = 0,
    };

    EL_ASSERT((allowed[c->state] & TO(to)) != 0 ||
              (to == HTTP1_CLOSED && c->state != HTTP1_CLOSED));
    c->state = to;
#undef TO
}

struct http1_conn *proxy_http1_conn_of(struct proxy_stream *s)
{
    struct http1_conn *c = EL_ENTRY(s, struct http1_conn, stream);

    EL_ASSERT(c->magic == HTTP1_MAGIC);
    return c;
}

static struct proxy_thread *thread_of(const struct http1_conn *c)
{
    return c->stream.thread;
}

/* ---- end of life ---- */

static void free_conn(struct proxy_later *l)
{
    struct http1_conn *c = EL_ENTRY(l, struct http1_conn, later);

    EL_ASSERT(c->state == HTTP1_CLOSED);
    SSL_CTX_free(c->tls);
    SSL_CTX_free(c->inner_tls);
    free(c->inside);
    el_buf_deinit(&c->out);
    free(c->in.p);
    free(c->head);
    free(c->fields);
    c->magic = 0;
    free(c);
}

/* The connection is nobody's business any more; its memory goes when no callback can be using it.
 */
static void depart(struct http1_conn *c)
{
    c->sock = NULL;
    proxy_timer_stop(&c->timer);
    if (c->is_counted)
        proxy_thread_leave(thread_of(c));
    c->is_counted = false;
    proxy_thread_part(thread_of(c), &c->member);
    proxy_thread_later(thread_of(c), &c->later, free_conn);
}

static void on_closed(void *arg)
{
    depart(arg);
}

/* A TLS client that does not read would keep the farewell of its connection waiting for ever. */
static void on_close_late(struct proxy_timer *tm)
{
    struct http1_conn *c = EL_ENTRY(tm, struct http1_conn, timer);

    (void)shutdown(c->fd, SHUT_RDWR);
}

void proxy_http1_close(struct http1_conn *c)
{
    if (c->state == HTTP1_CLOSED)
        return;
    proxy_http1_move(c, HTTP1_CLOSED);
    c->is_gone = true;
    proxy_timer_start(thread_of(c), &c->timer, CLOSE_MS, on_close_late);
    c->sock->on_close.cb = on_closed;
    c->sock->on_close.data = c;
    h2o_socket_close(c->sock);
}

void proxy_http1_tell_gone(struct http1_conn *c)
{
    if (c->is_gone)
        return;
    c->is_gone = true;
    proxy_timer_stop(&c->timer);
    if (c->events != NULL)
        c->events->on_gone(c->arg);
}

/* ---- timers ---- */

static void on_time(struct proxy_timer *tm);

static void start_timer(struct http1_conn *c, uint64_t after_ms)
{
    proxy_timer_start(thread_of(c), &c->timer, after_ms, on_time);
}

static const struct proxy_limits *limits_of(const struct http1_conn *c)
{
    return proxy_thread_limits(thread_of(c));
}

void proxy_http1_await_writable(struct http1_conn *c)
{
    (void)proxy_http1_out_progressed(c);
    start_timer(c, limits_of(c)->body_timeout_ms);
}

/* The kernel may report room seldom to a slow but living reader: look what it took in between. */
static bool still_takes(struct http1_conn *c)
{
    if (!proxy_http1_out_progressed(c))
        return false;
    start_timer(c, limits_of(c)->body_timeout_ms);
    return true;
}

static void on_busy_late(struct http1_conn *c)
{
    if (c->is_writing) {
        if (!still_takes(c))
            proxy_http1_tell_gone(c);
    } else if (c->wants_body) {
        c->body.code = EL_ETIMEOUT;
        proxy_http1_body_wake(c);
    }
}

static void on_time(struct proxy_timer *tm)
{
    struct http1_conn *c = EL_ENTRY(tm, struct http1_conn, timer);
    const struct proxy_http1_refusal late = { 408, EL_ETIMEOUT, "the request head took too long" };

    switch (c->state) {
    case HTTP1_HEAD:
        proxy_http1_refuse(c, &late);
        break;
    case HTTP1_BUSY:
        on_busy_late(c);
        break;
    case HTTP1_FLUSHING:
        if (!still_takes(c))
            proxy_http1_close(c);
        break;
    case HTTP1_HANDSHAKE:
    case HTTP1_IDLE:
    case HTTP1_SKIPPING:
    case HTTP1_LINGER:
    case HTTP1_CLOSED:
        proxy_http1_close(c);
        break;
    }
}

/* ---- input ---- */

void proxy_http1_consume(struct http1_conn *c, size_t n)
{
    EL_ASSERT(n <= c->in.n - c->in.off);
    c->in.off += n;
    if (c->in.off == c->in.n)
        c->in.off = c->in.n = 0;
}

/* How much may wait in the buffer: a body being read, a head, or a little of the next request. */
static size_t room_wanted(const struct http1_conn *c)
{
    if (c->state == HTTP1_IDLE || c->state == HTTP1_HEAD)
        return el_max_u64(IN_BYTES, limits_of(c)->max_head_bytes + 2);
    return c->body.is_done ? IN_BYTES : BODY_BYTES;
}

static bool set_capacity(struct http1_in *in, size_t cap)
{
    char *p = el_try_alloc(cap);

    if (p == NULL)
        return false;
    memcpy(p, in->p + in->off, in->n - in->off);
    free(in->p);
    *in = (struct http1_in){ .p = p, .n = in->n - in->off, .cap = cap };
    return true;
}

/* False: the buffer is as large as it may be, and full. */
static bool make_room(struct http1_conn *c)
{
    struct http1_in *in = &c->in;
    size_t wanted = room_wanted(c);

    if (in->n < in->cap)
        return true;
    if (in->off > 0) {
        memmove(in->p, in->p + in->off, in->n - in->off);
        in->n -= in->off;
        in->off = 0;
        return true;
    }
    if (in->cap >= wanted)
        return false;
    if (set_capacity(in, el_min_size(in->cap * 4, wanted)))
        return true;
    c->is_eof = true; /* no memory: the connection is given up */
    return false;
}

/* TLS: libh2o has read and decrypted already. True: some of it was taken. */
static bool receive_decrypted(struct http1_conn *c)
{
    bool took = false;

    while (c->sock->input->size > 0 && make_room(c)) {
        size_t n = el_min_size(c->in.cap - c->in.n, c->sock->input->size);

        memcpy(c->in.p + c->in.n, c->sock->input->bytes, n);
        c->in.n += n;
        h2o_buffer_consume(&c->sock->input, n);
        took = true;
    }
    return took;
}

void proxy_http1_receive(struct http1_conn *c)
{
    ssize_t n;

    if (c->tls != NULL) {
        (void)receive_decrypted(c);
        return;
    }
    if (c->is_eof || !make_room(c))
        return;
    do
        n = recv(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        c->in.n += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
        c->is_eof = true;
}

/* Watching costs a system call to turn on and off: it stays on until the buffer is full. */
static void watch_input(struct http1_conn *c)
{
    bool wants = !c->is_eof && !c->is_gone && (c->in.off > 0 || c->in.n < room_wanted(c)) &&
                 (c->tls == NULL || c->sock->input->size == 0);

    if (wants == c->is_reading)
        return;
    c->is_reading = wants;
    if (wants)
        h2o_socket_read_start(c->sock, on_input);
    else
        h2o_socket_read_stop(c->sock);
}

static void on_input(h2o_socket_t *sock, const char *err)
{
    struct http1_conn *c = EL_CAST(sock->data, struct http1_conn, HTTP1_MAGIC);

    c->turn_bytes = 0;
    if (err != NULL)
        c->is_eof = true;
    proxy_http1_receive(c);
    proxy_http1_advance(c);
}

void proxy_http1_await_body(struct http1_conn *c)
{
    if (!c->is_writing)
        start_timer(c, limits_of(c)->body_timeout_ms);
    if (c->is_eof)
        proxy_http1_advance_later(c);
    else
        watch_input(c);
}

/* ---- heads ---- */

static bool refuse(struct http1_conn *c, int status, enum el_err code, const char *detail)
{
    const struct proxy_http1_refusal why = { status, code, detail };

    proxy_http1_refuse(c, &why);
    return true;
}

static uint64_t mono_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void begin_request(struct http1_conn *c)
{
    c->saw_crlf = false;
    c->scanned = 0;
    c->events = NULL;
    c->sent_continue = false;
    c->wants_body = false;
    c->wants_writable = false;
    c->res = (struct http1_response){ 0 };
    c->stream.started_ns = mono_ns();
    c->stream.body_bytes_sent = 0;
}

static const char *rebase(const char *p, const char *from, const char *to)
{
    return p == NULL ? NULL : to + (p - from);
}

/*
 * The head is copied out of the input buffer, which goes on moving under the request, and its
 * slices with it.
 */
static bool keep_head(struct http1_conn *c, struct el_str bytes, const struct proxy_head *h)
{
    struct proxy_head *kept = &c->stream.head;

    if (bytes.n > c->head_cap) {
        free(c->head);
        c->head = el_try_alloc(bytes.n);
        c->head_cap = c->head != NULL ? bytes.n : 0;
        if (c->head == NULL)
            return false;
    }
    if (h->fields.n > c->fields_cap) {
        free(c->fields);
        c->fields = el_alloc(h->fields.n * sizeof(*c->fields));
        c->fields_cap = h->fields.n;
    }
    memcpy(c->head, bytes.p, bytes.n);
    *kept = *h;
    kept->fields.v = c->fields;
    kept->method.p = rebase(h->method.p, bytes.p, c->head);
    kept->target.p = rebase(h->target.p, bytes.p, c->head);
    kept->host.p = rebase(h->host.p, bytes.p, c->head);
    for (size_t i = 0; i < h->fields.n; i++) {
        c->fields[i] = h->fields.v[i];
        c->fields[i].name.p = rebase(c->fields[i].name.p, bytes.p, c->head);
        c->fields[i].value.p = rebase(c->fields[i].value.p, bytes.p, c->head);
    }
    return true;
}

/* A whole head of n bytes lies at the front of the input. */
static void start_request(struct http1_conn *c, size_t n)
{
    struct el_str bytes = { c->in.p + c->in.off, n };
    struct el_field room[MAX_FIELDS];
    struct proxy_http1_head parsed;
    struct proxy_http1_refusal why;
    uint64_t max_body = limits_of(c)->max_body_bytes;

    if (!proxy_http1_head_parse(bytes, room, MAX_FIELDS, &parsed, &why)) {
        proxy_http1_refuse(c, &why);
        return;
    }
    if (max_body != 0 && parsed.head.body_length > 0 &&
        (uint64_t)parsed.head.body_length > max_body) {
        (void)refuse(c, 413, EL_EBODYTOOLARGE, "the request body is longer than max_body_bytes");
        return;
    }
    if (!keep_head(c, bytes, &parsed.head)) {
        (void)refuse(c, 503, EL_ENOMEM, "no memory for the request head");
        return;
    }
    c->stream.head.inside = el_str_of(c->inside);
    proxy_http1_consume(c, n);
    proxy_http1_body_begin(c, parsed.head.body_length);
    c->keep_alive = parsed.keep_alive;
    proxy_http1_move(c, HTTP1_BUSY);
    c->is_counted = true;
    proxy_thread_request(thread_of(c), &c->stream);
}

/* One empty line in front of a request is forgiven (RFC 9112 section 2.2). False: more has to come.
 */
static bool skip_empty_line(struct http1_conn *c)
{
    const char *bytes = c->in.p + c->in.off;
    size_t n = c->in.n - c->in.off;

    if (c->saw_crlf || n == 0 || bytes[0] != '\r')
        return n > 0;
    if (n >= 2 && bytes[1] == '\n') {
        proxy_http1_consume(c, 2);
        c->saw_crlf = true;
    }
    return n > 2;
}

/* True: something was done, and there may be more to do. */
static bool take_head(struct http1_conn *c)
{
    uint64_t max_head = limits_of(c)->max_head_bytes;
    ssize_t n;

    if (!skip_empty_line(c))
        return false;
    if (c->state == HTTP1_IDLE)
        begin_request(c);
    n = proxy_http1_head_end(c->in.p + c->in.off, c->in.n - c->in.off, &c->scanned);
    if (n < 0)
        return refuse(c, 400, EL_EBADREQ, "a line of the head ends with a bare line feed");
    if ((uint64_t)n > max_head || (n == 0 && c->in.n - c->in.off > max_head))
        return refuse(c, 431, EL_ETOOLARGE, "the request head is longer than max_head_bytes");
    if (n > 0) {
        start_request(c, (size_t)n);
        return true;
    }
    if (c->state == HTTP1_IDLE) {
        proxy_http1_move(c, HTTP1_HEAD);
        start_timer(c, limits_of(c)->head_timeout_ms);
    }
    return false;
}

/* ---- the driver ---- */

static void go_idle(struct http1_conn *c)
{
    proxy_http1_move(c, HTTP1_IDLE);
    if (c->in.cap > BODY_BYTES / 4 && c->in.n == c->in.off)
        (void)set_capacity(&c->in, IN_BYTES); /* without memory it just stays large */
    start_timer(c, limits_of(c)->idle_timeout_ms);
}

/* ---- TLS ---- */

/* The connection goes on as HTTP/2: libh2o's. */
static void hand_to_h2(struct http1_conn *c)
{
    h2o_socket_t *sock = c->sock;

    proxy_http1_move(c, HTTP1_CLOSED);
    sock->data = NULL;
    depart(c);
    proxy_h2_accept(thread_of(c), sock, c->client);
}

static void on_handshake(h2o_socket_t *sock, const char *err)
{
    struct http1_conn *c = EL_CAST(sock->data, struct http1_conn, HTTP1_MAGIC);
    h2o_iovec_t protocol;

    if (err != NULL) {
        ERR_clear_error(); /* the next use of TLS on this thread would take it for its own */
        if (c->inside != NULL)
            proxy_thread_note_inside_failed(thread_of(c));
        proxy_http1_close(c);
        return;
    }
    protocol = h2o_socket_ssl_get_selected_protocol(sock);
    if (protocol.len == 2 && memcmp(protocol.base, "h2", 2) == 0) {
        hand_to_h2(c);
        return;
    }
    go_idle(c);
    proxy_http1_receive(c);
    proxy_http1_advance(c);
}

static void start_handshake(struct http1_conn *c, SSL_CTX *take_tls)
{
    int bytes = TLS_RECEIVE_BYTES;

    (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    c->tls = take_tls;
    c->stream.is_tls = true;
    start_timer(c, limits_of(c)->head_timeout_ms);
    h2o_socket_ssl_handshake(c->sock, c->tls, NULL, on_handshake);
}

/* What this layer has read and not used goes back to the socket, in front. */
static void unread(struct http1_conn *c)
{
    size_t n = c->in.n - c->in.off;

    if (n == 0)
        return;
    (void)h2o_buffer_reserve(&c->sock->input, n);
    memmove(c->sock->input->bytes + n, c->sock->input->bytes, c->sock->input->size);
    memcpy(c->sock->input->bytes, c->in.p + c->in.off, n);
    c->sock->input->size += n;
}

/* Where a tunnel would begin, TLS does, and then requests for the host of the tunnel. */
static void go_inside(struct http1_conn *c)
{
    SSL_CTX *tls = c->inner_tls;

    c->inner_tls = NULL;
    proxy_http1_move(c, HTTP1_HANDSHAKE);
    if (c->is_reading)
        h2o_socket_read_stop(c->sock);
    c->is_reading = false;
    unread(c);
    proxy_http1_consume(c, c->in.n - c->in.off);
    h2o_socket_dont_read(c->sock, 0);
    c->stream.wants_sendfile = false;
    start_handshake(c, tls);
}

/* ---- the end of a response ---- */

static void start_lingering(struct http1_conn *c)
{
    proxy_http1_move(c, HTTP1_LINGER);
    c->discarded = 0;
    if (c->tls == NULL)
        (void)shutdown(c->fd, SHUT_WR);
    start_timer(c, LINGER_MS);
}

void proxy_http1_finish(struct http1_conn *c)
{
    if (c->is_counted)
        proxy_thread_leave(thread_of(c));
    c->is_counted = false;
    if (c->is_eof || (!c->keep_alive && c->body.is_done && c->in.n == c->in.off)) {
        proxy_http1_close(c);
    } else if (c->inner_tls != NULL) {
        go_inside(c);
    } else if (c->keep_alive && c->body.is_done) {
        go_idle(c);
    } else if (c->keep_alive) {
        proxy_http1_move(c, HTTP1_SKIPPING);
        c->discarded = 0;
        start_timer(c, SKIP_MS);
    } else {
        start_lingering(c);
    }
}

/* The rest of a body that nobody read. True: something was done. */
static bool skip_body(struct http1_conn *c)
{
    if (!proxy_http1_body_skip(c))
        return false;
    if (c->body.is_done)
        go_idle(c);
    else
        start_lingering(c);
    return true;
}

static void discard_input(struct http1_conn *c)
{
    c->discarded += c->in.n - c->in.off;
    proxy_http1_consume(c, c->in.n - c->in.off);
    if (c->is_eof || c->discarded > LINGER_BYTES)
        proxy_http1_close(c);
}

/* One step in the present state. True: another one may be possible. */
static bool step(struct http1_conn *c)
{
    switch (c->state) {
    case HTTP1_IDLE:
    case HTTP1_HEAD:
        if (take_head(c))
            return true;
        break;
    case HTTP1_BUSY:
        if (!c->is_eof)
            proxy_http1_body_wake(c);
        /* Reading the body may have found the end of the connection. */
        if (c->state == HTTP1_BUSY && c->is_eof)
            proxy_http1_tell_gone(c);
        return false;
    case HTTP1_SKIPPING:
        if (skip_body(c))
            return true;
        break;
    case HTTP1_LINGER:
        discard_input(c);
        return false;
    case HTTP1_HANDSHAKE:
    case HTTP1_FLUSHING:
    case HTTP1_CLOSED:
        return false;
    }
    if (c->is_eof)
        proxy_http1_close(c);
    return false;
}

/*
 * A loop, not a recursion: a request that is answered inside on_request leaves its connection in
 * IDLE, and the next pipelined one is found here.
 */
void proxy_http1_advance(struct http1_conn *c)
{
    bool goes_on = true;

    if (c->is_advancing)
        return;
    c->is_advancing = true;
    while (goes_on) {
        goes_on = step(c);
        if (c->tls != NULL && c->state != HTTP1_CLOSED && receive_decrypted(c))
            goes_on = true;
    }
    c->is_advancing = false;
    if (c->state != HTTP1_CLOSED && c->state != HTTP1_HANDSHAKE)
        watch_input(c);
}

static void run_later(struct proxy_later *l)
{
    proxy_http1_advance(EL_ENTRY(l, struct http1_conn, later));
}

void proxy_http1_advance_later(struct http1_conn *c)
{
    if (c->is_advancing || c->state == HTTP1_CLOSED)
        return;
    if (c->state == HTTP1_IDLE && c->in.n == c->in.off && c->sock->input->size == 0)
        watch_input(c); /* nothing to do: saves a turn of the loop */
    else
        proxy_thread_later(thread_of(c), &c->later, run_later);
}

/* ---- handing over and dropping ---- */

static struct st_h2o_socket_t *take_socket(struct proxy_stream *s)
{
    struct http1_conn *c = proxy_http1_conn_of(s);
    h2o_socket_t *sock = c->sock;

    EL_ASSERT(c->state == HTTP1_BUSY && !c->res.has_head && !c->is_writing);
    if (c->is_gone) {
        proxy_http1_close(c);
        return NULL;
    }
    unread(c);
    if (c->is_reading)
        h2o_socket_read_stop(sock);
    h2o_socket_dont_read(sock, 0);
    sock->data = NULL;
    proxy_http1_move(c, HTTP1_CLOSED);
    depart(c);
    return sock;
}

static void intercept(struct proxy_stream *s, struct ssl_ctx_st *take_tls)
{
    struct http1_conn *c = proxy_http1_conn_of(s);

    EL_ASSERT(c->state == HTTP1_BUSY && !c->res.has_head && !c->is_writing && c->tls == NULL);
    c->inner_tls = take_tls;
    c->inside = el_strndup(s->head.target.p, s->head.target.n);
    proxy_http1_establish(c);
}

static void drain(struct proxy_member *m)
{
    struct http1_conn *c = EL_ENTRY(m, struct http1_conn, member);

    if (c->state == HTTP1_IDLE && c->in.n == c->in.off)
        proxy_http1_close(c);
}

static void drop(struct proxy_member *m)
{
    struct http1_conn *c = EL_ENTRY(m, struct http1_conn, member);

    (void)shutdown(c->fd, SHUT_RDWR);
    if (c->state == HTTP1_BUSY)
        proxy_http1_tell_gone(c);
    else
        proxy_http1_close(c);
}

/* ---- accept ---- */

static const struct proxy_stream_ops stream_ops;

static void name_client(struct http1_conn *c, const struct sockaddr_storage *addr)
{
    char ip[INET6_ADDRSTRLEN] = "?";

    if (addr->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;

        (void)inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
        (void)snprintf(c->client, sizeof(c->client), "[%s]:%u", ip, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

        (void)inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
        (void)snprintf(c->client, sizeof(c->client), "%s:%u", ip, ntohs(in->sin_port));
    }
}

void proxy_http1_accept(struct proxy_thread *t, int take_fd, const struct sockaddr_storage *addr,
                        bool is_tls)
{
    struct http1_conn *c = el_new(struct http1_conn);
    int on = 1;

    c->magic = HTTP1_MAGIC;
    c->fd = take_fd;
    c->stream = (struct proxy_stream){ .ops = &stream_ops, .thread = t, .wants_sendfile = !is_tls };
    c->stream.client = c->client;
    name_client(c, addr);
    c->in.p = el_alloc(IN_BYTES);
    c->in.cap = IN_BYTES;
    c->body.is_done = true;
    c->member = (struct proxy_member){ .drain = drain, .drop = drop };
    proxy_thread_join(t, &c->member);
    /* Answers leave in one write; waiting to fill a packet would only delay them. */
    (void)setsockopt(take_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->sock = h2o_evloop_socket_create(t->loop, take_fd,
                                       H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION |
                                           (is_tls ? 0 : H2O_SOCKET_FLAG_DONT_READ));
    c->sock->data = c;
    if (is_tls) {
        start_handshake(c, proxy_thread_tls(t));
        return;
    }
    go_idle(c);
    watch_input(c);
}

static void listen_to(struct proxy_stream *s, const struct proxy_stream_events *ev, void *arg)
{
    struct http1_conn *c = proxy_http1_conn_of(s);

    c->events = ev;
    c->arg = arg;
}

static const struct proxy_stream_ops stream_ops = {
    .listen = listen_to,
    .send_head = proxy_http1_send_head,
    .flush = proxy_http1_flush,
    .send_interim = proxy_http1_send_interim,
    .push = proxy_http1_push,
    .body_read = proxy_http1_body_read,
    .body_consume = proxy_http1_body_consume,
    .end = proxy_http1_end,
    .abort = proxy_http1_abort,
    .take_socket = take_socket,
    .intercept = intercept,
};
