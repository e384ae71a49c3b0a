/* SPDX-License-Identifier: MIT */
#include "common/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <h2o.h>

/*
 * The event loop wakes up this often while it stops, to see which answers are still being written;
 * after STOP_MS it drops them.
 */
#define STOP_POLL_MS 10
#define STOP_MS      1000

/* A connection that sends no whole request for so long is closed; h2o has one timer for all of it.
 */
#define REQUEST_TIMEOUT_MS 10000

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
    h2o_multithread_receiver_t orders;
    bool is_stopping;

    h2o_multithread_message_t stop_order; /* sent once, by the one who stops */
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
    case 500:
        return "Internal Server Error";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
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

static bool path_fits(const struct el_http_route *route, struct el_str path)
{
    struct el_str pattern = el_str_of(route->path);

    if (pattern.n > 0 && pattern.p[pattern.n - 1] == '*')
        return el_str_starts(path, el_str_first(pattern, pattern.n - 1));
    return el_str_eq(path, pattern);
}

static bool method_fits(const struct el_http_route *route, struct el_str method)
{
    struct el_str own = el_str_of(route->method);

    return el_str_eq(method, own) ||
           (el_str_eq(method, EL_STR("HEAD")) && el_str_eq(own, EL_STR("GET")));
}

/* Runs the first route that fits; otherwise `allow` gets the methods that the path knows. */
static void route(struct el_http_server *s, const struct el_http_call_in *in,
                  struct el_http_reply *out, struct el_buf *allow)
{
    for (size_t i = 0; i < s->conf.route_count; i++) {
        const struct el_http_route *r = &s->conf.routes[i];

        if (!path_fits(r, in->path))
            continue;
        if (method_fits(r, in->method)) {
            r->handler(s->conf.arg, in, out);
            el_buf_clear(allow);
            return;
        }
        el_buf_addf(allow, "%s%s", allow->n > 0 ? ", " : "", r->method);
        if (strcmp(r->method, "GET") == 0)
            el_buf_add_str(allow, EL_STR(", HEAD"));
    }
    if (allow->n > 0)
        el_http_reply_problem(out, 405, "Method Not Allowed", "see Allow for what this path takes");
    else
        el_http_reply_problem(out, 404, "Not Found", "there is nothing under this path");
}

/* ---- between h2o and the routes ---- */

static void add_header(h2o_req_t *req, const char *name, const char *value, size_t n)
{
    h2o_iovec_t kept = h2o_strdup(&req->pool, value, n);

    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, kept.base,
                          kept.len);
}

static void send_reply(h2o_req_t *req, const struct el_http_reply *reply,
                       const struct el_buf *allow)
{
    req->res.status = reply->status;
    req->res.reason = el_http_status_text(reply->status);
    req->res.content_length = reply->body.n;
    add_header(req, "content-type", reply->content_type, strlen(reply->content_type));
    add_header(req, "cache-control", "no-store", 8);
    if (allow->n > 0)
        add_header(req, "allow", allow->p, allow->n);
    h2o_send_inline(req, reply->body.n > 0 ? reply->body.p : "", reply->body.n);
}

static int on_req(h2o_handler_t *self, h2o_req_t *req)
{
    struct el_http_server *s = ((struct handler *)self)->server;
    struct el_str target = { req->input.path.base, req->input.path.len };
    size_t query_at = el_str_find(target, '?');
    struct el_http_call_in in = {
        .method = { req->input.method.base, req->input.method.len },
        .path = el_str_first(target, query_at),
        .query = el_str_from(target, query_at + 1),
        .body = { req->entity.base, req->entity.len },
    };
    struct el_http_reply reply = { .status = 200, .content_type = "text/plain; charset=utf-8" };
    struct el_buf allow = { 0 };

    route(s, &in, &reply, &allow);
    send_reply(req, &reply, &allow);
    el_buf_deinit(&reply.body);
    el_buf_deinit(&allow);
    return 0;
}

/* ---- connections ---- */

static int count_connection(h2o_req_t *req, void *arg)
{
    (void)req;
    ++*(size_t *)arg;
    return 0;
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
    size_t connections = 0;

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
    (void)s->h2o_conf.http1.callbacks.foreach_request(&s->ctx, count_connection, &connections);
    if (connections >= EL_HTTP_SERVER_MAX_CONNECTIONS)
        (void)s->h2o_conf.http1.callbacks.foreach_request(&s->ctx, shut_first, NULL);
    h2o_accept(&s->accept, sock);
}

/* ---- the thread ---- */

/* The loop closes the queue only after this: whoever sent the order has then done with the queue.
 */
static void on_order(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct el_http_server *s = EL_ENTRY(receiver, struct el_http_server, orders);

    h2o_linklist_unlink(messages->next);
    s->is_stopping = true;
}

static void open_loop(struct el_http_server *s)
{
    h2o_context_init(&s->ctx, h2o_evloop_create(), &s->h2o_conf);
    s->accept = (h2o_accept_ctx_t){ .ctx = &s->ctx, .hosts = s->h2o_conf.hosts };
    h2o_multithread_register_receiver(s->ctx.queue, &s->orders, on_order);
    s->listener = h2o_evloop_socket_create(s->ctx.loop, s->listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    s->listen_fd = -1;
    s->listener->data = s;
    s->accept_again.cb = on_accept_again;
    h2o_socket_read_start(s->listener, on_accept);
}

/* Whole answers leave, idle connections go; everything goes when the second is over. */
static void drain_loop(struct el_http_server *s)
{
    uint64_t deadline = h2o_now(s->ctx.loop) + STOP_MS;

    h2o_timeout_unlink(&s->accept_again);
    h2o_socket_close(s->listener);
    s->ctx.shutdown_requested =
        1; /* keep-alive ends; the function for it would start HTTP/2 timers */
    while (!h2o_linklist_is_empty(&s->ctx.http1._conns)) {
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

    h2o_multithread_unregister_receiver(queue, &s->orders);
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
    if (bind(s->listen_fd, &a.u.any, a.n) != 0 || listen(s->listen_fd, 128) != 0)
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
    s->h2o_conf.max_request_entity_size = EL_HTTP_SERVER_MAX_BODY;
    s->h2o_conf.http1.req_timeout = REQUEST_TIMEOUT_MS;
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
    free(s);
}

enum el_err el_http_server_start(const struct el_http_server_conf *conf,
                                 struct el_http_server **ret_server, struct el_error *err)
{
    struct el_http_server *s = el_new(struct el_http_server);
    enum el_err rc;
    int sys;

    s->conf = *conf;
    s->listen_fd = -1;
    EL_ASSERT(pthread_barrier_init(&s->started, NULL, 2) == 0);
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

void el_http_server_stop(struct el_http_server *s)
{
    if (s == NULL)
        return;
    h2o_multithread_send_message(&s->orders, &s->stop_order);
    EL_ASSERT(pthread_join(s->thread, NULL) == 0);
    free_server(s);
}
