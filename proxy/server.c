/* SPDX-License-Identifier: MIT */
/*
 * The life of the proxy threads. Each runs, until it is told to stop:
 *
 *   loop:  sleep for events and run them (libh2o) -> timers that are due -> what was put off
 * (later)
 *
 * The main thread speaks to it by two messages of its queue: drain and stop.
 */
#include "proxy/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/log.h"
#include "proxy/h2.h"
#include "proxy/listener.h"
#include "proxy/timer.h"
#include "proxy/tls.h"

/* How long a thread that stops waits for the owners of dropped requests to let go of them. */
#define STOP_GRACE_MS 2000
/* Threads of libh2o's that wait for the resolver, for tunnel.c; by default it has one for all. */
#define MAX_LOOKUPS 16
/* At the limit a connection may be accepted and the next refused many times a second. */
#define PAUSE_LOG_MS 10000
/* No timer is further away; keeps sums of milliseconds from wrapping. */
#define MAX_TIMER_MS ((uint64_t)1 << 40)

/* What the main thread tells a proxy thread. */
struct control {
    struct el_msg msg;
    struct proxy_thread *thread;
};

struct proxy_thread_private {
    pthread_t tid;
    bool has_tid;
    int fds[2]; /* plain and TLS, bound; -1: none or given to the listener */
    struct control drain, stop;
    /* Loop only. */
    struct proxy_listener listeners[2];
    h2o_socket_t *wakeup; /* the queue's descriptor in the loop */
    struct proxy_timers timers;
    struct el_list later, members;
    bool is_stopping;
    uint64_t next_pause_log_ms;
    time_t date_s;
    char date[48];
    /* Written by this thread, read by any. */
    _Atomic uint64_t busy;
    _Atomic bool is_draining;
};

/* Old limits are kept to the end: a thread may be reading them, and reloads are few. */
struct limits_version {
    struct proxy_limits limits;
    struct limits_version *older;
};

struct proxy_server {
    struct proxy_server_conf conf; /* immutable; its strings are not kept */
    struct proxy_thread *threads;
    unsigned n_threads, n_ready; /* n_ready: under mtx */
    uint16_t port, tls_port;
    struct proxy_h2 *h2;
    struct el_counter *accepted, *refusals, *inside_failed; /* these four: NULL without metrics */
    struct el_gauge *open;
    _Atomic int64_t connections;
    _Atomic(struct limits_version *) limits;
    pthread_mutex_t mtx;
    pthread_cond_t is_ready;
    SSL_CTX *tls; /* under mtx */
};

/* ---- on a proxy thread ---- */

static uint64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void proxy_timer_start(struct proxy_thread *t, struct proxy_timer *tm, uint64_t after_ms,
                       void (*on_time)(struct proxy_timer *tm))
{
    uint64_t due_ms = now_ms() + el_min_u64(after_ms, MAX_TIMER_MS);

    proxy_timers_start(&t->priv->timers, tm, due_ms, on_time);
}

/* Only this thread writes: no locked instruction is needed. */
static void add_busy(struct proxy_thread *t, uint64_t n)
{
    uint64_t busy = atomic_load_explicit(&t->priv->busy, memory_order_relaxed);

    atomic_store_explicit(&t->priv->busy, busy + n, memory_order_relaxed);
}

void proxy_thread_enter(struct proxy_thread *t)
{
    add_busy(t, 1);
}

void proxy_thread_leave(struct proxy_thread *t)
{
    add_busy(t, (uint64_t)-1);
}

bool proxy_thread_is_draining(const struct proxy_thread *t)
{
    return atomic_load_explicit(&t->priv->is_draining, memory_order_relaxed);
}

void proxy_thread_join(struct proxy_thread *t, struct proxy_member *m)
{
    el_list_append(&t->priv->members, &m->link);
    atomic_fetch_add_explicit(&t->server->connections, 1, memory_order_relaxed);
    if (t->server->open != NULL)
        el_gauge_add(t->server->open, 1);
}

void proxy_thread_part(struct proxy_thread *t, struct proxy_member *m)
{
    el_list_remove(&m->link);
    atomic_fetch_sub_explicit(&t->server->connections, 1, memory_order_relaxed);
    if (t->server->open != NULL)
        el_gauge_add(t->server->open, -1);
}

void proxy_later_cancel(struct proxy_later *l)
{
    if (l->link.next == NULL)
        el_list_init(&l->link);
    else
        el_list_remove(&l->link);
}

void proxy_thread_later(struct proxy_thread *t, struct proxy_later *l,
                        void (*run)(struct proxy_later *l))
{
    proxy_later_cancel(l);
    l->run = run;
    el_list_append(&t->priv->later, &l->link);
}

const struct proxy_limits *proxy_thread_limits(const struct proxy_thread *t)
{
    return &atomic_load_explicit(&t->server->limits, memory_order_acquire)->limits;
}

struct el_str proxy_thread_date(struct proxy_thread *t)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct proxy_thread_private *p = t->priv;
    struct timespec ts;
    struct tm tm;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    if (ts.tv_sec != p->date_s && gmtime_r(&ts.tv_sec, &tm) != NULL) {
        p->date_s = ts.tv_sec;
        (void)snprintf(p->date, sizeof(p->date),
                       "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n", days + 3 * tm.tm_wday,
                       tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                       tm.tm_sec);
    }
    return el_str_of(p->date);
}

void proxy_thread_request(struct proxy_thread *t, struct proxy_stream *s)
{
    proxy_thread_enter(t);
    t->server->conf.on_request(t->server->conf.arg, t, s);
}

SSL_CTX *proxy_thread_tls(struct proxy_thread *t)
{
    SSL_CTX *ctx;

    pthread_mutex_lock(&t->server->mtx);
    ctx = t->server->tls;
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&t->server->mtx);
    return ctx;
}

void proxy_thread_note_refusal(struct proxy_thread *t)
{
    if (t->server->refusals != NULL)
        el_counter_add(t->server->refusals, 1);
}

void proxy_thread_note_inside_failed(struct proxy_thread *t)
{
    if (t->server->inside_failed != NULL)
        el_counter_add(t->server->inside_failed, 1);
}

void proxy_thread_note_accepted(struct proxy_thread *t)
{
    if (t->server->accepted != NULL)
        el_counter_add(t->server->accepted, 1);
}

void proxy_thread_note_paused(struct proxy_thread *t, const char *why)
{
    uint64_t now = now_ms();

    if (now < t->priv->next_pause_log_ms)
        return;
    t->priv->next_pause_log_ms = now + PAUSE_LOG_MS;
    el_log(EL_WARN, EV_ACCEPT_PAUSED, "thread=%u why=%s", t->index, EL_LOG_Q(el_str_of(why)));
}

bool proxy_thread_may_accept(struct proxy_thread *t)
{
    int64_t n = atomic_load_explicit(&t->server->connections, memory_order_relaxed);

    if (n >= (int64_t)proxy_thread_limits(t)->max_connections) {
        proxy_thread_note_paused(t, "max_connections");
        return false;
    }
    return true;
}

static void close_listeners(struct proxy_thread *t)
{
    for (size_t i = 0; i < EL_COUNT(t->priv->listeners); i++)
        proxy_listener_close(&t->priv->listeners[i]);
}

/* A member may leave while it is called, its neighbours may not: they put that off. */
static void tell_members(struct proxy_thread *t, bool drop)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &t->priv->members) {
        struct proxy_member *m = EL_ENTRY(it, struct proxy_member, link);

        if (drop)
            m->drop(m);
        else
            m->drain(m);
    }
}

static void on_drain(struct el_msg *m)
{
    struct proxy_thread *t = EL_ENTRY(m, struct control, msg)->thread;

    if (proxy_thread_is_draining(t))
        return;
    atomic_store_explicit(&t->priv->is_draining, true, memory_order_relaxed);
    close_listeners(t);
    tell_members(t, false);
    h2o_context_request_shutdown(&t->h2o);
}

static void on_stop(struct el_msg *m)
{
    EL_ENTRY(m, struct control, msg)->thread->priv->is_stopping = true;
}

static void on_wakeup(h2o_socket_t *sock, const char *err)
{
    struct proxy_thread *t = sock->data;

    (void)err; /* the loop does not read from this socket, so it cannot fail */
    el_msgq_dispatch(t->queue);
}

static void run_later(struct proxy_thread *t)
{
    struct el_list batch;

    el_list_move(&batch, &t->priv->later);
    while (!el_list_empty(&batch)) {
        struct proxy_later *l = EL_ENTRY(el_list_pop(&batch), struct proxy_later, link);

        l->run(l);
    }
}

/*
 * Timers and later work run outside libh2o's own round, which may leave callbacks of sockets
 * pending there; the next sleep has to be none then.
 */
static void run_once(struct proxy_thread *t, int max_wait_ms)
{
    struct proxy_thread_private *p = t->priv;
    bool is_pending = !el_list_empty(&p->later) || t->loop->_pending_as_client != NULL ||
                      t->loop->_pending_as_server != NULL;
    int wait_ms = is_pending ? 0 : proxy_timers_wait_ms(&p->timers, now_ms());

    if (wait_ms < 0 || wait_ms > max_wait_ms)
        wait_ms = max_wait_ms;
    (void)h2o_evloop_run(t->loop, wait_ms); /* only interrupted waits fail */
    (void)proxy_timers_run(&p->timers, now_ms());
    run_later(t);
}

static void open_thread(struct proxy_thread *t)
{
    struct proxy_thread_private *p = t->priv;
    struct proxy_server *s = t->server;
    char name[16];

    (void)snprintf(name, sizeof(name), "proxy-%u", t->index % 1000);
    (void)pthread_setname_np(pthread_self(), name);
    /* libh2o initialises its thread's memory in here, so this cannot be done by the main thread. */
    h2o_context_init(&t->h2o, t->loop, proxy_h2_globalconf(s->h2));
    p->wakeup =
        h2o_evloop_socket_create(t->loop, dup(el_msgq_fd(t->queue)), H2O_SOCKET_FLAG_DONT_READ);
    p->wakeup->data = t;
    h2o_socket_read_start(p->wakeup, on_wakeup);
    if (s->conf.on_thread_start != NULL)
        s->conf.on_thread_start(s->conf.arg, t);
    for (size_t i = 0; i < EL_COUNT(p->listeners); i++)
        if (p->fds[i] >= 0) {
            proxy_listener_open(&p->listeners[i], t, p->fds[i], i == 1);
            p->fds[i] = -1;
        }
}

static void report_ready(struct proxy_server *s)
{
    pthread_mutex_lock(&s->mtx);
    s->n_ready++;
    pthread_cond_signal(&s->is_ready);
    pthread_mutex_unlock(&s->mtx);
}

static bool is_in_use(const struct proxy_thread *t)
{
    return !el_list_empty(&t->priv->members) || t->priv->busy > 0;
}

/* Everything is dropped; who owns a request, or looks up a name, gets a while to notice. */
static void close_thread(struct proxy_thread *t)
{
    uint64_t deadline = now_ms() + STOP_GRACE_MS;
    struct proxy_server *s = t->server;

    close_listeners(t);
    tell_members(t, true);
    while (is_in_use(t) && now_ms() < deadline)
        run_once(t, 20);
    if (s->conf.on_thread_stop != NULL)
        s->conf.on_thread_stop(s->conf.arg, t);
    while (!el_list_empty(&t->priv->later))
        run_later(t);
    h2o_socket_close(t->priv->wakeup);
}

/*
 * UNTESTED: the branch that leaves libh2o's context alone, when something still holds a request or
 * waits for the resolver after the grace; the process is about to end anyway.
 */
static void free_loop(struct proxy_thread *t)
{
    h2o_multithread_queue_t *queue = t->h2o.queue;
    h2o_mem_recycle_t *spare = &h2o_socket_buffer_prototype.allocator;

    if (is_in_use(t))
        return;
    h2o_timeout_unlink(&t->h2o.http2._graceful_shutdown_timeout); /* of a drain just before */
    h2o_context_dispose(&t->h2o);
    h2o_evloop_destroy(t->loop);
    free(queue); /* h2o_context_dispose() forgets to */
    while (spare->cnt > 0)
        free(h2o_mem_alloc_recycle(spare, 0));
}

static void *run_thread(void *arg)
{
    struct proxy_thread *t = arg;

    open_thread(t);
    report_ready(t->server);
    while (!t->priv->is_stopping)
        run_once(t, INT32_MAX);
    close_thread(t);
    free_loop(t);
    return NULL;
}

/* ---- on the main thread ---- */

static void control_init(struct control *c, struct proxy_thread *t,
                         void (*on_message)(struct el_msg *m))
{
    el_msg_init(&c->msg, on_message);
    c->thread = t;
}

static enum el_err init_thread(struct proxy_server *s, unsigned index, struct el_error *err)
{
    struct proxy_thread *t = &s->threads[index];
    struct proxy_thread_private *p = el_new(struct proxy_thread_private);

    *t = (struct proxy_thread){ .server = s, .index = index, .priv = p };
    p->fds[0] = p->fds[1] = -1;
    el_list_init(&p->later);
    el_list_init(&p->members);
    proxy_timers_init(&p->timers, now_ms());
    control_init(&p->drain, t, on_drain);
    control_init(&p->stop, t, on_stop);
    return el_msgq_new(&t->queue, err);
}

/* Gives each thread its descriptor of one listener. */
static enum el_err bind_all(struct proxy_server *s, size_t which, uint16_t port, uint16_t *ret_port,
                            struct el_error *err)
{
    int fds[PROXY_MAX_THREADS];
    enum el_err rc =
        proxy_listener_bind(s->conf.bind_address, port, s->n_threads, fds, ret_port, err);

    for (unsigned i = 0; rc == EL_OK && i < s->n_threads; i++)
        s->threads[i].priv->fds[which] = fds[i];
    return rc;
}

static enum el_err open_listeners(struct proxy_server *s, struct el_error *err)
{
    enum el_err rc = bind_all(s, 0, s->conf.port, &s->port, err);

    if (rc != EL_OK || s->conf.tls_cert == NULL || s->conf.tls_cert[0] == '\0')
        return rc;
    rc = proxy_tls_new(s->conf.tls_cert, s->conf.tls_key, s->conf.http2, &s->tls, err);
    if (rc == EL_OK)
        rc = bind_all(s, 1, s->conf.tls_port, &s->tls_port, err);
    return rc;
}

static enum el_err start_threads(struct proxy_server *s, struct el_error *err)
{
    for (unsigned i = 0; i < s->n_threads; i++) {
        struct proxy_thread *t = &s->threads[i];
        int rc;

        t->loop = h2o_evloop_create();
        rc = pthread_create(&t->priv->tid, NULL, run_thread, t);
        if (rc != 0)
            return el_fail(err, EL_ESYS, rc, "start a proxy thread");
        t->priv->has_tid = true;
    }
    pthread_mutex_lock(&s->mtx);
    while (s->n_ready < s->n_threads)
        pthread_cond_wait(&s->is_ready, &s->mtx);
    pthread_mutex_unlock(&s->mtx);
    return EL_OK;
}

static void publish_limits(struct proxy_server *s, const struct proxy_limits *limits)
{
    struct limits_version *v = el_new(struct limits_version);

    v->limits = *limits;
    v->older = atomic_load(&s->limits);
    atomic_store_explicit(&s->limits, v, memory_order_release);
}

static void add_metrics(struct proxy_server *s, struct el_metrics *m)
{
    if (m == NULL)
        return;
    s->accepted = el_metrics_counter(m, "eliop2p_client_connections_total",
                                     "Client connections accepted.", NULL);
    s->refusals = el_metrics_counter(m, "eliop2p_malformed_requests_total",
                                     "Messages refused before they were requests.", NULL);
    s->inside_failed = el_metrics_counter(
        m, "eliop2p_intercept_handshake_failures_total",
        "TLS handshakes in intercepted tunnels that failed: the client does not trust the CA, or asks "
        "for another host.",
        NULL);
    s->open = el_metrics_gauge(m, "eliop2p_client_connections", "Client connections open.", NULL);
}

enum el_err proxy_server_start(const struct proxy_server_conf *conf,
                               struct proxy_server **ret_server, struct el_error *err)
{
    struct proxy_server *s = el_new(struct proxy_server);
    enum el_err rc = EL_OK;

    EL_ASSERT(conf->threads >= 1 && conf->threads <= PROXY_MAX_THREADS);
    (void)signal(SIGPIPE, SIG_IGN); /* writes to a client that left fail with EPIPE instead */
    h2o_hostinfo_max_threads = MAX_LOOKUPS;
    s->conf = *conf;
    s->n_threads = conf->threads;
    s->threads = el_alloc(s->n_threads * sizeof(*s->threads));
    pthread_mutex_init(&s->mtx, NULL);
    pthread_cond_init(&s->is_ready, NULL);
    publish_limits(s, &conf->limits);
    add_metrics(s, conf->metrics);
    s->h2 = proxy_h2_new(&conf->limits);
    for (unsigned i = 0; i < s->n_threads && rc == EL_OK; i++)
        rc = init_thread(s, i, err);
    if (rc == EL_OK)
        rc = open_listeners(s, err);
    if (rc == EL_OK)
        rc = start_threads(s, err);
    if (rc != EL_OK)
        goto fail;
    el_log(EL_INFO, EV_LISTEN, "address=%s port=%u tls_port=%u threads=%u",
           EL_LOG_Q(el_str_of(conf->bind_address)), (unsigned)s->port, (unsigned)s->tls_port,
           s->n_threads);
    *ret_server = s;
    return EL_OK;
fail:
    proxy_server_stop(s);
    return rc;
}

uint16_t proxy_server_port(const struct proxy_server *s)
{
    return s->port;
}

uint16_t proxy_server_tls_port(const struct proxy_server *s)
{
    return s->tls_port;
}

unsigned proxy_server_threads(const struct proxy_server *s)
{
    return s->n_threads;
}

struct proxy_thread *proxy_server_thread(struct proxy_server *s, unsigned i)
{
    EL_ASSERT(i < s->n_threads);
    return &s->threads[i];
}

enum el_err proxy_server_reload(struct proxy_server *s, const struct proxy_limits *limits,
                                const char *tls_cert, const char *tls_key, struct el_error *err)
{
    if (s->tls_port != 0) {
        SSL_CTX *fresh, *old;
        enum el_err rc = proxy_tls_new(tls_cert, tls_key, s->conf.http2, &fresh, err);

        if (rc != EL_OK)
            return rc;
        pthread_mutex_lock(&s->mtx);
        old = s->tls;
        s->tls = fresh;
        pthread_mutex_unlock(&s->mtx);
        SSL_CTX_free(old); /* connections that use it hold references */
        el_log(EL_INFO, EV_TLS_RELOAD, "cert=%s", EL_LOG_Q(el_str_of(tls_cert)));
    }
    publish_limits(s, limits);
    return EL_OK;
}

void proxy_server_drain(struct proxy_server *s)
{
    for (unsigned i = 0; i < s->n_threads; i++)
        el_msgq_post(s->threads[i].queue, &s->threads[i].priv->drain.msg);
}

uint64_t proxy_server_busy(struct proxy_server *s)
{
    uint64_t busy = 0;

    for (unsigned i = 0; i < s->n_threads; i++)
        busy += atomic_load_explicit(&s->threads[i].priv->busy, memory_order_relaxed);
    return busy;
}

static void free_thread(struct proxy_thread *t)
{
    struct proxy_thread_private *p = t->priv;

    if (p == NULL)
        return;
    for (size_t i = 0; i < EL_COUNT(p->fds); i++)
        if (p->fds[i] >= 0)
            (void)close(p->fds[i]);
    if (!p->has_tid && t->loop != NULL)
        h2o_evloop_destroy(t->loop);
    el_msgq_free(t->queue);
    free(p);
}

void proxy_server_stop(struct proxy_server *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->n_threads; i++)
        if (s->threads[i].priv != NULL && s->threads[i].priv->has_tid)
            el_msgq_post(s->threads[i].queue, &s->threads[i].priv->stop.msg);
    for (unsigned i = 0; i < s->n_threads; i++)
        if (s->threads[i].priv != NULL && s->threads[i].priv->has_tid)
            pthread_join(s->threads[i].priv->tid, NULL);
    for (unsigned i = 0; i < s->n_threads; i++)
        free_thread(&s->threads[i]);
    proxy_h2_free(s->h2);
    SSL_CTX_free(s->tls);
    for (struct limits_version *v = atomic_load(&s->limits), *older; v != NULL; v = older) {
        older = v->older;
        free(v);
    }
    pthread_cond_destroy(&s->is_ready);
    pthread_mutex_destroy(&s->mtx);
    free(s->threads);
    free(s);
}
