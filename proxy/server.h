/* SPDX-License-Identifier: MIT */
/*
 * server: the threads that face the clients. Request path 1 of 7: accepts connections, lets http1.c
 * (or h2.c) find the requests in them, and hands each to proxy/req.c as a stream.
 *
 * Each proxy thread runs one h2o event loop with its own SO_REUSEPORT listeners and owns the
 * connections it accepted, for life. Others reach it only through its message queue.
 */
#pragma once

#include <netinet/in.h>

#include <h2o.h>

#include "common/conf.h"
#include "common/metrics.h"
#include "common/msgq.h"
#include "proxy/stream.h"

struct proxy_server; /* Thread: started, reloaded, drained and stopped by the main thread */

struct proxy_thread {
    struct proxy_server *server;
    unsigned index;
    h2o_loop_t *loop;
    h2o_context_t h2o;     /* of this thread; h2o's own servers and timers use it */
    struct el_msgq *queue; /* dispatched by the loop */
    void *user;            /* per-thread data of on_request's owner, set by on_thread_start */
    struct proxy_thread_private *priv;
};

/* What may change while running is read through an atomic pointer, by each connection when it
 * starts a request. */
struct proxy_limits {
    uint64_t max_connections, max_head_bytes, max_body_bytes;
    uint64_t head_timeout_ms, idle_timeout_ms, body_timeout_ms;
};

#define PROXY_MAX_THREADS 256

struct proxy_server_conf {
    const char *bind_address;
    uint16_t port;                  /* 0: any free one, see proxy_server_port() */
    const char *tls_cert, *tls_key; /* "" : no TLS listener */
    uint16_t tls_port;
    bool http2;
    unsigned threads; /* 1 to PROXY_MAX_THREADS */
    struct proxy_limits limits;
    /* Thread: the proxy thread. The stream is the callee's until end/abort/take_socket. */
    void (*on_request)(void *arg, struct proxy_thread *t, struct proxy_stream *s);
    /* Around the life of each thread's loop. May be NULL. */
    void (*on_thread_start)(void *arg, struct proxy_thread *t);
    void (*on_thread_stop)(void *arg, struct proxy_thread *t);
    void *arg;
    struct el_metrics *metrics;
};

/* Binds, starts the threads and returns when all of them accept. EL_ESYS with EADDRINUSE says who
 * to blame. */
enum el_err proxy_server_start(const struct proxy_server_conf *conf,
                               struct proxy_server **ret_server, struct el_error *err);
uint16_t proxy_server_port(const struct proxy_server *s);
uint16_t proxy_server_tls_port(const struct proxy_server *s); /* 0: none */
unsigned proxy_server_threads(const struct proxy_server *s);
struct proxy_thread *proxy_server_thread(struct proxy_server *s, unsigned i);
/* New limits, and the certificate read again. On error the old ones stay. */
enum el_err proxy_server_reload(struct proxy_server *s, const struct proxy_limits *limits,
                                const char *tls_cert, const char *tls_key, struct el_error *err);
/* Stops accepting, closes idle connections, answers running requests with Connection: close.
 * Returns at once. */
void proxy_server_drain(struct proxy_server *s);
/* Connections that still carry a request or are tunnels. */
uint64_t proxy_server_busy(struct proxy_server *s);
/* Drops whatever is left, joins the threads. NULL is fine. */
void proxy_server_stop(struct proxy_server *s);

/* ---- for req.c, tunnel.c: on the thread t ---- */

/* One-shot timer with its own duration; embedded. A zeroed one may be stopped. */
struct proxy_timer {
    struct el_list link;
    uint64_t due_ms;
    void (*on_time)(struct proxy_timer *tm);
};
void proxy_timer_start(struct proxy_thread *t, struct proxy_timer *tm, uint64_t after_ms,
                       void (*on_time)(struct proxy_timer *tm));
void proxy_timer_stop(struct proxy_timer *tm);

/* Counted as busy until proxy_thread_leave(): tunnels, which own their sockets. */
void proxy_thread_enter(struct proxy_thread *t);
void proxy_thread_leave(struct proxy_thread *t);
bool proxy_thread_is_draining(const struct proxy_thread *t);

/* ---- for those who own sockets (http1.c, h2.c, tunnel.c): on the thread t ---- */

/*
 * A client's connection as the thread sees it, embedded in its owner. Counted against
 * max_connections from join to leave.
 */
struct proxy_member {
    struct el_list link;
    void (*drain)(struct proxy_member *m); /* close it when it carries no request */
    void (*drop)(struct proxy_member *m);  /* close it now */
};
void proxy_thread_join(struct proxy_thread *t, struct proxy_member *m);
void proxy_thread_part(struct proxy_thread *t, struct proxy_member *m);

/*
 * Work that may not be done inside the current callback: run() comes once, after the loop's present
 * round of events. Posting one that waits already does nothing. A zeroed one may be cancelled.
 */
struct proxy_later {
    struct el_list link;
    void (*run)(struct proxy_later *l);
};
void proxy_thread_later(struct proxy_thread *t, struct proxy_later *l,
                        void (*run)(struct proxy_later *l));
void proxy_later_cancel(struct proxy_later *l);

/* The limits of now; valid until the server stops. */
const struct proxy_limits *proxy_thread_limits(const struct proxy_thread *t);
/* "Date: Sat, 21 Nov 2026 05:04:03 GMT\r\n", made anew each second. Borrowed for the call. */
struct el_str proxy_thread_date(struct proxy_thread *t);
/* A request is ready: counts it as busy, until proxy_thread_leave(), and calls on_request(). */
void proxy_thread_request(struct proxy_thread *t, struct proxy_stream *s);
/* The certificate of now, a reference for the caller to SSL_CTX_free(). */
SSL_CTX *proxy_thread_tls(struct proxy_thread *t);
/* A message was refused before it was a request: counted. */
void proxy_thread_note_refusal(struct proxy_thread *t);

/* A client broke off the handshake inside of an intercepted tunnel, or asked for another host. */
void proxy_thread_note_inside_failed(struct proxy_thread *t);

/* For listener.c: false while max_connections are open, which is logged. */
bool proxy_thread_may_accept(struct proxy_thread *t);
/* A connection was accepted: counted. */
void proxy_thread_note_accepted(struct proxy_thread *t);
/* Logs, not too often, why no connection can be accepted. */
void proxy_thread_note_paused(struct proxy_thread *t, const char *why);
