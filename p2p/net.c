/* SPDX-License-Identifier: MIT */
/* net: the links of a node as a whole: configuration, listener, threads, counters; see net.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "p2p/link.h"

#define DEFAULT_LINKS     4096u
#define DEFAULT_HALF_OPEN 256u
#define DEFAULT_IDLE_MS   (5u * 60u * 1000u)

/* ---- addresses ---- */

static enum el_err parse_address(const char *address, uint16_t port, struct sockaddr_storage *ret,
                                 socklen_t *ret_n, struct el_error *err)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

    *ret = (struct sockaddr_storage){ 0 };
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        memcpy(ret, &v4, sizeof(v4));
        *ret_n = sizeof(v4);
        return EL_OK;
    }
    if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
        memcpy(ret, &v6, sizeof(v6));
        *ret_n = sizeof(v6);
        return EL_OK;
    }
    return el_fail(err, EL_EINVAL, 0, "\"%s\" is no address", address);
}

void p2p_net_set_port(struct sockaddr_storage *addr, uint16_t port)
{
    if (addr->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)addr)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)addr)->sin_port = htons(port);
}

static enum el_err port_of(int fd, uint16_t *ret, struct el_error *err)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t n = sizeof(addr);

    if (getsockname(fd, (struct sockaddr *)&addr, &n) != 0)
        return el_fail(err, EL_ESYS, errno, "getsockname");
    *ret = ntohs(addr.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&addr)->sin6_port
                                            : ((const struct sockaddr_in *)&addr)->sin_port);
    return EL_OK;
}

static enum el_err bind_and_listen(int fd, const struct sockaddr_storage *addr, socklen_t n,
                                   const struct p2p_net_conf *conf, struct el_error *err)
{
    int one = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0)
        return el_fail(err, EL_ESYS, errno, "SO_REUSEADDR");
    if (bind(fd, (const struct sockaddr *)addr, n) != 0)
        return el_fail(err, EL_ESYS, errno, "bind to %s port %u", conf->bind_address,
                       (unsigned)conf->port);
    if (listen(fd, SOMAXCONN) != 0)
        return el_fail(err, EL_ESYS, errno, "listen on %s port %u", conf->bind_address,
                       (unsigned)conf->port);
    return EL_OK;
}

static enum el_err open_listener(struct p2p_net *net, int *ret_fd, struct el_error *err)
{
    const struct p2p_net_conf *conf = &net->conf;
    struct sockaddr_storage addr;
    socklen_t n = 0;
    enum el_err rc = parse_address(conf->bind_address, conf->port, &addr, &n, err);
    int fd;

    if (rc != EL_OK)
        return rc;
    fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return el_fail(err, EL_ESYS, errno, "socket");
    rc = bind_and_listen(fd, &addr, n, conf, err);
    if (rc == EL_OK)
        rc = port_of(fd, &net->port, err);
    if (rc != EL_OK) {
        (void)close(fd);
        return rc;
    }
    *ret_fd = fd;
    return EL_OK;
}

/* ---- counters ---- */

static void register_metrics(struct p2p_net *net)
{
    static const char *const refusals[] = {
#define P2P_REFUSAL(symbol, label) "why=\"" label "\"",
        P2P_REFUSALS(P2P_REFUSAL)
#undef P2P_REFUSAL
    };
    struct p2p_net_metrics *m = &net->metrics;
    struct el_metrics *to = net->conf.metrics;

    if (to == NULL)
        to = net->own_metrics = el_metrics_new();
    m->links = el_metrics_gauge(to, "eliop2p_p2p_links", "links to other nodes that are up", NULL);
    m->http_links =
        el_metrics_gauge(to, "eliop2p_p2p_http_links", "of these, by way of a node API", NULL);
    m->http_in_bytes =
        el_metrics_counter(to, "eliop2p_p2p_http_bytes_total",
                           "of eliop2p_p2p_bytes_total, by way of a node API", "direction=\"in\"");
    m->http_out_bytes =
        el_metrics_counter(to, "eliop2p_p2p_http_bytes_total",
                           "of eliop2p_p2p_bytes_total, by way of a node API", "direction=\"out\"");
    m->in_bytes = el_metrics_counter(to, "eliop2p_p2p_bytes_total", "bytes of frames between nodes",
                                     "direction=\"in\"");
    m->out_bytes = el_metrics_counter(to, "eliop2p_p2p_bytes_total",
                                      "bytes of frames between nodes", "direction=\"out\"");
    m->in_blocks = el_metrics_counter(to, "eliop2p_p2p_blocks_total", "blocks between nodes",
                                      "direction=\"in\"");
    m->out_blocks = el_metrics_counter(to, "eliop2p_p2p_blocks_total", "blocks between nodes",
                                       "direction=\"out\"");
    m->bad_blocks = el_metrics_counter(to, "eliop2p_p2p_bad_frames_total",
                                       "frames whose hash was wrong; each ended its link", NULL);
    for (size_t i = 0; i < P2P_REFUSED_COUNT; i++)
        m->refused[i] = el_metrics_counter(to, "eliop2p_p2p_refused_total",
                                           "handshakes between nodes that failed", refusals[i]);
}

/* ---- its life ---- */

static const char *copy(const char *s)
{
    return s != NULL ? el_strndup(s, strlen(s)) : NULL;
}

static void copy_conf(struct p2p_net *net, const struct p2p_net_conf *conf)
{
    struct p2p_net_conf *c = &net->conf;

    *c = *conf;
    c->bind_address = copy(conf->bind_address);
    c->cert_file = copy(conf->cert_file);
    c->key_file = copy(conf->key_file);
    c->ca_file = copy(conf->ca_file);
    c->max_links = c->max_links != 0 ? c->max_links : DEFAULT_LINKS;
    c->max_half_open = c->max_half_open != 0 ? c->max_half_open : DEFAULT_HALF_OPEN;
    c->idle_ms = c->idle_ms != 0 ? c->idle_ms : DEFAULT_IDLE_MS;
}

static void on_closed(struct el_msg *m)
{
    struct p2p_net *net = EL_ENTRY(m, struct p2p_net, closed);

    net->conf.ops->closed(net->conf.arg);
}

static struct p2p_net *alloc_net(const struct p2p_net_conf *conf)
{
    struct p2p_net *net = el_new(struct p2p_net);
    uint8_t public_key[EL_KEY_BYTES];

    EL_ASSERT(conf->threads >= 1 && conf->threads <= P2P_MAX_THREADS);
    copy_conf(net, conf);
    EL_ASSERT(pthread_mutex_init(&net->rates_mtx, NULL) == 0);
    p2p_net_rates(net, &conf->rates);
    el_msg_init(&net->closed, on_closed);
    el_key_public(conf->key, public_key);
    el_key_fingerprint(public_key, &net->fingerprint);
    register_metrics(net);
    return net;
}

static enum el_err init_threads(struct p2p_net *net, int listener, struct el_error *err)
{
    net->threads = el_alloc(net->conf.threads * sizeof(net->threads[0]));
    net->n_threads = net->conf.threads;
    for (unsigned i = 0; i < net->n_threads; i++)
        net->threads[i].listener = net->threads[i].epoll = -1;
    for (unsigned i = 0; i < net->n_threads; i++) {
        enum el_err rc = p2p_thread_init(&net->threads[i], net, i, i == 0 ? listener : -1, err);

        if (rc != EL_OK)
            return rc;
    }
    return EL_OK;
}

/* Those that run already end by p2p_net_close(), whose closed() nobody waits for here. */
static enum el_err start_threads(struct p2p_net *net, struct el_error *err)
{
    atomic_store(&net->threads_open, net->n_threads);
    for (unsigned i = 0; i < net->n_threads; i++) {
        enum el_err rc = p2p_thread_start(&net->threads[i], err);

        if (rc != EL_OK) { /* UNTESTED: no thread can be made */
            for (unsigned k = 0; k < i; k++)
                el_msgq_post(net->threads[k].queue, &net->threads[k].close);
            return rc;
        }
    }
    return EL_OK;
}

enum el_err p2p_net_new(const struct p2p_net_conf *conf, struct p2p_net **ret_net,
                        struct el_error *err)
{
    struct p2p_net *net = alloc_net(conf);
    int listener = -1;
    enum el_err rc = p2p_tls_open(net, err);

    net->conf.secret = (struct el_str){ 0 }; /* it was borrowed, and nobody needs it again */
    if (rc == EL_OK && conf->bind_address != NULL)
        rc = open_listener(net, &listener, err);
    if (rc == EL_OK)
        rc = init_threads(net, listener, err);
    else if (listener >= 0)
        (void)close(listener);
    if (rc == EL_OK)
        rc = start_threads(net, err);
    if (rc != EL_OK) {
        p2p_net_free(net);
        return rc;
    }
    *ret_net = net;
    return EL_OK;
}

uint16_t p2p_net_port(const struct p2p_net *net)
{
    return net->port;
}

void p2p_net_close(struct p2p_net *net)
{
    el_msgq_post(net->threads[0].queue, &net->threads[0].close);
}

static void free_string(const char *s)
{
    free((void *)(uintptr_t)s);
}

void p2p_net_free(struct p2p_net *net)
{
    if (net == NULL)
        return;
    for (unsigned i = 0; i < net->n_threads; i++)
        p2p_thread_deinit(&net->threads[i]);
    el_msgq_cancel(net->conf.queue, &net->closed);
    free(net->threads);
    p2p_tls_close(net);
    el_metrics_free(net->own_metrics);
    EL_ASSERT(pthread_mutex_destroy(&net->rates_mtx) == 0);
    free_string(net->conf.bind_address);
    free_string(net->conf.cert_file);
    free_string(net->conf.key_file);
    free_string(net->conf.ca_file);
    free(net);
}

/* ---- links ---- */

struct p2p_thread *p2p_net_next_thread(struct p2p_net *net)
{
    return &net->threads[atomic_fetch_add(&net->next_thread, 1) % net->n_threads];
}

bool p2p_net_try_count_link(struct p2p_net *net)
{
    if (atomic_fetch_add(&net->n_links, 1) < net->conf.max_links)
        return true;
    p2p_net_uncount_link(net);
    return false;
}

void p2p_net_uncount_link(struct p2p_net *net)
{
    atomic_fetch_sub(&net->n_links, 1);
}

void p2p_net_hand_over(struct p2p_net *net, int fd, const struct sockaddr_storage *addr,
                       socklen_t n, bool is_http)
{
    struct p2p_link *l;

    if (!p2p_net_try_count_link(net)) {
        el_counter_add(net->metrics.refused[P2P_REFUSED_FLOOD], 1);
        (void)close(fd);
        return;
    }
    l = p2p_link_new(net, p2p_net_next_thread(net));
    l->fd = fd;
    l->is_inbound = true;
    l->is_http = is_http;
    p2p_link_set_address(l, addr, n);
    el_msgq_post(l->thread->queue, &l->to_thread);
}

void p2p_net_take(struct p2p_net *net, int fd)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t n = sizeof(addr);

    if (getpeername(fd, (struct sockaddr *)&addr, &n) == 0)
        p2p_net_hand_over(net, fd, &addr, n, true);
    else
        (void)close(fd); /* it has left */
}

enum el_err p2p_net_connect(struct p2p_net *net, const char *address, uint16_t port, void *attempt,
                            struct p2p_link **ret_link, struct el_error *err)
{
    return p2p_net_reach(net, address, port, 0, attempt, ret_link, err);
}

enum el_err p2p_net_reach(struct p2p_net *net, const char *address, uint16_t port,
                          uint16_t http_port, void *attempt, struct p2p_link **ret_link,
                          struct el_error *err)
{
    struct sockaddr_storage addr;
    socklen_t n = 0;
    struct p2p_link *l;
    enum el_err rc = parse_address(address, port, &addr, &n, err);

    if (rc != EL_OK)
        return rc;
    if (!p2p_net_try_count_link(net))
        return el_fail(err, EL_EOVERLOAD, 0, "there are %u links already", net->conf.max_links);
    l = p2p_link_new(net, p2p_net_next_thread(net));
    l->is_known = true;
    l->http_port = http_port;
    l->attempt = attempt;
    p2p_link_set_address(l, &addr, n);
    *ret_link = l; /* set before the thread knows the link: its down() may come at any time */
    el_msgq_post(l->thread->queue, &l->to_thread);
    return EL_OK;
}
