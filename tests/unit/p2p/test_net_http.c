/* SPDX-License-Identifier: MIT */
/* Links by way of a node API, which the test plays. */
#include <fcntl.h>

#include "tests/lib/net.h"

#define GOOD "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: eliop2p\r\n\r\n"

/* A port of this machine; nobody takes what comes there, but the test. */
static int listen_on(uint16_t *ret_port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

/* One on which nobody listens; the socket keeps others from it. */
static int shut_port(uint16_t *ret_port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

struct way {
    struct node node;
    int shut, api; /* sockets */
    uint16_t port, http_port;
};

static void way_open(struct way *w, const struct node_conf *c)
{
    w->shut = shut_port(&w->port);
    w->api = listen_on(&w->http_port);
    node_open(&w->node, c);
}

static void way_close(struct way *w)
{
    node_close(&w->node);
    (void)close(w->shut);
    (void)close(w->api);
}

static struct p2p_link *reach(struct way *w)
{
    struct p2p_link *l;

    assert_int_equal(p2p_net_reach(w->node.net, "127.0.0.1", w->port, w->http_port, NULL, &l, NULL),
                     EL_OK);
    return l;
}

/* Takes the connection and its request. */
static int take_request(struct way *w)
{
    char request[500] = "", want[500];
    int fd = accept4(w->api, NULL, NULL, SOCK_CLOEXEC);
    size_t n = 0;

    assert_true(fd >= 0);
    while (strstr(request, "\r\n\r\n") == NULL) {
        ssize_t got = recv(fd, request + n, sizeof(request) - n - 1, 0);

        assert_true(got > 0);
        n += (size_t)got;
        request[n] = '\0';
    }
    (void)snprintf(want, sizeof(want),
                   "GET /api/v1/p2p HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\n"
                   "Upgrade: eliop2p\r\n\r\n",
                   (unsigned)w->http_port);
    assert_string_equal(request, want);
    return fd;
}

static void hand_to(struct node *b, int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    p2p_net_take(b->net, fd);
}

static void link_up(const char *secret, size_t first)
{
    struct node b;
    struct way w;
    int fd;

    way_open(&w, &(struct node_conf){ .identity = 1, .secret = secret });
    node_open(&b, &(struct node_conf){ .identity = 2, .secret = secret });
    (void)reach(&w);
    fd = take_request(&w);
    raw_send(fd, GOOD, first);
    for (size_t i = first; i < strlen(GOOD); i++) {
        nodes_run(&w.node, &b); /* it comes in pieces */
        raw_send(fd, GOOD + i, 1);
    }
    hand_to(&b, fd);
    NODES_WAIT(&w.node, &b, w.node.ups == 1 && b.ups == 1);
    assert_true(w.node.peer.is_http && !w.node.peer.is_inbound);
    assert_true(b.peer.is_http && b.peer.is_inbound);
    assert_int_equal(w.node.peer.is_tls, secret != NULL);
    assert_int_equal(node_metric(&b, "eliop2p_p2p_http_links "), 1);
    assert_true(node_metric(&b, "eliop2p_p2p_http_bytes_total{direction=\"in\"} ") > 0);
    nodes_close(&w.node, &b);
    (void)close(w.shut);
    (void)close(w.api);
}

static void where_the_port_is_shut_the_node_api_hands_the_connection_over(void **state)
{
    (void)state;
    link_up(NULL, strlen(GOOD));
    link_up("the secret of the cluster", strlen(GOOD));
}

static void an_answer_may_come_in_any_pieces(void **state)
{
    (void)state;
    link_up(NULL, 1);
}

static void where_the_port_is_open_no_api_is_asked(void **state)
{
    struct node b;
    struct way w;
    struct p2p_link *l;

    (void)state;
    way_open(&w, &(struct node_conf){ .identity = 1 });
    node_open(&b, &(struct node_conf){ .identity = 2 });
    assert_int_equal(
        p2p_net_reach(w.node.net, "127.0.0.1", p2p_net_port(b.net), w.http_port, NULL, &l, NULL),
        EL_OK);
    NODES_WAIT(&w.node, &b, w.node.ups == 1);
    assert_false(w.node.peer.is_http);
    assert_int_equal(node_metric(&w.node, "eliop2p_p2p_http_links "), 0);
    nodes_close(&w.node, &b);
    (void)close(w.shut);
    (void)close(w.api);
}

static void where_neither_answers_there_is_no_link(void **state)
{
    struct way w;

    (void)state;
    way_open(&w, &(struct node_conf){ .identity = 1 });
    (void)close(w.api);
    w.api = shut_port(&w.http_port);
    (void)reach(&w);
    NODES_WAIT(&w.node, NULL, w.node.downs == 1);
    assert_int_equal(w.node.why.code, EL_ECONNECT);
    way_close(&w);
}

static void assert_no_link(const char *answer, size_t n)
{
    struct way w;
    int fd;

    way_open(&w, &(struct node_conf){ .identity = 1 });
    (void)reach(&w);
    fd = take_request(&w);
    raw_send(fd, answer, n);
    (void)shutdown(fd, SHUT_WR); /* the other end may have had enough already */
    NODES_WAIT(&w.node, NULL, w.node.downs == 1);
    assert_int_equal(w.node.why.code, EL_ECONNECT);
    assert_int_equal(w.node.ups, 0);
    assert_int_equal(node_refused(&w.node, "protocol"), 0);
    (void)close(fd);
    way_close(&w);
}

static void an_api_that_hands_nothing_over_is_nobody(void **state)
{
    static const char *const answers[] = {
        "",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: eliop2p\r\n",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nupgrade: eliop2p\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(answers); i++)
        assert_no_link(answers[i], strlen(answers[i]));
}

static void an_answer_has_an_end(void **state)
{
    char answer[5000];

    (void)state;
    memset(answer, 'a', sizeof(answer));
    memcpy(answer, GOOD, strlen(GOOD) - 2);
    assert_no_link(answer, sizeof(answer));
}

static void an_api_that_says_nothing_is_not_waited_for_without_end(void **state)
{
    struct way w;
    int fd;

    (void)state;
    way_open(&w, &(struct node_conf){ .identity = 1 });
    (void)reach(&w);
    fd = take_request(&w);
    NODES_WAIT(&w.node, NULL, w.node.downs == 1);
    assert_int_equal(w.node.why.code, EL_ETIMEOUT);
    (void)close(fd);
    way_close(&w);
}

static void a_socket_whose_peer_has_left_is_closed(void **state)
{
    struct node a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); /* has no peer */

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1 });
    p2p_net_take(a.net, fd);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    node_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_the_port_is_shut_the_node_api_hands_the_connection_over),
        cmocka_unit_test(an_answer_may_come_in_any_pieces),
        cmocka_unit_test(where_the_port_is_open_no_api_is_asked),
        cmocka_unit_test(where_neither_answers_there_is_no_link),
        cmocka_unit_test(an_api_that_hands_nothing_over_is_nobody),
        cmocka_unit_test(an_answer_has_an_end),
        cmocka_unit_test(an_api_that_says_nothing_is_not_waited_for_without_end),
        cmocka_unit_test(a_socket_whose_peer_has_left_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
