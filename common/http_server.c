/* SPDX-License-Identifier: MIT */
#include "common/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/websocket.h>

#include "common/clock.h"

/*
 * The event loop wakes up this often while it stops, to see which answers are still being written;
 * after STOP_MS it drops them.
 */
#define STOP_POLL_MS 10
#define STOP_MS      1000 /* unless conf says otherwise */

/* The kernel gives up a WebSocket whose client acknowledges nothing for so long. */
#define WS_UNACKED_MS 60000

/*
 * libh2o keeps a few freed pieces of memory for each thread and forgets them when the thread ends;
 * a leak checker need not speak of them. Weak, since every file that runs h2o on threads of its own
 * may have to say so.
 */
#ifdef __SANITIZE_ADDRESS__
__attribute__((weak)) const char *__lsan_default_suppressions(void);
__attribute__((weak)) const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle\n";
}
#endif

struct el_http_server {
    /* Immutable once the thread runs. */
    struct el_http_server_conf conf;
    uint16_t port;
    int listen_fd; /* -1: owned by the listener's socket */
    pthread_t thread;
    pthread_barrier_t started;
    h2o_globalconf_t h2o_conf;
    bool has_h2o_conf;

    /* The thread's own. */
    h2o_context_t ctx;
    h2o_accept_ctx_t accept;
    h2o_socket_t *listener;
    h2o_timeout_entry_t accept_again;
    h2o_socket_t *wakeup;    /* of the queue */
    h2o_timeout_t deadlines; /* of kept answers */
    h2o_timeout_t ticks;
    h2o_timeout_entry_t tick;
    size_t n_connections;
    struct el_list sockets; /* of el_http_ws.link */
    struct el_list kept;    /* of el_http_later.link: somebody waits for them */
    size_t n_later;         /* all that were not given yet */
    bool is_stopping;

    struct el_msgq *queue;
    struct el_msg stop_order; /* sent once, by the one who stops */
};

/* Disposed of by h2o with the request. */
struct seat {
    struct el_http_later *later; /* NULL: answered */
};

struct el_http_later {
    struct el_http_reply reply;
    size_t route;
    uint64_t began_ns; /* the keeper's until it is given */
    struct el_msg given;
    struct el_http_server *server;
    /* The server's thread's. */
    struct el_list link;
    h2o_req_t *req; /* with its seat: NULL when it was answered, or the client is gone */
    struct seat *seat;
    h2o_timeout_entry_t deadline;
};

/* A handler's call; el_http_defer() and its like find the rest by the reply. */
struct call {
    struct el_http_reply reply;
    struct el_http_server *server;
    h2o_req_t *req;
    size_t route; /* SIZE_MAX: none */
    bool is_kept;
};

/* h2o allocates its handlers itself and wants its own structure first. */
struct handler {
    h2o_handler_t super;
    struct el_http_server *server;
};

/* ---- replies ---- */

const char *el_http_status_text(int status)
{
    switch (status) {
    case 101:
        return "Switching Protocols";
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 426:
        return "Upgrade Required";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 507:
        return "Insufficient Storage";
    default:
        return "Status";
    }
}

void el_http_reply_json(struct el_http_reply *out, int status, json_t *root)
{
    out->status = status;
    out->content_type = "application/json";
    el_buf_clear(&out->body);
    el_json_write(&out->body, root);
}

void el_http_reply_problem(struct el_http_reply *out, int status, const char *title,
                           const char *detail)
{
    json_t *root = el_json_new();

    el_json_add_str(root, "title", el_str_of(title));
    el_json_add_u64(root, "status", (uint64_t)status);
    el_json_add_str(root, "detail", el_str_of(detail));
    el_http_reply_json(out, status, root);
    out->content_type = "application/problem+json";
}

/* ---- routing ---- */

static bool path_fits(const struct el_http_route *route, struct el_str path,
                      struct el_str params[EL_HTTP_MAX_PARAMS])
{
    const char *p = route->path;
    size_t n_params = 0;

    for (; *p != '\0'; p++) {
        if (p[0] == '*' && p[1] == '\0')
            return true;
        if (p[0] == '{') {
            size_t n = el_str_find(path, '/');

            EL_ASSERT(p[1] == '}' && n_params < EL_HTTP_MAX_PARAMS);
            if (n == 0)
                return false;
            params[n_params++] = el_str_first(path, n);
            path = el_str_from(path, n);
            p++;
        } else if (path.n > 0 && path.p[0] == *p) {
            path = el_str_from(path, 1);
        } else {
            return false;
        }
    }
    return path.n == 0;
}

static bool method_fits(const struct el_http_route *route, struct el_str method)
{
    struct el_str own = el_str_of(route->method);

    return el_str_eq(method, own) ||
           (el_str_eq(method, EL_STR("HEAD")) && el_str_eq(own, EL_STR("GET")));
}

static void refuse(struct el_http_server *s, const struct el_http_call_in *in, int status,
                   const char *detail, struct el_http_reply *out)
{
    if (s->conf.refuse != NULL)
        s->conf.refuse(s->conf.arg, in, status, detail, out);
    else
        el_http_reply_problem(out, status, el_http_status_text(status), detail);
}

/* Runs the first route that fits, and tells which; otherwise `allow` gets the methods that the path
 * knows. */
static void route(struct call *c, struct el_http_call_in *in, struct el_buf *allow)
{
    struct el_http_server *s = c->server;
    struct el_http_reply *out = &c->reply;

    for (size_t i = 0; i < s->conf.route_count; i++) {
        const struct el_http_route *r = &s->conf.routes[i];

        if (!path_fits(r, in->path, in->params))
            continue;
        if (method_fits(r, in->method)) {
            c->route = i;
            if (s->conf.admit == NULL || s->conf.admit(s->conf.arg, r->need, in, out))
                r->handler(s->conf.arg, in, out);
            el_buf_clear(allow);
            return;
        }
        el_buf_addf(allow, "%s%s", allow->n > 0 ? ", " : "", r->method);
        if (strcmp(r->method, "GET") == 0)
            el_buf_add_str(allow, EL_STR(", HEAD"));
    }
    if (allow->n > 0)
        refuse(s, in, 405, "see Allow for what this path takes", out);
    else
        refuse(s, in, 404, "there is nothing under this path", out);
}

/* ---- between h2o and the routes ---- */

static struct el_fieldv fields_of(h2o_req_t *req)
{
    size_t n = req->headers.size;
    struct el_field *v = h2o_mem_alloc_pool(&req->pool, (n + 1) * sizeof(*v));

    for (size_t i = 0; i < n; i++) {
        const h2o_header_t *h = &req->headers.entries[i];

        v[i].name = (struct el_str){ h->name->base, h->name->len };
        v[i].value = (struct el_str){ h->value.base, h->value.len };
    }
    return (struct el_fieldv){ v, n };
}

union peer {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
};

static bool is_local(h2o_req_t *req)
{
    union peer u = { .room = { 0 } };

    if (req->conn->callbacks->get_peername(req->conn, &u.any) == 0)
        return false;
    if (u.any.sa_family == AF_INET)
        return ntohl(u.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return u.any.sa_family == AF_INET6 && (IN6_IS_ADDR_LOOPBACK(&u.v6.sin6_addr) ||
                                           (IN6_IS_ADDR_V4MAPPED(&u.v6.sin6_addr) &&
                                            u.v6.sin6_addr.s6_addr[12] == IN_LOOPBACKNET));
}

static struct el_http_call_in describe(h2o_req_t *req)
{
    struct el_str target = { req->input.path.base, req->input.path.len };
    size_t query_at = el_str_find(target, '?');

    return (struct el_http_call_in){
        .method = { req->input.method.base, req->input.method.len },
        .path = el_str_first(target, query_at),
        .query = el_str_from(target, query_at + 1),
        .host = { req->input.authority.base, req->input.authority.len },
        .fields = fields_of(req),
        .upgrade = { req->upgrade.base, req->upgrade.len },
        .is_local = is_local(req),
        .body = { req->entity.base, req->entity.len },
        .began_ns = el_clock_mono_ns(el_clock_system()),
    };
}

static void add_header(h2o_req_t *req, const char *name, const char *value, size_t n)
{
    h2o_iovec_t kept = h2o_strdup(&req->pool, value, n);

    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, kept.base,
                          kept.len);
}

static void add_field(h2o_req_t *req, const struct el_field *f)
{
    h2o_iovec_t name = h2o_strdup(&req->pool, f->name.p, f->name.n);
    h2o_iovec_t value = h2o_strdup(&req->pool, f->value.p, f->value.n);

    h2o_strtolower(name.base, name.len);
    h2o_add_header_by_str(&req->pool, &req->res.headers, name.base, name.len, 1, NULL, value.base,
                          value.len);
}

static void send_reply(h2o_req_t *req, const struct el_http_reply *reply,
                       const struct el_buf *allow)
{
    req->res.status = reply->status;
    req->res.reason = el_http_status_text(reply->status);
    req->res.content_length = reply->status == 304 ? SIZE_MAX : reply->body.n;
    add_header(req, "content-type", reply->content_type, strlen(reply->content_type));
    if (!el_fieldv_has(el_fields_view(&reply->fields), EL_STR("Cache-Control")))
        add_header(req, "cache-control", "no-store", 8);
    if (reply->challenge != NULL)
        add_header(req, "www-authenticate", reply->challenge, strlen(reply->challenge));
    if (allow != NULL && allow->n > 0)
        add_header(req, "allow", allow->p, allow->n);
    for (size_t i = 0; i < reply->fields.n; i++)
        add_field(req, &reply->fields.v[i]);
    h2o_send_inline(req, reply->body.n > 0 ? reply->body.p : "", reply->body.n);
}

static void tell_leave(struct el_http_server *s, size_t route_index,
                       const struct el_http_call_in *in, struct el_http_reply *out)
{
    if (s->conf.leave != NULL)
        s->conf.leave(s->conf.arg, route_index, in, out);
}

static void deinit_reply(struct el_http_reply *reply)
{
    el_buf_deinit(&reply->body);
    el_fields_deinit(&reply->fields);
}

void el_http_peer(const struct el_http_reply *out, char ret[EL_HTTP_PEER_CHARS])
{
    h2o_req_t *req = EL_ENTRY(out, struct call, reply)->req;
    union peer u = { .room = { 0 } };

    ret[0] = '\0';
    if (req->conn->callbacks->get_peername(req->conn, &u.any) == 0)
        return;
    (void)inet_ntop(u.any.sa_family,
                    u.any.sa_family == AF_INET ? (void *)&u.v4.sin_addr : (void *)&u.v6.sin6_addr,
                    ret, EL_HTTP_PEER_CHARS);
}

/* ---- answers that come later ---- */

/* From now on nobody waits for it. */
static void leave_seat(struct el_http_later *l)
{
    h2o_timeout_unlink(&l->deadline);
    el_list_remove(&l->link);
    l->seat->later = NULL;
    l->seat = NULL;
    l->req = NULL;
}

static void on_request_gone(void *seat)
{
    struct el_http_later *l = ((struct seat *)seat)->later;

    if (l != NULL)
        leave_seat(l);
}

/* Nobody waits for it any more after this. */
static void answer_kept_one(struct el_http_later *l, const struct el_http_call_in *in,
                            struct el_http_reply *reply)
{
    h2o_req_t *req = l->req;

    EL_ASSERT(req != NULL); /* whoever is in the list has somebody who waits */
    leave_seat(l);
    tell_leave(l->server, l->route, in, reply);
    send_reply(req, reply, NULL);
}

static struct el_http_call_in describe_kept(const struct el_http_later *l)
{
    struct el_http_call_in in;

    EL_ASSERT(l->req != NULL); /* whoever is in the list has somebody who waits */
    in = describe(l->req);
    in.began_ns = l->began_ns;
    return in;
}

static void answer_instead(struct el_http_later *l, int status, const char *detail)
{
    struct el_http_call_in in = describe_kept(l);
    struct el_http_reply reply = { 0 };

    refuse(l->server, &in, status, detail, &reply);
    answer_kept_one(l, &in, &reply);
    deinit_reply(&reply);
}

static void on_deadline(h2o_timeout_entry_t *entry)
{
    answer_instead(EL_ENTRY(entry, struct el_http_later, deadline), 504,
                   "it takes longer than this server waits; it goes on");
}

static void on_given(struct el_msg *m)
{
    struct el_http_later *l = EL_ENTRY(m, struct el_http_later, given);
    struct el_http_call_in in;

    l->server->n_later--;
    if (l->req != NULL) {
        in = describe_kept(l);
        answer_kept_one(l, &in, &l->reply);
    }
    deinit_reply(&l->reply);
    free(l);
}

static struct el_http_later *keep(struct call *c)
{
    struct el_http_server *s = c->server;
    struct el_http_later *l = el_new(struct el_http_later);

    l->reply = c->reply;
    c->reply.body = (struct el_buf){ 0 };
    c->reply.fields = (struct el_fields){ 0 };
    c->is_kept = true;
    l->route = c->route;
    l->began_ns = el_clock_mono_ns(el_clock_system());
    l->server = s;
    l->req = c->req;
    l->seat = h2o_mem_alloc_shared(&c->req->pool, sizeof(*l->seat), on_request_gone);
    l->seat->later = l;
    l->deadline.cb = on_deadline;
    el_msg_init(&l->given, on_given);
    el_list_init(&l->link);
    el_list_append(&s->kept, &l->link);
    h2o_timeout_link(s->ctx.loop, &s->deadlines, &l->deadline);
    s->n_later++;
    return l;
}

struct el_http_later *el_http_defer(struct el_http_reply *out)
{
    struct call *c = EL_ENTRY(out, struct call, reply);
    struct el_http_call_in in;

    EL_ASSERT(c->server->conf.later_ms > 0);
    if (!c->server->is_stopping && c->server->n_later < c->server->conf.max_later)
        return keep(c);
    in = describe(c->req);
    refuse(c->server, &in, 503,
           c->server->is_stopping ? "the server is stopping"
                                  : "too many requests of this kind are running",
           out);
    return NULL;
}

struct el_http_reply *el_http_later_reply(struct el_http_later *l)
{
    return &l->reply;
}

struct el_msgq *el_http_later_queue(struct el_http_later *l)
{
    return l->server->queue;
}

void el_http_later_give(struct el_http_later *l)
{
    el_msgq_post(l->server->queue, &l->given);
}

static void answer_kept(struct el_http_server *s)
{
    while (!el_list_empty(&s->kept))
        answer_instead(EL_ENTRY(s->kept.next, struct el_http_later, link), 503,
                       "the server is stopping");
}

/* ---- requests ---- */

static int on_req(h2o_handler_t *self, h2o_req_t *req)
{
    struct el_http_server *s = ((struct handler *)self)->server;
    struct el_http_call_in in = describe(req);
    struct call call = {
        .reply = { .status = 200, .content_type = "text/plain; charset=utf-8" },
        .server = s,
        .req = req,
        .route = SIZE_MAX,
    };
    struct el_buf allow = { 0 };

    route(&call, &in, &allow);
    if (!call.is_kept) {
        tell_leave(s, call.route, &in, &call.reply);
        send_reply(req, &call.reply, &allow);
    }
    deinit_reply(&call.reply);
    el_buf_deinit(&allow);
    return 0;
}

/* ---- connections that are somebody else's from now on ---- */

/* Who gets the socket. */
struct heir {
    el_http_take *take;
    void *arg;
};

/* h2o has let go of the connection; NULL: it is gone. */
static void on_handed_over(void *user_data, h2o_socket_t *sock, size_t request_bytes)
{
    struct heir *heir = user_data;
    h2o_socket_export_t out;

    if (sock != NULL && (sock->ssl != NULL || sock->input->size > request_bytes)) {
        h2o_socket_close(sock);
    } else if (sock != NULL && h2o_socket_export(sock, &out) == 0) {
        h2o_buffer_dispose(&out.input);
        heir->take(heir->arg, out.fd);
    }
    free(heir);
}

void el_http_hand_over(struct el_http_reply *out, const char *protocol, el_http_take *take,
                       void *arg)
{
    struct call *c = EL_ENTRY(out, struct call, reply);
    struct heir *heir = el_new(struct heir);

    *heir = (struct heir){ take, arg };
    c->is_kept = true;
    c->req->res.status = 101;
    c->req->res.reason = el_http_status_text(101);
    add_header(c->req, "upgrade", protocol, strlen(protocol));
    h2o_http1_upgrade(c->req, NULL, 0, on_handed_over, heir);
}

/* ---- WebSockets ---- */

/*
 * wslay must not be called from inside its own callbacks, and what it is asked to do may end the
 * connection; so what others want is noted, and done when the loop comes by.
 */
struct el_http_ws {
    const struct el_http_ws_ops *ops;
    void *arg;
    struct el_http_server *server;
    h2o_websocket_conn_t *conn;
    struct el_list link;
    h2o_timeout_entry_t work;
    bool is_closing;
};

static void free_ws(struct el_http_ws *ws)
{
    h2o_websocket_conn_t *conn = ws->conn;

    el_list_remove(&ws->link);
    h2o_timeout_unlink(&ws->work);
    ws->ops->on_close(ws->arg, ws);
    free(ws);
    h2o_websocket_close(conn);
}

static void on_ws_message(h2o_websocket_conn_t *conn, const struct wslay_event_on_msg_recv_arg *m)
{
    struct el_http_ws *ws = (struct el_http_ws *)conn->data;

    if (m == NULL)
        free_ws(ws);
    else if (m->opcode == WSLAY_TEXT_FRAME && !ws->is_closing)
        ws->ops->on_text(ws->arg, ws, (struct el_str){ (const char *)m->msg, m->msg_length });
}

static void on_work(h2o_timeout_entry_t *entry)
{
    struct el_http_ws *ws = EL_ENTRY(entry, struct el_http_ws, work);

    /* Before the handshake is out there is no socket, and what is queued goes with it. */
    if (ws->conn->sock == NULL)
        h2o_timeout_link(ws->server->ctx.loop, &ws->server->ctx.hundred_ms_timeout, &ws->work);
    else if (ws->is_closing)
        free_ws(ws);
    else
        h2o_websocket_proceed(ws->conn);
}

static void want_work(struct el_http_ws *ws)
{
    if (!h2o_timeout_is_linked(&ws->work))
        h2o_timeout_link(ws->server->ctx.loop, &ws->server->ctx.zero_timeout, &ws->work);
}

static void notice_dead_peers(int fd)
{
    int on = 1, unacked_ms = WS_UNACKED_MS;

    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof(unacked_ms));
}

struct el_http_ws *el_http_upgrade(struct el_http_reply *out, const struct el_http_ws_ops *ops,
                                   void *arg)
{
    struct call *c = EL_ENTRY(out, struct call, reply);
    const char *key;
    struct el_http_ws *ws;

    if (h2o_is_websocket_handshake(c->req, &key) != 0 || key == NULL)
        return NULL;
    notice_dead_peers(h2o_socket_get_fd(c->req->conn->callbacks->get_socket(c->req->conn)));
    ws = el_new(struct el_http_ws);
    *ws = (struct el_http_ws){ .ops = ops, .arg = arg, .server = c->server };
    ws->work.cb = on_work;
    el_list_init(&ws->link);
    el_list_append(&c->server->sockets, &ws->link);
    c->is_kept = true;
    ws->conn = h2o_upgrade_to_websocket(c->req, key, ws, on_ws_message);
    wslay_event_config_set_max_recv_msg_length(ws->conn->ws_ctx, EL_HTTP_WS_MAX_TEXT);
    return ws;
}

void el_http_ws_send(struct el_http_ws *ws, struct el_str text)
{
    const struct wslay_event_msg m = { WSLAY_TEXT_FRAME, (const uint8_t *)text.p, text.n };

    if (ws->is_closing)
        return;
    if (wslay_event_get_queued_msg_length(ws->conn->ws_ctx) > EL_HTTP_WS_MAX_QUEUED ||
        wslay_event_queue_msg(ws->conn->ws_ctx, &m) != 0)
        ws->is_closing = true;
    want_work(ws);
}

void el_http_ws_close(struct el_http_ws *ws)
{
    ws->is_closing = true;
    want_work(ws);
}

/* ---- connections ---- */

static void on_connection_closed(void *server)
{
    ((struct el_http_server *)server)->n_connections--;
}

static void shut(h2o_req_t *req)
{
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);

    /* h2o sees the end of the stream, or a failed write, and frees the connection itself. */
    (void)shutdown(h2o_socket_get_fd(sock), SHUT_RDWR);
}

static int shut_first(h2o_req_t *req, void *arg)
{
    (void)arg;
    shut(req);
    return 1;
}

static int shut_unless_writing(h2o_req_t *req, void *arg)
{
    (void)arg;
    if (!h2o_socket_is_writing(req->conn->callbacks->get_socket(req->conn)))
        shut(req);
    return 0;
}

static int shut_each(h2o_req_t *req, void *arg)
{
    (void)arg;
    shut(req);
    return 0;
}

static void on_accept(h2o_socket_t *listener, const char *failure);

static void on_accept_again(h2o_timeout_entry_t *entry)
{
    struct el_http_server *s = EL_ENTRY(entry, struct el_http_server, accept_again);

    h2o_socket_read_start(s->listener, on_accept);
}

/*
 * h2o has no limit on the time a peer takes to read its answer, so what holds connections is
 * dropped when there are too many, the oldest first: a new probe always gets through.
 */
static void on_accept(h2o_socket_t *listener, const char *failure)
{
    struct el_http_server *s = (struct el_http_server *)listener->data;
    h2o_socket_t *sock;

    if (failure != NULL)
        return;
    sock = h2o_evloop_socket_accept(listener);
    if (sock == NULL) {
        if (errno == EMFILE || errno == ENFILE) {
            /* The connection stays in the queue and the loop would spin on it. */
            h2o_socket_read_stop(listener);
            h2o_timeout_link(s->ctx.loop, &s->ctx.hundred_ms_timeout, &s->accept_again);
        }
        return;
    }
    if (s->n_connections >= s->conf.max_connections)
        (void)s->h2o_conf.http1.callbacks.foreach_request(&s->ctx, shut_first, NULL);
    s->n_connections++;
    sock->on_close.cb = on_connection_closed;
    sock->on_close.data = s;
    h2o_accept(&s->accept, sock);
}

/* ---- the thread ---- */

static void on_stop(struct el_msg *m)
{
    EL_ENTRY(m, struct el_http_server, stop_order)->is_stopping = true;
}

static void on_wakeup(h2o_socket_t *sock, const char *failure)
{
    struct el_http_server *s = (struct el_http_server *)sock->data;

    (void)failure; /* the loop does not read from this socket, so it cannot fail */
    el_msgq_dispatch(s->queue);
}

static void open_wakeup(struct el_http_server *s)
{
    int fd = dup(el_msgq_fd(s->queue)); /* the socket closes its own */

    EL_ASSERT(fd >= 0);
    s->wakeup = h2o_evloop_socket_create(s->ctx.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    s->wakeup->data = s;
    h2o_socket_read_start(s->wakeup, on_wakeup);
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct el_http_server *s = EL_ENTRY(entry, struct el_http_server, tick);

    s->conf.on_tick(s->conf.arg);
    h2o_timeout_link(s->ctx.loop, &s->ticks, &s->tick);
}

static void open_ticks(struct el_http_server *s)
{
    h2o_timeout_init(s->ctx.loop, &s->ticks, s->conf.tick_ms);
    s->tick.cb = on_tick;
    if (s->conf.on_tick != NULL)
        h2o_timeout_link(s->ctx.loop, &s->ticks, &s->tick);
}

static void open_loop(struct el_http_server *s)
{
    h2o_context_init(&s->ctx, h2o_evloop_create(), &s->h2o_conf);
    s->accept = (h2o_accept_ctx_t){
        .ctx = &s->ctx,
        .hosts = s->h2o_conf.hosts,
        .ssl_ctx = s->conf.tls,
    };
    h2o_timeout_init(s->ctx.loop, &s->deadlines, s->conf.later_ms);
    open_ticks(s);
    open_wakeup(s);
    s->listener = h2o_evloop_socket_create(s->ctx.loop, s->listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    s->listen_fd = -1;
    s->listener->data = s;
    s->accept_again.cb = on_accept_again;
    h2o_socket_read_start(s->listener, on_accept);
}

static void close_sockets(struct el_http_server *s)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &s->sockets)
        el_http_ws_close(EL_ENTRY(it, struct el_http_ws, link));
}

/*
 * Whole answers leave, idle connections go; everything goes when the second is over. Who still
 * keeps an answer uses the queue.
 */
static void drain_loop(struct el_http_server *s)
{
    uint64_t deadline = h2o_now(s->ctx.loop) + s->conf.stop_ms;

    h2o_timeout_unlink(&s->accept_again);
    h2o_timeout_unlink(&s->tick);
    h2o_socket_close(s->listener);
    if (s->conf.on_stop != NULL)
        s->conf.on_stop(s->conf.arg);
    el_msgq_dispatch(s->queue); /* what was given just now is no 503 */
    close_sockets(s);
    s->ctx.shutdown_requested =
        1; /* keep-alive ends; the function for it would start HTTP/2 timers */
    answer_kept(s);
    while (!h2o_linklist_is_empty(&s->ctx.http1._conns) || s->n_later > 0 ||
           !el_list_empty(&s->sockets)) {
        bool is_over = h2o_now(s->ctx.loop) >= deadline;

        (void)s->h2o_conf.http1.callbacks.foreach_request(
            &s->ctx, is_over ? shut_each : shut_unless_writing, NULL);
        h2o_evloop_run(s->ctx.loop, STOP_POLL_MS);
    }
}

static void close_loop(struct el_http_server *s)
{
    h2o_loop_t *loop = s->ctx.loop;
    h2o_multithread_queue_t *queue = s->ctx.queue;

    h2o_socket_close(s->wakeup);
    h2o_timeout_dispose(loop, &s->deadlines);
    h2o_timeout_dispose(loop, &s->ticks);
    h2o_context_dispose(&s->ctx);
    free(queue); /* h2o 2.2.5 forgets to, and has no way to close the loop's epoll descriptor */
    h2o_evloop_destroy(loop);
}

static void *run(void *arg)
{
    struct el_http_server *s = (struct el_http_server *)arg;
    sigset_t pipe_only;

    /* h2o writes without MSG_NOSIGNAL; a peer that left is a failed write and no more. */
    (void)sigemptyset(&pipe_only);
    (void)sigaddset(&pipe_only, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_only, NULL);
    (void)pthread_setname_np(pthread_self(), s->conf.thread_name);
    open_loop(s);
    (void)pthread_barrier_wait(&s->started);
    while (!s->is_stopping)
        h2o_evloop_run(s->ctx.loop, INT32_MAX);
    drain_loop(s);
    close_loop(s);
    return NULL;
}

/* ---- start and stop ---- */

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
    socklen_t n;
};

static bool parse_address(const char *text, uint16_t port, struct address *ret)
{
    struct address a = { 0 };

    if (inet_pton(AF_INET, text, &a.u.v4.sin_addr) == 1) {
        a.u.v4.sin_family = AF_INET;
        a.u.v4.sin_port = htons(port);
        a.n = sizeof(a.u.v4);
    } else if (inet_pton(AF_INET6, text, &a.u.v6.sin6_addr) == 1) {
        a.u.v6.sin6_family = AF_INET6;
        a.u.v6.sin6_port = htons(port);
        a.n = sizeof(a.u.v6);
    } else {
        return false;
    }
    *ret = a;
    return true;
}

static enum el_err open_listener(struct el_http_server *s, struct el_error *err)
{
    const char *host = s->conf.bind_address;
    struct address a;
    int on = 1;

    if (!parse_address(host, s->conf.port, &a))
        return el_fail(err, EL_ECONF, 0, "%s is not an IPv4 or IPv6 address", host);
    s->listen_fd = socket(a.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listen_fd < 0)
        return el_fail(err, EL_ESYS, errno, "socket");
    (void)setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(s->listen_fd, &a.u.any, a.n) != 0 || listen(s->listen_fd, 1024) != 0)
        return el_fail(err, EL_ESYS, errno, "listen on %s port %u%s", host, s->conf.port,
                       errno == EADDRINUSE ? " (another process has it)" : "");
    if (getsockname(s->listen_fd, &a.u.any, &a.n) != 0)
        return el_fail(err, EL_ESYS, errno, "getsockname");
    s->port = ntohs(a.u.any.sa_family == AF_INET ? a.u.v4.sin_port : a.u.v6.sin6_port);
    return EL_OK;
}

static void configure_h2o(struct el_http_server *s)
{
    h2o_hostconf_t *host;
    h2o_pathconf_t *path;
    struct handler *handler;

    h2o_config_init(&s->h2o_conf);
    s->has_h2o_conf = true;
    s->h2o_conf.server_name = h2o_iovec_init(NULL, 0); /* no Server field */
    s->h2o_conf.max_request_entity_size = s->conf.max_body;
    s->h2o_conf.http1.req_timeout = s->conf.idle_ms;
    s->h2o_conf.http1.upgrade_to_http2 = 0;
    /* 65535 is h2o's "any port"; the first host answers for every Host field. */
    host = h2o_config_register_host(&s->h2o_conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    path = h2o_config_register_path(host, "/", 0);
    handler = (struct handler *)h2o_create_handler(path, sizeof(*handler));
    handler->super.on_req = on_req;
    handler->server = s;
}

static void free_server(struct el_http_server *s)
{
    if (s->listen_fd >= 0)
        (void)close(s->listen_fd);
    if (s->has_h2o_conf)
        h2o_config_dispose(&s->h2o_conf);
    (void)pthread_barrier_destroy(&s->started);
    el_msgq_free(s->queue);
    SSL_CTX_free(s->conf.tls);
    free(s);
}

static void set_defaults(struct el_http_server_conf *c)
{
    if (c->max_body == 0)
        c->max_body = EL_HTTP_SERVER_MAX_BODY;
    if (c->max_connections == 0)
        c->max_connections = EL_HTTP_SERVER_MAX_CONNECTIONS;
    if (c->max_later == 0)
        c->max_later = EL_HTTP_SERVER_MAX_LATER;
    if (c->idle_ms == 0)
        c->idle_ms = EL_HTTP_SERVER_IDLE_MS;
    if (c->stop_ms == 0)
        c->stop_ms = STOP_MS;
}

enum el_err el_http_server_start(const struct el_http_server_conf *conf,
                                 struct el_http_server **ret_server, struct el_error *err)
{
    struct el_http_server *s = el_new(struct el_http_server);
    enum el_err rc;
    int sys;

    s->conf = *conf;
    set_defaults(&s->conf);
    s->listen_fd = -1;
    el_list_init(&s->kept);
    el_list_init(&s->sockets);
    if (s->conf.tls != NULL)
        EL_ASSERT(SSL_CTX_up_ref(s->conf.tls) == 1);
    el_msg_init(&s->stop_order, on_stop);
    EL_ASSERT(pthread_barrier_init(&s->started, NULL, 2) == 0);
    rc = el_msgq_new(&s->queue, err);
    if (rc == EL_OK)
        rc = open_listener(s, err);
    if (rc != EL_OK)
        goto fail;
    configure_h2o(s);
    sys = pthread_create(&s->thread, NULL, run, s);
    if (sys != 0) {
        rc = el_fail(err, EL_ESYS, sys, "cannot start thread %s", conf->thread_name);
        goto fail;
    }
    (void)pthread_barrier_wait(&s->started);
    *ret_server = s;
    return EL_OK;
fail:
    free_server(s);
    return rc;
}

uint16_t el_http_server_port(const struct el_http_server *s)
{
    return s->port;
}

void el_http_server_post(struct el_http_server *s, struct el_msg *m)
{
    el_msgq_post(s->queue, m);
}

void el_http_server_stop(struct el_http_server *s)
{
    if (s == NULL)
        return;
    el_msgq_post(s->queue, &s->stop_order);
    EL_ASSERT(pthread_join(s->thread, NULL) == 0);
    free_server(s);
}
