/* SPDX-License-Identifier: MIT */
/*
 * net: nodes of the P2P protocol in one process, each with its own threads and an engine that the
 * test plays: it runs when the test waits for something. What comes is written down.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "p2p/net.h"
#include "tests/lib/test.h"

#define NODE_LINKS  64
#define NODE_BLOCKS 256
#define NODE_CHUNK     \
    {                  \
        { 9, 8, 7 }, 5 \
    }

struct node_frame {
    uint32_t type, sequence;
    struct el_buf data;
};

/* A node, as its engine sees it. */
struct node {
    struct el_msgq *queue;
    struct el_key *key;
    struct el_metrics *metrics;
    struct p2p_net *net;
    bool is_closed;
    /* engine's */
    struct p2p_link *links[NODE_LINKS]; /* that came up, NULL when they are down */
    unsigned ups, downs, sent, canceled, frames;
    struct p2p_peer peer; /* of the last that came up */
    struct el_error why;  /* of the last that went down */
    struct node_frame last;
    /* under mtx */
    pthread_mutex_t mtx;
    bool takes_no_blocks; /* place() says NULL */
    unsigned placed, unplaced, arrived, passed;
    uint32_t number; /* of the last block that arrived */
    struct el_buf block;
    void *open[NODE_BLOCKS]; /* what place() gave and did not come back */
};

struct node_conf {
    const char *secret, *cluster, *cert, *key_file, *ca;
    uint8_t identity; /* of the key */
    unsigned threads, max_half_open, max_links;
    uint32_t idle_ms;
    bool is_outbound_only;
    struct p2p_rates rates;
};

static inline void node_on_up(void *arg, struct p2p_link *l)
{
    struct node *n = arg;
    size_t i = 0;

    while (n->links[i] != NULL)
        assert_true(++i < NODE_LINKS);
    n->links[i] = l;
    n->peer = *p2p_link_peer(l);
    n->ups++;
}

static inline void node_on_down(void *arg, struct p2p_link *l, const struct el_error *why)
{
    struct node *n = arg;

    for (size_t i = 0; i < NODE_LINKS; i++) {
        if (n->links[i] == l)
            n->links[i] = NULL;
    }
    n->why = *why;
    n->downs++;
}

static inline void node_on_frame(void *arg, struct p2p_link *l, const struct p2p_frame *f)
{
    struct node *n = arg;

    (void)l;
    n->frames++;
    n->last.type = f->type;
    n->last.sequence = f->sequence;
    el_buf_clear(&n->last.data);
    el_buf_add_str(&n->last.data, f->data);
}

static inline void node_on_closed(void *arg)
{
    ((struct node *)arg)->is_closed = true;
}

/* Exactly what place() gave, and only once. */
static inline void node_close_place(struct node *n, void *mem)
{
    for (size_t i = 0; i < NODE_BLOCKS; i++) {
        if (n->open[i] == mem) {
            n->open[i] = NULL;
            return;
        }
    }
    abort(); /* on a thread where cmocka cannot fail */
}

static inline void *node_on_place(void *arg, struct p2p_link *l, const struct el_chunk_id *chunk,
                                  uint32_t bytes)
{
    struct node *n = arg;
    void *mem = NULL;

    (void)l;
    (void)chunk;
    EL_ASSERT(pthread_mutex_lock(&n->mtx) == 0);
    for (size_t i = 0; i < NODE_BLOCKS && mem == NULL && !n->takes_no_blocks; i++) {
        if (n->open[i] == NULL)
            mem = n->open[i] = malloc(bytes);
    }
    n->placed += mem != NULL;
    EL_ASSERT(pthread_mutex_unlock(&n->mtx) == 0);
    return mem;
}

static inline void node_on_block(void *arg, struct p2p_link *l, const struct p2p_frame *f)
{
    struct node *n = arg;
    void *mem = (void *)(uintptr_t)f->data.p;

    (void)l;
    EL_ASSERT(pthread_mutex_lock(&n->mtx) == 0);
    if (mem != NULL) {
        node_close_place(n, mem);
        el_buf_clear(&n->block);
        el_buf_add_str(&n->block, f->data);
        n->arrived++;
    } else {
        n->passed++;
    }
    n->number = f->sequence;
    EL_ASSERT(pthread_mutex_unlock(&n->mtx) == 0);
    free(mem);
}

static inline void node_on_unplaced(void *arg, struct p2p_link *l, const struct el_chunk_id *chunk,
                                    void *mem)
{
    struct node *n = arg;

    (void)l;
    (void)chunk;
    EL_ASSERT(pthread_mutex_lock(&n->mtx) == 0);
    node_close_place(n, mem);
    n->unplaced++;
    EL_ASSERT(pthread_mutex_unlock(&n->mtx) == 0);
    free(mem);
}

static inline unsigned node_count(struct node *n, const unsigned *counter)
{
    unsigned v;

    EL_ASSERT(pthread_mutex_lock(&n->mtx) == 0);
    v = *counter;
    EL_ASSERT(pthread_mutex_unlock(&n->mtx) == 0);
    return v;
}

static const struct p2p_net_ops node_ops = {
    .up = node_on_up,
    .down = node_on_down,
    .frame = node_on_frame,
    .closed = node_on_closed,
    .place = node_on_place,
    .block = node_on_block,
    .unplaced = node_on_unplaced,
};

static inline enum el_err node_try_open(struct node *n, const struct node_conf *c,
                                        struct el_error *err)
{
    uint8_t secret[EL_KEY_BYTES] = { c->identity, 1 };
    struct p2p_net_conf conf = {
        .threads = c->threads != 0 ? c->threads : 1,
        .bind_address = c->is_outbound_only ? NULL : "127.0.0.1",
        .secret = el_str_of(c->secret),
        .cert_file = c->cert,
        .key_file = c->key_file,
        .ca_file = c->ca,
        .max_half_open = c->max_half_open,
        .max_links = c->max_links,
        .idle_ms = c->idle_ms,
        .rates = c->rates,
        .ops = &node_ops,
        .arg = n,
    };

    *n = (struct node){ .key = el_key_new(secret), .metrics = el_metrics_new() };
    assert_int_equal(pthread_mutex_init(&n->mtx, NULL), 0);
    assert_int_equal(el_msgq_new(&n->queue, NULL), EL_OK);
    conf.key = n->key;
    conf.queue = n->queue;
    conf.metrics = n->metrics;
    conf.hello.http_port = 8082;
    conf.hello.name = EL_STR("a node");
    conf.hello.zone = EL_STR("rack-1");
    conf.hello.cluster = c->cluster != NULL ? el_str_of(c->cluster) : EL_STR("train");
    return p2p_net_new(&conf, &n->net, err);
}

static inline void node_open(struct node *n, const struct node_conf *c)
{
    struct el_error err = { 0 };

    if (node_try_open(n, c, &err) != EL_OK)
        fail_msg("%s", err.text);
}

/* Runs the engines of two nodes (b may be NULL) for a moment, or until something has come. */
static inline void nodes_run(struct node *a, struct node *b)
{
    struct pollfd p[2] = { { .fd = el_msgq_fd(a->queue), .events = POLLIN } };

    if (b != NULL)
        p[1] = (struct pollfd){ .fd = el_msgq_fd(b->queue), .events = POLLIN };
    (void)poll(p, b != NULL ? 2 : 1, 2);
    el_msgq_dispatch(a->queue);
    if (b != NULL)
        el_msgq_dispatch(b->queue);
}

/* Long enough for a machine that does something else; nothing waits for it to pass. */
#define NODES_DEADLINE_MS 60000
#define NODES_WAIT(a, b, claim)                                                        \
    do {                                                                               \
        uint64_t nodes_end_ = el_clock_mono_ms(el_clock_system()) + NODES_DEADLINE_MS; \
        while (!(claim)) {                                                             \
            if (el_clock_mono_ms(el_clock_system()) > nodes_end_)                      \
                fail_msg("never: %s", #claim);                                         \
            nodes_run(a, b);                                                           \
        }                                                                              \
    } while (0)

static inline void node_begin_close(struct node *n)
{
    if (n->net != NULL)
        p2p_net_close(n->net);
}

static inline void node_free(struct node *n)
{
    p2p_net_free(n->net);
    el_msgq_free(n->queue);
    el_metrics_free(n->metrics);
    el_key_free(n->key);
    el_buf_deinit(&n->last.data);
    el_buf_deinit(&n->block);
    assert_int_equal(n->placed, n->arrived + n->unplaced);
    assert_int_equal(pthread_mutex_destroy(&n->mtx), 0);
}

static inline void node_close(struct node *n)
{
    node_begin_close(n);
    if (n->net != NULL)
        NODES_WAIT(n, NULL, n->is_closed);
    node_free(n);
}

static inline void nodes_close(struct node *a, struct node *b)
{
    node_begin_close(a);
    node_begin_close(b);
    NODES_WAIT(a, b, (a->is_closed || a->net == NULL) && (b->is_closed || b->net == NULL));
    node_free(a);
    node_free(b);
}

static inline struct p2p_link *node_dial(struct node *from, const struct node *to)
{
    struct p2p_link *l;

    assert_int_equal(p2p_net_connect(from->net, "127.0.0.1", p2p_net_port(to->net), from, &l, NULL),
                     EL_OK);
    return l;
}

/* A link that is up at both ends; `from` has dialled it. */
static inline void nodes_link(struct node *from, struct node *to)
{
    unsigned a = from->ups + 1, b = to->ups + 1;

    (void)node_dial(from, to);
    NODES_WAIT(from, to, from->ups == a && to->ups == b);
}

static inline uint64_t node_metric(struct node *n, const char *line)
{
    struct el_buf text = { 0 }, whole = { 0 };
    const char *at;
    uint64_t v;

    el_metrics_write(n->metrics, &text);
    el_buf_add_byte(&whole, '\n');
    el_buf_add(&whole, line, strlen(line));
    at = strstr(text.p, whole.p);
    assert_non_null(at);
    v = strtoull(at + whole.n, NULL, 10);
    el_buf_deinit(&whole);
    el_buf_deinit(&text);
    return v;
}

static inline uint64_t node_refused(struct node *n, const char *why)
{
    char line[100];

    (void)snprintf(line, sizeof(line), "eliop2p_p2p_refused_total{why=\"%s\"} ", why);
    return node_metric(n, line);
}

/* ---- a peer that is no node ---- */

static inline int raw_dial(const struct node *to)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(p2p_net_port(to->net)) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static inline void raw_send(int fd, const void *bytes, size_t n)
{
    assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Whether the other side has closed; what it says until then is appended to `said` (NULL: lost). */
static inline bool raw_is_closed(int fd, struct el_buf *said)
{
    char bytes[4096];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        if (said != NULL)
            el_buf_add(said, bytes, (size_t)n);
    }
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}
