/* SPDX-License-Identifier: MIT */
/* Threads, listeners, drain and limits; TLS and HTTP/2 are in test_tls.c. */
#include "common/metrics.h"

#include "tests/unit/proxy/wire.h"

static struct wire world;
static struct proxy_server_conf conf;
static char room[65536];

static int set_up(void **state)
{
    (void)state;
    conf = wire_conf(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wire_stop(&world);
    memset(&world, 0, sizeof(world));
    return 0;
}

static void a_second_server_on_the_port_is_refused(void **state)
{
    struct proxy_server *second = NULL;
    struct el_error err = { 0 };

    (void)state;
    conf.threads = 2;
    wire_start(&world, &conf);
    conf.port = proxy_server_port(world.server);
    assert_int_equal(proxy_server_start(&conf, &second, &err), EL_ESYS);
    assert_int_equal(err.sys, EADDRINUSE);
    assert_non_null(strstr(err.text, "of 127.0.0.1 is in use by another process"));
    assert_null(second);
}

static void a_port_is_free_again_after_a_stop(void **state)
{
    uint16_t port;
    int fd;

    (void)state;
    wire_start(&world, &conf);
    port = proxy_server_port(world.server);
    fd = wire_dial(&world);
    wire_say(fd, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_hear_until(fd, "hello", room, sizeof(room));
    wire_stop(&world); /* closes first, so the port has a connection in TIME_WAIT */
    (void)close(fd);
    conf.port = port;
    wire_start(&world, &conf);
    assert_int_equal(proxy_server_port(world.server), port);
}

static void every_thread_gets_connections(void **state)
{
    int fds[64];

    (void)state;
    conf.threads = 4;
    wire_start(&world, &conf);
    for (size_t i = 0; i < EL_COUNT(fds); i++) {
        fds[i] = wire_dial(&world);
        wire_say(fds[i], "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        wire_hear_until(fds[i], "hello", room, sizeof(room));
    }
    for (size_t i = 0; i < EL_COUNT(fds); i++)
        (void)close(fds[i]);
    for (unsigned i = 0; i < 4; i++)
        assert_true(atomic_load(&world.by_thread[i]) > 0);
}

static void a_drain_closes_idle_connections_and_finishes_requests(void **state)
{
    int idle, busy;

    (void)state;
    wire_start(&world, &conf);
    idle = wire_dial(&world);
    busy = wire_dial(&world);
    wire_say(busy, "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    WIRE_WAIT_FOR(proxy_server_busy(world.server) == 1);
    proxy_server_drain(world.server);
    assert_int_equal(wire_hear_some(idle, room, sizeof(room)), 0);
    wire_say(busy, "U");
    (void)wire_hear_all(busy, room, sizeof(room));
    assert_non_null(strstr(room, "Connection: close\r\n"));
    assert_non_null(strstr(room, "\r\n\r\n1"));
    WIRE_WAIT_FOR(proxy_server_busy(world.server) == 0);
    (void)close(idle);
    (void)close(busy);
}

static void a_stop_drops_requests_that_still_run(void **state)
{
    int fd;

    (void)state;
    wire_start(&world, &conf);
    fd = wire_dial(&world);
    wire_say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    WIRE_WAIT_FOR(proxy_server_busy(world.server) == 1);
    proxy_server_stop(world.server);
    world.server = NULL;
    assert_int_equal(atomic_load(&world.gone), 1);
    (void)close(fd);
}

static void connections_over_the_limit_wait_for_room(void **state)
{
    int first, second;
    struct pollfd p;

    (void)state;
    conf.limits.max_connections = 1;
    wire_start(&world, &conf);
    first = wire_dial(&world);
    wire_say(first, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_hear_until(first, "hello", room, sizeof(room));
    second = wire_dial(&world);
    wire_say(second, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
    p = (struct pollfd){ .fd = second, .events = POLLIN };
    assert_int_equal(poll(&p, 1, 150), 0);
    (void)close(first);
    wire_hear_until(second, "hello", room, sizeof(room));
    (void)close(second);
}

static void new_limits_hold_for_running_connections(void **state)
{
    struct proxy_limits limits = conf.limits;
    int fd;

    (void)state;
    wire_start(&world, &conf);
    fd = wire_dial(&world);
    wire_say(fd, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_hear_until(fd, "hello", room, sizeof(room));
    limits.max_head_bytes = 40;
    assert_int_equal(proxy_server_reload(world.server, &limits, "", "", NULL), EL_OK);
    wire_say(fd, "GET /ok HTTP/1.1\r\nHost: a\r\nX-Long: 1234567890\r\n\r\n");
    wire_hear_until(fd, "HTTP/1.1 431 ", room, sizeof(room));
    (void)close(fd);
}

static void a_wrong_address_is_a_configuration_error(void **state)
{
    struct proxy_server *s = NULL;
    struct el_error err = { 0 };

    (void)state;
    wire_start(&world, &conf);
    conf.bind_address = "not.an.address";
    assert_int_equal(proxy_server_start(&conf, &s, &err), EL_ECONF);
    assert_null(s);
}

static void connections_are_counted(void **state)
{
    struct el_metrics *m = el_metrics_new();
    struct el_buf text = { 0 };
    int fd;

    (void)state;
    conf.metrics = m;
    wire_start(&world, &conf);
    fd = wire_dial(&world);
    wire_say(fd, "nonsense\r\n\r\n");
    wire_hear_until(fd, " 400 ", room, sizeof(room));
    el_metrics_write(m, &text);
    assert_non_null(strstr(text.p, "eliop2p_client_connections_total 1\n"));
    assert_non_null(strstr(text.p, "eliop2p_malformed_requests_total 1\n"));
    (void)close(fd);
    el_buf_deinit(&text);
    proxy_server_stop(world.server);
    world.server = NULL;
    el_metrics_write(m, &text);
    assert_non_null(strstr(text.p, "eliop2p_client_connections 0\n"));
    el_buf_deinit(&text);
    el_metrics_free(m);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_server_on_the_port_is_refused),
        TEST(a_port_is_free_again_after_a_stop),
        TEST(every_thread_gets_connections),
        TEST(a_drain_closes_idle_connections_and_finishes_requests),
        TEST(a_stop_drops_requests_that_still_run),
        TEST(connections_over_the_limit_wait_for_room),
        TEST(new_limits_hold_for_running_connections),
        TEST(a_wrong_address_is_a_configuration_error),
        TEST(connections_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
