/* SPDX-License-Identifier: MIT */
/*
 * An h2 stream has two holders: the request's owner, until end() or abort(), and libh2o, until it
 * disposes of its h2o_req_t. It is freed when both have let go, in whichever order.
 *
 *   push(): a copy of up to COPY_BYTES goes to libh2o, one at a time --> proceed(): on_writable
 *   end(), abort(): FINAL or ERROR goes out, after the copy that is under way
 *   client resets the stream, or leaves: on_dispose(): on_gone, unless the owner has let go
 *
 * libh2o 2.2.5 does not limit how fast a client may open and reset streams, nor how long it may
 * refuse to read: both are bounded here, by closing the connection.
 */
#include "proxy/h2.h"

#include <arpa/inet.h>

#include <h2o/http2.h>

#include "common/http_client.h"

#define COPY_BYTES      (64 * 1024)
#define MAX_RESETS      1000
#define MAX_CONCURRENT  16
#define MAX_BODY_BYTES  (256 * 1024 * 1024) /* libh2o keeps them in memory, then in a file */
#define H2_STREAM_MAGIC 0x68327374u

struct proxy_h2 {
    h2o_globalconf_t conf;
};

struct h2_conn {
    struct proxy_member member;
    struct proxy_thread *thread;
    h2o_socket_t *sock;
    unsigned resets;
    char client[INET6_ADDRSTRLEN + 8];
};

struct h2_stream {
    uint32_t magic;
    struct proxy_stream stream;
    h2o_req_t *req; /* NULL: libh2o has disposed of it */
    h2o_generator_t generator;
    const struct proxy_stream_events *events;
    void *arg;
    struct proxy_timer timer; /* runs while the client is to take bytes */
    bool has_head, is_started, is_in_flight, wants_writable;
    bool is_released;      /* by the owner, with end() or abort() */
    h2o_send_state_t last; /* what ends the response then */
    bool has_no_body;
    uint64_t left;                          /* bytes promised and not yet taken */
    bool is_unbounded;                      /* there is no promise */
    size_t body_used;                       /* of req->entity */
    char *head;                             /* the bytes that stream.head points into */
    char date[H2O_TIMESTR_RFC1123_LEN + 1]; /* "": libh2o's own */
    char client[INET6_ADDRSTRLEN + 8];
    char copy[COPY_BYTES];
};

/* ---- life of a stream ---- */

static struct h2_stream *stream_of(struct proxy_stream *s)
{
    return EL_CAST(EL_ENTRY(s, struct h2_stream, stream), struct h2_stream, H2_STREAM_MAGIC);
}

static struct h2_conn *conn_of(h2o_req_t *req)
{
    return req->conn->callbacks->get_socket(req->conn)->on_close.data;
}

static void cut_connection(h2o_req_t *req)
{
    (void)shutdown(h2o_socket_get_fd(req->conn->callbacks->get_socket(req->conn)), SHUT_RDWR);
}

static void free_if_alone(struct h2_stream *s)
{
    if (!s->is_released || s->req != NULL)
        return;
    proxy_timer_stop(&s->timer);
    proxy_thread_leave(s->stream.thread);
    free((void *)(uintptr_t)s->stream.head.fields.v);
    free(s->head);
    s->magic = 0;
    free(s);
}

/* libh2o's memory for the request goes, whether it was answered or reset. */
static void on_dispose(void *slot)
{
    struct h2_stream *s = *(struct h2_stream **)slot;
    h2o_req_t *req = s->req;

    s->req = NULL;
    proxy_timer_stop(&s->timer);
    if (s->is_released) {
        free_if_alone(s);
        return;
    }
    if (++conn_of(req)->resets > MAX_RESETS)
        cut_connection(req);
    if (s->events != NULL)
        s->events->on_gone(s->arg);
}

static void on_stuck(struct proxy_timer *tm)
{
    struct h2_stream *s = EL_ENTRY(tm, struct h2_stream, timer);

    cut_connection(s->req);
}

/* ---- response ---- */

static void add_line(struct h2_stream *s, struct el_str line)
{
    h2o_req_t *req = s->req;
    size_t colon = el_str_find(line, ':');
    struct el_str name = el_str_first(line, colon);
    struct el_str value = el_str_trim(el_str_from(line, colon + 1));
    h2o_iovec_t n, v;

    if (el_str_ieq(name, EL_STR("Date")) && value.n == H2O_TIMESTR_RFC1123_LEN) {
        memcpy(s->date, value.p, value.n);
        return;
    }
    n = h2o_strdup(&req->pool, name.p, name.n);
    v = h2o_strdup(&req->pool, value.p, value.n);
    h2o_strtolower(n.base, n.len);
    h2o_add_header_by_str(&req->pool, &req->res.headers, n.base, n.len, 1, NULL, v.base, v.len);
}

static void send_head(struct proxy_stream *ps, int status, struct el_str fields,
                      int64_t body_length)
{
    struct h2_stream *s = stream_of(ps);
    struct el_str line;

    EL_ASSERT(!s->has_head && !s->is_released);
    s->has_head = true;
    s->has_no_body = status == 204 || status == 304 || el_str_eq(ps->head.method, EL_STR("HEAD"));
    s->left = body_length > 0 ? (uint64_t)body_length : 0;
    s->is_unbounded = body_length == EL_HTTP_BODY_CHUNKED;
    if (s->req == NULL)
        return;
    s->req->res.status = status;
    if (body_length >= 0 && status != 204)
        s->req->res.content_length = (size_t)body_length;
    while (el_str_split(&fields, '\n', &line))
        if (line.n > 1)
            add_line(s, el_str_first(line, line.n - 1));
}

/*
 * libh2o writes its clock's Date into each head and takes none from the response: for the moment in
 * which the head is made, its cached text of the clock is replaced.
 */
static void send_with_date(struct h2_stream *s, h2o_iovec_t *bufs, size_t n, h2o_send_state_t state)
{
    h2o_context_t *ctx = s->req->conn->ctx;
    h2o_timestamp_string_t *clock, *stored;

    (void)h2o_get_timestamp(ctx, NULL, NULL);
    clock = ctx->_timestamp_cache.value;
    stored = h2o_mem_alloc_shared(NULL, sizeof(*stored), NULL);
    *stored = *clock;
    memcpy(stored->rfc1123, s->date, sizeof(s->date));
    ctx->_timestamp_cache.value = stored;
    h2o_send(s->req, bufs, n, state);
    ctx->_timestamp_cache.value = clock;
    h2o_mem_release_shared(stored);
}

static void send_part(struct h2_stream *s, h2o_iovec_t *bufs, size_t n, h2o_send_state_t state)
{
    proxy_timer_start(s->stream.thread, &s->timer,
                      proxy_thread_limits(s->stream.thread)->body_timeout_ms, on_stuck);
    s->is_in_flight = true;
    if (s->is_started) {
        h2o_send(s->req, bufs, n, state);
        return;
    }
    s->is_started = true;
    h2o_start_response(s->req, &s->generator);
    if (s->date[0] != '\0')
        send_with_date(s, bufs, n, state);
    else
        h2o_send(s->req, bufs, n, state);
}

static void on_proceed(h2o_generator_t *g, h2o_req_t *req)
{
    struct h2_stream *s = EL_ENTRY(g, struct h2_stream, generator);

    (void)req;
    s->is_in_flight = false;
    proxy_timer_stop(&s->timer);
    if (s->is_released) {
        send_part(s, NULL, 0, s->last);
    } else if (s->wants_writable) {
        s->wants_writable = false;
        if (s->events != NULL)
            s->events->on_writable(s->arg);
    }
}

static ssize_t push(struct proxy_stream *ps, const struct proxy_piece *piece)
{
    struct h2_stream *s = stream_of(ps);
    size_t n = el_min_size(piece->n, COPY_BYTES);
    h2o_iovec_t buf = { s->copy, n };

    EL_ASSERT(s->has_head && !s->is_released);
    if (s->req == NULL || (!s->has_no_body && !s->is_unbounded && piece->n > s->left))
        return -1;
    if (piece->n == 0 || s->has_no_body)
        return (ssize_t)piece->n;
    s->wants_writable = s->is_in_flight || n < piece->n;
    if (s->is_in_flight)
        return 0;
    memcpy(s->copy, piece->mem, n);
    s->left -= s->is_unbounded ? 0 : n;
    ps->body_bytes_sent += n;
    send_part(s, &buf, 1, H2O_SEND_STATE_IN_PROGRESS);
    return (ssize_t)n;
}

static bool flush(struct proxy_stream *ps)
{
    struct h2_stream *s = stream_of(ps);

    EL_ASSERT(s->has_head && !s->is_released);
    if (s->req != NULL && !s->is_started && !s->has_no_body)
        send_part(s, NULL, 0, H2O_SEND_STATE_IN_PROGRESS);
    return s->req != NULL;
}

/* Under way or not yet begun, the response ends with `last`. */
static void release(struct h2_stream *s, h2o_send_state_t last)
{
    EL_ASSERT(!s->is_released);
    s->is_released = true;
    s->events = NULL;
    s->last = last;
    if (s->req != NULL && !s->is_in_flight)
        send_part(s, NULL, 0, last);
    free_if_alone(s);
}

static void abort_stream(struct proxy_stream *ps)
{
    struct h2_stream *s = stream_of(ps);

    if (s->req != NULL && !s->has_head)
        s->req->res.status = 502; /* a reset needs a head in front of it */
    release(s, H2O_SEND_STATE_ERROR);
}

static void end(struct proxy_stream *ps)
{
    struct h2_stream *s = stream_of(ps);

    if (!s->has_head || (!s->has_no_body && s->left > 0))
        abort_stream(ps);
    else
        release(s, H2O_SEND_STATE_FINAL);
}

static void send_interim(struct proxy_stream *ps, int status, struct el_str fields)
{
    (void)ps;
    (void)status;
    (void)fields;
}

/* ---- request ---- */

static void listen_to(struct proxy_stream *ps, const struct proxy_stream_events *ev, void *arg)
{
    struct h2_stream *s = stream_of(ps);

    s->events = ev;
    s->arg = arg;
}

static enum el_err body_read(struct proxy_stream *ps, const void **ret_bytes, size_t *ret_n,
                             bool *ret_end)
{
    struct h2_stream *s = stream_of(ps);

    if (s->req == NULL)
        return EL_ERESET;
    *ret_n = s->req->entity.len - s->body_used;
    *ret_bytes = *ret_n > 0 ? s->req->entity.base + s->body_used : NULL;
    *ret_end = *ret_n == 0;
    return EL_OK;
}

static void body_consume(struct proxy_stream *ps, size_t n)
{
    struct h2_stream *s = stream_of(ps);

    EL_ASSERT(s->req == NULL || n <= s->req->entity.len - s->body_used);
    s->body_used += n;
}

static struct el_str copy_to(char **at, h2o_iovec_t v)
{
    struct el_str s = { *at, v.len };

    if (v.len > 0)
        memcpy(*at, v.base, v.len);
    *at += v.len;
    return s;
}

/*
 * The head outlives libh2o's request, which may go at any time. libh2o has bounded its size and
 * checked its bytes.
 */
static bool copy_head(struct h2_stream *s, h2o_req_t *req)
{
    struct proxy_head *h = &s->stream.head;
    size_t n = req->method.len + req->input.path.len + req->input.authority.len;
    struct el_field *fields = el_try_alloc((req->headers.size + 1) * sizeof(*fields));
    char *at;

    for (size_t i = 0; i < req->headers.size; i++)
        n += req->headers.entries[i].name->len + req->headers.entries[i].value.len;
    s->head = at = el_try_alloc(n + 1);
    h->fields = (struct el_fieldv){ fields, req->headers.size };
    if (at == NULL || fields == NULL)
        return false;
    h->method = copy_to(&at, req->method);
    h->target = copy_to(&at, req->input.path);
    h->host = copy_to(&at, req->input.authority);
    for (size_t i = 0; i < req->headers.size; i++) {
        fields[i].name = copy_to(&at, *req->headers.entries[i].name);
        fields[i].value = el_str_trim(copy_to(&at, req->headers.entries[i].value));
    }
    /* As HTTP/1.1 would have it: where fields are compared, the Host is one of them. */
    if (h->host.n > 0 && !el_fieldv_has(h->fields, EL_STR("Host")))
        fields[h->fields.n++] = (struct el_field){ EL_STR("Host"), h->host };
    h->minor_version = 1;
    h->is_http2 = true;
    h->body_length = req->entity.base != NULL ? (int64_t)req->entity.len : EL_HTTP_BODY_NONE;
    return true;
}

static uint64_t mono_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static const struct proxy_stream_ops stream_ops = {
    .listen = listen_to,
    .send_head = send_head,
    .flush = flush,
    .send_interim = send_interim,
    .push = push,
    .body_read = body_read,
    .body_consume = body_consume,
    .end = end,
    .abort = abort_stream,
};

static int on_req(h2o_handler_t *handler, h2o_req_t *req)
{
    struct proxy_thread *t = EL_ENTRY(req->conn->ctx, struct proxy_thread, h2o);
    struct h2_stream *s = el_try_alloc(sizeof(*s));
    struct h2_stream **slot;

    (void)handler;
    if (s == NULL)
        return -1;
    s->magic = H2_STREAM_MAGIC;
    s->req = req;
    s->generator.proceed = on_proceed;
    s->stream = (struct proxy_stream){ .ops = &stream_ops, .thread = t, .is_tls = true };
    memcpy(s->client, conn_of(req)->client, sizeof(s->client));
    s->stream.client = s->client;
    s->stream.started_ns = mono_ns();
    if (!copy_head(s, req)) {
        free(s->head);
        free((void *)(uintptr_t)s->stream.head.fields.v);
        free(s);
        return -1;
    }
    slot = h2o_mem_alloc_shared(&req->pool, sizeof(struct h2_stream *), on_dispose);
    *slot = s;
    proxy_thread_request(t, &s->stream);
    return 0;
}

/* ---- connections ---- */

static void on_conn_closed(void *arg)
{
    struct h2_conn *c = arg;

    proxy_thread_part(c->thread, &c->member);
    free(c);
}

static void drain(struct proxy_member *m)
{
    (void)m; /* h2o_context_request_shutdown() says goodbye to all of them */
}

/* libh2o notices in its next round, and disposes of the streams. */
static void drop(struct proxy_member *m)
{
    struct h2_conn *c = EL_ENTRY(m, struct h2_conn, member);

    (void)shutdown(h2o_socket_get_fd(c->sock), SHUT_RDWR);
}

void proxy_h2_accept(struct proxy_thread *t, h2o_socket_t *take_sock, const char *client)
{
    h2o_accept_ctx_t ctx = { .ctx = &t->h2o, .hosts = t->h2o.globalconf->hosts };
    struct h2_conn *c = el_new(struct h2_conn);
    struct timeval now;

    c->thread = t;
    c->sock = take_sock;
    c->member = (struct proxy_member){ .drain = drain, .drop = drop };
    (void)snprintf(c->client, sizeof(c->client), "%s", client);
    proxy_thread_join(t, &c->member);
    take_sock->on_close.cb = on_conn_closed;
    take_sock->on_close.data = c;
    (void)gettimeofday(&now, NULL);
    h2o_http2_accept(&ctx, take_sock, now);
}

struct proxy_h2 *proxy_h2_new(const struct proxy_limits *limits)
{
    struct proxy_h2 *h2 = el_new(struct proxy_h2);
    h2o_globalconf_t *conf = &h2->conf;
    h2o_pathconf_t *path;

    h2o_config_init(conf);
    conf->server_name = (h2o_iovec_t){ NULL, 0 };
    conf->http1.upgrade_to_http2 = 0;
    conf->http2.idle_timeout = limits->idle_timeout_ms;
    conf->http2.max_concurrent_requests_per_connection = MAX_CONCURRENT;
    conf->max_request_entity_size = limits->max_body_bytes == 0
                                        ? MAX_BODY_BYTES
                                        : el_min_u64(limits->max_body_bytes, MAX_BODY_BYTES);
    path = h2o_config_register_path(
        h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("default")), 65535), "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_req;
    return h2;
}

h2o_globalconf_t *proxy_h2_globalconf(struct proxy_h2 *h2)
{
    return &h2->conf;
}

void proxy_h2_free(struct proxy_h2 *h2)
{
    if (h2 == NULL)
        return;
    h2o_config_dispose(&h2->conf);
    free(h2);
}
