/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "tests/unit/proxy/wire.h"

static struct wire world;
static char room[65536];
static int target_fd; /* listens; the tests accept on it */
static uint16_t target_port;

static int start(void **state)
{
    struct proxy_server_conf conf = wire_conf(&world);
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(addr);

    (void)state;
    target_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(target_fd, (struct sockaddr *)&addr, n), 0);
    assert_int_equal(listen(target_fd, 10), 0);
    assert_int_equal(getsockname(target_fd, (struct sockaddr *)&addr, &n), 0);
    target_port = ntohs(addr.sin_port);
    wire_start(&world, &conf);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    wire_stop(&world);
    (void)close(target_fd);
    memset(&world, 0, sizeof(world));
    return 0;
}

/* Asks for a tunnel to host:port, with `early` right behind the request. */
static int ask(const char *host, uint16_t port, const char *early)
{
    int fd = wire_dial(&world);

    (void)snprintf(room, sizeof(room), "CONNECT %s:%u HTTP/1.1\r\nHost: a\r\n\r\n%s", host,
                   (unsigned)port, early);
    wire_say(fd, room);
    return fd;
}

static void open_tunnel(const char *early, int *ret_client, int *ret_target)
{
    *ret_client = ask("127.0.0.1", target_port, early);
    *ret_target = accept(target_fd, NULL, NULL);
    assert_true(*ret_target >= 0);
    wire_hear_until(*ret_client, "HTTP/1.1 200 Connection established\r\n\r\n", room, sizeof(room));
}

static void bytes_go_both_ways_early_ones_included(void **state)
{
    int client, target;

    (void)state;
    open_tunnel("early", &client, &target);
    wire_hear_until(target, "early", room, sizeof(room));
    wire_say(target, "answer");
    wire_hear_until(client, "answer", room, sizeof(room));
    wire_say(client, "more");
    wire_hear_until(target, "more", room, sizeof(room));
    assert_int_equal(proxy_server_busy(world.server), 1);
    assert_int_equal(atomic_load(&world.tunnels_ended), 0);
    (void)close(client);
    (void)close(target);
    WIRE_WAIT_FOR(proxy_server_busy(world.server) == 0);
}

static void the_end_of_a_tunnel_says_what_it_carried(void **state)
{
    int client, target;

    (void)state;
    open_tunnel("early", &client, &target);
    wire_say(client, " and late");
    (void)shutdown(client, SHUT_WR);
    (void)wire_hear_all(target, room, sizeof(room));
    wire_say(target, "answer");
    (void)close(target);
    (void)wire_hear_all(client, room, sizeof(room));
    WIRE_WAIT_FOR(atomic_load(&world.tunnels_ended) == 1);
    assert_int_equal(atomic_load(&world.tunnel_up), strlen("early and late"));
    assert_int_equal(atomic_load(&world.tunnel_down), strlen("answer"));
    (void)close(client);
}

static void an_end_in_one_direction_leaves_the_other_open(void **state)
{
    int client, target;

    (void)state;
    open_tunnel("", &client, &target);
    wire_say(client, "question");
    (void)shutdown(client, SHUT_WR);
    (void)wire_hear_all(target, room, sizeof(room));
    assert_string_equal(room, "question");
    wire_say(target, "late answer");
    (void)close(target);
    (void)wire_hear_all(client, room, sizeof(room));
    assert_string_equal(room, "late answer");
    (void)close(client);
    WIRE_WAIT_FOR(proxy_server_busy(world.server) == 0);
}

struct pour {
    int fd;
    size_t n;
};

static void *pour(void *arg)
{
    struct pour *p = arg;

    wire_say_bytes(p->fd, world.content, p->n);
    (void)shutdown(p->fd, SHUT_WR);
    return NULL;
}

static void check(int fd, size_t n)
{
    size_t at = 0;
    ssize_t got;

    while ((got = wire_hear_some(fd, room, sizeof(room))) > 0)
        for (ssize_t i = 0; i < got; i++)
            if ((uint8_t)room[i] != wire_byte(at++))
                fail_msg("byte %lu is wrong", (unsigned long)at - 1);
    assert_int_equal(at, n);
}

static void much_in_both_directions_at_once_arrives_exactly(void **state)
{
    struct pour up, down;
    pthread_t a, b;

    (void)state;
    open_tunnel("", &up.fd, &down.fd);
    up.n = 20000001;
    down.n = 15000002;
    assert_int_equal(pthread_create(&a, NULL, pour, &up), 0);
    assert_int_equal(pthread_create(&b, NULL, pour, &down), 0);
    check(down.fd, up.n);
    check(up.fd, down.n);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    (void)close(up.fd);
    (void)close(down.fd);
    WIRE_WAIT_FOR(proxy_server_busy(world.server) == 0);
}

static void a_writer_is_held_back_by_a_reader_that_stalls(void **state)
{
    int client, target;
    size_t sent = 0;
    ssize_t n;

    (void)state;
    open_tunnel("", &client, &target);
    do {
        struct pollfd p = { .fd = client, .events = POLLOUT };

        if (poll(&p, 1, 300) != 1)
            break;
        n = send(client, world.content, 100000, MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_true(n > 0);
        sent += (size_t)n;
    } while (sent < 100 * EL_MIB);
    assert_true(sent < 50 * EL_MIB); /* what four kernel buffers hold, no more */
    (void)close(client);
    (void)close(target);
    WIRE_WAIT_FOR(proxy_server_busy(world.server) == 0);
}

static void a_name_is_looked_up(void **state)
{
    int client = ask("localhost", target_port, ""), target = accept(target_fd, NULL, NULL);

    (void)state;
    assert_true(target >= 0);
    wire_hear_until(client, " 200 ", room, sizeof(room));
    (void)close(client);
    (void)close(target);
}

static void expect_refusal(int fd, const char *status, enum el_err code)
{
    wire_hear_until(fd, status, room, sizeof(room));
    assert_int_equal(atomic_load(&world.tunnel_code), code);
    (void)close(fd);
}

static void failures_say_what_failed(void **state)
{
    (void)state;
    expect_refusal(ask("127.0.0.9", target_port, ""), "HTTP/1.1 403 ", EL_EFORBIDDEN);
    expect_refusal(ask("name.invalid", target_port, ""), "HTTP/1.1 502 ", EL_ERESOLVE);
    (void)close(target_fd);
    expect_refusal(ask("127.0.0.1", target_port, ""), "HTTP/1.1 502 ", EL_ECONNECT);
}

static void a_tunnel_is_dropped_when_the_server_stops(void **state)
{
    int client, target;

    (void)state;
    open_tunnel("", &client, &target);
    proxy_server_drain(world.server);
    wire_say(client, "still open");
    wire_hear_until(target, "still open", room, sizeof(room));
    proxy_server_stop(world.server);
    world.server = NULL;
    assert_int_equal(wire_hear_some(client, room, sizeof(room)), 0);
    assert_int_equal(wire_hear_some(target, room, sizeof(room)), 0);
    assert_int_equal(atomic_load(&world.tunnels_ended), 1);
    (void)close(client);
    (void)close(target);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_go_both_ways_early_ones_included),
        TEST(the_end_of_a_tunnel_says_what_it_carried),
        TEST(an_end_in_one_direction_leaves_the_other_open),
        TEST(much_in_both_directions_at_once_arrives_exactly),
        TEST(a_writer_is_held_back_by_a_reader_that_stalls),
        TEST(a_name_is_looked_up),
        TEST(failures_say_what_failed),
        TEST(a_tunnel_is_dropped_when_the_server_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
